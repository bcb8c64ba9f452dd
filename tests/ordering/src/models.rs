//! The stories. What happened before what is said by `join` alone, as an acknowledged purge happened before the requests that
//! begin after it; all else races.
//!
//! The purge is always in the first thread: loom lets that run ahead, and looks for other orders from the loads of those that
//! come after. The other way round it misses some, since it remembers but the last thread that loaded from an atomic.

use std::sync::Arc;

use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread::{self, JoinHandle};

use super::purge::{Birth, PurgeLog, Stamp, Standing, Strength};
use crate::tag::TagSet;

pub const MODELS: &[crate::Model] = &[
    ("a purge, and a check before its end", None, a_purge_and_a_check_before_its_end),
    ("a purge of too many tags, and a check before its end", None, a_purge_of_too_many_tags),
    ("the floor rises, and a check before its end", None, the_floor_rises),
    ("the floor rises above what was purged", None, the_floor_rises_above_what_was_purged),
    ("a soft purge, and a check before its end", None, a_soft_purge),
    ("two purges, and a check", None, two_purges),
    ("a purge whose record gives way to another's", None, a_purge_whose_record_gives_way),
    ("a fill while its object is written", None, a_fill_while_its_object_is_written),
    ("a fill while everything is forgotten", None, a_fill_while_everything_is_forgotten),
    ("a revalidation while its object is written", None, a_revalidation_while_its_object_is_written),
    ("a follower after the purge", None, a_follower_after_the_purge),
    ("a follower at any time", None, a_follower_at_any_time),
    ("two checks, and a purge of something else before one that counts", Some(3), two_checks),
];

/// The tag of what is looked at, and another.
const TAG: u32 = 0;
const OTHER: u32 = 1;

/// The log, and what the origin has: 0 before the write, then 1.
#[derive(Default)]
struct World {
    log: PurgeLog,
    origin: AtomicU64,
}

impl World {
    fn new() -> Arc<World> {
        Arc::default()
    }

    /// An entry that was fetched now.
    fn entry(&self) -> Birth {
        Birth::new(self.log.stamp(), self.log.stamp())
    }

    /// A fetch: its birth, and what it got.
    fn fetch(&self) -> (Stamp, u64) {
        let born = self.log.stamp();
        (born, self.origin.load(Ordering::Relaxed))
    }

    /// The origin has something new, which is why it is purged.
    fn write(&self, strength: Strength) -> Stamp {
        self.origin.store(1, Ordering::Relaxed);
        self.log.apply(&tag(), strength)
    }

    fn check(&self, birth: &Birth) -> Standing {
        self.log.check(birth, &tag())
    }

    /// A check by another thread.
    fn look_at(self: &Arc<World>, entry: &Arc<Birth>) -> JoinHandle<Standing> {
        let (world, entry) = (self.clone(), entry.clone());
        thread::spawn(move || world.check(&entry))
    }

    /// A fetch by another thread.
    fn fetch_aside(self: &Arc<World>) -> JoinHandle<(Stamp, u64)> {
        let world = self.clone();
        thread::spawn(move || world.fetch())
    }
}

fn tag() -> TagSet {
    TagSet::of(&[TAG])
}

/// What an entry from before is, once `purge` has ended, whoever looked at it in between.
fn a_check_before_the_end(purge: fn(&PurgeLog) -> Stamp, then: Standing) {
    let world = World::new();
    let entry = Arc::new(world.entry());
    // So that checks have to look further than at the stamp.
    world.log.apply(&TagSet::of(&[OTHER]), Strength::Hard);
    let looking = world.look_at(&entry);
    purge(&world.log);
    assert_eq!(world.check(&entry), then);
    looking.join().unwrap();
    assert_eq!(world.check(&entry), then, "and stays so");
    assert_eq!(world.check(&world.entry()), Standing::Good, "what is fetched now is not meant");
}

fn a_purge_and_a_check_before_its_end() {
    a_check_before_the_end(|log| log.apply(&tag(), Strength::Hard), Standing::Dead);
}

fn a_purge_of_too_many_tags() {
    a_check_before_the_end(|log| log.apply(&TagSet::too_many(), Strength::Hard), Standing::Dead);
}

fn the_floor_rises() {
    a_check_before_the_end(PurgeLog::raise_floor, Standing::Dead);
}

fn a_soft_purge() {
    a_check_before_the_end(|log| log.apply(&tag(), Strength::Soft), Standing::Soft);
}

