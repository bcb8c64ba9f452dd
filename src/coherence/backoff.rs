//! Refreshes wait while the origin is ill: after each failure in a row twice as long, for the key and for its upstream.
//!
//! Whoever asks meanwhile is served what is stale, as far as the policy allows. Both tables are fixed: two keys that share a
//! place delay each other's refreshes, no more. What flights with clients learn counts as well, but they do not wait.

use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

/// The wait after the first failure; the next ones are twice as long each.
pub const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(30);

const PLACES: usize = 4096;
const UPSTREAMS: usize = 256;

/// What is remembered of failures.
#[derive(Debug)]
pub struct Backoff {
    start: Instant,
    keys: Box<[AtomicU64]>,
    upstreams: Box<[AtomicU64]>,
    hasher: FixedState,
}

/// How a flight ended, as far as later ones are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshEnd {
    /// The stored answer is as good as new.
    Kept,
    /// The origin answered, but nothing was stored.
    NotKept,
    /// The origin did not answer, said that it was ill, or broke off.
    Failed,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new(seed: u64, now: Instant) -> Backoff {
        let places = |many| (0..many).map(|_| AtomicU64::new(0)).collect();
        let hasher = FixedState::with_seed(seed);
        Backoff { start: now, keys: places(PLACES), upstreams: places(UPSTREAMS), hasher }
    }

    /// Whether this key or its upstream is still waited for.
    pub fn is_waiting(&self, key: &[u8], upstream: usize, now: Instant) -> bool {
        !self.is_over(&self.keys[self.key(key)], now) || !self.is_over(&self.upstreams[upstream % UPSTREAMS], now)
    }

    /// Whether this key may be refreshed. Where failures came before, whoever is told so is the one who tries, and is taken
    /// to fail until [`Backoff::note`] says otherwise: so that others wait meanwhile.
    pub fn may_refresh(&self, key: &[u8], upstream: usize, now: Instant) -> bool {
        let key = self.key(key);
        let (key, upstream) = (&self.keys[key], &self.upstreams[upstream % UPSTREAMS]);
        self.is_over(key, now) && self.try_on(upstream, now) && self.try_on(key, now)
    }

    /// Learns from a flight.
    pub fn note(&self, key: &[u8], upstream: usize, ended: RefreshEnd, now: Instant) {
        let key = self.key(key);
        let (key, upstream) = (&self.keys[key], &self.upstreams[upstream % UPSTREAMS]);
        match ended {
            RefreshEnd::Kept => {
                recover(key);
                recover(upstream);
            }
            RefreshEnd::NotKept => {
                self.fail(key, now);
                recover(upstream);
            }
            RefreshEnd::Failed => {
                self.fail(key, now);
                self.fail(upstream, now);
            }
        }
    }

    fn key(&self, key: &[u8]) -> usize {
        self.hasher.hash_one(key) as usize % PLACES
    }

    fn is_over(&self, place: &AtomicU64, now: Instant) -> bool {
        Spell::read(place.load(Ordering::Relaxed)).until_ms <= self.millis(now)
    }

    /// One more failure in advance, unless there was none or its wait is not over.
    fn try_on(&self, place: &AtomicU64, now: Instant) -> bool {
        let seen = place.load(Ordering::Relaxed);
        let spell = Spell::read(seen);
        if spell.failures == 0 {
            return true;
        }
        if spell.until_ms > self.millis(now) {
            return false;
        }
        let next = self.next(spell, now).written();
        place.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Failures during one wait count once: they tell of the same illness.
    fn fail(&self, place: &AtomicU64, now: Instant) {
        let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seen| {
            let spell = Spell::read(seen);
            let is_news = spell.failures == 0 || spell.until_ms <= self.millis(now);
            is_news.then(|| self.next(spell, now).written())
        });
    }

    fn next(&self, spell: Spell, now: Instant) -> Spell {
        let failures = spell.failures.saturating_add(1);
        let doubled =
            FIRST_WAIT.saturating_mul(1 << u32::from(failures - 1).min(16)).min(LONGEST_WAIT).as_millis() as u64;
        // From half of it to all, so that what failed together is not tried again together.
        let jitter = self.hasher.hash_one((spell.until_ms, self.millis(now), failures)) % (doubled / 2 + 1);
        Spell { failures, until_ms: self.millis(now) + doubled - jitter }
    }

    fn millis(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_millis() as u64
    }
}

fn recover(place: &AtomicU64) {
    // Nearly always there is nothing to recover from, and a line that is only read stays with every core.
    if place.load(Ordering::Relaxed) != 0 {
        place.store(0, Ordering::Relaxed);
    }
}

/// Failures in a row, and until when to wait after them; in one word.
#[derive(Debug, Clone, Copy)]
struct Spell {
    failures: u8,
    until_ms: u64,
}

impl Spell {
    fn read(word: u64) -> Spell {
        Spell { failures: word as u8, until_ms: word >> 8 }
    }

    fn written(self) -> u64 {
        self.until_ms << 8 | u64::from(self.failures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_end_with_a_success() {
        let start = Instant::now();
        let backoff = Backoff::new(7, start);
        let mut now = start;
        for wait in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
            assert!(backoff.may_refresh(b"key", 0, now));
            backoff.note(b"key", 0, RefreshEnd::Failed, now);
            assert!(!backoff.may_refresh(b"key", 0, after(now, wait / 2 - 1)), "{wait}");
            now = after(now, wait);
        }
        assert!(backoff.may_refresh(b"key", 0, now));
        assert!(!backoff.may_refresh(b"key", 0, now), "one tries, the others wait");
        backoff.note(b"key", 0, RefreshEnd::Kept, now);
        assert!(backoff.may_refresh(b"key", 0, now) && backoff.may_refresh(b"key", 0, now));
    }

    #[test]
    fn what_fails_at_the_same_time_counts_once() {
        let start = Instant::now();
        let backoff = Backoff::new(7, start);
        (0..100).for_each(|_| backoff.note(b"key", 0, RefreshEnd::Failed, start));
        assert!(backoff.may_refresh(b"key", 0, after(start, 1000)));
    }

    #[test]
    fn an_ill_upstream_holds_back_its_other_keys_and_no_other_upstream() {
        let start = Instant::now();
        let backoff = Backoff::new(7, start);
        backoff.note(b"key", 0, RefreshEnd::Failed, start);
        assert!(!backoff.may_refresh(b"another", 0, start));
        assert!(backoff.may_refresh(b"another", 1, start));
        backoff.note(b"another", 0, RefreshEnd::NotKept, start);
        assert!(backoff.may_refresh(b"a third", 0, start), "it answers again");
        assert!(!backoff.may_refresh(b"another", 0, start), "but not with what can be kept");
    }
}
