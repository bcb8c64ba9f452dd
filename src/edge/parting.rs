//! How connections to clients end.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::body::upload::Expects;
use crate::edge::line::Line;
use crate::edge::linger::ClientAct;
use crate::edge::request_body::{Home, RequestSource, Returned};
use crate::http1::decode::Decoder;

/// Notices that a client went away while nothing is read from it.
pub(super) struct Hangup(Watching);

impl Hangup {
    pub(super) fn of(rest: &RequestRest) -> Hangup {
        match rest {
            RequestRest::Here(source) if !source.has_more() => Hangup(Watching::Yes),
            _ => Hangup(Watching::No),
        }
    }

    /// Ready once the connection is broken. A client that has only closed its own side may still want its answer.
    pub(super) fn poll(&mut self, line: &Line, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 == Watching::No {
            return Poll::Pending;
        }
        match ready!(line.write_side().poll_came(cx)) {
            Ok(came) => {
                self.0 = Watching::No;
                if came == ClientAct::End {
                    line.half_closed();
                }
                Poll::Pending
            }
            Err(_) => Poll::Ready(()),
        }
    }
}

/// Where the reading side of the connection is while a request is answered.
pub(super) enum RequestRest {
    /// Here; the request had no body, or it was read.
    Here(RequestSource),
    /// With the body.
    Away(Arc<Home>),
    /// Here, with some of the body unread.
    Partly(RequestSource, Decoder),
    /// Of no use any more.
    Spoilt(RequestSource),
}

impl From<Returned> for RequestRest {
    fn from(returned: Returned) -> RequestRest {
        match returned {
            Returned::Whole(source) => RequestRest::Here(source),
            // One that waits for `100 Continue` may send its body or not: nobody knows which.
            Returned::Partly(source, decoder, Expects::Nothing)
                if decoder.left().is_some_and(|left| left <= MAX_DRAIN) =>
            {
                RequestRest::Partly(source, decoder)
            }
            Returned::Partly(source, ..) | Returned::Broken(source) => RequestRest::Spoilt(source),
        }
    }
}

impl RequestRest {
    /// As it is now, when the answer is due.
    pub(super) fn now(self) -> RequestRest {
        match self {
            RequestRest::Away(home) => home.take().map_or(RequestRest::Away(home), RequestRest::from),
            rest => rest,
        }
    }

    /// Nobody can tell whether what comes next is the rest of a body or a request.
    pub(super) fn is_doubtful(&self) -> bool {
        match self {
            RequestRest::Here(_) | RequestRest::Partly(..) => false,
            RequestRest::Away(home) => home.expects() == Expects::Continue,
            RequestRest::Spoilt(_) => true,
        }
    }

    pub(super) fn end(self) -> ConnectionEnd {
        match self {
            RequestRest::Here(_) | RequestRest::Away(_) => ConnectionEnd::Clean,
            RequestRest::Partly(source, _) | RequestRest::Spoilt(source) => ConnectionEnd::Unread(source),
        }
    }
}

#[derive(PartialEq, Eq)]
pub(super) enum Watching {
    Yes,
    /// It has closed its side, or has sent its next request, behind which nothing can be seen.
    No,
}

/// The most of an unread body that is read for nothing to keep a connection, in bytes.
pub(super) const MAX_DRAIN: u64 = 64 << 10;

/// How a connection ended.
pub(super) enum ConnectionEnd {
    /// In order, with nothing left of either side.
    Clean,
    /// In order, and the client may still be sending.
    Unread(RequestSource),
    /// It broke, or what was being sent on it did: nobody is to take it for the end.
    Broken,
}
