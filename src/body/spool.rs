//! A body that is being filled: one writer appends, any number of readers follow, each at its own pace.
//!
//! While the body may still be stored all of it is *kept*, within `max_object` and what all fills may hold together. Once it
//! cannot be kept it is a *window*: what all have read is dropped, and the writer waits for the slowest reader. Others wait
//! for that one only for a bounded time, [`PATIENCE`]; then it is cut off, visibly. So memory is bounded whatever readers
//! do, and a stuck one harms nobody else. Workers share a spool: hence the mutex, held for moments.

pub mod budget;

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Sleep;

use crate::body::BodyError;
use crate::body::spool::budget::{Budget, Grant};
use crate::ground::clock::monotonic;
use crate::policy::not_stored::NotStored;

/// What a window holds at most, in bytes, beside the chunk that is on its way.
pub const WINDOW: usize = 128 << 10;

/// Chunks are put together up to this length: an origin that sends byte by byte is not to make each of them take the room
/// of many.
const GATHERED: usize = 4 << 10;

/// How long those who are at the end of a window wait for the slowest. A reader that would make them wait longer is cut off.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// After so many bytes patience that was used up is whole again: a reader may always be slower by a second for each MiB.
const PATIENCE_BYTES: usize = 2 << 20;

/// The shared state of one body.
#[derive(Debug)]
pub struct Spool {
    state: Mutex<State>,
    /// The announced length, if there is one.
    length: Option<u64>,
    /// The longest body that is kept whole, in bytes.
    max_object: usize,
}

#[derive(Debug)]
struct State {
    chunks: VecDeque<Bytes>,
    /// The index of `chunks[0]` in the whole body; grows only in a window.
    first: usize,
    /// Bytes in `chunks`.
    held: usize,
    grant: Grant,
    form: Form,
    end: Option<End>,
    readers: Vec<Option<Place>>,
    /// Waits for room in a window.
    writer: Option<Waker>,
    /// Waits for the last reader to go.
    unread: Option<Waker>,
}

#[derive(Debug)]
enum Form {
    Kept,
    Window(Pace),
}

/// What is left of the patience with the slowest.
#[derive(Debug)]
struct Pace(Duration);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Broken,
}

#[derive(Debug)]
struct Place {
    /// The index of the next chunk.
    next: usize,
    /// Bytes of that chunk that were read before.
    skip: usize,
    waker: Option<Waker>,
    cut: bool,
}

/// Why a body cannot be kept whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// It is longer than `max_object`.
    TooLong,
    /// All fills together hold as much as they may.
    Budget,
}

impl From<NoRoom> for NotStored {
    fn from(why: NoRoom) -> NotStored {
        match why {
            NoRoom::TooLong => NotStored::TooLarge,
            NoRoom::Budget => NotStored::FillMemory,
        }
    }
}

/// What became of a chunk that was passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// It is in the window.
    On,
    /// Nobody reads any more.
    Unread,
}

enum Offer {
    Over(Passed),
    /// Nobody waits for another: all are slower than the origin.
    AllLag,
    /// Some have read all there is and wait for the slowest, and may do so for so long yet.
    SomeLag(Duration),
}

impl Spool {
    /// An empty body that is kept whole for now. What is announced is taken of the budget at once, so that it can be told
    /// with the head whether it will be stored.
    pub fn kept(length: Option<u64>, budget: &Arc<Budget>, max_object: u64) -> Result<Arc<Spool>, NoRoom> {
        if length.is_some_and(|length| length > max_object) {
            return Err(NoRoom::TooLong);
        }
        let mut grant = Grant::none(budget);
        if !grant.grow_to(length.unwrap_or_default() as usize) {
            return Err(NoRoom::Budget);
        }
        Ok(Spool::new(length, grant, Form::Kept, max_object))
    }

    /// An empty body that is a window from the beginning.
    pub fn window(length: Option<u64>, budget: &Arc<Budget>) -> Arc<Spool> {
        Spool::new(length, Grant::none(budget), Form::Window(Pace(PATIENCE)), 0)
    }

    fn new(length: Option<u64>, grant: Grant, form: Form, max_object: u64) -> Arc<Spool> {
        let state = State {
            chunks: VecDeque::new(),
            first: 0,
            held: 0,
            grant,
            form,
            end: None,
            readers: Vec::new(),
            writer: None,
            unread: None,
        };
        let max_object = usize::try_from(max_object).unwrap_or(usize::MAX);
        Arc::new(Spool { state: Mutex::new(state), length, max_object })
    }

    /// A reader from the beginning; `None` once the beginning is gone.
    pub fn reader(self: &Arc<Self>) -> Option<SpoolReader> {
        let mut state = self.lock();
        if state.first > 0 {
            return None;
        }
        let place = Place { next: 0, skip: 0, waker: None, cut: false };
        let free = state.readers.iter().position(Option::is_none);
        let id = free.unwrap_or_else(|| {
            state.readers.push(None);
            state.readers.len() - 1
        });
        state.readers[id] = Some(place);
        Some(SpoolReader { spool: self.clone(), id, read: 0 })
    }

