//! Slots in a map that forgets only when it is told to, and remembers what was put into it.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use stent::entry::key::Key;
use stent::entry::slot::Slot;
use stent::entry::stored::Entry;
use stent::store::slots::Slots;

use crate::chance::Chance;

#[derive(Debug, Default)]
pub struct Shelf(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    slots: BTreeMap<Key, Slot>,
    /// Put since this was last asked.
    put: Vec<Entry>,
}

impl Shelf {
    /// Forgets one of them.
    pub fn evict(&self, chance: &mut Chance) {
        let mut kept = self.kept();
        let key = kept.slots.keys().nth(chance.below(kept.slots.len().max(1))).cloned();
        key.map(|key| kept.slots.remove(&key));
    }

    pub fn take_put(&self) -> Vec<Entry> {
        std::mem::take(&mut self.kept().put)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().expect("nothing panics while it is held")
    }
}

impl Slots for Shelf {
    fn get(&self, key: &[u8]) -> Option<Slot> {
        self.kept().slots.get(key).cloned()
    }

    fn put(&self, key: Key, slot: Slot) {
        let mut kept = self.kept();
        if let Slot::Entry(entry) = &slot {
            kept.put.push(entry.clone());
        }
        kept.slots.insert(key, slot);
    }

    fn remove(&self, key: &[u8]) {
        self.kept().slots.remove(key);
    }
}
