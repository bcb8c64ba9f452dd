//! Heads: from bytes to methods, targets, statuses and fields; strict by RFC 9112 §2.2, §3, §5 and §6.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Uri, Version};
use memchr::memchr;

use super::{Framing, Persistence};

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFault {
    /// A line that could be read in two ways: ended by LF alone, folded, a CR or a NUL inside, no name, space before a colon.
    Syntax,
    /// A length that is not one number, or is given twice (§6.3).
    Length,
    /// `Content-Length` and `Transfer-Encoding` (§6.1), or a coding in HTTP/1.0.
    Both,
    /// A transfer coding other than one `chunked`.
    Coding,
    /// A protocol version that is not 1.0 or 1.1.
    Version,
    /// A target that is none (§3.2).
    Target,
    /// More bytes or more fields than are allowed.
    TooLong,
}

/// Finds the end of a head in bytes that come bit by bit; each byte is looked at once.
#[derive(Debug, Default)]
pub struct HeadEnd {
    /// Bytes that were looked at.
    seen: usize,
    /// Where the line that is looked at begins.
    line: usize,
    /// Lines so far that were empty, before any that is not.
    blank: usize,
    begun: bool,
}

/// Empty lines before a head that are let pass (RFC 9112 §2.2).
const MAX_BLANK: usize = 4;

impl HeadEnd {
    /// The length of the head with its empty line, once it is whole. `bytes` are all that came so far.
    pub fn find(&mut self, bytes: &[u8]) -> Result<Option<usize>, HeadFault> {
        while let Some(feed) = memchr(b'\n', &bytes[self.seen..]) {
            let feed = self.seen + feed;
            let line = bytes[self.line..feed].strip_suffix(b"\r").ok_or(HeadFault::Syntax)?;
            self.seen = feed + 1;
            self.line = feed + 1;
            match (line.is_empty(), self.begun) {
                (true, true) => return Ok(Some(self.seen)),
                (true, false) => self.blank += 1,
                (false, _) => self.begun = true,
            }
            if self.blank > MAX_BLANK {
                return Err(HeadFault::Syntax);
            }
        }
        self.seen = bytes.len();
        Ok(None)
    }
}

/// A request's head.
#[derive(Debug)]
pub struct RequestHead {
    /// Its method.
    pub method: Method,
    /// Its target in whatever form it was sent.
    pub target: Uri,
    /// 1.0 or 1.1.
    pub version: Version,
    /// All fields.
    pub headers: HeaderMap,
    /// How its body ends; `Length(0)` if it has none.
    pub framing: Framing,
    /// What the client said of the connection.
    pub persistence: Persistence,
}

/// An answer's head.
#[derive(Debug)]
pub struct ResponseHead {
    /// Its status.
    pub status: StatusCode,
    /// 1.0 or 1.1.
    pub version: Version,
    /// All fields.
    pub headers: HeaderMap,
    /// What its fields say of its body, whether it can have one or not.
    announced: Announced,
    /// What the origin said of the connection.
    pub persistence: Persistence,
}

/// What the fields say of a body.
#[derive(Debug, Default, Clone, Copy)]
struct Announced {
    length: Option<u64>,
    chunked: bool,
}

/// What fields say about framing and the connection.
#[derive(Default)]
struct Seen {
    announced: Announced,
    close: bool,
    keep_alive: bool,
}

/// Fields that fit without asking the heap.
const FEW: usize = 128;

type Slot<'a> = MaybeUninit<httparse::Header<'a>>;

/// Room for this many fields: on the stack, if they are few.
fn slots<'a, 'b>(most: usize, few: &'b mut [Slot<'a>; FEW], many: &'b mut Vec<Slot<'a>>) -> &'b mut [Slot<'a>] {
    if most <= FEW {
        return &mut few[..most];
    }
    many.resize_with(most, MaybeUninit::uninit);
    many
}

