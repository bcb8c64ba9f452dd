//! Keys: what two requests must have in common to share an answer.
//!
//! A key is a string of bytes that always begins with the route's fingerprint and the partition, so that there is no way
//! to forget who may share. Keys are compared whole; their hash only finds them. Fields are ended by NUL, which none of
//! them can contain.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::fields::authority::Scheme;
use crate::ground::mutants::{Rule, is_off};

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
    /// [`crate::rules::route::Route::fingerprint`].
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
    /// As it is sent, without `?`; one that is empty is another than none.
    pub query: Option<&'a str>,
}

impl Primary<'_> {
    /// Writes the key.
    pub fn write(&self, key: &mut KeyBuf) {
        let fingerprint = if is_off(Rule::Fingerprint) { 0 } else { self.fingerprint };
        key.extend_from_slice(&fingerprint.to_le_bytes());
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
        for field in [self.authority, self.forwarded_host.unwrap_or(""), self.path] {
            key.extend_from_slice(field.as_bytes());
            key.push(0);
        }
        if let Some(query) = self.query {
            key.push(b'?');
            key.extend_from_slice(query.as_bytes());
        }
        key.push(0);
    }
}

/// Adds the value of one request field as it is sent, or its absence. Lines have a line feed between them.
pub fn write_field(key: &mut KeyBuf, name: &HeaderName, value: Option<&[u8]>) {
    key.extend_from_slice(name.as_str().as_bytes());
    key.push(0);
    if let Some(value) = value {
        key.push(b'\n');
        key.extend_from_slice(value);
    }
    key.push(0);
}

/// Adds the lines of one header, or its absence.
pub fn write_header(key: &mut KeyBuf, headers: &HeaderMap, name: &HeaderName) {
    write_field(key, name, lines(headers, name).as_deref());
}

/// The key of one variant: the primary key and the values, as they are sent, of the fields that `Vary` names.
pub fn variant(primary: &[u8], names: &[HeaderName], sent: &HeaderMap) -> KeyBuf {
    variant_of(primary, names, |name| lines(sent, name))
}

/// The same, of a request of which nothing was sent yet: `value` tells what would be.
pub fn variant_of(primary: &[u8], names: &[HeaderName], value: impl Fn(&HeaderName) -> Option<KeyBuf>) -> KeyBuf {
    let mut key = KeyBuf::from_slice(primary);
    key.push(b'V');
    names.iter().for_each(|name| write_field(&mut key, name, value(name).as_deref()));
    key
}

fn lines(headers: &HeaderMap, name: &HeaderName) -> Option<KeyBuf> {
    let mut lines = headers.get_all(name).iter();
    let mut value = KeyBuf::from_slice(lines.next()?.as_bytes());
    for line in lines {
        value.push(b'\n');
        value.extend_from_slice(line.as_bytes());
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn fields_cannot_run_into_each_other() {
        let key = |path, query| {
            let mut key = KeyBuf::new();
            let (partition, scheme, forwarded_host) = (Partition::Public, Scheme::Http, None);
            Primary { fingerprint: 1, partition, scheme, authority: "h", forwarded_host, path, query }.write(&mut key);
            key
        };
        assert_ne!(key("/ab", None), key("/a", Some("b")));
        assert_ne!(key("/a", None), key("/a", Some("")));
        assert_eq!(key("/a", Some("b")), key("/a", Some("b")));
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
        let told = variant_of(b"k", &names, |_| Some(KeyBuf::from_slice(b"a\nb")));
        assert_eq!(of(&["a", "b"]), told, "what would be sent is keyed as what is");
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
