//! A strict look at every request head before hyper reads it.
//!
//! hyper forgives what two parties could read differently: a bare LF, `Content-Length` beside `Transfer-Encoding` (it drops the
//! former without a word). RFC 9112 lets a server refuse these, and a proxy for patient data should. The scanner follows the
//! bytes of a connection: heads are checked line by line, bodies of announced length are skipped. It does not follow chunks: a
//! request with a chunked body is the last on its connection.

/// What became of the bytes of one connection so far.
#[derive(Debug)]
pub struct Scanner {
    state: State,
    /// Heads that ended, good or bad.
    heads: u64,
    /// The number of the head, from 1, that was refused; nothing after it is looked at.
    refused: Option<(u64, HeadFault)>,
    /// The number of the head whose body is chunked; likewise.
    chunked: Option<u64>,
}

#[derive(Debug)]
enum State {
    /// Collecting a line of a head.
    Line { line: Vec<u8>, head: Head },
    /// So many bytes of a body are to come.
    Body(u64),
    /// No longer looking.
    Over,
}

/// What the lines of a head said so far.
#[derive(Debug, Default, Clone)]
struct Head {
    lines: usize,
    length: Option<u64>,
    chunked: bool,
}

/// Why a head is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFault {
    /// A line that ends in LF alone, or a CR inside a line.
    LineEnd,
    /// A line that goes on in the next (RFC 9112 §5.2).
    Folded,
    /// Whitespace between a name and its colon (§5.1), or no name at all.
    Name,
    /// A length that is not one number, or is given twice (§6.3).
    Length,
    /// `Content-Length` and `Transfer-Encoding` (§6.1).
    Both,
    /// A transfer coding other than one `chunked`.
    Coding,
}

/// The longest line that is collected, in bytes; hyper's own bound on a head is lower or near.
const MAX_LINE: usize = 1 << 20;

impl Default for Scanner {
    fn default() -> Scanner {
        let state = State::Line { line: Vec::new(), head: Head::default() };
        Scanner { state, heads: 0, refused: None, chunked: None }
    }
}

impl Scanner {
    /// Why the request with this number, from 1, is refused.
    pub fn fault(&self, request: u64) -> Option<HeadFault> {
        self.refused.and_then(|(number, fault)| (number == request).then_some(fault))
    }

    /// Whether the request with this number must be the last.
    pub fn is_last(&self, request: u64) -> bool {
        self.chunked == Some(request) || self.fault(request).is_some()
    }

    /// Looks at the next bytes of the connection.
    pub fn see(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match &mut self.state {
                State::Over => return,
                State::Body(left) => {
                    let skip = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    *left -= skip as u64;
                    bytes = &bytes[skip..];
                    if *left == 0 {
                        self.state = State::Line { line: Vec::new(), head: Head::default() };
                    }
                }
                State::Line { line, head } => {
                    let Some(end) = bytes.iter().position(|&b| b == b'\n') else {
                        line.extend_from_slice(bytes);
                        // hyper gives up on such a head by itself.
                        if line.len() > MAX_LINE {
                            self.state = State::Over;
                        }
                        return;
                    };
                    // Whole lines are looked at where they are.
                    let whole = match line.is_empty() {
                        true => head.line(&bytes[..end]),
                        false => {
                            line.extend_from_slice(&bytes[..end]);
                            head.line(line)
                        }
                    };
                    line.clear();
                    bytes = &bytes[end + 1..];
                    match whole {
                        Ok(Line::More) => {}
                        Ok(Line::End) => self.end_of_head(),
                        Err(fault) => {
                            self.heads += 1;
                            self.refused = Some((self.heads, fault));
                            self.state = State::Over;
                        }
                    }
                }
            }
        }
    }

    fn end_of_head(&mut self) {
        let State::Line { head, .. } = &mut self.state else { return };
        let head = std::mem::take(head);
        self.heads += 1;
        if head.chunked {
            self.chunked = Some(self.heads);
            self.state = State::Over;
        } else if let Some(length) = head.length.filter(|&length| length > 0) {
            self.state = State::Body(length);
        }
    }
}

