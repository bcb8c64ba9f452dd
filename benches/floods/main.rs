//! What a flood of other requests costs those who ask again and again: the share of their requests that a small store answers,
//! beside what it answers in quiet, and beside other rules of eviction in the same run.
//!
//! `cargo bench --bench floods` prints the table; as a test (`cargo test --bench floods`) it is shorter, and fails where a flood costs
//! more than three points: of one client in any case, of many while the store is warm and each key is asked for once. There are no sockets and no time in it: the same requests come in the same order each time.

mod rules;

use std::net::{IpAddr, Ipv4Addr};

use stent::store::settings::CacheSettings;

use self::rules::{Lru, Moka, Ours, Rules, S3Fifo};

/// The store that is flooded, in bytes, and the bodies in it.
const STORE: u64 = 8 << 20;
const BODY: usize = 4 << 10;

/// What is asked for again and again: so many keys, by Zipf's law, by so many clients.
const KEYS: usize = 1_500;
const CLIENTS: u8 = 40;

/// A flood costs no more than this of all requests.
const MOST: f64 = 0.03;

/// What else is asked for, by one other client.
#[derive(Clone, Copy)]
struct Flood {
    name: &'static str,
    /// Its requests for each of the others.
    for_each: usize,
    /// How often it asks for each of its keys.
    asks: u64,
}

const FLOODS: [Flood; 7] = [
    Flood { name: "quiet", for_each: 0, asks: 1 },
    Flood { name: "1:1, asked once", for_each: 1, asks: 1 },
    Flood { name: "5:1, asked once", for_each: 5, asks: 1 },
    Flood { name: "10:1, asked once", for_each: 10, asks: 1 },
    Flood { name: "1:1, asked four times", for_each: 1, asks: 4 },
    Flood { name: "5:1, asked four times", for_each: 5, asks: 4 },
    Flood { name: "10:1, asked four times", for_each: 10, asks: 4 },
];

/// Whether the store holds what is asked for before the flood comes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Warm,
    Cold,
}

fn main() {
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let requests = if is_test { 10_000 } else { 60_000 };
    let mut too_dear = Vec::new();
    for start in [Start::Warm, Start::Cold] {
        let name = if start == Start::Warm { "warm store" } else { "cold store" };
        println!("\n{name:<26}{:>9}{:>9}{:>9}{:>9}{:>9}", "Stent", "no share", "moka", "LRU", "S3-FIFO");
        let mut quiet = None;
        for flood in FLOODS {
            let share = CacheSettings { memory: STORE, ..CacheSettings::default() }.share();
            let ours = hits(&mut Ours::new(STORE, share), flood, start, requests);
            // As if each request of the flood came from another client.
            let no_share = hits(&mut Ours::new(STORE, None), flood, start, requests);
            print!("{:<26}{ours:>9.3}{no_share:>9.3}", flood.name);
            let others: [&mut dyn Rules; 3] = [&mut Moka::new(STORE), &mut Lru::new(STORE), &mut S3Fifo::new(STORE)];
            for other in others.into_iter().filter(|_| !is_test) {
                print!("{:>9.3}", hits(other, flood, start, requests));
            }
            println!();
            let quiet = *quiet.get_or_insert(ours);
            let is_bound = start == Start::Warm && flood.asks == 1;
            for (hits, of) in [(ours, ""), (no_share, ", no share")].into_iter().take(if is_bound { 2 } else { 1 }) {
                if quiet - hits > MOST {
                    too_dear.push(format!("{name}, {}{of}: {:.3}", flood.name, quiet - hits));
                }
            }
        }
    }
    assert!(too_dear.is_empty(), "these floods cost more than {MOST}: {too_dear:?}");
}

/// The share of the requests of those who ask again and again that the store answers.
fn hits(store: &mut dyn Rules, flood: Flood, start: Start, requests: usize) -> f64 {
    let (mut chance, mut asked, zipf) = (Chance(1), 0, zipf());
    let ask = |store: &mut dyn Rules, chance: &mut Chance| {
        let key = zipf.partition_point(|sum| *sum < chance.fraction()) as u64;
        store.ask(key, Ipv4Addr::new(127, 0, 1, (chance.next() % u64::from(CLIENTS)) as u8).into())
    };
    if start == Start::Warm {
        for _ in 0..requests {
            ask(store, &mut chance);
        }
    }
    let other = IpAddr::V4(Ipv4Addr::new(127, 0, 2, 1));
    let mut hits = 0;
    for _ in 0..requests {
        for _ in 0..flood.for_each {
            // The same key again after some others.
            let (turn, ago) = (asked / flood.asks, asked % flood.asks * 25);
            store.ask((1 << 32) + turn.saturating_sub(ago), other);
            asked += 1;
        }
        hits += usize::from(ask(store, &mut chance));
    }
    hits as f64 / requests as f64
}

/// Sums of probabilities.
fn zipf() -> Vec<f64> {
    let weights = (1..=KEYS).map(|rank| 1.0 / rank as f64);
    let whole: f64 = weights.clone().sum();
    weights
        .scan(0.0, |sum, weight| {
            *sum += weight / whole;
            Some(*sum)
        })
        .collect()
}

/// xorshift64*.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn fraction(&mut self) -> f64 {
        (self.next() >> 8) as f64 / (1u64 << 40) as f64
    }
}
