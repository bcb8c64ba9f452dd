//! What is stored: answers as they will be delivered, immutable once made.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::key::Key;
use crate::store::purge::Birth;
use crate::tag::TagSet;

/// A stored answer.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Everything but the body.
    pub head: Arc<Head>,
    /// The whole body, in a buffer of its own: a slice of a connection's read buffer would keep all of it alive.
    pub body: Bytes,
}

/// The head of a stored answer, with all that is known about it.
#[derive(Debug)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The fields as they are delivered, less `Age`, `Cache-Status` and the request's id.
    pub headers: HeaderMap,
    /// The origin's own fields about caching, where others are delivered in their place; a 304 is merged with these.
    pub replaced: Vec<(HeaderName, HeaderValue)>,
    /// What `If-None-Match` and `If-Modified-Since` are compared with.
    pub validators: Validators,
    /// How long it lives.
    pub lifetime: Lifetime,
    /// When the answer arrived.
    pub received: Instant,
    /// How old it was then (RFC 9111 §4.2.3, `corrected_initial_age`).
    pub initial_age: Duration,
    /// Where the purge log stood when its fetch left.
    pub birth: Birth,
    /// What purges it.
    pub tags: TagSet,
    /// The origin allowed requests with credentials to share it (RFC 9111 §3.5).
    pub openness: Openness,
}

/// Whether an answer may be given to requests whose credentials are no part of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Openness {
    /// `public`, `s-maxage` or `must-revalidate`, or a policy that lets no such request come this far.
    Open,
    /// Not said.
    Closed,
}

/// How long an answer lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// From birth at the origin to staleness.
    pub fresh_for: Duration,
    /// After that, served while it is fetched anew (RFC 5861 §3).
    pub stale_while_revalidate: Duration,
    /// After that, served because the origin fails (RFC 5861 §4).
    pub stale_if_error: Duration,
    /// Never delivered when older, whatever the windows say.
    pub ceiling: Duration,
    /// Whether it may be served stale at all.
    pub staleness: Staleness,
}

/// Whether an answer may be served stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staleness {
    /// Within its windows, and as far as the client allows.
    Allowed,
    /// Never: `must-revalidate`, `proxy-revalidate`, `s-maxage` or `no-cache`.
    Forbidden,
}

impl Lifetime {
    /// No age is too great.
    pub const NO_CEILING: Duration = Duration::MAX;
}

/// The validators of an answer (RFC 9110 §8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// As sent, with quotes and `W/`.
    pub etag: Option<HeaderValue>,
    /// As sent, and read.
    pub last_modified: Option<(HeaderValue, SystemTime)>,
}

impl Validators {
    /// Reads them from a response. An unreadable date is none.
    pub fn of(headers: &HeaderMap) -> Validators {
        let last_modified = headers.get(http::header::LAST_MODIFIED).and_then(|value| {
            let date = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
            Some((value.clone(), date))
        });
        Validators { etag: headers.get(http::header::ETAG).cloned(), last_modified }
    }

    /// Whether the origin can be asked for a 304.
    pub fn any(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }
}

impl Head {
    /// RFC 9111 §4.2.3, `current_age`.
    pub fn age(&self, now: Instant) -> Duration {
        self.initial_age + now.saturating_duration_since(self.received)
    }

    /// Bytes in memory, nearly.
    pub fn weight(&self) -> usize {
        /// A slot of the map: name, value, hash and links, and its share of the index.
        const FIELD: usize = 112;
        let fields = self.headers.capacity() * FIELD;
        let text: usize = self.headers.values().map(HeaderValue::len).sum();
        std::mem::size_of::<Head>() + fields + text + self.tags.spilled_bytes()
    }
}

/// What a key finds.
#[derive(Debug, Clone)]
pub enum Slot {
    /// An answer.
    Entry(Entry),
    /// The answers here differ by these request headers, sorted; look again under a variant's key.
    Vary(Arc<[HeaderName]>),
    /// The origin's answers here cannot be stored: pass at once, without a queue, until then.
    Uncacheable(Instant),
}

impl Slot {
    /// Bytes in memory, nearly, with the key.
    pub fn weight(&self, key: &Key) -> u32 {
        /// What the map, its two queues and the allocator add to an entry; measured with 100 000 of them.
        const MAP_ENTRY: usize = 700;
        let own = match self {
            Slot::Entry(entry) => entry.head.weight() + entry.body.len(),
            Slot::Vary(names) => names.len() * 40,
            Slot::Uncacheable(_) => 0,
        };
        u32::try_from(own + key.len() + MAP_ENTRY).unwrap_or(u32::MAX)
    }
}
