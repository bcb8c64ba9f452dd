//! The second question: a stored entry is in hand; may it be served?

use std::time::{Duration, Instant};

use crate::entry::head::{Credentialed, OriginClock, Staleness, Vital};
use crate::entry::purge::Standing;
use crate::fields::directives::{MAX_DELTA, RequestDirectives};

/// The answer to the second question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reuse {
    /// Serve it.
    Fresh(Freshness),
    /// Serve it and fetch it anew behind (RFC 5861 §3).
    StaleWhileRevalidate(Freshness),
    /// Ask the origin; with a condition where the entry has a validator.
    Revalidate(RevalidateReason),
    /// It is as if it were not there.
    Unusable(UnusableReason),
}

/// How old an entry is and what is left, in whole seconds as headers say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Its age in seconds.
    pub age: u64,
    /// What is left of its lifetime in seconds; negative once stale.
    pub ttl: i64,
}

/// Why the origin must be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RevalidateReason {
    /// Its lifetime is over.
    Stale,
    /// Purged softly.
    SoftPurged,
    /// The client said `no-cache`.
    RequestNoCache,
    /// The client wants it younger or fresher than it is.
    RequestAge,
    /// Older than the policy delivers.
    Ceiling,
    /// Whether the client may have it is the origin's to say.
    Access,
    /// The origin has not heard of this principal for the policy's `touch`.
    Touch,
    /// Its lifetime is over by its `Date` alone, by which the origin's clock is so much behind.
    OriginClock(Behind),
    /// Its lifetime is over, and `s-maxage` closes the window of `stale-while-revalidate` in which it is.
    SMaxage,
}

/// By how many seconds a clock is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Behind(pub u32);

impl RevalidateReason {
    /// One spelling for `Cache-Status`, metrics, logs and people.
    pub fn as_str(self) -> &'static str {
        match self {
            RevalidateReason::Stale => "stale",
            RevalidateReason::SoftPurged => "soft-purged",
            RevalidateReason::RequestNoCache => "request-no-cache",
            RevalidateReason::RequestAge => "request-age",
            RevalidateReason::Ceiling => "ceiling",
            RevalidateReason::Access => "access",
            RevalidateReason::Touch => "touch",
            RevalidateReason::OriginClock(_) => "origin-clock",
            RevalidateReason::SMaxage => "s-maxage",
        }
    }
}

/// Why an entry cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum UnusableReason {
    /// A hard purge came after its fetch began.
    Purged,
    /// The origin did not open it to requests with credentials.
    Credentials,
}

impl UnusableReason {
    /// One spelling for `Cache-Status`, metrics, logs and people.
    pub fn as_str(self) -> &'static str {
        match self {
            UnusableReason::Purged => "purged",
            UnusableReason::Credentials => "credentials",
        }
    }
}

