//! A request is there: what is stored for it, and whether that may be used.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderName;

use super::errand::Asks;
use crate::coherence::cache::Cache;
use crate::entry::head::Credentialed;
use crate::entry::incomplete::Incomplete;
use crate::entry::key::{KeyBuf, Partition};
use crate::entry::slot::Slot;
use crate::entry::stored::Entry;
use crate::fields::range::Span;
use crate::ground::mutants::{Rule, is_off};
use crate::policy::outcome::{Forward, Outcome, StaleBecause};
use crate::policy::pass::PassReason;
use crate::policy::plan::{Lookup, Permission};
use crate::policy::reuse::{Freshness, Reuse, RevalidateReason, UnusableReason, reuse};
use crate::store::slots::Slots;

/// What the store has for a request.
#[derive(Debug)]
pub enum Found {
    /// This, to be served as it is.
    Usable(Entry, Freshness, Outcome, Refresh),
    /// A part of the answer, to be served as it is where it is fresh and is all that is asked for; and why the origin must be
    /// asked where it is not.
    Part(Incomplete, Option<Freshness>, Forward),
    /// Nothing, since the answer is too long.
    TooLong,
    /// This or nothing, and why the origin must be asked.
    Ask(Option<Entry>, Forward),
}

/// Whether a served entry is to be fetched anew behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refresh {
    /// It is.
    Behind,
    /// It is fresh.
    No,
}

impl Found {
    /// The same for whoever is still to be let see it: they are told the same, whatever is there.
    pub fn once_let_see(self) -> Found {
        let why = Forward::Stale(RevalidateReason::Access);
        match self {
            Found::Usable(entry, ..) => Found::Ask(Some(entry), why),
            Found::Ask(base, _) => Found::Ask(base, why),
            Found::Part(part, ..) => Found::Part(part, None, why),
            Found::TooLong => Found::TooLong,
        }
    }
}

/// Where in the store a request's answer is.
#[derive(Debug)]
pub struct Spot<'a> {
    lookup: &'a Lookup,
    /// The headers that the origin's `Vary` named here, and the key with their values.
    variant: Option<(Arc<[HeaderName]>, KeyBuf)>,
}

impl Spot<'_> {
    /// The key of the variant, or the primary key while none is known.
    pub fn key(&self) -> &[u8] {
        self.variant.as_ref().map_or(&self.lookup.key, |(_, key)| key)
    }

    /// What is looked for.
    pub fn lookup(&self) -> &Lookup {
        self.lookup
    }

    /// Whether what is there may be used for it.
    pub fn permission(&self) -> &Permission {
        &self.lookup.permission
    }

    /// The request headers by which answers differ here, as far as is known.
    pub fn vary(&self) -> &[HeaderName] {
        self.variant.as_ref().map_or(&[], |(names, _)| names)
    }

    /// Who shares a flight: who asks for the same. Requests with unkeyed credentials never share one with those without. What
    /// the origin lets one see says nothing about another: nobody follows who is `asking` but the same principal.
    pub fn flight_key(&self, asks: Asks, asking: Option<&[u8; 32]>) -> KeyBuf {
        let mut key = KeyBuf::from_slice(self.key());
        if let Partition::Principal(digest) = &self.lookup.partition
            && is_off(Rule::FlightPartition)
        {
            // Behind the fingerprint and the kind of partition.
            key.drain(9..9 + digest.len());
        }
        match self.lookup.credentialed {
            Credentialed::No => {}
            Credentialed::Authorization => key.push(b'A'),
            Credentialed::Otherwise => key.push(b'C'),
        }
        if let Some(digest) = asking {
            key.push(b'P');
            key.extend_from_slice(digest);
        }
        match asks {
            Asks::Whole => {}
            Asks::Head => key.push(b'H'),
            Asks::Span(Span { first, last }) => {
                key.push(b'R');
                key.extend_from_slice(&first.to_le_bytes());
                key.extend_from_slice(&last.to_le_bytes());
            }
        }
        key
    }
}

