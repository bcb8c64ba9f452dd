//! A request in flight, as those see it who wait for its connection: whose it is, whose turn it is, and how fast that goes.
//!
//! It costs a request that has its answer whole with the head nothing but the record, and another one a few relaxed stores for
//! each piece. Looking is the affair of those who wait, and of the housekeeping now and then.

use std::any::Any;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How long a client may do nothing with a connection for which others wait.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// The same where many wait, or where its address stands still with many.
pub(super) const PRESSED: Duration = Duration::from_millis(500);

/// Whoever has done nothing for so long stands still.
pub(super) const STILL: Duration = Duration::from_millis(250);

/// So many times the least rate is asked of whoever has more than its share while others wait.
const SHARE: u64 = 64;

/// For whom a request is sent.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// The client's address, as far as it is known; `None`: we ask for ourselves.
    pub client: Option<IpAddr>,
    /// The fewest bytes a second that the client is to send or take when it is its turn.
    pub least_rate: u64,
}

impl Asker {
    /// We ask ourselves.
    pub const OURSELVES: Asker = Asker { client: None, least_rate: 0 };
}

/// Who has to do something next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WhoseTurn {
    /// The origin: it takes the request, or makes the answer.
    Origin,
    /// The client: it sends the request's body, or takes the answer's.
    Client,
}

/// How long a client has been slower than this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// Than everybody is to be at least.
    pub below_least: Duration,
    /// Than whoever has more than its share is to be.
    pub below_share: Duration,
}

/// A request in flight.
#[derive(Debug)]
pub(super) struct Hold {
    asker: Asker,
    client_turn: AtomicBool,
    bytes: AtomicU64,
    seen: Mutex<[Seen; 2]>,
    slot: Mutex<HeldSlot>,
}

/// Since when, and from how many bytes on, a client has been too slow.
#[derive(Debug, Clone, Copy)]
struct Seen {
    since: Option<Instant>,
    bytes: u64,
}

/// What is taken from a client that is too slow.
pub(super) enum HeldSlot {
    /// Nothing: it is being sent.
    Sending,
    /// The one that waits for its request's body.
    Waiting(Waker),
    /// The connection that its answer comes on; what it is, whoever reads the answer knows.
    Answering(Box<dyn Any + Send>),
    /// It was taken.
    Cut,
}

impl std::fmt::Debug for HeldSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HeldSlot")
    }
}

impl Hold {
    pub(super) fn new(asker: Asker) -> Hold {
        Hold {
            asker,
            client_turn: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            seen: Mutex::new([Seen { since: None, bytes: 0 }; 2]),
            slot: Mutex::new(HeldSlot::Sending),
        }
    }

    pub(super) fn client(&self) -> Option<IpAddr> {
        self.asker.client
    }

    pub(super) fn turn(&self, turn: WhoseTurn) {
        self.client_turn.store(turn == WhoseTurn::Client, Ordering::Relaxed);
    }

    /// So many bytes went one way or the other. One thread writes: a plain addition does.
    pub(super) fn moved(&self, bytes: u64) {
        self.bytes.store(self.bytes.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
    }

    /// Ready once the connection was taken from the client whose body is waited for.
    pub(super) fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut slot = self.slot();
        if let HeldSlot::Cut = *slot {
            return Poll::Ready(());
        }
        *slot = HeldSlot::Waiting(cx.waker().clone());
        Poll::Pending
    }

    /// The answer begins on this connection.
    pub(super) fn answering(&self, connection: Box<dyn Any + Send>) {
        let mut slot = self.slot();
        if let HeldSlot::Cut = *slot {
            drop(slot);
            return drop(connection);
        }
        *slot = HeldSlot::Answering(connection);
    }

    /// What of it there is to take.
    pub(super) fn slot(&self) -> MutexGuard<'_, HeldSlot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, for whoever reads the answer.
    pub(super) fn take(&self) -> Option<Box<dyn Any + Send>> {
        match std::mem::replace(&mut *self.slot(), HeldSlot::Sending) {
            HeldSlot::Answering(connection) => Some(connection),
            _ => None,
        }
    }

    /// Takes the connection from its client. Answers whether there was something to take.
    pub(super) fn cut(&self) -> bool {
        // Whoever has the lock is just going on with it.
        let Ok(mut slot) = self.slot.try_lock() else { return false };
        if !self.client_turn.load(Ordering::Relaxed) {
            return false;
        }
        if let HeldSlot::Sending | HeldSlot::Cut = *slot {
            return false;
        }
        let had = std::mem::replace(&mut *slot, HeldSlot::Cut);
        drop(slot);
        match had {
            HeldSlot::Waiting(waker) => {
                waker.wake();
                true
            }
            // Dropped here, with its place in the pool: that is a matter of other locks.
            HeldSlot::Answering(_) | HeldSlot::Sending | HeldSlot::Cut => true,
        }
    }

    /// Whether it was taken from its client.
    pub(super) fn is_cut(&self) -> bool {
        matches!(*self.slot(), HeldSlot::Cut)
    }

    /// Notes what it does now.
    pub(super) fn look(&self, now: Instant) -> Pace {
        let (bytes, clients) = (self.bytes.load(Ordering::Relaxed), self.client_turn.load(Ordering::Relaxed));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let [least, share] = &mut *seen;
        let below = |seen: &mut Seen, rate: u64| {
            let since = *seen.since.get_or_insert(now);
            let lasted = now.saturating_duration_since(since);
            let moved = bytes.wrapping_sub(seen.bytes);
            let is_slow = clients && (moved as f64) < rate as f64 * lasted.as_secs_f64();
            if !is_slow {
                *seen = Seen { since: Some(now), bytes };
            }
            if is_slow { lasted } else { Duration::ZERO }
        };
        let rate = self.asker.least_rate;
        Pace { below_least: below(least, rate), below_share: below(share, rate.saturating_mul(SHARE)) }
    }
}
