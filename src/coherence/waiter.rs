//! A flight has landed: whether what it brought is for one of those who waited, judged for each of them anew.

use std::borrow::Cow;
use std::time::Instant;

use http::{HeaderMap, HeaderName, header};

use super::flight::{Demand, Filling, FlightTurn, TagsKnown};
use crate::coherence::cache::Cache;
use crate::entry::head::Credentialed;
use crate::entry::key::KeyBuf;
use crate::entry::purge::{Stamp, Standing};
use crate::entry::stored::Entry;
use crate::entry::tag::{TagSet, Tagged};
use crate::fields::directives::RequestDirectives;
use crate::ground::mutants::{Rule, is_off};
use crate::policy::outcome::Stored;
use crate::policy::pass::PassReason;
use crate::policy::reuse::{Reuse, UnusableReason, reuse};
use crate::policy::vary;
use crate::rules::canonical::{self, Serves};
use crate::store::slots::Slots;

/// A request before what its flight brought.
#[derive(Debug, Clone, Copy)]
pub struct Waiter {
    /// Where the purge log stood when it was complete.
    pub arrived: Stamp,
    /// Whether it shows credentials that are no part of the key.
    pub credentialed: Credentialed,
    /// What it demanded of the flight.
    pub demand: Demand,
}

/// What to do where it may not have what landed.
#[derive(Debug, Clone, Copy)]
pub enum Instead {
    /// Look again, and demand this of the next flight.
    Again(Demand),
    /// Pass it.
    Pass(PassReason),
}

impl Waiter {
    /// Nothing that left before it asked.
    fn younger(&self) -> Instead {
        Instead::Again(Demand { born: Some(self.arrived), ..self.demand })
    }
}

/// Whether what is coming is its leader's alone: what is given to nobody later may be a ban, or the end of a session. Only where a
/// second one in a row says that the origin is ill are all told so.
pub fn is_its_leaders(filling: &Filling, turn: FlightTurn) -> bool {
    let is_passing = matches!(filling.stored, Stored::No(why) if why.is_passing());
    let is_ill = filling.status.is_server_error() && turn == FlightTurn::Second;
    is_passing && !is_ill && !is_off(Rule::RefusalAlone)
}

/// The fields of a request by which an answer to it may differ, as its `Vary` says; less those of which a fetch that leaves them out
/// brings what the client can have all the same: no coding, and what is made for those who show nothing of what is ignored.
pub fn varies_by(asked: &HeaderMap, answer: &HeaderMap) -> Vec<HeaderName> {
    let mut names = vary::names(answer).unwrap_or_else(|_| asked.keys().cloned().collect());
    // Absent, `Accept` is sent all the same: anything.
    let settled = [header::ACCEPT, header::ACCEPT_ENCODING, header::COOKIE, header::AUTHORIZATION];
    names.retain(|name| !settled.contains(name) && !is_of_the_hop(name));
    names
}

/// With `Vary: *` any field may matter, but not these, which a fetch has of its own.
fn is_of_the_hop(name: &HeaderName) -> bool {
    [header::HOST, header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::CACHE_CONTROL, header::PRAGMA]
        .contains(name)
}

/// Whether a fetch left out any of these fields of a request. Then an answer that may differ by them is not the one to that
/// request, even if nobody else's.
pub fn leaves_out(asked: &HeaderMap, sent: &HeaderMap, names: &[HeaderName], serves: &Serves) -> bool {
    names.iter().any(|name| canonical::field(asked, name, serves) != canonical::field(sent, name, serves))
}

impl<S: Slots> Cache<S> {
    /// An answer that is still coming, of a flight born at `born` (purge rule 7); some of it may be older (rule 9). `variant` makes the key by what the answer varies by.
    pub fn may_follow(
        &self,
        waiter: &Waiter,
        born: Stamp,
        filling: &Filling,
        variant: impl FnOnce(&[HeaderName]) -> KeyBuf,
    ) -> Result<(), Instead> {
        let (born, arrived) = (born.min(filling.head.birth.born), waiter.arrived);
        if !filling.vary.is_empty() && variant(&filling.vary).as_slice() != &*filling.variant {
            return Err(match filling.stored {
                // Nothing is remembered that would lead to the right one.
                Stored::No(_) => Instead::Pass(PassReason::Uncacheable),
                Stored::Yes | Stored::IfItFits => Instead::Again(waiter.demand),
            });
        }
        let may_follow = self.log.may_follow(born, arrived, &judged_by(filling))
            && match filling.tags {
                TagsKnown::All => true,
                TagsKnown::NotAll => self.log.may_follow_untagged(born, arrived),
            };
        if may_follow || is_off(Rule::Followers) { Ok(()) } else { Err(waiter.younger()) }
    }

    /// A whole entry that a flight ended with. It has just been confirmed, or it stands in: its lifetime was judged there.
    pub fn may_have(&self, waiter: &Waiter, entry: &Entry, now: Instant) -> Result<(), Instead> {
        let standing = match is_off(Rule::Rescue) {
            true => Standing::Good,
            false if entry.is_ended() => Standing::Dead,
            false => self.log.check(entry.birth(), entry),
        };
        match reuse(&entry.vital(), standing, &RequestDirectives::default(), waiter.credentialed, now) {
            Reuse::Unusable(UnusableReason::Credentials) => Err(Instead::Pass(PassReason::Credentials)),
            Reuse::Unusable(UnusableReason::Purged) => Err(waiter.younger()),
            _ => Ok(()),
        }
    }
}

/// The tags by which followers are judged: all that are known.
fn judged_by(filling: &Filling) -> Cow<'_, TagSet> {
    // Those of its URL come first.
    const OF_ITS_URL: usize = 9;
    match is_off(Rule::FollowersTags) {
        true => Cow::Owned(filling.head.tags.tag_hashes().take(OF_ITS_URL).collect()),
        false => Cow::Borrowed(&filling.head.tags),
    }
}
