//! Keys, the store, and what purges say of an entry.

use divan::{Bencher, black_box};
use stent::entry::key::{KeyBuf, Partition, Primary};
use stent::entry::purge::{Birth, PurgeLog, Stamp, Standing, Strength};
use stent::entry::tag::TagSet;
use stent::fields::authority::Scheme;
use stent::store::slots::Slots;

use crate::stage::{PUBLIC, STAGE};

#[divan::bench]
fn key() -> KeyBuf {
    let primary = Primary {
        fingerprint: 0x5ca1_ab1e,
        partition: Partition::Principal([7; 32]),
        scheme: Scheme::Http,
        authority: "clinic.example",
        forwarded_host: None,
        path: "/patients/4711/notes",
        query: Some("page=2&size=20"),
    };
    let mut key = KeyBuf::new();
    black_box(primary).write(&mut key);
    key
}

#[divan::bench]
fn memory_get(bencher: Bencher) {
    let (stage, lookup) = (&*STAGE, STAGE.ready(PUBLIC).lookup(&STAGE));
    assert!(stage.proxy.cache.memory.get(&lookup.key).is_some());
    bencher.bench(|| stage.proxy.cache.memory.get(black_box(&lookup.key)));
}

/// No purge since this entry was last looked at.
#[divan::bench]
fn purge_check_standing_still(bencher: Bencher) {
    let (log, entry) = (PurgeLog::default(), STAGE.entry(PUBLIC));
    let birth = Birth::new(log.stamp(), log.stamp());
    bencher.bench(|| {
        let standing = log.check(black_box(&birth), &entry);
        debug_assert_eq!(standing, Standing::Good);
        standing
    });
}

/// Something else was purged since: every tag is looked up.
#[divan::bench]
fn purge_check_moved(bencher: Bencher) {
    let (log, entry, mut other) = (PurgeLog::default(), STAGE.entry(PUBLIC), TagSet::default());
    other.name("doctor:1");
    log.apply(&other, Strength::Hard);
    // Born before that, and never looked at since: each input is checked once.
    bencher.with_inputs(|| Birth::new(Stamp(1), Stamp(1))).bench_refs(|birth| {
        let standing = log.check(black_box(birth), &entry);
        debug_assert_eq!(standing, Standing::Good);
        standing
    });
}