/// Whatever becomes of the record of a purge that has ended, it holds all the time.
fn the_floor_rises_above_what_was_purged() {
    let world = World::new();
    let entry = Arc::new(world.entry());
    world.write(Strength::Hard);
    let looking = world.look_at(&entry);
    world.log.raise_floor();
    assert_eq!(looking.join().unwrap(), Standing::Dead);
    assert_eq!(world.check(&entry), Standing::Dead);
}

fn two_purges() {
    let world = World::new();
    let entry = Arc::new(world.entry());
    let other = thread::spawn({
        let (world, entry) = (world.clone(), entry.clone());
        move || {
            let stamp = world.log.apply(&TagSet::of(&[OTHER]), Strength::Hard);
            world.check(&entry);
            stamp
        }
    });
    let ours = world.write(Strength::Hard);
    assert_eq!(world.check(&entry), Standing::Dead);
    assert_ne!(other.join().unwrap(), ours, "each has its stamp");
    assert_eq!(world.check(&entry), Standing::Dead);
}

/// A bucket has one place here, so that the second record takes that of the first.
fn a_purge_whose_record_gives_way() {
    let world = World::new();
    let entry = Arc::new(world.entry());
    world.write(Strength::Hard);
    let looking = world.look_at(&entry);
    world.log.apply(&TagSet::of(&[OTHER]), Strength::Hard);
    assert_eq!(looking.join().unwrap(), Standing::Dead);
    assert_eq!(world.check(&entry), Standing::Dead);
}

fn two_checks() {
    let world = World::new();
    let entry = Arc::new(world.entry());
    let looking = [world.look_at(&entry), world.look_at(&entry)];
    world.log.apply(&TagSet::of(&[OTHER]), Strength::Hard);
    world.write(Strength::Hard);
    assert_eq!(world.check(&entry), Standing::Dead);
    for check in looking {
        check.join().unwrap();
    }
    assert_eq!(world.check(&entry), Standing::Dead);
}

/// Rule 5: what has the old state was born before the purge; what was born after has the new one, and is good.
fn a_fill_while_its_object_is_written() {
    a_fill_before_the_end(|log| log.apply(&tag(), Strength::Hard));
}

fn a_fill_while_everything_is_forgotten() {
    a_fill_before_the_end(PurgeLog::raise_floor);
}

fn a_fill_before_the_end(purge: fn(&PurgeLog) -> Stamp) {
    let world = World::new();
    let filling = world.fetch_aside();
    world.origin.store(1, Ordering::Relaxed);
    let purged = purge(&world.log);
    let (born, got) = filling.join().unwrap();
    let standing = world.check(&Birth::new(born, born));
    assert_eq!(standing == Standing::Good, born >= purged);
    assert!(standing != Standing::Good || got == 1, "fetched before, and good");
}

/// Rule 8: what was revalidated before the soft purge is not fresh after it.
fn a_revalidation_while_its_object_is_written() {
    let world = World::new();
    let base = world.log.stamp();
    let validating = world.fetch_aside();
    world.write(Strength::Soft);
    let (validated, got) = validating.join().unwrap();
    let standing = world.check(&Birth::new(base, validated));
    assert!(standing != Standing::Good || got == 1, "validated before, and good");
}

/// Rule 7, for a request that begins after the purge was acknowledged, while the fill may be anywhere.
fn a_follower_after_the_purge() {
    let world = World::new();
    let filling = world.fetch_aside();
    world.write(Strength::Hard);
    let arrived = world.log.stamp();
    let (born, got) = filling.join().unwrap();
    assert!(got == 1 || !world.log.may_follow(born, arrived, &tag()), "follows what was fetched before");
    assert!(got == 1 || !world.log.may_follow_untagged(born, arrived), "follows what was fetched before");
}

/// Rule 7 by the stamps alone: nothing but the log tells this request that there was a purge.
fn a_follower_at_any_time() {
    let world = World::new();
    let (born, _) = world.fetch();
    let arriving = thread::spawn({
        let world = world.clone();
        move || {
            let arrived = world.log.stamp();
            (arrived, world.log.may_follow(born, arrived, &tag()), world.log.may_follow_untagged(born, arrived))
        }
    });
    let purged = world.write(Strength::Hard);
    let (arrived, tagged, untagged) = arriving.join().unwrap();
    assert!(arrived < purged || !(tagged || untagged), "arrived after the purge, and follows what was fetched before");
    assert!(arrived >= purged || (tagged && untagged), "arrived when nothing was purged");
}
