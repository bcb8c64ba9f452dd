//! A connection to a server while it carries a request, while it idles, and while it is one client's own.
//!
//! Connections to origins that belong to one client's connection: NTLM and Negotiate sign in a connection, not a request, so
//! whoever else's request went out on it would be taken for that client.
//!
//! They never come from a pool's idle list and never go back to it, and neither the pool's idle time nor its age ends them:
//! the client could not know that it is signed in no longer. They close with the client's connection, and count against the
//! pool's cap until then.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use tokio::net::TcpStream;

use crate::ground::worker::WorkerId;
use crate::upstream::held::{Asker, Hold};
use crate::upstream::names::ServerPlace;
use crate::upstream::places::{ConnectionPlaces, NoPlace, Permit};

/// Before its origin closes it, a connection is not used again: a request might meet the end on its way.
pub(super) const LAST_MOMENT: Duration = Duration::from_secs(1);

/// One server, and the idle connections to it.
#[derive(Debug)]
pub(super) struct Server {
    /// The name of the upstream that it is one of.
    pub upstream: String,
    pub(super) place: ServerPlace,
    pub(super) idle: Vec<Mutex<Vec<Idle>>>,
    pub(super) idle_count: AtomicUsize,
    pub(super) max_idle: usize,
    pub(super) idle_timeout: Duration,
    pub(super) max_life: Duration,
    pub(super) in_flight: AtomicUsize,
    /// Of the whole pool: a connection to any server that is given back may make room for one to another.
    pub(super) places: Arc<ConnectionPlaces>,
}

#[derive(Debug)]
pub(super) struct Idle {
    pub(super) connection: OpenConnection,
    pub(super) since: Instant,
    /// For how long the origin keeps it, by what it said, less [`LAST_MOMENT`].
    pub(super) keeps: Option<Duration>,
}

/// An open connection; it counts against the cap until it is closed.
#[derive(Debug)]
pub(super) struct OpenConnection {
    pub stream: TcpStream,
    pub(super) born: Instant,
    pub(super) permit: Permit,
}

/// Whether a connection had carried a request before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reused {
    /// It had.
    Yes,
    /// It is new.
    No,
}

/// A connection in use. It goes back to the pool by [`Seat::give_back`]; dropping both parts closes it.
#[derive(Debug)]
pub struct Lease {
    /// To speak on.
    pub stream: TcpStream,
    /// Its place in the pool.
    pub seat: Seat,
    /// Whether it had carried a request before.
    pub reused: Reused,
    /// When it was taken.
    pub taken: Instant,
}

/// A connection's place in the pool, and one request in flight, for as long as it lives.
#[derive(Debug)]
pub struct Seat {
    pub(super) server: Arc<Server>,
    pub(super) worker: WorkerId,
    pub(super) born: Instant,
    pub(super) permit: Option<Permit>,
    /// For how long the origin keeps it once it idles, where it said so.
    pub(super) keeps: Option<Duration>,
    /// Of the one client that may have it again, if it is not for all.
    pub(super) own: Option<Arc<OwnConnections>>,
    pub(super) hold: Arc<Hold>,
    /// Its number on the list of those that are in flight; none for what lasts.
    pub(super) listed: Option<usize>,
}

impl Seat {
    pub(super) fn take(server: &Arc<Server>, by: By, born: Instant, permit: Permit) -> Seat {
        let By { worker, asker } = by;
        server.in_flight.fetch_add(1, Ordering::Relaxed);
        let hold = Arc::new(Hold::new(asker));
        let listed = Some(server.places.hold(worker, hold.clone()));
        Seat { server: server.clone(), worker, born, permit: Some(permit), keeps: None, own: None, hold, listed }
    }

