//! Addresses whose clients stand still on half of an upstream's places: they get no more of the last quarter, for a while.
//!
//! Behind one address there may be many people, so what counts is how many of its connections stand still, not how many it has;
//! and nothing is taken from it for that. Where no such address is known, asking costs one relaxed load.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::held::{Hold, Pace, STILL};

/// So long after it was seen last, an address is none of these any more.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The addresses.
#[derive(Debug)]
pub(super) struct Crowds {
    max: usize,
    are_any: AtomicBool,
    /// At most two at a time stand still on half of all places; those of the last seconds are few.
    seen: Mutex<Vec<(IpAddr, Instant)>>,
}

impl Crowds {
    /// Of so many places.
    pub(super) fn new(max: usize) -> Crowds {
        Crowds { max, are_any: AtomicBool::new(false), seen: Mutex::default() }
    }

    /// Whether it is one of them.
    pub(super) fn has(&self, client: Option<IpAddr>) -> bool {
        self.are_any.load(Ordering::Relaxed)
            && client.is_some_and(|client| self.seen().iter().any(|(address, _)| *address == client))
    }

    /// Notes which there are now.
    pub(super) fn note(&self, paces: &[(Pace, Arc<Hold>)], now: Instant) {
        let has_quarter = self.max >= 4;
        if !has_quarter || paces.len() * 2 < self.max && !self.are_any.load(Ordering::Relaxed) {
            return;
        }
        let mut still = HashMap::<IpAddr, usize>::new();
        for (pace, hold) in paces {
            if let Some(client) = hold.client().filter(|_| pace.below_least >= STILL) {
                *still.entry(client).or_default() += 1;
            }
        }
        let mut seen = self.seen();
        still.retain(|_, many| *many * 2 >= self.max);
        seen.retain(|(address, last)| {
            !still.contains_key(address) && now.saturating_duration_since(*last) < REMEMBERED
        });
        seen.extend(still.into_keys().map(|address| (address, now)));
        self.are_any.store(!seen.is_empty(), Ordering::Relaxed);
    }

    fn seen(&self) -> MutexGuard<'_, Vec<(IpAddr, Instant)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::held::{Asker, WhoseTurn};
    use super::*;

    #[test]
    fn they_are_remembered_for_a_while() {
        let crowds = Crowds::new(4);
        let client = Some(IpAddr::from([192, 0, 2, 1]));
        let hold = Arc::new(Hold::new(Asker { client, least_rate: 1024 }));
        hold.turn(WhoseTurn::Client);
        let still = Pace { below_least: STILL, below_share: STILL };
        let begun = Instant::now();
        crowds.note(&[(still, hold.clone())], begun);
        assert!(!crowds.has(client), "a quarter of all is no half");
        crowds.note(&[(still, hold.clone()), (still, hold)], begun);
        assert!(crowds.has(client));
        crowds.note(&[], begun + REMEMBERED / 2);
        assert!(crowds.has(client));
        crowds.note(&[], begun + REMEMBERED);
        assert!(!crowds.has(client));
    }
}
