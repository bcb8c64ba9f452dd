//! A body that is being filled: one writer appends, any number of readers follow, each at its own pace.
//!
//! While the body may still be stored all of it is kept, at most `max_object`. Once it is longer it is a *window*: the
//! writer waits for its slowest reader, and a reader that holds up others by a whole window is cut off, visibly. So memory is
//! bounded whatever readers do, and a stuck one harms nobody else. Workers share a spool: hence the mutex, held for moments.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::BodyError;

/// The shared state of one body.
#[derive(Debug)]
pub struct Spool {
    state: Mutex<State>,
    /// The announced length, if there is one.
    length: Option<u64>,
    /// The longest body that is kept whole, and the size of the window after that; in bytes.
    max_object: usize,
}

#[derive(Debug, Default)]
struct State {
    chunks: VecDeque<Bytes>,
    /// The index of `chunks[0]` in the whole body; grows only in window mode.
    first: usize,
    /// Bytes in `chunks`.
    held: usize,
    end: Option<End>,
    readers: Vec<Option<Place>>,
    writer: Option<Waker>,
    window: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    Broken,
}

#[derive(Debug)]
struct Place {
    next: usize,
    waker: Option<Waker>,
    cut: bool,
}

/// What became of an appended chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// The body is still kept whole.
    Kept,
    /// It has become too long to be kept.
    Window,
    /// It is a window and nobody reads it any more.
    Abandoned,
}

impl Spool {
    /// An empty body of this announced length.
    pub fn new(length: Option<u64>, max_object: u64) -> Arc<Spool> {
        let max_object = usize::try_from(max_object).unwrap_or(usize::MAX);
        Arc::new(Spool { state: Mutex::default(), length, max_object })
    }

    /// A reader from the beginning; `None` once the beginning is gone.
    pub fn reader(self: &Arc<Self>) -> Option<Reader> {
        let mut state = self.lock();
        if state.window {
            return None;
        }
        let place = Place { next: 0, waker: None, cut: false };
        let free = state.readers.iter().position(Option::is_none);
        let id = free.unwrap_or_else(|| {
            state.readers.push(None);
            state.readers.len() - 1
        });
        state.readers[id] = Some(place);
        Some(Reader { spool: self.clone(), id, read: 0 })
    }

    /// Appends a chunk; waits in window mode until there is room.
    pub async fn append(&self, chunk: Bytes) -> Appended {
        let mut chunk = Some(chunk);
        std::future::poll_fn(|cx| self.poll_append(cx, &mut chunk)).await
    }

    fn poll_append(&self, cx: &mut Context<'_>, chunk: &mut Option<Bytes>) -> Poll<Appended> {
        let mut state = self.lock();
        let length = chunk.as_ref().map_or(0, Bytes::len);
        if !state.window && state.held + length > self.max_object {
            state.window = true;
        }
        if state.window {
            state.release();
            if state.readers.iter().flatten().all(|place| place.cut) {
                return Poll::Ready(Appended::Abandoned);
            }
            if !state.chunks.is_empty() && state.held + length > self.max_object {
                if !state.cut_laggards() {
                    state.writer = Some(cx.waker().clone());
                    return Poll::Pending;
                }
                state.release();
            }
        }
        if let Some(chunk) = chunk.take() {
            state.held += chunk.len();
            state.chunks.push_back(chunk);
        }
        state.wake_readers();
        Poll::Ready(if state.window { Appended::Window } else { Appended::Kept })
    }

    /// Appends the last chunk of a body that is still kept whole, or of a window, without waking anybody: [`Spool::finish`]
    /// follows at once. It may exceed the bound by this one chunk.
    pub fn append_quietly(&self, chunk: Bytes) {
        let mut state = self.lock();
        state.held += chunk.len();
        if state.held > self.max_object {
            state.window = true;
        }
        state.chunks.push_back(chunk);
    }

    /// The body is complete.
    pub fn finish(&self) {
        self.end(End::Whole);
    }

    /// The body broke off: readers see an error, and their connections close.
    pub fn fail(&self) {
        self.end(End::Broken);
    }

    fn end(&self, end: End) {
        let mut state = self.lock();
        state.end.get_or_insert(end);
        state.wake_readers();
    }

