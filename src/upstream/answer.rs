//! The body of an origin's answer, as it is read: bounded waits, and the connection back to the pool at its end.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::pool::Seat;
use super::request::{Lost, Uploading};
use crate::body::BodyError;
use crate::http1::decode::{BodyFault, Decoder};
use crate::http1::source::{NoBody, Source};
use crate::http1::{Framing, Persistence};

/// A connection while it carries an answer.
pub(super) struct Connection {
    pub source: Source<TcpStream>,
    pub seat: Seat,
    pub upload: Uploading,
    /// What the head of the answer says of it.
    pub persistence: Persistence,
}

impl Connection {
    /// Back to the pool, if it can carry another request.
    pub fn finish(self, now: Instant) {
        let reusable = self.persistence == Persistence::Keep && self.upload.is_done() && !self.source.has_more();
        if reusable {
            let (stream, _) = self.source.into_parts();
            self.seat.give_back(stream, now);
        }
    }
}

/// An answer's body.
pub(super) struct AnswerBody {
    /// What came with the head.
    first: Bytes,
    decoder: Decoder,
    trailers: Option<HeaderMap>,
    /// `None` once the body is whole or broken.
    connection: Option<Connection>,
    idle: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    armed: Armed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Armed {
    Yes,
    No,
}

impl AnswerBody {
    /// Of which `first` has come, and the rest is still to come.
    pub fn coming(first: Bytes, decoder: Decoder, connection: Connection, idle: Duration) -> AnswerBody {
        let (trailers, connection, timer) = (None, Some(connection), None);
        AnswerBody { first, decoder, trailers, connection, idle, timer, armed: Armed::No }
    }

    /// That has come, in chunks with trailers.
    pub fn whole(first: Bytes, trailers: HeaderMap) -> AnswerBody {
        let (trailers, connection, timer) = (Some(trailers), None, None);
        let (decoder, idle) = (Decoder::new(Framing::Chunked), Duration::ZERO);
        AnswerBody { first, decoder, trailers, connection, idle, timer, armed: Armed::No }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        if self.armed == Armed::No {
            self.armed = Armed::Yes;
            timer.as_mut().reset(tokio::time::Instant::now() + idle);
        }
        timer.as_mut().poll(cx)
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.connection = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.first)))));
        }
        let Some(connection) = &mut this.connection else {
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        // An origin may answer before it has the whole request, and go on once it has.
        let before = connection.upload.pieces;
        if let Poll::Ready(Err(Lost::Body)) = connection.upload.poll(cx, connection.source.io()) {
            return this.fail("the client's body broke off".into());
        }
        if connection.upload.pieces != before {
            this.armed = Armed::No;
        }
        match connection.source.poll_body(cx, &mut this.decoder) {
            Poll::Ready(Ok(piece)) => {
                this.armed = Armed::No;
                if let Some(end) = piece.end {
                    this.trailers = end.trailers;
                    this.connection.take().into_iter().for_each(|connection| connection.finish(Instant::now()));
                }
                match piece.data.is_empty() {
                    false => Poll::Ready(Some(Ok(Frame::data(piece.data)))),
                    true => Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
                }
            }
            Poll::Ready(Err(NoBody::Fault(fault))) => this.fail(fault.into()),
            Poll::Ready(Err(NoBody::Broken(error))) => this.fail(error.into()),
            Poll::Pending => match this.poll_idle(cx) {
                Poll::Ready(()) => this.fail("the origin stopped sending".into()),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none() && self.first.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.decoder.left().map(|left| left + self.first.len() as u64);
        left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body that was broken from the beginning.
pub(super) struct Broken;

impl Body for Broken {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(Err(BodyFault::Chunk.into())))
    }
}
