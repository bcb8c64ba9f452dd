//! The memory store: moka, bounded by real bytes. Freshness and purges are not its affair; it only keeps and finds.
//!
//! Keys are compared whole. moka's own expiry, invalidation predicates and loaders are not used: they stall reads or store
//! what a purge has overtaken.

use moka::ops::compute::{CompResult, Op};
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

    /// All that is kept, in no order, while it goes on changing; reads are not counted for it.
    pub fn iter(&self) -> impl Iterator<Item = (Key, Slot)> {
        self.slots.iter().map(|(key, slot)| (Key::clone(&key), slot))
    }

    /// Takes out what is kept under a key if it is still to be: whether it was.
    pub fn take_out(&self, key: &Key, is: impl Fn(&Slot) -> bool) -> bool {
        let done = self.slots.entry(key.clone()).and_compute_with(|there| match there {
            Some(there) if is(there.value()) => Op::Remove,
            _ => Op::Nop,
        });
        matches!(done, CompResult::Removed(_))
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
