//! Which part of an answer is asked for, and beside which.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use crate::coherence::head::as_said;
use crate::entry::head::Head;
use crate::entry::incomplete::Incomplete;
use crate::entry::stored::Entry;
use crate::fields::portion::Portion;
use crate::fields::range::{Ranges, SelectedRanges, Span, select};
use crate::policy::partial::{Strong, join, missing};
use crate::policy::pass::PassReason;

/// What of an answer a fetch is to bring, and what of it is there.
#[derive(Debug, Clone)]
pub struct Extent {
    /// These bytes; all where none are named.
    pub span: Option<Span>,
    /// What is stored.
    pub held: Option<Incomplete>,
}

impl Extent {
    /// All of it, and nothing is there.
    pub const WHOLE: Extent = Extent { span: None, held: None };

    /// Whether it is the origin's plain answer that is asked for.
    pub fn is_whole(&self) -> bool {
        self.range() == Range::Whole
    }

    /// Whether it is asked for beside what is held, on a condition of ours.
    pub fn is_rest(&self) -> bool {
        matches!(self.range(), Range::Rest(_))
    }

    /// For a GET that what is stored does not satisfy. All of it, where that may be stored; else one range, which may.
    pub fn beside(held: Incomplete, request: &HeaderMap, max_object: u64) -> Result<Extent, PassReason> {
        let length = held.portion().length;
        if length <= max_object {
            return Ok(Extent { span: None, held: Some(held) });
        }
        match select(request, &held.entry().fields(), length) {
            SelectedRanges::One(span) if span.length() <= max_object => {
                Ok(Extent { span: Some(span), held: Some(held) })
            }
            SelectedRanges::Whole => Err(PassReason::Uncacheable),
            _ => Err(PassReason::Range),
        }
    }

    /// For a GET of what is too long to be stored whole: one range, which may be.
    pub fn of_too_long(request: &HeaderMap, max_object: u64) -> Result<Extent, PassReason> {
        let span = Ranges::of(request).and_then(|ranges| ranges.one()).filter(|span| span.length() <= max_object);
        match span.filter(|_| !request.contains_key(header::IF_RANGE)) {
            Some(span) => Ok(Extent { span: Some(span), held: None }),
            None => Err(PassReason::Uncacheable),
        }
    }

    /// Which bytes it is to bring, where that is known.
    pub(super) fn wanted(&self) -> Option<Span> {
        let whole = self.held.as_ref().map(|held| Span { first: 0, last: held.portion().length - 1 });
        self.span.or(whole)
    }

    pub(super) fn range(&self) -> Range {
        let held = self.held.as_ref().map(|held| held.portion().span);
        match (self.wanted(), held) {
            (Some(wanted), Some(held)) if missing(wanted, held).is_some_and(|missing| missing != wanted) => {
                Range::Rest(missing(wanted, held).unwrap_or(wanted))
            }
            _ => self.span.map_or(Range::Whole, Range::Span),
        }
    }

    /// Adds to a request what it asks for (RFC 9111 §3.4).
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        let span = match self.range() {
            Range::Whole => return,
            Range::Span(span) | Range::Rest(span) => span,
        };
        let to_end = self.held.as_ref().is_some_and(|held| held.portion().length == span.last + 1);
        let range = match to_end {
            true => format!("bytes={}-", span.first),
            false => format!("bytes={}-{}", span.first, span.last),
        };
        // Digits make a value.
        if let Ok(range) = HeaderValue::from_str(&range) {
            headers.insert(header::RANGE, range);
        }
        let strong = self.held.as_ref().filter(|_| self.range() == Range::Rest(span));
        if let Some(strong) = strong.and_then(|held| Strong::of(&as_said(held.entry()))) {
            headers.insert(header::IF_RANGE, strong.if_range().clone());
        }
    }
}

/// What a part that comes is put beside.
#[derive(Debug, Default)]
pub struct Beside {
    /// Bytes before it, for those who wait for them as well.
    pub ahead: Bytes,
    /// Bytes behind it.
    pub behind: Bytes,
    /// All that is stored.
    pub(super) held: Option<Incomplete>,
}

/// What is kept of an answer that came in parts.
#[derive(Debug)]
pub(super) enum Kept {
    /// All of it.
    Whole(Entry),
    /// What there is.
    Part(Incomplete),
}

impl Beside {
    /// What is kept of an answer when these bytes of it are there: with what is held, as far as that may be so long.
    pub(super) fn stored(&self, head: &Head, part: Portion, bytes: &Bytes, max_object: u64) -> Kept {
        let Portion { span, length } = part;
        let held = self.held.as_ref();
        let joined = held.and_then(|held| join((held.portion().span.first, held.entry().body()), (span.first, bytes)));
        let joined = joined.filter(|(_, joined)| joined.len() as u64 <= max_object);
        let (first, bytes) = joined.unwrap_or_else(|| (span.first, bytes.clone()));
        match bytes.len() as u64 == length {
            true => Kept::Whole(Entry::new(head, bytes)),
            false => Kept::Part(Incomplete::new(head, bytes, first, length)),
        }
    }
}

