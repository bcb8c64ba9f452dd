//! What all requests share.

use std::hash::BuildHasher as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::body::spool::budget::Budget;
use crate::coherence::backoff::Backoff;
use crate::coherence::flight::Flights;
use crate::coherence::refused::Refused;
use crate::entry::purge::PurgeLog;
use crate::ground::clock::Clock;
use crate::store::settings::Bounds;
use crate::store::sweep::Swept;

const SHARDS: usize = 32;

/// How long it is remembered that the answers to a key cannot be stored.
pub const REMEMBER_UNCACHEABLE: Duration = Duration::from_secs(120);

/// The same, where the answer was an error of the origin's (5xx).
pub const REMEMBER_ERROR: Duration = Duration::from_secs(2);

/// What all requests share.
#[derive(Debug)]
pub struct Cache<S> {
    /// Stored answers.
    pub memory: S,
    /// Where they are put.
    pub filing: Filing,
    /// What of them is still true.
    pub log: PurgeLog,
    /// What was refused, and when.
    pub refused: Refused,
    /// How far what is dead was taken out.
    pub swept: Swept,
    /// Fetches under way.
    pub flights: Arc<Flights>,
    /// The time, for those who call the steps.
    pub clock: Clock,
    /// What bodies take while they are being filled.
    pub budget: Arc<Budget>,
    /// Refreshes that nobody waits for, at once.
    pub refreshes: Arc<Semaphore>,
    /// When to refresh after failures.
    pub backoff: Backoff,
}

/// How much is kept of one answer, and whose turn it is to change that.
#[derive(Debug)]
pub struct Filing {
    pub(super) bounds: Bounds,
    pub(super) shards: [Mutex<()>; SHARDS],
    pub(super) hasher: foldhash::fast::RandomState,
}

impl Filing {
    /// Within these bounds.
    pub fn of(bounds: Bounds) -> Filing {
        let (shards, hasher) = (std::array::from_fn(|_| Mutex::default()), foldhash::fast::RandomState::default());
        Filing { bounds, shards, hasher }
    }

    pub(super) fn turn(&self, primary: &[u8]) -> MutexGuard<'_, ()> {
        let shard = &self.shards[self.hasher.hash_one(primary) as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
