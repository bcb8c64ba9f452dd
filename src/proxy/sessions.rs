//! What an origin's answer says about its asker's session: that it is over, or that it is another from now on. What is kept for
//! the principal goes before the answer does.
//!
//! Sessions of legacy backends survive a sign-in and a sign-out, and both may be any request: a callback by GET, a link, a switch
//! of the ward. So it is not the route that tells, but the answer: a 401, or a cookie of the principal that is set, changed or
//! deleted. A session that slides at the origin must hear of its owner now and then, whatever is stored: see [`Touches`].

use std::time::Instant;

use http::{HeaderMap, StatusCode, header};

use super::access::is_refusal;
use crate::asker::principal::principal;
use crate::coherence::tags::{ONES_OWN, cookie_digest, principal_ended};
use crate::entry::key::Partition;
use crate::entry::purge::Strength;
use crate::entry::tag::TagSet;
use crate::fields::cookies::cookies;
use crate::policy::pass::PassReason;
use crate::policy::plan::Lookup;
use crate::proxy::current::Proxy;
use crate::proxy::exchange::Exchange;
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

/// A sign-out that names no cookie: `Clear-Site-Data` for cookies, for caches or for all (W3C Clear Site Data §3.1).
fn clears_site_data(answer: &HeaderMap) -> bool {
    let lines = answer.get_all("clear-site-data").iter().filter_map(|line| line.to_str().ok());
    let mut kinds = lines.flat_map(|line| line.split(',')).map(|kind| kind.trim_matches([' ', '\t', '"']));
    kinds.any(|kind| matches!(kind, "*" | "cookies" | "cache"))
}
