//! Conditional requests answered from the store, and the merge of a 304 (RFC 9110 §13, RFC 9111 §4.3).

use http::{HeaderMap, HeaderName, header};

use crate::entry::head::Validators;
use crate::fields::date::dated;
use crate::rules::caching::Caching;

/// What a client's conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// Send the whole answer.
    Send,
    /// The client has it: 304.
    NotModified,
}

/// RFC 9110 §13.2.2 and RFC 9111 §4.3.2, for GET and HEAD and an answer that is a success: `If-None-Match` first,
/// `If-Modified-Since` only without it. `If-Match` and `If-Unmodified-Since` are for origins, and never come this far.
pub fn condition(request: &HeaderMap, stored: &Validators) -> Condition {
    let matches = match request.contains_key(header::IF_NONE_MATCH) {
        true => is_listed(request, stored),
        false => is_unmodified(request, stored),
    };
    if matches { Condition::NotModified } else { Condition::Send }
}

/// RFC 9110 §13.1.2: `*` alone, or one of the tags by weak comparison.
fn is_listed(request: &HeaderMap, stored: &Validators) -> bool {
    let lines = request.get_all(header::IF_NONE_MATCH);
    if lines.iter().map(|line| line.as_bytes().trim_ascii()).eq([b"*"]) {
        return true;
    }
    let Some(etag) = &stored.etag else { return false };
    let mut tags = lines.iter().flat_map(|line| entity_tags(line.as_bytes()));
    tags.any(|tag| weak(tag) == weak(etag.as_bytes()))
}

/// RFC 9110 §13.1.3: a date that is repeated or none is as if it were not there.
fn is_unmodified(request: &HeaderMap, stored: &Validators) -> bool {
    let Some((_, since)) = dated(request, header::IF_MODIFIED_SINCE) else { return false };
    stored.last_modified.as_ref().map(|(_, modified)| *modified).or(stored.date).is_some_and(|made| made <= since)
}

/// Weak comparison: `W/` does not count (§8.8.3.2).
fn weak(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(WEAK).unwrap_or(tag)
}

const WEAK: &[u8] = b"W/";

/// The entity tags of a list; commas inside quotes belong to a tag. Tags without quotes are taken as they are: origins send
/// such, and clients say them back.
pub(super) fn entity_tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let pieces = line.split(move |&b| {
        quoted ^= b == b'"';
        b == b',' && !quoted
    });
    pieces.map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty())
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

/// Whether a 304 speaks of what is stored (RFC 9111 §4.3.4): a strong validator must be the very same, a weak one must
/// correspond. One without validators answers the only ones that were sent.
pub fn confirms(not_modified: &HeaderMap, stored: &Validators) -> bool {
    let said = Validators::of(not_modified);
    match (&said.etag, &said.last_modified) {
        (Some(etag), _) if etag.as_bytes().starts_with(WEAK) => {
            stored.etag.as_ref().is_some_and(|old| weak(old.as_bytes()) == weak(etag.as_bytes()))
        }
        (Some(etag), _) => stored.etag.as_ref() == Some(etag),
        (None, Some((_, modified))) => stored.last_modified.as_ref().is_some_and(|(_, old)| old == modified),
        // What cannot be read confirms nothing.
        (None, None) => !not_modified.contains_key(header::ETAG) && !not_modified.contains_key(header::LAST_MODIFIED),
    }
}

/// Whether a 304 speaks of what is stored, but for the strength of its tag: it answers the condition, which is compared weakly
/// (RFC 9110 §13.1.2), and updates nothing.
pub fn confirms_weakly(not_modified: &HeaderMap, stored: &Validators) -> bool {
    let said = Validators::of(not_modified);
    said.etag.zip(stored.etag.as_ref()).is_some_and(|(said, old)| weak(old.as_bytes()) == weak(said.as_bytes()))
}

/// Whether a 200 to HEAD speaks of what is stored (RFC 9111 §4.3.5): every validator and length that it says is the stored
/// one's. By the letter it may say none; a policy with a name wants to see a validator before it makes anything fresh.
pub fn describes(head: &HeaderMap, stored: &Validators, length: usize, caching: &Caching) -> bool {
    let said = Validators::of(head);
    let same_tag = !head.contains_key(header::ETAG) || said.etag.is_some() && said.etag == stored.etag;
    let date = |validators: &Validators| validators.last_modified.as_ref().map(|(_, date)| *date);
    let same_date = !head.contains_key(header::LAST_MODIFIED) || date(&said).is_some() && date(&said) == date(stored);
    let mut lengths = head.get_all(header::CONTENT_LENGTH).iter();
    let same_length = lengths.all(|said| said.as_bytes() == length.to_string().as_bytes());
    same_tag && same_date && same_length && (said.any() || !matches!(caching, Caching::Named(_)))
}

