//! An origin that writes down what reaches it and trusts nothing: whatever is not in its plainest form is a fault of the proxy's.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::incoming::Incoming;

/// What reached the origin.
#[derive(Debug, Clone)]
pub enum Arrived {
    /// A head; its body is to come.
    Begun(String),
    /// A whole request.
    Whole(Recorded),
    /// What a proxy must never send.
    Fault(String),
}

/// A whole request.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its number among all.
    pub number: usize,
    pub method: String,
    pub target: String,
    /// Lines, their names in lower case.
    pub fields: Vec<String>,
    pub body: Vec<u8>,
}

/// The origin.
pub struct Recorder {
    pub address: SocketAddr,
    log: Log,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone, Default)]
struct Log {
    arrived: Arc<Mutex<Vec<Arrived>>>,
    numbers: Arc<std::sync::atomic::AtomicUsize>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorder {
    pub async fn start() -> Recorder {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let log = Log::default();
        let shared = log.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let log = shared.clone();
                connections.spawn(async move { Connection { incoming: Incoming::new(stream), log }.serve().await });
            }
        });
        Recorder { address, log, task }
    }

    /// What arrived since this was last asked.
    pub fn take(&self) -> Vec<Arrived> {
        std::mem::take(&mut *self.log.arrived.lock().unwrap())
    }
}

impl Log {
    fn add(&self, arrived: Arrived) {
        self.arrived.lock().unwrap().push(arrived);
    }
}

struct Connection {
    incoming: Incoming,
    log: Log,
}

/// How a request's body is framed.
enum Framed {
    Length(usize),
    Chunks,
}

impl Connection {
    /// Serves until the connection ends or something is wrong.
    async fn serve(mut self) {
        loop {
            match self.request().await {
                Some(Ok(())) => {}
                Some(Err(fault)) => {
                    let rest = String::from_utf8_lossy(&self.incoming.read).into_owned();
                    return self.log.add(Arrived::Fault(format!("{fault}; then {rest:?}")));
                }
                None => return,
            }
        }
    }

    /// One request; `None` when the connection ends.
    async fn request(&mut self) -> Option<Result<(), String>> {
        let head = self.incoming.until(b"\r\n\r\n").await?;
        let (method, target, fields, framed) = match read_head(&head[..head.len() - 4]) {
            Ok(head) => head,
            Err(fault) => return Some(Err(format!("{fault} in {:?}", String::from_utf8_lossy(&head)))),
        };
        self.log.add(Arrived::Begun(format!("{method} {target}")));
        if target == "/refused-at-once" {
            // Without reading the body.
            let _ = self
                .incoming
                .stream
                .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                .await;
            return None;
        }
        if fields.iter().any(|line| line == "expect: 100-continue") {
            self.incoming.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        }
        let body = match framed {
            Framed::Length(length) => self.incoming.exactly(length).await?,
            Framed::Chunks => match self.chunks().await? {
                Ok(body) => body,
                Err(fault) => return Some(Err(fault)),
            },
        };
        let number = self.log.numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let answer = answer(number, &method, &target, &fields, &body);
        self.log.add(Arrived::Whole(Recorded { number, method, target, fields, body }));
        self.incoming.stream.write_all(&answer).await.ok()?;
        Some(Ok(()))
    }

    async fn chunks(&mut self) -> Option<Result<Vec<u8>, String>> {
        let mut body = Vec::new();
        loop {
            let line = self.incoming.until(b"\r\n").await?;
            let text = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
            let size = usize::from_str_radix(&text, 16).ok().filter(|_| plain);
            let Some(size) = size else { return Some(Err(format!("a chunk of size {text:?}"))) };
            if size == 0 {
                break;
            }
            let data = self.incoming.exactly(size + 2).await?;
            if !data.ends_with(b"\r\n") {
                return Some(Err(format!("a chunk that ends in {data:?}")));
            }
            body.extend_from_slice(&data[..size]);
        }
        loop {
            let line = self.incoming.until(b"\r\n").await?;
            if line == b"\r\n" {
                return Some(Ok(body));
            }
            match read_field(&line[..line.len() - 2]) {
                Ok(field) if is_forbidden_trailer(&field) => return Some(Err(format!("the trailer {field:?}"))),
                Ok(_) => {}
                Err(fault) => return Some(Err(fault)),
            }
        }
    }
}

