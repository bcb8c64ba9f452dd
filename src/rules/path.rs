//! Request paths after RFC 3986 §6.2.2 normalisation, and whether they can be read in two ways.
//!
//! What is matched is what is keyed and what is sent: the normal form. Origins differ in how they read encoded slashes,
//! empty segments, backslashes and the like; such a path is *ambiguous*, and a route refuses it or passes it uncached, so
//! that nothing is ever stored under one reading and served under another.

pub mod aliases;
pub mod refused;

use std::borrow::Cow;

/// A path in normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath<'a> {
    /// The path; begins with `/`. For an ambiguous path this is what was sent.
    pub text: Cow<'a, str>,
    /// Why it can be read in two ways, if it can.
    pub ambiguity: Option<Ambiguity>,
}

/// Why a path can be read in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ambiguity {
    /// `%2F`: a separator to some, a character to others.
    EncodedSlash,
    /// `\` or `%5C`: a separator to some.
    Backslash,
    /// `%00`…`%1F`, `%7F`: cuts the path for some.
    EncodedControl,
    /// `//`: one separator to some.
    EmptySegment,
    /// `/..;x/`: a dot segment to some.
    DotParameter,
    /// `%` that is not followed by two hexadecimal digits.
    BrokenEscape,
    /// Bytes that a URI may not contain.
    NotAscii,
}

impl Ambiguity {
    /// One spelling for the answer, the log and the reason.
    pub fn as_str(self) -> &'static str {
        match self {
            Ambiguity::EncodedSlash => "encoded-slash",
            Ambiguity::Backslash => "backslash",
            Ambiguity::EncodedControl => "encoded-control-character",
            Ambiguity::EmptySegment => "empty-segment",
            Ambiguity::DotParameter => "dot-segment-parameter",
            Ambiguity::BrokenEscape => "broken-percent-encoding",
            Ambiguity::NotAscii => "not-ascii",
        }
    }
}

impl<'a> RequestPath<'a> {
    /// Normalises the path of a request target: percent-encoded unreserved characters are decoded, the hexadecimal digits
    /// of the others are upper case, dot segments are resolved. A path in normal form is borrowed.
    pub fn new(raw: &'a str) -> RequestPath<'a> {
        if is_plain(raw) {
            return RequestPath { text: Cow::Borrowed(raw), ambiguity: None };
        }
        match normalise(raw) {
            Ok(text) if text == raw => RequestPath { text: Cow::Borrowed(raw), ambiguity: None },
            Ok(text) => RequestPath { text: Cow::Owned(text), ambiguity: None },
            Err(ambiguity) => RequestPath { text: Cow::Borrowed(raw), ambiguity: Some(ambiguity) },
        }
    }

    /// The segments, without the empty one that a trailing slash leaves.
    pub fn segments(path: &str) -> impl Iterator<Item = &str> + Clone {
        let inner = path.strip_prefix('/').unwrap_or(path);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let none = inner.is_empty();
        inner.split('/').skip(usize::from(none))
    }
}

/// Nothing in it that normalisation would touch or that is ambiguous: what nearly every path is.
fn is_plain(raw: &str) -> bool {
    let mut previous = b'/';
    let mut bytes = raw.bytes();
    if bytes.next() != Some(b'/') {
        return false;
    }
    for byte in bytes {
        match byte {
            b'%' | b'\\' | 0..=0x20 | 0x7f.. => return false,
            b'/' | b'.' if previous == b'/' => return false,
            _ => previous = byte,
        }
    }
    true
}

fn normalise(raw: &str) -> Result<String, Ambiguity> {
    let decoded = decode_unreserved(raw)?;
    if decoded.contains("//") {
        return Err(Ambiguity::EmptySegment);
    }
    remove_dot_segments(&decoded)
}

/// RFC 3986 §6.2.2.1 and §6.2.2.2.
fn decode_unreserved(raw: &str) -> Result<String, Ambiguity> {
    let bytes = raw.as_bytes();
    let mut out = String::with_capacity(raw.len());
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b'%' => {
                let hex = bytes.get(i + 1..i + 3).and_then(|h| std::str::from_utf8(h).ok());
                let byte = hex
                    .filter(|h| h.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|h| u8::from_str_radix(h, 16).ok())
                    .ok_or(Ambiguity::BrokenEscape)?;
                match byte {
                    b'/' => return Err(Ambiguity::EncodedSlash),
                    b'\\' => return Err(Ambiguity::Backslash),
                    0..=0x1f | 0x7f => return Err(Ambiguity::EncodedControl),
                    b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte as char),
                    _ => out.push_str(&format!("%{byte:02X}")),
                }
                i += 3;
            }
            b'\\' => return Err(Ambiguity::Backslash),
            0..=0x20 | 0x7f.. => return Err(Ambiguity::NotAscii),
            byte => {
                out.push(byte as char);
                i += 1;
            }
        }
    }
    Ok(out)
}

