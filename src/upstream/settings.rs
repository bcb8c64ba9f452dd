//! What the `upstreams:` section says, validated: defaults applied, addresses parsed.

use std::time::Duration;

use http::uri::Authority;

use crate::http1::bounds::{MAX_FIELDS, MAX_HEAD};
use crate::rules::path::aliases::Aliases;

/// One named service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamSettings {
    /// As routes name it.
    pub name: String,
    /// Its addresses, `http://host:port`; at least one.
    pub servers: Vec<Authority>,
    /// Which server a request goes to.
    pub balance: Balance,
    /// By which fields it is told of the client.
    pub told: ToldBy,
    /// By which names it knows one path.
    pub paths: Aliases,
    /// The path of the page to sign in at: a write that is answered by a redirect there was refused.
    pub sign_in: Option<String>,
    /// The cookie whose value says which, where a request has it.
    pub sticky: Option<String>,
    /// To establish a TCP connection.
    pub connect_timeout: Duration,
    /// One attempt: until the response's head, and between two pieces of its body.
    pub timeout: Duration,
    /// Everything until the response's head: waiting for a connection and all attempts.
    pub deadline: Duration,
    /// How long the head of an answer may be.
    pub head: HeadLimits,
    /// Further attempts after the first; idempotent requests without a body only.
    pub retries: u32,
    /// Connections over all workers, less those that carry event streams and WebSockets.
    pub max_connections: usize,
    /// Event streams and WebSockets, over all workers.
    pub max_streams: usize,
    /// Idle connections that are kept, over all workers.
    pub max_idle: usize,
    /// How long a connection may idle before it is closed; shorter than the origin's own limit.
    pub idle_timeout: Duration,
    /// How old a connection may become.
    pub max_life: Duration,
}

/// By which fields an origin is told of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ToldBy {
    /// By both kinds.
    #[default]
    Both,
    /// By `Forwarded` (RFC 7239).
    Standard,
    /// By `X-Forwarded-For`, `-Proto` and `-Host`.
    XForwarded,
    /// Not at all.
    Not,
}

/// Which server of an upstream is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest requests in flight.
    LeastConnections,
    /// The better of two drawn at random.
    P2c,
}

/// How long the head of an answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// In bytes.
    pub bytes: usize,
    /// In fields.
    pub fields: usize,
}

impl Default for HeadLimits {
    fn default() -> HeadLimits {
        HeadLimits { bytes: MAX_HEAD, fields: MAX_FIELDS }
    }
}
