//! Conditional requests answered from the store, and the merge of a 304 (RFC 9110 §13, RFC 9111 §4.3).

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::entry::Validators;

/// What a client's conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Send the whole answer.
    Send,
    /// The client has it: 304.
    NotModified,
}

/// RFC 9110 §13.2.2 for GET and HEAD: `If-None-Match` first, `If-Modified-Since` only without it.
pub fn condition(request: &HeaderMap, stored: &Validators) -> Condition {
    if request.contains_key(header::IF_NONE_MATCH) {
        let matches = request.get_all(header::IF_NONE_MATCH).iter().any(|line| matches_none(line, stored));
        return if matches { Condition::NotModified } else { Condition::Send };
    }
    let since = request.get(header::IF_MODIFIED_SINCE).and_then(|value| value.to_str().ok());
    let since = since.and_then(|text| httpdate::parse_http_date(text).ok());
    match (since, &stored.last_modified) {
        (Some(since), Some((_, modified))) if *modified <= since => Condition::NotModified,
        _ => Condition::Send,
    }
}

fn matches_none(line: &HeaderValue, stored: &Validators) -> bool {
    let line = line.as_bytes().trim_ascii();
    if line == b"*" {
        return true;
    }
    let Some(etag) = &stored.etag else { return false };
    entity_tags(line).any(|tag| weak(tag) == weak(etag.as_bytes()))
}

/// Weak comparison: `W/` does not count (§8.8.3.2).
fn weak(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The entity tags of a list; commas inside quotes belong to a tag.
fn entity_tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |&b| {
        quoted ^= b == b'"';
        b == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
}

/// `If-Range` (RFC 9110 §13.1.5): whether a range of what is stored may be sent. Strong comparison.
pub fn if_range(request: &HeaderMap, stored: &Validators) -> Condition {
    let Some(value) = request.get(header::IF_RANGE) else { return Condition::NotModified };
    let matches = match (value.as_bytes().first(), &stored.etag, &stored.last_modified) {
        (Some(b'"'), Some(etag), _) => etag == value,
        (_, _, Some((modified, _))) => modified == value,
        _ => false,
    };
    if matches { Condition::NotModified } else { Condition::Send }
}

/// Adds the conditions of a revalidation (RFC 9111 §4.3.1).
pub fn add_conditions(request: &mut HeaderMap, stored: &Validators) {
    if let Some(etag) = &stored.etag {
        request.insert(header::IF_NONE_MATCH, etag.clone());
    }
    if let Some((modified, _)) = &stored.last_modified {
        request.insert(header::IF_MODIFIED_SINCE, modified.clone());
    }
}

/// Whether a 304 speaks of what is stored (RFC 9111 §4.3.4): its own validators, if it has any, are those stored.
pub fn confirms(not_modified: &HeaderMap, stored: &Validators) -> bool {
    let now = Validators::of(not_modified);
    match (&now.etag, &now.last_modified) {
        (Some(etag), _) => stored.etag.as_ref().is_some_and(|old| weak(old.as_bytes()) == weak(etag.as_bytes())),
        (None, Some((modified, _))) => stored.last_modified.as_ref().is_none_or(|(old, _)| old == modified),
        (None, None) => true,
    }
}

/// RFC 9111 §3.2: the fields of a 304 replace those stored, save the ones that describe the body which is stored.
pub fn merge(stored: &HeaderMap, not_modified: &HeaderMap) -> HeaderMap {
    let mut merged = stored.clone();
    for name in not_modified.keys().filter(|name| !belongs_to_body(name)) {
        merged.remove(name);
        for value in not_modified.get_all(name) {
            merged.append(name, value.clone());
        }
    }
    // A 304 may leave out of `Vary` what the whole answer named (Django's does); what was named stays named.
    for value in stored.get_all(header::VARY) {
        if not_modified.contains_key(header::VARY) && !merged.get_all(header::VARY).iter().any(|now| now == value) {
            merged.append(header::VARY, value.clone());
        }
    }
    // An Age or a Warning of the stored answer speaks of its own time.
    if !not_modified.contains_key(header::AGE) {
        merged.remove(header::AGE);
    }
    merged
}

fn belongs_to_body(name: &HeaderName) -> bool {
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE, header::CONTENT_TYPE].contains(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        lines.collect()
    }

    #[test]
    fn conditions() {
        let stored = Validators::of(&map(&[("etag", "\"a,b\""), ("last-modified", "Sun, 09 Sep 2001 01:46:40 GMT")]));
        let check = |lines: &[(&'static str, &'static str)], want| {
            assert_eq!(condition(&map(lines), &stored), want, "{lines:?}");
        };
        check(&[], Condition::Send);
        check(&[("if-none-match", "\"a,b\"")], Condition::NotModified);
        check(&[("if-none-match", "\"x\", W/\"a,b\"")], Condition::NotModified);
        check(&[("if-none-match", "\"a\"")], Condition::Send);
        check(&[("if-none-match", "*")], Condition::NotModified);
        check(&[("if-modified-since", "Sun, 09 Sep 2001 01:46:40 GMT")], Condition::NotModified);
        check(&[("if-modified-since", "Sun, 09 Sep 2001 01:46:39 GMT")], Condition::Send);
        check(&[("if-modified-since", "yesterday")], Condition::Send);
        let later = ("if-modified-since", "Mon, 09 Sep 2030 01:46:40 GMT");
        check(&[("if-none-match", "\"x\""), later], Condition::Send); // §13.1.3: ignored beside If-None-Match
    }

    #[test]
    fn a_304_updates_the_fields_but_not_those_of_the_body() {
        let stored = map(&[("etag", "\"a\""), ("content-length", "5"), ("x", "old"), ("y", "kept"), ("age", "9")]);
        let merged = merge(&stored, &map(&[("content-length", "0"), ("x", "new"), ("z", "1")]));
        assert_eq!(merged, map(&[("etag", "\"a\""), ("content-length", "5"), ("x", "new"), ("y", "kept"), ("z", "1")]));
    }

    #[test]
    fn a_304_does_not_narrow_vary() {
        let merged = merge(&map(&[("vary", "Cookie, Accept-Encoding")]), &map(&[("vary", "Cookie")]));
        assert_eq!(crate::policy::admit::vary(&merged).unwrap(), [header::ACCEPT_ENCODING, header::COOKIE]);
    }

    #[test]
    fn a_304_must_speak_of_what_is_stored() {
        let stored = Validators::of(&map(&[("etag", "\"a\"")]));
        assert!(confirms(&map(&[]), &stored));
        assert!(confirms(&map(&[("etag", "W/\"a\"")]), &stored));
        assert!(!confirms(&map(&[("etag", "\"b\"")]), &stored));
    }
}