/// Answers the second question.
pub fn reuse(
    vital: &Vital,
    standing: Standing,
    directives: &RequestDirectives,
    credentialed: Credentialed,
    now: Instant,
) -> Reuse {
    if standing == Standing::Dead {
        return Reuse::Unusable(UnusableReason::Purged);
    }
    if !vital.openness.is_for(credentialed) {
        return Reuse::Unusable(UnusableReason::Credentials);
    }
    let age = vital.age(now);
    let life = &vital.lifetime;
    if directives.no_cache {
        return Reuse::Revalidate(RevalidateReason::RequestNoCache);
    }
    if directives.touch {
        return Reuse::Revalidate(RevalidateReason::Touch);
    }
    if age >= life.ceiling {
        return Reuse::Revalidate(RevalidateReason::Ceiling);
    }
    let freshness = Freshness::of(age, life.fresh_for);
    // Headers speak of whole seconds: an answer whose Age says 30 satisfies max-age=30. None is so young that it satisfies
    // max-age=0, by which clients ask for validation.
    let too_old = directives.max_age.is_some_and(|max| max.is_zero() || age.as_secs() > max.as_secs());
    let min_fresh = directives.min_fresh.unwrap_or_default();
    if standing == Standing::Good && age < life.fresh_for {
        // §5.2.1.1 and §5.2.1.3.
        return match too_old || life.fresh_for - age < min_fresh {
            true => Reuse::Revalidate(RevalidateReason::RequestAge),
            false => Reuse::Fresh(freshness),
        };
    }
    let stale_for = age.saturating_sub(life.fresh_for);
    // §5.2.1.1: whoever limits the age wants nothing stale, unless it says how stale.
    let asked_for_fresh = too_old
        || directives.min_fresh.is_some()
        || match directives.max_stale {
            Some(most) => stale_for > most,
            None => directives.max_age.is_some(),
        };
    if life.staleness == Staleness::Allowed && !asked_for_fresh {
        if stale_for < life.stale_while_revalidate {
            return Reuse::StaleWhileRevalidate(freshness);
        }
        // §5.2.1.2; what was purged softly is not merely stale.
        if standing == Standing::Good && directives.max_stale.is_some() {
            return Reuse::Fresh(freshness);
        }
    }
    Reuse::Revalidate(match standing {
        Standing::Soft => RevalidateReason::SoftPurged,
        _ if asked_for_fresh => RevalidateReason::Stale,
        _ => over(vital, now),
    })
}

/// Why a lifetime is over that might not be.
fn over(vital: &Vital, now: Instant) -> RevalidateReason {
    let life = &vital.lifetime;
    let stale_for = vital.age(now).saturating_sub(life.fresh_for);
    if vital.clock == OriginClock::Behind && now.saturating_duration_since(vital.received) < life.fresh_for {
        let behind = u32::try_from(vital.initial_age.as_secs()).unwrap_or(u32::MAX);
        return RevalidateReason::OriginClock(Behind(behind));
    }
    match life.staleness {
        Staleness::ForbiddenBySMaxage if stale_for < life.stale_while_revalidate => RevalidateReason::SMaxage,
        _ => RevalidateReason::Stale,
    }
}