/// Reads a whole head, its empty line included.
pub fn request(bytes: &[u8], max_headers: usize) -> Result<RequestHead, HeadFault> {
    // One buffer for the whole head, which all names and values are slices of.
    let bytes = Bytes::copy_from_slice(bytes);
    let (mut few, mut many) = ([const { MaybeUninit::uninit() }; FEW], Vec::new());
    let mut parsed = httparse::Request::new(&mut []);
    let slots = slots(max_headers, &mut few, &mut many);
    let status = parsed.parse_with_uninit_headers(&bytes, slots).map_err(|error| match fault(error) {
        HeadFault::Version if !names_version(&bytes) => HeadFault::Syntax,
        fault => fault,
    })?;
    if status != httparse::Status::Complete(bytes.len()) {
        return Err(HeadFault::Syntax);
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(HeadFault::Syntax);
    };
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| HeadFault::Syntax)?;
    // A fragment is never sent (RFC 9112 §3.2); the type would drop it without a word.
    if target.bytes().any(|b| b == b'#' || b >= 0x80) {
        return Err(HeadFault::Target);
    }
    let target = Uri::from_maybe_shared(bytes.slice_ref(target.as_bytes())).map_err(|_| HeadFault::Target)?;
    let version = version(minor);
    let (headers, seen) = fields(&bytes, parsed.headers)?;
    let framing = match seen.announced {
        Announced { chunked: true, .. } if version < Version::HTTP_11 => return Err(HeadFault::Both),
        Announced { chunked: true, length: Some(_) } => return Err(HeadFault::Both),
        Announced { chunked: true, length: None } => Framing::Chunked,
        Announced { chunked: false, length } => Framing::Length(length.unwrap_or(0)),
    };
    let persistence = seen.persistence(version);
    Ok(RequestHead { method, target, version, headers, framing, persistence })
}

/// Reads a whole head, its empty line included.
pub fn response(bytes: &Bytes, max_headers: usize) -> Result<ResponseHead, HeadFault> {
    let (mut few, mut many) = ([const { MaybeUninit::uninit() }; FEW], Vec::new());
    let mut parsed = httparse::Response::new(&mut []);
    let slots = slots(max_headers, &mut few, &mut many);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut parsed, bytes, slots).map_err(fault)?;
    if status != httparse::Status::Complete(bytes.len()) {
        return Err(HeadFault::Syntax);
    }
    let (Some(minor), Some(code)) = (parsed.version, parsed.code) else { return Err(HeadFault::Syntax) };
    let status = StatusCode::from_u16(code).map_err(|_| HeadFault::Syntax)?;
    let version = version(minor);
    let (headers, seen) = fields(bytes, parsed.headers)?;
    let announced = seen.announced;
    if announced.chunked && (announced.length.is_some() || version < Version::HTTP_11) {
        return Err(HeadFault::Both);
    }
    let persistence = seen.persistence(version);
    Ok(ResponseHead { status, version, headers, announced, persistence })
}

/// Reads the lines of a trailer section (RFC 9110 §6.5), its empty line included. Fields that say something about framing,
/// routing, the sender or the cache are dropped: nobody looks for them at the end.
pub fn trailers(bytes: &[u8]) -> Result<HeaderMap, HeadFault> {
    let mut end = HeadEnd { begun: true, ..HeadEnd::default() };
    if end.find(bytes)? != Some(bytes.len()) {
        return Err(HeadFault::Syntax);
    }
    let bytes = Bytes::copy_from_slice(bytes);
    let mut slots = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    let parsed = match httparse::parse_headers(&bytes, &mut slots).map_err(fault)? {
        httparse::Status::Complete((length, parsed)) if length == bytes.len() => parsed,
        _ => return Err(HeadFault::Syntax),
    };
    let (mut headers, _) = fields(&bytes, parsed)?;
    NEVER_IN_TRAILERS.iter().for_each(|name| drop(headers.remove(name)));
    Ok(headers)
}

const MAX_TRAILERS: usize = 32;

const NEVER_IN_TRAILERS: [HeaderName; 17] = [
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::HOST,
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::CONTENT_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_RANGE,
    header::AUTHORIZATION,
    header::COOKIE,
    header::SET_COOKIE,
    header::CACHE_CONTROL,
    header::AGE,
    header::EXPIRES,
    header::VARY,
];

