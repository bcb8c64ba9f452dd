//! What became of a request: the one value from which `Cache-Status` (RFC 9211), metrics and logs are made.

pub mod meaning;

use http::HeaderValue;

use crate::failure::Failure;
use crate::policy::admit::NotStored;
use crate::policy::plan::PassReason;
use crate::policy::reuse::{Freshness, RevalidateReason, UnusableReason};

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Served from the store, fresh.
    Hit(Freshness),
    /// Served from the store although stale.
    Stale(Freshness, StaleBecause),
    /// Brought from the origin on a way through the cache.
    Fetched {
        /// Why the cache went to the origin.
        forward: Forward,
        /// Whether it waited for another's fetch.
        collapsed: Collapsed,
        /// The origin's status.
        status: u16,
        /// Whether the answer is stored, and if not, why.
        stored: Stored,
    },
    /// Confirmed by the origin (304) and served from the store.
    Revalidated(RevalidateReason, Collapsed),
    /// Forwarded as it was.
    Passed(PassReason),
    /// The client wanted it from the store only, and it was not there.
    OnlyIfCached,
    /// A purge that was carried out.
    Purged,
    /// Refused before any of this.
    Refused(&'static str),
    /// The origin did not answer.
    Failed(Failure),
    /// The client's connection broke before there was an answer.
    Abandoned,
}

/// Why a stale answer was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleBecause {
    /// It is being fetched anew behind.
    Revalidating,
    /// The origin failed.
    Rescued(Failure),
}

/// Why the cache went to the origin (RFC 9211 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// Nothing was stored.
    Miss,
    /// What was stored was made for other request headers.
    VaryMiss,
    /// What was stored had to be asked about.
    Stale(RevalidateReason),
    /// What was stored could not be used.
    Unusable(UnusableReason),
}

/// Whether a fetched answer is stored, as far as it is known with its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It is, or will be once it is whole.
    Yes,
    /// Its length is not known: it will be, unless it turns out to be too long.
    IfItFits,
    /// It is not.
    No(NotStored),
}

/// Whether a request waited for another's fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collapsed {
    /// It did.
    Yes,
    /// It fetched for itself.
    No,
}

