//! The only `now()`.
//!
//! Time is read at the border, once a request, and passed on as a value: [`Now`] carries the monotonic instant that ages
//! and deadlines are computed with, and the wall clock that dates in headers are compared with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// A moment, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For ages and deadlines; never goes back.
    pub instant: Instant,
    /// For dates in headers.
    pub wall: SystemTime,
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
            Clock::System => Now { instant: Instant::now(), wall: SystemTime::now() },
            Clock::Manual(manual) => manual.now(),
        }
    }

    /// The present moment on the monotonic clock alone: half of what both cost.
    pub fn instant(&self) -> Instant {
        match self {
            Clock::System => Instant::now(),
            Clock::Manual(manual) => manual.now().instant,
        }
    }
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
