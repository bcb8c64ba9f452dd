//! The memory store: moka, bounded by real bytes. Freshness and purges are not its affair; it only keeps and finds.
//!
//! Keys are compared whole. moka's own expiry, invalidation predicates and loaders are not used: they stall reads or store
//! what a purge has overtaken.
//!
//! What moka cannot know is for whom an answer was fetched. A full store therefore has two rules of its own ([`Memory::admits`]):
//! no client takes others' room beyond its share ([`shares`](super::shares)), and while all are within theirs, an answer to what
//! nobody asked for before is not stored (`Door`).

use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use moka::ops::compute::{CompResult, Op};
use moka::sync::Cache;

use super::shares::Shares;
use super::slots::Slots;
use crate::entry::key::Key;
use crate::entry::owner::Owners;
use crate::entry::slot::Slot;

/// The entries of this process.
#[derive(Debug, Clone)]
pub struct Memory {
    slots: Cache<Key, Slot, foldhash::quality::RandomState>,
    max_bytes: u64,
    door: Arc<Door>,
    shares: Arc<Shares>,
}

/// What was asked for of late. Once the store is full, an answer to what nobody asked for before is not stored: moka alone lets it
/// take the place of what is rarely asked for, and a flood of such would take it all.
#[derive(Debug)]
struct Door {
    hasher: foldhash::quality::RandomState,
    /// Ends of hashes, by their beginnings; the later takes the place of the earlier.
    knocked: Box<[AtomicU32]>,
}

impl Door {
    /// It remembers as many as a store of this size has kibibytes, within bounds: a quarter of a MiB to four.
    fn new(hasher: foldhash::quality::RandomState, max_bytes: u64) -> Door {
        let knocks = (max_bytes >> 10).next_power_of_two().clamp(1 << 16, 1 << 20) as usize;
        Door { hasher, knocked: (0..knocks).map(|_| AtomicU32::new(0)).collect() }
    }

    /// Whether it was asked for before.
    fn knocks(&self, key: &[u8]) -> bool {
        let hash = self.hasher.hash_one(key);
        let end = hash as u32 | 1;
        self.knocked[(hash >> 32) as usize % self.knocked.len()].swap(end, Ordering::Relaxed) == end
    }
}

impl Memory {
    /// Bounded by this many bytes, heads and keys included; of them, a client has no more than `share` while others want room.
    pub fn new(max_bytes: u64, share: Option<u64>) -> Memory {
        let hasher = foldhash::quality::RandomState::default();
        let shares = Arc::new(Shares::new(share));
        let builder = Cache::builder().max_capacity(max_bytes).weigher(|key: &Key, slot: &Slot| slot.weight(key));
        let gone = shares.clone();
        let slots = match share {
            None => builder.build_with_hasher(hasher.clone()),
            Some(_) => builder
                .eviction_listener(move |key: Arc<Key>, slot: Slot, _| {
                    if let Some(entry) = slot.entry() {
                        gone.less(entry.owners(), slot.weight(&key));
                    }
                })
                .build_with_hasher(hasher.clone()),
        };
        Memory { slots, max_bytes, door: Arc::new(Door::new(hasher, max_bytes)), shares }
    }

    /// moka's own sum is as old as its last housekeeping; a flood is faster.
    fn has_room(&self, bytes: u64) -> bool {
        self.shares.all().unwrap_or_else(|| self.slots.weighted_size()) + bytes <= self.max_bytes
    }