impl ResponseHead {
    /// How the body of this answer to such a request ends (RFC 9112 §6.3).
    pub fn framing(&self, method: &Method) -> Framing {
        let bodiless = method == Method::HEAD
            || self.status.is_informational()
            || self.status == StatusCode::NO_CONTENT
            || self.status == StatusCode::NOT_MODIFIED;
        match self.announced {
            _ if bodiless => Framing::Length(0),
            Announced { chunked: true, .. } => Framing::Chunked,
            Announced { length: Some(length), .. } => Framing::Length(length),
            Announced { length: None, .. } => Framing::Close,
        }
    }
}

impl Seen {
    /// RFC 9112 §9.3.
    fn persistence(&self, version: Version) -> Persistence {
        match self.close || (version < Version::HTTP_11 && !self.keep_alive) {
            true => Persistence::Close,
            false => Persistence::Keep,
        }
    }

    fn see(&mut self, name: &HeaderName, value: &[u8]) -> Result<(), HeadFault> {
        if name == header::CONTENT_LENGTH {
            // Digits only: no sign, no list, no white space inside.
            let digits = (1..=19).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
            let length = std::str::from_utf8(value).ok().filter(|_| digits).and_then(|text| text.parse().ok());
            if self.announced.length.replace(length.ok_or(HeadFault::Length)?).is_some() {
                return Err(HeadFault::Length);
            }
        } else if name == header::TRANSFER_ENCODING {
            if self.announced.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                let mut codings = value.split(|&b| b == b',').map(<[u8]>::trim_ascii);
                let not_last =
                    codings.any(|coding| coding.eq_ignore_ascii_case(b"chunked")) && codings.next().is_some();
                // §6.3: with chunks that are not the last coding the length cannot be known.
                return Err(if not_last || self.announced.chunked { HeadFault::Both } else { HeadFault::Coding });
            }
            self.announced.chunked = true;
        } else if name == header::CONNECTION {
            for option in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                self.close |= option.eq_ignore_ascii_case(b"close");
                self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
            }
        }
        Ok(())
    }
}

fn fields(bytes: &Bytes, parsed: &[httparse::Header<'_>]) -> Result<(HeaderMap, Seen), HeadFault> {
    // Room for what a proxy adds to most answers: a map that grows is made twice.
    let mut headers = HeaderMap::with_capacity(parsed.len() + 3);
    let mut seen = Seen::default();
    for field in parsed {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| HeadFault::Syntax)?;
        let value = field.value.trim_ascii();
        let value = match value.is_empty() {
            true => HeaderValue::from_static(""),
            false => HeaderValue::from_maybe_shared(bytes.slice_ref(value)).map_err(|_| HeadFault::Syntax)?,
        };
        if is_about_the_message(&name) {
            seen.see(&name, value.as_bytes())?;
        }
        headers.try_append(name, value).map_err(|_| HeadFault::TooLong)?;
    }
    Ok((headers, seen))
}

fn is_about_the_message(name: &HeaderName) -> bool {
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION].contains(name)
}

fn version(minor: u8) -> Version {
    if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 }
}

/// Whether the request line has three parts and the last is a version, if not one of ours.
fn names_version(bytes: &[u8]) -> bool {
    let line = bytes.trim_ascii_start().split(|&b| b == b'\r').next().unwrap_or_default();
    let mut parts = line.split(|&b| b == b' ');
    let version = parts.by_ref().nth(2).and_then(|version| version.strip_prefix(b"HTTP/"));
    parts.next().is_none()
        && matches!(version, Some([major, b'.', minor]) if major.is_ascii_digit() && minor.is_ascii_digit())
}

