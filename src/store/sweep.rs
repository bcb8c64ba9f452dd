//! Purged answers leave memory soon, not when somebody asks for them: a walk through the store takes out what is dead.
//!
//! That is a matter of memory alone. Whether an answer may be used is the log's to say (rule 6), before a walk, during it and
//! after it; and requests know nothing of walks. A walk has slices of a few milliseconds with as much rest between them, and
//! rests for many times as long as it took, so that a stream of writes keeps no core busy.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::memory::Memory;
use crate::entry::purge::{PurgeLog, Stamp, Standing};
use crate::entry::stored::Entry;
use crate::ground::clock::monotonic;

/// How far dead answers are taken out.
#[derive(Debug, Default)]
pub struct Swept {
    /// All that was dead when the log stood there is gone.
    to: AtomicU64,
    /// Something came that was dead on arrival: a walk may have been there before it.
    late: AtomicBool,
    /// Bytes that all walks took out.
    bytes: AtomicU64,
}

/// What is dead and still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dead {
    /// Nothing.
    Nothing,
    /// So many bytes.
    Bytes(u64),
    /// It was not counted: the store is too large to be looked through at once.
    NotCounted,
}

/// A walk looks at so many answers, then at the clock.
const STEP: usize = 64;

/// How long a walk goes on without a rest, and how long that is.
const SLICE: Duration = Duration::from_millis(2);

/// A walk is followed by a rest of so many times its length, but not of more than [`LONGEST_REST`].
const REST: u32 = 10;
const LONGEST_REST: Duration = Duration::from_secs(4);

/// The largest store that is looked through while somebody waits for the answer.
pub const MOST_COUNTED: u64 = 50_000;
/// The largest store that is looked through at each purge without being asked to.
pub const COUNTED_UNASKED: u64 = 1_000;
/// For how long at most.
const COUNTED_FOR: Duration = Duration::from_millis(100);

impl Swept {
    /// Bytes that were taken out since the process began.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether anything can be dead that was not taken out.
    pub fn is_done(&self, log: &PurgeLog) -> bool {
        log.last_hard() <= Stamp(self.to.load(Ordering::Relaxed)) && !self.late.load(Ordering::Relaxed)
    }

    /// Something was put into the store that a purge had overtaken.
    pub fn came_late(&self) {
        self.late.store(true, Ordering::Relaxed);
    }

    /// Takes out what is dead, if anything can be; blocks for as long as that takes. Ends early when it may not `go_on`. Answers
    /// how long to rest before the next walk.
    pub fn walk(&self, memory: &Memory, log: &PurgeLog, go_on: impl Fn() -> bool) -> Duration {
        if self.is_done(log) {
            return Duration::ZERO;
        }
        // What dies later is for the next walk, and what comes dead.
        self.late.store(false, Ordering::Relaxed);
        let (began, to) = (monotonic(), log.stamp());
        let (mut slice, mut worked) = (began, Duration::ZERO);
        for (number, (key, slot)) in memory.iter().enumerate() {
            if slot.entry().is_some_and(|entry| is_dead(log, entry)) {
                let weight = u64::from(slot.weight(&key));
                if memory.take_out(&key, |there| there.entry().is_some_and(|entry| is_dead(log, entry))) {
                    self.bytes.fetch_add(weight, Ordering::Relaxed);
                }
            }
            if number % STEP == STEP - 1 && slice.elapsed() >= SLICE {
                worked += slice.elapsed();
                if !go_on() {
                    self.came_late();
                    return Duration::ZERO;
                }
                std::thread::sleep(SLICE);
                slice = monotonic();
            }
        }
        memory.tend();
        self.to.fetch_max(to.0, Ordering::Relaxed);
        ((worked + slice.elapsed()) * REST).min(LONGEST_REST)
    }

    /// What is dead and still there; blocks, though not for long.
    pub fn dead(&self, memory: &Memory, log: &PurgeLog) -> Dead {
        if self.is_done(log) {
            return Dead::Nothing;
        }
        let mut bytes = 0;
        let whole = look_through(memory, MOST_COUNTED, |key, slot| {
            if slot.entry().is_some_and(|entry| is_dead(log, entry)) {
                bytes += u64::from(slot.weight(key));
            }
        });
        if whole { Dead::Bytes(bytes) } else { Dead::NotCounted }
    }
}

/// Shows every slot, unless there are more than `most` or it takes too long: whether it was all of them.
pub fn look_through(
    memory: &Memory,
    most: u64,
    mut show: impl FnMut(&crate::entry::key::Key, &crate::entry::slot::Slot),
) -> bool {
    memory.tend();
    if memory.size().0 > most {
        return false;
    }
    let until = monotonic() + COUNTED_FOR;
    for (number, (key, slot)) in memory.iter().enumerate() {
        if number % STEP == STEP - 1 && monotonic() >= until {
            return false;
        }
        show(&key, &slot);
    }
    true
}

fn is_dead(log: &PurgeLog, entry: &Entry) -> bool {
    log.check(entry.birth(), entry) == Standing::Dead
}