enum Line {
    More,
    End,
}

impl Head {
    /// One line, without its LF.
    fn line(&mut self, line: &[u8]) -> Result<Line, HeadFault> {
        let Some(line) = line.strip_suffix(b"\r") else { return Err(HeadFault::LineEnd) };
        if line.contains(&b'\r') {
            return Err(HeadFault::LineEnd);
        }
        if line.is_empty() {
            // RFC 9112 §2.2: empty lines before a request line are ignored.
            return Ok(if self.lines == 0 { Line::More } else { Line::End });
        }
        self.lines += 1;
        if self.lines == 1 {
            return Ok(Line::More);
        }
        if line[0] == b' ' || line[0] == b'\t' {
            return Err(HeadFault::Folded);
        }
        let colon = line.iter().position(|&b| b == b':').ok_or(HeadFault::Name)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.is_empty() || name.iter().any(|b| b.is_ascii_whitespace()) {
            return Err(HeadFault::Name);
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let number = std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
            let length = number.and_then(|text| text.parse().ok()).ok_or(HeadFault::Length)?;
            if self.length.replace(length).is_some() {
                return Err(HeadFault::Length);
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(HeadFault::Coding);
            }
            self.chunked = true;
        }
        if self.chunked && self.length.is_some() { Err(HeadFault::Both) } else { Ok(Line::More) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same however the bytes are cut.
    fn faults(text: &str, requests: u64) -> Vec<Option<HeadFault>> {
        let mut whole = Scanner::default();
        whole.see(text.as_bytes());
        let seen: Vec<_> = (1..=requests).map(|request| whole.fault(request)).collect();
        for cut in 0..text.len() {
            let mut cut_up = Scanner::default();
            cut_up.see(&text.as_bytes()[..cut]);
            cut_up.see(&text.as_bytes()[cut..]);
            let again: Vec<_> = (1..=requests).map(|request| cut_up.fault(request)).collect();
            assert_eq!(seen, again, "cut at {cut} of {text:?}");
        }
        seen
    }

    #[test]
    fn heads_are_read_strictly() {
        let check = |lines: &str, want: Option<HeadFault>| {
            assert_eq!(faults(&format!("GET / HTTP/1.1\r\n{lines}\r\n"), 1), [want], "{lines:?}");
        };
        check("Host: a\r\n", None);
        check("Host: a\r\nContent-Length: 0\r\n", None);
        check("Host: a\n", Some(HeadFault::LineEnd));
        check("Host: a\rb\r\n", Some(HeadFault::LineEnd));
        check("Host: a\r\n b\r\n", Some(HeadFault::Folded));
        check("Host : a\r\n", Some(HeadFault::Name));
        check("Host\r\n", Some(HeadFault::Name));
        check(": a\r\n", Some(HeadFault::Name));
        check("Content-Length: +1\r\n", Some(HeadFault::Length));
        check("Content-Length: 1, 1\r\n", Some(HeadFault::Length));
        check("Content-Length: \r\n", Some(HeadFault::Length));
        check("Content-Length: 1\r\nContent-Length: 1\r\n", Some(HeadFault::Length));
        check("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", Some(HeadFault::Both));
        check("Transfer-Encoding: chunked\r\ncontent-length: 1\r\n", Some(HeadFault::Both));
        check("Transfer-Encoding: gzip, chunked\r\n", Some(HeadFault::Coding));
        check("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Some(HeadFault::Coding));
    }

    #[test]
    fn bodies_are_skipped_and_what_follows_is_looked_at() {
        let body = "POST / HTTP/1.1\r\nContent-Length: 6\r\n\r\nX : y\n";
        let bad = "GET / HTTP/1.1\r\nHost: a\n\r\n";
        assert_eq!(faults(&format!("\r\n{body}{body}{bad}"), 3), [None, None, Some(HeadFault::LineEnd)]);
        let mut scanner = Scanner::default();
        scanner.see(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
        assert!(scanner.is_last(1) && scanner.fault(1).is_none());
    }
}