fn fault(error: httparse::Error) -> HeadFault {
    match error {
        httparse::Error::TooManyHeaders => HeadFault::TooLong,
        httparse::Error::Version => HeadFault::Version,
        _ => HeadFault::Syntax,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a request with these lines is refused for, its bytes coming one by one.
    fn fault(lines: &str) -> Option<HeadFault> {
        let text = format!("{lines}\r\n");
        let mut end = HeadEnd::default();
        for come in 1..=text.len() {
            match end.find(&text.as_bytes()[..come]) {
                Ok(None) => assert!(come < text.len(), "{text:?} does not end"),
                Ok(Some(length)) => {
                    assert_eq!(length, come);
                    return request(text.as_bytes(), 8).err();
                }
                Err(fault) => return Some(fault),
            }
        }
        None
    }

    #[test]
    fn requests_are_read_strictly() {
        let line = |line: &str| fault(&format!("{line}\r\nHost: a\r\n"));
        assert_eq!(line("GET / HTTP/1.1"), None);
        assert_eq!(line("\r\n\r\nGET / HTTP/1.0"), None);
        assert_eq!(line("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1"), Some(HeadFault::Syntax));
        assert_eq!(line("GET / HTTP/2.0"), Some(HeadFault::Version));
        assert_eq!(line("GET /#a HTTP/1.1"), Some(HeadFault::Target));
        for bad in
            ["GET  / HTTP/1.1", "GET /", "GET / HTTP/1.1 ", "GE(T / HTTP/1.1", " GET / HTTP/1.1", "GET / HTTP/1.1\rx"]
        {
            assert_eq!(line(bad), Some(HeadFault::Syntax), "{bad:?}");
        }
        let field = |field: &str| fault(&format!("GET / HTTP/1.1\r\n{field}\r\n"));
        assert_eq!(field("Content-Length: 0"), None);
        assert_eq!(field("X:\t a\tb \t"), None);
        for bad in ["X: a\nY: b", "X: a\rb", "X: a\r\n b", "X : a", "X", ": a", "X: a\0b", " X: a", "X Y: b"] {
            assert_eq!(field(bad), Some(HeadFault::Syntax), "{bad:?}");
        }
        for bad in ["+1", "1, 1", "", "1 1", "0x1", "99999999999999999999", "1\r\nContent-Length: 1"] {
            assert_eq!(field(&format!("Content-Length: {bad}")), Some(HeadFault::Length), "{bad:?}");
        }
        for bad in ["chunked\r\ncontent-length: 1", "chunked\r\nTransfer-Encoding: chunked", "chunked, gzip"] {
            assert_eq!(field(&format!("Transfer-Encoding: {bad}")), Some(HeadFault::Both), "{bad:?}");
        }
        assert_eq!(field("Content-Length: 1\r\nTransfer-Encoding: chunked"), Some(HeadFault::Both));
        assert_eq!(fault("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n"), Some(HeadFault::Both));
        for bad in ["gzip, chunked", "identity", "", "\x0bchunked"] {
            let want = if bad.starts_with('\x0b') { HeadFault::Syntax } else { HeadFault::Coding };
            assert_eq!(field(&format!("Transfer-Encoding: {bad}")), Some(want), "{bad:?}");
        }
        assert_eq!(field(&["X: a"; 9].join("\r\n")), Some(HeadFault::TooLong));
    }

    #[test]
    fn answers_say_how_their_bodies_end() {
        let framing = |method: Method, lines: &str| {
            let text = Bytes::from(format!("HTTP/1.1 {lines}\r\n\r\n"));
            response(&text, 8).map(|head| head.framing(&method))
        };
        assert_eq!(framing(Method::GET, "200 OK\r\nContent-Length: 3"), Ok(Framing::Length(3)));
        assert_eq!(framing(Method::HEAD, "200 OK\r\nContent-Length: 3"), Ok(Framing::Length(0)));
        assert_eq!(framing(Method::GET, "304 \r\nContent-Length: 3"), Ok(Framing::Length(0)));
        assert_eq!(framing(Method::GET, "200 OK\r\nTransfer-Encoding: Chunked"), Ok(Framing::Chunked));
        assert_eq!(framing(Method::GET, "200"), Ok(Framing::Close));
        for bad in ["99 OK", "1000 OK", "abc OK", "200 OK\r\nX : a"] {
            assert!(framing(Method::GET, bad).is_err(), "{bad:?}");
        }
        let both = "200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3";
        assert_eq!(framing(Method::GET, both), Err(HeadFault::Both));
    }
}
