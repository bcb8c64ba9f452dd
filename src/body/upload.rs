//! A client's body on its way to the origin: counted, bounded, watched for stalls, and copied aside where tags need it.

use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};

use crate::body::{Body, BodyError};
use crate::ground::clock::monotonic;
use crate::ground::failure::FailureKind;

/// The most of a body that is copied aside to read tags from, in bytes.
pub const ASIDE_BYTES: usize = 256 << 10;

/// How much of a body is read before a place at the origin is asked for, in bytes.
pub const AHEAD_BYTES: usize = 64 << 10;

/// How long that may take where the origin has a place for a slow client.
const AHEAD_WAIT: Duration = Duration::from_millis(100);

/// How long a client that expects `100 Continue` is kept waiting for the origin's word (RFC 9110 §10.1.1).
const EXPECT_WAIT: Duration = Duration::from_secs(1);

/// What others may know of an upload.
#[derive(Debug)]
pub struct UploadState {
    progress: AtomicU64,
    end: AtomicU8,
    gate: Mutex<Gate>,
    aside: Option<Mutex<Vec<u8>>>,
}

/// How an upload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadEnd {
    /// It has not.
    Running,
    /// The whole body was read.
    Whole,
    /// The client went away or stalled.
    Aborted,
    /// Longer than allowed.
    TooLong,
    /// Slower than allowed.
    TooSlow,
}

impl From<UploadEnd> for FailureKind {
    /// Of a body that is not whole.
    fn from(end: UploadEnd) -> FailureKind {
        match end {
            UploadEnd::TooLong => FailureKind::BodyTooLarge,
            UploadEnd::TooSlow => FailureKind::SlowClient,
            UploadEnd::Running | UploadEnd::Whole | UploadEnd::Aborted => FailureKind::ClientBody,
        }
    }
}

#[derive(Debug)]
enum Gate {
    Open,
    /// The client waits for `100 Continue`: nothing is read until the origin asks for it.
    Shut(Option<Waker>),
}

/// How an upload is treated.
#[derive(Debug, Clone, Copy)]
pub struct UploadRules {
    /// The longest body in bytes.
    pub limit: u64,
    /// The longest wait between two pieces.
    pub idle: Duration,
    /// The fewest bytes a second, on average over [`RATE_TIME`] of waiting for the client; 0 for any.
    pub least_rate: u64,
    /// The client sent `Expect: 100-continue`.
    pub expects: Expects,
    /// Whether a copy is needed.
    pub aside: Aside,
}

impl UploadRules {
    /// The longest that the client may send nothing.
    fn silence(&self) -> Duration {
        if self.least_rate == 0 { self.idle } else { self.idle.min(RATE_TIME) }
    }
}

/// Whether the client waits for an interim answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expects {
    /// `Expect: 100-continue`.
    Continue,
    /// No.
    Nothing,
}

/// Whether a copy of the body is kept for tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aside {
    /// Up to [`ASIDE_BYTES`].
    Keep,
    /// None.
    No,
}

impl UploadState {
    /// Changes whenever the upload moves; stays once it is over.
    pub fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// How it ended.
    pub fn end(&self) -> UploadEnd {
        match self.end.load(Ordering::Relaxed) {
            1 => UploadEnd::Whole,
            2 => UploadEnd::Aborted,
            3 => UploadEnd::TooLong,
            4 => UploadEnd::TooSlow,
            _ => UploadEnd::Running,
        }
    }

    /// The origin wants the body.
    pub fn open_gate(&self) {
        let before = std::mem::replace(&mut *self.gate(), Gate::Open);
        if let Gate::Shut(Some(waker)) = before {
            waker.wake();
        }
    }

    /// The copy, if one was kept and the body was whole and short enough for it.
    pub fn aside(&self) -> Option<Vec<u8>> {
        let copy = self.aside.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        (self.end() == UploadEnd::Whole && copy.len() <= ASIDE_BYTES).then(|| copy.clone())
    }

