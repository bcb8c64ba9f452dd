//! The time that the monotonic clock has missed, by the other clocks of the machine.
//!
//! CLOCK_MONOTONIC stands still while the machine is suspended, and all of a guest's own clocks do while a hypervisor has
//! paused it: afterwards only the wall clock is set right. So what each of CLOCK_BOOTTIME and the wall clock has gone further
//! than CLOCK_MONOTONIC since the last look counts, whichever is more. A step backwards counts for nothing, now or later: it
//! must not hide a sleep that comes after it. A wall clock that is set forwards looks like a sleep; what is stored is then taken
//! for older than it is, and asked for anew.

use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Clocks are read one after the other, and slewed: less than this is no sleep. It adds up until it is more.
const LEAST: Duration = Duration::from_millis(500);

/// What the clocks say at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClockReading {
    pub monotonic: Instant,
    /// Since the machine started, its sleep included.
    pub boot: Duration,
    pub wall: SystemTime,
}

impl ClockReading {
    pub(super) fn now() -> ClockReading {
        // The monotonic clock last: a pause between two of the readings is then not taken for a sleep.
        let (boot, wall) = (since_boot(), SystemTime::now());
        ClockReading { monotonic: Instant::now(), boot, wall }
    }
}

#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(time).unwrap_or_default()
}

/// Elsewhere the wall clock alone tells.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    Duration::ZERO
}

/// How long the machine has slept since the process began.
#[derive(Debug)]
pub(super) struct Slept {
    began: Instant,
    nanos: AtomicU64,
    /// By how much the wall clock was ahead of the monotonic one at the last look, in milliseconds.
    ahead_ms: AtomicI64,
    last: Mutex<ClockReading>,
}

impl Slept {
    pub(super) fn since(first: ClockReading) -> Slept {
        let slept = Slept {
            began: first.monotonic,
            nanos: AtomicU64::new(0),
            ahead_ms: AtomicI64::new(0),
            last: Mutex::new(first),
        };
        slept.ahead_ms.store(slept.ahead(first.monotonic, first.wall), Ordering::Relaxed);
        slept
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Acquire))
    }

    /// Whether the wall clock has gone further than the monotonic one: one load and one subtraction for each request.
    pub(super) fn may_have_slept(&self, monotonic: Instant, wall: SystemTime) -> bool {
        self.ahead(monotonic, wall) - self.ahead_ms.load(Ordering::Relaxed) >= LEAST.as_millis() as i64
    }

    /// Takes a reading into account.
    pub(super) fn look(&self, now: ClockReading) {
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Some(passed) = now.monotonic.checked_duration_since(last.monotonic) else {
            // Another thread has looked meanwhile.
            return;
        };
        let by_boot = now.boot.saturating_sub(last.boot);
        let by_wall = now.wall.duration_since(last.wall).ok();
        let missed = by_boot.max(by_wall.unwrap_or_default()).saturating_sub(passed);
        if missed >= LEAST {
            self.nanos.fetch_add(u64::try_from(missed.as_nanos()).unwrap_or(u64::MAX / 4), Ordering::AcqRel);
            *last = now;
        } else if by_wall.is_none_or(|by_wall| by_wall + LEAST <= passed) {
            // The wall clock went back: it is compared with where it is now, and nothing is taken off what it said before.
            last.wall = now.wall.checked_sub(passed).unwrap_or(now.wall);
        } else {
            return;
        }
        self.ahead_ms.store(self.ahead(now.monotonic, now.wall), Ordering::Relaxed);
    }

    fn ahead(&self, monotonic: Instant, wall: SystemTime) -> i64 {
        let passed = monotonic.saturating_duration_since(self.began).as_millis() as i64;
        let wall = match wall.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => since.as_millis() as i64,
            Err(before) => -(before.duration().as_millis() as i64),
        };
        wall.saturating_sub(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const SECOND: Duration = Duration::from_secs(1);

    /// Clocks that a test lets go, each by itself.
    struct Machine {
        at: ClockReading,
        slept: Slept,
    }

    impl Machine {
        fn new() -> Machine {
            let wall = SystemTime::UNIX_EPOCH + HOUR * 500_000;
            let at = ClockReading { monotonic: Instant::now(), boot: HOUR, wall };
            Machine { at, slept: Slept::since(at) }
        }

        /// What has been missed in all, after the clocks went on by so much.
        fn after(&mut self, monotonic: Duration, boot: Duration, wall: Duration) -> Duration {
            self.at.monotonic += monotonic;
            self.at.boot += boot;
            self.at.wall += wall;
            self.look()
        }

        fn back(&mut self, wall: Duration) -> Duration {
            self.at.wall -= wall;
            self.look()
        }

        fn look(&mut self) -> Duration {
            if self.slept.may_have_slept(self.at.monotonic, self.at.wall) {
                self.slept.look(self.at);
                assert!(!self.slept.may_have_slept(self.at.monotonic, self.at.wall), "it is looked at once");
            }
            self.slept.look(self.at);
            self.slept.time()
        }
    }

    #[test]
    fn time_that_the_monotonic_clock_missed_counts_by_the_clock_that_saw_more() {
        let check = |boot, wall, want| assert_eq!(Machine::new().after(SECOND, SECOND + boot, SECOND + wall), want);
        check(Duration::ZERO, Duration::ZERO, Duration::ZERO);
        // Suspended: both know.
        check(HOUR, HOUR, HOUR);
        // A paused guest: its wall clock alone is set right.
        check(Duration::ZERO, HOUR, HOUR);
        // Suspended, and the wall clock was wrong afterwards.
        check(HOUR, Duration::ZERO, HOUR);
        check(HOUR, 2 * HOUR, 2 * HOUR);
    }

    #[test]
    fn a_request_that_comes_first_after_a_sleep_notices() {
        let mut machine = Machine::new();
        assert!(!machine.slept.may_have_slept(machine.at.monotonic, machine.at.wall));
        machine.at.wall += HOUR;
        assert!(machine.slept.may_have_slept(machine.at.monotonic, machine.at.wall));
        assert_eq!(machine.look(), HOUR);
    }

    #[test]
    fn a_step_backwards_makes_nothing_fresher_and_hides_no_sleep() {
        let mut machine = Machine::new();
        assert_eq!(machine.after(SECOND, SECOND, HOUR + SECOND), HOUR);
        assert_eq!(machine.back(2 * HOUR), HOUR);
        assert_eq!(machine.after(SECOND, SECOND, SECOND), HOUR, "it goes on from where it is");
        assert_eq!(machine.after(SECOND, SECOND, HOUR + SECOND), 2 * HOUR, "a pause after the step");
        assert_eq!(machine.after(SECOND, HOUR + SECOND, SECOND), 3 * HOUR, "a sleep after it");
    }

    #[test]
    fn a_sleep_that_the_wall_clock_went_back_in_counts() {
        let mut machine = Machine::new();
        machine.at.wall -= 2 * HOUR;
        assert_eq!(machine.after(SECOND, HOUR + SECOND, SECOND), HOUR);
    }

    #[test]
    fn a_slew_counts_once_it_has_added_up_and_noise_never_does() {
        let mut machine = Machine::new();
        let fast = SECOND + Duration::from_millis(1);
        let last = (0..1000).map(|_| machine.after(SECOND, SECOND, fast)).last();
        assert_eq!(last, Some(SECOND));
        for _ in 0..1000 {
            machine.after(SECOND, SECOND, SECOND + Duration::from_millis(10));
            machine.after(SECOND, SECOND, SECOND - Duration::from_millis(10));
        }
        assert_eq!(machine.look(), SECOND);
    }
}