impl Freshness {
    /// For an entry of this age and lifetime.
    pub fn of(age: Duration, fresh_for: Duration) -> Freshness {
        // RFC 9111 §1.2.2: what overflows is 2^31.
        let (age, fresh_for) = (age.min(MAX_DELTA).as_secs(), fresh_for.min(MAX_DELTA).as_secs());
        let ttl = fresh_for as i64 - age as i64;
        Freshness { age, ttl }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::entry::head::Lifetime;
    use crate::entry::head::Openness;

    /// Of an answer of this lifetime that arrived now.
    pub(crate) fn vital(lifetime: Lifetime, now: Instant) -> Vital {
        let (initial_age, openness, clock) = (Duration::ZERO, Openness::Open, OriginClock::Right);
        Vital { lifetime, received: now, initial_age, openness, clock }
    }

    /// Fresh for 100 s, then 50 s while revalidating, 200 s when the origin fails; never beyond 180 s.
    pub(crate) const LIFE: Lifetime = Lifetime {
        fresh_for: Duration::from_secs(100),
        stale_while_revalidate: Duration::from_secs(50),
        stale_if_error: Duration::from_secs(200),
        ceiling: Duration::from_secs(180),
        staleness: Staleness::Allowed,
    };

    fn at(age: u64, life: Lifetime, standing: Standing, control: &'static str) -> &'static str {
        let now = Instant::now();
        let vital = vital(life, now);
        let mut directives = RequestDirectives::default();
        directives.read(&http::HeaderValue::from_static(control));
        let then = now + Duration::from_secs(age);
        match reuse(&vital, standing, &directives, Credentialed::No, then) {
            Reuse::Fresh(_) => "fresh",
            Reuse::StaleWhileRevalidate(_) => "stale",
            Reuse::Revalidate(why) => why.as_str(),
            Reuse::Unusable(why) => why.as_str(),
        }
    }

    #[test]
    fn by_age_standing_and_what_the_client_wants() {
        use Standing::{Dead, Good, Soft};
        let strict = Lifetime { staleness: Staleness::Forbidden, ..LIFE };
        for (age, life, standing, control, want) in [
            (0, LIFE, Good, "", "fresh"),
            (99, LIFE, Good, "", "fresh"),
            (100, LIFE, Good, "", "stale"), // RFC 9111 §4.2
            (149, LIFE, Good, "", "stale"), // RFC 5861 §3
            (160, LIFE, Good, "", "stale"),
            (180, LIFE, Good, "", "ceiling"),
            (180, LIFE, Good, "max-stale", "ceiling"),
            (100, strict, Good, "", "stale"), // §5.2.2.2
            (100, strict, Good, "max-stale", "stale"),
            (160, LIFE, Good, "max-stale", "fresh"), // §5.2.1.2
            (160, LIFE, Good, "max-stale=10", "stale"),
            (50, LIFE, Good, "max-age=50", "fresh"), // §5.2.1.1
            (51, LIFE, Good, "max-age=50", "request-age"),
            (0, LIFE, Good, "max-age=0", "request-age"),
            (50, LIFE, Good, "min-fresh=50", "fresh"), // §5.2.1.3
            (51, LIFE, Good, "min-fresh=50", "request-age"),
            (1, LIFE, Good, "no-cache", "request-no-cache"), // §5.2.1.4
            (1, LIFE, Soft, "", "stale"),
            (1, strict, Soft, "", "soft-purged"),
            (160, LIFE, Soft, "max-stale", "soft-purged"),
            (1, LIFE, Dead, "", "purged"),
            (1, LIFE, Dead, "max-stale", "purged"),
        ] {
            assert_eq!(at(age, life, standing, control), want, "{age} {standing:?} {control}");
        }
    }

    #[test]
    fn the_window_while_revalidating_ends() {
        let now = Instant::now();
        let vital = vital(LIFE, now);
        let judge = |age, control: &'static str| {
            let mut directives = RequestDirectives::default();
            directives.read(&http::HeaderValue::from_static(control));
            reuse(&vital, Standing::Good, &directives, Credentialed::No, now + Duration::from_secs(age))
        };
        let served = |age: u64, ttl| Reuse::StaleWhileRevalidate(Freshness { age, ttl });
        assert_eq!(judge(149, ""), served(149, -49));
        assert_eq!(judge(150, ""), Reuse::Revalidate(RevalidateReason::Stale));
        // §5.2.1.1, §5.2.1.2
        assert_eq!(judge(110, "max-age=200"), Reuse::Revalidate(RevalidateReason::Stale));
        assert_eq!(judge(110, "max-age=200, max-stale"), served(110, -10));
        assert_eq!(judge(110, "max-stale=5"), Reuse::Revalidate(RevalidateReason::Stale));
        assert_eq!(judge(110, "max-stale=10"), served(110, -10));
    }

    #[test]
    fn what_is_closed_is_closed_to_credentials() {
        let now = Instant::now();
        let any = RequestDirectives::default();
        let usable = |openness, credentialed| {
            let vital = Vital { openness, ..vital(LIFE, now) };
            match reuse(&vital, Standing::Good, &any, credentialed, now) {
                Reuse::Fresh(_) => true,
                other => {
                    assert_eq!(other, Reuse::Unusable(UnusableReason::Credentials));
                    false
                }
            }
        };
        for (openness, no, authorization, otherwise) in [
            (Openness::Open, true, true, true),
            (Openness::ToAuthorization, true, true, false),
            (Openness::Closed, true, false, false),
        ] {
            assert_eq!(usable(openness, Credentialed::No), no);
            assert_eq!(usable(openness, Credentialed::Authorization), authorization, "{openness:?}");
            assert_eq!(usable(openness, Credentialed::Otherwise), otherwise, "{openness:?}");
        }
    }
}
