//! Flights: one fetch per key at a time, whoever asks, on whichever worker.
//!
//! A flight belongs to no client. Whoever comes first starts it and becomes its *leader*; the others follow. What it brings
//! is judged by each of them anew (variant, credentials, purges: purge rule 7), because not everything that decides is
//! known when they join.
//!
//! When a flight fails before it has a head, by a mishap of its own exchange, its followers elect one of them to lead a
//! second one, within the deadline of the first; if that fails too, all of them are told. So neither a leader's bad luck
//! nor a crowd that asks again becomes everybody's trouble.
//!
//! A refusal (401, 403, 429, a redirect to sign in) may be for the leader alone: an address that is banned, a session that is
//! over. It is handed to nobody else. The followers elect one to ask again, and if that one is refused too each asks for itself.
//! Where the second answer is a 5xx the origin is ill, and all are told so.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use http::StatusCode;
use tokio::sync::watch;

use crate::body::spool::Spool;
use crate::entry::head::Head;
use crate::entry::key::Key;
use crate::entry::purge::Stamp;
use crate::entry::stored::Entry;
use crate::fields::portion::Portion;
use crate::ground::failure::Failure;
use crate::policy::not_stored::NotStored;
use crate::policy::outcome::Stored;
use crate::policy::reuse::Freshness;

/// What a flight has come to.
#[derive(Debug, Clone)]
pub enum Landing {
    /// Nothing yet.
    Waiting,
    /// The head is here and the body is coming.
    Filling(Filling),
    /// The stored answer was confirmed by the origin.
    Revalidated(Entry),
    /// The origin failed and the stale answer stands in.
    Rescued(Entry, Freshness, Failure),
    /// What came belongs to nobody but its own client; ask for yourself.
    Uncacheable(NotStored),
    /// Nothing came.
    Failed(Failure),
}

/// An answer whose body is being filled.
#[derive(Debug, Clone)]
pub struct Filling {
    /// Its head, as far as it is known before the body.
    pub head: Arc<Head>,
    /// Its body.
    pub spool: Arc<Spool>,
    /// The key of the variant that was asked for, as it was sent.
    pub variant: Key,
    /// The request headers that the answer depends on beside the primary key.
    pub vary: Arc<[http::HeaderName]>,
    /// Whether all tags are known.
    pub tags: TagsKnown,
    /// Whether it will be stored, and if not, why.
    pub stored: Stored,
    /// Which bytes it is, where it is not all: the head is that of the whole.
    pub part: Option<Portion>,
    /// The origin's status.
    pub status: StatusCode,
}

/// Whether all tags of an answer are known with its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagsKnown {
    /// All.
    All,
    /// Some come from the body, cannot be told or are too many.
    NotAll,
}

/// One fetch.
#[derive(Debug)]
pub struct Flight {
    /// What it fetches.
    pub key: Key,
    /// Where the purge log stood before it left (rule 5).
    pub born: Stamp,
    /// Until when its head must be here, and how long it goes on while nobody reads what it brings.
    pub deadline: Instant,
    /// Its place in the order of all flights and requests that demand a new one.
    pub serial: u64,
    /// Whether those who wait for it have waited in vain before.
    pub turn: FlightTurn,
    landing: watch::Sender<Landing>,
    /// The flight that its followers elected when it failed.
    successor: Mutex<Option<Arc<Flight>>>,
    /// Under which it is found besides, once it is known which variant it brings.
    also: OnceLock<Key>,
    origin_nanos: AtomicU64,
}

/// Whether a flight is the first that its passengers wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlightTurn {
    /// It is.
    First,
    /// They elected its leader, because the first one failed or brought its own leader a refusal.
    Second,
}

/// What a flight notes when it leaves.
#[derive(Debug, Clone, Copy)]
pub struct Departure {
    /// Where the purge log stands.
    pub born: Stamp,
    /// See [`Flight::deadline`].
    pub deadline: Instant,
    /// See [`Flight::turn`].
    pub turn: FlightTurn,
}

