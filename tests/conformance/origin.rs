//! An origin that does what the case at hand says: it answers with exact lines, breaks off where it is told to, and writes down
//! what it was asked.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::case::{Ending, Full, status_and_fields};
use crate::incoming::Incoming;
use crate::text::fill;

/// A request as the origin saw it.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    pub target: String,
    /// Lines, their names in lower case.
    pub fields: Vec<String>,
    pub body: Vec<u8>,
}

pub struct Origin {
    pub address: SocketAddr,
    scripts: Arc<Scripts>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Scripts {
    /// By the case's id.
    by_case: Mutex<HashMap<String, Script>>,
    asked: Notify,
}

#[derive(Default)]
struct Script {
    answers: VecDeque<Scripted>,
    asked: Vec<Asked>,
}

/// An answer with its body.
#[derive(Debug, Clone)]
pub struct Scripted {
    pub answer: Full,
    pub body: String,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    pub async fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let scripts: Arc<Scripts> = Arc::default();
        let shared = scripts.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                let scripts = shared.clone();
                connections.spawn(async move { Connection { incoming: Incoming::new(stream), scripts }.serve().await });
            }
        });
        Origin { address, scripts, task }
    }

    /// What is answered from now on for this case, in order.
    pub fn script(&self, case: &str, answers: impl IntoIterator<Item = Scripted>) {
        let script = Script { answers: answers.into_iter().collect(), asked: Vec::new() };
        self.scripts.by_case.lock().unwrap().insert(case.to_owned(), script);
    }

    /// What was asked for this case since then.
    pub fn asked(&self, case: &str) -> Vec<Asked> {
        self.scripts.by_case.lock().unwrap().get(case).map(|script| script.asked.clone()).unwrap_or_default()
    }

    /// Waits until it was asked so often.
    pub async fn is_asked(&self, case: &str, times: usize, patience: Duration) -> bool {
        let waiting = async {
            loop {
                let notified = self.scripts.asked.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                if self.asked(case).len() >= times {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(patience, waiting).await.is_ok()
    }
}

impl Scripts {
    /// Notes a request, and answers it.
    fn answer(&self, asked: Asked) -> Option<Scripted> {
        let case = case_of(&asked.target).to_owned();
        let mut by_case = self.by_case.lock().unwrap();
        let script = by_case.entry(case).or_default();
        script.asked.push(asked);
        // What breaks may be tried again, and breaks again.
        let stays = script.answers.front().is_some_and(|next| next.answer.breaks());
        let answer = if stays { script.answers.front().cloned() } else { script.answers.pop_front() };
        drop(by_case);
        self.asked.notify_waiters();
        answer
    }
}

fn case_of(target: &str) -> &str {
    target.split('/').nth(1).unwrap_or("")
}

struct Connection {
    incoming: Incoming,
    scripts: Arc<Scripts>,
}

impl Connection {
    async fn serve(mut self) {
        while let Some(asked) = self.request().await {
            let is_head = asked.method == "HEAD";
            let path = asked.target.split('?').next().unwrap_or("").to_owned();
            let unexpected = || {
                let fields = vec!["Cache-Control: no-store".to_owned()];
                let answer = Full { status: Some(200), fields, ..Full::default() };
                Scripted { answer, body: "nobody should have asked".to_owned() }
            };
            let scripted = self.scripts.answer(asked).unwrap_or_else(unexpected);
            let bytes = bytes(&scripted, is_head, &path);
            let ends = scripted.answer.breaks() || scripted.answer.ending == Ending::Close;
            if self.incoming.stream.write_all(&bytes).await.is_err() || ends {
                let _ = self.incoming.stream.shutdown().await;
                return;
            }
        }
    }

    async fn request(&mut self) -> Option<Asked> {
        let head = self.incoming.until(b"\r\n\r\n").await?;
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.trim_end().split("\r\n");
        let mut words = lines.next()?.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let fields: Vec<String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| format!("{}:{value}", name.to_ascii_lowercase()))
            .collect();
        let value = |name: &str| fields.iter().find_map(|line| Some(line.strip_prefix(name)?.trim()));
        if value("expect:").is_some() {
            self.incoming.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
        }
        let body = match (value("content-length:"), value("transfer-encoding:")) {
            (Some(length), _) => self.incoming.exactly(length.parse().ok()?).await?,
            (None, Some(_)) => self.chunks().await?,
            (None, None) => Vec::new(),
        };
        Some(Asked { method, target, fields, body })
    }

    async fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.incoming.until(b"\r\n").await?;
            let size = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
            let data = self.incoming.exactly(size + 2).await?;
            body.extend_from_slice(&data[..size]);
            if size == 0 {
                return Some(body);
            }
        }
    }
}

/// The answer as it is sent.
fn bytes(scripted: &Scripted, is_head: bool, path: &str) -> Vec<u8> {
    let Scripted { answer, body } = scripted;
    let mut text = String::new();
    for lines in &answer.interim {
        let (status, fields) = status_and_fields(lines);
        text.push_str(&format!("HTTP/1.1 {} Interim\r\n", status.unwrap_or(103)));
        fields.iter().for_each(|field| text.push_str(&format!("{}\r\n", fill(field, path))));
        text.push_str("\r\n");
    }
    if answer.ending == Ending::Nothing {
        return text.into_bytes();
    }
    let status = answer.status();
    let names =
        |name: &str| answer.fields.iter().any(|field| field.to_ascii_lowercase().starts_with(&format!("{name}:")));
    text.push_str(&format!("HTTP/1.1 {status} Scripted\r\n"));
    answer.fields.iter().for_each(|field| text.push_str(&format!("{}\r\n", fill(field, path))));
    if !answer.undated && !names("date") {
        text.push_str(&fill("Date: {now}\r\n", path));
    }
    let bodiless = is_head || matches!(status, 204 | 304);
    let chunked = matches!(answer.ending, Ending::Chunked | Ending::Torn);
    if chunked {
        text.push_str("Transfer-Encoding: chunked\r\n");
    } else if answer.ending == Ending::Close {
        text.push_str("Connection: close\r\n");
    } else if !names("content-length") && !matches!(status, 204 | 304) {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    if bodiless {
        return text.into_bytes();
    }
    match answer.ending {
        Ending::Cut => text.push_str(&body[..body.len() / 2]),
        Ending::Torn => text.push_str(&format!("{:x}\r\n{}", body.len(), &body[..body.len() / 2])),
        Ending::Chunked => {
            text.push_str(&format!("{:x}\r\n{body}\r\n0\r\n", body.len()));
            answer.trailers.iter().for_each(|line| text.push_str(&format!("{line}\r\n")));
            text.push_str("\r\n");
        }
        _ => text.push_str(body),
    }
    text.into_bytes()
}
