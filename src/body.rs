//! Bodies on their way through: nothing, one buffer, or a stream of frames from elsewhere.

pub mod ending;
pub mod spool;
pub mod upload;

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::net::TcpStream;

use crate::entry::stored::Entry;

/// Why a body broke off. It is shown to nobody; the peer sees the connection close.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A request's or a response's body.
pub enum Body {
    /// None.
    Empty,
    /// All of it.
    Full(Bytes),
    /// What is stored: its fields go out with those of the answer, and of its body this part.
    Stored(Entry, Part),
    /// Frames as they come.
    Stream(Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>),
    /// None; another protocol begins behind the head (101).
    Tunnel(Box<Tunnel>),
}

/// A part of a stored body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// These bytes, first and last included.
    Range(usize, usize),
    /// None: the answer is to HEAD.
    Nothing,
}

/// The origin's end of a granted upgrade.
#[derive(Debug)]
pub struct Tunnel {
    /// The connection to the origin.
    pub origin: TcpStream,
    /// What came on it behind the head.
    pub from_origin: Vec<u8>,
    /// Held for as long as the tunnel lasts: dropping it counts the connection as closed.
    pub seat: Box<dyn Any + Send + Sync>,
}

impl Body {
    /// A body that streams from elsewhere.
    pub fn stream(body: impl HttpBody<Data = Bytes, Error = BodyError> + Send + 'static) -> Body {
        Body::Stream(Box::pin(body))
    }

    /// Its length in bytes, as far as it is known.
    pub fn length(&self) -> Option<u64> {
        match self {
            Body::Empty | Body::Tunnel(_) | Body::Stored(_, Part::Nothing) => Some(0),
            Body::Full(bytes) => Some(bytes.len() as u64),
            Body::Stored(entry, Part::Whole) => Some(entry.body().len() as u64),
            Body::Stored(_, Part::Range(first, last)) => Some((last - first) as u64 + 1),
            Body::Stream(body) => body.size_hint().exact(),
        }
    }

    /// A buffer; an empty one is no body.
    pub fn full(bytes: impl Into<Bytes>) -> Body {
        let bytes = bytes.into();
        if bytes.is_empty() { Body::Empty } else { Body::Full(bytes) }
    }
}

impl Part {
    /// These of a body's bytes.
    pub fn of<'b>(&self, body: &'b Bytes) -> &'b [u8] {
        match *self {
            Part::Whole => body,
            Part::Range(first, last) => &body[first..=last],
            Part::Nothing => &[],
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Body::Empty => f.write_str("Empty"),
            Body::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Body::Stored(_, part) => write!(f, "Stored({part:?})"),
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
            Body::Stored(entry, which) => {
                let bytes = entry.body().slice_ref(which.of(entry.body()));
                *this = Body::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Body::Stream(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Body::Empty | Body::Tunnel(_) => true,
            Body::Full(_) => false,
            Body::Stored(..) => self.length() == Some(0),
            Body::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Body::Stream(body) => body.size_hint(),
            whole => whole.length().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
