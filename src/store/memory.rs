//! The memory store: moka, bounded by real bytes. Freshness and purges are not its affair; it only keeps and finds.
//!
//! Keys are compared whole. moka's own expiry, invalidation predicates and loaders are not used: they stall reads or store
//! what a purge has overtaken.

use moka::sync::Cache;

use crate::coherence::Slots;
use crate::entry::Slot;
use crate::key::Key;

/// The entries of this process.
#[derive(Debug, Clone)]
pub struct Memory {
    slots: Cache<Key, Slot, foldhash::quality::RandomState>,
}

impl Memory {
    /// Bounded by this many bytes, heads and keys included.
    pub fn new(max_bytes: u64) -> Memory {
        let slots = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &Key, slot: &Slot| slot.weight(key))
            .build_with_hasher(foldhash::quality::RandomState::default());
        Memory { slots }
    }

    /// Moves moka's own housekeeping along; evictions happen here and on writes.
    pub fn tend(&self) {
        self.slots.run_pending_tasks();
    }

    /// Entries, and their bytes; as of the last housekeeping.
    pub fn size(&self) -> (u64, u64) {
        (self.slots.entry_count(), self.slots.weighted_size())
    }
}

impl Slots for Memory {
    fn get(&self, key: &[u8]) -> Option<Slot> {
        self.slots.get(key)
    }

    fn put(&self, key: Key, slot: Slot) {
        self.slots.insert(key, slot);
    }

    fn remove(&self, key: &[u8]) {
        self.slots.invalidate(key);
    }
}
