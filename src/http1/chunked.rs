//! The chunked coding (RFC 9112 §7.1), read strictly: every line ends in CRLF, a size is one to fifteen hexadecimal digits,
//! extensions are short and dropped, trailers are bounded.

use bytes::BytesMut;
use http::HeaderMap;

use super::head;
use crate::http1::decoded::{BodyEnd, BodyFault, Decoded};

/// Where in a chunked body the next byte stands.
#[derive(Debug)]
pub struct Chunked {
    state: State,
    /// Bytes of the line of a size so far, or of the trailer section.
    line: usize,
}

#[derive(Debug)]
enum State {
    /// In a size: its value so far.
    Size(u64),
    /// White space after a size: an extension must follow (RFC 9112 §7.1.1).
    Space(u64),
    /// In an extension.
    Extension {
        size: u64,
        quote: Quote,
    },
    /// The CR after a size was read.
    SizeFeed(u64),
    /// So many bytes of a chunk are to come; at least one.
    Data(u64),
    /// After a chunk's data.
    DataReturn,
    DataFeed,
    /// After the last chunk: the lines that came.
    Trailers(Vec<u8>),
}

/// Whether a quoted string is open (RFC 9110 §5.6.4).
#[derive(Debug, Clone, Copy)]
enum Quote {
    None,
    Open,
    /// Behind a backslash in it.
    Escape,
}

impl Quote {
    fn after(self, byte: u8) -> Quote {
        match (self, byte) {
            (Quote::None, b'"') | (Quote::Escape, _) => Quote::Open,
            (Quote::None, _) | (Quote::Open, b'"') => Quote::None,
            (Quote::Open, b'\\') => Quote::Escape,
            (Quote::Open, _) => Quote::Open,
        }
    }
}

/// The longest line with a size, and the longest trailer section, in bytes.
const MAX_LINE: usize = 1024;
const MAX_TRAILERS: usize = 8 << 10;
/// The most digits of a size: more would not fit a file anywhere.
const MAX_DIGITS: usize = 15;

impl Default for Chunked {
    fn default() -> Chunked {
        Chunked { state: State::Size(0), line: 0 }
    }
}

impl Chunked {
    /// Reads as much as there is; the chunks' data is appended to `out`.
    pub fn decode(&mut self, input: &[u8], out: &mut BytesMut) -> Result<Decoded, BodyFault> {
        let mut at = 0;
        while at < input.len() {
            if let State::Data(left) = self.state {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
                out.extend_from_slice(&input[at..at + here]);
                at += here;
                self.state = match left - here as u64 {
                    0 => State::DataReturn,
                    left => State::Data(left),
                };
                continue;
            }
            let byte = input[at];
            at += 1;
            if let Some(trailers) = self.step(byte)? {
                return Ok(Decoded { consumed: at, end: Some(BodyEnd { trailers }) });
            }
        }
        Ok(Decoded { consumed: at, end: None })
    }

    /// One byte outside of the data. `Some`: it was the last.
    fn step(&mut self, byte: u8) -> Result<Option<Option<HeaderMap>>, BodyFault> {
        self.line += 1;
        let state = std::mem::replace(&mut self.state, State::DataReturn);
        self.state = match (state, byte) {
            (State::Size(size), _) if byte.is_ascii_hexdigit() && self.line <= MAX_DIGITS => {
                let digit = (byte as char).to_digit(16).map_or(0, u64::from);
                State::Size(size << 4 | digit)
            }
            (State::Size(size), b'\r') if self.line > 1 => State::SizeFeed(size),
            (State::Size(size), b' ' | b'\t') if self.line > 1 => State::Space(size),
            (State::Space(size), b' ' | b'\t') if self.line <= MAX_LINE => State::Space(size),
            (State::Size(size) | State::Space(size), b';') if self.line > 1 => {
                State::Extension { size, quote: Quote::None }
            }
            (State::Extension { size, quote: Quote::None }, b'\r') => State::SizeFeed(size),
            (State::Extension { size, quote }, _) if self.line <= MAX_LINE && is_text(byte) => {
                State::Extension { size, quote: quote.after(byte) }
            }
            (State::SizeFeed(0), b'\n') => {
                self.line = 0;
                State::Trailers(Vec::new())
            }
            (State::SizeFeed(size), b'\n') => State::Data(size),
            (State::DataReturn, b'\r') => State::DataFeed,
            (State::DataFeed, b'\n') => {
                self.line = 0;
                State::Size(0)
            }
            (State::Trailers(mut lines), _) if self.line <= MAX_TRAILERS => {
                // CR and LF only together; what is in the lines is looked at when all are there.
                if lines.ends_with(b"\r") != (byte == b'\n') {
                    return Err(BodyFault::Chunk);
                }
                lines.push(byte);
                if lines == b"\r\n" {
                    return Ok(Some(None));
                }
                if lines.ends_with(b"\r\n\r\n") {
                    let trailers = head::trailers(&lines).map_err(|_| BodyFault::Chunk)?;
                    return Ok(Some(Some(trailers).filter(|trailers| !trailers.is_empty())));
                }
                State::Trailers(lines)
            }
            _ => return Err(BodyFault::Chunk),
        };
        Ok(None)
    }
}

/// White space and what can be seen.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Body and trailers, however the bytes are cut; `None` is a fault.
    fn read(text: &str) -> Option<(String, usize)> {
        let decode = |cut: usize| {
            let (mut chunked, mut out) = (Chunked::default(), BytesMut::new());
            let mut consumed = 0;
            for piece in [&text.as_bytes()[..cut], &text.as_bytes()[cut..]] {
                let decoded = chunked.decode(piece, &mut out).ok()?;
                consumed += decoded.consumed;
                if let Some(end) = decoded.end {
                    assert_eq!(consumed, text.len());
                    return Some((String::from_utf8(out.to_vec()).unwrap(), end.trailers.map_or(0, |t| t.len())));
                }
            }
            panic!("{text:?} does not end");
        };
        let whole = decode(0);
        (0..text.len()).for_each(|cut| assert_eq!(decode(cut), whole, "{text:?} cut at {cut}"));
        whole
    }

    #[test]
    fn chunks() {
        assert_eq!(read("0\r\n\r\n"), Some((String::new(), 0)));
        assert_eq!(read("3\r\nabc\r\n00A;x=\"y;\\\"\"\r\n0123456789\r\n0\r\n\r\n"), Some(("abc0123456789".into(), 0)));
        assert_eq!(read("1 ;x\r\na\r\n0\r\nx: 1\r\nHost: b\r\n\r\n"), Some(("a".into(), 1)));
        for bad in [
            "\r\n",
            "x\r\n",
            "+1\r\na",
            "-1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1\na\r\n",
            "1 \r\na\r\n",
            "1\r\rn",
            "1\r\nab",
            "1\r\na\n",
            "1\r\na\r0",
            "1;\"\r\n",
            "1;a\x00\r\n",
            "1234567890abcdef\r\n",
            "0\r\nx\r\n\r\n",
            "0\r\nx : 1\r\n\r\n",
            "0\r\nx: 1\n\r\n\r\n",
            "0\r\n\rx",
        ] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
