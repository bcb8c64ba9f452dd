//! Ranges of bytes (RFC 9110 §14): what a client asks for, held against what there is.
//!
//! Strict, since a range may always be ignored (§14.2) and the whole is right for everybody: what is no valid set of ranges,
//! or one of more than [`MAX_RANGES`], gets the whole. Ranges that overlap or touch become one, so that no list brings more
//! of a body than there is of it.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, header};
use smallvec::SmallVec;

use crate::fields::date::dated;

/// The most ranges that one request may list.
pub const MAX_RANGES: usize = 16;

/// Bytes of a body, the first and the last included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The position of the first byte.
    pub first: u64,
    /// That of the last.
    pub last: u64,
}

impl Span {
    /// How many bytes there are; always some.
    pub fn length(self) -> u64 {
        self.last - self.first + 1
    }

    /// Whether two of them have bytes in common or nothing between them.
    pub fn touches(self, other: Span) -> bool {
        self.first <= other.last.saturating_add(1) && other.first <= self.last.saturating_add(1)
    }

    /// Whether it has all bytes of another.
    pub fn holds(self, other: Span) -> bool {
        self.first <= other.first && other.last <= self.last
    }

    /// The bytes that both have.
    pub fn common(self, other: Span) -> Option<Span> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        (first <= last).then_some(Span { first, last })
    }

    /// What holds both, and what is between them.
    pub fn with(self, other: Span) -> Span {
        Span { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// What of a body is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SelectedRanges {
    /// All of it.
    Whole,
    /// This part.
    One(Span),
    /// These parts, in the order in which they were asked for; none touches another.
    Several(Vec<Span>),
    /// Nothing of what was asked for is there.
    Unsatisfiable,
}

/// What a GET with these fields is sent of an answer (200) with these fields and a body of this length: `Range` and `If-Range`
/// (RFC 9110 §13.2.2, step 5).
pub fn select(request: &HeaderMap, stored: &HeaderMap, length: u64) -> SelectedRanges {
    match Ranges::of(request).filter(|_| if_range(request, stored) == IfRange::Holds) {
        Some(ranges) => ranges.within(length),
        None => SelectedRanges::Whole,
    }
}

/// A valid `Range` of bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges(SmallVec<[Spec; 2]>);

/// One of its members (RFC 9110 §14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spec {
    /// From here, to there or to the end.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

impl Ranges {
    /// What a request asks for; `None` where that is the whole.
    pub fn of(request: &HeaderMap) -> Option<Ranges> {
        let mut lines = request.get_all(header::RANGE).iter();
        let line = lines.next().filter(|_| lines.next().is_none())?;
        Ranges::parse(line.as_bytes())
    }

    fn parse(line: &[u8]) -> Option<Ranges> {
        let equals = line.iter().position(|&b| b == b'=')?;
        if !line[..equals].eq_ignore_ascii_case(b"bytes") {
            return None;
        }
        let mut specs = SmallVec::new();
        // Empty members of a list are nothing (§5.6.1.2).
        for member in line[equals + 1..].split(|&b| b == b',').map(trimmed).filter(|member| !member.is_empty()) {
            if specs.len() == MAX_RANGES {
                return None;
            }
            specs.push(Spec::parse(member)?);
        }
        (!specs.is_empty()).then_some(Ranges(specs))
    }

    /// The one range that it is, whatever the length, if it is one from here to there.
    pub fn one(&self) -> Option<Span> {
        match self.0[..] {
            [Spec::From(first, Some(last))] if last < u64::MAX => Some(Span { first, last }),
            _ => None,
        }
    }

    /// What that is of a body of this length.
    pub fn within(&self, length: u64) -> SelectedRanges {
        if length == 0 && self.0.iter().any(|spec| matches!(spec, Spec::Last(1..))) {
            // Satisfiable by §14.1.2, and no `Content-Range` can say so.
            return SelectedRanges::Whole;
        }
        let mut spans: Vec<Span> = Vec::new();
        for mut span in self.0.iter().filter_map(|spec| spec.within(length)) {
            // §15.3.7.2: what is merged into another has its place. One that fills a gap may merge with many.
            let mut place = spans.len();
            while let Some(other) = spans.iter().position(|other| other.touches(span)) {
                span = span.with(spans.remove(other));
                place = place.min(other);
            }
            spans.insert(place.min(spans.len()), span);
        }
        match spans[..] {
            [] => SelectedRanges::Unsatisfiable,
            [one] => SelectedRanges::One(one),
            _ => SelectedRanges::Several(spans),
        }
    }
}

impl Spec {
    fn parse(member: &[u8]) -> Option<Spec> {
        let dash = member.iter().position(|&b| b == b'-')?;
        let (first, last) = (&member[..dash], &member[dash + 1..]);
        match (first, last) {
            ([], last) => Some(Spec::Last(number(last)?)),
            (first, []) => Some(Spec::From(number(first)?, None)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Spec::From(first, Some(last)))
            }
        }
    }

    fn within(self, length: u64) -> Option<Span> {
        let end = length.checked_sub(1)?;
        match self {
            Spec::From(first, _) if first > end => None,
            Spec::From(first, last) => Some(Span { first, last: last.unwrap_or(end).min(end) }),
            Spec::Last(0) => None,
            Spec::Last(many) => Some(Span { first: length.saturating_sub(many), last: end }),
        }
    }
}

