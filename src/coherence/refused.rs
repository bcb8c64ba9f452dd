//! Up to which of our requests the origin has refused something, so that what left before brings nothing back.

use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// By primary keys, and by digests of who asked for what. A fixed table: two that share a place are refused together, so that what is
/// on its way for either is not kept once. Nothing is allocated before the first refusal.
#[derive(Debug, Default)]
pub struct Refused {
    places: OnceLock<Box<[AtomicU64]>>,
    hasher: foldhash::fast::RandomState,
}

const PLACES: usize = 1 << 16;

impl Refused {
    /// What left with a lower serial number than this brings nothing back.
    pub fn mark(&self, what: &[u8], serial: u64) {
        let places = self.places.get_or_init(|| (0..PLACES).map(|_| AtomicU64::default()).collect());
        self.place(places, what).fetch_max(serial, Ordering::SeqCst);
    }

    /// Whether what left with this serial number left before a refusal came.
    pub fn since(&self, what: &[u8], serial: u64) -> bool {
        self.places.get().is_some_and(|places| serial < self.place(places, what).load(Ordering::SeqCst))
    }

    fn place<'a>(&self, places: &'a [AtomicU64], what: &[u8]) -> &'a AtomicU64 {
        &places[self.hasher.hash_one(what) as usize % places.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_left_before_a_refusal_is_told_from_what_left_after_it() {
        let refused = Refused::default();
        assert!(!refused.since(b"a", 0), "nothing was refused");
        refused.mark(b"a", 7);
        assert!(refused.since(b"a", 6) && !refused.since(b"a", 7) && !refused.since(b"a", 8));
        refused.mark(b"a", 5);
        assert!(refused.since(b"a", 6), "an older refusal takes nothing back");
        let shared = (0..1000_u32).filter(|other| refused.since(&other.to_le_bytes(), 0)).count();
        assert!(shared < 10, "{shared} others share its place");
    }
}
