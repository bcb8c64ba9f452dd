//! One event per exchange: what became of it, how long it took, and where the time went.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderValue, StatusCode, Version};

use crate::ground::worker::WorkerId;
use crate::policy::outcome::Outcome;

/// An exchange whose answer is in hand.
#[derive(Debug)]
pub struct Event {
    /// When the request was complete.
    pub began: Instant,
    /// The index of the route that took it.
    pub route: Option<usize>,
    /// The worker that served it.
    pub worker: WorkerId,
    /// Its id.
    pub id: HeaderValue,
    /// Its method, if the head could be trusted.
    pub method: Option<&'static str>,
    /// Its protocol, if the head could be trusted.
    pub version: Option<Version>,
    /// The answer's status, if there was one.
    pub status: Option<StatusCode>,
    /// What became of it.
    pub outcome: Outcome,
    /// From its beginning until the answer was in hand.
    pub head: Duration,
    /// Where the time went until then.
    pub spent: Spent,
    /// What the configuration asks lines to tell besides, as fields.
    pub included: Option<Box<[u8]>>,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy)]
pub struct ExchangeEnd {
    /// When the answer's body was handed over, or gave up.
    pub at: Instant,
    /// Bytes of it that went out.
    pub bytes: u64,
    /// How long the body stood still because no more of it came.
    pub stalled: Duration,
    /// By whom it was cut off.
    pub cut: Option<Cut>,
}

/// Who cut a body off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The client went away, or did not read.
    Client,
    /// The origin broke off.
    Origin,
}

/// Where the time went that was not ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// For a connection, earlier attempts, or another request's fetch.
    pub wait: Option<Duration>,
    /// From sending the request to the head of the origin's answer.
    pub origin: Option<Duration>,
}

/// Adds up [`Spent`] while a request goes down the line.
#[derive(Debug, Default)]
pub struct Spending {
    wait_nanos: AtomicU64,
    origin_nanos: AtomicU64,
}

impl Spending {
    /// So much time passed on the way to the origin and back, so much of it until its answer's head came, if it did.
    pub fn add(&self, passed: Duration, origin: Option<Duration>) {
        let origin = origin.map(|origin| origin.min(passed));
        // What took no time happened all the same. One task at a time owns a request: the atomics only let it be lent.
        let add = |sum: &AtomicU64, time: Duration| {
            sum.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        };
        add(&self.wait_nanos, passed - origin.unwrap_or_default());
        if let Some(origin) = origin {
            add(&self.origin_nanos, origin);
        }
    }

    /// The sum so far.
    pub fn sum(&self) -> Spent {
        let some = |nanos: &AtomicU64| match nanos.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        };
        Spent { wait: some(&self.wait_nanos), origin: some(&self.origin_nanos) }
    }
}
