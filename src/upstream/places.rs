//! The places for connections of one upstream: how many are taken, who waits for one, and who is next.
//!
//! Of those who wait the client that has the fewest is next, and of equals who came first: whoever has many gets no more while
//! somebody with fewer waits. Where a client does not take or send what is its turn, its connection makes room for those who
//! wait. An address of which half of all places stand still gets the last quarter no more ([`Crowds`]): whoever comes from another
//! one finds a place at once. What lasts, an event stream or a WebSocket, has places of its own: it idles, and would keep everybody else out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::crowds::Crowds;
use super::held::{Hold, PATIENCE, PRESSED, Pace};
use super::tallies::Tallies;
use crate::ground::worker::WorkerId;

/// The places of one upstream's connections.
#[derive(Debug)]
pub(super) struct ConnectionPlaces {
    max: usize,
    taken: AtomicUsize,
    max_streams: usize,
    streams: AtomicUsize,
    /// As many as are in the queue: to be looked at without its lock.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
    /// The requests in flight, by the worker that began them.
    held: Vec<Mutex<Shelf>>,
    crowds: Crowds,
    tallies: Tallies,
    /// Connections that are being opened for a request which is not in flight yet.
    opening: AtomicUsize,
    made_room: AtomicUsize,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    waiting: Vec<Waiting>,
    looked: Option<Instant>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    client: Option<IpAddr>,
    /// It was told to look.
    called: bool,
    call: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Shelf {
    holds: Vec<Option<Arc<Hold>>>,
    free: Vec<usize>,
}

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    places: Arc<ConnectionPlaces>,
    of: Of,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    Requests,
    Streams,
}

/// There is no place left.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoPlace;

/// The most requests that wait for a connection, for each that may be open.
const WAITING_PER_CONNECTION: usize = 20;

/// Whether a request has waited for so long that those who stand still are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// It has.
    Long,
    /// It has not, or has only come.
    NotYet,
}

/// It has after so long.
pub(super) const LONG: Duration = Duration::from_millis(500);

/// How often those who wait look for connections that can make room.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// They need not look again after so long.
const FRESH: Duration = Duration::from_millis(50);

/// Fewer that wait are no crowd, however few the places are.
const FEW: usize = 8;

impl ConnectionPlaces {
    pub(super) fn new(max: usize, max_streams: usize, workers: usize) -> Arc<ConnectionPlaces> {
        Arc::new(ConnectionPlaces {
            max,
            taken: AtomicUsize::new(0),
            max_streams,
            streams: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            held: (0..workers).map(|_| Mutex::default()).collect(),
            crowds: Crowds::new(max),
            tallies: Tallies::new(max / 2),
            opening: AtomicUsize::new(0),
            made_room: AtomicUsize::new(0),
        })
    }

    /// A place, if one is free.
    pub(super) fn take(self: &Arc<Self>) -> Option<Permit> {
        take(&self.taken, self.max).then(|| Permit { places: self.clone(), of: Of::Requests })
    }

    /// Places that are taken by requests and by connections that idle.
    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether all places for requests are taken.
    pub(super) fn has_none_left(&self) -> bool {
        self.taken() >= self.max
    }

    /// Places that are taken by what lasts.
    pub(super) fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Whether nothing that lasts can begin.
    pub(super) fn has_no_stream_left(&self) -> bool {
        self.streams() >= self.max_streams
    }

    /// Those who wait. While there are any, whoever comes waits behind them.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Connections whose clients were too slow while others waited.
    pub(super) fn made_room(&self) -> usize {
        self.made_room.load(Ordering::Relaxed)
    }

    /// A connection is being opened for this client, for as long as what this answers lives.
    pub(super) fn open(self: &Arc<Self>, client: Option<IpAddr>) -> Opening {
        self.opening.fetch_add(1, Ordering::Relaxed);
        self.tallies.began(client);
        Opening { places: self.clone(), client }
    }

