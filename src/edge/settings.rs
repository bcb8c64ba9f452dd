//! What the `server:` section says, validated.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::tls::TlsTerms;
use crate::rules::path::refused::RefusedPaths;

/// Listeners and what a client may ask of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// Plain HTTP listeners; at least one, unless there is one for TLS. Port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Listeners for HTTP under TLS, if there are any.
    pub tls: Option<TlsSettings>,
    /// Workers, each a single-threaded runtime; `None` is one per core.
    pub workers: Option<usize>,
    /// Peers whose `Forwarded`, `X-Forwarded-*` and `X-Request-Id` are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Paths that are answered 404 here, before any route is looked for.
    pub refuse: RefusedPaths,
    /// Bounds on clients.
    pub limits: ServerLimits,
    /// How a stop goes.
    pub drain: Drain,
    /// Whether answers say how long they took.
    pub timing: Timing,
}

/// Listeners for HTTP under TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// Their addresses; at least one.
    pub listen: Vec<SocketAddr>,
    /// What sessions are agreed on by.
    pub terms: TlsTerms,
}

/// How a stop goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// How long all goes on as before once it is announced that we are not ready any more.
    pub notice: Duration,
    /// How long what is in flight may take after that.
    pub limit: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Drain { notice: Duration::ZERO, limit: Duration::from_secs(30) }
    }
}

/// Whether answers carry `Server-Timing` and `X-Process-Time`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Timing {
    /// They do: whoever asks learns how long it took here and at the origin.
    Told,
    /// They do not.
    #[default]
    Untold,
}

/// Bounds on clients; the defaults suit a clinic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerLimits {
    /// Open client connections over all workers.
    pub connections: usize,
    /// The longest request head in bytes; at least 8 KiB.
    pub header_bytes: usize,
    /// The most header fields in one request.
    pub headers: usize,
    /// The longest request body in bytes; longer ones are answered 413.
    pub body: u64,
    /// From the first byte of a head, or the accepted connection, to its end.
    pub header_timeout: Duration,
    /// Between two requests on one connection, and between two pieces of a body.
    pub idle_timeout: Duration,
    /// The fewest bytes a second that a client sends of its body or takes of its answer while that is waited for, on average over
    /// half a minute; 0 for any.
    pub min_rate: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            connections: 10_000,
            header_bytes: 32 << 10,
            headers: 100,
            body: 10 << 20,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            min_rate: 1 << 10,
        }
    }
}
