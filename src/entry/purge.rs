//! The purge log of this node: a counter, two tables and a floor (rules 4 to 9 below).
//!
//! Every applied record takes the next *stamp*. A fill notes the stamp before its request leaves for the origin; an entry is
//! usable only if no later record matches one of its tags. So a fill that began before a purge is dead on arrival, with no
//! lock and no index, and a hit costs one atomic load while the log stands still.
//!
//! The tables are of a fixed size, in buckets by tag hash. A bucket holds the latest records of seven tags, and the stamp of the latest that gave way
//! to another: what is older than that may have been purged, what is younger was not. So a flood of purges costs what is older than the flood,
//! and of that only what shares a bucket with more than seven purged tags; never truth. What no purge has touched takes no memory.
//!
//! All ordering is the stamp's: it is stored with Release when all else of a record is there, and loaded with Acquire before
//! anything else is looked at. `tests/ordering` runs this file under loom, and it again with single orderings weakened.
//!
//! # The rules
//!
//! Other places refer to these by number. The numbers in between belong to several nodes that share one log.
//!
//! 4. **Record.** A record is a set of tags, hard or soft. URL, path, path prefixes, host and route are tags of every entry, so
//!    a purge by URL takes all partitions and variants.
//! 5. **Birth.** The stamp is noted before the first byte of the first attempt goes out.
//! 6. **Check**, in this order: load the stamp; equal to `checked`: usable; any hard tag later than birth: dead; any soft tag
//!    later than the validation: stale, and `checked` does not advance; the floor last; then `checked` advances. **Apply**, in
//!    this order: table, stamp, answer. **Forget**: floor, stamp, then remove.
//! 7. **Followers.** A fill born at e serves a request that arrived at stamp j only if e ≥ j or no hard record above e matches
//!    the answer's tags, judged when the head is known. While tags that come from the body are missing, any hard record
//!    above e counts as a match. Otherwise that request fetches for itself.
//! 8. **304.** A hard-dead entry is never the base of a 304; check again at the merge, and fetch again without the condition
//!    if it died. Merged: birth of the base, validation of the revalidation, the union of the tags.
//! 9. **Made from others:** birth is the least, tags are the union.
//! 14. **Writes.** Every unsafe request purges hard, before any byte of its answer goes out, on success and on an unknown
//!     outcome. Answers to unsafe requests are never stored.
//! 15. **Reload.** Keys carry the fingerprint of their route; a mismatch is a miss. A route that is new or other is purged before
//!     it is in force: rules that come back would find what writes in between did not name. A write that ends under other rules
//!     than it began by purges such routes again.
//! 17. **Bounds.** An answer with more tags than the bound is not stored; tags are never dropped.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use crate::entry::tag::{TagHash, TagSet, Tagged};
use crate::ground::mutants::{Rule, is_off};

/// A position in this process's log; grows only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Stamp(pub u64);

/// How strongly a record acts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strength {
    /// What matches is never served again.
    Hard,
    /// What matches is no longer fresh.
    Soft,
}

/// Whether an entry may be used, as far as purges are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No later record matches.
    Good,
    /// A later soft record matches: stale.
    Soft,
    /// A later hard record matches, or the floor rose above it.
    Dead,
}

/// When an entry was made, as the log counts.
#[derive(Debug)]
pub struct Birth {
    /// The stamp before the first byte of the fetch went out (rule 5).
    pub born: Stamp,
    /// The stamp before the last revalidation went out.
    pub validated: Stamp,
    /// Up to where the log was found to hold nothing against it.
    checked: AtomicU64,
}

impl Birth {
    /// An entry whose fetch, and whose last revalidation, left at these stamps.
    pub fn new(born: Stamp, validated: Stamp) -> Birth {
        // `checked` starts as `born`, not as the stamp at the time of storing: records that came during the fill count.
        Birth { born, validated, checked: AtomicU64::new(born.0) }
    }
}

