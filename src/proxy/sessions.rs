//! What an origin's answer says about its asker's session: that it is over, or that it is another from now on. What is kept for
//! the principal goes before the answer does.
//!
//! Sessions of legacy backends survive a sign-in and a sign-out, and both may be any request: a callback by GET, a link, a switch
//! of the ward. So it is not the route that tells, but the answer: a 401, or a cookie of the principal that is set, changed or
//! deleted. A session that slides at the origin must hear of its owner now and then, whatever is stored: see [`Touches`].

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, header};

use super::access::is_refusal;
use super::{Exchange, Proxy};
use crate::asker::principal::principal;
use crate::coherence::tags::{ONES_OWN, cookie_digest, principal_ended};
use crate::entry::key::Partition;
use crate::entry::purge::Strength;
use crate::entry::tag::TagSet;
use crate::fields::cookies::cookies;
use crate::policy::plan::{Lookup, PassReason};
use crate::rules::caching::{Caching, NamedPolicy, Share};

impl Proxy {
    /// Heeds the head of an origin's answer to somebody. `shown`: the digests of the principal's parts that they showed; it is
    /// asked for where it matters.
    pub(super) fn heed(&self, status: StatusCode, answer: &HeaderMap, shown: impl FnOnce() -> Vec<[u8; 32]>) {
        let set = self.cookies_set(answer);
        if status != StatusCode::UNAUTHORIZED && set.is_empty() && !clears_site_data(answer) {
            return;
        }
        let ended: Vec<[u8; 32]> = shown().into_iter().chain(set).collect();
        if ended.is_empty() {
            return;
        }
        let mut tags = TagSet::default();
        ended.iter().for_each(|digest| tags.principal(digest));
        self.purge(&tags, Strength::Hard);
    }

    /// The same for an exchange whose request is at hand.
    pub(super) fn heed_answer(&self, asked: &HeaderMap, answer: &http::response::Parts) {
        self.heed(answer.status, &answer.headers, || principal_ended(asked, &self.identity, &self.secret));
    }

    /// Heeds a refusal to somebody for whom something may be kept here, and whose request was passed for its own sake: what they
    /// may not have now is not shown to them later either.
    pub(super) fn heed_refusal(&self, exchange: &Exchange<'_>, status: StatusCode, reason: PassReason) {
        let is_kept = match &exchange.route.caching {
            Caching::Named(policy) => policy.share == Share::Principal,
            _ => false,
        };
        let for_its_own_sake = matches!(
            reason,
            PassReason::NoStore
                | PassReason::Precondition
                | PassReason::Range
                | PassReason::Cookie
                | PassReason::Header
                | PassReason::UrlCredential
                | PassReason::Signed
        );
        // A 401 is heeded wherever it comes.
        if !is_kept || !for_its_own_sake || !is_refusal(status) || status == StatusCode::UNAUTHORIZED {
            return;
        }
        let mut tags = TagSet::default();
        let parts = principal_ended(&exchange.headers, &self.identity, &self.secret);
        parts.iter().for_each(|digest| tags.principal(digest));
        if !parts.is_empty() {
            self.purge(&tags, Strength::Hard);
        }
    }

    /// The digests of the principal's cookies that an answer sets, as a request would show them. One that others may have as well, such
    /// as a tenant's, ends nothing of theirs.
    fn cookies_set(&self, answer: &HeaderMap) -> Vec<[u8; 32]> {
        let lines = answer.get_all(header::SET_COOKIE).iter().filter_map(|line| cookies(line).next());
        let is_alone = self.identity.cookies.len() == 1;
        let is_own = |pair: &[u8], name: &str| is_alone || pair.len() > name.len() + ONES_OWN;
        let own = lines.filter(|cookie| {
            self.identity.cookies.iter().any(|name| name == cookie.name) && is_own(cookie.pair, cookie.name)
        });
        own.map(|cookie| cookie_digest(&self.secret, cookie.pair)).collect()
    }

