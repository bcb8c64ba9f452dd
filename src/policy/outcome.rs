//! What became of a request: the one value from which `Cache-Status` (RFC 9211), metrics and logs are made.
//!
//! Of the parameters of RFC 9211 `key` (§2.7) is never said: it would tell what answers are kept by, and so of whom.

pub mod meaning;

use http::HeaderValue;

use crate::ground::failure::Failure;
use crate::policy::not_stored::NotStored;
use crate::policy::pass::PassReason;
use crate::policy::reuse::{Behind, Freshness, RevalidateReason, UnusableReason};

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
        /// What is left of its lifetime in seconds; said of what is stored.
        ttl: i64,
    },
    /// Confirmed by the origin and served from the store.
    Revalidated {
        /// Why the cache went to the origin.
        why: RevalidateReason,
        /// Whether it waited for another's question.
        collapsed: Collapsed,
        /// The origin's status: 304, or 200 to HEAD.
        status: u16,
        /// What is left of its new lifetime in seconds.
        ttl: i64,
    },
    /// Forwarded as it was; with the origin's status, once it is known.
    Passed(PassReason, Option<u16>),
    /// The client wanted it from the store only, and it was not there.
    OnlyIfCached,
    /// A purge that was carried out.
    Purged,
    /// Refused before any of this.
    Refused(&'static str),
    /// The origin did not answer.
    Failed(Failure, RequestSent),
    /// The client's connection broke before there was an answer.
    Abandoned,
}

/// Why a stale answer was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StaleBecause {
    /// It is being fetched anew behind.
    Revalidating,
    /// The origin was asked for this reason, and failed.
    Rescued(Forward, Failure),
}

/// Why a request went to the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestSent {
    /// The cache had nothing to use.
    Through(Forward),
    /// It was passed.
    Past(PassReason),
}

/// Why the cache went to the origin (RFC 9211 §2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// Nothing was stored.
    Miss,
    /// What was stored was made for other request headers.
    VaryMiss,
    /// What was stored is a part, and not all that is asked for.
    Partial,
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
            Outcome::Revalidated { .. } => 4,
            Outcome::Passed(..) => 5,
            Outcome::OnlyIfCached | Outcome::Refused(_) => 6,
            Outcome::Failed(..) => 7,
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
            Outcome::Stale(_, StaleBecause::Rescued(_, failure)) | Outcome::Failed(failure, _) => {
                Some(failure.as_str())
            }
            Outcome::Fetched { forward: forward @ (Forward::VaryMiss | Forward::Partial), .. } => Some(forward.token()),
            Outcome::Fetched { forward, .. } => forward.detail(),
            Outcome::Revalidated { why, .. } => Some(why.as_str()),
            Outcome::Passed(why, _) => Some(why.as_str()),
            Outcome::OnlyIfCached => Some("only-if-cached"),
            Outcome::Refused(why) => Some(why),
        }
    }

    /// How far the origin's clock is behind, where that is why it was asked.
    pub fn clock_behind(&self) -> Option<Behind> {
        match *self {
            Outcome::Fetched { forward, .. } => forward.clock_behind(),
            Outcome::Revalidated { why, .. } => Forward::Stale(why).clock_behind(),
            _ => None,
        }
    }

    /// The field's value, our member only.
    pub fn cache_status(&self) -> HeaderValue {
        let mut member = Member::new();
        match *self {
            Outcome::Hit(freshness) => return hit(freshness.ttl, ""),
            Outcome::Stale(freshness, StaleBecause::Revalidating) => {
                return hit(freshness.ttl, "; detail=stale-while-revalidate");
            }
            // It was forwarded, so it is no hit (§2.1).
            Outcome::Stale(freshness, StaleBecause::Rescued(forward, failure)) => {
                let why = format!("stale-if-error {}", failure.as_str());
                member.word("fwd", forward.token()).number("ttl", freshness.ttl).string("detail", &why);
            }
            Outcome::Fetched { forward, collapsed, status, stored, ttl } => {
                member.word("fwd", forward.token()).number("fwd-status", status);
                match stored {
                    Stored::Yes => member.flag("stored").collapsed(collapsed).number("ttl", ttl),
                    Stored::IfItFits | Stored::No(_) => member.collapsed(collapsed),
                };
                match stored {
                    Stored::Yes => member.forwarded(forward),
                    Stored::IfItFits => member.detail(Some("stored-if-it-fits")),
                    Stored::No(why) => member.detail(Some(why.as_str())),
                };
            }
            Outcome::Revalidated { why, collapsed, status, ttl } => {
                member.word("fwd", Forward::Stale(why).token()).number("fwd-status", status);
                member.collapsed(collapsed).number("ttl", ttl).forwarded(Forward::Stale(why));
            }
            Outcome::Passed(reason, status) => {
                let why = Some(reason.as_str()).filter(|_| reason != PassReason::Method);
                member.word("fwd", passed(reason)).detail(why);
                if let Some(status) = status {
                    member.number("fwd-status", status);
                }
            }
            Outcome::OnlyIfCached => {
                member.detail(Some("only-if-cached"));
            }
            Outcome::Purged => {
                member.detail(Some("purged"));
            }
            // Nobody is left to read it.
            Outcome::Abandoned => {}
            Outcome::Refused(why) => {
                member.detail(Some(why));
            }
            Outcome::Failed(failure, sent) => {
                member.word("fwd", sent.token()).detail(Some(failure.as_str()));
            }
        };
        member.value()
    }
}

