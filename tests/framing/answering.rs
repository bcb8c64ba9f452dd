//! An origin that answers with exact bytes, however wrong, and watches whether a connection on which it did so is used again.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::wire::{PATIENCE, find};

/// The longest that an answer without end may be listened to; the proxy's own limits are shorter.
const ENDLESS: Duration = Duration::from_secs(2);

/// How an answer is given.
#[derive(Clone, Debug)]
pub struct Script {
    pub bytes: Vec<u8>,
    /// The size of the pieces.
    pub piece: usize,
    pub then: Then,
    pub connection: Connection,
}

/// What follows the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The connection stays open.
    Stays,
    /// The same, and all wait in vain.
    Stalls,
    /// The connection ends.
    Closes,
    /// This, again and again, until the proxy gives up the connection; it must.
    Repeats(&'static str),
}

/// Whether another request may come on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    Clean,
    Spoilt,
}

/// The origin. `/marker/…` is answered as it should be, everything else by the script.
pub struct Answering {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    script: Mutex<Option<Script>>,
    /// All of a script was sent, or nobody took it.
    sent: Notify,
    /// Requests on spoilt connections.
    reused: Mutex<Vec<String>>,
    /// What was sent without end and read without end.
    endless: Mutex<bool>,
    asked: Mutex<usize>,
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Answering {
    pub async fn start() -> Answering {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared::default());
        let everywhere = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = everywhere.clone();
                connections.spawn(async move {
                    let _ = stream.set_nodelay(true);
                    serve(stream, &shared).await;
                });
            }
        });
        Answering { address, shared, task }
    }

    /// From now on answers are given so.
    pub fn answers(&self, script: Script) {
        *self.shared.script.lock().unwrap() = Some(script);
    }

    /// Waits until the last script has been sent, or given up on.
    pub async fn sent(&self) -> Result<(), String> {
        tokio::time::timeout(PATIENCE, self.shared.sent.notified()).await.map_err(|_| "the origin was not asked")?;
        match *self.shared.endless.lock().unwrap() {
            true => Err(format!("after {ENDLESS:?} the origin is still listened to")),
            false => Ok(()),
        }
    }

    /// How often a script was played.
    pub fn asked(&self) -> usize {
        *self.shared.asked.lock().unwrap()
    }

    /// What came on spoilt connections.
    pub fn reused(&self) -> Vec<String> {
        std::mem::take(&mut *self.shared.reused.lock().unwrap())
    }
}

async fn serve(mut stream: TcpStream, shared: &Shared) -> Option<()> {
    let mut connection = Connection::Clean;
    let mut read = Vec::new();
    loop {
        let head = loop {
            if let Some(end) = find(&read, b"\r\n\r\n") {
                let head: Vec<u8> = read.drain(..end + 4).collect();
                break String::from_utf8_lossy(&head).into_owned();
            }
            (stream.read_buf(&mut read).await.ok()? > 0).then_some(())?;
        };
        if connection == Connection::Spoilt {
            shared.reused.lock().unwrap().push(head.clone());
        }
        let target = head.split(' ').nth(1).unwrap_or("").to_owned();
        if target.starts_with("/marker/") {
            let text = format!("GET {target} ");
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
            stream.write_all(answer.as_bytes()).await.ok()?;
            continue;
        }
        *shared.asked.lock().unwrap() += 1;
        let script = shared.script.lock().unwrap().clone().expect("a script");
        let ended = play(&mut stream, &script).await;
        *shared.endless.lock().unwrap() = !ended;
        if script.then == Then::Closes || !ended {
            // Before anybody is told: what is seen next comes after the end.
            drop(stream);
            shared.sent.notify_one();
            return None;
        }
        shared.sent.notify_one();
        connection = script.connection;
    }
}

/// Answers whether that came to an end.
async fn play(stream: &mut TcpStream, script: &Script) -> bool {
    for piece in script.bytes.chunks(script.piece.max(1)) {
        if stream.write_all(piece).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    if let Then::Repeats(text) = script.then {
        let many = text.repeat(100);
        let given_up = async { while stream.write_all(many.as_bytes()).await.is_ok() {} };
        return tokio::time::timeout(ENDLESS, given_up).await.is_ok();
    }
    true
}
