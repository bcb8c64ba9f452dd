//! One client connection: hyper speaks HTTP/1.1 on it, and a watch bounds what hyper does not: the time for a head, the time
//! between requests, and a client that does not read.
//!
//! The watch costs a request nothing but a few relaxed counters: it wakes four times per limit and compares.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::rt::ReadBufCursor;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use super::incoming::{Peer, Refusal};
use super::scan::{HeadFault, Scanner};
use super::settings::ServerLimits;
use crate::body::{Body, Busy};
use crate::upstream::WorkerId;
use crate::upstream::exchange::Interim;

/// One connection's end, as requests on it see it.
#[derive(Debug, Clone)]
pub struct Client {
    /// Its address and what it may say.
    pub peer: Peer,
    /// The worker that serves it.
    pub worker: WorkerId,
    /// To hand on interim answers (1xx).
    pub interim: Interim,
}

/// What answers requests; the proxy, or the admin's.
pub trait Service: Clone + Send + Sync + 'static {
    /// Answers one.
    fn answer(&self, client: &Client, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;

    /// Answers one whose head cannot be trusted.
    fn refuse(&self, client: &Client, request: Request<Incoming>, refusal: Refusal) -> Response<Body>;
}

/// Whether a request is the last on its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

/// Serves a connection until it ends, its time is over, or `stop` says so and what is in flight is done.
pub async fn serve<S: Service>(
    stream: TcpStream,
    peer: Peer,
    worker: WorkerId,
    limits: &ServerLimits,
    service: S,
    mut stop: watch::Receiver<bool>,
) {
    let io = ClientIo::new(stream);
    let state = io.state.clone();
    let client = Arc::new(Client { peer, worker, interim: state.interim() });
    let answer = {
        let state = state.clone();
        service_fn(move |request: Request<Incoming>| {
            let busy = state.begin(request.version());
            let (fault, last) = state.next_request();
            let (service, client) = (service.clone(), client.clone());
            async move {
                let mut response = match fault {
                    None => service.answer(&client, request).await,
                    Some(fault) => service.refuse(&client, request, Refusal::from(fault)),
                };
                if last == Last::Yes {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, std::convert::Infallible>(response.map(|body| body.busy(busy)))
            }
        })
    };
    let connection = http1::Builder::new()
        .max_headers(limits.headers)
        .max_buf_size(limits.header_bytes.max(8192))
        .serve_connection(io, answer);
    let mut connection = std::pin::pin!(connection);
    let mut watch = Watch::new(state, limits);
    let mut stopping = *stop.borrow();
    if stopping {
        connection.as_mut().graceful_shutdown();
    }
    loop {
        tokio::select! {
            biased;
            // How a connection ends is the client's affair: nothing is left to be done about it.
            _ = connection.as_mut() => return,
            () = watch.tick() => match watch.verdict() {
                Verdict::Fine => {}
                Verdict::Idle => connection.as_mut().graceful_shutdown(),
                Verdict::Stuck => return,
            },
            changed = stop.changed(), if !stopping => {
                stopping = true;
                if changed.is_ok() {
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// What the wrapper around the socket notes down.
#[derive(Debug)]
struct IoState {
    write: OwnedWriteHalf,
    opened: Instant,
    /// Reads and writes that moved something.
    moves: AtomicU64,
    /// The last write found the socket full.
    blocked: AtomicBool,
    /// All that hyper wrote has left; an interim answer may go out.
    flushed: AtomicBool,
    /// Requests and streaming bodies under way.
    busy: Arc<AtomicUsize>,
    /// Milliseconds from `opened` to the first byte of an unfinished head, plus one; zero if there is none.
    head_since: AtomicU64,
    /// What of an interim answer did not fit into the socket.
    left_over: Mutex<Vec<u8>>,
    has_left_over: AtomicBool,
    /// The request under way was sent by a client that understands interim answers.
    takes_interim: AtomicBool,
    /// What is known of the heads that came.
    scanner: Mutex<Scanner>,
    /// Requests that hyper has read.
    requests: AtomicU64,
}

impl IoState {
    fn socket(&self) -> &TcpStream {
        self.write.as_ref()
    }

    fn begin(&self, version: Version) -> Busy {
        self.head_since.store(0, Ordering::Relaxed);
        self.takes_interim.store(version >= Version::HTTP_11, Ordering::Relaxed);
        Busy::on(&self.busy)
    }

    fn scan(&self, bytes: &[u8]) {
        self.scanner.lock().unwrap_or_else(PoisonError::into_inner).see(bytes);
    }

    /// The next request's fault, if its head has one, and whether it is the last on this connection.
    fn next_request(&self) -> (Option<HeadFault>, Last) {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let scanner = self.scanner.lock().unwrap_or_else(PoisonError::into_inner);
        (scanner.fault(number), if scanner.is_last(number) { Last::Yes } else { Last::No })
    }

    fn moved(&self) {
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    fn read_some(&self) {
        self.moved();
        if self.busy.load(Ordering::Relaxed) == 0 && self.head_since.load(Ordering::Relaxed) == 0 {
            self.head_since.store(self.opened.elapsed().as_millis() as u64 + 1, Ordering::Relaxed);
        }
    }

    /// Writes interim answers past hyper, which has no way to send them. Only while all of hyper's bytes have left, so that
    /// they cannot end up inside another answer; otherwise they are dropped, as RFC 9110 §15.2 lets a proxy that must.
    fn interim(self: &Arc<Self>) -> Interim {
        let state = Arc::downgrade(self);
        Interim(Arc::new(move |status: StatusCode, headers: &HeaderMap| {
            let Some(state) = state.upgrade() else { return };
            // `100 Continue` is said when the body is first read.
            let fits = status != StatusCode::CONTINUE
                && state.takes_interim.load(Ordering::Relaxed)
                && state.flushed.load(Ordering::Relaxed)
                && !state.has_left_over.load(Ordering::Relaxed);
            if fits {
                state.write_now(&interim_head(status, headers));
            }
        }))
    }

    fn write_now(&self, bytes: &[u8]) {
        let written = self.write.try_write(bytes).unwrap_or(0);
        if written < bytes.len() && written > 0 {
            *self.left_over.lock().unwrap_or_else(PoisonError::into_inner) = bytes[written..].to_vec();
            self.has_left_over.store(true, Ordering::Relaxed);
        }
    }

    /// What was left over goes first.
    fn poll_left_over(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_left_over.load(Ordering::Relaxed) {
            std::task::ready!(self.socket().poll_write_ready(cx))?;
            let mut left = self.left_over.lock().unwrap_or_else(PoisonError::into_inner);
            match self.write.try_write(&left) {
                Ok(written) => {
                    left.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Poll::Ready(Err(error)),
            }
            self.has_left_over.store(!left.is_empty(), Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

fn interim_head(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let reason = status.canonical_reason().unwrap_or("Interim");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    let mut headers = headers.clone();
    super::deliver::leave_hop(&mut headers);
    for (name, value) in &headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

thread_local! {
    /// Where a worker reads to, one connection at a time.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 << 10]);
}

/// The socket as hyper sees it.
struct ClientIo {
    read: OwnedReadHalf,
    state: Arc<IoState>,
}

impl ClientIo {
    fn new(stream: TcpStream) -> ClientIo {
        let (read, write) = stream.into_split();
        let state = IoState {
            write,
            opened: Instant::now(),
            moves: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            flushed: AtomicBool::new(true),
            busy: Arc::default(),
            // The first head is due from the beginning.
            head_since: AtomicU64::new(1),
            left_over: Mutex::default(),
            has_left_over: AtomicBool::new(false),
            takes_interim: AtomicBool::new(false),
            scanner: Mutex::default(),
            requests: AtomicU64::new(0),
        };
        ClientIo { read, state: Arc::new(state) }
    }

    fn poll_out(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&OwnedWriteHalf) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let state = &*self.state;
        if state.poll_left_over(cx)?.is_pending() {
            state.blocked.store(true, Ordering::Relaxed);
            return Poll::Pending;
        }
        state.flushed.store(false, Ordering::Relaxed);
        loop {
            if state.socket().poll_write_ready(cx)?.is_pending() {
                state.blocked.store(true, Ordering::Relaxed);
                return Poll::Pending;
            }
            match write(&state.write) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    state.blocked.store(false, Ordering::Relaxed);
                    state.moved();
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl hyper::rt::Read for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        // Read beside hyper's buffer, which cannot be looked at: a copy of a head costs little.
        ROOM.with_borrow_mut(|room| {
            let most = room.len().min(buf.remaining());
            let mut read = ReadBuf::new(&mut room[..most]);
            std::task::ready!(Pin::new(&mut self.read).poll_read(cx, &mut read))?;
            self.state.scan(read.filled());
            buf.put_slice(read.filled());
            self.state.read_some();
            Poll::Ready(Ok(()))
        })
    }
}

impl hyper::rt::Write for ClientIo {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_out(cx, |write| write.try_write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_out(cx, |write| write.try_write_vectored(bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.flushed.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(socket2::SockRef::from(self.state.socket()).shutdown(std::net::Shutdown::Write))
    }
}

/// Looks at a connection now and then.
struct Watch {
    state: Arc<IoState>,
    sleep: Pin<Box<tokio::time::Sleep>>,
    every: Duration,
    header_timeout: Duration,
    /// Looks without a move after which a connection counts as idle or stuck.
    patience: u32,
    moves: u64,
    still: u32,
}

enum Verdict {
    Fine,
    /// Nothing is under way and nothing comes.
    Idle,
    /// A head that does not end, or a client that does not read.
    Stuck,
}

impl Watch {
    fn new(state: Arc<IoState>, limits: &ServerLimits) -> Watch {
        let every = (limits.idle_timeout.min(limits.header_timeout) / 4).max(Duration::from_millis(10));
        let patience = limits.idle_timeout.as_millis().div_ceil(every.as_millis().max(1));
        let patience = u32::try_from(patience).unwrap_or(u32::MAX);
        let sleep = Box::pin(tokio::time::sleep(every));
        Watch { state, sleep, every, header_timeout: limits.header_timeout, patience, moves: 0, still: 0 }
    }

    async fn tick(&mut self) {
        self.sleep.as_mut().await;
        self.sleep.as_mut().reset(tokio::time::Instant::now() + self.every);
    }

    fn verdict(&mut self) -> Verdict {
        let state = &self.state;
        let since = state.head_since.load(Ordering::Relaxed);
        let now = state.opened.elapsed().as_millis() as u64 + 1;
        if since > 0 && u128::from(now.saturating_sub(since)) >= self.header_timeout.as_millis() {
            return Verdict::Stuck;
        }
        let moves = state.moves.load(Ordering::Relaxed);
        self.still = if moves == self.moves { self.still + 1 } else { 0 };
        self.moves = moves;
        if self.still < self.patience {
            Verdict::Fine
        } else if state.blocked.load(Ordering::Relaxed) {
            Verdict::Stuck
        } else if state.busy.load(Ordering::Relaxed) == 0 {
            Verdict::Idle
        } else {
            Verdict::Fine
        }
    }
}
