//! Bodies on their way through: nothing, one buffer, or a stream of frames from elsewhere.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::net::TcpStream;

use crate::upstream::pool::Seat;

/// Why a body broke off. It is shown to nobody; the peer sees the connection close.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request's or a response's body.
pub enum Body {
    /// None.
    Empty,
    /// All of it.
    Full(Bytes),
    /// Frames as they come.
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>),
    /// None; another protocol begins behind the head (101).
    Tunnel(Box<Tunnel>),
}

/// The origin's end of a granted upgrade.
#[derive(Debug)]
pub struct Tunnel {
    /// The connection to the origin.
    pub origin: TcpStream,
    /// What came on it behind the head.
    pub from_origin: Vec<u8>,
    /// What counts the connection as open.
    pub _seat: Seat,
}

impl Body {
    /// A body that streams from elsewhere.
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = BodyError> + Send + 'static) -> Body {
        Body::Stream(Box::pin(body))
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
            Body::Stream(_) => f.write_str("Stream"),
            Body::Tunnel(_) => f.write_str("Tunnel"),
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match this {
            Body::Empty | Body::Tunnel(_) => Poll::Ready(None),
            Body::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                *this = Body::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Body::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty | Body::Tunnel(_) => true,
            Body::Full(_) => false,
            Body::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Empty | Body::Tunnel(_) => SizeHint::with_exact(0),
            Body::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Body::Stream(body) => body.size_hint(),
        }
    }
}