    /// How long the whole body is: as announced, or once it is here.
    pub fn length(&self) -> Option<u64> {
        self.length.or_else(|| {
            let state = self.lock();
            let is_here = state.end == Some(End::Whole) && state.first == 0;
            is_here.then(|| state.chunks.iter().map(|chunk| chunk.len() as u64).sum())
        })
    }

    /// Whether nothing has come yet.
    pub fn is_empty(&self) -> bool {
        let state = self.lock();
        state.first == 0 && state.chunks.is_empty()
    }

    /// Whether the body is kept whole.
    pub fn is_kept(&self) -> bool {
        matches!(self.lock().form, Form::Kept)
    }

    /// Appends a chunk to a body that is kept. Where there is no room for it, it comes back and the body is a window.
    pub fn keep(&self, chunk: Bytes) -> Result<(), (Bytes, NoRoom)> {
        let mut state = self.lock();
        let held = state.held + chunk.len();
        let why = if held > self.max_object { Some(NoRoom::TooLong) } else { None };
        let why = why.or_else(|| (!state.grant.grow_to(held)).then_some(NoRoom::Budget));
        if let Some(why) = why {
            state.form = Form::Window(Pace(PATIENCE));
            return Err((chunk, why));
        }
        state.push(chunk);
        Ok(())
    }

    /// Appends a chunk to a window; waits until there is room.
    pub async fn pass_on(&self, chunk: Bytes) -> Passed {
        let mut chunk = Some(chunk);
        let mut stall: Option<(Instant, Pin<Box<Sleep>>)> = None;
        std::future::poll_fn(|cx| self.poll_pass_on(cx, &mut chunk, &mut stall)).await
    }

    fn poll_pass_on(
        &self,
        cx: &mut Context<'_>,
        chunk: &mut Option<Bytes>,
        stall: &mut Option<(Instant, Pin<Box<Sleep>>)>,
    ) -> Poll<Passed> {
        loop {
            let mut state = self.lock();
            let offer = state.offer(cx, chunk);
            let Offer::SomeLag(left) = offer else {
                if let Some((since, _)) = stall.take() {
                    state.stalled(since.elapsed());
                }
                return match offer {
                    Offer::Over(passed) => Poll::Ready(passed),
                    _ => Poll::Pending,
                };
            };
            drop(state);
            let (since, patience) = stall.get_or_insert_with(|| (monotonic(), Box::pin(tokio::time::sleep(left))));
            ready!(patience.as_mut().poll(cx));
            let since = *since;
            *stall = None;
            let mut state = self.lock();
            state.stalled(since.elapsed());
            state.cut_slowest();
        }
    }

    /// The whole body with its last chunk, in one buffer of exact size; `None` if it is not kept or would be too long.
    pub fn whole(&self, last: &Bytes) -> Option<Bytes> {
        let state = self.lock();
        let length = state.held + last.len();
        if !matches!(state.form, Form::Kept) || state.end.is_some() || length > self.max_object {
            return None;
        }
        let mut whole = BytesMut::with_capacity(length);
        state.chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
        whole.extend_from_slice(last);
        Some(whole.freeze())
    }