impl Flight {
    /// Notes how long the origin took for a head; over all that were sent.
    pub fn add_origin_delay(&self, delay: Duration) {
        let nanos = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.origin_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// How long the origin took, if it has answered.
    pub fn origin_delay(&self) -> Option<Duration> {
        let nanos = self.origin_nanos.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// To wait for what it brings.
    pub fn subscribe(&self) -> watch::Receiver<Landing> {
        self.landing.subscribe()
    }

    /// Tells all who wait.
    pub fn land(&self, landing: Landing) {
        self.landing.send_replace(landing);
    }

    /// What it has come to so far.
    pub fn landed(&self) -> watch::Ref<'_, Landing> {
        self.landing.borrow()
    }

    /// Has told nothing yet.
    pub fn is_waiting(&self) -> bool {
        matches!(*self.landed(), Landing::Waiting)
    }

    /// Somebody waits for its head. For a refresh behind a stale answer nobody does, and nobody is to be held up by it.
    fn is_awaited(&self) -> bool {
        self.is_waiting() && self.landing.receiver_count() > 0
    }

    /// Waits until everybody has taken what it brought, or gone away.
    pub async fn taken(&self) {
        self.landing.closed().await;
    }
}

/// What a request demands of a flight that it would join.
#[derive(Debug, Clone, Copy)]
pub struct Demand {
    /// It left at or after this position of the purge log.
    pub born: Option<Stamp>,
    /// It left after this serial number was drawn.
    pub serial: Option<u64>,
}

impl Demand {
    /// Any flight will do.
    pub const ANY: Demand = Demand { born: None, serial: None };

    /// The same, less that it leaves later than the request came.
    pub fn at_any_time(self) -> Demand {
        Demand { serial: None, ..self }
    }

    /// Whether a flight fulfils it.
    pub fn accepts(&self, flight: &Flight) -> bool {
        self.born.is_none_or(|born| flight.born >= born) && self.serial.is_none_or(|serial| flight.serial > serial)
    }
}

/// Whether a flight is one that a request may wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suits {
    /// It is.
    Well,
    /// It is not, for nothing but that it left before the request came, which wants what leaves later.
    TooEarly,
    /// It is not.
    Not,
}

impl Suits {
    /// By what it says of it.
    pub fn of(accepted: bool) -> Suits {
        if accepted { Suits::Well } else { Suits::Not }
    }
}

/// The place that a request takes.
#[derive(Debug)]
pub enum Joined {
    /// Start it: nobody else does.
    Leader(Takeoff),
    /// Wait for it.
    Follower(Arc<Flight>, watch::Receiver<Landing>),
    /// It left before the request came, which wants nothing of it: look again once its head is there, so that all who came till
    /// then share the next one.
    Behind(Arc<Flight>, watch::Receiver<Landing>),
}

/// The duty to land a flight and to bring its body to an end. Dropped before, it fails the flight or breaks off its body, so
/// that nobody waits for ever.
#[derive(Debug)]
pub struct Takeoff {
    /// The flight.
    pub flight: Arc<Flight>,
    flights: Arc<Flights>,
}

impl Drop for Takeoff {
    fn drop(&mut self) {
        self.flights.leave(&self.flight);
        if let Landing::Filling(filling) = &*self.flight.landing.borrow() {
            // Of no effect on one that has ended.
            filling.spool.fail();
        }
        if self.flight.is_waiting() {
            self.flight.land(Landing::Failed(Failure::sent(crate::ground::failure::FailureKind::Internal)));
        }
    }
}

const SHARDS: usize = 32;

type Under = HashMap<Key, Arc<Flight>, foldhash::fast::RandomState>;

/// All flights under way.
#[derive(Debug)]
pub struct Flights {
    shards: [Mutex<Under>; SHARDS],
    hasher: foldhash::fast::RandomState,
    serial: AtomicU64,
}

impl Default for Flights {
    fn default() -> Flights {
        Flights {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: foldhash::fast::RandomState::default(),
            serial: AtomicU64::new(1),
        }
    }
}