type Head = (String, String, Vec<String>, Framed);

/// A head in its plainest form, or what is wrong with it.
fn read_head(head: &[u8]) -> Result<Head, String> {
    let mut lines = head.split(|&b| b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    if head.iter().filter(|&&b| b == b'\n').count() != count(head, b"\r\n") {
        return Err("a bare LF".to_owned());
    }
    let first = lines.next().unwrap_or_default();
    let first = std::str::from_utf8(first).unwrap_or("?");
    let mut words = first.split(' ');
    let (Some(method), Some(target), Some("HTTP/1.1"), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(format!("the request line {first:?}"));
    };
    if !is_token(method.as_bytes()) || !(target.starts_with('/') || target == "*") || target.contains('#') {
        return Err(format!("the request line {first:?}"));
    }
    let fields = lines.map(read_field).collect::<Result<Vec<String>, String>>()?;
    let values = |name: &str| -> Vec<&str> {
        fields.iter().filter_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim())).collect()
    };
    if values("host").len() != 1 || values("host")[0].is_empty() {
        return Err(format!("Host is {:?}", values("host")));
    }
    for name in ["keep-alive", "proxy-connection", "upgrade", "http2-settings", "proxy-authorization"] {
        if !values(name).is_empty() {
            return Err(format!("{name}, which is for one hop"));
        }
    }
    // Whoever folds `_` and `-` together reads these as framing.
    for name in ["content_length", "transfer_encoding"] {
        if !values(name).is_empty() {
            return Err(format!("{name}, which some read as framing"));
        }
    }
    let framed = match (&values("content-length")[..], &values("transfer-encoding")[..]) {
        ([], []) => Framed::Length(0),
        ([length], []) if length.bytes().all(|b| b.is_ascii_digit()) => {
            Framed::Length(length.parse().map_err(|_| format!("a length of {length:?}"))?)
        }
        ([], ["chunked"]) => Framed::Chunks,
        both => return Err(format!("framed by {both:?}")),
    };
    Ok((method.to_owned(), target.to_owned(), fields, framed))
}

fn read_field(line: &[u8]) -> Result<String, String> {
    let shown = String::from_utf8_lossy(line).into_owned();
    let colon = line.iter().position(|&b| b == b':').ok_or(format!("a line without a colon: {shown:?}"))?;
    let (name, value) = line.split_at(colon);
    if !is_token(name) {
        return Err(format!("the name {:?}", String::from_utf8_lossy(name)));
    }
    if value.iter().any(|&b| b == b'\r' || b == b'\n' || b == 0) {
        return Err(format!("a value that two parties read differently: {shown:?}"));
    }
    Ok(format!("{}{}", String::from_utf8_lossy(name).to_ascii_lowercase(), String::from_utf8_lossy(value)))
}

fn is_forbidden_trailer(line: &str) -> bool {
    let name = line.split(':').next().unwrap_or("");
    [
        "content-length",
        "transfer-encoding",
        "host",
        "connection",
        "authorization",
        "trailer",
        "x-forwarded-for",
        "x_original_url",
    ]
    .contains(&name)
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|&b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn count(bytes: &[u8], wanted: &[u8]) -> usize {
    bytes.windows(wanted.len()).filter(|window| window == &wanted).count()
}

/// An answer that says what was asked; its number is the request's.
fn answer(number: usize, method: &str, target: &str, fields: &[String], body: &[u8]) -> Vec<u8> {
    let validators = match target.starts_with("/kept/") {
        true => "etag: \"k\"\r\ncache-control: max-age=60\r\n",
        false => "",
    };
    let close = match fields.iter().any(|line| line == "connection: close") {
        true => "connection: close\r\n",
        false => "",
    };
    let text = format!("{method} {target} {}", String::from_utf8_lossy(body));
    let head = format!(
        "HTTP/1.1 200 OK\r\nx-number: {number}\r\nx-method: {method}\r\n{validators}{close}content-length: {}\r\n\r\n",
        text.len()
    );
    let mut answer = head.into_bytes();
    if method != "HEAD" {
        answer.extend_from_slice(text.as_bytes());
    }
    answer
}