    /// The body is complete, and stored: whoever still reads goes on in what is stored, and the chunks are dropped.
    pub fn finish_with(&self, whole: Bytes) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut offsets = vec![0];
        for chunk in &state.chunks {
            offsets.push(offsets[offsets.len() - 1] + chunk.len());
        }
        let length = whole.len();
        state.chunks = Some(whole).filter(|whole| !whole.is_empty()).into_iter().collect();
        for place in state.readers.iter_mut().flatten() {
            place.skip = offsets.get(place.next).map_or(length, |offset| offset + place.skip);
            place.next = if place.skip == length { state.chunks.len() } else { 0 };
        }
        state.held = 0;
        state.grant.set(0);
        state.end(End::Whole);
    }

    /// The body is complete.
    pub fn finish(&self) {
        self.lock().end(End::Whole);
    }

    /// The body broke off: readers see an error, and their connections close.
    pub fn fail(&self) {
        self.lock().end(End::Broken);
    }

    /// Waits until nobody reads.
    pub async fn unread(&self) {
        std::future::poll_fn(|cx| {
            let mut state = self.lock();
            if !state.is_read() {
                return Poll::Ready(());
            }
            state.unread = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Whether somebody reads.
    pub fn is_read(&self) -> bool {
        self.lock().is_read()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_read(&self) -> bool {
        self.readers.iter().flatten().any(|place| !place.cut)
    }

    fn push(&mut self, chunk: Bytes) {
        self.held += chunk.len();
        match self.chunks.back() {
            Some(last) if last.len() + chunk.len() <= GATHERED => self.lengthen_last(&chunk),
            _ => self.chunks.push_back(chunk),
        }
        self.wake_readers();
    }

    /// Whoever has read the last chunk goes on in the middle of it.
    fn lengthen_last(&mut self, more: &Bytes) {
        let Some(last) = self.chunks.pop_back() else { return };
        let (behind, before) = (self.first + self.chunks.len() + 1, last.len());
        for place in self.readers.iter_mut().flatten().filter(|place| place.next == behind) {
            (place.next, place.skip) = (behind - 1, before);
        }
        let mut longer = last.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&*shared));
        longer.extend_from_slice(more);
        self.chunks.push_back(longer.freeze());
    }

    /// Takes the chunk if there is room for it; the writer is woken when that may have changed.
    fn offer(&mut self, cx: &mut Context<'_>, chunk: &mut Option<Bytes>) -> Offer {
        if !self.is_read() {
            return Offer::Over(Passed::Unread);
        }
        self.release();
        let length = chunk.as_ref().map_or(0, Bytes::len);
        if self.chunks.is_empty() || self.held + length <= WINDOW {
            if let Some(chunk) = chunk.take() {
                self.push(chunk);
            }
            // A window always moves on: what it needs it takes, and that is little.
            self.grant.set(self.held);
            if let Form::Window(pace) = &mut self.form {
                pace.passed(length);
            }
            return Offer::Over(Passed::On);
        }
        self.writer = Some(cx.waker().clone());
        let last = self.first + self.chunks.len();
        let waits = |place: &Place| !place.cut && place.next == last && place.waker.is_some();
        match &self.form {
            Form::Window(pace) if self.readers.iter().flatten().any(waits) => Offer::SomeLag(pace.0),
            _ => Offer::AllLag,
        }
    }

    /// Drops what every reader has read.
    fn release(&mut self) {
        let places = self.readers.iter().flatten().filter(|place| !place.cut);
        let slowest = places.map(|place| place.next).min().unwrap_or(self.first);
        while self.first < slowest {
            let Some(chunk) = self.chunks.pop_front() else { break };
            self.held -= chunk.len();
            self.first += 1;
        }
        self.grant.set(self.held);
    }

    fn stalled(&mut self, time: Duration) {
        if let Form::Window(pace) = &mut self.form {
            pace.0 = pace.0.saturating_sub(time);
        }
    }

    fn cut_slowest(&mut self) {
        let first = self.first;
        for place in self.readers.iter_mut().flatten().filter(|place| place.next == first) {
            place.cut = true;
            place.waker.take().into_iter().for_each(Waker::wake);
        }
    }

    fn end(&mut self, end: End) {
        self.end.get_or_insert(end);
        self.wake_readers();
    }

    fn wake_readers(&mut self) {
        self.readers.iter_mut().flatten().filter_map(|place| place.waker.take()).for_each(Waker::wake);
    }
}

impl Pace {
    fn passed(&mut self, bytes: usize) {
        let regained = PATIENCE.mul_f64(bytes as f64 / PATIENCE_BYTES as f64);
        self.0 = (self.0 + regained).min(PATIENCE);
    }
}

/// One reader's view of the body.
#[derive(Debug)]
pub struct SpoolReader {
    spool: Arc<Spool>,
    id: usize,
    read: u64,
}

impl Drop for SpoolReader {
    fn drop(&mut self) {
        let mut state = self.spool.lock();
        state.readers[self.id] = None;
        // Its place may have been what the writer waited for.
        state.writer.take().into_iter().for_each(Waker::wake);
        if !state.is_read() {
            state.unread.take().into_iter().for_each(Waker::wake);
        }
    }
}

impl HttpBody for SpoolReader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let mut guard = this.spool.lock();
        let state = &mut *guard;
        let Some(place) = state.readers[this.id].as_mut() else { return Poll::Ready(None) };
        if place.cut {
            return Poll::Ready(Some(Err("this reader was too slow".into())));
        }
        // Room for the writer, or one more who waits for the slowest.
        state.writer.take().into_iter().for_each(Waker::wake);
        if let Some(chunk) = state.chunks.get(place.next - state.first) {
            let chunk = chunk.slice(place.skip..);
            place.next += 1;
            place.skip = 0;
            this.read += chunk.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        match state.end {
            Some(End::Whole) => Poll::Ready(None),
            Some(End::Broken) => Poll::Ready(Some(Err("the origin's answer broke off".into()))),
            None => {
                place.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // With an announced length the last byte is the end for whoever reads it, so that it need not come back.
        if self.spool.length == Some(self.read) {
            return true;
        }
        let state = self.spool.lock();
        let place = state.readers[self.id].as_ref();
        state.end == Some(End::Whole) && place.is_some_and(|place| place.next == state.first + state.chunks.len())
    }

    fn size_hint(&self) -> SizeHint {
        match self.spool.length {
            Some(length) => SizeHint::with_exact(length.saturating_sub(self.read)),
            None => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests;
