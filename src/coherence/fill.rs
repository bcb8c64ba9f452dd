//! The body of an answer, on its way into its spool, and into the store once it is whole.
//!
//! The entry is stored before the end of its body is handed out, so whoever has read all of it finds it stored. An incomplete
//! body is never stored.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, header};

use super::backoff::RefreshEnd;
use super::errand::Errand;
use super::fetch::Fetch;
use super::flight::{Filling, Flight, Landing, TagsKnown};
use crate::coherence::cache::Cache;
use crate::coherence::extent::{Beside, Kept};
use crate::coherence::selected::RefusedSince;
use crate::entry::head::Head;
use crate::entry::purge::Birth;
use crate::entry::stored::Entry;
use crate::ground::failure::{Failure, FailureKind};
use crate::ground::mutants::{Rule, is_off};
use crate::policy::not_stored::NotStored;
use crate::policy::outcome::Stored;
use crate::rules::picker::{Picked, Picker};
use crate::rules::tag_template::{TagSource, TagTemplate};
use crate::store::slots::Slots;

/// A fetch once there is a head.
#[derive(Debug)]
pub struct Fill<S: Slots> {
    fetch: Fetch<S>,
    filling: Filling,
    /// The fields that only the leader gets.
    withheld: HeaderMap,
    /// What later ones learn from it if it is not kept.
    unkept: RefreshEnd,
    beside: Beside,
    /// Reads what the tags want to know of the body, where it may be stored only with them.
    picker: Option<Box<Picker>>,
}

impl<S: Slots> Fill<S> {
    pub(super) fn new(
        fetch: Fetch<S>,
        filling: Filling,
        withheld: HeaderMap,
        unkept: RefreshEnd,
        beside: Beside,
    ) -> Fill<S> {
        let picker = picker(&fetch.errand, &filling);
        let fill = Fill { fetch, filling, withheld, unkept, beside, picker };
        if !fill.is_storable() {
            // Those who wait may have it, nobody later.
            fill.leave();
        }
        fill
    }

    /// The flight that it ends.
    pub fn flight(&self) -> &Arc<Flight> {
        self.fetch.flight()
    }

    /// What it is part of.
    pub fn cache(&self) -> &Arc<Cache<S>> {
        self.fetch.cache()
    }

    /// What is told of it.
    pub fn filling(&self) -> &Filling {
        &self.filling
    }

    /// The fields that only the leader gets (RFC 9111 §5.2.2.4, §5.2.2.7), once.
    pub fn take_withheld(&mut self) -> HeaderMap {
        std::mem::take(&mut self.withheld)
    }

    /// What its body is put between.
    pub fn beside(&self) -> &Beside {
        &self.beside
    }

    /// Whether it may yet be stored.
    pub fn is_storable(&self) -> bool {
        !matches!(self.filling.stored, Stored::No(_))
    }

    /// Tells whoever waits of the head, once.
    pub fn announce(&self) {
        if self.flight().is_waiting() {
            self.flight().land(Landing::Filling(self.filling.clone()));
        }
    }

    /// Keeps a chunk; it comes back where there is no room to keep all: it will not be stored.
    pub fn keep(&mut self, chunk: Bytes, now: Instant) -> Result<(), Bytes> {
        if !self.filling.spool.is_kept() {
            return Err(chunk);
        }
        if let Some(picker) = &mut self.picker {
            picker.read(&chunk);
        }
        self.filling.spool.keep(chunk).map_err(|(chunk, why)| {
            self.give_up(why.into(), now);
            chunk
        })
    }

    /// The body is whole with this last chunk: stores it and tells everybody. It comes back if it cannot be stored: the chunk
    /// is to be passed on, and [`Fill::finish`] follows.
    pub fn complete(mut self, last: &Bytes, now: Instant) -> Option<Fill<S>> {
        match self.store(last, now) {
            Ok(whole) => {
                self.filling.stored = Stored::Yes;
                self.leave();
                self.filling.spool.finish_with(whole);
                self.announce();
                self.fetch.end(RefreshEnd::Kept, now);
                None
            }
            Err(why) => {
                self.give_up(why, now);
                self.announce();
                Some(self)
            }
        }
    }

    /// All of what is not stored was passed on.
    pub fn finish(self, now: Instant) {
        self.filling.spool.finish();
        self.fetch.end(self.unkept, now);
    }