#[cfg(feature = "mutants")]
impl Birth {
    /// Takes for granted what [`PurgeLog::check`] is there to find out.
    pub(crate) fn take_for_checked(&self, now: Stamp) {
        self.checked.store(now.0, Ordering::Relaxed);
    }
}

/// So many that a day of writes does not fill them: a million distinct tags leave 999 of 1000 others alone. 32 MiB for each strength
/// at most.
const BUCKETS: usize = 1 << 19;

/// The tags of a bucket whose records are known one by one. With what gave way, a line of the processor's cache.
const PLACES: usize = 7;

/// The buckets that come into being together.
const TOGETHER: usize = 64;

/// The log.
#[derive(Debug)]
pub struct PurgeLog {
    stamp: AtomicU64,
    hard: Table,
    soft: Table,
    floor: AtomicU64,
    /// The last hard record of any tag, for fills whose tags are not known yet.
    last_hard: AtomicU64,
    /// One record at a time.
    append: Mutex<()>,
}

impl Default for PurgeLog {
    fn default() -> PurgeLog {
        PurgeLog {
            stamp: AtomicU64::new(1),
            hard: Table::default(),
            soft: Table::default(),
            floor: AtomicU64::new(0),
            last_hard: AtomicU64::new(0),
            append: Mutex::new(()),
        }
    }
}

impl PurgeLog {
    /// Where the log stands; what a fill notes before it leaves, and a request when it arrives.
    pub fn stamp(&self) -> Stamp {
        Stamp(self.stamp.load(Ordering::Acquire))
    }

    /// The last hard record: nothing can be dead by a later one.
    pub fn last_hard(&self) -> Stamp {
        Stamp(self.last_hard.load(Ordering::Relaxed))
    }

    /// Applies a record and answers its stamp. Whatever was born before is judged by it from now on.
    pub fn apply(&self, tags: &TagSet, strength: Strength) -> Stamp {
        let _one = self.append.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let next = self.stamp.load(Ordering::Relaxed) + 1;
        if strength == Strength::Hard {
            self.last_hard.store(next, Ordering::Relaxed);
        }
        if tags.overflowed() {
            // More than the record could hold: everything that is forgotten raises the floor.
            self.floor.store(next, Ordering::Relaxed);
            self.last_hard.store(next, Ordering::Relaxed);
        }
        let table = self.table(strength);
        for tag in tags.hashes() {
            if is_off(Rule::Columns) {
                [&self.hard, &self.soft].iter().for_each(|column| column.forget(*tag));
            }
            table.record(*tag, next);
        }
        // Table first, then the stamp (rule 6): whoever sees the stamp sees the record.
        self.stamp.store(next, Ordering::Release);
        Stamp(next)
    }

    /// Forgets everything: all that was born before is dead.
    pub fn raise_floor(&self) -> Stamp {
        let _one = self.append.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let next = self.stamp.load(Ordering::Relaxed) + 1;
        self.last_hard.store(next, Ordering::Relaxed);
        self.floor.store(next, Ordering::Relaxed);
        self.stamp.store(next, Ordering::Release);
        Stamp(next)
    }

    /// Rule 6, in its order.
    pub fn check(&self, birth: &Birth, tags: &impl Tagged) -> Standing {
        let now = self.stamp.load(Ordering::Acquire);
        if now == birth.checked.load(Ordering::Relaxed) {
            return Standing::Good;
        }
        if self.matches(Strength::Hard, tags, birth.born) {
            return Standing::Dead;
        }
        if self.matches(Strength::Soft, tags, birth.validated) {
            if is_off(Rule::CheckedOnSoft) {
                birth.checked.fetch_max(now, Ordering::Relaxed);
            }
            // `checked` does not advance: it would make the entry fresh again.
            return if self.floor_above(birth.born) { Standing::Dead } else { Standing::Soft };
        }
        if self.floor_above(birth.born) {
            return Standing::Dead;
        }
        birth.checked.fetch_max(now, Ordering::Relaxed);
        Standing::Good
    }