    /// Puts a request in flight on the list. Answers its number there.
    pub(super) fn hold(&self, worker: WorkerId, hold: Arc<Hold>) -> usize {
        self.tallies.began(hold.client());
        let mut shelf = self.shelf(worker);
        match shelf.free.pop() {
            Some(number) => {
                shelf.holds[number] = Some(hold);
                number
            }
            None => {
                shelf.holds.push(Some(hold));
                shelf.holds.len() - 1
            }
        }
    }

    /// Takes it off again.
    pub(super) fn let_go(&self, worker: WorkerId, number: usize) {
        let mut shelf = self.shelf(worker);
        if let Some(hold) = shelf.holds[number].take() {
            shelf.free.push(number);
            drop(shelf);
            self.tallies.ended(hold.client(), !hold.is_cut());
        }
    }

    /// A place in the queue; `None` if it is full.
    pub(super) fn queue(self: &Arc<Self>, client: Option<IpAddr>) -> Option<Queued> {
        let call = Arc::new(Notify::new());
        let mut queue = self.lock();
        if queue.waiting.len() >= self.max.saturating_mul(WAITING_PER_CONNECTION).max(1000) {
            return None;
        }
        let number = queue.next;
        queue.next += 1;
        queue.waiting.push(Waiting { number, client, called: false, call: call.clone() });
        self.waiting.store(queue.waiting.len(), Ordering::Relaxed);
        Some(Queued { places: self.clone(), number, call })
    }

    /// Tells whoever is next to look: something may have become free.
    pub(super) fn call_next(&self) {
        if self.waiting() == 0 {
            return;
        }
        let mut queue = self.lock();
        let several = queue.waiting.len() > 1;
        let has = if several { self.by_client(self.all().iter()) } else { HashMap::new() };
        let uncalled = queue.waiting.iter_mut().filter(|waiting| !waiting.called);
        // The first of equals.
        if let Some(next) = uncalled.min_by_key(|waiting| of(&has, waiting.client)) {
            next.called = true;
            next.call.notify_one();
        }
    }

    /// Whether this client may have one more, where so many are in use. The last quarter is not for whoever has more than half of
    /// all, unless its requests end, or it has waited long enough for it to show whether they stand still.
    pub(super) fn admits(&self, client: Option<IpAddr>, waited: Waited, in_use: impl FnOnce() -> usize) -> bool {
        let quarter = self.max / 4;
        let in_use = || in_use() + self.opening.load(Ordering::Relaxed);
        if quarter == 0 || self.taken() < self.max - quarter || in_use() < self.max - quarter {
            return true;
        }
        let is_new_here = waited == Waited::NotYet && self.tallies.has_only_taken(client);
        !is_new_here && !self.crowds.has(client)
    }

    /// Notes how fast clients are, and where somebody waits ends what is too slow.
    pub(super) fn look(&self, now: Instant) {
        if self.waiting() == 0 {
            self.crowds.note(&self.paces(now), now);
            return;
        }
        let mut queue = self.lock();
        if queue.looked.is_some_and(|looked| now.saturating_duration_since(looked) < FRESH) {
            return;
        }
        queue.looked = Some(now);
        let waiting: Vec<_> = queue.waiting.iter().filter(|one| !one.called).map(|one| one.client).collect();
        drop(queue);
        let paces = self.paces(now);
        self.crowds.note(&paces, now);
        self.make_room(waiting, paces);
        // Somebody may be let in again who was not before.
        if !self.has_none_left() {
            self.call_next();
        }
    }

    fn paces(&self, now: Instant) -> Vec<(Pace, Arc<Hold>)> {
        self.all().into_iter().map(|hold| (hold.look(now), hold)).collect()
    }

