//! A request on its way to the origin: its head first, then as much of its body as there is and the origin takes.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http_body::Body as _;
use tokio::net::TcpStream;

use crate::body::Body;
use crate::ground::failure::{Failure, FailureKind};
use crate::http1::Framing;
use crate::http1::encode::{self, Fields};
use crate::http1::sink::Sink;
use crate::upstream::outgoing::Outgoing;

/// A request on its way out.
pub(super) struct Uploading {
    sink: Sink,
    /// What of the body has not left.
    pub body: Body,
    framing: Framing,
    begun: Begun,
    state: Upload,
    /// Pieces of its body so far, modulo 2³².
    pub pieces: u32,
    /// Bytes of its body so far.
    pub bytes: u64,
    waits: Waits,
}

/// Whom it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    ForClient,
    ForOrigin,
}

#[derive(PartialEq, Eq)]
enum Begun {
    /// Some of it may have left.
    Yes,
    No,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Upload {
    /// More of the body is to come.
    Body,
    /// Everything is in the sink.
    Whole,
    /// Everything has left.
    Done,
    /// The origin does not take any more. It may have answered all the same.
    Given,
}

/// Why a request could not be sent whole.
pub(super) enum Lost {
    /// Its body broke off at the client's side.
    Body,
}

impl Uploading {
    pub(super) fn new(request: &mut Outgoing) -> Uploading {
        let framing = match request.body.size_hint().exact() {
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        let mut sink = Sink::default();
        let fields = Fields { lines: [&request.told, b""], headers: &request.headers };
        encode::request_head(sink.text(), &request.method, &request.target, fields, framing);
        let body = std::mem::replace(&mut request.body, Body::Empty);
        Uploading {
            sink,
            body,
            framing,
            begun: Begun::No,
            state: Upload::Body,
            pieces: 0,
            bytes: 0,
            waits: Waits::ForOrigin,
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state == Upload::Done
    }

    /// It cannot go on before the client has sent more.
    pub(super) fn awaits_client(&self) -> bool {
        self.state == Upload::Body && self.waits == Waits::ForClient
    }

    /// Before the head of an answer.
    pub(super) fn failure(&self, kind: FailureKind) -> Failure {
        match self.begun {
            Begun::Yes => Failure::sent(kind),
            Begun::No => Failure::before(kind),
        }
    }

    /// Sends as much as there is and the origin takes.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, origin: &TcpStream) -> Poll<Result<(), Lost>> {
        self.waits = Waits::ForOrigin;
        loop {
            if let Upload::Done | Upload::Given = self.state {
                return Poll::Ready(Ok(()));
            }
            // The head leaves first: while nothing has, the request can go another way.
            let gathered = match self.begun {
                Begun::No if !matches!(self.body, Body::Empty) => Poll::Ready(Ok(())),
                _ => self.gather(cx),
            };
            if let Poll::Ready(Err(lost)) = gathered {
                self.state = Upload::Given;
                return Poll::Ready(Err(lost));
            }
            if !self.sink.is_empty() {
                let flushed = self.sink.poll_flush(cx, origin);
                if self.sink.written() > 0 || matches!(flushed, Poll::Ready(Ok(_))) {
                    self.begun = Begun::Yes;
                }
                if ready!(flushed).is_err() {
                    self.state = Upload::Given;
                    return Poll::Ready(Ok(()));
                }
            }
            match self.state {
                Upload::Whole => self.state = Upload::Done,
                _ if gathered.is_pending() => {
                    self.waits = Waits::ForClient;
                    return Poll::Pending;
                }
                _ => {}
            }
        }
    }

    fn gather(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        while self.state == Upload::Body && self.sink.takes_more() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                None => {
                    self.sink.end(None, self.framing);
                    self.state = Upload::Whole;
                }
                Some(Err(_)) => return Poll::Ready(Err(Lost::Body)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.pieces = self.pieces.wrapping_add(1);
                        self.bytes += data.len() as u64;
                        self.sink.data(data, self.framing);
                    }
                    Err(frame) => {
                        self.sink.end(frame.trailers_ref(), self.framing);
                        self.state = Upload::Whole;
                    }
                },
            }
        }
        Poll::Ready(Ok(()))
    }
}