    /// Rule 7: whether a fill born at `born` may serve a request that arrived at `arrived`, once its tags are known.
    pub fn may_follow(&self, born: Stamp, arrived: Stamp, tags: &TagSet) -> bool {
        born >= arrived || !(self.matches(Strength::Hard, tags, born) || self.floor_above(born))
    }

    /// Rule 7 while tags that come from the body are missing: any later hard record counts as a match.
    pub fn may_follow_untagged(&self, born: Stamp, arrived: Stamp) -> bool {
        born >= arrived || self.last_hard.load(Ordering::Relaxed) <= born.0
    }

    fn matches(&self, strength: Strength, tags: &impl Tagged, since: Stamp) -> bool {
        let table = self.table(strength);
        tags.tag_hashes().any(|tag| table.is_later(tag, since.0))
    }

    fn floor_above(&self, born: Stamp) -> bool {
        self.floor.load(Ordering::Relaxed) > born.0
    }

    fn table(&self, strength: Strength) -> &Table {
        match strength {
            Strength::Hard => &self.hard,
            Strength::Soft => &self.soft,
        }
    }
}

/// The latest records of one strength, by tag. One thread writes at a time.
#[derive(Debug)]
struct Table {
    groups: Box<[OnceLock<Box<[Bucket; TOGETHER]>>]>,
}

/// The records of the tags whose hashes begin alike.
#[derive(Debug)]
#[repr(align(64))]
struct Bucket {
    /// Each the stamp of a tag's latest record above the end of its hash; 0 where there is none.
    places: [AtomicU64; PLACES],
    /// The latest stamp that gave way.
    gave_way: AtomicU64,
}

impl Default for Table {
    fn default() -> Table {
        Table { groups: (0..BUCKETS.div_ceil(TOGETHER)).map(|_| OnceLock::new()).collect() }
    }
}

impl Table {
    fn record(&self, tag: TagHash, stamp: u64) {
        let (group, number) = whereabouts(tag);
        let bucket = &self.groups[group].get_or_init(unpurged)[number];
        let records = bucket.places.iter().map(|place| (place.load(Ordering::Relaxed), place));
        let own = |&(record, _): &(u64, &AtomicU64)| record > 0 && end(record) == end(tag.0.into());
        let Some((record, place)) = records.min_by_key(|it| (!own(it), it.0)) else { return };
        // The oldest of all gives way, so this only grows.
        if record > 0 && end(record) != end(tag.0.into()) {
            bucket.gave_way.store(record >> END, Ordering::Relaxed);
        }
        // What gave way first: whoever sees the new record in its place sees that it did.
        place.store(stamp << END | end(tag.0.into()), Ordering::Release);
    }

    /// Whether a record of this tag, or one that gave way and may have been, is later.
    fn is_later(&self, tag: TagHash, since: u64) -> bool {
        let (group, number) = whereabouts(tag);
        let Some(buckets) = self.groups[group].get() else { return false };
        let bucket = &buckets[number];
        bucket.places.iter().any(|place| {
            let record = place.load(Ordering::Acquire);
            record >> END > since && end(record) == end(tag.0.into())
        }) || bucket.gave_way.load(Ordering::Relaxed) > since
    }

    /// For a mutant.
    fn forget(&self, tag: TagHash) {
        let (group, number) = whereabouts(tag);
        let Some(buckets) = self.groups[group].get() else { return };
        let own = |place: &&AtomicU64| end(place.load(Ordering::Relaxed)) == end(tag.0.into());
        buckets[number].places.iter().filter(own).for_each(|place| place.store(0, Ordering::Release));
    }
}

fn unpurged() -> Box<[Bucket; TOGETHER]> {
    Box::new(std::array::from_fn(|_| Bucket::new()))
}