    /// Whether what is stored would be served, but one request of its principal is to go to the origin now.
    pub(super) fn is_touch_due(&self, exchange: &Exchange<'_>, lookup: &Lookup, now: Instant) -> bool {
        let Caching::Named(NamedPolicy { touch: Some(every), .. }) = &exchange.route.caching else { return false };
        let Partition::Principal(digest) = &lookup.partition else { return false };
        // It is to reach no origin, whatever that would be good for.
        if lookup.directives.only_if_cached {
            return false;
        }
        self.touches.is_due(digest, *every, now)
    }

    /// Notes that the origin hears of a principal now.
    pub(super) fn touched_by(&self, exchange: &Exchange<'_>) {
        if self.touches_sessions && self.identity.shows_credentials(&exchange.headers) {
            let digest = principal(&exchange.headers, &self.identity, &self.secret);
            self.touches.note(&digest, self.cache.clock.instant());
        }
    }
}

/// When the origin last heard of whom. A fixed table: two principals that share a place make each other be heard of more often,
/// never less.
#[derive(Debug)]
pub struct Touches {
    start: Instant,
    /// Made when a policy first asks: nobody else pays for it. A principal's mark above, seconds since the start below.
    places: OnceLock<Box<[AtomicU64]>>,
}

const PLACES: usize = 1 << 16;

impl Touches {
    /// Nobody was heard of yet.
    pub fn new(now: Instant) -> Touches {
        Touches { start: now, places: OnceLock::new() }
    }

    /// Whether the origin has not heard of this principal for so long. Whoever is told so is the one who goes.
    fn is_due(&self, digest: &[u8; 32], every: Duration, now: Instant) -> bool {
        let place = self.place(digest);
        let seen = place.load(Ordering::Relaxed);
        let word = self.word(digest, now);
        let is_own = seen >> 32 == word >> 32;
        let since = (word & SECONDS).saturating_sub(seen & SECONDS);
        if is_own && Duration::from_secs(since) < every {
            return false;
        }
        place.compare_exchange(seen, word, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    fn note(&self, digest: &[u8; 32], now: Instant) {
        self.place(digest).store(self.word(digest, now), Ordering::Relaxed);
    }

    fn place(&self, digest: &[u8; 32]) -> &AtomicU64 {
        let places = self.places.get_or_init(|| (0..PLACES).map(|_| AtomicU64::new(0)).collect());
        &places[usize::from(u16::from_le_bytes([digest[0], digest[1]])) % PLACES]
    }

    fn word(&self, digest: &[u8; 32], now: Instant) -> u64 {
        let mark = u32::from_le_bytes([digest[2], digest[3], digest[4], digest[5]]);
        // From one on, so that a place that was never written is nobody's.
        let seconds = now.saturating_duration_since(self.start).as_secs() + 1;
        u64::from(mark) << 32 | seconds & SECONDS
    }
}

const SECONDS: u64 = u32::MAX as u64;

/// A sign-out that names no cookie: `Clear-Site-Data` for cookies, for caches or for all (W3C Clear Site Data §3.1).
fn clears_site_data(answer: &HeaderMap) -> bool {
    let lines = answer.get_all("clear-site-data").iter().filter_map(|line| line.to_str().ok());
    let mut kinds = lines.flat_map(|line| line.split(',')).map(|kind| kind.trim_matches([' ', '\t', '"']));
    kinds.any(|kind| matches!(kind, "*" | "cookies" | "cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_goes_in_each_span_of_time() {
        let start = Instant::now();
        let touches = Touches::new(start);
        let due = |who: u8, seconds| {
            let now = start + Duration::from_secs(seconds);
            touches.is_due(&[who; 32], Duration::from_secs(300), now)
        };
        assert!(due(1, 0), "the origin has not heard of them");
        assert!(!due(1, 0) && !due(1, 299));
        assert!(due(2, 10));
        assert!(due(1, 300) && !due(1, 301));
        touches.note(&[1; 32], start + Duration::from_secs(500));
        assert!(!due(1, 700) && due(1, 800));
    }

    #[test]
    fn who_share_a_place_are_heard_of_more_often() {
        let start = Instant::now();
        let touches = Touches::new(start);
        let (mut one, mut other) = ([7; 32], [7; 32]);
        (one[2], other[2]) = (1, 2);
        let due = |who: &[u8; 32]| touches.is_due(who, Duration::from_secs(300), start);
        assert!(due(&one) && !due(&one) && due(&other) && due(&one));
    }
}
