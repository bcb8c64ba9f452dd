//! Listeners: each worker has its own socket on the same address (`SO_REUSEPORT`), so that the kernel spreads connections and
//! no worker hands one to another.
//!
//! Where places or descriptors run out, the connection that has been idle longest is closed to make room; who comes meanwhile
//! waits in the kernel's queue. A stop has steps ([`Stage`]), so that no client sees a connection end that it was about
//! to use.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;

use super::connection::{Service, serve};
use super::incoming::Peer;
use super::line::Line;
use super::places::Places;
use super::settings::ServerSettings;
use super::sides::{self, ReadSide};
use super::tls::session::{NoSession, Session};
use super::watch::{Lines, Stage};
use crate::key::Scheme;
use crate::socket;
use crate::upstream::WorkerId;

/// Binds one socket per worker. Port 0 takes a free one, the same for all.
///
/// # Errors
/// The address is taken, also when it is by another process that would share it: a forgotten one would go on answering some
/// of the clients from a store of its own.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<StdListener>> {
    // Without sharing first, only to see that nobody has it.
    drop(StdListener::bind(address)?);
    let first = bind_one(address)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..workers {
        all.push(bind_one(address)?);
    }
    Ok(all)
}

fn bind_one(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
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
    /// Places for connections, over all workers.
    pub places: Arc<Places>,
    /// What answers.
    pub service: S,
    /// How far a stop has come.
    pub stage: watch::Receiver<Stage>,
}

/// What a connection may keep while it idles, in bytes: there are thousands of them, and whatever any of them may ever have to
/// remember while it waits is in it.
const MAX_CONNECTION: usize = 2560;

/// How long to wait for a place before looking for an idle connection again.
const ROOM_AGAIN: Duration = Duration::from_millis(100);

/// Pauses while descriptors or memory are missing: from the first to the last, doubled each time.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long it is waited for those who have begun to connect.
const HANDSHAKE: Duration = Duration::from_millis(50);

/// How often connections are looked at that are to end.
const LOOK_CLOSELY: Duration = Duration::from_millis(50);

/// Accepts until told to stop; then waits for the connections to end.
pub async fn accept<S: Service>(listener: StdListener, accepting: Accepting<S>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let mut worker = Listening { accepting, lines: Arc::default(), connections: JoinSet::new() };
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
                () = self.accepting.places.wanted() => {
                    self.make_room();
                    continue;
                }
                () = reached(&mut stage, Stage::Closed) => return,
            };
            while self.connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, address)) => {
                    back_off = BACK_OFF.0;
                    let place = self.place(&mut stage).await;
                    self.serve(stream, address, place);
                }
                // The client's own affair.
                Err(error) if is_of_the_connection(&error) => {}
                // Out of descriptors or memory: what is open must end first.
                Err(error) => {
                    if self.accepting.places.failed() {
                        eprintln!("stent: cannot accept connections: {error}; idle ones are closed to make room");
                    }
                    self.make_room();
                    tokio::select! {
                        () = tokio::time::sleep(back_off) => {}
                        () = reached(&mut stage, Stage::Closed) => return,
                    }
                    self.look();
                    back_off = (back_off * 2).min(BACK_OFF.1);
                }
            }
        }
    }

    /// A place for a connection that was accepted. Where none is free, the one that has been idle longest gives up its own,
    /// here or at another worker; those who come next wait in the kernel's queue. `None`: it is to stop, and serves this one
    /// all the same.
    async fn place(&self, stage: &mut watch::Receiver<Stage>) -> Option<OwnedSemaphorePermit> {
        let places = &self.accepting.places;
        if let Some(place) = places.take() {
            return Some(place);
        }
        loop {
            if !self.make_room() {
                places.want();
            }
            tokio::select! {
                place = places.wait() => return place,
                () = tokio::time::sleep(ROOM_AGAIN) => self.look(),
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
        self.lines.look(Instant::now(), &self.accepting.settings.load().limits, *self.accepting.stage.borrow());
    }

    /// Closes the connection that has been idle longest. Answers whether there was one.
    fn make_room(&self) -> bool {
        let closed = self.lines.close_idlest(Instant::now());
        if closed {
            self.accepting.places.count_shed();
        }
        closed
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
