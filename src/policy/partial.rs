//! Parts of an answer that fit together (RFC 9111 §3.3, §3.4): what a 206 is a part of, what is missing beside a part, and
//! when two are parts of the same.
//!
//! A part without a strong validator fits nothing, and a 206 that does not say of how many bytes it is a part is part of
//! nothing that is known.

use std::time::SystemTime;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};

use crate::fields::range::{Span, strong_date, strong_tag};

/// What tells that two parts are of the same bytes (RFC 9110 §8.8.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Strong {
    /// An entity tag that is not weak.
    Tag(HeaderValue),
    /// A date, as it was sent and read, for what has no entity tag (§8.8.2.2).
    Date(HeaderValue, SystemTime),
}

impl Strong {
    /// That of an answer, if it has one. A weak tag tells that the date is not to be relied on.
    pub fn of(headers: &HeaderMap) -> Option<Strong> {
        if headers.contains_key(header::ETAG) {
            return strong_tag(headers).cloned().map(Strong::Tag);
        }
        strong_date(headers).map(|(text, at)| Strong::Date(text, at))
    }

    /// The value of `If-Range` that asks for more of the same.
    pub fn if_range(&self) -> &HeaderValue {
        match self {
            Strong::Tag(tag) => tag,
            Strong::Date(text, _) => text,
        }
    }

    /// Whether what has these fields is of the same bytes (RFC 9111 §3.4).
    pub fn is_of(&self, headers: &HeaderMap) -> bool {
        match (self, Strong::of(headers)) {
            (Strong::Tag(one), Some(Strong::Tag(other))) => *one == other,
            (Strong::Date(_, one), Some(Strong::Date(_, other))) => *one == other,
            _ => false,
        }
    }
}

/// What to ask for in order to have all of `wanted` when `held` is there: one span always, so that it may hold some bytes
/// again. `None`: nothing is missing.
pub fn missing(wanted: Span, held: Span) -> Option<Span> {
    let begins_in = held.first <= wanted.first && wanted.first <= held.last;
    let ends_in = held.first <= wanted.last && wanted.last <= held.last;
    match (begins_in, ends_in) {
        (true, true) => None,
        (true, false) => Some(Span { first: held.last + 1, ..wanted }),
        (false, true) => Some(Span { last: held.first - 1, ..wanted }),
        (false, false) => Some(wanted),
    }
}

/// The bytes of two parts of the same, each with the position of its first, and where they begin. `None`: there is a gap
/// between them.
pub fn join(held: (u64, &Bytes), new: (u64, &Bytes)) -> Option<(u64, Bytes)> {
    let ((first, before), (from, bytes)) = (held, new);
    let (end, to) = (first + before.len() as u64, from + bytes.len() as u64);
    if from > end || first > to {
        return None;
    }
    let ahead = before.slice(..from.saturating_sub(first).min(before.len() as u64) as usize);
    let behind = before.slice(to.saturating_sub(first).min(before.len() as u64) as usize..);
    let mut joined = BytesMut::with_capacity(ahead.len() + bytes.len() + behind.len());
    [&ahead, bytes, &behind].iter().for_each(|piece| joined.extend_from_slice(piece));
    Some((first.min(from), joined.freeze()))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::fields::portion::{Portion, content_range};

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        lines.collect()
    }

    #[test]
    fn what_a_206_is_a_part_of() {
        for (line, want) in [
            // RFC 9110 §14.4
            ("bytes 0-4/10", Some((0, 4, 10))),
            ("Bytes 5-9/10", Some((5, 9, 10))),
            ("bytes 9-9/10", Some((9, 9, 10))),
            ("bytes 0-4/*", None),
            ("bytes */10", None),
            ("bytes 0-10/10", None),
            ("bytes 4-0/10", None),
            ("bytes=0-4/10", None),
            ("lines 0-4/10", None),
            ("bytes 0-4/+10", None),
            ("bytes 0-4", None),
            ("bytes -4/10", None),
            ("bytes 0-99999999999999999999/999999999999999999999", None),
        ] {
            let want = want.map(|(first, last, length)| Portion { span: Span { first, last }, length });
            assert_eq!(content_range(&map(&[("content-range", line)])), want, "{line}");
        }
        let mut twice = map(&[("content-range", "bytes 0-4/10")]);
        twice.append("content-range", HeaderValue::from_static("bytes 0-4/10"));
        assert_eq!(content_range(&twice), None);
    }

    #[test]
    fn only_strong_validators_join() {
        const MODIFIED: (&str, &str) = ("last-modified", "Sun, 09 Sep 2001 01:46:40 GMT");
        const AT_ONCE: (&str, &str) = ("date", "Sun, 09 Sep 2001 01:46:40 GMT");
        const LATER: (&str, &str) = ("date", "Sun, 09 Sep 2001 01:46:41 GMT");
        let later_change = ("last-modified", "Sun, 09 Sep 2001 01:46:39 GMT");
        for (stored, new, want) in [
            (&[("etag", "\"a\"")][..], &[("etag", "\"a\"")][..], true),
            (&[("etag", "\"a\"")], &[("etag", "\"b\"")], false),
            (&[("etag", "W/\"a\"")], &[("etag", "W/\"a\"")], false),
            (&[("etag", "\"a\"")], &[("etag", "W/\"a\"")], false),
            (&[("etag", "\"a\"")], &[], false),
            (&[("etag", "\"a\"")], &[MODIFIED, LATER], false),
            (&[MODIFIED, LATER], &[MODIFIED, LATER], true),
            (&[MODIFIED, LATER], &[later_change, LATER], false),
            (&[MODIFIED, AT_ONCE], &[MODIFIED, AT_ONCE], false), // RFC 9110 §8.8.2.2
            (&[MODIFIED, LATER, ("etag", "W/\"a\"")], &[MODIFIED, LATER, ("etag", "W/\"b\"")], false),
            (&[], &[], false),
        ] {
            let strong = Strong::of(&map(stored));
            assert_eq!(strong.is_some_and(|strong| strong.is_of(&map(new))), want, "{stored:?} {new:?}");
        }
    }

    #[test]
    fn what_is_missing() {
        let span = |(first, last)| Span { first, last };
        for (wanted, held, want) in [
            ((0, 9), (0, 4), Some((5, 9))),
            ((0, 9), (5, 9), Some((0, 4))),
            ((2, 7), (0, 4), Some((5, 7))),
            ((2, 7), (4, 20), Some((2, 3))),
            ((2, 7), (2, 7), None),
            ((2, 7), (0, 9), None),
            ((0, 9), (3, 5), Some((0, 9))), // two gaps: one request
            ((0, 4), (5, 9), Some((0, 4))),
            ((5, 9), (0, 4), Some((5, 9))),
        ] {
            assert_eq!(missing(span(wanted), span(held)), want.map(span), "{wanted:?} {held:?}");
        }
    }

    #[test]
    fn parts_join_to_what_they_are_parts_of() {
        let whole = b"0123456789";
        let part = |a: usize, b: usize| (a as u64, Bytes::copy_from_slice(&whole[a..b]));
        for (a, b, c, d) in (0..10_000).map(|n| (n / 1000, n / 100 % 10, n / 10 % 10, n % 10)) {
            if a >= b || c >= d {
                continue;
            }
            let ((first, one), (from, other)) = (part(a, b), part(c, d));
            let joined = join((first, &one), (from, &other));
            let want = (a.max(c) <= b.min(d)).then(|| part(a.min(c), b.max(d)));
            assert_eq!(joined, want, "{a}..{b} {c}..{d}");
        }
    }
}
