//! Bodies on their way through: nothing, one buffer, or a stream of frames from elsewhere.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Why a body broke off. It is shown to nobody; the peer sees the connection close.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request's or a response's body.
pub enum Body {
    /// None.
    Empty,
    /// All of it.
    Full(Bytes),
    /// Frames as they come.
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>, Option<Busy>),
}

/// Counts something as busy for as long as it lives.
#[derive(Debug)]
pub struct Busy(Arc<AtomicUsize>);

impl Busy {
    /// One more.
    pub fn on(count: &Arc<AtomicUsize>) -> Busy {
        count.fetch_add(1, Ordering::Relaxed);
        Busy(count.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Body {
    /// A body that streams from elsewhere.
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = BodyError> + Send + 'static) -> Body {
        Body::Stream(Box::pin(body), None)
    }

    /// Keeps its connection busy until it is read or dropped; a buffer does not: only the client can delay it.
    pub fn busy(self, busy: Busy) -> Body {
        match self {
            Body::Stream(body, _) => Body::Stream(body, Some(busy)),
            whole => whole,
        }
    }

    /// A buffer; an empty one is no body.
    pub fn full(bytes: impl Into<Bytes>) -> Body {
        let bytes = bytes.into();
        if bytes.is_empty() { Body::Empty } else { Body::Full(bytes) }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Body::Empty => f.write_str("Empty"),
            Body::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Body::Stream(..) => f.write_str("Stream"),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Body::Empty => Poll::Ready(None),
            Body::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Body::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Body::Stream(body, _) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty => true,
            Body::Full(_) => false,
            Body::Stream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty => SizeHint::with_exact(0),
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Stream(body, _) => body.size_hint(),
        }
    }
}
