//! Listeners: each worker has its own socket on the same address (`SO_REUSEPORT`), so that the kernel spreads connections and
//! no worker hands one to another.
//!
//! Where places or descriptors run out, a connection is closed to make room: one that has sent nothing, or else one that has
//! asked for nothing, or else the one that has been idle longest ([`super::watch::Rank`]). Who comes meanwhile waits in the kernel's queue. A stop has steps ([`Stage`]), so that no client sees a connection end that it was about
//! to use.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

use super::connection::{Service, serve};
use super::incoming::Peer;
use super::line::Line;
use super::places::ClientPlaces;
use super::settings::ServerSettings;
use super::sides::{self, ReadSide};
use super::tls::session::{NoSession, Session};
use super::watch::{Lines, Stage};
use crate::fields::authority::Scheme;
use crate::ground::clock::monotonic;
use crate::ground::worker::WorkerId;
use crate::ground::{notice, socket};

/// Which clients a socket on an address of IPv6 serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// Those of IPv4 too, where the address is that of all and the machine does so.
    AsUsual,
    /// Its own: those of IPv4 have a listener with the same port.
    ItsOwn,
}

impl Families {
    /// Of a listener beside all of these.
    pub fn of(address: SocketAddr, all: impl IntoIterator<Item = SocketAddr>) -> Families {
        match all.into_iter().any(|other| other.is_ipv4() && other.port() == address.port()) {
            true => Families::ItsOwn,
            false => Families::AsUsual,
        }
    }
}

/// Binds one socket per worker. Port 0 takes a free one, the same for all.
///
/// The first socket shares its address only once it listens. So of two processes that start at once exactly one gets the
/// address: whoever comes second finds a socket there that listens, with its own first socket, which would not share either.
///
/// # Errors
/// The address is taken, also when it is by another process that would share it: a forgotten one would go on answering some
/// of the clients from a store of its own.
pub fn bind(address: SocketAddr, families: Families, workers: usize) -> io::Result<Vec<StdListener>> {
    let first = socket_for(address, families)?;
    first.bind(&address.into())?;
    first.listen(QUEUE)?;
    first.set_reuse_port(true)?;
    let first = StdListener::from(first);
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..workers {
        let next = socket_for(address, families)?;
        next.set_reuse_port(true)?;
        next.bind(&address.into())?;
        next.listen(QUEUE)?;
        all.push(next.into());
    }
    Ok(all)
}

/// Connections that wait to be accepted.
const QUEUE: i32 = 4096;

fn socket_for(address: SocketAddr, families: Families) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() && families == Families::ItsOwn {
        socket.set_only_v6(true)?;
    }
    // What a former process left in TIME_WAIT is no obstacle.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// What a worker's listener needs to know.
#[derive(Clone)]
pub struct Accepting<S> {
    /// The worker.
    pub worker: WorkerId,
    /// What is spoken here.
    pub scheme: Scheme,
    /// Bounds, as they are in force.
    pub settings: Arc<ArcSwap<ServerSettings>>,
    /// ClientPlaces for connections, over all workers.
    pub places: Arc<ClientPlaces>,
    /// What answers.
    pub service: S,
    /// How far a stop has come.
    pub stage: watch::Receiver<Stage>,
}

/// What a connection may keep while it idles, in bytes: there are thousands of them, and whatever any of them may ever have to
/// remember while it waits is in it.
const MAX_CONNECTION: usize = 2560;

/// How long to wait for a place before looking again for a connection that can make room.
const ROOM_AGAIN: Duration = Duration::from_millis(100);

/// Pauses while descriptors or memory are missing: from the first to the last, doubled each time.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(1), Duration::from_secs(1));

/// How long it is waited for those who have begun to connect.
const HANDSHAKE: Duration = Duration::from_millis(50);

/// How often connections are looked at that are to end.
const LOOK_CLOSELY: Duration = Duration::from_millis(50);

