//! Places for connections, over all workers, and what is done when there are none left.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::watch::{HalfBodies, Lines, Rank};
use crate::ground::clock::monotonic;
use crate::ground::descriptors;

/// Failures that are this close to each other are one episode, and said once.
const EPISODE: Duration = Duration::from_secs(10);

/// So many that are to make room are found at one look: where all places are taken and thousands come in a second, each would
/// else look at all of them.
const AHEAD: usize = 64;

/// How long what a look found is good for.
const FRESH: Duration = Duration::from_millis(100);

/// Who makes room next, as was found then.
#[derive(Debug)]
struct Next {
    found: Instant,
    candidates: Vec<(Rank, Instant, usize, u64)>,
}

#[derive(Debug, PartialEq, Eq)]
enum Looked {
    Before,
    Now,
}

/// The places of a listener's connections.
#[derive(Debug)]
pub struct ClientPlaces {
    free: Arc<Semaphore>,
    limit: usize,
    /// The connections that have them, by the listener that serves them.
    lines: Mutex<Vec<Arc<Lines>>>,
    bodies: HalfBodies,
    next: Mutex<Next>,
    /// Descriptors from this number on are not for these connections.
    last_descriptors: i32,
    /// Whose connections end too where descriptors run out.
    beside: Option<Arc<ClientPlaces>>,
    shed: AtomicU64,
    refused_handshakes: AtomicU64,
    failures: AtomicU64,
    last_failure: Mutex<Option<Instant>>,
}

impl ClientPlaces {
    /// This many.
    pub fn new(limit: usize) -> Arc<ClientPlaces> {
        ClientPlaces::with(limit, HalfBodies::Stay, descriptors::last(), None)
    }

    /// This many for the admin. Descriptors are everybody's: where they run out, clients make room for it too.
    pub fn for_calls(limit: usize, clients: Arc<ClientPlaces>) -> Arc<ClientPlaces> {
        ClientPlaces::with(limit, HalfBodies::MakeRoom, i32::MAX, Some(clients))
    }

    fn with(
        limit: usize,
        bodies: HalfBodies,
        last_descriptors: i32,
        beside: Option<Arc<ClientPlaces>>,
    ) -> Arc<ClientPlaces> {
        Arc::new(ClientPlaces {
            free: Arc::new(Semaphore::new(limit)),
            limit,
            lines: Mutex::default(),
            bodies,
            next: Mutex::new(Next { found: monotonic(), candidates: Vec::new() }),
            last_descriptors,
            beside,
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

    /// Connections that were closed to make room.
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

    /// The list of the connections of one more listener.
    pub(super) fn lines(&self) -> Arc<Lines> {
        let lines = Arc::<Lines>::default();
        self.all().push(lines.clone());
        lines
    }

    /// Closes the connection that is to make room first ([`Rank`]): one of `own` at once, and one that another thread serves
    /// is asked for there, since only that thread knows that it does not take up a request meanwhile. Answers whether there
    /// was one.
    pub(super) fn make_room(&self, own: &Arc<Lines>) -> bool {
        let now = monotonic();
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(next.found) >= FRESH {
            next.candidates.clear();
        }
        let mut looked = Looked::Before;
        loop {
            if next.candidates.is_empty() {
                if looked == Looked::Now {
                    return false;
                }
                looked = Looked::Now;
                *next = Next { found: now, candidates: self.candidates(now) };
            }
            let Some((rank, _, index, number)) = next.candidates.pop() else { return false };
            let Some(lines) = self.all().get(index).cloned() else { continue };
            let made = match Arc::ptr_eq(&lines, own) {
                true => self.close(&lines, number, rank, now),
                false => lines.ask(number),
            };
            if made {
                return true;
            }
        }
    }

    /// Those that make room next, the first of them last.
    fn candidates(&self, now: Instant) -> Vec<(Rank, Instant, usize, u64)> {
        let mut candidates = Vec::new();
        for (index, lines) in self.all().iter().enumerate() {
            let own = lines.candidates(now, self.bodies);
            candidates.extend(own.into_iter().map(|(rank, since, number)| (rank, since, index, number)));
        }
        if candidates.len() > AHEAD {
            candidates.select_nth_unstable(AHEAD);
            candidates.truncate(AHEAD);
        }
        candidates.sort_unstable_by(|one, other| other.cmp(one));
        candidates
    }

    /// Closes one of `own` that was asked for, or the next one.
    pub(super) fn give_up(&self, own: &Arc<Lines>, asked: Vec<u64>) {
        for number in asked {
            if !self.close(own, number, Rank::Idle, monotonic()) {
                self.make_room(own);
            }
        }
    }

    /// Whether a connection of these may not have the descriptor of this number, nor any higher one.
    pub(super) fn leaves(&self, descriptor: i32) -> bool {
        descriptor >= self.last_descriptors
    }

    /// As [`ClientPlaces::make_room`], where not places are missing but descriptors.
    pub(super) fn make_room_for_descriptors(&self, own: &Arc<Lines>) {
        if !self.make_room(own) {
            let _ = self.beside.as_ref().is_some_and(|clients| clients.make_room(own));
        }
    }

    fn close(&self, lines: &Lines, number: u64, rank: Rank, now: Instant) -> bool {
        let closed = lines.close(number, rank, now, self.bodies);
        self.shed.fetch_add(u64::from(closed), Ordering::Relaxed);
        closed
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Lines>>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn count_refused_handshake(&self) {
        self.refused_handshakes.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failure; answers whether an episode begins with it.
    pub(super) fn failed(&self) -> bool {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let now = monotonic();
        let last = self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
        last.is_none_or(|last| now.duration_since(last) > EPISODE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_episode_is_said_once() {
        let places = ClientPlaces::new(1);
        assert!(places.failed());
        assert!(!places.failed() && !places.failed());
        *places.last_failure.lock().unwrap() = Instant::now().checked_sub(EPISODE * 2);
        assert!(places.failed());
        assert_eq!(places.failures(), 4);
    }
}