/// A member in the making (RFC 9651 §3.1): tokens, numbers and strings of ours.
struct Member(String);

impl Member {
    fn new() -> Member {
        let mut text = String::with_capacity(64);
        text.push_str("stent");
        Member(text)
    }

    fn flag(&mut self, name: &str) -> &mut Member {
        self.0.push_str("; ");
        self.0.push_str(name);
        self
    }

    fn word(&mut self, name: &str, token: &str) -> &mut Member {
        self.flag(name).0.push('=');
        self.0.push_str(token);
        self
    }

    fn string(&mut self, name: &str, text: &str) -> &mut Member {
        self.flag(name).0.push_str("=\"");
        self.0.push_str(text);
        self.0.push('"');
        self
    }

    fn number(&mut self, name: &str, number: impl itoa::Integer) -> &mut Member {
        self.word(name, itoa::Buffer::new().format(number))
    }

    fn collapsed(&mut self, collapsed: Collapsed) -> &mut Member {
        if collapsed == Collapsed::Yes { self.flag("collapsed") } else { self }
    }

    fn detail(&mut self, why: Option<&str>) -> &mut Member {
        if let Some(why) = why { self.word("detail", why) } else { self }
    }

    /// Why it was forwarded; of a clock, by how many seconds it is behind.
    fn forwarded(&mut self, forward: Forward) -> &mut Member {
        match forward.clock_behind() {
            Some(Behind(seconds)) => self.string("detail", &format!("origin-clock {seconds}")),
            None => self.detail(forward.detail()),
        }
    }

    fn value(self) -> HeaderValue {
        HeaderValue::from_maybe_shared(bytes::Bytes::from(self.0)).unwrap_or(HeaderValue::from_static("stent"))
    }
}

/// The labels of [`Outcome::label`].
pub const LABELS: [&str; 10] =
    ["hit", "stale", "miss", "collapsed", "revalidated", "pass", "refused", "failed", "purged", "abandoned"];

impl RequestSent {
    fn token(self) -> &'static str {
        match self {
            RequestSent::Through(forward) => forward.token(),
            RequestSent::Past(reason) => passed(reason),
        }
    }
}

/// The value of `fwd` for what is passed: whether the cache had nothing for it, the request forbade it, or it was never to be
/// looked for.
fn passed(reason: PassReason) -> &'static str {
    match reason {
        PassReason::Method => "method",
        PassReason::NoStore | PassReason::Precondition => "request",
        PassReason::HeadMiss | PassReason::Range | PassReason::Credentials | PassReason::Rounds => "miss",
        _ => "bypass",
    }
}

