//! The places for connections of one upstream: how many are taken, who waits for one, and who is next.
//!
//! Of those who wait the client that has the fewest is next, and of equals who came first: whoever has many gets no more while
//! somebody with fewer waits. Where a client does not take or send what is its turn, its connection makes room for those who
//! wait. What lasts, an event stream or a WebSocket, has places of its own: it idles, and would keep everybody else out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::WorkerId;
use super::held::{Hold, PATIENCE, Pace};

/// The places of one upstream's connections.
#[derive(Debug)]
pub(super) struct Places {
    max: usize,
    taken: AtomicUsize,
    max_streams: usize,
    streams: AtomicUsize,
    /// As many as are in the queue: to be looked at without its lock.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
    /// The requests in flight, by the worker that began them.
    held: Vec<Mutex<Shelf>>,
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
    places: Arc<Places>,
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

/// How often those who wait look for connections that can make room.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// They need not look again after so long.
const FRESH: Duration = Duration::from_millis(50);

impl Places {
    pub fn new(max: usize, max_streams: usize, workers: usize) -> Arc<Places> {
        Arc::new(Places {
            max,
            taken: AtomicUsize::new(0),
            max_streams,
            streams: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            held: (0..workers).map(|_| Mutex::default()).collect(),
            made_room: AtomicUsize::new(0),
        })
    }

    /// A place, if one is free.
    pub fn take(self: &Arc<Self>) -> Option<Permit> {
        take(&self.taken, self.max).then(|| Permit { places: self.clone(), of: Of::Requests })
    }

    /// Places that are taken by requests and by connections that idle.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Whether all places for requests are taken.
    pub fn has_none_left(&self) -> bool {
        self.taken() >= self.max
    }

    /// Places that are taken by what lasts.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// Whether nothing that lasts can begin.
    pub fn has_no_stream_left(&self) -> bool {
        self.streams() >= self.max_streams
    }

    /// Those who wait. While there are any, whoever comes waits behind them.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Connections whose clients were too slow while others waited.
    pub fn made_room(&self) -> usize {
        self.made_room.load(Ordering::Relaxed)
    }

    /// Puts a request in flight on the list. Answers its number there.
    pub fn hold(&self, worker: WorkerId, hold: Arc<Hold>) -> usize {
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
    pub fn let_go(&self, worker: WorkerId, number: usize) {
        let mut shelf = self.shelf(worker);
        if shelf.holds[number].take().is_some() {
            shelf.free.push(number);
        }
    }

    /// A place in the queue; `None` if it is full.
    pub fn queue(self: &Arc<Self>, client: Option<IpAddr>) -> Option<Queued> {
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
    pub fn call_next(&self) {
        if self.waiting() == 0 {
            return;
        }
        let mut queue = self.lock();
        let several = queue.waiting.len() > 1;
        let has = if several { self.by_client(&self.all()) } else { HashMap::new() };
        let uncalled = queue.waiting.iter_mut().filter(|waiting| !waiting.called);
        // The first of equals.
        if let Some(next) = uncalled.min_by_key(|waiting| of(&has, waiting.client)) {
            next.called = true;
            next.call.notify_one();
        }
    }

    /// Notes how fast clients are, and where somebody waits ends what is too slow.
    pub fn look(&self, now: Instant) {
        if self.waiting() > 0 {
            let mut queue = self.lock();
            if queue.looked.is_some_and(|looked| now.saturating_duration_since(looked) < FRESH) {
                return;
            }
            queue.looked = Some(now);
            let waiting: Vec<_> = queue.waiting.iter().filter(|one| !one.called).map(|one| one.client).collect();
            drop(queue);
            self.make_room(waiting, now);
        } else {
            self.all().iter().for_each(|hold| {
                hold.look(now);
            });
        }
    }

    /// Ends one for each of those who wait, as far as there are any that may be.
    fn make_room(&self, mut waiting: Vec<Option<IpAddr>>, now: Instant) {
        let all = self.all();
        let mut has = self.by_client(&all);
        let mut slow: Vec<(Pace, Arc<Hold>)> = all.into_iter().map(|hold| (hold.look(now), hold)).collect();
        slow.retain(|(pace, _)| pace.below_share >= PATIENCE);
        waiting.sort_by_key(|client| of(&has, *client));
        for client in waiting {
            let fair = of(&has, client) + 1;
            let rank = |(pace, hold): &(Pace, Arc<Hold>)| {
                let has_many = of(&has, hold.client()) > fair;
                (has_many || pace.below_least >= PATIENCE).then_some((has_many, pace.below_least, pace.below_share))
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

    fn by_client(&self, all: &[Arc<Hold>]) -> HashMap<Option<IpAddr>, usize> {
        let mut has = HashMap::new();
        all.iter().for_each(|hold| *has.entry(hold.client()).or_default() += 1);
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
    pub fn make_stream(&mut self) -> Result<(), NoPlace> {
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
    pub fn make_ordinary(&mut self) -> Result<(), NoPlace> {
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

/// A place in the queue; left when it is dropped.
#[derive(Debug)]
pub(super) struct Queued {
    places: Arc<Places>,
    number: u64,
    call: Arc<Notify>,
}

impl Queued {
    /// Waits until it is this one's turn to look.
    pub async fn called(&self) {
        self.call.notified().await;
        // Before it looks: what becomes free after that calls it again.
        let mut queue = self.places.lock();
        if let Some(own) = queue.waiting.iter_mut().find(|one| one.number == self.number) {
            own.called = false;
        }
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

    use super::super::held::{Asker, Turn};
    use super::*;

    const LEAST: u64 = 1 << 10;

    fn client(number: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, number]))
    }

    fn hold(places: &Places, number: u8) -> Arc<Hold> {
        let hold = Arc::new(Hold::new(Asker { client: client(number), least_rate: LEAST }));
        let _ = hold.poll_cut(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        places.hold(0, hold.clone());
        hold
    }

    #[test]
    fn who_has_the_fewest_is_next() {
        let places = Places::new(3, 0, 1);
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
        let places = Places::new(1, 1, 1);
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
    fn cut(waits: u8, holds: &[(u8, Turn, u64)]) -> Vec<bool> {
        let places = Places::new(holds.len(), 0, 1);
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
        use Turn::{Client, Origin};
        assert_eq!(cut(9, &[(1, Client, 0)]), [true]);
        assert_eq!(cut(1, &[(1, Client, 0)]), [true], "also where it is the same client");
        assert_eq!(cut(9, &[(1, Client, 1)]), [true], "bit by bit is too slow");
        assert_eq!(cut(9, &[(1, Origin, 0)]), [false], "the origin is at it");
        assert_eq!(cut(9, &[(1, Client, LEAST)]), [false], "it is slow, and no more than that");
        assert_eq!(cut(9, &[(1, Client, 0), (2, Client, 0)]).iter().filter(|cut| **cut).count(), 1, "one for each");
    }

    #[test]
    fn whoever_has_more_than_its_share_has_to_be_faster() {
        use Turn::Client;
        let (slow, fast) = (LEAST, LEAST * 100);
        let cuts = cut(9, &[(1, Client, slow), (1, Client, fast), (1, Client, fast), (2, Client, slow)]);
        assert_eq!(cuts, [true, false, false, false]);
        assert_eq!(cut(9, &[(1, Client, slow), (2, Client, slow)]), [false, false], "nobody has more");
        assert_eq!(cut(1, &[(1, Client, slow), (1, Client, slow)]), [false, false], "it is its own");
    }
}