    /// Nothing of it is stored, and whoever reads sees that it broke off. For whoever has not begun to it is a failure, as
    /// long as nothing of the body has come.
    pub fn break_off(mut self, now: Instant) {
        self.leave();
        if self.filling.spool.is_empty() {
            self.fetch.land_failure(Failure::sent(FailureKind::Reset), now);
        }
        if is_off(Rule::Whole) {
            let _ = self.store(&Bytes::new(), now);
        }
        self.filling.spool.fail();
        self.fetch.end(RefreshEnd::Failed, now);
    }

    /// Nobody is left.
    pub fn abandon(self, now: Instant) {
        self.leave();
        self.filling.spool.fail();
        let ended = if self.is_storable() { RefreshEnd::Failed } else { self.unkept };
        self.fetch.end(ended, now);
    }

    /// It will not be stored.
    fn give_up(&mut self, why: NotStored, now: Instant) {
        if self.is_storable() {
            self.filling.stored = Stored::No(why);
            self.picker = None;
            if !matches!(why, NotStored::FillMemory | NotStored::RefusedSince) {
                self.fetch.remember_uncacheable(why, self.filling.status, now);
            }
            self.leave();
        }
    }

    fn leave(&self) {
        self.cache().flights.leave(self.flight());
    }

    /// Puts a whole answer into the store, under its variant's key.
    fn store(&mut self, last: &Bytes, now: Instant) -> Result<Bytes, NotStored> {
        if let Stored::No(why) = self.filling.stored {
            return Err(why);
        }
        let whole = self.filling.spool.whole(last).ok_or(NotStored::TooLarge)?;
        let picked = self.picker.take().and_then(|mut picker| {
            picker.read(last);
            picker.finish()
        });
        let Fill { filling, fetch: Fetch { errand, .. }, beside, .. } = &*self;
        if filling.part.is_none() && self.fetch.posts_itself(&filling.head, &whole) {
            return Err(NotStored::SelfPosting);
        }
        let entry = match filling.part.map(|part| beside.stored(&filling.head, part, &whole, errand.max_object)) {
            None => packed(errand, filling, &whole, picked.as_ref())?,
            Some(Kept::Whole(entry)) => entry,
            Some(Kept::Part(part)) => {
                let kept = self.cache().keep_part(errand.selected(&filling.vary), self.fetch.left, part, now);
                return kept.map(|()| whole).map_err(|RefusedSince| NotStored::RefusedSince);
            }
        };
        #[cfg(feature = "mutants")]
        if is_off(Rule::Checked) {
            entry.birth().take_for_checked(self.cache().log.stamp());
        }
        let kept = self.cache().keep(errand.selected(&filling.vary), self.fetch.left, entry, now);
        kept.map(|()| whole).map_err(|RefusedSince| NotStored::RefusedSince)
    }
}

/// Reads the body as it comes, where it may be stored only with what it holds.
fn picker(errand: &Errand, filling: &Filling) -> Option<Box<Picker>> {
    let is_wanted = filling.tags == TagsKnown::NotAll
        && !matches!(filling.stored, Stored::No(_))
        && !filling.head.headers.contains_key(header::CONTENT_ENCODING);
    let asked = || errand.route.tags.iter().flat_map(TagTemplate::sources).filter_map(TagSource::in_answer);
    is_wanted.then(|| Box::new(Picker::new(asked())))
}

/// The answer as it is stored: with the tags that its body gives.
fn packed(errand: &Errand, filling: &Filling, body: &Bytes, picked: Option<&Picked>) -> Result<Entry, NotStored> {
    let head = &filling.head;
    if filling.tags == TagsKnown::All {
        return Ok(Entry::new(head, body.clone()));
    }
    let mut tags = head.tags.clone();
    let picked = picked.ok_or(NotStored::TagUnknown)?;
    errand.place.add_templates(&errand.route, Some(picked), &mut tags).map_err(|_| NotStored::TagUnknown)?;
    if tags.overflowed() && !is_off(Rule::Bound) {
        return Err(NotStored::TooManyTags);
    }
    let birth = Birth::new(head.birth.born, head.birth.validated);
    let (headers, replaced, validators) = (head.headers.clone(), head.replaced.clone(), head.validators.clone());
    let Head { status, vital, owners, .. } = **head;
    Ok(Entry::new(&Head { status, headers, replaced, validators, vital, birth, tags, owners }, body.clone()))
}
