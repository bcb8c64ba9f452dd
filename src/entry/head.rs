//! The head of an answer, and what is known about it.

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::entry::owner::Owners;
use crate::entry::purge::Birth;
use crate::entry::tag::TagSet;
use crate::fields::date::{dated, single};
use crate::ground::mutants::{Rule, is_off};

/// The head of an answer, with all that is known about it.
#[derive(Debug)]
pub struct Head {
    /// The status.
    pub status: StatusCode,
    /// The fields as they are delivered, less `Age`, `Cache-Status` and the request's id.
    pub headers: HeaderMap,
    /// The origin's own fields about caching, its tag among them, where others are delivered in their place; a 304 is merged with
    /// these.
    pub replaced: Option<Vec<(HeaderName, HeaderValue)>>,
    /// What `If-None-Match` and `If-Modified-Since` are compared with.
    pub validators: Validators,
    /// How old it is and may become.
    pub vital: Vital,
    /// Where the purge log stood when its fetch left.
    pub birth: Birth,
    /// What purges it.
    pub tags: TagSet,
    /// For whom it was fetched.
    pub owners: Owners,
}

/// What decides whether an answer may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vital {
    /// How long it lives.
    pub lifetime: Lifetime,
    /// When the answer arrived.
    pub received: Instant,
    /// How old it was then (RFC 9111 §4.2.3, `corrected_initial_age`).
    pub initial_age: Duration,
    /// The origin allowed requests with credentials to share it (RFC 9111 §3.5).
    pub openness: Openness,
    /// What its `Date` says of the origin's clock.
    pub clock: OriginClock,
}

impl Vital {
    /// RFC 9111 §4.2.3, `current_age`.
    pub fn age(&self, now: Instant) -> Duration {
        self.initial_age.saturating_add(now.saturating_duration_since(self.received))
    }
}

/// Whether an answer may be given to requests whose credentials are no part of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Openness {
    /// `public` or `s-maxage`, or a policy that lets no such request come this far.
    Open,
    /// `must-revalidate` (RFC 9111 §3.5): to those whose only credential is `Authorization`.
    ToAuthorization,
    /// Not said.
    Closed,
}

impl Openness {
    /// Whether an answer is open to a request with these credentials.
    pub fn is_for(self, credentialed: Credentialed) -> bool {
        match credentialed {
            Credentialed::No => true,
            Credentialed::Authorization => self != Openness::Closed,
            Credentialed::Otherwise => {
                self == Openness::Open || self == Openness::ToAuthorization && is_off(Rule::OpensCookies)
            }
        }
    }
}

/// What the `Date` of an answer says of its origin's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OriginClock {
    /// Nothing of note.
    Right,
    /// By it the answer is older than all else explains, as long as it took to come and what caches in between say: so much older
    /// as it was old on arrival.
    Behind,
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
    /// Never: `must-revalidate`, `proxy-revalidate` or `no-cache`.
    Forbidden,
    /// Never: `s-maxage`, and nothing else that forbids it (RFC 9111 §5.2.2.10).
    ForbiddenBySMaxage,
}

impl Lifetime {
    /// No age is too great.
    pub const NO_CEILING: Duration = Duration::MAX;
    /// Never fresh, and never served stale.
    pub const NOTHING: Lifetime = Lifetime {
        fresh_for: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        ceiling: Lifetime::NO_CEILING,
        staleness: Staleness::Forbidden,
    };
}

/// The validators of an answer (RFC 9110 §8.8).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// As sent, with quotes and `W/`.
    pub etag: Option<HeaderValue>,
    /// As sent, and read.
    pub last_modified: Option<(HeaderValue, SystemTime)>,
    /// When it was made, where nothing is said of its last modification (RFC 9111 §4.3.2).
    pub date: Option<SystemTime>,
}

impl Validators {
    /// Reads them from a response. What is repeated or unreadable is none.
    pub fn of(headers: &HeaderMap) -> Validators {
        let etag = single(headers, header::ETAG).filter(|etag| !etag.is_empty()).cloned();
        let date = match headers.contains_key(header::LAST_MODIFIED) {
            true => None,
            false => dated(headers, header::DATE).map(|(_, date)| date),
        };
        Validators { etag, last_modified: dated(headers, header::LAST_MODIFIED), date }
    }

    /// Whether the origin can be asked for a 304.
    pub fn any(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }
}

/// Whether a request under a built-in policy shows credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentialed {
    /// It shows none that count.
    No,
    /// `Authorization`, and nothing else: of this RFC 9111 §3.5 speaks.
    Authorization,
    /// A cookie, a field of the principal's or of a trusted proxy's, a certificate.
    Otherwise,
}
