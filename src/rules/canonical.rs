//! The fields of a request in canonical form: what a cached fetch sends is made here, and so is what is keyed.
//!
//! Requests whose fields mean the same are sent alike and share an answer (RFC 9111 §4.1). Because the canonical form is
//! sent and not only keyed, no key says of a request what the origin was not told. The meaning of a field is its own
//! specification's to say: of a field that is not known here, lines are combined and nothing else is touched.

mod encoding;
mod language;
mod media;
mod weighted;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::entry::key::KeyBuf;

/// What a route's origin is known to serve: requests are reduced to that, so that variants do not grow in number.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Serves {
    /// Language tags; the first is for those who want none of them. Empty: `Accept-Language` is what the client wants.
    pub languages: Vec<String>,
    /// Content codings in lower case, in the order of preference. Empty: `Accept-Encoding` is what the client wants.
    pub encodings: Vec<String>,
    /// Media types in lower case; the first is for those who want none of them. Empty: `Accept` is what the client wants.
    pub media: Vec<String>,
}

impl Serves {
    /// The fields that are reduced, and keyed for that.
    pub fn fields(&self) -> impl Iterator<Item = HeaderName> {
        let encoding = (!self.encodings.is_empty()).then_some(header::ACCEPT_ENCODING);
        let language = (!self.languages.is_empty()).then_some(header::ACCEPT_LANGUAGE);
        encoding.into_iter().chain(language).chain((!self.media.is_empty()).then_some(header::ACCEPT))
    }

    /// Whether a field is reduced.
    pub fn reduces(&self, name: &HeaderName) -> bool {
        self.fields().any(|field| field == *name)
    }
}

/// The value of a field as it is sent, its lines with a line feed between them; `None`: it is not.
pub fn field(headers: &HeaderMap, name: &HeaderName, serves: &Serves) -> Option<KeyBuf> {
    let mut out = KeyBuf::new();
    if serves.reduces(name) {
        let wanted = joined(headers, name);
        match name.as_str() {
            "accept-language" => out.extend_from_slice(language::best(&serves.languages, wanted.as_deref()).as_bytes()),
            "accept" => out.extend_from_slice(media::best(&serves.media, wanted.as_deref()).as_bytes()),
            _ => encoding::write_accepted(&mut out, &serves.encodings, wanted.as_deref()),
        }
        return Some(out);
    }
    let mut lines = headers.get_all(name).iter().map(HeaderValue::as_bytes).map(<[u8]>::trim_ascii);
    match name.as_str() {
        "accept-encoding" | "accept-language" => {
            let joined = joined(headers, name)?;
            if weighted::write(&mut out, &joined) == weighted::Readable::No {
                out = joined;
            }
        }
        "accept" | "accept-charset" => {
            let first = lines.next()?;
            media::write(&mut out, std::iter::once(first).chain(lines));
        }
        // RFC 6265 §5.4 has one line; RFC 9113 §8.2.3 lets it be split.
        "cookie" => write_lines(&mut out, lines, b"; ")?,
        name if SINGLE.contains(&name) => write_lines(&mut out, lines, b"\n")?,
        // RFC 9110 §5.3.
        _ => write_lines(&mut out, lines, b", ")?,
    }
    Some(out)
}

/// `Accept` as a named policy sends it, whether or not the client does: absent and empty mean anything. Every hit under such a
/// policy has it in its key.
pub fn write_accept(out: &mut KeyBuf, headers: &HeaderMap) {
    let start = out.len();
    media::write(out, headers.get_all(header::ACCEPT).iter().map(HeaderValue::as_bytes));
    if out.len() == start {
        out.extend_from_slice(b"*/*");
    }
}

/// The same as it is keyed. Anybody can make up any number of them: what is none of the usual ones has one key for all, behind which
/// its answers are variants, of which there are so many at most.
pub fn key_accept(key: &mut KeyBuf, headers: &HeaderMap) {
    let start = key.len();
    write_accept(key, headers);
    if !is_usual_accept(&key[start..]) {
        key.truncate(start);
        key.push(b'~');
    }
}

/// Whether an `Accept` in canonical form is one that has a key of its own.
pub fn is_usual_accept(accept: &[u8]) -> bool {
    media::is_usual(accept)
}

/// The same by itself.
pub fn accept(headers: &HeaderMap) -> KeyBuf {
    let mut out = KeyBuf::new();
    write_accept(&mut out, headers);
    out
}