/// Digits, however many: no body has so many bytes that the greatest number would not do.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    })
}

/// Less the white space that may stand around a member (§5.6.3).
fn trimmed(member: &[u8]) -> &[u8] {
    let is_text = |b: &u8| !matches!(b, b' ' | b'\t');
    let first = member.iter().position(is_text).unwrap_or(member.len());
    let last = member.iter().rposition(is_text).map_or(first, |last| last + 1);
    &member[first..last]
}

/// What `If-Range` comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfRange {
    /// A part of what is stored may be sent; also without such a condition.
    Holds,
    /// The client has parts of something else: it is sent the whole.
    Fails,
}

/// RFC 9110 §13.1.5: an entity tag by strong comparison; a date if it is exactly the stored one and that is strong.
pub fn if_range(request: &HeaderMap, stored: &HeaderMap) -> IfRange {
    let mut lines = request.get_all(header::IF_RANGE).iter();
    let Some(value) = lines.next() else { return IfRange::Holds };
    let holds = lines.next().is_none()
        && match entity_tag(value) {
            Some(tag) => strong_tag(stored).is_some_and(|stored| stored.as_bytes() == tag),
            None => strong_date(stored).is_some_and(|(_, modified)| date(value) == Some(modified)),
        };
    if holds { IfRange::Holds } else { IfRange::Fails }
}

/// The value in double quotes, of a tag that is not weak (§8.8.3); a weak one is none that could match.
fn entity_tag(value: &HeaderValue) -> Option<&[u8]> {
    let value = value.as_bytes().trim_ascii();
    (value.len() > 1 && value.starts_with(b"\"") && value.ends_with(b"\"")).then_some(value)
}

pub(crate) fn strong_tag(stored: &HeaderMap) -> Option<&HeaderValue> {
    let mut lines = stored.get_all(header::ETAG).iter();
    lines.next().filter(|tag| lines.next().is_none() && entity_tag(tag).is_some())
}