    /// Ends one for each of those who wait, as far as there are any that may be.
    fn make_room(&self, mut waiting: Vec<Option<IpAddr>>, mut slow: Vec<(Pace, Arc<Hold>)>) {
        let mut has = self.by_client(slow.iter().map(|(_, hold)| hold));
        let many_wait = waiting.len() >= (self.max / 4).max(FEW);
        let patience = |hold: &Hold| match many_wait || self.crowds.has(hold.client()) {
            true => PRESSED,
            false => PATIENCE,
        };
        slow.retain(|(pace, _)| pace.below_share >= PRESSED);
        waiting.sort_by_key(|client| of(&has, *client));
        for client in waiting {
            let fair = of(&has, client) + 1;
            let rank = |(pace, hold): &(Pace, Arc<Hold>)| {
                let has_many = of(&has, hold.client()) > fair;
                let too_slow = pace.below_least >= patience(hold) || has_many && pace.below_share >= PATIENCE;
                too_slow.then_some((has_many, pace.below_least, pace.below_share))
            };
            let ranked = slow.iter().enumerate().filter_map(|(index, one)| Some((rank(one)?, index)));
            let Some((_, index)) = ranked.max() else { continue };
            let (_, hold) = slow.swap_remove(index);
            has.entry(hold.client()).and_modify(|has| *has -= 1);
            *has.entry(client).or_default() += 1;
            if hold.cut() {
                self.made_room.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn by_client<'a>(&self, all: impl Iterator<Item = &'a Arc<Hold>>) -> HashMap<Option<IpAddr>, usize> {
        let mut has = HashMap::new();
        all.for_each(|hold| *has.entry(hold.client()).or_default() += 1);
        has
    }

    fn all(&self) -> Vec<Arc<Hold>> {
        (0..self.held.len())
            .flat_map(|worker| self.shelf(worker).holds.iter().flatten().cloned().collect::<Vec<_>>())
            .collect()
    }

    fn shelf(&self, worker: WorkerId) -> MutexGuard<'_, Shelf> {
        self.held[worker].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn take(taken: &AtomicUsize, max: usize) -> bool {
    taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, |taken| (taken < max).then_some(taken + 1)).is_ok()
}

/// What we ask for ourselves is nobody's.
fn of(has: &HashMap<Option<IpAddr>, usize>, client: Option<IpAddr>) -> usize {
    client.and_then(|_| has.get(&client)).copied().unwrap_or(0)
}

impl Permit {
    /// From now on it is one of those for what lasts, and its own is free for others.
    pub(super) fn make_stream(&mut self) -> Result<(), NoPlace> {
        if self.of == Of::Requests {
            if !take(&self.places.streams, self.places.max_streams) {
                return Err(NoPlace);
            }
            self.of = Of::Streams;
            self.places.taken.fetch_sub(1, Ordering::AcqRel);
            self.places.call_next();
        }
        Ok(())
    }

    /// As it was at the beginning: what lasted is over, and the connection may carry requests again.
    pub(super) fn make_ordinary(&mut self) -> Result<(), NoPlace> {
        if self.of == Of::Streams {
            if !take(&self.places.taken, self.places.max) {
                return Err(NoPlace);
            }
            self.of = Of::Requests;
            self.places.streams.fetch_sub(1, Ordering::AcqRel);
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        match self.of {
            Of::Requests => self.places.taken.fetch_sub(1, Ordering::AcqRel),
            Of::Streams => self.places.streams.fetch_sub(1, Ordering::AcqRel),
        };
        self.places.call_next();
    }
}

/// A connection that is being opened.
#[derive(Debug)]
pub(super) struct Opening {
    places: Arc<ConnectionPlaces>,
    client: Option<IpAddr>,
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.places.opening.fetch_sub(1, Ordering::Relaxed);
        self.places.tallies.ended(self.client, false);
    }
}

/// A place in the queue; left when it is dropped.
#[derive(Debug)]
pub(super) struct Queued {
    places: Arc<ConnectionPlaces>,
    number: u64,
    call: Arc<Notify>,
}

impl Queued {
    /// Waits until it is this one's turn to look.
    pub(super) async fn called(&self) {
        self.call.notified().await;
        // Before it looks: what becomes free after that calls it again.
        let mut queue = self.places.lock();
        if let Some(own) = queue.waiting.iter_mut().find(|one| one.number == self.number) {
            own.called = false;
        }
    }

    /// Somebody with fewer was called, too, and is about to look: what there is now is for them.
    pub(super) fn is_outranked(&self) -> bool {
        let queue = self.places.lock();
        if !queue.waiting.iter().any(|one| one.called) {
            return false;
        }
        let has = self.places.by_client(self.places.all().iter());
        let Some(own) = queue.waiting.iter().find(|one| one.number == self.number) else { return false };
        let own = of(&has, own.client);
        queue.waiting.iter().any(|one| one.called && of(&has, one.client) < own)
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        let mut queue = self.places.lock();
        queue.waiting.retain(|one| one.number != self.number);
        self.places.waiting.store(queue.waiting.len(), Ordering::Relaxed);
        drop(queue);
        // It may have been called and not have looked.
        self.places.call_next();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::held::{Asker, WhoseTurn};
    use super::*;

    const LEAST: u64 = 1 << 10;

    fn client(number: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, number]))
    }

