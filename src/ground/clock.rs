//! The only `now()`.
//!
//! Time is read at the border, once a request, and passed on as a value: [`Now`] carries the monotonic instant that ages
//! and deadlines are computed with, and the wall clock that dates in headers are compared with.
//!
//! The machine's monotonic clock stands still while the machine sleeps or its virtual machine is paused. What other clocks
//! say has passed meanwhile is added to the instant (`Slept`): an answer is as old as the oldest of them makes it.

#![allow(clippy::disallowed_methods)]

mod slept;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use crate::ground::clock::slept::{ClockReading, Slept};

/// A moment, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For ages and deadlines; never goes back.
    pub instant: Instant,
    /// For dates in headers.
    pub wall: SystemTime,
}

/// The machine's monotonic time, for deadlines, rests and idle times. It stands still while the machine sleeps: how old an answer is,
/// [`Clock`] tells.
pub fn monotonic() -> Instant {
    Instant::now()
}

/// The wall clock's time, for what is read once, such as how long a certificate holds.
pub fn wall() -> SystemTime {
    SystemTime::now()
}

/// The monotonic time in milliseconds, as of the kernel's last tick, for what need not be known closer than that: a tenth of what
/// the precise time costs. It turns over after seven weeks.
pub fn coarse_millis() -> u32 {
    #[cfg(target_os = "linux")]
    let now = {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
    };
    #[cfg(not(target_os = "linux"))]
    let now = {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed().as_millis() as u64
    };
    now as u32
}

/// Where the time comes from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// A test's: the machine's at creation plus what the test has let pass.
    Manual(ManualClock),
}

impl Clock {
    /// The present moment.
    pub fn now(&self) -> Now {
        match self {
            Clock::System => Now { instant: awake_and_asleep(), wall: SystemTime::now() },
            Clock::Manual(manual) => manual.now(),
        }
    }

    /// The present moment on the monotonic clock alone: half of what both cost.
    pub fn instant(&self) -> Instant {
        match self {
            Clock::System => awake_and_asleep(),
            Clock::Manual(manual) => manual.now().instant,
        }
    }

    /// The present moment on the monotonic clock, for a request that has just come: if the wall clock has gone further
    /// since the last look, the machine may have slept, and the time it slept counts before anything is served.
    pub fn at_arrival(&self) -> Instant {
        let Clock::System = self else { return self.instant() };
        let instant = Instant::now();
        let slept = slept();
        if slept.may_have_slept(instant, SystemTime::now()) {
            slept.look(ClockReading::now());
        }
        instant + slept.time()
    }

    /// Looks whether the machine has slept; answers how long, if it has since the last look.
    pub fn look(&self) -> Option<Duration> {
        let Clock::System = self else { return None };
        let slept = slept();
        let before = slept.time();
        slept.look(ClockReading::now());
        Some(slept.time() - before).filter(|more| !more.is_zero())
    }
}

fn awake_and_asleep() -> Instant {
    Instant::now() + slept().time()
}

/// One for the process: moments are compared that different parts of it have read.
fn slept() -> &'static Slept {
    static SLEPT: OnceLock<Slept> = OnceLock::new();
    SLEPT.get_or_init(|| Slept::since(ClockReading::now()))
}

/// A clock that moves only when it is told to.
#[derive(Debug, Clone)]
pub struct ManualClock {
    start: Now,
    passed_ms: Arc<AtomicU64>,
}

impl ManualClock {
    /// Starts at the machine's present moment.
    pub fn start() -> ManualClock {
        ManualClock { start: Clock::System.now(), passed_ms: Arc::default() }
    }

    /// Lets time pass; whole milliseconds count.
    pub fn advance(&self, by: Duration) {
        self.passed_ms.fetch_add(by.as_millis() as u64, Ordering::SeqCst);
    }

    fn now(&self) -> Now {
        let passed = Duration::from_millis(self.passed_ms.load(Ordering::SeqCst));
        Now { instant: self.start.instant + passed, wall: self.start.wall + passed }
    }
}