    /// Takes out what is to give way to so many bytes of this owner's.
    fn make_room(&self, owners: Owners, bytes: u64) {
        let mut wanted = bytes;
        for looked_at in 0..MOST_LOOKED_AT {
            let Some((whose, key)) = self.shares.next_to_go(owners) else { return };
            let Some(slot) = self.peek(&key) else { continue };
            let Some(entry) = slot.entry().filter(|entry| entry.owners().contain(whose)) else { continue };
            if entry.was_asked_for() && looked_at < MOST_SPARED {
                // Once more round.
                self.shares.goes_round(whose, key);
                continue;
            }
            let weight = u64::from(slot.weight(&key));
            if self.take_out(&key, |there| there.entry().is_some_and(|there| there.is(entry))) {
                wanted = wanted.saturating_sub(weight);
            }
            if wanted == 0 {
                return;
            }
        }
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

/// The most entries that are looked at to make room for one, and of these the most that stay because they were asked for.
const MOST_LOOKED_AT: usize = 24;
const MOST_SPARED: usize = 8;

impl Slots for Memory {
    fn get(&self, key: &[u8]) -> Option<Slot> {
        let slot = self.slots.get(key);
        if let Some(entry) = slot.as_ref().and_then(Slot::entry) {
            entry.ask_for();
        }
        slot
    }

    fn peek(&self, key: &[u8]) -> Option<Slot> {
        // Only `contains_key` counts nothing. So what is there is counted, and what is not there, as all that is asked for once, is not.
        self.slots.contains_key(key).then(|| self.slots.get(key)).flatten()
    }

    fn admits(&self, key: &[u8], owners: Owners, length: Option<u64>) -> bool {
        let bytes = length.unwrap_or(0) + key.len() as u64;
        self.has_room(bytes) || self.slots.contains_key(key) || self.shares.gives_room(owners) || self.door.knocks(key)
    }

    fn put(&self, key: Key, slot: Slot) {
        if let Some(entry) = slot.entry()
            && self.shares.are_kept()
        {
            let bytes = u64::from(slot.weight(&key));
            if !self.has_room(bytes) && !self.slots.contains_key(&*key) {
                self.make_room(entry.owners(), bytes);
            }
            self.shares.came(entry.owners(), &key, bytes);
        }
        self.slots.insert(key, slot);
    }

    fn remove(&self, key: &[u8]) {
        self.slots.invalidate(key);
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use bytes::Bytes;

    use super::*;
    use crate::entry::stored::Entry;

    fn owners(number: u8) -> Owners {
        let principal = [number; 32];
        Owners::of(Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, number))), Some(&principal))
    }

    fn answer(number: u8, length: usize) -> Slot {
        let mut head = crate::entry::stored::tests::head(http::HeaderMap::new());
        head.owners = owners(number);
        Slot::Entry(Entry::new(&head, Bytes::from(vec![b'x'; length])))
    }

    #[test]
    fn what_owners_hold_is_what_is_there() {
        let memory = Memory::new(1 << 20, Some(100 << 10));
        let mut chance: u64 = 7;
        let mut next = |most: u64| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (chance >> 33) % most
        };
        for _ in 0..20_000 {
            let key = Key::from(next(3_000).to_le_bytes().as_slice());
            match next(10) {
                0 => memory.remove(&key),
                1 => drop(memory.take_out(&key, |_| true)),
                2 => drop(memory.get(&key)),
                _ => {
                    let (owner, length) = (next(4) as u8, next(4_000) as usize);
                    if memory.admits(&key, owners(owner), Some(length as u64)) {
                        memory.put(key, answer(owner, length));
                    }
                }
            }
        }
        // Until what was written is in order: moka does so much of it at a time.
        let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
        let there = || memory.iter().map(|(key, slot)| u64::from(slot.weight(&key))).sum::<u64>();
        while memory.shares.all() != Some(there()) {
            assert!(std::time::Instant::now() < until, "{:?} counted, {} there", memory.shares.all(), there());
            memory.tend();
        }
        assert!(there() <= 1 << 20 && there() > 900 << 10, "it is full: {}", there());
    }

    #[test]
    fn whoever_has_too_much_gives_way_to_others_and_to_itself() {
        let memory = Memory::new(1 << 20, Some(200 << 10));
        let key = |owner: u8, number: u32| Key::from([&[owner][..], &number.to_le_bytes()].concat());
        let put = |owner: u8, number: u32| {
            let key = key(owner, number);
            let is_let_in = memory.admits(&key, owners(owner), Some(4_000));
            if is_let_in {
                memory.put(key, answer(owner, 4_000));
            }
            memory.tend();
            is_let_in
        };
        let held = |owner: u8| (0..1_000).filter(|number| memory.peek(&key(owner, *number)).is_some()).count();
        // Alone it has all of it.
        for number in 0..400 {
            put(1, number);
        }
        assert!(held(1) > 200, "{}", held(1));
        // Others find room at their first request, until it is down to its share, and they have theirs.
        for other in 2..=5 {
            assert!((0..60).all(|number| put(other, number)), "{other}");
        }
        let all = [1, 2, 3, 4, 5].map(held);
        assert!(all.iter().all(|held| (40..=60).contains(held)), "{all:?}");
        // It still gets what it asks for, in place of its own.
        assert!(put(1, 999) && memory.peek(&key(1, 999)).is_some());
    }
}