impl Flights {
    /// Joins the flight for this key if it is acceptable, or begins one. `departs` is asked only when one begins.
    pub fn join(
        self: &Arc<Self>,
        key: &[u8],
        accepts: impl FnOnce(&Flight) -> Suits,
        departs: impl FnOnce() -> Departure,
    ) -> Joined {
        let mut shard = self.shard(key);
        if let Some(flight) = shard.get(key) {
            // Subscribed under the lock, so that [`Flights::desert`] cannot miss it.
            match accepts(flight) {
                Suits::Well => return Joined::Follower(flight.clone(), flight.subscribe()),
                Suits::TooEarly if flight.is_awaited() => return Joined::Behind(flight.clone(), flight.subscribe()),
                Suits::TooEarly | Suits::Not => {}
            }
        }
        let key: Key = key.into();
        let Departure { born, deadline, turn } = departs();
        let flight = Arc::new(Flight {
            key: key.clone(),
            born,
            deadline,
            serial: self.draw(),
            turn,
            landing: watch::channel(Landing::Waiting).0,
            successor: Mutex::default(),
            also: OnceLock::new(),
            origin_nanos: AtomicU64::new(0),
        });
        // One that does not suffice goes on for its own followers.
        shard.insert(key, flight.clone());
        Joined::Leader(Takeoff { flight, flights: self.clone() })
    }

    /// Joins the flight that the followers of a failed one elect, or leads it. It has what was left of the deadline.
    pub fn succeed(self: &Arc<Self>, failed: &Flight, demand: Demand, born: impl FnOnce() -> Stamp) -> Joined {
        let mut successor = failed.successor.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have landed and left already: whoever comes late is told what it came to.
        if let Some(flight) = successor.as_ref().filter(|flight| demand.accepts(flight)) {
            return Joined::Follower(flight.clone(), flight.subscribe());
        }
        // The failed one may be found yet: it lands before it leaves.
        let demand = Demand { serial: demand.serial.max(Some(failed.serial)), ..demand };
        let departs = || Departure { born: born(), deadline: failed.deadline, turn: FlightTurn::Second };
        let joined = self.join(&failed.key, |flight| Suits::of(demand.accepts(flight)), departs);
        match &joined {
            Joined::Leader(takeoff) => *successor = Some(takeoff.flight.clone()),
            Joined::Follower(flight, _) => *successor = Some(flight.clone()),
            Joined::Behind(..) => {}
        }
        joined
    }

    /// Takes a flight out if nobody waits for it and nobody reads what it brings; nobody can from then on.
    pub fn desert(&self, flight: &Arc<Flight>, spool: &Spool) -> bool {
        // Whoever joined by the variant's key did so before it was looked whether anybody waits.
        self.leave_variant(flight);
        let mut shard = self.shard(&flight.key);
        let deserted = flight.landing.is_closed() && !spool.is_read();
        if deserted {
            remove(&mut shard, &flight.key, flight);
        }
        deserted
    }

    /// The next serial number.
    pub fn draw(&self) -> u64 {
        self.serial.fetch_add(1, Ordering::Relaxed)
    }

    /// No further request may join this flight.
    pub fn leave(&self, flight: &Arc<Flight>) {
        self.leave_variant(flight);
        remove(&mut self.shard(&flight.key), &flight.key, flight);
    }

    /// What the flight brings turned out to be a variant: those who want that one find it by this key, too, from now on.
    pub fn brings(&self, flight: &Arc<Flight>, variant: Key) {
        let mut shard = self.shard(&variant);
        if !shard.contains_key(&variant) && flight.also.set(variant.clone()).is_ok() {
            shard.insert(variant, flight.clone());
        }
    }

    fn leave_variant(&self, flight: &Arc<Flight>) {
        if let Some(key) = flight.also.get() {
            remove(&mut self.shard(key), key, flight);
        }
    }