/// Accepts until told to stop; then waits for the connections to end.
pub async fn accept<S: Service>(listener: StdListener, accepting: Accepting<S>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let lines = accepting.places.lines();
    let mut worker = Listening { accepting, lines, connections: JoinSet::new() };
    worker.accept(&listener).await;
    // Who has come already is still served, once; and who is about to.
    worker.look();
    let listener = listener.into_std()?;
    if socket::let_nobody_begin(&listener).is_ok() {
        tokio::time::sleep(HANDSHAKE).await;
    }
    for (stream, address) in queued(listener) {
        worker.serve(stream, address, worker.accepting.places.take());
    }
    worker.finish().await;
    Ok(())
}

/// A listener and its connections.
struct Listening<S> {
    accepting: Accepting<S>,
    lines: Arc<Lines>,
    connections: JoinSet<()>,
}

impl<S: Service> Listening<S> {
    /// Accepts until nothing is to be accepted any more.
    async fn accept(&mut self, listener: &TcpListener) {
        let mut stage = self.accepting.stage.clone();
        let mut back_off = BACK_OFF.0;
        let mut tick = tokio::time::interval(Lines::every(&self.accepting.settings.load().limits));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = tick.tick() => {
                    self.look();
                    continue;
                }
                asked = self.lines.asked() => {
                    self.accepting.places.give_up(&self.lines, asked);
                    continue;
                }
                () = reached(&mut stage, Stage::Closed) => return,
            };
            while self.connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, address)) => {
                    back_off = BACK_OFF.0;
                    let Some(stream) = self.leave_the_last(stream, &mut stage).await else { continue };
                    let place = self.place(&mut stage).await;
                    self.serve(stream, address, place);
                }
                // The client's own affair.
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => self.pause(&error, &mut back_off, &mut stage).await,
            }
        }
    }

    /// Out of descriptors or memory: what is open must end first.
    async fn pause(&mut self, error: &io::Error, back_off: &mut Duration, stage: &mut watch::Receiver<Stage>) {
        if self.accepting.places.failed() {
            notice::say(format_args!(
                "cannot accept connections: {error}; those that ask for nothing are closed to make room"
            ));
        }
        self.accepting.places.make_room_for_descriptors(&self.lines);
        tokio::select! {
            () = tokio::time::sleep(*back_off) => {}
            asked = self.lines.asked() => self.accepting.places.give_up(&self.lines, asked),
            () = reached(stage, Stage::Closed) => return,
        }
        self.look();
        *back_off = (*back_off * 2).min(BACK_OFF.1);
    }

    /// Where a connection has got one of the last descriptors, which are for what clients ask, it waits until there is another,
    /// and takes that in its place.
    async fn leave_the_last(&mut self, stream: TcpStream, stage: &mut watch::Receiver<Stage>) -> Option<TcpStream> {
        if !self.accepting.places.leaves(stream.as_raw_fd()) {
            return Some(stream);
        }
        let (stream, mut back_off) = (stream.into_std().ok()?, BACK_OFF.0);
        while *stage.borrow() < Stage::Closed {
            self.pause(&Errno::MFILE.into(), &mut back_off, stage).await;
            while self.connections.try_join_next().is_some() {}
            // The lowest that is free.
            if let Some(other) =
                stream.try_clone().ok().filter(|other| !self.accepting.places.leaves(other.as_raw_fd()))
            {
                return TcpStream::from_std(other).ok();
            }
        }
        TcpStream::from_std(stream).ok()
    }

    /// A place for a connection that was accepted. Where none is free, another gives up its own, here or at another worker;
    /// those who come next wait in the kernel's queue. `None`: it is to stop, and serves this one all the same.
    async fn place(&self, stage: &mut watch::Receiver<Stage>) -> Option<OwnedSemaphorePermit> {
        let places = &self.accepting.places;
        if let Some(place) = places.take() {
            return Some(place);
        }
        let place = places.wait();
        tokio::pin!(place);
        // At once, and not by the timer: that counts milliseconds, and thousands may come in a second.
        places.make_room(&self.lines);
        let mut again = tokio::time::interval_at(tokio::time::Instant::from_std(monotonic()) + ROOM_AGAIN, ROOM_AGAIN);
        loop {
            tokio::select! {
                place = &mut place => return place,
                asked = self.lines.asked() => places.give_up(&self.lines, asked),
                _ = again.tick() => {
                    self.look();
                    places.make_room(&self.lines);
                }
                () = reached(stage, Stage::Closed) => return None,
            }
        }
    }

    fn serve(&mut self, stream: TcpStream, address: SocketAddr, place: Option<OwnedSemaphorePermit>) {
        socket::prepare(&stream);
        let mut peer = Peer::new(address.ip().to_canonical(), self.accepting.scheme);
        let (worker, settings) = (self.accepting.worker, self.accepting.settings.load_full());
        let (read, write) = match (self.accepting.scheme, &settings.tls) {
            (Scheme::Http, _) => sides::plain(stream),
            (Scheme::Https, Some(tls)) => match Session::new(stream, &tls.terms) {
                Ok(session) => sides::tls(session),
                Err(_) => return,
            },
            // Nobody listens for it then.
            (Scheme::Https, None) => return,
        };
        let line = Arc::new(Line::new(write));
        let listed = self.lines.place();
        let number = listed.number();
        let (service, served, places) = (self.accepting.service.clone(), line.clone(), self.accepting.places.clone());
        let connection = async move {
            let agreed = match &read {
                ReadSide::Plain(_) => Ok(None),
                ReadSide::Tls(session) => session.handshake().await,
            };
            match agreed {
                Ok(certificate) => {
                    peer.certificate = certificate;
                    serve(read, served, peer, worker, &settings.limits, service).await;
                }
                Err(NoSession::Gone) => {}
                Err(NoSession::NotTls | NoSession::Refused) => places.count_refused_handshake(),
            }
            drop((place, listed));
        };
        debug_assert!(size_of_val(&connection) <= MAX_CONNECTION, "{} bytes", size_of_val(&connection));
        let task = self.connections.spawn(connection);
        if *self.accepting.stage.borrow() >= Stage::Closed {
            line.close_soon();
        }
        self.lines.list(number, line, task);
    }

    /// Waits for the connections to end, which are told to.
    async fn finish(&mut self) {
        let mut tick = tokio::time::interval(LOOK_CLOSELY);
        while !self.connections.is_empty() {
            tokio::select! {
                _ = self.connections.join_next() => {}
                _ = tick.tick() => self.look(),
            }
        }
    }

    fn look(&self) {
        self.lines.look(monotonic(), &self.accepting.settings.load().limits, *self.accepting.stage.borrow());
    }
}

