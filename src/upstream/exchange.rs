//! One attempt at one server: the request out, the head in, the body streaming behind it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Version, header};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::pool::Lease;
use super::{EVENT_STREAM_IDLE, Outgoing};
use crate::body::{Body, BodyError};
use crate::failure::{Failure, FailureKind, Phase};
use crate::upload::{UploadEnd, UploadState};

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

/// How the end of an answer's body is known (RFC 9112 §6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none, or its length in bytes was announced.
    Length(u64),
    /// In chunks.
    Chunked,
    /// By the end of the connection: a cut cannot be told from the end.
    Close,
}

/// An attempt without an answer.
#[derive(Debug)]
pub struct Broken {
    /// What happened.
    pub failure: Failure,
    /// The request, if nothing of it left.
    pub unsent: Option<Outgoing>,
}

/// Sends a request on a connection.
pub async fn attempt(mut lease: Lease, request: Outgoing, limits: Limits) -> Result<Exchanged, Broken> {
    let Outgoing { method, target, headers, body, interim, upload } = request;
    let is_head = method == http::Method::HEAD;
    let mut message = http::Request::new(body);
    *message.method_mut() = method;
    *message.uri_mut() = target;
    *message.headers_mut() = headers;
    if let Some(Interim(call)) = interim.clone() {
        hyper::ext::on_informational(&mut message, move |answer| call(answer.status(), answer.headers()));
    }
    let sent = Instant::now();
    let answer = lease.sender.try_send_request(message);
    let mut answer = match wait(answer, limits.head, upload.as_deref()).await {
        None => return Err(Broken { failure: Failure::sent(FailureKind::Timeout), unsent: None }),
        Some(Ok(answer)) => answer,
        Some(Err(mut error)) => {
            let unsent = error.take_message().map(|message| outgoing(message, interim, upload.clone()));
            let phase = if unsent.is_some() { Phase::Before } else { Phase::Sent };
            let kind = match upload.map(|upload| upload.end()) {
                Some(UploadEnd::Aborted) => FailureKind::ClientBody,
                Some(UploadEnd::TooLong) => FailureKind::BodyTooLarge,
                _ if error.error().is_parse() => FailureKind::Protocol,
                _ => FailureKind::Reset,
            };
            return Err(Broken { failure: Failure { kind, phase }, unsent });
        }
    };
    let delay = sent.elapsed();
    let Some(framing) = framing(&answer, is_head) else {
        return Err(Broken { failure: Failure::sent(FailureKind::Protocol), unsent: None });
    };
    answer.headers_mut().remove(header::TRANSFER_ENCODING);
    let (head, incoming) = answer.into_parts();
    let idle = match head.headers.get(header::CONTENT_TYPE).map(|media| media.as_bytes()) {
        Some(media) if media.starts_with(b"text/event-stream") => EVENT_STREAM_IDLE,
        _ => limits.idle,
    };
    let mut body = AnswerBody { incoming, lease: Some(lease), idle, timer: None, armed: Armed::No };
    let body = if body.incoming.is_end_stream() {
        body.finish();
        Body::Empty
    } else {
        Body::stream(body)
    };
    Ok(Exchanged { head, body, framing, delay, sending: Sending::First })
}

fn outgoing(message: http::Request<Body>, interim: Option<Interim>, upload: Option<Arc<UploadState>>) -> Outgoing {
    let (parts, body) = message.into_parts();
    Outgoing { method: parts.method, target: parts.uri, headers: parts.headers, body, interim, upload }
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

/// `None`: framing that cannot be trusted, or an answer that has no business here.
fn framing(answer: &Response<Incoming>, is_head: bool) -> Option<Framing> {
    let status = answer.status();
    if status.is_informational() {
        return None;
    }
    // Two lengths, or a length beside chunks: which of them counts is what response splitting lives from (RFC 9112 §6.3).
    let mut lengths = answer.headers().get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() || length.is_some_and(|length| !length.as_bytes().iter().all(u8::is_ascii_digit)) {
        return None;
    }
    if length.is_some() && answer.headers().contains_key(header::TRANSFER_ENCODING) {
        return None;
    }
    let bodiless = is_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let mut codings = answer.headers().get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => {}
        (Some(_), _) if answer.version() < Version::HTTP_11 => return None,
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            return Some(if bodiless { Framing::Length(0) } else { Framing::Chunked });
        }
        _ => return None,
    }
    if bodiless {
        return Some(Framing::Length(0));
    }
    Some(answer.body().size_hint().exact().map_or(Framing::Close, Framing::Length))
}

/// An answer's body: bounded waits, and the connection back to the pool at its end.
struct AnswerBody {
    incoming: Incoming,
    lease: Option<Lease>,
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
    fn finish(&mut self) {
        let Some(mut lease) = self.lease.take() else { return };
        if lease.sender.is_ready() {
            return lease.give_back();
        }
        // The connection has the end of the body behind it but has not said so, or the request's body is still going out.
        tokio::spawn(async move {
            let ready = tokio::time::timeout(Duration::from_secs(1), lease.sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) {
                lease.give_back();
            }
        });
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
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        match Pin::new(&mut this.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.armed = Armed::No;
                if this.incoming.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => {
                this.lease = None;
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Pending => match this.poll_idle(cx) {
                Poll::Ready(()) => {
                    this.lease = None;
                    Poll::Ready(Some(Err("the origin stopped sending".into())))
                }
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