/// RFC 3986 §5.2.4.
fn remove_dot_segments(path: &str) -> Result<String, Ambiguity> {
    let mut kept: Vec<&str> = Vec::new();
    let mut trailing = false;
    for segment in path.split('/').skip(1) {
        trailing = false;
        match segment {
            "." => trailing = true,
            ".." => {
                kept.pop();
                trailing = true;
            }
            _ if segment.starts_with(".;") || segment.starts_with("..;") => return Err(Ambiguity::DotParameter),
            _ => kept.push(segment),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if trailing || out.is_empty() {
        out.push('/');
    }
    // `/a/../` leaves the empty segment after the last slash in `kept`; two slashes cannot meet otherwise.
    Ok(if out.starts_with("//") { out.split_off(1) } else { out })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_forms() {
        let check = |raw: &str, want: Result<&str, Ambiguity>| {
            let path = RequestPath::new(raw);
            let got = path.ambiguity.map_or(Ok(path.text.as_ref()), Err);
            assert_eq!(got, want, "{raw}");
        };
        check("/", Ok("/"));
        check("/a/b", Ok("/a/b"));
        check("/a/b/", Ok("/a/b/"));
        check("/a/b.c", Ok("/a/b.c"));
        check("/%7euser", Ok("/~user"));
        check("/%41%3a", Ok("/A%3A"));
        check("/a/./b/../c", Ok("/a/c"));
        check("/a/%2e%2E/b", Ok("/b"));
        check("/../..", Ok("/"));
        check("/a/..", Ok("/"));
        check("/a/../", Ok("/"));
        check("/a/.", Ok("/a/"));
        check("/.well-known/x", Ok("/.well-known/x"));
        check("/a%2fb", Err(Ambiguity::EncodedSlash));
        check("/a%5Cb", Err(Ambiguity::Backslash));
        check("/a\\b", Err(Ambiguity::Backslash));
        check("/a%00", Err(Ambiguity::EncodedControl));
        check("/a//b", Err(Ambiguity::EmptySegment));
        check("//", Err(Ambiguity::EmptySegment));
        check("/a/..;/b", Err(Ambiguity::DotParameter));
        check("/a%", Err(Ambiguity::BrokenEscape));
        check("/a%+1", Err(Ambiguity::BrokenEscape));
        check("/ä", Err(Ambiguity::NotAscii));
    }

    #[test]
    fn a_trailing_slash_is_no_segment() {
        let segments = |path| RequestPath::segments(path).collect::<Vec<_>>();
        assert_eq!(segments("/"), Vec::<&str>::new());
        assert_eq!(segments("/a/b/"), ["a", "b"]);
        assert_eq!(segments("/a"), ["a"]);
    }

    proptest::proptest! {
        #[test]
        fn normal_form_is_stable(raw in "/[a-zA-Z0-9./%\\\\;~]{0,24}") {
            let once = RequestPath::new(&raw);
            if once.ambiguity.is_none() {
                let twice = RequestPath::new(&once.text);
                proptest::prop_assert_eq!(twice.ambiguity, None);
                proptest::prop_assert_eq!(&twice.text, &once.text);
            }
        }
    }
}