    /// Flights under way.
    pub fn len(&self) -> usize {
        let own = |shard: &Mutex<Under>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.iter().filter(|(key, flight)| **key == flight.key).count()
        };
        self.shards.iter().map(own).sum()
    }

    /// Requests that wait for one of them.
    pub fn waiting(&self) -> usize {
        let waiting = |shard: &Mutex<Under>| -> usize {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let own = shard.iter().filter(|(key, flight)| **key == flight.key);
            own.map(|(_, flight)| flight.landing.receiver_count()).sum()
        };
        self.shards.iter().map(waiting).sum()
    }

    /// Whether none is under way.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Under> {
        let hash = std::hash::BuildHasher::hash_one(&self.hasher, key);
        self.shards[hash as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(shard: &mut Under, key: &[u8], flight: &Arc<Flight>) {
    if shard.get(key).is_some_and(|current| Arc::ptr_eq(current, flight)) {
        shard.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::spool::budget::Budget;
    use crate::entry::head::{Lifetime, Openness, OriginClock, Validators, Vital};
    use crate::entry::purge::Birth;
    use crate::entry::tag::TagSet;
    use crate::ground::failure::FailureKind;

    fn join(flights: &Arc<Flights>) -> Joined {
        flights.join(
            b"key",
            |_| Suits::Well,
            || Departure { born: Stamp(1), deadline: Instant::now(), turn: FlightTurn::First },
        )
    }

    fn lead(joined: Joined) -> Takeoff {
        match joined {
            Joined::Leader(takeoff) => takeoff,
            Joined::Follower(..) | Joined::Behind(..) => panic!("somebody else leads"),
        }
    }

    #[test]
    fn the_followers_of_a_failed_flight_elect_one_successor_however_late_they_come() {
        let flights = Arc::<Flights>::default();
        let failed = lead(join(&flights));
        failed.flight.land(Landing::Failed(Failure::sent(FailureKind::Reset)));
        // It can still be found.
        let elected = lead(flights.succeed(&failed.flight, Demand::ANY, || Stamp(2)));
        assert_eq!((elected.flight.born, elected.flight.deadline), (Stamp(2), failed.flight.deadline));
        let serial = elected.flight.serial;
        drop((failed.flight.clone(), elected));
        let late = flights.succeed(&failed.flight, Demand::ANY, || Stamp(3));
        assert!(matches!(late, Joined::Follower(flight, _) if flight.serial == serial), "though it is over");
        let demand = Demand { born: Some(Stamp(3)), serial: None };
        lead(flights.succeed(&failed.flight, demand, || Stamp(3)));
    }

    fn filling(spool: Arc<Spool>) -> Filling {
        let (received, initial_age, openness) = (Instant::now(), Duration::ZERO, Openness::Closed);
        let head = Head {
            status: http::StatusCode::OK,
            headers: http::HeaderMap::new(),
            replaced: None,
            validators: Validators::of(&http::HeaderMap::new()),
            vital: Vital { lifetime: Lifetime::NOTHING, received, initial_age, openness, clock: OriginClock::Right },
            birth: Birth::new(Stamp(1), Stamp(1)),
            tags: TagSet::default(),
            owners: crate::entry::owner::Owners::default(),
        };
        let (head, variant, vary) = (Arc::new(head), b"key"[..].into(), [].into());
        let (part, status) = (None, StatusCode::OK);
        Filling { head, spool, variant, vary, tags: TagsKnown::All, stored: Stored::Yes, part, status }
    }

    #[tokio::test]
    async fn a_body_whose_flight_is_lost_breaks_off() {
        use http_body_util::BodyExt;
        let flights = Arc::<Flights>::default();
        let takeoff = lead(join(&flights));
        let spool = Spool::window(None, &Arc::new(Budget::beside(0, 0)));
        let mut reader = spool.reader().unwrap();
        takeoff.flight.land(Landing::Filling(filling(spool)));
        drop(takeoff);
        assert!(reader.frame().await.unwrap().is_err());
    }

    #[test]
    fn a_flight_is_deserted_when_nobody_waits_or_reads() {
        let flights = Arc::<Flights>::default();
        let takeoff = lead(join(&flights));
        let spool = Spool::window(None, &Arc::new(Budget::beside(0, 0)));
        let Joined::Follower(_, waiting) = join(&flights) else { panic!("it is under way") };
        assert!(!flights.desert(&takeoff.flight, &spool));
        let reader = spool.reader();
        drop(waiting);
        assert!(!flights.desert(&takeoff.flight, &spool) && !flights.is_empty());
        drop(reader);
        assert!(flights.desert(&takeoff.flight, &spool) && flights.is_empty());
    }
}
