//! One attempt at one server: the request out, interim answers on their way to the client, the answer's head in.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};

use super::answer::{AnswerBody, AnsweringConnection, Broken};
use super::held::WhoseTurn;
use super::request::{Lost, Uploading};
use crate::body::ending::Ending;
use crate::body::upload::UploadState;
use crate::body::{Body, Tunnel};
use crate::ground::clock::monotonic;
use crate::ground::failure::{Failure, FailureKind, Phase};
pub use crate::http1::Framing;
use crate::http1::Persistence;
use crate::http1::decode::Decoder;
use crate::http1::decoded::BodyEnd;
use crate::http1::head::{self, HeadFault, ResponseHead};
use crate::http1::source::{self, MessageSource, NoHead};
use crate::rules::route::Upgrades;
use crate::upstream::outgoing::{EVENT_STREAM_IDLE, EVENTS, Interim, Outgoing};
use crate::upstream::seat::Lease;
use crate::upstream::settings::HeadLimits;

/// How long an attempt may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Until the answer's head, once the request's body has left.
    pub head: Duration,
    /// Between two pieces of the answer's body.
    pub idle: Duration,
    /// Of its head.
    pub size: HeadLimits,
}

/// An origin's answer.
#[derive(Debug)]
pub struct Exchanged {
    /// Status and fields as they came.
    pub head: http::response::Parts,
    /// The body as it comes.
    pub body: Body,
    /// How its end is known.
    pub ending: Ending,
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

/// Sends a request on a connection. After a failure of phase [`Phase::Before`] the request is whole and can be sent again;
/// otherwise its body is gone.
pub async fn attempt(lease: Lease, request: &mut Outgoing, limits: Limits) -> Result<Exchanged, Failure> {
    let Lease { stream, mut seat, taken, .. } = lease;
    let mut upload = Uploading::new(request);
    let Outgoing { method, interim, upgrades, upload: state, .. } = &*request;
    let mut source = MessageSource::new(stream);
    let hold = seat.in_flight().clone();
    let (mut interims, HeadLimits { bytes, fields }) = (0, limits.size);
    let answer = poll_fn(|cx| {
        let sent = upload.bytes;
        let gone = upload.poll(cx, source.io());
        hold.moved(upload.bytes - sent);
        let turn = if upload.awaits_client() { WhoseTurn::Client } else { WhoseTurn::Origin };
        if turn == WhoseTurn::Client && hold.poll_cut(cx).is_ready() {
            return Poll::Ready(Err(upload.failure(FailureKind::SlowClient)));
        }
        hold.turn(turn);
        if let Poll::Ready(Err(Lost::Body)) = gone {
            return Poll::Ready(Err(Failure::sent(
                state.as_deref().map_or(FailureKind::ClientBody, |state| state.end().into()),
            )));
        }
        loop {
            let polled = source.poll_head(cx, bytes, |bytes, length| read_answer(bytes, length, method, fields));
            let (head, body) = match ready!(polled) {
                Ok(answer) => answer,
                Err(NoHead::Fault(fault)) => return Poll::Ready(Err(upload.failure(kind(fault)))),
                Err(NoHead::Closed | NoHead::Broken) => return Poll::Ready(Err(upload.failure(FailureKind::Reset))),
            };
            let granted = head.status == StatusCode::SWITCHING_PROTOCOLS
                && *upgrades == Upgrades::WebSocket
                && is_websocket(&head.headers);
            if !head.status.is_informational() || granted {
                return Poll::Ready(Ok((head, body)));
            }
            interims += 1;
            if interims > MAX_INTERIM || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Err(Failure::sent(FailureKind::Protocol)));
            }
            if let Some(Interim(call)) = interim {
                call(head.status, &head.headers);
            }
        }
    });
    let answer = wait(answer, taken, limits.head, state.as_deref()).await;
    let (head, body) = match answer.unwrap_or_else(|| Err(Failure::sent(FailureKind::Timeout))) {
        Ok(answer) => answer,
        Err(failure) => {
            if failure.phase == Phase::Before {
                request.body = upload.body;
            }
            return Err(failure);
        }
    };
    let persistence = if head.framing(method) == Framing::Close { Persistence::Close } else { head.persistence };
    seat.heed(&head.headers);
    let connection = AnsweringConnection { source, seat, upload, persistence };
    exchanged(head, body, connection, method, taken, limits)
}

