//! How the room of a store is shared out among clients.
//!
//! A client may fill all of a store that nobody else wants. Once it is full, whoever has more than its share gives way: what is
//! fetched for others takes the place of the oldest that was fetched for it, and what is fetched for itself does, too. An entry
//! that was asked for meanwhile goes round once more. So a crawler or an export turns over its own share, and leaves the rest to
//! those for whom it was fetched.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::entry::key::Key;
use crate::entry::owner::{Owner, Owners};

/// What owners hold of a store.
#[derive(Debug)]
pub struct Shares {
    /// A client's, in bytes; none: nobody counts.
    share: Option<i64>,
    /// By the owner's number, in bytes.
    held: Box<[AtomicI64]>,
    all: AtomicI64,
    /// How many hold more than their share.
    large: AtomicUsize,
    /// What was fetched for those, the oldest first.
    queues: Mutex<Vec<Queue>>,
}

#[derive(Debug)]
struct Queue {
    owner: Owner,
    keys: VecDeque<Key>,
}

/// The most keys that are known of one owner; beyond that the oldest are forgotten, and stay until moka has other use for their room.
const MOST_KEYS: usize = 1 << 16;

impl Shares {
    /// Each client's in bytes.
    pub fn new(share: Option<u64>) -> Shares {
        let owners = if share.is_some() { Owner::NUMBERS } else { 0 };
        Shares {
            share: share.map(|share| i64::try_from(share).unwrap_or(i64::MAX)),
            held: (0..owners).map(|_| AtomicI64::new(0)).collect(),
            all: AtomicI64::new(0),
            large: AtomicUsize::new(0),
            queues: Mutex::default(),
        }
    }

    /// Whether anybody counts.
    pub fn are_kept(&self) -> bool {
        self.share.is_some()
    }

    /// What all entries hold, in bytes; `None`: nobody counts.
    pub fn all(&self) -> Option<u64> {
        self.share.map(|_| u64::try_from(self.all.load(Ordering::Relaxed)).unwrap_or(0))
    }

    /// Counts bytes off that were stored for these.
    pub fn less(&self, owners: Owners, bytes: u32) {
        self.change(owners, -i64::from(bytes));
    }

    fn change(&self, owners: Owners, bytes: i64) {
        let Some(share) = self.share else { return };
        self.all.fetch_add(bytes, Ordering::Relaxed);
        owners.iter().for_each(|owner| self.change_one(owner, bytes, share));
    }

    fn change_one(&self, owner: Owner, bytes: i64, share: i64) {
        let before = self.held[owner.number()].fetch_add(bytes, Ordering::Relaxed);
        match (before > share, before + bytes > share) {
            (false, true) => drop(self.large.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.large.fetch_sub(1, Ordering::Relaxed)),
            (true, true) | (false, false) => {}
        }
    }

    fn held(&self, owner: Owner) -> i64 {
        self.held[owner.number()].load(Ordering::Relaxed)
    }

    /// It holds more than its share, and gives way to what is fetched for these: to others always, to itself where others hold a
    /// share at least. Where there is one client, it is everybody, and moka knows better what of its to give up.
    fn gives_way(&self, owner: Owner, to: Owners) -> bool {
        let (held, Some(share)) = (self.held(owner), self.share) else { return false };
        held > share && (!to.contain(owner) || self.all.load(Ordering::Relaxed) - held >= share)
    }

    /// Whether somebody is to give way to what is fetched for these in a full store.
    pub fn gives_room(&self, owners: Owners) -> bool {
        self.large.load(Ordering::Relaxed) > 0 && {
            let own = owners.iter().any(|owner| self.gives_way(owner, owners));
            own || self.queues().iter().any(|queue| self.gives_way(queue.owner, owners))
        }
    }

    /// Something of so many bytes is stored for these, and may have to give way one day.
    pub fn came(&self, owners: Owners, key: &Key, bytes: u64) {
        let Some(share) = self.share else { return };
        self.change(owners, i64::try_from(bytes).unwrap_or(i64::MAX));
        let may_give_way = owners.iter().filter(|owner| self.held(*owner) > share / 2);
        may_give_way.for_each(|owner| self.queue(owner, key.clone(), share));
    }

    /// It stays for now.
    pub fn goes_round(&self, owner: Owner, key: Key) {
        self.queue(owner, key, self.share.unwrap_or_default());
    }

    fn queue(&self, owner: Owner, key: Key, share: i64) {
        let mut queues = self.queues();
        let place = queues.iter().position(|queue| queue.owner == owner).unwrap_or_else(|| {
            queues.retain(|queue| self.held(queue.owner) > share / 2);
            queues.push(Queue { owner, keys: VecDeque::new() });
            queues.len() - 1
        });
        let keys = &mut queues[place].keys;
        if keys.len() == MOST_KEYS {
            keys.pop_front();
        }
        keys.push_back(key);
    }

    /// What goes next to make room for something of these, and whose it is: their own where one of them holds too much, or that of
    /// whoever holds the most.
    pub fn next_to_go(&self, owners: Owners) -> Option<(Owner, Key)> {
        let mut queues = self.queues();
        let large = queues.iter_mut().filter(|queue| self.gives_way(queue.owner, owners));
        let queue = large.max_by_key(|queue| (owners.contain(queue.owner), self.held(queue.owner)))?;
        Some((queue.owner, queue.keys.pop_front()?))
    }

    fn queues(&self) -> MutexGuard<'_, Vec<Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