    fn gate(&self) -> std::sync::MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, end: UploadEnd) {
        let code = match end {
            UploadEnd::Running => 0,
            UploadEnd::Whole => 1,
            UploadEnd::Aborted => 2,
            UploadEnd::TooLong => 3,
            UploadEnd::TooSlow => 4,
        };
        self.end.store(code, Ordering::Relaxed);
        self.progress.fetch_add(1, Ordering::Relaxed);
    }

    fn set_aside(&self, data: &Bytes) {
        let Some(copy) = &self.aside else { return };
        let mut copy = copy.lock().unwrap_or_else(PoisonError::into_inner);
        // One byte too many says that it did not fit.
        let room = (ASIDE_BYTES + 1).saturating_sub(copy.len());
        copy.extend_from_slice(&data[..data.len().min(room)]);
    }
}

/// The body that is sent on.
pub struct Upload {
    incoming: Body,
    state: Arc<UploadState>,
    rules: UploadRules,
    read: u64,
    timer: Pin<Box<Sleep>>,
    waiting: Expects,
    pace: Pace,
}

/// Over how long the least rate of a client is an average.
pub const RATE_TIME: Duration = Duration::from_secs(30);

/// How fast the client sends, in the time that it is waited for: that the origin takes its time is no fault of the client's.
#[derive(Debug, Default)]
struct Pace {
    since: Option<Instant>,
    waited: Duration,
    came: u64,
}

impl Pace {
    /// The client is waited for.
    fn waits(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// So much came. Answers whether that was too slow.
    fn came(&mut self, bytes: u64, least_rate: u64, now: Instant) -> bool {
        let Some(since) = self.since.take() else {
            self.came += bytes;
            return false;
        };
        self.waited += now.saturating_duration_since(since);
        self.came += bytes;
        if self.waited < RATE_TIME {
            return false;
        }
        let is_slow = (self.came as f64) < least_rate as f64 * self.waited.as_secs_f64();
        *self = Pace::default();
        is_slow
    }
}

impl Upload {
    /// Wraps a client's body.
    pub fn new(incoming: Body, rules: UploadRules) -> (Upload, Arc<UploadState>) {
        let gate = match rules.expects {
            Expects::Continue => Gate::Shut(None),
            Expects::Nothing => Gate::Open,
        };
        let state = Arc::new(UploadState {
            progress: AtomicU64::new(0),
            end: AtomicU8::new(0),
            gate: Mutex::new(gate),
            aside: (rules.aside == Aside::Keep).then(Mutex::default),
        });
        let first = if rules.expects == Expects::Continue { EXPECT_WAIT } else { rules.silence() };
        let timer = Box::pin(tokio::time::sleep(first));
        (
            Upload {
                incoming,
                state: state.clone(),
                rules,
                read: 0,
                timer,
                waiting: rules.expects,
                pace: Pace::default(),
            },
            state,
        )
    }

    /// Reads the beginning before a place at the origin is asked for: a client that is slow with its body, and has not much
    /// of it, takes none from others. After a moment it takes one of `slow`, since the origin may want to answer what has come so
    /// far; where none is free it is read on until one is, or until enough has come. One that waits to be asked is not asked for this; and
    /// once all that is read ahead is too much, no more is. `Err`: how the body ended.
    pub async fn ahead(mut self, slow: &Arc<Semaphore>) -> Result<Body, UploadEnd> {
        if self.rules.expects == Expects::Continue {
            return Ok(Body::stream(self));
        }
        let (mut begun, mut trailers, mut held) = (BytesMut::new(), None, Held(0));
        let (mut until, mut place) = (tokio::time::Instant::from_std(monotonic()) + AHEAD_WAIT, None);
        while begun.len() < AHEAD_BYTES && trailers.is_none() && held.grow_to(begun.capacity()) {
            let frame = std::future::poll_fn(|cx| Pin::new(&mut self).poll_frame(cx));
            match tokio::time::timeout_at(until, frame).await {
                Err(_) => {
                    place = slow.clone().try_acquire_owned().ok();
                    if place.is_some() {
                        break;
                    }
                    until += AHEAD_WAIT;
                }
                Ok(None) => return Ok(Body::full(begun)),
                Ok(Some(Err(_))) => return Err(self.state.end()),
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => begun.extend_from_slice(&data),
                    Err(frame) => trailers = frame.into_trailers().ok(),
                },
            }
        }
        Ok(Body::stream(Begun { begun: begun.freeze(), trailers, rest: self, _held: held, _place: place }))
    }