/// What a head that is refused says of the origin.
fn kind(fault: HeadFault) -> FailureKind {
    match fault {
        HeadFault::Coding => FailureKind::Coding,
        HeadFault::TooLong => FailureKind::HeadTooLong,
        HeadFault::Syntax | HeadFault::Length | HeadFault::Both | HeadFault::Version | HeadFault::Target => {
            FailureKind::Protocol
        }
    }
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

fn read_answer(
    bytes: &[u8],
    length: usize,
    method: &Method,
    fields: usize,
) -> Result<((ResponseHead, Came), usize), HeadFault> {
    let head = head::response(&Bytes::copy_from_slice(&bytes[..length]), fields)?;
    let mut decoder = Decoder::new(head.framing(method));
    if head.status.is_informational() || matches!(decoder, Decoder::Length(0)) {
        return Ok(((head, Came::Whole(Bytes::new(), None)), length));
    }
    let Ok((piece, used)) = source::decode(&mut decoder, &bytes[length..]) else {
        return Ok(((head, Came::Broken), length));
    };
    let came = match piece.end {
        Some(BodyEnd { trailers }) => Came::Whole(piece.data, trailers),
        None => Came::Part(piece.data, decoder),
    };
    Ok(((head, came), length + used))
}

fn exchanged(
    head: ResponseHead,
    came: Came,
    mut connection: AnsweringConnection,
    method: &Method,
    sent: Instant,
    limits: Limits,
) -> Result<Exchanged, Failure> {
    let now = monotonic();
    let ending = Ending::from(head.framing(method));
    let mut parts = Response::new(()).into_parts().0;
    parts.status = head.status;
    parts.version = head.version;
    parts.headers = head.headers;
    parts.headers.remove(header::TRANSFER_ENCODING);
    let lasts = Lasting::of(&parts);
    let idle = if lasts == Lasting::Events { EVENT_STREAM_IDLE } else { limits.idle };
    let goes_on = parts.status == StatusCode::SWITCHING_PROTOCOLS || matches!(came, Came::Part(..));
    if lasts != Lasting::No && goes_on && connection.seat.make_stream().is_err() {
        return Err(Failure::sent(FailureKind::Streams));
    }
    let body = match came {
        _ if parts.status == StatusCode::SWITCHING_PROTOCOLS => {
            let (origin, from_origin) = connection.source.into_parts();
            Body::Tunnel(Box::new(Tunnel { origin, from_origin, seat: Box::new(connection.seat) }))
        }
        Came::Whole(data, trailers) => {
            connection.finish(now);
            match trailers {
                None => Body::full(data),
                Some(trailers) => Body::stream(AnswerBody::whole(data, trailers)),
            }
        }
        Came::Part(first, decoder) => Body::stream(AnswerBody::coming(first, decoder, connection, idle)),
        Came::Broken => Body::stream(Broken),
    };
    let delay = now.saturating_duration_since(sent);
    Ok(Exchanged { head: parts, body, ending, delay, sending: Sending::First })
}

/// Whether an answer goes on until somebody has had enough. What does idles most of the time, and has places of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lasting {
    No,
    /// A stream of events.
    Events,
    /// A WebSocket, or parts one after the other that replace each other.
    Otherwise,
}

impl Lasting {
    fn of(head: &http::response::Parts) -> Lasting {
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Lasting::Otherwise;
        }
        let media = head.headers.get(header::CONTENT_TYPE).map_or(&b""[..], |media| media.as_bytes());
        let is = |what: &[u8]| {
            let (name, rest) = media.split_at(media.len().min(what.len()));
            name.eq_ignore_ascii_case(what) && matches!(rest.trim_ascii_start().first(), None | Some(b';'))
        };
        match () {
            () if is(EVENTS) => Lasting::Events,
            () if is(b"multipart/x-mixed-replace") => Lasting::Otherwise,
            () => Lasting::No,
        }
    }
}

/// Waits for the head. The clock stands still while the request's body makes progress: how long an upload takes is the
/// client's affair, and bounded where it is read.
async fn wait<F: Future>(
    answer: F,
    mut since: Instant,
    limit: Duration,
    upload: Option<&UploadState>,
) -> Option<F::Output> {
    let mut answer = std::pin::pin!(answer);
    let mut seen = upload.map(UploadState::progress);
    loop {
        match tokio::time::timeout_at((since + limit).into(), &mut answer).await {
            Ok(output) => return Some(output),
            Err(_) => {
                since = monotonic();
                let now = upload.map(UploadState::progress);
                if now == seen {
                    return None;
                }
                seen = now;
            }
        }
    }
}