    /// The whole body in one buffer of its own, of exact size; `None` if it was too long or is not complete.
    pub fn whole(&self) -> Option<Bytes> {
        let state = self.lock();
        if state.window || state.end == Some(End::Broken) {
            return None;
        }
        let mut whole = BytesMut::with_capacity(state.held);
        state.chunks.iter().for_each(|chunk| whole.extend_from_slice(chunk));
        Some(whole.freeze())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Drops what every reader has read.
    fn release(&mut self) {
        let slowest = self.readers.iter().flatten().filter(|place| !place.cut).map(|place| place.next).min();
        let slowest = slowest.unwrap_or(self.first + self.chunks.len());
        while self.first < slowest {
            let Some(chunk) = self.chunks.pop_front() else { break };
            self.held -= chunk.len();
            self.first += 1;
        }
    }

    /// The window is full. If some reader has read all of it and waits, those at its far end are cut off; if all lag alike,
    /// this is plain back-pressure.
    fn cut_laggards(&mut self) -> bool {
        let (first, last) = (self.first, self.first + self.chunks.len());
        if !self.readers.iter().flatten().any(|place| !place.cut && place.next == last) {
            return false;
        }
        for place in self.readers.iter_mut().flatten().filter(|place| place.next == first) {
            place.cut = true;
            place.waker.take().into_iter().for_each(Waker::wake);
        }
        true
    }

    fn wake_readers(&mut self) {
        self.readers.iter_mut().flatten().filter_map(|place| place.waker.take()).for_each(Waker::wake);
    }
}

/// One reader's view of the body.
#[derive(Debug)]
pub struct Reader {
    spool: Arc<Spool>,
    id: usize,
    read: u64,
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.spool.lock();
        state.readers[self.id] = None;
        // Its place may have been what the writer waited for.
        state.writer.take().into_iter().for_each(Waker::wake);
    }
}

impl HttpBody for Reader {
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
        if let Some(chunk) = state.chunks.get(place.next - state.first) {
            place.next += 1;
            this.read += chunk.len() as u64;
            let chunk = chunk.clone();
            if state.window {
                state.writer.take().into_iter().for_each(Waker::wake);
            }
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
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn read(reader: &mut Reader) -> Option<Result<Bytes, BodyError>> {
        Some(reader.frame().await?.map(|frame| frame.into_data().unwrap_or_default()))
    }

    #[tokio::test]
    async fn readers_follow_at_their_own_pace_and_late_ones_get_all() {
        let spool = Spool::new(None, 1000);
        let mut early = spool.reader().unwrap();
        spool.append(Bytes::from_static(b"one")).await;
        assert_eq!(read(&mut early).await.unwrap().unwrap(), "one");
        spool.append(Bytes::from_static(b"two")).await;
        let late = spool.reader().unwrap();
        spool.finish();
        assert_eq!(late.collect().await.unwrap().to_bytes(), "onetwo");
        assert_eq!(read(&mut early).await.unwrap().unwrap(), "two");
        assert!(early.is_end_stream());
        assert!(read(&mut early).await.is_none());
        assert_eq!(spool.whole().unwrap(), "onetwo");
    }

    #[tokio::test]
    async fn a_broken_body_is_an_error_to_readers_and_is_never_whole() {
        let spool = Spool::new(Some(10), 1000);
        let mut reader = spool.reader().unwrap();
        spool.append(Bytes::from_static(b"half")).await;
        spool.fail();
        assert_eq!(read(&mut reader).await.unwrap().unwrap(), "half");
        assert!(read(&mut reader).await.unwrap().is_err());
        assert_eq!(spool.whole(), None);
    }

    #[tokio::test]
    async fn beyond_its_bound_it_is_a_window() {
        let spool = Spool::new(None, 4);
        let mut fast = spool.reader().unwrap();
        let mut slow = spool.reader().unwrap();
        assert_eq!(spool.append(Bytes::from_static(b"ab")).await, Appended::Kept);
        assert_eq!(spool.append(Bytes::from_static(b"cd")).await, Appended::Kept);
        read(&mut fast).await;
        read(&mut fast).await;
        assert_eq!(spool.append(Bytes::from_static(b"ef")).await, Appended::Window, "the slow one was cut off");
        assert!(spool.reader().is_none(), "the beginning is gone");
        assert_eq!(read(&mut fast).await.unwrap().unwrap(), "ef");
        assert!(read(&mut slow).await.unwrap().is_err());
        assert_eq!(spool.whole(), None);
    }

    #[tokio::test]
    async fn alone_a_slow_reader_is_waited_for() {
        let spool = Spool::new(None, 4);
        let mut only = spool.reader().unwrap();
        spool.append(Bytes::from_static(b"abcd")).await;
        let append = spool.append(Bytes::from_static(b"e"));
        let mut append = std::pin::pin!(append);
        let pending = std::future::poll_fn(|cx| Poll::Ready(append.as_mut().poll(cx).is_pending())).await;
        assert!(pending, "back-pressure");
        assert_eq!(read(&mut only).await.unwrap().unwrap(), "abcd");
        assert_eq!(append.await, Appended::Window);
        drop(only);
        assert_eq!(spool.append(Bytes::from_static(b"f")).await, Appended::Abandoned);
    }
}