impl Forward {
    /// The value of `fwd`.
    pub fn token(self) -> &'static str {
        match self {
            Forward::Miss => "uri-miss",
            Forward::VaryMiss => "vary-miss",
            Forward::Partial => "partial",
            Forward::Stale(
                RevalidateReason::RequestNoCache
                | RevalidateReason::RequestAge
                | RevalidateReason::Access
                | RevalidateReason::Touch,
            ) => "request",
            Forward::Stale(_) => "stale",
            Forward::Unusable(_) => "miss",
        }
    }

    /// How far the origin's clock is behind, where that is why.
    fn clock_behind(self) -> Option<Behind> {
        match self {
            Forward::Stale(RevalidateReason::OriginClock(behind)) => Some(behind),
            _ => None,
        }
    }

    /// The value of `detail`, where there is one.
    pub fn detail(self) -> Option<&'static str> {
        match self {
            Forward::Miss | Forward::VaryMiss | Forward::Partial => None,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ground::failure::{Failure, FailureKind};
    use crate::policy::not_stored::NotStored;

    #[test]
    fn cache_status() {
        use Collapsed::{No, Yes};
        let check = |outcome: Outcome, want: &str| assert_eq!(outcome.cache_status(), want, "{outcome:?}");
        let (fresh, stale) = (Freshness { age: 1, ttl: 59 }, Freshness { age: 70, ttl: -10 });
        let failure = Failure::sent(FailureKind::Timeout);
        let fetched =
            |forward, collapsed, status, stored| Outcome::Fetched { forward, collapsed, status, stored, ttl: 60 };
        let (why, gone) = (Forward::Stale(RevalidateReason::Stale), Forward::Unusable(UnusableReason::Purged));
        // RFC 9211 §2.1: what was forwarded is no hit
        check(Outcome::Hit(fresh), "stent; hit; ttl=59");
        check(Outcome::Stale(stale, StaleBecause::Revalidating), "stent; hit; ttl=-10; detail=stale-while-revalidate");
        let rescued = Outcome::Stale(stale, StaleBecause::Rescued(why, failure));
        check(rescued, "stent; fwd=stale; ttl=-10; detail=\"stale-if-error timeout\"");
        // §2.2 to §2.6
        check(fetched(Forward::Miss, No, 200, Stored::Yes), "stent; fwd=uri-miss; fwd-status=200; stored; ttl=60");
        check(
            fetched(Forward::VaryMiss, Yes, 200, Stored::Yes),
            "stent; fwd=vary-miss; fwd-status=200; stored; collapsed; ttl=60",
        );
        check(fetched(Forward::Partial, No, 206, Stored::Yes), "stent; fwd=partial; fwd-status=206; stored; ttl=60");
        check(fetched(gone, No, 200, Stored::Yes), "stent; fwd=miss; fwd-status=200; stored; ttl=60; detail=purged");
        check(fetched(why, No, 200, Stored::IfItFits), "stent; fwd=stale; fwd-status=200; detail=stored-if-it-fits");
        check(
            fetched(Forward::Miss, Yes, 404, Stored::No(NotStored::Status)),
            "stent; fwd=uri-miss; fwd-status=404; collapsed; detail=status",
        );
        let revalidated = |why, status| Outcome::Revalidated { why, collapsed: No, status, ttl: 60 };
        check(revalidated(RevalidateReason::Stale, 304), "stent; fwd=stale; fwd-status=304; ttl=60; detail=stale");
        check(
            revalidated(RevalidateReason::RequestNoCache, 200),
            "stent; fwd=request; fwd-status=200; ttl=60; detail=request-no-cache",
        );
        let clock = RevalidateReason::OriginClock(Behind(3600));
        check(revalidated(clock, 304), "stent; fwd=stale; fwd-status=304; ttl=60; detail=\"origin-clock 3600\"");
        check(
            fetched(Forward::Stale(clock), No, 200, Stored::Yes),
            "stent; fwd=stale; fwd-status=200; stored; ttl=60; detail=\"origin-clock 3600\"",
        );
        check(Outcome::Passed(PassReason::Method, Some(201)), "stent; fwd=method; fwd-status=201");
        check(Outcome::Passed(PassReason::NoPolicy, Some(304)), "stent; fwd=bypass; detail=no-policy; fwd-status=304");
        check(Outcome::Passed(PassReason::NoStore, None), "stent; fwd=request; detail=request-no-store");
        check(
            Outcome::Passed(PassReason::HeadMiss, Some(200)),
            "stent; fwd=miss; detail=head-not-stored; fwd-status=200",
        );
        check(Outcome::Failed(failure, RequestSent::Through(why)), "stent; fwd=stale; detail=timeout");
        check(Outcome::Failed(failure, RequestSent::Past(PassReason::Method)), "stent; fwd=method; detail=timeout");
        check(Outcome::OnlyIfCached, "stent; detail=only-if-cached");
        check(Outcome::Purged, "stent; detail=purged");
        check(Outcome::Refused("no-route"), "stent; detail=no-route");
        check(Outcome::Abandoned, "stent");
    }
}