    /// With a place for good.
    fn hold(places: &Arc<ConnectionPlaces>, number: u8) -> Arc<Hold> {
        std::mem::forget(places.take());
        let hold = Arc::new(Hold::new(Asker { client: client(number), least_rate: LEAST }));
        let _ = hold.poll_cut(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        places.hold(0, hold.clone());
        hold
    }

    #[test]
    fn who_has_the_fewest_is_next() {
        let places = ConnectionPlaces::new(3, 0, 1);
        for number in [1, 1, 2] {
            hold(&places, number);
        }
        let queued = [1, 2, 3, 3].map(|number| places.queue(client(number)).unwrap());
        for next in [2, 3, 1, 0] {
            places.call_next();
            for (index, queued) in queued.iter().enumerate() {
                let called = queued.call.notified().now_or_never().is_some();
                assert_eq!(called, index == next, "{index} in place of {next}");
            }
        }
        drop(queued);
        assert_eq!(places.waiting(), 0);
    }

    #[test]
    fn what_lasts_leaves_its_place_to_others() {
        let places = ConnectionPlaces::new(1, 1, 1);
        let mut one = places.take().unwrap();
        assert!(places.take().is_none());
        one.make_stream().unwrap();
        let mut two = places.take().unwrap();
        assert_eq!(two.make_stream(), Err(NoPlace));
        assert_eq!((places.taken(), places.streams()), (1, 1));
        assert_eq!(one.make_ordinary(), Err(NoPlace), "its place is another's now");
        drop(two);
        one.make_ordinary().unwrap();
        assert_eq!((places.taken(), places.streams()), (1, 0));
        drop(one);
        assert_eq!((places.taken(), places.streams()), (0, 0));
    }

    /// Which of these are cut where one client waits: whose each is, whether it is its client's turn, and how many bytes moved
    /// in each quarter of a second.
    fn cut(waits: u8, holds: &[(u8, WhoseTurn, u64)]) -> Vec<bool> {
        let places = ConnectionPlaces::new(holds.len(), 0, 1);
        let held: Vec<_> = holds.iter().map(|one| hold(&places, one.0)).collect();
        let begun = Instant::now();
        let queued = places.queue(client(waits)).unwrap();
        for look in 0..=8 {
            for (hold, (_, turn, bytes)) in held.iter().zip(holds) {
                hold.turn(*turn);
                hold.moved(*bytes);
            }
            places.look(begun + LOOK_AGAIN * look);
        }
        drop(queued);
        held.iter().map(|hold| hold.is_cut()).collect()
    }

    #[test]
    fn whose_client_does_nothing_makes_room_for_those_who_wait() {
        use WhoseTurn::{Client, Origin};
        assert_eq!(cut(9, &[(1, Client, 0)]), [true]);
        assert_eq!(cut(1, &[(1, Client, 0)]), [true], "also where it is the same client");
        assert_eq!(cut(9, &[(1, Client, 1)]), [true], "bit by bit is too slow");
        assert_eq!(cut(9, &[(1, Origin, 0)]), [false], "the origin is at it");
        assert_eq!(cut(9, &[(1, Client, LEAST)]), [false], "it is slow, and no more than that");
        assert_eq!(cut(9, &[(1, Client, 0), (2, Client, 0)]).iter().filter(|cut| **cut).count(), 1, "one for each");
    }

    /// How many of so many are cut that do nothing, where as many wait, after so many looks.
    fn cut_where(places: usize, wait: usize, looks: u32) -> usize {
        let places = ConnectionPlaces::new(places, 0, 1);
        let held: Vec<_> = (0..places.max).map(|number| hold(&places, number as u8)).collect();
        let begun = Instant::now();
        let queued: Vec<_> = (0..wait).map(|_| places.queue(client(200)).unwrap()).collect();
        for look in 0..=looks {
            held.iter().for_each(|hold| hold.turn(WhoseTurn::Client));
            places.look(begun + LOOK_AGAIN * look);
        }
        drop(queued);
        held.iter().filter(|hold| hold.is_cut()).count()
    }

    #[test]
    fn where_many_wait_patience_is_short() {
        assert_eq!((cut_where(40, 9, 1), cut_where(40, 9, 2)), (0, 0));
        assert_eq!((cut_where(40, 10, 1), cut_where(40, 10, 2)), (0, 10), "a quarter of the places, and half a second");
        assert_eq!(
            (cut_where(4, 7, 2), cut_where(4, 8, 2)),
            (0, 4),
            "few that wait are few, however few the places are"
        );
    }

    #[test]
    fn an_address_that_stands_still_with_half_of_the_places_leaves_the_rest_to_others() {
        let places = ConnectionPlaces::new(8, 0, 1);
        let begun = Instant::now();
        let held: Vec<_> = [1, 1, 1, 1, 2, 3].map(|number| hold(&places, number)).into();
        let look = |quarter: u32| places.look(begun + LOOK_AGAIN * quarter);
        held.iter().for_each(|hold| hold.turn(WhoseTurn::Client));
        look(0);
        let admits = |number: u8, in_use: usize| places.admits(client(number), Waited::NotYet, || in_use);
        let _taken: Vec<_> = (0..8).map_while(|_| places.take()).collect();
        assert!(admits(1, 8), "nobody knows yet, and it has no more than half");
        look(1);
        assert!(!admits(1, 6) && admits(1, 5), "its last two are others'");
        assert!(admits(2, 8) && places.admits(None, Waited::NotYet, || 8));
        assert!(held.iter().all(|hold| !hold.is_cut()), "nobody waits");
        let _queued = places.queue(client(2)).unwrap();
        look(2);
        assert_eq!(held.iter().map(|hold| hold.is_cut()).filter(|cut| *cut).count(), 1, "one that stands still");
        assert!(held[..4].iter().any(|hold| hold.is_cut()), "of those that are many");
    }

    #[test]
    fn an_address_whose_many_go_on_may_have_all() {
        let places = ConnectionPlaces::new(4, 0, 1);
        let held: Vec<_> = (0..4).map(|_| hold(&places, 1)).collect();
        for look in 0..=8 {
            for hold in &held {
                hold.turn(WhoseTurn::Client);
                hold.moved(LEAST);
            }
            places.look(Instant::now() + LOOK_AGAIN * look);
        }
        let _taken: Vec<_> = (0..4).map_while(|_| places.take()).collect();
        let admits = |waited| places.admits(client(1), waited, || 4);
        assert!(!admits(Waited::NotYet), "none has ended yet");
        assert!(admits(Waited::Long), "and none stands still");
        std::thread::sleep(Duration::from_millis(20));
        places.let_go(0, 0);
        hold(&places, 1);
        assert!(admits(Waited::NotYet), "they end");
    }

    #[test]
    fn whoever_has_more_than_its_share_has_to_be_faster() {
        use WhoseTurn::Client;
        let (slow, fast) = (LEAST, LEAST * 100);
        let cuts = cut(9, &[(1, Client, slow), (1, Client, fast), (1, Client, fast), (2, Client, slow)]);
        assert_eq!(cuts, [true, false, false, false]);
        assert_eq!(cut(9, &[(1, Client, slow), (2, Client, slow)]), [false, false], "nobody has more");
        assert_eq!(cut(1, &[(1, Client, slow), (1, Client, slow)]), [false, false], "it is its own");
    }
}