    /// What the origin says of how long it keeps an idle connection: `Keep-Alive: timeout=5` (RFC 2068 §19.7.1).
    pub fn heed(&mut self, headers: &HeaderMap) {
        let lines = headers.get_all("keep-alive").iter().filter_map(|line| line.to_str().ok());
        let seconds = lines.flat_map(|line| line.split(',')).filter_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("timeout").then(|| value.trim().trim_matches('"').parse().ok())?
        });
        self.keeps = seconds.min().map(Duration::from_secs);
    }

    /// What those see of it who wait.
    pub(super) fn in_flight(&self) -> &Arc<Hold> {
        &self.hold
    }

    /// From now on it counts as one of those that last, and gives up its place for requests.
    pub(super) fn make_stream(&mut self) -> Result<(), NoPlace> {
        if let Some(permit) = &mut self.permit {
            permit.make_stream()?;
        }
        self.unlist();
        Ok(())
    }

    pub(super) fn unlist(&mut self) {
        if let Some(number) = self.listed.take() {
            self.server.places.let_go(self.worker, number);
        }
    }

    /// Back to the worker's idle list, or to the client whose own it is. Only a connection that is ready for its next request
    /// may come back.
    pub fn give_back(mut self, stream: TcpStream, now: Instant) {
        let Some(mut permit) = self.permit.take() else { return };
        if permit.make_ordinary().is_err() {
            return;
        }
        self.unlist();
        let server = &self.server;
        if let Some(own) = &self.own {
            return own.put(server, OpenConnection { stream, born: self.born, permit });
        }
        let keeps = self.keeps.map(|keeps| keeps.saturating_sub(LAST_MOMENT));
        if server.idle_count.load(Ordering::Relaxed) >= server.max_idle || keeps == Some(Duration::ZERO) {
            return;
        }
        let idle = Idle { connection: OpenConnection { stream, born: self.born, permit }, since: now, keeps };
        // Counted before it can be found: who takes it counts it off.
        server.idle_count.fetch_add(1, Ordering::Relaxed);
        server.idle[self.worker].lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        server.places.call_next();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.unlist();
        self.server.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Who takes a connection.
#[derive(Debug, Clone, Copy)]
pub struct By {
    /// The worker that speaks on it.
    pub worker: WorkerId,
    /// The client that it is for.
    pub asker: Asker,
}

impl Server {
    /// The youngest usable idle connection in the list of `from`.
    pub(super) fn take(
        self: &Arc<Self>,
        from: WorkerId,
        by: By,
        taken: Instant,
        freshness: ConnectionChoice,
    ) -> Option<Lease> {
        loop {
            let idle = self.pop(from)?;
            let is_open = freshness != ConnectionChoice::LookedAt || is_open(&idle.connection.stream);
            if !is_open || !self.is_usable(&idle, taken) {
                continue;
            }
            let OpenConnection { stream, born, permit } = idle.connection;
            let Some(stream) = (if from == by.worker { Some(stream) } else { moved(stream) }) else { continue };
            return Some(Lease { stream, seat: Seat::take(self, by, born, permit), reused: Reused::Yes, taken });
        }
    }

    pub(super) fn pop(&self, from: WorkerId) -> Option<Idle> {
        let idle = self.idle[from].lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        self.idle_count.fetch_sub(1, Ordering::Relaxed);
        Some(idle)
    }

    /// Answers whether there was one.
    pub(super) fn drop_one_idle(&self) -> bool {
        (0..self.idle.len()).find_map(|worker| self.pop(worker)).is_some()
    }

    pub(super) fn is_usable(&self, idle: &Idle, now: Instant) -> bool {
        is_quiet(&idle.connection.stream)
            && now.saturating_duration_since(idle.since)
                < idle.keeps.unwrap_or(self.idle_timeout).min(self.idle_timeout)
            && now.saturating_duration_since(idle.connection.born) < self.max_life
    }
}

/// Neither closed by the origin nor with bytes that nobody asked for. Costs a system call only if something has come.
pub(super) fn is_quiet(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// The same by what the system knows at this moment: an end that has come may not have been heard of yet.
pub(super) fn is_open(stream: &TcpStream) -> bool {
    let peeked = socket2::SockRef::from(stream).peek(&mut [std::mem::MaybeUninit::uninit()]);
    matches!(peeked, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// To be woken by the runtime of the worker that asks.
pub(super) fn moved(stream: TcpStream) -> Option<TcpStream> {
    TcpStream::from_std(stream.into_std().ok()?).ok()
}

/// Those of one client's connection, one for each upstream that it used.
#[derive(Debug, Default)]
pub struct OwnConnections {
    pub(super) held: Mutex<Vec<OwnConnection>>,
}

#[derive(Debug)]
pub(super) struct OwnConnection {
    pub(super) server: Arc<Server>,
    /// `None` while it carries a request, and once it has ended.
    pub(super) connection: Option<OpenConnection>,
}

impl OwnConnections {
    /// Which of an upstream's servers the client has its connection to, if it has one: by their places in `servers`.
    pub(super) fn server(&self, servers: &[Arc<Server>]) -> Option<usize> {
        let held = self.held();
        servers.iter().position(|server| held.iter().any(|own| Arc::ptr_eq(&own.server, server)))
    }

    /// The connection to that server, if it is there and has not ended.
    pub(super) fn take(&self, server: &Arc<Server>) -> Option<OpenConnection> {
        let mut held = self.held();
        let own = held.iter_mut().find(|own| Arc::ptr_eq(&own.server, server))?;
        own.connection.take().filter(|connection| is_quiet(&connection.stream))
    }

    /// From now on the client's connection to this upstream is one to `server`; others to it are closed.
    pub(super) fn choose(&self, server: &Arc<Server>) {
        let mut held = self.held();
        // By name: one that a configuration from before has left behind is of no use any more.
        held.retain(|own| own.server.upstream != server.upstream || Arc::ptr_eq(&own.server, server));
        if !held.iter().any(|own| Arc::ptr_eq(&own.server, server)) {
            held.push(OwnConnection { server: server.clone(), connection: None });
        }
    }

    /// Back to the client. Only a connection that is ready for its next request may come back.
    pub(super) fn put(&self, server: &Arc<Server>, connection: OpenConnection) {
        if let Some(own) = self.held().iter_mut().find(|own| Arc::ptr_eq(&own.server, server)) {
            own.connection = Some(connection);
        }
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Vec<OwnConnection>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a connection that was used before will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionChoice {
    /// It will.
    AnyConnection,
    /// It will if the system knows of no end of it now, for a call.
    LookedAt,
    /// A new one is wanted.
    FreshConnection,
}