    /// Ready once the body may be read.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.waiting == Expects::Nothing {
            return Poll::Ready(());
        }
        let shut = match &mut *self.state.gate() {
            Gate::Open => false,
            Gate::Shut(waker) => {
                *waker = Some(cx.waker().clone());
                true
            }
        };
        if shut && self.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.waiting = Expects::Nothing;
        self.rest();
        Poll::Ready(())
    }

    fn rest(&mut self) {
        let next = tokio::time::Instant::from_std(monotonic()) + self.rules.silence();
        self.timer.as_mut().reset(next);
    }

    fn fail(&mut self, end: UploadEnd, why: &'static str) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.state.finish(end);
        Poll::Ready(Some(Err(why.into())))
    }
}

/// A body of which some was read ahead.
struct Begun {
    begun: Bytes,
    trailers: Option<HeaderMap>,
    rest: Upload,
    _held: Held,
    /// Of the places for slow clients.
    _place: Option<OwnedSemaphorePermit>,
}

/// What is read ahead of all bodies together, in bytes.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// The most of it.
const MAX_HELD: usize = 32 << 20;

/// One body's part in it.
struct Held(usize);

impl Held {
    /// `false`: there is no room for more.
    fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.0);
        let before = HELD.fetch_add(more, Ordering::Relaxed);
        self.0 += more;
        before + more <= MAX_HELD
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        HELD.fetch_sub(self.0, Ordering::Relaxed);
    }
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if !this.begun.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.begun)))));
        }
        match this.trailers.take() {
            Some(trailers) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            None => Pin::new(&mut this.rest).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.begun.is_empty() && self.trailers.is_none() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        // What has trailers goes in chunks.
        let left = self.rest.size_hint().exact().filter(|_| self.trailers.is_none());
        left.map_or_else(SizeHint::default, |left| SizeHint::with_exact(left + self.begun.len() as u64))
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if this.poll_gate(cx).is_pending() {
            return Poll::Pending;
        }
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Pending => match this.timer.as_mut().poll(cx) {
                Poll::Ready(()) if this.rules.silence() < this.rules.idle => {
                    this.fail(UploadEnd::TooSlow, "the client stopped sending")
                }
                Poll::Ready(()) => this.fail(UploadEnd::Aborted, "the client stopped sending"),
                Poll::Pending => {
                    this.pace.waits(Instant::from_std(monotonic()));
                    Poll::Pending
                }
            },
            Poll::Ready(None) => {
                this.state.finish(UploadEnd::Whole);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(_))) => this.fail(UploadEnd::Aborted, "the client's body broke off"),
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    let length = data.len() as u64;
                    this.read += length;
                    if this.pace.came(length, this.rules.least_rate, Instant::from_std(monotonic())) {
                        return this.fail(UploadEnd::TooSlow, "the client sends too slowly");
                    }
                    if this.read > this.rules.limit {
                        return this.fail(UploadEnd::TooLong, "the client's body is too long");
                    }
                    this.state.set_aside(data);
                    this.state.progress.fetch_add(1, Ordering::Relaxed);
                }
                this.rest();
                if this.incoming.is_end_stream() {
                    this.state.finish(UploadEnd::Whole);
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_that_a_client_is_waited_for_counts() {
        let (begun, second) = (Instant::now(), Duration::from_secs(1));
        // So much comes in each of 60 seconds, after so long a wait for it.
        let check = |bytes: u64, wait: Duration| {
            let mut pace = Pace::default();
            (0..60).position(|turn| {
                let now = begun + second * turn;
                pace.waits(now);
                pace.came(bytes, 1 << 10, now + wait)
            })
        };
        assert_eq!(check(1, second), Some(29));
        assert_eq!(check(1000, second), Some(29));
        assert_eq!(check(1024, second), None);
        assert_eq!(check(600, second / 2), Some(59).filter(|_| 600 * 2 < 1024), "it sends in half the time");
        assert_eq!(check(1, second / 100), None, "the origin takes its time");
    }

    #[test]
    fn what_is_read_ahead_of_all_bodies_is_bounded() {
        let (mut most, mut one) = (Held(0), Held(0));
        assert!(most.grow_to(MAX_HELD));
        assert!(!one.grow_to(1));
        drop(most);
        assert!(one.grow_to(AHEAD_BYTES));
    }
}
