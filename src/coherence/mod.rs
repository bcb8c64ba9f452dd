//! What is known of answers and how it changes: keys, slots, flights, epochs and refreshes, as steps without I/O.
//!
//! The proxy does the waiting and calls these; `tests/simulate` calls the very same in every order that a seed can think of.
//! So a step takes what it needs as an argument: the time, what came from the origin, who asks. None of them waits.
//!
//! | step | when | decides |
//! |---|---|---|
//! | [`Cache::find`], [`Cache::judge`] | a request is there | what is stored for it, and whether that may be used |
//! | [`Cache::board`], [`Cache::board_refresh`] | nothing may be used, or it is stale | who fetches, who waits |
//! | [`fetch::Fetch`] | the origin is asked, and answers | conditions, 304, what stands in, whose the answer is |
//! | [`fill::Fill`] | the body comes | what of it is stored, and what is told to whom |
//! | [`extent::Extent`] | a part is stored | what of the rest is asked for |
//! | [`Cache::may_follow`], [`Cache::may_have`] | a flight has landed | whether it is for this request |
//!
//! What purges say is [`crate::entry::purge`]'s, whose rules are referred to by number.

pub mod backoff;
pub mod cache;
pub mod errand;
pub mod extent;
pub mod fetch;
pub mod fill;
pub mod find;
pub mod flight;
pub mod head;
mod merge;
pub mod parts;
pub mod refused;
mod renew;
pub mod selected;
pub mod tags;
pub mod variants;
pub mod waiter;

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use self::errand::Asks;
use self::find::Spot;
use self::flight::{Demand, Departure, Filling, Flight, FlightTurn, Joined, Landing, Suits, TagsKnown, Takeoff};
use crate::coherence::cache::Cache;
use crate::ground::mutants::{Rule, is_off};
use crate::policy::reuse::{Reuse, reuse};
use crate::store::slots::Slots;

/// The most refreshes that nobody waits for, at once.
pub const MAX_REFRESHES: usize = 64;

/// A request that is to wait for a flight.
#[derive(Debug, Clone, Copy)]
pub struct Passenger<'a> {
    /// Where its answer is looked for.
    pub spot: &'a Spot<'a>,
    /// What is to be asked for.
    pub asks: Asks,
    /// Under which digest the origin is asked whether it may have the answer, where that is asked.
    pub asking: Option<&'a [u8; 32]>,
    /// What it demands of the flight.
    pub demand: Demand,
    /// One that it has seen fail.
    pub failed: Option<&'a Flight>,
    /// Whether it may wait for one that it wants nothing of, to share the next with others who do.
    pub waits: Waits,
    /// When it boards.
    pub now: Instant,
}

/// Whether a request waits behind a flight that left before it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waits {
    /// It does.
    Behind,
    /// It has, for long enough.
    NoMore,
}

impl<S: Slots> Cache<S> {
    /// Joins a flight, or begins it. `deadline` is asked only when one begins that has none from one that failed.
    pub fn board(&self, passenger: &Passenger<'_>, deadline: impl FnOnce() -> Instant) -> Joined {
        let Passenger { spot, asks, asking, demand, failed, .. } = *passenger;
        let key = spot.flight_key(asks, asking);
        match failed.filter(|flight| *flight.key == *key) {
            Some(flight) => self.flights.succeed(flight, demand, || self.log.stamp()),
            None => {
                let suits = |flight: &Flight| match demand.accepts(flight) {
                    _ if self.is_refused_since(flight, passenger) => Suits::Not,
                    true => Suits::of(self.is_timely(flight, passenger)),
                    false if passenger.waits == Waits::Behind && demand.at_any_time().accepts(flight) => {
                        Suits::TooEarly
                    }
                    false => Suits::Not,
                };
                self.flights.join(&key, suits, || Departure {
                    born: self.log.stamp(),
                    deadline: deadline(),
                    turn: FlightTurn::First,
                })
            }
        }
    }

    /// What left before a refusal came is for nobody who comes after it.
    fn is_refused_since(&self, flight: &Flight, passenger: &Passenger<'_>) -> bool {
        let since = |what: &[u8]| self.refused.since(what, flight.serial);
        since(&passenger.spot.lookup().key) || passenger.asking.is_some_and(|digest| since(digest))
    }

    /// Whether a request may still join. An answer whose head is there already is judged as if it were stored: who comes now
    /// did not cause it. And what the origin said to somebody before is no answer to whoever is to be let see it now.
    fn is_timely(&self, flight: &Flight, passenger: &Passenger<'_>) -> bool {
        let lookup = passenger.spot.lookup();
        match &*flight.landed() {
            Landing::Waiting => true,
            _ if passenger.asking.is_some() => false,
            // Its tags are not known: whatever was purged since may have been this.
            Landing::Filling(Filling { tags: TagsKnown::NotAll, .. }) if flight.born < self.log.stamp() => false,
            Landing::Filling(Filling { head, .. }) => {
                let standing = self.log.check(&head.birth, &head.tags);
                // One that wants nothing that left before it came demands that of the flight.
                let directives = match passenger.demand.serial {
                    Some(_) => lookup.directives.asked_anew(),
                    None => lookup.directives,
                };
                let judged = reuse(&head.vital, standing, &directives, lookup.credentialed, passenger.now);
                matches!(judged, Reuse::Fresh(_)) || is_off(Rule::Timely)
            }
            _ => true,
        }
    }

    /// As [`Cache::board`] for whoever fetches anew behind a stale answer: not while that is under way, too much is, or the origin
    /// is ill.
    pub fn board_refresh(
        self: &Arc<Self>,
        passenger: &Passenger<'_>,
        upstream: usize,
        deadline: impl FnOnce() -> Instant,
    ) -> Option<(Takeoff, OwnedSemaphorePermit)> {
        let permit = self.refreshes.clone().try_acquire_owned().ok()?;
        let key = passenger.spot.flight_key(passenger.asks, None);
        if self.backoff.is_waiting(&key, upstream, passenger.now) {
            return None;
        }
        let Joined::Leader(takeoff) = self.board(passenger, deadline) else { return None };
        // Only now: a flight that failed meanwhile said so before it left.
        self.backoff.may_refresh(&key, upstream, passenger.now).then_some((takeoff, permit))
    }
}
