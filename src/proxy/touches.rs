//! When the origins last heard of whom.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When the origin last heard of whom. A fixed table: two principals that share a place make each other be heard of more often,
/// never less.
#[derive(Debug)]
pub struct Touches {
    pub(super) start: Instant,
    /// Made when a policy first asks: nobody else pays for it. A principal's mark above, seconds since the start below.
    pub(super) places: OnceLock<Box<[AtomicU64]>>,
}

pub(super) const PLACES: usize = 1 << 16;

impl Touches {
    /// Nobody was heard of yet.
    pub fn new(now: Instant) -> Touches {
        Touches { start: now, places: OnceLock::new() }
    }

    /// Whether the origin has not heard of this principal for so long. Whoever is told so is the one who goes.
    pub(super) fn is_due(&self, digest: &[u8; 32], every: Duration, now: Instant) -> bool {
        let place = self.place(digest);
        let seen = place.load(Ordering::Relaxed);
        let word = self.word(digest, now);
        let is_own = seen >> 32 == word >> 32;
        let since = (word & SECONDS).saturating_sub(seen & SECONDS);
        if is_own && Duration::from_secs(since) < every {
            return false;
        }
        place.compare_exchange(seen, word, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    pub(super) fn note(&self, digest: &[u8; 32], now: Instant) {
        self.place(digest).store(self.word(digest, now), Ordering::Relaxed);
    }

    pub(super) fn place(&self, digest: &[u8; 32]) -> &AtomicU64 {
        let places = self.places.get_or_init(|| (0..PLACES).map(|_| AtomicU64::new(0)).collect());
        &places[usize::from(u16::from_le_bytes([digest[0], digest[1]])) % PLACES]
    }

    pub(super) fn word(&self, digest: &[u8; 32], now: Instant) -> u64 {
        let mark = u32::from_le_bytes([digest[2], digest[3], digest[4], digest[5]]);
        // From one on, so that a place that was never written is nobody's.
        let seconds = now.saturating_duration_since(self.start).as_secs() + 1;
        u64::from(mark) << 32 | seconds & SECONDS
    }
}

pub(super) const SECONDS: u64 = u32::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_goes_in_each_span_of_time() {
        let start = Instant::now();
        let touches = Touches::new(start);
        let due = |who: u8, seconds| {
            let now = start + Duration::from_secs(seconds);
            touches.is_due(&[who; 32], Duration::from_secs(300), now)
        };
        assert!(due(1, 0), "the origin has not heard of them");
        assert!(!due(1, 0) && !due(1, 299));
        assert!(due(2, 10));
        assert!(due(1, 300) && !due(1, 301));
        touches.note(&[1; 32], start + Duration::from_secs(500));
        assert!(!due(1, 700) && due(1, 800));
    }

    #[test]
    fn who_share_a_place_are_heard_of_more_often() {
        let start = Instant::now();
        let touches = Touches::new(start);
        let (mut one, mut other) = ([7; 32], [7; 32]);
        (one[2], other[2]) = (1, 2);
        let due = |who: &[u8; 32]| touches.is_due(who, Duration::from_secs(300), start);
        assert!(due(&one) && !due(&one) && due(&other) && due(&one));
    }
}
