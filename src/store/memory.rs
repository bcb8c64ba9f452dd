//! The memory store: moka, bounded by real bytes. Freshness and purges are not its affair; it only keeps and finds.
//!
//! Keys are compared whole. moka's own expiry, invalidation predicates and loaders are not used: they stall reads or store
//! what a purge has overtaken.

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;

use crate::entry::key::Key;
use crate::entry::slot::Slot;
use crate::store::slots::Slots;

/// The entries of this process.
#[derive(Debug, Clone)]
pub struct Memory {
    slots: Cache<Key, Slot, foldhash::quality::RandomState>,
    max_bytes: u64,
    door: Arc<Door>,
}

/// Who knocked of late. Once the store is full, an answer to what nobody asked for before is not kept: moka alone lets it take
/// the place of what is rarely asked for, and a flood of such would take it all.
#[derive(Debug)]
struct Door {
    hasher: foldhash::quality::RandomState,
    /// Ends of hashes, by their beginnings; the later takes the place of the earlier.
    knocked: Box<[AtomicU32]>,
}

/// A quarter of a MiB.
const KNOCKED: usize = 1 << 16;

impl Door {
    fn new(hasher: foldhash::quality::RandomState) -> Door {
        Door { hasher, knocked: (0..KNOCKED).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Whether it knocked before.
    fn knocks(&self, key: &Key) -> bool {
        let hash = self.hasher.hash_one(key);
        let end = hash as u32 | 1;
        self.knocked[(hash >> 32) as usize % KNOCKED].swap(end, Ordering::Relaxed) == end
    }
}

impl Memory {
    /// Bounded by this many bytes, heads and keys included.
    pub fn new(max_bytes: u64) -> Memory {
        let hasher = foldhash::quality::RandomState::default();
        let slots = Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &Key, slot: &Slot| slot.weight(key))
            .build_with_hasher(hasher.clone());
        Memory { slots, max_bytes, door: Arc::new(Door::new(hasher)) }
    }

    /// Whether there is room for an answer, or a reason to make some: it was asked for before.
    fn lets_in(&self, key: &Key, slot: &Slot) -> bool {
        slot.entry().is_none()
            || self.slots.weighted_size() + u64::from(slot.weight(key)) <= self.max_bytes
            || self.slots.contains_key(key)
            || self.door.knocks(key)
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

    fn peek(&self, key: &[u8]) -> Option<Slot> {
        // Only `contains_key` counts nothing. So what is there is counted, and what is not there, as all that is asked for once, is not.
        self.slots.contains_key(key).then(|| self.slots.get(key)).flatten()
    }

    fn put(&self, key: Key, slot: Slot) {
        if self.lets_in(&key, &slot) {
            self.slots.insert(key, slot);
        }
    }

    fn remove(&self, key: &[u8]) {
        self.slots.invalidate(key);
    }
}
