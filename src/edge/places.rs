//! Places for connections, over all workers, and what is done when there are none left.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Failures that are this close to each other are one episode, and said once.
const EPISODE: Duration = Duration::from_secs(10);

/// The places of a listener's connections.
#[derive(Debug)]
pub struct Places {
    free: Arc<Semaphore>,
    limit: usize,
    /// Somebody waits for a place: who has idle connections gives one up.
    wanted: Notify,
    shed: AtomicU64,
    refused_handshakes: AtomicU64,
    failures: AtomicU64,
    last_failure: Mutex<Option<Instant>>,
}

impl Places {
    /// This many.
    pub fn new(limit: usize) -> Arc<Places> {
        Arc::new(Places {
            free: Arc::new(Semaphore::new(limit)),
            limit,
            wanted: Notify::new(),
            shed: AtomicU64::new(0),
            refused_handshakes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            last_failure: Mutex::default(),
        })
    }

    /// Places that are taken.
    pub fn taken(&self) -> usize {
        self.limit.saturating_sub(self.free.available_permits())
    }

    /// Idle connections that were closed to make room.
    pub fn shed(&self) -> u64 {
        self.shed.load(Ordering::Relaxed)
    }

    /// Connections that ended before a TLS session was agreed on, for what the client said.
    pub fn refused_handshakes(&self) -> u64 {
        self.refused_handshakes.load(Ordering::Relaxed)
    }

    /// How often no connection could be accepted, for want of descriptors or memory.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// A place, if one is free.
    pub(super) fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// A place, once one is free.
    pub(super) async fn wait(&self) -> Option<OwnedSemaphorePermit> {
        // Never closed.
        self.free.clone().acquire_owned().await.ok()
    }

    /// Asks the other workers to give one up.
    pub(super) fn want(&self) {
        self.wanted.notify_waiters();
    }

    /// Another worker wants a place.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    pub(super) fn count_refused_handshake(&self) {
        self.refused_handshakes.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_shed(&self) {
        self.shed.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failure; answers whether an episode begins with it.
    pub(super) fn failed(&self) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        last.is_none_or(|last| now.duration_since(last) > EPISODE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_said_once() {
        let places = Places::new(1);
        assert!(places.failed());
        assert!(!places.failed() && !places.failed());
        *places.last_failure.lock().unwrap() = Instant::now().checked_sub(EPISODE * 2);
        assert!(places.failed());
        assert_eq!(places.failures(), 4);
    }
}
