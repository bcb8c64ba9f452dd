//! A request on its way to an origin, and by when it has to be answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, StatusCode, Uri, header};

use crate::body::Body;
use crate::body::upload::UploadState;
use crate::rules::route::Upgrades;
use crate::upstream::held::Asker;
use crate::upstream::seat::OwnConnections;

/// Called with every interim answer (1xx).
#[derive(Clone)]
pub struct Interim(pub Arc<OnInterim>);

impl std::fmt::Debug for Interim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Interim")
    }
}

/// A request on its way to an origin.
#[derive(Debug)]
pub struct Outgoing {
    /// Its method.
    pub method: Method,
    /// Origin-form target.
    pub target: Uri,
    /// Its fields, `Host` among them.
    pub headers: HeaderMap,
    /// Further ones, as lines that are sent as they are.
    pub told: Vec<u8>,
    /// Its body.
    pub body: Body,
    /// Called with every interim answer (1xx).
    pub interim: Option<Interim>,
    /// Which other protocol it asks for and may have.
    pub upgrades: Upgrades,
    /// What is known of the body on its way, if there is one.
    pub upload: Option<Arc<UploadState>>,
    /// The connections that it may go out on, if it may not go out on any: its client's alone.
    pub own: Option<Arc<OwnConnections>>,
    /// For whom it is.
    pub asker: Asker,
}

impl Outgoing {
    /// A request of our own, for nobody in particular.
    pub fn get(target: Uri, headers: HeaderMap) -> Outgoing {
        let (method, upgrades, told) = (Method::GET, Upgrades::Never, Vec::new());
        let (body, interim, upload, own, asker) = (Body::Empty, None, None, None, Asker::OURSELVES);
        Outgoing { method, target, headers, told, body, interim, upgrades, upload, own, asker }
    }

    /// Sending it twice does no more than sending it once (RFC 9110 §9.2.2), and it can be sent twice. On a client's own
    /// connection it may be a step of signing in, which on another one would be the first.
    pub(super) fn is_repeatable(&self) -> bool {
        let idempotent = matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE");
        idempotent && matches!(self.body, Body::Empty) && self.own.is_none()
    }
}

impl Outgoing {
    /// What it asks for lasts: a WebSocket, or a stream of events.
    pub(super) fn wants_stream(&self) -> bool {
        let accepts = self.headers.get(header::ACCEPT).map(|media| media.as_bytes());
        self.upgrades == Upgrades::WebSocket || accepts.is_some_and(|media| media.eq_ignore_ascii_case(EVENTS))
    }
}

/// When a request is sent, and until when it has to be answered.
#[derive(Debug, Clone, Copy)]
pub struct Within {
    /// When an attempt begins: the present moment, which need not be asked for again.
    pub now: Instant,
    /// When the answer's head has to be there.
    pub deadline: Instant,
}

/// What events come as, for whoever asks for them, and from whoever sends them.
pub(super) const EVENTS: &[u8] = b"text/event-stream";

/// The longest wait between two pieces of an event stream.
pub const EVENT_STREAM_IDLE: Duration = Duration::from_secs(600);

/// Takes the status and fields of an interim answer.
pub type OnInterim = dyn Fn(StatusCode, &HeaderMap) + Send + Sync;