/// Empties the kernel's queue and closes it at once: whoever comes between the last look and the end finds nobody.
fn queued(listener: StdListener) -> Vec<(TcpStream, SocketAddr)> {
    let accepted: Vec<_> = std::iter::from_fn(|| listener.accept().ok()).collect();
    drop(listener);
    let ready = |(stream, address): (StdStream, SocketAddr)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, address))
    };
    accepted.into_iter().filter_map(ready).collect()
}

/// Waits until a stop has come this far.
async fn reached(stage: &mut watch::Receiver<Stage>, to: Stage) {
    // Whoever could tell has gone: then all is over.
    let _ = stage.wait_for(|stage| *stage >= to).await;
}

fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_that_bind_at_once_exactly_one_gets_the_address() {
        for _ in 0..500 {
            // Free a moment ago.
            let address = StdListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
            let start = std::sync::Barrier::new(2);
            let start = || {
                start.wait();
                bind(address, Families::AsUsual, 4)
            };
            // Each holds what it got until both are done.
            let both =
                std::thread::scope(|scope| [scope.spawn(start), scope.spawn(start)].map(|one| one.join().unwrap()));
            let got: Vec<_> = both.iter().map(|one| one.as_ref().map(Vec::len).ok()).collect();
            assert!(got == [Some(4), None] || got == [None, Some(4)], "{got:?}");
        }
    }
}
