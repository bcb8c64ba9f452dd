//! One attempt at one server: the request out, the head in, the body streaming behind it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::pool::{Lease, Seat};
use super::{EVENT_STREAM_IDLE, Outgoing};
use crate::body::{Body, BodyError, Tunnel};
use crate::failure::{Failure, FailureKind, Phase};
pub use crate::http1::Framing;
use crate::http1::Persistence;
use crate::http1::decode::{BodyFault, Decoder, End};
use crate::http1::encode;
use crate::http1::head::{self, HeadFault, ResponseHead};
use crate::http1::sink::Sink;
use crate::http1::source::{self, NoBody, NoHead, Source};
use crate::upload::UploadState;

/// Takes the status and fields of an interim answer.
pub type OnInterim = dyn Fn(StatusCode, &HeaderMap) + Send + Sync;

/// Called with every interim answer (1xx).
#[derive(Clone)]
pub struct Interim(pub Arc<OnInterim>);

impl std::fmt::Debug for Interim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interim")
    }
}

/// How long an attempt may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the answer's head, once the request's body has left.
    pub head: Duration,
    /// Between two pieces of the answer's body.
    pub idle: Duration,
}

/// An origin's answer.
#[derive(Debug)]
pub struct Exchanged {
    /// Status and fields as they came.
    pub head: http::response::Parts,
    /// The body as it comes.
    pub body: Body,
    /// How its end is known.
    pub framing: Framing,
    /// From sending the request to receiving the head.
    pub delay: Duration,
    /// Whether this answers the first sending of the request.
    pub sending: Sending,
}

/// Whether a request may have reached an origin before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// It had not.
    First,
    /// It had, without an answer: what that did is not known, whatever the later answer says.
    Again,
}

/// The most interim answers to one request.
const MAX_INTERIM: usize = 32;

/// The longest head of an answer in bytes, and the most fields in it.
const MAX_HEAD: usize = 64 << 10;
const MAX_FIELDS: usize = 256;

/// Sends a request on a connection. After a failure of phase [`Phase::Before`] the request is whole and can be sent again;
/// otherwise its body is gone.
pub async fn attempt(lease: Lease, request: &mut Outgoing, limits: Limits) -> Result<Exchanged, Failure> {
    let Lease { stream, seat, taken, .. } = lease;
    let mut upload = Uploading::new(request);
    let Outgoing { method, interim, upgrades, upload: state, .. } = &*request;
    let (method, interim, upgrades, state) = (method.clone(), interim.clone(), *upgrades, state.clone());
    let mut source = Source::new(stream);
    let mut interims = 0;
    let answer = poll_fn(|cx| {
        let gone = upload.poll(cx, source.io());
        if let Poll::Ready(Err(Lost::Body)) = gone {
            return Poll::Ready(Err(Failure::sent(
                state.as_deref().map_or(FailureKind::ClientBody, |state| state.end().into()),
            )));
        }
        loop {
            let polled = source.poll_head(cx, MAX_HEAD, |bytes, length| read_answer(bytes, length, &method));
            let (head, body) = match ready!(polled) {
                Ok(answer) => answer,
                Err(NoHead::Fault(_)) => return Poll::Ready(Err(upload.failure(FailureKind::Protocol))),
                Err(NoHead::Closed | NoHead::Broken) => return Poll::Ready(Err(upload.failure(FailureKind::Reset))),
            };
            let granted = head.status == StatusCode::SWITCHING_PROTOCOLS && upgrades && is_websocket(&head.headers);
            if !head.status.is_informational() || granted {
                return Poll::Ready(Ok((head, body)));
            }
            interims += 1;
            if interims > MAX_INTERIM || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Err(Failure::sent(FailureKind::Protocol)));
            }
            if let Some(Interim(call)) = &interim {
                call(head.status, &head.headers);
            }
        }
    });
    let answer = wait(answer, limits.head, state.as_deref()).await;
    let (head, body) = match answer.unwrap_or_else(|| Err(Failure::sent(FailureKind::Timeout))) {
        Ok(answer) => answer,
        Err(failure) => {
            if failure.phase == Phase::Before {
                request.body = upload.body;
            }
            return Err(failure);
        }
    };
    Ok(exchanged(head, body, Connection { source, seat, upload }, &method, taken, limits))
}