/// RFC 9111 §3.2: the fields of a 304, or of an answer to HEAD, replace those stored, save the ones that the stored body
/// depends on. Those of a hop have been taken off before (§3.1).
pub fn merge(stored: &HeaderMap, update: &HeaderMap, caching: &Caching) -> HeaderMap {
    let mut merged = stored.clone();
    for name in update.keys().filter(|name| !is_kept(name, caching)) {
        merged.remove(name);
        for value in update.get_all(name) {
            merged.append(name, value.clone());
        }
    }
    // A 304 may leave out of `Vary` what the whole answer named (Django's does); what was named stays named.
    for value in stored.get_all(header::VARY) {
        if update.contains_key(header::VARY) && !merged.get_all(header::VARY).iter().any(|now| now == value) {
            merged.append(header::VARY, value.clone());
        }
    }
    // An Age of the stored answer speaks of its own time.
    if !update.contains_key(header::AGE) {
        merged.remove(header::AGE);
    }
    merged
}

/// Fields that stay as they were stored. `Content-Type` is none of them by the letter, but some frameworks send their
/// default with every 304: policies with a name keep what came with the body.
fn is_kept(name: &HeaderName, caching: &Caching) -> bool {
    [header::CONTENT_LENGTH, header::CONTENT_ENCODING, header::CONTENT_RANGE, header::TRAILER].contains(name)
        || name == header::CONTENT_TYPE && matches!(caching, Caching::Named(_))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::rules::caching::{AsOrigin, Credentials};

    const LETTER: Caching = Caching::Http(AsOrigin {
        credentials: Credentials::AuthorizationOnly,
        strip_cookies: Vec::new(),
        secret_fields: Vec::new(),
    });

    fn named() -> Caching {
        Caching::Named(crate::policy::admit::tests::named(crate::rules::caching::Share::Public))
    }

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        map
    }

    const THEN: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
    const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";
    const LATER: &str = "Mon, 09 Sep 2030 01:46:40 GMT";

    #[test]
    fn conditions_on_tags() {
        let check = |etag: &str, lines: &[&str], matches| {
            let stored = Validators::of(&map(&[("etag", etag), ("last-modified", THEN)]));
            let lines: Vec<_> = lines.iter().map(|&line| ("if-none-match", line)).collect();
            let want = if matches { Condition::NotModified } else { Condition::Send };
            assert_eq!(condition(&map(&lines), &stored), want, "{etag} {lines:?}");
        };
        // RFC 9110 §13.1.2
        check("\"a\"", &["\"a\""], true);
        check("\"a\"", &["\"b\""], false);
        check("\"a\"", &["*"], true);
        check("\"a\"", &[" * "], true);
        check("\"a\"", &["\"b\", *"], false); // `*` stands alone or is nothing
        check("\"a\"", &["*", "\"b\""], false);
        check("\"a\"", &["\"b\"", "\"a\""], true); // §5.3: several lines are one list
        check("\"a\"", &["\"x\" ,\t\"a\",\"y\""], true);
        check("\"a\"", &[", ,\"a\","], true); // §5.6.1.2: empty elements
        check("\"a\"", &[""], false);
        check("", &["", "\"\""], false); // no tag is no validator
        check("\"\"", &["\"\""], true); // an empty one is
        // §8.8.3.2: weak comparison, whichever of the two is weak
        check("\"a\"", &["W/\"a\""], true);
        check("W/\"a\"", &["\"a\""], true);
        check("W/\"a\"", &["W/\"a\""], true);
        check("W/\"a\"", &["W/\"b\""], false);
        check("\"a\"", &["w/\"a\""], false); // §8.8.3: case counts
        check("\"a\"", &["\"A\""], false);
        // commas, spaces and obs-text are part of a tag
        check("\"a,b\"", &["\"a,b\""], true);
        check("\"a,b\"", &["\"x\", W/\"a,b\""], true);
        check("\"a,b\"", &["\"a\", \"b\""], false);
        check("\"a b\"", &["\"a b\""], true);
        check("\"\u{e9}\"", &["\"\u{e9}\""], true);
        check("\"a\\\"", &["\"a\\\""], true); // a backslash escapes nothing
        // without quotes, as some say them
        check("a", &["a"], true);
        check("a", &["b, a"], true);
        check("\"a\"", &["a"], false);
        check("a", &["\"a\""], false);
    }

    #[test]
    fn conditions_on_dates() {
        let check = |stored: &[(&'static str, &str)], asked: &[(&'static str, &str)], matches| {
            let want = if matches { Condition::NotModified } else { Condition::Send };
            assert_eq!(condition(&map(asked), &Validators::of(&map(stored))), want, "{stored:?} {asked:?}");
        };
        let modified = &[("last-modified", THEN), ("date", LATER)][..];
        check(modified, &[], false);
        check(modified, &[("if-modified-since", THEN)], true); // RFC 9110 §13.1.3
        check(modified, &[("if-modified-since", LATER)], true);
        check(modified, &[("if-modified-since", BEFORE)], false);
        check(modified, &[("if-modified-since", "yesterday")], false);
        check(modified, &[("if-modified-since", "")], false);
        check(modified, &[("if-modified-since", THEN), ("if-modified-since", LATER)], false); // more than one member
        check(modified, &[("if-none-match", "\"x\""), ("if-modified-since", LATER)], false); // ignored beside it
        check(modified, &[("if-none-match", "*"), ("if-modified-since", BEFORE)], true);
        // RFC 9111 §4.3.2: `Date` stands in for a modification that is not said
        check(&[("date", THEN)], &[("if-modified-since", THEN)], true);
        check(&[("date", THEN)], &[("if-modified-since", BEFORE)], false);
        check(&[("date", THEN), ("last-modified", "never")], &[("if-modified-since", LATER)], false);
        check(&[], &[("if-modified-since", LATER)], false);
    }

    #[test]
    fn which_304_confirms() {
        let check = |stored: &[(&'static str, &str)], said: &[(&'static str, &str)], want| {
            assert_eq!(confirms(&map(said), &Validators::of(&map(stored))), want, "{stored:?} {said:?}");
        };
        let (strong, other, weak) = (("etag", "\"a\""), ("etag", "\"b\""), ("etag", "W/\"a\""));
        let (then, later) = (("last-modified", THEN), ("last-modified", LATER));
        // RFC 9111 §4.3.4: a strong validator must be the very same
        check(&[strong], &[strong], true);
        check(&[strong], &[other], false);
        check(&[weak], &[strong], false);
        check(&[then], &[strong], false);
        check(&[strong, then], &[strong, later], true);
        // a weak one must correspond
        check(&[strong], &[weak], true);
        check(&[weak], &[weak], true);
        check(&[other], &[weak], false);
        check(&[then], &[then], true);
        check(&[then], &[later], false);
        check(&[then], &[("last-modified", "Sunday, 09-Sep-01 01:46:40 GMT")], true);
        check(&[strong], &[then], false);
        // without any it answers what was sent
        check(&[strong], &[], true);
        check(&[then], &[("date", LATER)], true);
        check(&[strong], &[strong, other], false);
        check(&[then], &[("last-modified", "never")], false);
    }

    #[test]
    fn which_head_describes_what_is_stored() {
        let stored = Validators::of(&map(&[("etag", "\"a\""), ("last-modified", THEN)]));
        let check = |said: &[(&'static str, &str)], caching: &Caching, want| {
            assert_eq!(describes(&map(said), &stored, 5, caching), want, "{said:?}");
        };
        for caching in [&LETTER, &named()] {
            // RFC 9111 §4.3.5
            check(&[("etag", "\"a\"")], caching, true);
            check(&[("etag", "\"a\""), ("last-modified", THEN), ("content-length", "5")], caching, true);
            check(&[("etag", "\"b\"")], caching, false);
            check(&[("etag", "W/\"a\"")], caching, false);
            check(&[("etag", "\"a\""), ("last-modified", LATER)], caching, false);
            check(&[("last-modified", "never")], caching, false);
            check(&[("etag", "\"a\""), ("content-length", "6")], caching, false);
            check(&[("content-length", "6")], caching, false);
        }
        check(&[("content-length", "5")], &LETTER, true);
        check(&[], &LETTER, true);
        check(&[("content-length", "5")], &named(), false);
    }

    #[test]
    fn an_update_replaces_the_fields_but_not_those_of_the_body() {
        let stored = map(&[
            ("etag", "\"a\""),
            ("content-length", "5"),
            ("content-encoding", "gzip"),
            ("content-type", "text/css"),
            ("x", "old"),
            ("x", "older"),
            ("y", "kept"),
            ("age", "9"),
        ]);
        let update = map(&[
            ("content-length", "0"),
            ("content-encoding", "br"),
            ("content-range", "bytes 0-0/1"),
            ("content-type", "text/html"),
            ("trailer", "x"),
            ("x", "new"),
            ("z", "1"),
            ("z", "2"),
        ]);
        for (caching, media) in [(LETTER, "text/html"), (named(), "text/css")] {
            let want = map(&[
                ("etag", "\"a\""),
                ("content-length", "5"),
                ("content-encoding", "gzip"),
                ("content-type", media),
                ("x", "new"),
                ("y", "kept"),
                ("z", "1"),
                ("z", "2"),
            ]);
            assert_eq!(merge(&stored, &update, &caching), want);
        }
        assert_eq!(merge(&stored, &map(&[("age", "3")]), &LETTER)["age"], "3");
    }

    #[test]
    fn a_304_does_not_narrow_vary() {
        let merged = merge(&map(&[("vary", "Cookie, Accept-Encoding")]), &map(&[("vary", "Cookie")]), &LETTER);
        assert_eq!(crate::policy::vary::names(&merged).unwrap(), [header::ACCEPT_ENCODING, header::COOKIE]);
    }
}