impl Outcome {
    /// The metric's label.
    pub fn label(&self) -> &'static str {
        LABELS[self.index()]
    }

    /// Its place in [`LABELS`].
    pub fn index(&self) -> usize {
        match self {
            Outcome::Hit(_) => 0,
            Outcome::Stale(..) => 1,
            Outcome::Fetched { collapsed: Collapsed::No, .. } => 2,
            Outcome::Fetched { collapsed: Collapsed::Yes, .. } => 3,
            Outcome::Revalidated(..) => 4,
            Outcome::Passed(_) => 5,
            Outcome::OnlyIfCached | Outcome::Refused(_) => 6,
            Outcome::Failed(_) => 7,
            Outcome::Purged => 8,
            Outcome::Abandoned => 9,
        }
    }

    /// Why, where there is something to say: the reason that sent it to the origin, or that it was passed, refused or
    /// failed for.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Outcome::Hit(_) | Outcome::Purged | Outcome::Abandoned => None,
            Outcome::Stale(_, StaleBecause::Revalidating) => Some("stale-while-revalidate"),
            Outcome::Stale(_, StaleBecause::Rescued(failure)) | Outcome::Failed(failure) => Some(failure.as_str()),
            Outcome::Fetched { forward: Forward::VaryMiss, .. } => Some("vary-miss"),
            Outcome::Fetched { forward, .. } => forward.detail(),
            Outcome::Revalidated(why, _) => Some(why.as_str()),
            Outcome::Passed(why) => Some(why.as_str()),
            Outcome::OnlyIfCached => Some("only-if-cached"),
            Outcome::Refused(why) => Some(why),
        }
    }

    /// The field's value, our member only.
    pub fn cache_status(&self) -> HeaderValue {
        let text = match self {
            Outcome::Hit(freshness) => return hit(freshness.ttl, ""),
            Outcome::Stale(freshness, StaleBecause::Revalidating) => {
                return hit(freshness.ttl, "; detail=stale-while-revalidate");
            }
            Outcome::Stale(freshness, StaleBecause::Rescued(failure)) => {
                let (ttl, why) = (freshness.ttl, failure.as_str());
                format!("stent; hit; ttl={ttl}; detail=\"stale-if-error {why}\"")
            }
            Outcome::Fetched { forward, collapsed, status, stored } => {
                let mut text = format!("stent; fwd={}; fwd-status={status}", forward.token());
                match stored {
                    Stored::Yes => text.push_str("; stored"),
                    Stored::IfItFits => text.push_str("; detail=stored-if-it-fits"),
                    Stored::No(why) => text.push_str(&format!("; detail={}", why.as_str())),
                }
                if *collapsed == Collapsed::Yes {
                    text.push_str("; collapsed");
                }
                if let (Stored::Yes, Some(why)) = (stored, forward.detail()) {
                    text.push_str("; detail=");
                    text.push_str(why);
                }
                text
            }
            Outcome::Revalidated(why, collapsed) => {
                let token = Forward::Stale(*why).token();
                let collapsed = if *collapsed == Collapsed::Yes { "; collapsed" } else { "" };
                format!("stent; fwd={token}; fwd-status=304{collapsed}; detail={}", why.as_str())
            }
            Outcome::Passed(PassReason::Method) => return HeaderValue::from_static("stent; fwd=method"),
            Outcome::Passed(PassReason::NoPolicy) => {
                return HeaderValue::from_static("stent; fwd=bypass; detail=no-policy");
            }
            Outcome::Passed(reason @ (PassReason::NoStore | PassReason::Precondition)) => {
                format!("stent; fwd=request; detail={}", reason.as_str())
            }
            Outcome::Passed(reason) => format!("stent; fwd=bypass; detail={}", reason.as_str()),
            Outcome::OnlyIfCached => return HeaderValue::from_static("stent; detail=only-if-cached"),
            Outcome::Purged => return HeaderValue::from_static("stent; detail=purged"),
            // Nobody is left to read it.
            Outcome::Abandoned => return HeaderValue::from_static("stent"),
            Outcome::Refused(why) => format!("stent; detail={why}"),
            Outcome::Failed(failure) => format!("stent; fwd=miss; detail={}", failure.as_str()),
        };
        // Tokens and digits make a value.
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static("stent"))
    }
}

/// The labels of [`Outcome::label`].
pub const LABELS: [&str; 10] =
    ["hit", "stale", "miss", "collapsed", "revalidated", "pass", "refused", "failed", "purged", "abandoned"];

impl Forward {
    /// The value of `fwd`.
    pub fn token(self) -> &'static str {
        match self {
            Forward::Miss => "uri-miss",
            Forward::VaryMiss => "vary-miss",
            Forward::Stale(
                RevalidateReason::RequestNoCache | RevalidateReason::RequestAge | RevalidateReason::Access,
            ) => "request",
            Forward::Stale(_) => "stale",
            Forward::Unusable(_) => "miss",
        }
    }

    /// The value of `detail`, where there is one.
    pub fn detail(self) -> Option<&'static str> {
        match self {
            Forward::Miss | Forward::VaryMiss => None,
            Forward::Stale(why) => Some(why.as_str()),
            Forward::Unusable(why) => Some(why.as_str()),
        }
    }
}

/// The hit path: no formatting machinery.
fn hit(ttl: i64, detail: &str) -> HeaderValue {
    let mut text = Vec::with_capacity(32 + detail.len());
    text.extend_from_slice(b"stent; hit; ttl=");
    text.extend_from_slice(itoa::Buffer::new().format(ttl).as_bytes());
    text.extend_from_slice(detail.as_bytes());
    HeaderValue::from_maybe_shared(bytes::Bytes::from(text)).unwrap_or(HeaderValue::from_static("stent; hit"))
}