impl Bucket {
    fn new() -> Bucket {
        Bucket { places: std::array::from_fn(|_| AtomicU64::new(0)), gave_way: AtomicU64::new(0) }
    }
}

/// The bits of a hash that a place holds, which leaves 48 for stamps: a million records a second for nine years. With those that
/// choose the bucket they are the whole hash.
const END: u32 = 16;

fn end(tag: u64) -> u64 {
    tag & ((1 << END) - 1)
}

fn whereabouts(tag: TagHash) -> (usize, usize) {
    let bucket = (tag.0 >> (END - 3)) as usize & (BUCKETS - 1);
    (bucket / TOGETHER, bucket % TOGETHER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tag::MAX_TAGS;

    fn tags(names: &[&str]) -> TagSet {
        let mut set = TagSet::default();
        names.iter().for_each(|name| set.name(name));
        set
    }

    fn born_now(log: &PurgeLog) -> Birth {
        Birth::new(log.stamp(), log.stamp())
    }

    #[test]
    fn a_hard_record_kills_what_was_born_before_and_nothing_else() {
        let log = PurgeLog::default();
        let before = born_now(&log);
        let other = born_now(&log);
        log.apply(&tags(&["a"]), Strength::Hard);
        let after = born_now(&log);
        assert_eq!(log.check(&before, &tags(&["a", "b"])), Standing::Dead);
        assert_eq!(log.check(&other, &tags(&["b"])), Standing::Good);
        assert_eq!(log.check(&after, &tags(&["a"])), Standing::Good);
        assert_eq!(log.check(&before, &tags(&["a"])), Standing::Dead, "death is for ever");
    }

    #[test]
    fn a_soft_record_stays_soft_until_revalidation() {
        let log = PurgeLog::default();
        let entry = born_now(&log);
        log.apply(&tags(&["a"]), Strength::Soft);
        assert_eq!(log.check(&entry, &tags(&["a"])), Standing::Soft);
        log.apply(&tags(&["x"]), Strength::Hard);
        assert_eq!(log.check(&entry, &tags(&["a"])), Standing::Soft, "`checked` did not advance");
        let merged = Birth::new(entry.born, log.stamp());
        assert_eq!(log.check(&merged, &tags(&["a"])), Standing::Good);
        log.apply(&tags(&["a"]), Strength::Hard);
        assert_eq!(log.check(&merged, &tags(&["a"])), Standing::Dead);
    }

    #[test]
    fn a_record_that_came_during_the_fill_counts() {
        let log = PurgeLog::default();
        let born = log.stamp();
        log.apply(&tags(&["a"]), Strength::Hard);
        assert_eq!(log.check(&Birth::new(born, born), &tags(&["a"])), Standing::Dead);
    }

    #[test]
    fn the_floor_kills_all() {
        let log = PurgeLog::default();
        let entry = born_now(&log);
        log.raise_floor();
        assert_eq!(log.check(&entry, &tags(&["a"])), Standing::Dead);
        assert_eq!(log.check(&born_now(&log), &tags(&["a"])), Standing::Good);
    }

    #[test]
    fn followers_are_judged_by_what_came_after_the_fill_was_born() {
        let log = PurgeLog::default();
        let born = log.stamp();
        assert!(log.may_follow(born, log.stamp(), &tags(&["a"])));
        log.apply(&tags(&["a"]), Strength::Hard);
        let arrived = log.stamp();
        assert!(!log.may_follow(born, arrived, &tags(&["a"])));
        assert!(log.may_follow(born, arrived, &tags(&["b"])));
        assert!(log.may_follow(born, born, &tags(&["a"])), "it began before the purge");
        assert!(!log.may_follow_untagged(born, arrived), "its tags are not known yet");
        log.apply(&tags(&["b"]), Strength::Soft);
        assert!(log.may_follow_untagged(arrived, log.stamp()), "soft records kill nothing");
    }

    /// A permutation of the numbers of 32 bits that looks like chance.
    fn scattered(number: u32) -> TagHash {
        let mixed = (number ^ number >> 16).wrapping_mul(0x7feb_352d);
        let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x846c_a68b);
        TagHash(mixed ^ mixed >> 16)
    }

    fn purge(log: &PurgeLog, from: u32, to: u32) {
        for first in (from..to).step_by(MAX_TAGS) {
            log.apply(&(first..to.min(first + MAX_TAGS as u32)).map(scattered).collect(), Strength::Hard);
        }
    }

    #[test]
    fn a_flood_of_purges_leaves_alone_what_it_was_not_about() {
        const TAGS: u32 = 10;
        const ENTRIES: u32 = 10_000;
        let log = PurgeLog::default();
        let born = log.stamp();
        let entry =
            |number: u32| -> TagSet { (0..TAGS).map(|tag| scattered(u32::MAX - number * TAGS - tag)).collect() };
        let mut purged = 0;
        for (so_far, most_lost) in [(60_000, 0), (300_000, 2), (1_000_000, 150)] {
            purge(&log, purged, so_far);
            purged = so_far;
            let dead = |number: &u32| log.check(&Birth::new(born, born), &entry(*number)) == Standing::Dead;
            let lost = (0..ENTRIES).filter(dead).count();
            assert!(lost <= most_lost, "{lost} of {ENTRIES} after {so_far}");
        }
        let after = log.stamp();
        let good = |number| log.check(&Birth::new(after, after), &entry(number)) == Standing::Good;
        assert!((0..ENTRIES).all(good), "what is fetched afterwards is not older than what gave way");
        let missed = |number| {
            let carries = [scattered(u32::MAX), scattered(number)].into_iter().collect::<TagSet>();
            log.check(&Birth::new(born, born), &carries) != Standing::Dead
        };
        assert_eq!((0..purged).filter(|number| missed(*number)).count(), 0, "what was purged is gone, and stays so");
    }

    #[test]
    fn the_table_takes_memory_as_tags_are_purged() {
        let taken = |log: &PurgeLog| log.hard.groups.iter().filter(|group| group.get().is_some()).count();
        let log = PurgeLog::default();
        assert_eq!((size_of::<Bucket>(), taken(&log)), (64, 0));
        assert!(size_of_val(&*log.hard.groups) <= 128 << 10, "at rest");
        purge(&log, 0, 100);
        assert!(taken(&log) <= 100, "4 KiB for a tag at most");
        purge(&log, 0, 300_000);
        assert_eq!(taken(&log) * TOGETHER * size_of::<Bucket>(), 32 << 20, "all of it");
    }

    #[test]
    fn more_tags_of_one_bucket_than_it_has_places_are_all_purged() {
        let alike = |number: u32| TagHash(0xABCD_0000 + number);
        let log = PurgeLog::default();
        let old = born_now(&log);
        for number in 0..20 {
            log.apply(&[alike(number)].into_iter().collect(), Strength::Hard);
        }
        let young = born_now(&log);
        for number in 0..20 {
            let tags: TagSet = [alike(number)].into_iter().collect();
            assert_eq!(log.check(&old, &tags), Standing::Dead);
            assert_eq!(log.check(&young, &tags), Standing::Good);
        }
        assert_eq!(log.check(&old, &[alike(21)].into_iter().collect::<TagSet>()), Standing::Dead, "it may have been");
        let (between, early) = (Stamp(12), Stamp(2));
        assert_eq!(log.check(&Birth::new(early, early), &tags(&["elsewhere"])), Standing::Good);
        log.apply(&tags(&["moves the stamp"]), Strength::Soft);
        let unpurged: TagSet = [alike(22)].into_iter().collect();
        assert_eq!(log.check(&Birth::new(early, early), &unpurged), Standing::Dead, "older than what gave way");
        assert_eq!(log.check(&Birth::new(Stamp(15), between), &unpurged), Standing::Good, "younger than that");
    }
}
