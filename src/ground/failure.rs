//! What went wrong on the way to the origin: kind and phase. Retry follows from these, and the status is chosen here only.

use http::StatusCode;

/// An exchange with the origin that brought no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// What happened.
    pub kind: FailureKind,
    /// How far it had come.
    pub phase: Phase,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The connection was refused, or there is no way to the address.
    Connect,
    /// The name of the server has no address, or the resolver did not give one in time.
    NameLookup,
    /// A time limit of ours passed.
    Timeout,
    /// All connections are taken and none became free in time.
    Busy,
    /// All places for event streams and WebSockets are taken.
    Streams,
    /// The connection ended before the answer's head was complete.
    Reset,
    /// What the origin sent is not HTTP that can be passed on.
    Protocol,
    /// The answer is in a transfer coding other than `chunked`, which nobody asked for.
    Coding,
    /// The answer's head is longer than is allowed.
    HeadTooLong,
    /// The client's body ended early or came too slowly.
    ClientBody,
    /// The client's body came more slowly than it may, or than it may where others wait.
    SlowClient,
    /// The client's body is longer than is allowed here.
    BodyTooLarge,
    /// A fault of our own.
    Internal,
}

/// How far an exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Nothing had left for the origin.
    Before,
    /// Some of the request may have left: the origin may have acted on it.
    Sent,
}

impl Failure {
    /// Nothing had left yet.
    pub fn before(kind: FailureKind) -> Failure {
        Failure { kind, phase: Phase::Before }
    }

    /// The origin may have acted.
    pub fn sent(kind: FailureKind) -> Failure {
        Failure { kind, phase: Phase::Sent }
    }

    /// The status that the client is given (RFC 9110 §15).
    pub fn status(self) -> StatusCode {
        match self.kind {
            FailureKind::Connect
            | FailureKind::NameLookup
            | FailureKind::Reset
            | FailureKind::Protocol
            | FailureKind::Coding
            | FailureKind::HeadTooLong => StatusCode::BAD_GATEWAY,
            FailureKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
            FailureKind::Busy | FailureKind::Streams => StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::ClientBody => StatusCode::BAD_REQUEST,
            FailureKind::SlowClient => StatusCode::REQUEST_TIMEOUT,
            FailureKind::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            FailureKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A mishap of one exchange: another may well succeed. What says that the origin is ill or overloaded is none, and
    /// whether that is tried again is for `retries` to say. Nor is what it would answer to the next one, too.
    pub fn is_mishap(self) -> bool {
        matches!(self.kind, FailureKind::Reset | FailureKind::Protocol | FailureKind::Internal)
    }

    /// One spelling for metrics, logs and people.
    pub fn as_str(self) -> &'static str {
        match self.kind {
            FailureKind::Connect => "connect-failed",
            FailureKind::NameLookup => "name-lookup",
            FailureKind::Timeout => "timeout",
            FailureKind::Busy => "busy",
            FailureKind::Streams => "streams-taken",
            FailureKind::Reset => "reset",
            FailureKind::Protocol => "protocol-error",
            FailureKind::Coding => "answer-coding",
            FailureKind::HeadTooLong => "answer-head-too-long",
            FailureKind::ClientBody => "client-body",
            FailureKind::SlowClient => "slow-client",
            FailureKind::BodyTooLarge => "body-too-large",
            FailureKind::Internal => "internal",
        }
    }

    /// What a person is told.
    pub fn message(self) -> &'static str {
        match self.kind {
            FailureKind::Connect => "The server behind this proxy could not be reached.",
            FailureKind::NameLookup => "The server behind this proxy could not be found.",
            FailureKind::Timeout => "The server behind this proxy did not answer in time.",
            FailureKind::Busy => "The server behind this proxy is busy. Please try again shortly.",
            FailureKind::Streams => {
                "The server behind this proxy has no place for another event stream or WebSocket. Please try again later."
            }
            FailureKind::Reset => "The server behind this proxy closed the connection without an answer.",
            FailureKind::Protocol => "The server behind this proxy sent something that is not a valid answer.",
            FailureKind::Coding => {
                "The server behind this proxy answered in a transfer coding that is not understood here."
            }
            FailureKind::HeadTooLong => "The server behind this proxy sent a head that is longer than is allowed here.",
            FailureKind::ClientBody => "The request's body ended early or came too slowly.",
            FailureKind::SlowClient => "The request's body came too slowly.",
            FailureKind::BodyTooLarge => "The request's body is longer than is allowed here.",
            FailureKind::Internal => "The proxy made a mistake.",
        }
    }
}
