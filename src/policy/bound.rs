//! Entity tags that are bound to a principal.
//!
//! Many backends make the tag of a personal page out of what it shows and not of who sees it. A browser that several people use
//! one after the other then asks with the first one's tag on the second one's behalf, and a 304 would show them the first one's
//! page. So under `share: principal` the tags that clients see are this principal's, and only this principal's tag is answered by
//! a 304. Origins never see them: they are taken off again on the way.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::validate::entity_tags;
use crate::ground::mutants::{Rule, is_off};

/// What is added to a principal's tags: `;s=` and twelve hexadecimal digits of the principal's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding([u8; LENGTH]);

const LENGTH: usize = 15;
const MARK: &[u8] = b";s=";

impl Binding {
    /// For the principal with this digest.
    pub fn of(digest: &[u8; 32]) -> Binding {
        let mut text = [0; LENGTH];
        text[..MARK.len()].copy_from_slice(MARK);
        for (at, byte) in digest.iter().take((LENGTH - MARK.len()) / 2).enumerate() {
            text[MARK.len() + 2 * at] = HEX[usize::from(byte >> 4)];
            text[MARK.len() + 2 * at + 1] = HEX[usize::from(byte & 15)];
        }
        Binding(text)
    }

    /// Binds the tag of an answer.
    pub fn bind(&self, headers: &mut HeaderMap) {
        let Some(tag) = headers.get(header::ETAG).filter(|_| !is_off(Rule::PrincipalTags)) else { return };
        let text = tag.as_bytes();
        let (inside, quote) = text.strip_suffix(b"\"").map_or((text, &b""[..]), |inside| (inside, &b"\""[..]));
        // What was a value with letters and digits put in is one.
        if let Ok(bound) = HeaderValue::from_bytes(&[inside, &self.0, quote].concat()) {
            headers.insert(header::ETAG, bound);
        }
    }
}

const HEX: [u8; 16] = *b"0123456789abcdef";

/// Whether some tag of a request's conditions is bound to somebody.
pub fn is_bound(headers: &HeaderMap) -> bool {
    let lines = |name: &HeaderName| headers.get_all(name).iter().any(|line| find(line.as_bytes()).is_some());
    [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_RANGE].iter().any(lines)
}

/// Takes the bindings off a request's conditions before an origin sees them. A tag that is bound to somebody else than its asker
/// matches nothing: it leaves `If-None-Match`, and a range on its condition becomes the whole. For `If-Match` whose it was does
/// not matter: it guards a write against what came between.
pub fn unbind(headers: &mut HeaderMap, own: &Binding) {
    rewrite(headers, &header::IF_MATCH, |_| true);
    rewrite(headers, &header::IF_NONE_MATCH, |binding| *binding == own.0);
    if !rewrite(headers, &header::IF_RANGE, |binding| *binding == own.0) {
        headers.remove(header::RANGE);
    }
}

/// Rewrites the tags of a field; those whose binding is not wanted go. Answers whether any is left, or none was there before.
fn rewrite(headers: &mut HeaderMap, name: &HeaderName, wanted: impl Fn(&[u8]) -> bool) -> bool {
    if !headers.get_all(name).iter().any(|line| find(line.as_bytes()).is_some()) {
        return true;
    }
    let mut line: Vec<u8> = Vec::new();
    for tag in headers.get_all(name).iter().flat_map(|line| entity_tags(line.as_bytes())) {
        let plain = match find(tag) {
            None => tag.to_vec(),
            Some(at) if wanted(&tag[at..at + LENGTH]) => [&tag[..at], &tag[at + LENGTH..]].concat(),
            Some(_) => continue,
        };
        if !line.is_empty() {
            line.extend_from_slice(b", ");
        }
        line.extend_from_slice(&plain);
    }
    headers.remove(name);
    match HeaderValue::from_bytes(&line) {
        Ok(line) if !line.is_empty() => drop(headers.insert(name, line)),
        _ => return false,
    }
    true
}

/// Where a binding begins: before a tag's last quote, or at its end.
fn find(tag: &[u8]) -> Option<usize> {
    tag.windows(LENGTH).rposition(|window| {
        window.starts_with(MARK) && window[MARK.len()..].iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(byte: u8) -> Binding {
        Binding::of(&[byte; 32])
    }

    #[test]
    fn what_is_bound_comes_off_again() {
        for (tag, bound) in [
            ("\"v1\"", "\"v1;s=abababababab\""),
            ("W/\"v1\"", "W/\"v1;s=abababababab\""),
            ("v1", "v1;s=abababababab"),
            ("\"\"", "\";s=abababababab\""),
        ] {
            let mut headers = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static(tag))]);
            binding(0xab).bind(&mut headers);
            assert_eq!(headers[header::ETAG], bound);
            let mut asked = HeaderMap::from_iter([(header::IF_NONE_MATCH, headers[header::ETAG].clone())]);
            unbind(&mut asked, &binding(0xab));
            assert_eq!(asked[header::IF_NONE_MATCH], tag);
        }
    }

    #[test]
    fn anothers_tag_matches_nothing_but_guards_a_write() {
        let check = |name: HeaderName, line: &'static str, want: Option<&str>| {
            let mut headers = HeaderMap::from_iter([
                (name.clone(), HeaderValue::from_static(line)),
                (header::RANGE, HeaderValue::from_static("bytes=0-1")),
            ]);
            unbind(&mut headers, &binding(0x11));
            assert_eq!(headers.get(&name).map(|value| value.to_str().unwrap()), want, "{name}: {line}");
            let cut = name == header::IF_RANGE && want.is_none();
            assert_eq!(headers.contains_key(header::RANGE), !cut, "{name}: {line}");
        };
        let none = header::IF_NONE_MATCH;
        check(none.clone(), "\"a;s=222222222222\"", None);
        check(none.clone(), "\"a;s=222222222222\", \"b;s=111111111111\"", Some("\"b\""));
        check(none.clone(), "\"a\", W/\"b\"", Some("\"a\", W/\"b\""));
        check(none, "*", Some("*"));
        check(header::IF_MATCH, "\"a;s=222222222222\", \"b\"", Some("\"a\", \"b\""));
        check(header::IF_RANGE, "\"a;s=222222222222\"", None);
        check(header::IF_RANGE, "\"a;s=111111111111\"", Some("\"a\""));
        check(header::IF_RANGE, "Sun, 09 Sep 2001 01:46:40 GMT", Some("Sun, 09 Sep 2001 01:46:40 GMT"));
    }
}