impl<S: Slots> Cache<S> {
    /// Looks for what is stored. `variant` makes the key by the headers that an answer's `Vary` named: of
    /// those that match, the newest is the one (RFC 9111 §4.1).
    pub fn find<'a>(
        &self,
        lookup: &'a Lookup,
        variant: impl FnMut(&[HeaderName]) -> KeyBuf,
    ) -> (Spot<'a>, Option<Slot>) {
        match self.memory.get(&lookup.key) {
            Some(Slot::Variants(variants)) => {
                let (names, key) = variants.find(variant);
                let slot = self.memory.get(&key);
                (Spot { lookup, variant: Some((names, key)) }, slot)
            }
            slot => (Spot { lookup, variant: None }, slot),
        }
    }

    /// The second question, for what was found. `Err`: the request is to be passed, for this reason.
    pub fn judge(&self, slot: Option<Slot>, spot: &Spot<'_>, now: Instant) -> Result<Found, PassReason> {
        let lookup = spot.lookup;
        let miss = if spot.vary().is_empty() { Forward::Miss } else { Forward::VaryMiss };
        let entry = match slot {
            Some(Slot::Entry(entry)) => entry,
            Some(Slot::Incomplete(part)) => return self.judge_part(part, lookup, now),
            Some(Slot::Uncacheable(until)) if now < until => return Err(PassReason::Uncacheable),
            Some(Slot::TooLong(until)) if now < until => return Ok(Found::TooLong),
            _ => {
                self.check_credentialed(spot, now)?;
                return Ok(Found::Ask(None, miss));
            }
        };
        let standing = self.log.check(entry.birth(), &entry);
        Ok(match reuse(&entry.vital(), standing, &lookup.directives, lookup.credentialed, now) {
            Reuse::Fresh(freshness) => Found::Usable(entry, freshness, Outcome::Hit(freshness), Refresh::No),
            Reuse::StaleWhileRevalidate(freshness) => {
                let outcome = Outcome::Stale(freshness, StaleBecause::Revalidating);
                Found::Usable(entry, freshness, outcome, Refresh::Behind)
            }
            Reuse::Revalidate(why) => Found::Ask(Some(entry), Forward::Stale(why)),
            // Others may go on using it; this one's credentials speak to the origin themselves.
            Reuse::Unusable(UnusableReason::Credentials) => return Err(PassReason::Credentials),
            Reuse::Unusable(why) => Found::Ask(None, Forward::Unusable(why)),
        })
    }

    /// The same for a part. One that is stale is asked about with what is missing.
    fn judge_part(&self, part: Incomplete, lookup: &Lookup, now: Instant) -> Result<Found, PassReason> {
        let entry = part.entry();
        let standing = self.log.check(entry.birth(), entry);
        Ok(match reuse(&entry.vital(), standing, &lookup.directives, lookup.credentialed, now) {
            Reuse::Fresh(freshness) => Found::Part(part, Some(freshness), Forward::Partial),
            Reuse::StaleWhileRevalidate(_) => Found::Part(part, None, Forward::Stale(RevalidateReason::Stale)),
            Reuse::Revalidate(why) => Found::Part(part, None, Forward::Stale(why)),
            Reuse::Unusable(UnusableReason::Credentials) => return Err(PassReason::Credentials),
            Reuse::Unusable(why) => Found::Ask(None, Forward::Unusable(why)),
        })
    }

    /// What is remembered of requests with credentials is kept apart from what holds for those without.
    fn check_credentialed(&self, spot: &Spot<'_>, now: Instant) -> Result<(), PassReason> {
        if spot.lookup.credentialed == Credentialed::No {
            return Ok(());
        }
        match self.memory.get(&spot.flight_key(Asks::Whole, None)) {
            Some(Slot::Uncacheable(until) | Slot::TooLong(until)) if now < until => Err(PassReason::Uncacheable),
            _ => Ok(()),
        }
    }
}
