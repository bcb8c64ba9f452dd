//! A request's body, read from its connection as far as somebody wants it. Whoever drops it gives the connection back.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::line::Line;
use super::sides::ReadSide;
use crate::body::BodyError;
use crate::body::upload::Expects;
use crate::hop::fields::drop_from_trailers;
use crate::http1::decode::Decoder;
use crate::http1::source::{MessageSource, NoBody};

/// The reading side of a connection.
pub(super) type RequestSource = MessageSource<ReadSide>;

/// Where a body leaves the reading side of its connection.
#[derive(Debug)]
pub(super) struct Home(Mutex<Slot>);

#[derive(Debug)]
struct Slot {
    returned: Option<Returned>,
    waker: Option<Waker>,
    expects: Expects,
}

/// How a body came back.
#[derive(Debug)]
pub(super) enum Returned {
    /// It was read whole: what follows is the next request.
    Whole(RequestSource),
    /// It was not, and this is to come. The client may be waiting to be told to send it.
    Partly(RequestSource, Decoder, Expects),
    /// What came was not a body: the connection is of no use.
    Broken(RequestSource),
}

impl Home {
    /// For the body of a client that waits for this.
    pub(super) fn new(expects: Expects) -> Home {
        Home(Mutex::new(Slot { returned: None, waker: None, expects }))
    }

    /// What the client waits for before it sends its body.
    pub(super) fn expects(&self) -> Expects {
        self.slot().expects
    }

    /// Takes what came back, if it has.
    pub(super) fn take(&self) -> Option<Returned> {
        self.slot().returned.take()
    }

    /// Waits for it.
    pub(super) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Returned> {
        let mut slot = self.slot();
        match slot.returned.take() {
            Some(returned) => Poll::Ready(returned),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn give(&self, returned: Returned) {
        let mut slot = self.slot();
        slot.returned = Some(returned);
        slot.waker.take().into_iter().for_each(Waker::wake);
    }

    fn slot(&self) -> std::sync::MutexGuard<'_, Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body on its way in.
pub(super) struct RequestBody {
    /// `None` once it is given back.
    source: Option<RequestSource>,
    decoder: Decoder,
    trailers: Option<HeaderMap>,
    /// What the client waits for.
    expects: Expects,
    home: Arc<Home>,
    line: Arc<Line>,
}

impl RequestBody {
    /// What this decoder finds next on the connection.
    pub(super) fn new(
        source: RequestSource,
        decoder: Decoder,
        expects: Expects,
        line: Arc<Line>,
    ) -> (RequestBody, Arc<Home>) {
        let home = Arc::new(Home::new(expects));
        (RequestBody { source: Some(source), decoder, trailers: None, expects, home: home.clone(), line }, home)
    }

    fn fail(&mut self, error: NoBody) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.source.take().into_iter().for_each(|source| self.home.give(Returned::Broken(source)));
        Poll::Ready(Some(Err(match error {
            NoBody::Fault(fault) => fault.into(),
            NoBody::Broken(error) => error.into(),
        })))
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        self.line.set_awaits_body(false);
        if let Some(source) = self.source.take() {
            let decoder = std::mem::replace(&mut self.decoder, Decoder::Length(0));
            self.home.give(Returned::Partly(source, decoder, self.expects));
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(source) = &mut this.source else {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        if this.expects == Expects::Continue {
            // A client that sends without waiting need not be told.
            this.expects = if source.has_more() { Expects::Nothing } else { this.line.say_continue() };
            this.home.slot().expects = this.expects;
        }
        let polled = source.poll_body(cx, &mut this.decoder);
        this.line.set_awaits_body(polled.is_pending());
        let piece = match ready!(polled) {
            Ok(piece) => piece,
            Err(error) => return this.fail(error),
        };
        this.line.moved();
        if let Some(end) = piece.end {
            this.trailers = end.trailers;
            this.trailers.iter_mut().for_each(drop_from_trailers);
            this.source.take().into_iter().for_each(|source| this.home.give(Returned::Whole(source)));
        }
        match piece.data.is_empty() {
            false => Poll::Ready(Some(Ok(Frame::data(piece.data)))),
            true => Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder.left().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
