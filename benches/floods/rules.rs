//! Stores that answer one request after the other, by different rules of eviction. All have the same room.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use stent::entry::head::{Head, Lifetime, Openness, OriginClock, Validators, Vital};
use stent::entry::key::Key;
use stent::entry::owner::Owners;
use stent::entry::purge::{Birth, Stamp};
use stent::entry::slot::Slot;
use stent::entry::stored::Entry;
use stent::entry::tag::TagSet;
use stent::store::memory::Memory;
use stent::store::slots::Slots;

use super::BODY;

/// A store, and what decides what is in it.
pub trait Rules {
    /// A client asks for a key; what is not there is fetched and, if the rules have it so, stored. Whether it was there.
    fn ask(&mut self, key: u64, client: IpAddr) -> bool;
}

/// What an entry takes of a store, about.
fn weight(bytes: u64) -> usize {
    let key = key(0);
    (bytes / u64::from(slot(Owners::default()).weight(&key))) as usize
}

fn key(number: u64) -> Key {
    Key::from(number.to_le_bytes().repeat(12))
}

fn slot(owners: Owners) -> Slot {
    let (headers, received) = (HeaderMap::new(), Instant::now());
    let vital = Vital {
        lifetime: Lifetime { fresh_for: Duration::from_secs(3600), ..Lifetime::NOTHING },
        received,
        initial_age: Duration::ZERO,
        openness: Openness::Open,
        clock: OriginClock::Right,
    };
    let head = Head {
        status: StatusCode::OK,
        validators: Validators::of(&headers),
        headers,
        replaced: None,
        vital,
        birth: Birth::new(Stamp(1), Stamp(1)),
        tags: TagSet::default(),
        owners,
    };
    Slot::Entry(Entry::new(&head, Bytes::from(vec![0; BODY])))
}

/// The store as it is.
pub struct Ours {
    memory: Memory,
    asked: u64,
}

impl Ours {
    pub fn new(bytes: u64, share: Option<u64>) -> Ours {
        Ours { memory: Memory::new(bytes, share), asked: 0 }
    }
}

impl Rules for Ours {
    fn ask(&mut self, number: u64, client: IpAddr) -> bool {
        self.asked += 1;
        if self.asked.is_multiple_of(64) {
            self.memory.tend();
        }
        let key = key(number);
        if self.memory.get(&key).is_some() {
            return true;
        }
        let owners = Owners::of(Some(client), None);
        if self.memory.admits(&key, owners, Some(BODY as u64)) {
            self.memory.put(key, slot(owners));
        }
        false
    }
}

/// moka alone.
pub struct Moka {
    all: moka::sync::Cache<u64, ()>,
    asked: u64,
}

impl Moka {
    pub fn new(bytes: u64) -> Moka {
        Moka { all: moka::sync::Cache::new(weight(bytes) as u64), asked: 0 }
    }
}

impl Rules for Moka {
    fn ask(&mut self, key: u64, _: IpAddr) -> bool {
        self.asked += 1;
        if self.asked.is_multiple_of(64) {
            self.all.run_pending_tasks();
        }
        let is_there = self.all.get(&key).is_some();
        if !is_there {
            self.all.insert(key, ());
        }
        is_there
    }
}

/// The least recently used goes.
pub struct Lru {
    room: usize,
    now: u64,
    used: HashMap<u64, u64>,
    by_use: std::collections::BTreeMap<u64, u64>,
}

impl Lru {
    pub fn new(bytes: u64) -> Lru {
        Lru { room: weight(bytes), now: 0, used: HashMap::new(), by_use: Default::default() }
    }
}

impl Rules for Lru {
    fn ask(&mut self, key: u64, _: IpAddr) -> bool {
        self.now += 1;
        let before = self.used.insert(key, self.now);
        if let Some(before) = before {
            self.by_use.remove(&before);
        }
        self.by_use.insert(self.now, key);
        if self.used.len() > self.room
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.used.remove(&oldest);
        }
        before.is_some()
    }
}

/// As published (Yang et al., SOSP 2023): a tenth for what is new, the rest for what was asked for again, and a list of what has gone.
pub struct S3Fifo {
    room: usize,
    asked: HashMap<u64, u8>,
    small: VecDeque<u64>,
    main: VecDeque<u64>,
    gone: VecDeque<u64>,
    ghosts: HashSet<u64>,
}

impl S3Fifo {
    pub fn new(bytes: u64) -> S3Fifo {
        let (small, main, gone) = (VecDeque::new(), VecDeque::new(), VecDeque::new());
        S3Fifo { room: weight(bytes), asked: HashMap::new(), small, main, gone, ghosts: HashSet::new() }
    }

    fn evict(&mut self) {
        if self.small.len() >= self.room / 10 || self.main.is_empty() {
            while let Some(key) = self.small.pop_front() {
                if self.asked[&key] > 1 {
                    self.asked.insert(key, 0);
                    self.main.push_back(key);
                    if self.main.len() > self.room - self.room / 10 {
                        return self.evict_main();
                    }
                } else {
                    self.asked.remove(&key);
                    self.gone.push_back(key);
                    self.ghosts.insert(key);
                    if self.gone.len() > self.room - self.room / 10
                        && let Some(forgotten) = self.gone.pop_front()
                    {
                        self.ghosts.remove(&forgotten);
                    }
                    return;
                }
            }
        }
        self.evict_main();
    }

    fn evict_main(&mut self) {
        while let Some(key) = self.main.pop_front() {
            match self.asked[&key] {
                0 => {
                    self.asked.remove(&key);
                    return;
                }
                times => {
                    self.asked.insert(key, times - 1);
                    self.main.push_back(key);
                }
            }
        }
    }
}

impl Rules for S3Fifo {
    fn ask(&mut self, key: u64, _: IpAddr) -> bool {
        if let Some(times) = self.asked.get_mut(&key) {
            *times = (*times + 1).min(3);
            return true;
        }
        if self.asked.len() >= self.room {
            self.evict();
        }
        self.asked.insert(key, 0);
        if self.ghosts.remove(&key) {
            self.main.push_back(key)
        } else {
            self.small.push_back(key)
        }
        false
    }
}