/// Fields of one value: their lines make no list, and a comma in them may be a date's.
const SINGLE: [&str; 11] = [
    "authorization",
    "content-type",
    "date",
    "from",
    "if-modified-since",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "referer",
    "user-agent",
];

fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<KeyBuf> {
    let mut out = KeyBuf::new();
    let lines = headers.get_all(name).iter().map(HeaderValue::as_bytes).map(<[u8]>::trim_ascii);
    write_lines(&mut out, lines, b", ").map(|()| out)
}

fn write_lines<'a>(out: &mut KeyBuf, lines: impl Iterator<Item = &'a [u8]>, between: &[u8]) -> Option<()> {
    let mut any = None;
    for line in lines {
        if any.is_some() {
            out.extend_from_slice(between);
        }
        out.extend_from_slice(line);
        any = Some(());
    }
    any
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(name: &'static str, lines: &[&'static str]) -> Option<String> {
        let name = HeaderName::from_static(name);
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_static(line));
        }
        field(&headers, &name, &Serves::default()).map(|out| String::from_utf8(out.to_vec()).unwrap())
    }

    #[test]
    fn lines_are_combined_as_their_field_has_it() {
        let check = |name, lines: &[&'static str], want: Option<&str>| {
            assert_eq!(canonical(name, lines).as_deref(), want, "{name} {lines:?}");
        };
        check("x-a", &[], None);
        check("x-a", &[""], Some(""));
        check("x-a", &[" a\t"], Some("a")); // RFC 9110 §5.5
        check("x-a", &["a", "b"], Some("a, b")); // §5.3
        check("x-a", &["b", "a"], Some("b, a")); // §5.3: in their order
        check("x-a", &["\"x,  Y\",z"], Some("\"x,  Y\",z"));
        check("x-a", &["A,b , c"], Some("A,b , c"));
        check("cookie", &["a=1", "b=2"], Some("a=1; b=2"));
        check("cookie", &["a=1;b=2"], Some("a=1;b=2"));
        check("user-agent", &["a", "b"], Some("a\nb"));
        check("date", &["Sun, 06 Nov 1994 08:49:37 GMT"], Some("Sun, 06 Nov 1994 08:49:37 GMT"));
        check("accept-language", &["no", "EN ; q=0.50"], Some("no, en;q=0.5"));
        check("accept-language", &["a;b;c", "D"], Some("a;b;c, D")); // not understood
        check("accept", &["Text/HTML", "a/b"], Some("text/html,a/b"));
        check("accept-charset", &["UTF-8 , x;q=0.1"], Some("utf-8,x;q=0.1"));
    }

    #[test]
    fn accept_is_always_sent_under_a_named_policy() {
        let mut headers = HeaderMap::new();
        assert_eq!(accept(&headers).as_slice(), b"*/*");
        headers.insert(header::ACCEPT, HeaderValue::from_static(""));
        assert_eq!(accept(&headers).as_slice(), b"*/*");
        headers.insert(header::ACCEPT, HeaderValue::from_static("A/B"));
        assert_eq!(accept(&headers).as_slice(), b"a/b");
    }

    #[test]
    fn what_is_served_is_sent_whether_or_not_it_is_asked_for() {
        let serves =
            Serves { languages: vec!["en".into(), "nb-NO".into()], encodings: vec!["br".into()], media: Vec::new() };
        let mut headers = HeaderMap::new();
        let sent = |headers: &HeaderMap, name| field(headers, &name, &serves).map(|out| out.to_vec());
        assert_eq!(sent(&headers, header::ACCEPT_LANGUAGE).as_deref(), Some(&b"en"[..]));
        assert_eq!(sent(&headers, header::ACCEPT_ENCODING).as_deref(), Some(&b"identity"[..]));
        assert_eq!(sent(&headers, header::ACCEPT), None);
        headers.append(header::ACCEPT_LANGUAGE, HeaderValue::from_static("de;q=0.9"));
        headers.append(header::ACCEPT_LANGUAGE, HeaderValue::from_static("nb-no;q=0.8"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip, br"));
        assert_eq!(sent(&headers, header::ACCEPT_LANGUAGE).as_deref(), Some(&b"nb-NO"[..]));
        assert_eq!(sent(&headers, header::ACCEPT_ENCODING).as_deref(), Some(&b"br"[..]));
    }
}
