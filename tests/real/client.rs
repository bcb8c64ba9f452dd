//! A small HTTP/1.1 client. It sends what it is told and adds only `Host` and the framing of the body; it keeps an answer's
//! headers in their order, follows nothing, decodes nothing but chunks, and can read a body while it is still coming.
//!
//! Every failure is a panic that says what was awaited: nothing in these tests is meant to survive one.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The longest wait for the next byte.
const PATIENCE: Duration = Duration::from_secs(20);

/// The host that every request names, so that what an origin makes of it is the same with and without Stent.
pub const HOST: &str = "localhost";

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Sent,
}

#[derive(Clone, Debug)]
pub enum Sent {
    Nothing,
    /// With its `Content-Length`.
    Whole(Vec<u8>),
    /// In chunks, without a length.
    Chunked(Vec<u8>),
    /// With its length, once the other side has said `100 Continue`.
    Expecting(Vec<u8>),
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case, in the order of arrival.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn new(method: &str, target: &str) -> Request {
        Request { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Sent::Nothing }
    }

    pub fn get(target: &str) -> Request {
        Request::new("GET", target)
    }

    pub fn with(mut self, name: &str, value: &str) -> Request {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn sending(self, body: Sent) -> Request {
        Request { body, ..self }
    }

    pub fn json(self, text: &str) -> Request {
        self.with("Content-Type", "application/json").sending(Sent::Whole(text.as_bytes().to_vec()))
    }

    pub fn form(self, text: &str) -> Request {
        self.with("Content-Type", "application/x-www-form-urlencoded").sending(Sent::Whole(text.as_bytes().to_vec()))
    }

    /// On a connection of its own.
    pub fn ask(&self, address: SocketAddr) -> Answer {
        Connection::open(address).ask(self)
    }

    fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {HOST}\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        match &self.body {
            Sent::Nothing => {}
            Sent::Whole(body) => head.push_str(&format!("Content-Length: {}\r\n", body.len())),
            Sent::Chunked(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
            Sent::Expecting(body) => {
                head.push_str(&format!("Content-Length: {}\r\nExpect: 100-continue\r\n", body.len()));
            }
        }
        head + "\r\n"
    }
}

impl Answer {
    /// The first field of this name; empty if there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value)
    }

    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n == name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {}: {}", self.status, self.text()))
    }

    /// Whether Stent had it.
    pub fn is_hit(&self) -> bool {
        self.header("cache-status").starts_with("stent; hit")
    }

    /// The value that a cookie is set to.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let set = self.headers.iter().filter(|(n, _)| n == "set-cookie");
        let mut pairs = set.filter_map(|(_, value)| value.split(';').next()?.split_once('='));
        pairs.find(|(n, _)| *n == name).map(|(_, value)| value.to_owned())
    }
}

/// A connection that is kept for as many requests as the other side allows.
pub struct Connection {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
    ended: bool,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Connection {
        Connection { address, stream: BufReader::new(connect(address)), ended: false }
    }

    pub fn ask(&mut self, request: &Request) -> Answer {
        if self.ended {
            *self = Connection::open(self.address);
        }
        self.send(request);
        self.answer(&request.method)
    }

    /// The next request takes a new one.
    pub fn end(&mut self) {
        self.ended = true;
    }

    pub fn send(&mut self, request: &Request) {
        self.write(request.head().as_bytes());
        match &request.body {
            Sent::Nothing => {}
            Sent::Whole(body) => self.write(body),
            Sent::Chunked(body) => {
                for piece in body.chunks(100_000) {
                    self.write(format!("{:x}\r\n", piece.len()).as_bytes());
                    self.write(piece);
                    self.write(b"\r\n");
                }
                self.write(b"0\r\n\r\n");
            }
            Sent::Expecting(body) => {
                let (status, _) = self.one_head();
                assert_eq!(status, 100, "the body was not asked for");
                self.write(body);
            }
        }
    }

    /// The whole answer to a request with this method.
    pub fn answer(&mut self, method: &str) -> Answer {
        let mut incoming = self.begin(method);
        let mut body = Vec::new();
        while let Some(piece) = incoming.piece() {
            body.extend_from_slice(&piece);
        }
        Answer { status: incoming.status, headers: incoming.headers, body }
    }

    /// The head of an answer to a request with this method; its body is read from what is returned.
    pub fn begin(&mut self, method: &str) -> Incoming<'_> {
        let (status, headers) = loop {
            let (status, headers) = self.one_head();
            if status >= 200 {
                break (status, headers);
            }
        };
        let field = |name| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let rest = if method == "HEAD" || status == 204 || status == 304 {
            Rest::Length(0)
        } else if field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            Rest::Chunked
        } else if let Some(length) = field("content-length") {
            Rest::Length(length.parse().expect("a length is a number"))
        } else {
            Rest::UntilClose
        };
        let closes = field("connection").is_some_and(|option| option.eq_ignore_ascii_case("close"));
        self.ended = closes || matches!(rest, Rest::UntilClose);
        Incoming { status, headers, stream: &mut self.stream, rest }
    }

    fn one_head(&mut self) -> (u16, Vec<(String, String)>) {
        let line = line(&mut self.stream);
        let status = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self::line(&mut self.stream);
            if line.is_empty() {
                return (status, headers);
            }
            let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("no header: {line:?}"));
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        self.stream.get_mut().write_all(bytes).expect("the other side takes the request");
    }
}

/// An answer whose body is still coming.
pub struct Incoming<'a> {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    stream: &'a mut BufReader<TcpStream>,
    rest: Rest,
}

enum Rest {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Incoming<'_> {
    /// The next piece of the body as soon as it is here; `None` after the last.
    pub fn piece(&mut self) -> Option<Vec<u8>> {
        match &mut self.rest {
            Rest::Length(0) => None,
            Rest::Length(left) => {
                let piece = some(self.stream, *left);
                assert!(!piece.is_empty(), "the body broke off {left} bytes before its end");
                *left -= piece.len();
                Some(piece)
            }
            Rest::Chunked => {
                let size = line(self.stream);
                let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("no chunk size: {size:?}"));
                let mut piece = vec![0; size];
                self.stream.read_exact(&mut piece).expect("a whole chunk");
                assert_eq!(line(self.stream), "", "a chunk ends with its line");
                if size == 0 {
                    self.rest = Rest::Length(0);
                    return None;
                }
                Some(piece)
            }
            Rest::UntilClose => Some(some(self.stream, usize::MAX)).filter(|piece| !piece.is_empty()),
        }
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect_timeout(&address, PATIENCE);
    let stream = stream.unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
    stream.set_nodelay(true).expect("a socket");
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
    stream
}

fn line(stream: &mut BufReader<TcpStream>) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).unwrap_or_else(|error| panic!("awaiting a line, got {line:?} and {error}"));
    match line.strip_suffix("\r\n") {
        Some(line) => line.to_owned(),
        None => panic!("the connection ended within a line: {line:?}"),
    }
}

/// What is there, `most` bytes at most; empty at the end of the stream.
fn some(stream: &mut BufReader<TcpStream>, most: usize) -> Vec<u8> {
    loop {
        match stream.fill_buf() {
            Ok(there) => {
                let piece = there[..there.len().min(most)].to_vec();
                stream.consume(piece.len());
                return piece;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("awaiting more of a body: {error}"),
        }
    }
}
