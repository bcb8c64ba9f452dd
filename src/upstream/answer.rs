//! The body of an origin's answer, as it is read: bounded waits, and the connection back to the pool at its end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::held::{HeldSlot, Hold, WhoseTurn};
use super::request::{Lost, Uploading};
use crate::body::BodyError;
use crate::ground::clock::monotonic;
use crate::http1::decode::Decoder;
use crate::http1::decoded::BodyFault;
use crate::http1::source::{BodyPiece, MessageSource, NoBody};
use crate::http1::{Framing, Persistence};
use crate::upstream::seat::Seat;

/// A connection while it carries an answer.
pub(super) struct AnsweringConnection {
    pub source: MessageSource<TcpStream>,
    pub seat: Seat,
    pub upload: Uploading,
    /// What the head of the answer says of it.
    pub persistence: Persistence,
}

impl AnsweringConnection {
    /// Back to the pool, if it can carry another request.
    pub(super) fn finish(self, now: Instant) {
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
    /// Where the connection is, unless it was taken from a client that is too slow; `None` once the body is whole or broken.
    hold: Option<Arc<Hold>>,
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
    pub(super) fn coming(
        first: Bytes,
        decoder: Decoder,
        connection: AnsweringConnection,
        idle: Duration,
    ) -> AnswerBody {
        let hold = connection.seat.in_flight().clone();
        hold.turn(WhoseTurn::Origin);
        hold.answering(Box::new(connection));
        AnswerBody { first, decoder, trailers: None, hold: Some(hold), idle, timer: None, armed: Armed::No }
    }

    /// That has come, in chunks with trailers.
    pub(super) fn whole(first: Bytes, trailers: HeaderMap) -> AnswerBody {
        let (trailers, hold, timer) = (Some(trailers), None, None);
        let (decoder, idle) = (Decoder::new(Framing::Chunked), Duration::ZERO);
        AnswerBody { first, decoder, trailers, hold, idle, timer, armed: Armed::No }
    }

    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let idle = self.idle;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(idle)));
        if self.armed == Armed::No {
            self.armed = Armed::Yes;
            timer.as_mut().reset(tokio::time::Instant::from_std(monotonic()) + idle);
        }
        timer.as_mut().poll(cx)
    }

    fn let_go(&mut self) -> Option<AnsweringConnection> {
        let connection = self.hold.take()?.take()?.downcast::<AnsweringConnection>().ok()?;
        Some(*connection)
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.let_go();
        Poll::Ready(Some(Err(error)))
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(hold) = &this.hold else {
            if !this.first.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.first)))));
            }
            return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        };
        let mut slot = hold.slot();
        let connection = match &mut *slot {
            HeldSlot::Answering(connection) => connection.downcast_mut::<AnsweringConnection>(),
            HeldSlot::Sending | HeldSlot::Waiting(_) | HeldSlot::Cut => None,
        };
        let Some(connection) = connection else {
            drop(slot);
            return this.fail("the client was too slow, and others waited for the connection".into());
        };
        if !this.first.is_empty() {
            hold.turn(WhoseTurn::Client);
            hold.moved(this.first.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut this.first)))));
        }
        // An origin may answer before it has the whole request, and go on once it has.
        let before = connection.upload.bytes;
        let upload = connection.upload.poll(cx, connection.source.io());
        hold.moved(connection.upload.bytes - before);
        if connection.upload.bytes != before {
            this.armed = Armed::No;
        }
        let waits_for_client = connection.upload.awaits_client();
        let polled: Poll<Result<BodyPiece, BodyError>> = match upload {
            Poll::Ready(Err(Lost::Body)) => Poll::Ready(Err("the client's body broke off".into())),
            _ => connection.source.poll_body(cx, &mut this.decoder).map_err(|error| match error {
                NoBody::Fault(fault) => fault.into(),
                NoBody::Broken(error) => error.into(),
            }),
        };
        if polled.is_ready() || waits_for_client {
            hold.turn(WhoseTurn::Client);
        } else {
            hold.turn(WhoseTurn::Origin);
        }
        drop(slot);
        match polled {
            Poll::Ready(Ok(piece)) => {
                this.armed = Armed::No;
                hold.moved(piece.data.len() as u64);
                if let Some(end) = piece.end {
                    this.trailers = end.trailers;
                    this.let_go().into_iter().for_each(|connection| connection.finish(monotonic()));
                }
                match piece.data.is_empty() {
                    false => Poll::Ready(Some(Ok(Frame::data(piece.data)))),
                    true => Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers)))),
                }
            }
            Poll::Ready(Err(error)) => this.fail(error),
            Poll::Pending => match this.poll_idle(cx) {
                Poll::Ready(()) => this.fail("the origin stopped sending".into()),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.hold.is_none() && self.first.is_empty() && self.trailers.is_none()
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