/// What the origin is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// All of it.
    Whole,
    /// These bytes.
    Span(Span),
    /// These bytes, beside those that are held, if they are of the same.
    Rest(Span),
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    /// The bytes from `first` on, so many of `length`.
    fn held(first: u64, many: usize, length: u64) -> Incomplete {
        let fields = HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("\"a\""))]);
        Incomplete::new(&crate::entry::stored::tests::head(fields), vec![b'h'; many].into(), first, length)
    }

    fn ranged(range: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))])
    }

    /// What is asked for: the range and whether on a condition.
    fn asked(extent: Result<Extent, PassReason>) -> String {
        let extent = match extent {
            Ok(extent) => extent,
            Err(reason) => return reason.as_str().to_owned(),
        };
        let mut headers = HeaderMap::new();
        extent.ask(&mut headers);
        let range = headers.get(header::RANGE).map_or("whole", |range| range.to_str().unwrap());
        match headers.get(header::IF_RANGE) {
            Some(tag) => format!("{range} if {}", tag.to_str().unwrap()),
            None => range.to_owned(),
        }
    }

    #[test]
    fn what_is_asked_for_beside_a_part() {
        for (range, held, want) in [
            // All of it may be stored.
            ("bytes=0-9", held(0, 400, 1000), "bytes=400- if \"a\""),
            ("bytes=0-9", held(600, 400, 1000), "bytes=0-599 if \"a\""),
            ("bytes=0-9", held(100, 400, 1000), "whole"),
            // Only ranges of it may be.
            ("bytes=0-999", held(0, 500, 9 * MIB), "bytes=500-999 if \"a\""),
            ("bytes=0-999", held(500, 9000, 9 * MIB), "bytes=0-499 if \"a\""),
            ("bytes=0-999", held(300, 300, 9 * MIB), "bytes=0-999"),
            ("bytes=0-999", held(1000, 300, 9 * MIB), "bytes=0-999"),
            ("bytes=0-999", held(0, 1000, 9 * MIB), "bytes=0-999"),
            ("bytes=-500", held(0, 1000, 9 * MIB), "bytes=9436684-"),
            ("bytes=0-", held(0, 1000, 9 * MIB), "range"),
            ("bytes=0-9,20-29", held(0, 5, 9 * MIB), "range"),
            ("bytes=9437184-", held(0, 5, 9 * MIB), "range"),
            ("lines=0-9", held(0, 5, 9 * MIB), "remembered-uncacheable"),
        ] {
            assert_eq!(asked(Extent::beside(held.clone(), &ranged(range), MIB)), want, "{range} {:?}", held.portion());
        }
    }

    #[test]
    fn what_is_asked_for_of_what_is_too_long() {
        for (range, want) in [
            ("bytes=0-999", "bytes=0-999"),
            ("bytes=0-1048575", "bytes=0-1048575"),
            ("bytes=0-1048576", "remembered-uncacheable"),
            ("bytes=0-18446744073709551615", "remembered-uncacheable"),
            ("bytes=0-", "remembered-uncacheable"),
            ("bytes=-5", "remembered-uncacheable"),
            ("bytes=0-1,5-6", "remembered-uncacheable"),
        ] {
            assert_eq!(asked(Extent::of_too_long(&ranged(range), MIB)), want, "{range}");
        }
        let mut conditional = ranged("bytes=0-9");
        conditional.insert(header::IF_RANGE, HeaderValue::from_static("\"a\""));
        assert_eq!(asked(Extent::of_too_long(&conditional, MIB)), "remembered-uncacheable");
    }

    #[test]
    fn what_is_stored_beside_a_part() {
        let head = crate::entry::stored::tests::head(HeaderMap::new());
        let slot = |held: Option<Incomplete>, first: u64, many: usize, max| {
            let beside = Beside { held, ..Beside::default() };
            let span = Span { first, last: first + many as u64 - 1 };
            match beside.stored(&head, Portion { span, length: 100 }, &vec![b'n'; many].into(), max) {
                Kept::Whole(entry) => format!("all {}", entry.body().len()),
                Kept::Part(part) => format!("{:?}", part.portion().span),
            }
        };
        let span = |first, last| format!("{:?}", Span { first, last });
        assert_eq!(slot(None, 10, 20, 100), span(10, 29));
        assert_eq!(slot(Some(held(30, 20, 100)), 10, 20, 100), span(10, 49));
        assert_eq!(slot(Some(held(31, 20, 100)), 10, 20, 100), span(10, 29), "a gap");
        assert_eq!(slot(Some(held(30, 20, 100)), 10, 20, 39), span(10, 29), "too long together");
        assert_eq!(slot(Some(held(0, 60, 100)), 50, 50, 100), "all 100");
    }
}