/// §8.8.2.2: after this time it was not changed in the same second in which it was sent.
pub(crate) fn strong_date(stored: &HeaderMap) -> Option<(HeaderValue, SystemTime)> {
    let (text, modified) = dated(stored, header::LAST_MODIFIED)?;
    let (_, sent) = dated(stored, header::DATE)?;
    (sent >= modified.checked_add(Duration::from_secs(1))?).then_some((text, modified))
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let lines = lines.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
        lines.collect()
    }

    /// `whole`, `none`, or the spans.
    fn selected(selected: SelectedRanges) -> String {
        let text = |spans: &[Span]| {
            let spans: Vec<_> = spans.iter().map(|span| format!("{}-{}", span.first, span.last)).collect();
            spans.join(" ")
        };
        match selected {
            SelectedRanges::Whole => "whole".to_owned(),
            SelectedRanges::One(span) => text(&[span]),
            SelectedRanges::Several(spans) => text(&spans),
            SelectedRanges::Unsatisfiable => "none".to_owned(),
        }
    }

    #[test]
    fn ranges_of_ten_bytes() {
        for (range, want) in [
            // §14.1.2
            ("bytes=0-4", "0-4"),
            ("bytes=5-", "5-9"),
            ("bytes=0-", "0-9"),
            ("bytes=9-9", "9-9"),
            ("bytes=8-99", "8-9"),
            ("bytes=-3", "7-9"),
            ("bytes=-30", "0-9"),
            ("bytes=10-", "none"),
            ("bytes=10-20", "none"),
            ("bytes=-0", "none"),
            ("bytes=00-004", "0-4"),
            // Greater than any number.
            ("bytes=0-99999999999999999999999999", "0-9"),
            ("bytes=99999999999999999999999999-", "none"),
            ("bytes=-99999999999999999999999999", "0-9"),
            ("bytes=18446744073709551615-18446744073709551616", "none"),
            // §14.1: units without regard to case; others are not known.
            ("Bytes=0-4", "0-4"),
            ("BYTES=0-4", "0-4"),
            ("lines=0-1", "whole"),
            ("byte=0-1", "whole"),
            // §14.1.1: invalid, so that all of the field is ignored.
            ("bytes=4-2", "whole"),
            ("bytes=0-1,4-2", "whole"),
            ("bytes=x-1", "whole"),
            ("bytes=0-x", "whole"),
            ("bytes=+1-2", "whole"),
            ("bytes=0-1-2", "whole"),
            ("bytes=--1", "whole"),
            ("bytes=-", "whole"),
            ("bytes=3", "whole"),
            ("bytes=", "whole"),
            ("bytes=,", "whole"),
            ("bytes", "whole"),
            ("bytes 0-4", "whole"),
            ("bytes =0-4", "whole"),
            ("bytes=0 -4", "whole"),
            ("", "whole"),
            // §5.6.1: lists.
            ("bytes= 0-1", "0-1"),
            ("bytes=0-1,3-4", "0-1 3-4"),
            ("bytes=0-1 ,\t, 3-4 ,", "0-1 3-4"),
            ("bytes=,0-1", "0-1"),
            // §14.2, §15.3.7.2: as asked for, but for what touches.
            ("bytes=5-6,0-1", "5-6 0-1"),
            ("bytes=0-4,2-6", "0-6"),
            ("bytes=0-1,2-3", "0-3"),
            ("bytes=0-1,8-9,4-5", "0-1 8-9 4-5"),
            ("bytes=8-9,0-1,4-5,2-7", "0-9"),
            ("bytes=9-9,4-5,0-0,1-4", "9-9 0-5"),
            ("bytes=0-,0-,0-", "0-9"),
            ("bytes=0-0,-1", "0-0 9-9"),
            ("bytes=0-1,99-", "0-1"),
            ("bytes=-0,99-", "none"),
        ] {
            assert_eq!(selected(select(&map(&[("range", range)]), &map(&[]), 10)), want, "{range}");
        }
        let two = map(&[("range", "bytes=0-1"), ("range", "bytes=3-4")]);
        assert_eq!(select(&two, &map(&[]), 10), SelectedRanges::Whole, "two lines are no valid field");
        assert_eq!(select(&map(&[]), &map(&[]), 10), SelectedRanges::Whole);
    }

    #[test]
    fn ranges_of_nothing() {
        for (range, want) in [("bytes=0-", "none"), ("bytes=0-0", "none"), ("bytes=-5", "whole"), ("bytes=-0", "none")]
        {
            assert_eq!(selected(select(&map(&[("range", range)]), &map(&[]), 0)), want, "{range}");
        }
    }

    #[test]
    fn long_lists_get_the_whole() {
        let list = |many: u64| {
            let members: Vec<_> = (0..many).map(|n| format!("{}-{}", n * 3, n * 3)).collect();
            let value = HeaderValue::from_str(&format!("bytes={}", members.join(","))).unwrap();
            HeaderMap::from_iter([(header::RANGE, value)])
        };
        assert!(matches!(select(&list(16), &map(&[]), 1000), SelectedRanges::Several(spans) if spans.len() == 16));
        assert_eq!(select(&list(17), &map(&[]), 1000), SelectedRanges::Whole);
        assert_eq!(select(&list(100_000), &map(&[]), 1000), SelectedRanges::Whole);
    }

    #[test]
    fn no_list_brings_more_than_there_is() {
        let numbers = [0, 1, 2, 3, 5, 8, 9, 10, 20];
        let member = |n: usize| {
            let (a, b) = (numbers[n % 9], numbers[n / 9 % 9]);
            if a <= b { format!("{a}-{b}") } else { format!("-{b}") }
        };
        for n in 0..81 * 81 {
            let list = format!("bytes={},{},{}", member(n % 81), member(n / 81), member(n * 7));
            let Some(ranges) = Ranges::parse(list.as_bytes()) else { panic!("{list}") };
            let spans = match ranges.within(10) {
                SelectedRanges::One(one) => vec![one],
                SelectedRanges::Several(spans) => spans,
                SelectedRanges::Whole | SelectedRanges::Unsatisfiable => continue,
            };
            assert!(spans.iter().map(|span| span.length()).sum::<u64>() <= 10, "{list}: {spans:?}");
            let apart = |a: usize| spans[a + 1..].iter().all(|b| !spans[a].touches(*b));
            assert!((0..spans.len()).all(apart), "{list}: {spans:?}");
        }
    }

    #[test]
    fn if_range_compares_strongly() {
        const MODIFIED: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
        let strong = map(&[("etag", "\"a\""), ("last-modified", MODIFIED), ("date", "Sun, 09 Sep 2001 01:46:41 GMT")]);
        let weak = map(&[("etag", "W/\"a\""), ("last-modified", MODIFIED), ("date", MODIFIED)]);
        let dateless = map(&[("last-modified", MODIFIED)]);
        for (value, stored, want) in [
            ("\"a\"", &strong, IfRange::Holds),
            ("\"b\"", &strong, IfRange::Fails),
            ("W/\"a\"", &strong, IfRange::Fails), // §8.8.3.2
            ("W/\"a\"", &weak, IfRange::Fails),
            ("\"a\"", &weak, IfRange::Fails),
            ("\"a\"", &dateless, IfRange::Fails),
            ("\"a\", \"b\"", &strong, IfRange::Fails),
            ("*", &strong, IfRange::Fails),
            ("\"", &strong, IfRange::Fails),
            ("", &strong, IfRange::Fails),
            (MODIFIED, &strong, IfRange::Holds),
            ("Sunday, 09-Sep-01 01:46:40 GMT", &strong, IfRange::Holds), // the same moment
            ("Sun, 09 Sep 2001 01:46:39 GMT", &strong, IfRange::Fails),
            ("Sun, 09 Sep 2001 01:46:41 GMT", &strong, IfRange::Fails), // exact, not "not after"
            (MODIFIED, &weak, IfRange::Fails),                          // §8.8.2.2
            (MODIFIED, &dateless, IfRange::Fails),
        ] {
            let request = map(&[("range", "bytes=0-1"), ("if-range", value)]);
            assert_eq!(if_range(&request, stored), want, "{value} {stored:?}");
            let whole = select(&request, stored, 10) == SelectedRanges::Whole;
            assert_eq!(whole, want == IfRange::Fails, "{value} {stored:?}");
        }
        let twice = map(&[("if-range", "\"a\""), ("if-range", "\"a\"")]);
        assert_eq!(if_range(&twice, &strong), IfRange::Fails);
    }
}