/// A protocol that nobody asked for is not granted (RFC 9110 §7.8).
fn is_websocket(headers: &HeaderMap) -> bool {
    headers.get(header::UPGRADE).is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// What came behind a head and belongs to it.
enum Came {
    /// The whole body, and its trailers.
    Whole(Bytes, Option<HeaderMap>),
    /// Its beginning.
    Part(Bytes, Decoder),
    /// It is not one.
    Broken,
}

fn read_answer(bytes: &[u8], length: usize, method: &Method) -> Result<((ResponseHead, Came), usize), HeadFault> {
    let head = head::response(&Bytes::copy_from_slice(&bytes[..length]), MAX_FIELDS)?;
    let mut decoder = Decoder::new(head.framing(method));
    if head.status.is_informational() || matches!(decoder, Decoder::Length(0)) {
        return Ok(((head, Came::Whole(Bytes::new(), None)), length));
    }
    let Ok((piece, used)) = source::decode(&mut decoder, &bytes[length..]) else {
        return Ok(((head, Came::Broken), length));
    };
    let came = match piece.end {
        Some(End { trailers }) => Came::Whole(piece.data, trailers),
        None => Came::Part(piece.data, decoder),
    };
    Ok(((head, came), length + used))
}

/// A connection while it carries an answer.
struct Connection {
    source: Source<TcpStream>,
    seat: Seat,
    upload: Uploading,
}

impl Connection {
    /// Back to the pool, if it can carry another request.
    fn finish(self, persistence: Persistence, now: Instant) {
        let reusable = persistence == Persistence::Keep && self.upload.is_done() && !self.source.has_more();
        if reusable {
            let (stream, _) = self.source.into_parts();
            self.seat.give_back(stream, now);
        }
    }
}

fn exchanged(
    head: ResponseHead,
    came: Came,
    connection: Connection,
    method: &Method,
    sent: Instant,
    limits: Limits,
) -> Exchanged {
    let now = Instant::now();
    let framing = head.framing(method);
    let persistence = head.persistence;
    let mut parts = Response::new(()).into_parts().0;
    parts.status = head.status;
    parts.version = head.version;
    parts.headers = head.headers;
    parts.headers.remove(header::TRANSFER_ENCODING);
    let idle = match parts.headers.get(header::CONTENT_TYPE).map(|media| media.as_bytes()) {
        Some(media) if media.starts_with(b"text/event-stream") => EVENT_STREAM_IDLE,
        _ => limits.idle,
    };
    let body = match came {
        _ if parts.status == StatusCode::SWITCHING_PROTOCOLS => {
            let (origin, from_origin) = connection.source.into_parts();
            Body::Tunnel(Box::new(Tunnel { origin, from_origin, _seat: connection.seat }))
        }
        Came::Whole(data, None) => {
            connection.finish(persistence, now);
            Body::full(data)
        }
        Came::Whole(first, trailers) => {
            connection.finish(persistence, now);
            let decoder = Decoder::new(framing);
            Body::stream(AnswerBody {
                trailers,
                connection: None,
                ..AnswerBody::new(first, decoder, persistence, idle)
            })
        }
        Came::Part(first, decoder) => {
            let connection = Some(connection);
            Body::stream(AnswerBody { connection, ..AnswerBody::new(first, decoder, persistence, idle) })
        }
        Came::Broken => Body::stream(Broken),
    };
    Exchanged { head: parts, body, framing, delay: now.saturating_duration_since(sent), sending: Sending::First }
}

/// A body that was broken from the beginning.
struct Broken;

impl HttpBody for Broken {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(Some(Err(BodyFault::Chunk.into())))
    }
}

/// A request on its way out.
struct Uploading {
    sink: Sink,
    body: Body,
    framing: Framing,
    begun: Begun,
    state: Upload,
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
enum Lost {
    /// Its body broke off at the client's side.
    Body,
}

impl Uploading {
    fn new(request: &mut Outgoing) -> Uploading {
        let framing = match request.body.size_hint().exact() {
            Some(length) => Framing::Length(length),
            None => Framing::Chunked,
        };
        let mut sink = Sink::default();
        encode::request_head(sink.text(), &request.method, &request.target, &request.headers, framing);
        let body = std::mem::replace(&mut request.body, Body::Empty);
        Uploading { sink, body, framing, begun: Begun::No, state: Upload::Body }
    }

    fn is_done(&self) -> bool {
        self.state == Upload::Done
    }

    /// Before the head of an answer.
    fn failure(&self, kind: FailureKind) -> Failure {
        match self.begun {
            Begun::Yes => Failure::sent(kind),
            Begun::No => Failure::before(kind),
        }
    }

    /// Sends as much as there is and the origin takes.
    fn poll(&mut self, cx: &mut Context<'_>, origin: &TcpStream) -> Poll<Result<(), Lost>> {
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
                if self.sink.has_begun() || matches!(flushed, Poll::Ready(Ok(_))) {
                    self.begun = Begun::Yes;
                }
                if ready!(flushed).is_err() {
                    self.state = Upload::Given;
                    return Poll::Ready(Ok(()));
                }
            }
            match self.state {
                Upload::Whole => self.state = Upload::Done,
                _ if gathered.is_pending() => return Poll::Pending,
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
                    Ok(data) => self.sink.data(data, self.framing),
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

/// Waits for the head. The clock stands still while the request's body makes progress: how long an upload takes is the
/// client's affair, and bounded where it is read.
async fn wait<F: Future>(answer: F, limit: Duration, upload: Option<&UploadState>) -> Option<F::Output> {
    let mut answer = std::pin::pin!(answer);
    let mut seen = upload.map(UploadState::progress);
    loop {
        match tokio::time::timeout(limit, &mut answer).await {
            Ok(output) => return Some(output),
            Err(_) => {
                let now = upload.map(UploadState::progress);
                if now == seen {
                    return None;
                }
                seen = now;
            }
        }
    }
}

/// An answer's body: bounded waits, and the connection back to the pool at its end.
struct AnswerBody {
    /// What came with the head.
    first: Bytes,
    decoder: Decoder,
    trailers: Option<HeaderMap>,
    /// `None` once the body is whole or broken.
    connection: Option<Connection>,
    persistence: Persistence,
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
    fn new(first: Bytes, decoder: Decoder, persistence: Persistence, idle: Duration) -> AnswerBody {
        let (trailers, connection, timer) = (None, None, None);
        AnswerBody { first, decoder, trailers, connection, persistence, idle, timer, armed: Armed::No }
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

impl HttpBody for AnswerBody {
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
        // An origin may answer before it has the whole request.
        if let Poll::Ready(Err(Lost::Body)) = connection.upload.poll(cx, connection.source.io()) {
            return this.fail("the client's body broke off".into());
        }
        match connection.source.poll_body(cx, &mut this.decoder) {
            Poll::Ready(Ok(piece)) => {
                this.armed = Armed::No;
                if let Some(end) = piece.end {
                    this.trailers = end.trailers;
                    let persistence = this.persistence;
                    this.connection
                        .take()
                        .into_iter()
                        .for_each(|connection| connection.finish(persistence, Instant::now()));
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
