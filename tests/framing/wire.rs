//! A client of exact bytes, and a strict look at what it is answered.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The longest wait for anything that is due.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// One connection.
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
    ended: bool,
    /// Interim answers so far.
    pub interim: Vec<Answer>,
}

/// What came next.
#[derive(Debug)]
pub enum Got {
    Answer(Answer),
    /// The connection ended.
    End,
    /// Nothing within [`PATIENCE`].
    Nothing,
    /// What is no answer.
    Garbage(String),
}

/// A final answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Lines in lower case, as they came otherwise.
    pub fields: Vec<String>,
    pub body: Vec<u8>,
    /// The body broke off.
    pub is_cut: bool,
    pub trailers: Vec<String>,
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(':')?.trim()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Whether an answer may have a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bodies {
    Come,
    StayAway,
}

/// Why a piece did not come whole.
enum Short {
    End,
    Nothing,
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Wire {
        Wire::attempt(address).await.expect("it listens")
    }

    /// As [`Wire::connect`], where perhaps nobody listens.
    pub async fn attempt(address: SocketAddr) -> std::io::Result<Wire> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Wire { stream, read: Vec::new(), ended: false, interim: Vec::new() })
    }

    /// Sends what the other side still takes: it may have refused already.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = tokio::time::timeout(PATIENCE, self.stream.write_all(bytes)).await;
    }

    /// Closes this side.
    pub async fn half_close(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next final answer.
    pub async fn answer(&mut self) -> Got {
        self.answer_with(Bodies::Come).await
    }

    /// The next final answer, which is to a HEAD.
    pub async fn answer_to_head(&mut self) -> Got {
        self.answer_with(Bodies::StayAway).await
    }

    async fn answer_with(&mut self, bodies: Bodies) -> Got {
        loop {
            match self.one(bodies).await {
                Got::Answer(answer) if (100..200).contains(&answer.status) && answer.status != 101 => {
                    self.interim.push(answer);
                }
                got => return got,
            }
        }
    }

    /// A request that everybody has the right to make, with an answer that nobody else gets.
    pub async fn marker(&mut self, name: &str) -> Result<(), MarkerFault> {
        self.send(format!("GET /marker/{name} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await;
        match self.answer().await {
            Got::Answer(answer) if answer.status == 200 && answer.text() == format!("GET /marker/{name} ") => Ok(()),
            Got::End => Err(MarkerFault::Closed),
            other => Err(MarkerFault::Wrong(format!("{other:?}"))),
        }
    }

    /// The rest, once nothing but the end may come.
    pub async fn is_over(&mut self) -> Result<(), String> {
        match self.answer().await {
            Got::End => Ok(()),
            Got::Nothing => Err("the connection stays open".to_owned()),
            more => Err(format!("more came than was due: {more:?}")),
        }
    }

    /// The next bytes as they are, up to this end.
    pub async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = find(&self.read, end.as_bytes()) {
                let taken: Vec<u8> = self.read.drain(..at + end.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            let more = self.more().await;
            assert!(more.is_ok(), "it ended after {:?}", String::from_utf8_lossy(&self.read));
        }
    }

    async fn one(&mut self, bodies: Bodies) -> Got {
        let head = match self.line_end(b"\r\n\r\n").await {
            Ok(head) => head,
            Err(Short::Nothing) => return Got::Nothing,
            Err(Short::End) if self.read.is_empty() => return Got::End,
            Err(Short::End) => return Got::Garbage(String::from_utf8_lossy(&self.read).into_owned()),
        };
        let text = String::from_utf8_lossy(&head[..head.len() - 4]).into_owned();
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or("");
        let status = first.strip_prefix("HTTP/1.1 ").or(first.strip_prefix("HTTP/1.0 ")).and_then(|rest| rest.get(..3));
        let Some(status) = status.and_then(|status| status.parse().ok()) else { return Got::Garbage(text) };
        let fields: Vec<String> = lines.map(lower_name).collect();
        if !fields.iter().all(|line| is_field(line)) {
            return Got::Garbage(text);
        }
        let mut answer = Answer { status, fields, body: Vec::new(), is_cut: false, trailers: Vec::new() };
        match self.body(&mut answer, bodies).await {
            Ok(()) => Got::Answer(answer),
            Err(Some(Short::Nothing)) => Got::Nothing,
            Err(_) => Got::Garbage(format!("{text}, then {}", String::from_utf8_lossy(&self.read))),
        }
    }

    /// Reads a body; `Err(None)` where its framing is not to be trusted.
    async fn body(&mut self, answer: &mut Answer, bodies: Bodies) -> Result<(), Option<Short>> {
        let is_head = bodies == Bodies::StayAway || answer.field("x-method") == Some("HEAD");
        let bodiless = is_head || matches!(answer.status, 100..200 | 204 | 304);
        let count = |name: &str| answer.fields.iter().filter(|line| line.starts_with(&format!("{name}:"))).count();
        if count("content-length") + count("transfer-encoding") > 1 {
            return Err(None);
        }
        if bodiless {
            return Ok(());
        }
        if let Some(length) = answer.field("content-length") {
            let length: usize = length.parse().map_err(|_| None)?;
            let taken = self.exactly(length).await;
            answer.is_cut = matches!(taken, Err(Short::End));
            answer.body = taken.or_else(|short| self.what_came(short))?;
        } else if let Some(coding) = answer.field("transfer-encoding") {
            if coding != "chunked" {
                return Err(None);
            }
            self.chunks(answer).await?;
        } else {
            while self.more().await.map_err(Some).is_ok() {}
            answer.body = std::mem::take(&mut self.read);
        }
        Ok(())
    }

    async fn chunks(&mut self, answer: &mut Answer) -> Result<(), Option<Short>> {
        loop {
            let line = match self.line_end(b"\r\n").await {
                Ok(line) => String::from_utf8_lossy(&line[..line.len() - 2]).into_owned(),
                Err(Short::End) => return self.cut(answer),
                Err(short) => return Err(Some(short)),
            };
            let size = usize::from_str_radix(&line, 16).map_err(|_| None)?;
            if size == 0 {
                break;
            }
            match self.exactly(size + 2).await {
                Ok(data) if data.ends_with(b"\r\n") => answer.body.extend_from_slice(&data[..size]),
                Ok(_) => return Err(None),
                Err(Short::End) => return self.cut(answer),
                Err(short) => return Err(Some(short)),
            }
        }
        loop {
            match self.line_end(b"\r\n").await {
                Ok(line) if line == b"\r\n" => return Ok(()),
                Ok(line) => answer.trailers.push(lower_name(&String::from_utf8_lossy(&line[..line.len() - 2]))),
                Err(Short::End) => return self.cut(answer),
                Err(short) => return Err(Some(short)),
            }
        }
    }

    fn cut(&mut self, answer: &mut Answer) -> Result<(), Option<Short>> {
        answer.is_cut = true;
        answer.body.append(&mut self.read);
        Ok(())
    }

    fn what_came(&mut self, short: Short) -> Result<Vec<u8>, Option<Short>> {
        match short {
            Short::End => Ok(std::mem::take(&mut self.read)),
            Short::Nothing => Err(Some(short)),
        }
    }

    async fn line_end(&mut self, end: &[u8]) -> Result<Vec<u8>, Short> {
        loop {
            if let Some(at) = find(&self.read, end) {
                return Ok(self.read.drain(..at + end.len()).collect());
            }
            self.more().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Short> {
        while self.read.len() < length {
            self.more().await?;
        }
        Ok(self.read.drain(..length).collect())
    }

    async fn more(&mut self) -> Result<(), Short> {
        if self.ended {
            return Err(Short::End);
        }
        match tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.read)).await {
            Err(_) => Err(Short::Nothing),
            // A reset is an end: what was refused may be left unread.
            Ok(Ok(0) | Err(_)) => {
                self.ended = true;
                Err(Short::End)
            }
            Ok(Ok(_)) => Ok(()),
        }
    }
}

/// What became of a marker.
#[derive(Debug)]
pub enum MarkerFault {
    /// The connection was closed.
    Closed,
    /// It was answered by something else.
    Wrong(String),
}

/// A name, a colon, and a value on one line.
fn is_field(line: &str) -> bool {
    let name = line.split_once(':').map_or("", |(name, _)| name);
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(token) && !line.contains(['\r', '\n', '\0'])
}

fn lower_name(line: &str) -> String {
    match line.split_once(':') {
        Some((name, value)) => format!("{}:{value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    }
}

/// Where some bytes first are.
pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
