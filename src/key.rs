//! Keys: what two requests must have in common to share an answer.
//!
//! A key is a string of bytes that always begins with the route's fingerprint and the partition, so that there is no way
//! to forget who may share. Keys are compared whole; their hash only finds them. Fields are ended by NUL, which none of
//! them can contain.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

/// A key that is being built or looked up; lives on the stack for usual lengths.
pub type KeyBuf = SmallVec<[u8; 256]>;

/// A key that is kept.
pub type Key = Arc<[u8]>;

/// Who may share an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Partition {
    /// Everybody.
    Public,
    /// Everybody without credentials.
    Anonymous,
    /// The principal with this digest.
    Principal([u8; 32]),
    /// Everybody with the facets of this digest, which holds their names and values.
    Facets([u8; 32]),
    /// Everybody who is let pass, found out anew for every request.
    Permitted,
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Partition::Public => "Public",
            Partition::Anonymous => "Anonymous",
            Partition::Principal(_) => "Principal(…)",
            Partition::Facets(_) => "Facets(…)",
            Partition::Permitted => "Permitted",
        })
    }
}

/// The parts of a key that every policy has.
#[derive(Debug, Clone, Copy)]
pub struct Primary<'a> {
    /// [`crate::route::Route::fingerprint`].
    pub fingerprint: u64,
    /// Who may share.
    pub partition: Partition,
    /// The client's side is TLS, as far as the origin is told.
    pub scheme: Scheme,
    /// Host and port in lower case, without a default port.
    pub authority: &'a str,
    /// The host that a trusted proxy forwards for, where it is another.
    pub forwarded_host: Option<&'a str>,
    /// In normal form.
    pub path: &'a str,
    /// Canonical, without `?`.
    pub query: &'a str,
}

/// The scheme of the client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS, here or at a trusted proxy.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl Primary<'_> {
    /// Writes the key.
    pub fn write(&self, key: &mut KeyBuf) {
        key.extend_from_slice(&self.fingerprint.to_le_bytes());
        match &self.partition {
            Partition::Public => key.push(b'+'),
            Partition::Anonymous => key.push(b'-'),
            Partition::Principal(digest) => {
                key.push(b'=');
                key.extend_from_slice(digest);
            }
            Partition::Facets(digest) => {
                key.push(b'#');
                key.extend_from_slice(digest);
            }
            Partition::Permitted => key.push(b'?'),
        }
        key.push(if self.scheme == Scheme::Https { b's' } else { b'h' });
        for field in [self.authority, self.forwarded_host.unwrap_or(""), self.path, self.query] {
            key.extend_from_slice(field.as_bytes());
            key.push(0);
        }
    }
}

/// Adds the value of one request header, or its absence.
pub fn write_header(key: &mut KeyBuf, headers: &HeaderMap, name: &HeaderName) {
    key.extend_from_slice(name.as_str().as_bytes());
    key.push(0);
    for value in headers.get_all(name) {
        // Some origins take the first line of several, or the last: they are not kept as one list with commas.
        key.push(b'\n');
        key.extend_from_slice(value.as_bytes().trim_ascii());
    }
    key.push(0);
}

/// The normalised `Accept`: lower case outside of quotes, no optional whitespace; absent is `*/*`.
pub fn write_accept(out: &mut KeyBuf, headers: &HeaderMap) {
    let start = out.len();
    for value in headers.get_all(http::header::ACCEPT) {
        if out.len() > start {
            out.push(b',');
        }
        let mut quoted = false;
        for &byte in value.as_bytes() {
            match byte {
                b'"' => {
                    quoted = !quoted;
                    out.push(byte);
                }
                b' ' | b'\t' if !quoted => {}
                _ if quoted => out.push(byte),
                _ => out.push(byte.to_ascii_lowercase()),
            }
        }
    }
    if out.len() == start {
        out.extend_from_slice(b"*/*");
    }
}

/// The key of one variant: the primary key and the values of the headers that `Vary` names.
pub fn variant(primary: &[u8], names: &[HeaderName], headers: &HeaderMap) -> KeyBuf {
    let mut key = KeyBuf::from_slice(primary);
    key.push(b'V');
    names.iter().for_each(|name| write_header(&mut key, headers, name));
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn accept(lines: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(http::header::ACCEPT, HeaderValue::from_static(line));
        }
        let mut out = KeyBuf::new();
        write_accept(&mut out, &headers);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn accept_is_normalised() {
        assert_eq!(accept(&[]), "*/*");
        assert_eq!(accept(&["*/*"]), "*/*");
        assert_eq!(accept(&["Text/HTML , application/json; q=0.5"]), "text/html,application/json;q=0.5");
        assert_eq!(accept(&["a/b", "c/d"]), "a/b,c/d");
        assert_eq!(accept(&["a/b; x=\"A b\""]), "a/b;x=\"A b\"");
    }

    #[test]
    fn fields_cannot_run_into_each_other() {
        let key = |path, query| {
            let mut key = KeyBuf::new();
            let (partition, scheme, forwarded_host) = (Partition::Public, Scheme::Http, None);
            Primary { fingerprint: 1, partition, scheme, authority: "h", forwarded_host, path, query }.write(&mut key);
            key
        };
        assert_ne!(key("/ab", ""), key("/a", "b"));
        assert_eq!(key("/a", "b"), key("/a", "b"));
    }

    #[test]
    fn two_lines_are_not_one_with_a_comma() {
        let names = [HeaderName::from_static("x-a")];
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-a", HeaderValue::from_static(line));
            }
            variant(b"k", &names, &headers)
        };
        assert_ne!(of(&["a", "b"]), of(&["a,b"]));
        assert_ne!(of(&["a", "b"]), of(&["b", "a"]));
        assert_eq!(of(&["a"]), of(&[" a "]));
    }

    #[test]
    fn absence_differs_from_emptiness() {
        let names = [HeaderName::from_static("x-a")];
        let mut headers = HeaderMap::new();
        let absent = variant(b"k", &names, &headers);
        headers.insert("x-a", HeaderValue::from_static(""));
        assert_ne!(absent, variant(b"k", &names, &headers));
    }
}
