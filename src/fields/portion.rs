//! Which part of a body there is (RFC 9110 §14.4).

use http::{HeaderMap, header};

use crate::fields::range::Span;

/// Some bytes, and of how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Portion {
    /// These.
    pub span: Span,
    /// How long the whole is.
    pub length: u64,
}

impl Portion {
    /// Whether they are all.
    pub fn is_whole(self) -> bool {
        self.span.length() == self.length
    }
}

/// Which bytes a 206 brings: `Content-Range` (RFC 9110 §14.4), strictly.
pub fn content_range(headers: &HeaderMap) -> Option<Portion> {
    let mut lines = headers.get_all(header::CONTENT_RANGE).iter();
    let line = lines.next().filter(|_| lines.next().is_none())?.to_str().ok()?;
    let (unit, range) = line.trim().split_once(' ')?;
    let (span, length) = range.split_once('/')?;
    let (first, last) = span.split_once('-')?;
    let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<u64>().ok())?;
    let (first, last, length) = (number(first)?, number(last)?, number(length)?);
    let valid = unit.eq_ignore_ascii_case("bytes") && first <= last && last < length;
    valid.then_some(Portion { span: Span { first, last }, length })
}
