//! Parts of answers (RFC 9111 §3.3, §3.4): what is asked of the origin where a part is stored, and what is made of a 206.
//!
//! Parts are put together only where both have the same strong validator. A hard-purged part is put beside nothing, checked
//! again when the other is there (purge rule 8); what is put together is as old as the older (rule 9) and has the tags of
//! both.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::backoff::RefreshEnd;
use super::errand::Arrived;
use super::fetch::{Fetch, Heard};
use super::fill::Fill;
use super::flight::{Filling, TagsKnown};
use super::head::as_said;
use crate::body::ending::Ending;
use crate::coherence::extent::{Beside, Range};
use crate::entry::head::Head;
use crate::entry::incomplete::Incomplete;
use crate::fields::portion::{Portion, content_range};
use crate::fields::range::Span;
use crate::ground::clock::Now;
use crate::policy::admit::Admit;
use crate::policy::not_stored::NotStored;
use crate::policy::outcome::Stored;
use crate::policy::partial::Strong;
use crate::store::slots::Slots;

/// A part that is there, of the same as one that comes.
struct Joined {
    /// With the fields of both.
    head: Head,
    vary: Arc<[HeaderName]>,
    held: Incomplete,
}

impl<S: Slots> Fetch<S> {
    /// The head of a 206 is there, or that of a 416.
    pub(super) fn heard_part(mut self, arrived: Arrived, unkept: RefreshEnd, now: Now) -> Heard<S> {
        let (range, wanted) = (self.errand.extent.range(), self.errand.extent.wanted());
        let held = self.errand.extent.held.take();
        let is_part = arrived.status == StatusCode::PARTIAL_CONTENT;
        let brought = content_range(&arrived.headers)
            .filter(|brought| is_part && arrived.ending == Ending::Length(brought.span.length()));
        let Some(brought) = brought else {
            return match range {
                // What is held is a part of nothing that is there now: asked for without it.
                Range::Rest(_) => Heard::Again(self),
                Range::Whole | Range::Span(_) => self.private(arrived, NotStored::Partial, unkept),
            };
        };
        match held.and_then(|held| self.joined(held, brought, &arrived, now)) {
            None => self.receive_part(arrived, brought, unkept, now),
            Some(joined) => {
                let wanted = wanted.filter(|_| range == Range::Rest(brought.span));
                self.fill_part(joined, brought, wanted.unwrap_or(brought.span), unkept)
            }
        }
    }

    /// Whether a part that comes can be put beside what is held: the same strong validator, and no gap.
    fn joined(&self, held: Incomplete, brought: Portion, arrived: &Arrived, now: Now) -> Option<Joined> {
        let before = held.portion();
        let strong = Strong::of(&as_said(held.entry()))?;
        let fits = before.length == brought.length && before.span.touches(brought.span);
        if !fits || !strong.is_of(&arrived.headers) {
            return None;
        }
        let (head, vary) = self.merged_head(held.entry(), arrived.headers.clone(), arrived.delay, now)?;
        Some(Joined { head, vary, held })
    }

    /// Fills these bytes, some of which are held.
    fn fill_part(self, joined: Joined, brought: Portion, span: Span, unkept: RefreshEnd) -> Heard<S> {
        let Joined { head, vary, held } = joined;
        let part = Some(Portion { span, ..brought }).filter(|part| !part.is_whole());
        let known = self.errand.tags_known();
        let storing = match (part, known) {
            (Some(_), TagsKnown::NotAll) => Err(NotStored::TagUnknown),
            _ => Ok(()),
        };
        let (spool, stored) = self.spool(Ending::Length(span.length()), storing);
        let variant = if vary.is_empty() { self.errand.primary.clone() } else { self.errand.spot.clone() };
        let (head, status) = (head.into(), StatusCode::PARTIAL_CONTENT);
        let filling = Filling { head, spool, variant, vary, tags: known, stored, part, status };
        let ahead = brought.span.first.checked_sub(1).map(|last| Span { last, ..span });
        let behind = Span { first: brought.span.last + 1, ..span };
        let slice = |span: Span| if span.first <= span.last { held.slice(span) } else { Bytes::new() };
        let (ahead, behind) = (ahead.map(slice).unwrap_or_default(), slice(behind));
        let beside = Beside { ahead, behind, held: Some(held) };
        Heard::Fill(Fill::new(self, filling, HeaderMap::new(), unkept, beside))
    }

    /// Judges a part by itself, as the whole would be judged. One without a strong validator could be put beside nothing.
    fn receive_part(self, arrived: Arrived, brought: Portion, unkept: RefreshEnd, now: Now) -> Heard<S> {
        let mut headers = arrived.headers.clone();
        headers.remove(header::CONTENT_RANGE);
        let plain = Arrived { status: StatusCode::OK, headers, ..arrived };
        let part = Some(brought).filter(|brought| !brought.is_whole());
        let why = match self.errand.judge(&plain, now) {
            Admit::Store(terms) if part.is_none() || Strong::of(&plain.headers).is_some() => {
                let (filling, withheld) = self.filling(plain, terms, Ok(()), now);
                let stored = match (part, filling.tags) {
                    // Those that come from the body do not come from a part of it.
                    (Some(_), TagsKnown::NotAll) => Stored::No(NotStored::TagUnknown),
                    _ => filling.stored,
                };
                let filling = Filling { part, stored, status: StatusCode::PARTIAL_CONTENT, ..filling };
                return Heard::Fill(Fill::new(self, filling, withheld, unkept, Beside::default()));
            }
            Admit::Store(_) => NotStored::Partial,
            Admit::Discard(why) => why,
            Admit::RememberUncacheable(why) => {
                self.remember_uncacheable(why, plain.status, now.instant);
                why
            }
        };
        let (status, headers) = (StatusCode::PARTIAL_CONTENT, arrived.headers);
        self.private(Arrived { status, headers, ..plain }, why, unkept)
    }
}
