//! Connections to the servers of one upstream: kept alive per worker, counted over all of them.
//!
//! A worker takes its own idle connection first, then opens one if there is a place, then takes another worker's idle one,
//! then waits: for a place or for any connection to be given back (`places`). So no worker starves while another sits
//! on idle ones, and whoever comes passes nobody who waits.
//!
//! What one client has for itself ([`OwnConnections`]) takes permits like any other, and nothing else of this.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::uri::Authority;
use tokio::net::TcpStream;

use super::full;
use super::names::{Names, ServerPlace};
use super::places::{ConnectionPlaces, LONG, LOOK_AGAIN, Permit, Queued, Waited};
use super::settings::UpstreamSettings;
use crate::ground::clock::monotonic;
use crate::ground::descriptors::is_out_of_descriptors;
use crate::ground::failure::{Failure, FailureKind};
use crate::upstream::outgoing::Within;
use crate::upstream::seat::{By, ConnectionChoice, Lease, OpenConnection, OwnConnections, Reused, Seat, Server};

/// The connections of one upstream.
#[derive(Debug)]
pub struct Pool {
    servers: Vec<Arc<Server>>,
    /// One for each connection, which holds it until it is closed.
    places: Arc<ConnectionPlaces>,
    connect_timeout: Duration,
}

/// What an upstream's connections are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Counts {
    /// Connections that are open, less those that carry an event stream or a WebSocket.
    pub open: usize,
    /// Of these, idle ones.
    pub idle: usize,
    /// Requests in flight.
    pub in_flight: usize,
    /// Connections that carry an event stream or a WebSocket.
    pub streams: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// Connections that were taken from clients who were too slow while others waited, so far.
    pub made_room: usize,
}

/// What somebody who waits for a connection can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reuse {
    /// One that idles, or a place.
    Idle(ConnectionChoice),
    /// A place only.
    Nothing,
}

/// What was found.
enum Found {
    Lease(Lease),
    /// For a connection that is to be opened.
    Place(Permit),
}

impl Pool {
    /// For this many workers.
    pub fn new(settings: &UpstreamSettings, workers: usize) -> Pool {
        Pool::with_names(settings, workers, Names::system())
    }

    pub(super) fn with_names(settings: &UpstreamSettings, workers: usize, names: &Names) -> Pool {
        let places = ConnectionPlaces::new(settings.max_connections, settings.max_streams, workers);
        let server = |authority: &Authority| {
            Arc::new(Server {
                upstream: settings.name.clone(),
                place: names.place(authority),
                idle: (0..workers).map(|_| Mutex::default()).collect(),
                idle_count: AtomicUsize::new(0),
                max_idle: settings.max_idle,
                idle_timeout: settings.idle_timeout,
                max_life: settings.max_life,
                in_flight: AtomicUsize::new(0),
                places: places.clone(),
            })
        };
        Pool {
            servers: settings.servers.iter().map(server).collect(),
            places,
            connect_timeout: settings.connect_timeout,
        }
    }

    /// A connection to a server, at the latest when the deadline passes.
    pub async fn lease(
        &self,
        server: usize,
        by: By,
        within: Within,
        freshness: ConnectionChoice,
    ) -> Result<Lease, Failure> {
        let server = &self.servers[server];
        let Within { now, deadline } = within;
        if self.may_begin(by) {
            if freshness != ConnectionChoice::FreshConnection
                && let Some(lease) = server.take(by.worker, by, now, freshness)
            {
                return Ok(lease);
            }
            if let Some(permit) = self.places.take() {
                return self.open(server, by, permit, deadline).await;
            }
        }
        match self.wait(server, by, deadline, Reuse::Idle(freshness)).await? {
            Found::Lease(lease) => Ok(lease),
            Found::Place(permit) => self.open(server, by, permit, deadline).await,
        }
    }

    /// As [`Pool::lease`], for one client alone: the connection that it has, or a new one, which is its own from now on.
    pub async fn lease_own(
        &self,
        own: &Arc<OwnConnections>,
        server: usize,
        by: By,
        within: Within,
        freshness: ConnectionChoice,
    ) -> Result<Lease, Failure> {
        let server = &self.servers[server];
        let Within { now, deadline } = within;
        own.choose(server);
        let mut lease = match own.take(server).filter(|_| freshness != ConnectionChoice::FreshConnection) {
            Some(OpenConnection { stream, born, permit }) => {
                Lease { stream, seat: Seat::take(server, by, born, permit), reused: Reused::Yes, taken: now }
            }
            None => match Some(&self.places).filter(|_| self.may_begin(by)).and_then(ConnectionPlaces::take) {
                Some(permit) => self.open(server, by, permit, deadline).await?,
                None => match self.wait(server, by, deadline, Reuse::Nothing).await? {
                    Found::Lease(lease) => lease,
                    Found::Place(permit) => self.open(server, by, permit, deadline).await?,
                },
            },
        };
        lease.seat.own = Some(own.clone());
        Ok(lease)
    }

    /// Nobody waits whom it would pass, and its client has not too many that stand still.
    fn may_begin(&self, by: By) -> bool {
        self.places.waiting() == 0 && self.admits(by, Waited::NotYet)
    }

    fn admits(&self, by: By, waited: Waited) -> bool {
        let in_use = || {
            let in_flight: usize = self.servers.iter().map(|server| server.in_flight.load(Ordering::Relaxed)).sum();
            in_flight.saturating_sub(self.places.streams())
        };
        self.places.admits(by.asker.client, waited, in_use)
    }

    /// Which server a client has a connection of its own to.
    pub(super) fn own_server(&self, own: &OwnConnections) -> Option<usize> {
        own.server(&self.servers)
    }

