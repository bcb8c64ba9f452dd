//! An answer on its way out: whole, or cut off where its body broke; never more than was announced.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;

use super::line::Line;
use super::sides::Closing;
use crate::body::Body;
use crate::edge::parting::Hangup;
use crate::entry::stored::SHORT;
use crate::http1::Framing;
use crate::http1::sink::Sink;

/// An answer on its way out.
pub(super) struct AnswerWriter {
    sink: Sink,
    body: Body,
    framing: Framing,
    sent: u64,
    trailers: Option<HeaderMap>,
    state: Sending,
    slow: Slow,
}

/// Whether the client has been waited for.
#[derive(PartialEq, Eq)]
enum Slow {
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sending {
    /// More may come.
    Body,
    /// Everything is in the sink.
    Whole,
    /// What is in the sink is all that will come, and less than was announced.
    Cut,
}

impl AnswerWriter {
    /// With its head in the sink.
    pub(super) fn new(mut sink: Sink, body: Body, framing: Framing) -> AnswerWriter {
        let mut state = Sending::Body;
        if let Body::Stored(entry, part) = &body
            && entry.body().len() <= SHORT
        {
            // Beside the head at once: nobody else need hold it.
            sink.text().extend_from_slice(part.of(entry.body()));
            state = Sending::Whole;
        }
        AnswerWriter { sink, body, framing, sent: 0, trailers: None, state, slow: Slow::No }
    }

    /// Ready once it has left whole, or cannot any more.
    pub(super) fn poll(&mut self, line: &Line, hangup: &mut Hangup, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let gathered = self.gather(cx);
            if !self.sink.is_empty() {
                line.blocked(true);
                let before = self.sink.written();
                let flushed = self.sink.poll_flush(cx, line.write_side());
                // A large body leaves bit by bit: a client that takes some of it is slow, not stuck.
                if flushed.is_ready() || self.sink.written() > before {
                    line.moved();
                }
                if self.slow == Slow::Yes || flushed.is_pending() {
                    self.slow = Slow::Yes;
                    line.took(match flushed {
                        Poll::Ready(Ok(left)) => left,
                        _ => self.sink.written().saturating_sub(before),
                    });
                }
                ready!(flushed)?;
                line.blocked(false);
            }
            match self.state {
                Sending::Whole => {
                    if self.framing == Framing::Close {
                        line.write_side().closing_means(Closing::Whole);
                    }
                    return Poll::Ready(Ok(()));
                }
                // The connection ends with it: RFC 9112 §8.
                Sending::Cut => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Sending::Body if gathered.is_pending() => {
                    return hangup.poll(line, cx).map(|()| Err(io::ErrorKind::ConnectionReset.into()));
                }
                Sending::Body => {}
            }
        }
    }

    /// Takes from the body what there is and the sink takes.
    fn gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.state == Sending::Body && self.sink.takes_more() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => self.end(),
                Some(Err(_)) => self.state = Sending::Cut,
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.data(data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
            }
        }
        Poll::Ready(())
    }

    fn data(&mut self, data: Bytes) {
        self.sent += data.len() as u64;
        match self.framing {
            Framing::Length(length) if self.sent > length => self.state = Sending::Cut,
            framing => self.sink.data(data, framing),
        }
        if self.framing == Framing::Length(self.sent) && self.state == Sending::Body {
            self.state = Sending::Whole;
        }
    }

    fn end(&mut self) {
        self.state = match self.framing {
            Framing::Length(length) if self.sent < length => Sending::Cut,
            _ => Sending::Whole,
        };
        if self.state == Sending::Whole {
            self.sink.end(self.trailers.as_ref(), self.framing);
        }
    }
}
