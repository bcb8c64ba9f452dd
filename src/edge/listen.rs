//! Listeners: each worker has its own socket on the same address (`SO_REUSEPORT`), so that the kernel spreads connections and
//! no worker hands one to another.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::connection::{Service, serve};
use super::incoming::{Peer, Trust};
use super::line::Line;
use super::settings::ServerSettings;
use super::watch::{Lines, Serving};
use crate::key::Scheme;
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
    /// Bounds and trusted peers.
    pub settings: Arc<ServerSettings>,
    /// Places for connections, over all workers.
    pub places: Arc<Semaphore>,
    /// What answers.
    pub service: S,
    /// Turns true when no more is accepted and what is in flight is to be finished.
    pub stop: watch::Receiver<bool>,
}

/// Accepts until told to stop; then waits for the connections to end.
pub async fn accept<S: Service>(listener: StdListener, accepting: Accepting<S>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let limits = &accepting.settings.limits;
    let lines = Arc::new(Lines::default());
    let mut connections = tokio::task::JoinSet::new();
    let mut stop = accepting.stop.clone();
    let mut tick = tokio::time::interval(Lines::every(limits));
    while !*stop.borrow() {
        let accepted = tokio::select! {
            accepted = next(&listener, &accepting.places) => accepted,
            _ = stop.changed() => break,
            _ = tick.tick() => {
                lines.look(Instant::now(), limits, Serving::On);
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let Ok((stream, address, place)) = accepted else {
            // Out of descriptors or memory, most likely: what is open must end first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let peer = peer(address, &accepting.settings);
        let (read, write) = stream.into_split();
        let line = Arc::new(Line::new(write));
        let listed = lines.place();
        let number = listed.number();
        let Accepting { worker, settings, service, .. } = accepting.clone();
        let served = line.clone();
        let task = connections.spawn(async move {
            serve(read, served, peer, worker, &settings.limits, service).await;
            drop((place, listed));
        });
        lines.list(number, line, task);
    }
    drop(listener);
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while !connections.is_empty() {
        tokio::select! {
            _ = connections.join_next() => {}
            _ = tick.tick() => lines.look(Instant::now(), limits, Serving::Draining),
        }
    }
    Ok(())
}

/// The next client, once there is a place for it; until then it waits here, and those after it in the kernel's queue.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, place))
}

fn peer(address: SocketAddr, settings: &ServerSettings) -> Peer {
    let ip = address.ip().to_canonical();
    let trusted = settings.trusted_proxies.iter().any(|net| net.contains(&ip));
    Peer::new(ip, if trusted { Trust::Proxy } else { Trust::Stranger }, Scheme::Http)
}
