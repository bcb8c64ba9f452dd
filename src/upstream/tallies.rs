//! What addresses have in flight at an upstream, and when one of their requests last came to its end. Whoever takes many places
//! at once and has given none back yet may be fast or slow: that shows in the first moments, and meanwhile the last places are
//! others'.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::ground::clock::coarse_millis;

/// By address; two may have one place between them.
#[derive(Debug)]
pub(super) struct Tallies {
    /// More than so many are many.
    many: u32,
    hasher: foldhash::fast::RandomState,
    tallies: Box<[Tally; PLACES]>,
}

#[derive(Debug, Default)]
struct Tally {
    in_flight: AtomicU32,
    /// When they last became many, and when one last ended by itself: in milliseconds, which turn over after seven weeks.
    became_many: AtomicU32,
    ended: AtomicU32,
}

const PLACES: usize = 256;

/// So long after the end of a request its address counts as one whose requests end, in milliseconds.
const OF_LATE: u32 = 250;

impl Tallies {
    pub(super) fn new(many: usize) -> Tallies {
        let (many, hasher) = (u32::try_from(many).unwrap_or(u32::MAX), foldhash::fast::RandomState::default());
        Tallies { many, hasher, tallies: Box::new(std::array::from_fn(|_| Tally::default())) }
    }

    fn of(&self, client: IpAddr) -> &Tally {
        &self.tallies[self.hasher.hash_one(client) as usize % PLACES]
    }

    pub(super) fn began(&self, client: Option<IpAddr>) {
        if let Some(client) = client {
            let tally = self.of(client);
            if tally.in_flight.fetch_add(1, Ordering::Relaxed) == self.many {
                tally.became_many.store(coarse_millis(), Ordering::Relaxed);
            }
        }
    }

    /// A request of this client's is over; `by_itself`: nobody had to end it.
    pub(super) fn ended(&self, client: Option<IpAddr>, by_itself: bool) {
        let Some(tally) = client.map(|client| self.of(client)) else { return };
        tally.in_flight.fetch_sub(1, Ordering::Relaxed);
        if by_itself {
            tally.ended.store(coarse_millis(), Ordering::Relaxed);
        }
    }

    /// Whether a client has many in flight, and since they are many none has ended, or none of late.
    pub(super) fn has_only_taken(&self, client: Option<IpAddr>) -> bool {
        let Some(tally) = client.map(|client| self.of(client)) else { return false };
        if tally.in_flight.load(Ordering::Relaxed) <= self.many {
            return false;
        }
        let (ended, became_many) = (tally.ended.load(Ordering::Relaxed), tally.became_many.load(Ordering::Relaxed));
        let ends = ended.wrapping_sub(became_many).cast_signed() > 0;
        !ends || coarse_millis().wrapping_sub(ended) > OF_LATE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_gives_back_what_it_takes_is_not_held_up() {
        let (tallies, client) = (Tallies::new(2), Some(IpAddr::from([192, 0, 2, 1])));
        let tick = || {
            let now = coarse_millis();
            while coarse_millis() == now {}
        };
        tallies.began(client);
        tallies.ended(client, true);
        tick();
        (0..2).for_each(|_| tallies.began(client));
        assert!(!tallies.has_only_taken(client), "they are not many");
        (0..2).for_each(|_| tallies.began(client));
        assert!(tallies.has_only_taken(client), "what ended before tells nothing of these");
        tick();
        tallies.ended(client, false);
        assert!(tallies.has_only_taken(client), "nor does one that was ended");
        tallies.began(client);
        tallies.ended(client, true);
        assert!(!tallies.has_only_taken(client));
        assert!(!tallies.has_only_taken(None), "we ask for ourselves");
    }
}
