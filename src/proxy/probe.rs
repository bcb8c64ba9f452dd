//! Whether an origin looks at who asks before it looks at a condition.
//!
//! Filters in front of an application (Django's `@condition` outside a token check, output caches) answer 304 to whoever shows the
//! right tag. To a browser that does no harm, since it has the answer; to us a 304 would be the yes that lets a stranger see it. So
//! before a 304 counts, the same is asked once without credentials: an origin that says 304 to nobody says nothing by it.

use std::sync::atomic::{AtomicU8, Ordering};

use http::{HeaderMap, StatusCode, header};

use super::{Exchange, Proxy, ToOrigin, target};
use crate::coherence::errand::Conditions;
use crate::coherence::find::Spot;
use crate::entry::Entry;
use crate::policy::Caching;
use crate::policy::plan::Lookup;
use crate::policy::validate;
use crate::store::mutants::{Rule, is_off};
use crate::upstream::Outgoing;

/// What is known of one route's origin; until the next reload.
#[derive(Debug, Default)]
pub struct Probe(AtomicU8);

const UNKNOWN: u8 = 0;
const JUDGES_FIRST: u8 = 1;
const SAYS_304_TO_NOBODY: u8 = 2;

impl Probe {
    /// Whether its 304 may count; `None` while that is not known.
    pub fn conditions(&self) -> Option<Conditions> {
        if is_off(Rule::Probe) {
            return Some(Conditions::Sent);
        }
        match self.0.load(Ordering::Relaxed) {
            JUDGES_FIRST => Some(Conditions::Sent),
            SAYS_304_TO_NOBODY => Some(Conditions::Withheld),
            _ => None,
        }
    }

    /// Learns from what the origin says to nobody, on the condition that it is not what is stored.
    pub fn heard(&self, status: StatusCode) {
        match status {
            StatusCode::NOT_MODIFIED => self.learn(SAYS_304_TO_NOBODY),
            // It is ill, and says nothing of what it does when it is well.
            status if status.is_server_error() => {}
            _ => self.learn(JUDGES_FIRST),
        }
    }

    /// What one found to be unsafe stays so.
    fn learn(&self, found: u8) {
        let _ = self.0.compare_exchange(UNKNOWN, found, Ordering::Relaxed, Ordering::Relaxed);
        if found == SAYS_304_TO_NOBODY {
            self.0.store(found, Ordering::Relaxed);
        }
    }
}

impl Proxy {
    /// Whether the origin's 304 may count as its yes to somebody. Where that is not known it is found out; where it cannot be, the
    /// whole is asked for.
    pub(super) fn conditions<'a>(
        &'a self,
        exchange: &'a Exchange<'_>,
        lookup: &'a Lookup,
        spot: &'a Spot<'_>,
        base: &'a Entry,
    ) -> ToOrigin<'a, Conditions> {
        Box::pin(async move {
            let probe = &self.probes[exchange.index];
            if let Some(known) = probe.conditions() {
                return known;
            }
            let validators = base.said_validators();
            let Some(target) = target(&exchange.path.text, lookup.query.as_deref()) else {
                return Conditions::Withheld;
            };
            let mut headers = self.fetch_headers(exchange, spot.vary());
            self.take_credentials_off(exchange, &mut headers);
            validate::add_conditions(&mut headers, &validators);
            let upstream = &self.upstreams[exchange.route.upstream];
            let mut outgoing = Outgoing::get(target, headers);
            if let Ok(answer) = upstream.send(exchange.client.worker, &mut outgoing).await {
                probe.heard(answer.head.status);
            }
            probe.conditions().unwrap_or(Conditions::Withheld)
        })
    }

    fn take_credentials_off(&self, exchange: &Exchange<'_>, headers: &mut HeaderMap) {
        let facets = match &exchange.route.caching {
            Caching::Named(policy) => policy.share.facets(),
            _ => &[],
        };
        let named = facets.iter().filter_map(|facet| facet.source.header()).chain(&self.identity.headers);
        named.chain([&header::AUTHORIZATION, &header::COOKIE]).for_each(|name| drop(headers.remove(name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_unsafe_once_stays_so() {
        let probe = Probe::default();
        assert_eq!(probe.conditions(), None);
        probe.learn(JUDGES_FIRST);
        assert_eq!(probe.conditions(), Some(Conditions::Sent));
        probe.learn(SAYS_304_TO_NOBODY);
        probe.learn(JUDGES_FIRST);
        assert_eq!(probe.conditions(), Some(Conditions::Withheld));
    }
}