    /// Nothing is free: another worker's idle connection, or what is freed next.
    async fn wait(&self, server: &Arc<Server>, by: By, deadline: Instant, reuse: Reuse) -> Result<Found, Failure> {
        let busy = || Failure::before(FailureKind::Busy);
        let queued = self.places.queue(by.asker.client).ok_or_else(busy)?;
        // Something may have become free before it was there to be called.
        self.places.call_next();
        let waiting = self.called(server, by, reuse, &queued);
        tokio::time::timeout_at(deadline.into(), waiting).await.map_err(|_| busy())
    }

    async fn called(&self, server: &Arc<Server>, by: By, reuse: Reuse, queued: &Queued) -> Found {
        let came = monotonic();
        self.places.look(came);
        loop {
            match tokio::time::timeout(LOOK_AGAIN, queued.called()).await {
                Err(_) => self.places.look(monotonic()),
                Ok(()) => {
                    let waited = if came.elapsed() >= LONG { Waited::Long } else { Waited::NotYet };
                    if !queued.is_outranked()
                        && let Some(found) = self.find(server, by, reuse, waited)
                    {
                        return found;
                    }
                }
            }
        }
    }

    fn find(&self, server: &Arc<Server>, by: By, reuse: Reuse, waited: Waited) -> Option<Found> {
        if !self.admits(by, waited) {
            return None;
        }
        if let Reuse::Idle(freshness) = reuse {
            let workers = (0..server.idle.len()).map(|offset| (by.worker + offset) % server.idle.len());
            let lease = workers.filter_map(|from| server.take(from, by, monotonic(), freshness)).next();
            if let Some(lease) = lease {
                return Some(Found::Lease(lease));
            }
        }
        if let Some(permit) = self.places.take() {
            return Some(Found::Place(permit));
        }
        // Idle connections that are of no use to this one hold places, too.
        let is_of_use = |other: &Arc<Server>| reuse != Reuse::Nothing && Arc::ptr_eq(other, server);
        self.servers.iter().filter(|other| !is_of_use(other)).find(|other| other.drop_one_idle())?;
        self.places.take().map(Found::Place)
    }

    async fn open(&self, server: &Arc<Server>, by: By, permit: Permit, deadline: Instant) -> Result<Lease, Failure> {
        let _opening = self.places.open(by.asker.client);
        let now = monotonic();
        let limit = deadline.min(now + self.connect_timeout);
        let connected = match &server.place {
            ServerPlace::Literal(address) => tokio::time::timeout_at(limit.into(), TcpStream::connect(*address)).await,
            ServerPlace::Named(name, port) => {
                let found = tokio::time::timeout_at(limit.into(), name.addresses(now)).await;
                let found = found.unwrap_or(Err(FailureKind::NameLookup)).map_err(Failure::before)?;
                let addresses: Vec<_> = found.iter().map(|address| with_port(*address, *port)).collect();
                tokio::time::timeout_at(limit.into(), TcpStream::connect(&addresses[..])).await
            }
        };
        let stream = match connected {
            Err(_) => return Err(Failure::before(FailureKind::Timeout)),
            Ok(Err(error)) => {
                let kind = fault(&error);
                if kind == FailureKind::Busy {
                    full::say_no_descriptor(&server.upstream, &error, monotonic());
                }
                return Err(Failure::before(kind));
            }
            Ok(Ok(stream)) => stream,
        };
        crate::ground::socket::prepare(&stream);
        let taken = monotonic();
        Ok(Lease { stream, seat: Seat::take(server, by, taken, permit), reused: Reused::No, taken })
    }

    /// Requests in flight at one server.
    pub fn in_flight(&self, server: usize) -> usize {
        self.servers[server].in_flight.load(Ordering::Relaxed)
    }

    /// Over all servers.
    pub fn counts(&self) -> Counts {
        let sum = |count: fn(&Server) -> &AtomicUsize| {
            self.servers.iter().map(|server| count(server).load(Ordering::Relaxed)).sum()
        };
        Counts {
            open: self.places.taken(),
            idle: sum(|server| &server.idle_count),
            in_flight: sum(|server| &server.in_flight),
            streams: self.places.streams(),
            waiting: self.places.waiting(),
            made_room: self.places.made_room(),
        }
    }

    /// Whether no event stream and no WebSocket can begin.
    pub fn has_no_stream_left(&self) -> bool {
        self.places.has_no_stream_left()
    }

    /// Whether all places for requests are taken.
    pub fn is_full(&self) -> bool {
        self.places.has_none_left()
    }

    /// Closes idle connections whose time is over, and notes how fast clients are.
    pub fn tend(&self, now: Instant) {
        self.places.look(now);
        for server in &self.servers {
            for idle in &server.idle {
                let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
                let before = idle.len();
                idle.retain(|one| server.is_usable(one, now));
                server.idle_count.fetch_sub(before - idle.len(), Ordering::Relaxed);
            }
        }
    }
}

/// Whose fault it is that no connection could be opened: without descriptors it is no origin's.
fn fault(error: &std::io::Error) -> FailureKind {
    if is_out_of_descriptors(error) { FailureKind::Busy } else { FailureKind::Connect }
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn whose_fault_it_is_that_nothing_could_be_opened() {
        let of = |code: Errno| fault(&std::io::Error::from(code));
        assert_eq!((of(Errno::MFILE), of(Errno::NFILE)), (FailureKind::Busy, FailureKind::Busy));
        assert_eq!((of(Errno::CONNREFUSED), of(Errno::HOSTUNREACH)), (FailureKind::Connect, FailureKind::Connect));
    }
}
