//! The way through the cache: find, judge, and fly where there is nothing to use; then look again, or deliver.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderName, Method, StatusCode, header};

use super::flying::{Waited, Wanted};
use super::{Answer, Exchange, MAX_ROUNDS, Proxy, ToOrigin};
use crate::edge::deliver;
use crate::edge::error::{Connection, Problem};
use crate::entry::{Entry, Slot};
use crate::fetch::flight::Demand;
use crate::key::{self, KeyBuf};
use crate::outcome::{Forward, Outcome, StaleBecause};
use crate::policy::directives::RequestDirectives;
use crate::policy::plan::{Credentialed, Lookup, PassReason, Permission};
use crate::policy::reuse::{Freshness, Reuse, RevalidateReason, UnusableReason, reuse};

/// What the store has for a request.
pub(super) enum Found {
    /// This, to be served as it is.
    Usable(Entry, Freshness, Outcome, Refresh),
    /// This or nothing, and why the origin must be asked.
    Ask(Option<Entry>, Forward),
}

/// Whether a served entry is to be fetched anew behind.
#[derive(PartialEq, Eq)]
pub(super) enum Refresh {
    Behind,
    No,
}

/// Where in the store a request's answer is.
pub(super) struct Spot<'a> {
    lookup: &'a Lookup,
    /// The headers that the origin's `Vary` named here, and the key with their values.
    variant: Option<(Arc<[HeaderName]>, KeyBuf)>,
}

impl Spot<'_> {
    /// The key of the variant, or the primary key while none is known.
    pub(super) fn key(&self) -> &[u8] {
        self.variant.as_ref().map_or(&self.lookup.key, |(_, key)| key)
    }

    pub(super) fn permission(&self) -> &Permission {
        &self.lookup.permission
    }

    pub(super) fn vary(&self) -> &[HeaderName] {
        self.variant.as_ref().map_or(&[], |(names, _)| names)
    }
}

/// Why a request for which the store has nothing starts no flight.
pub(super) enum Grounded {
    /// The client wants it from the store only.
    OnlyIfCached,
    Pass(PassReason),
}

impl Exchange<'_> {
    /// Whether what the store does not have is fetched for this request through the cache.
    pub(super) fn may_fly(&self, lookup: &Lookup) -> Result<(), Grounded> {
        if lookup.directives.only_if_cached {
            return Err(Grounded::OnlyIfCached);
        }
        if self.method == Method::HEAD {
            return Err(Grounded::Pass(PassReason::HeadMiss));
        }
        match self.headers.contains_key(header::RANGE) {
            true => Err(Grounded::Pass(PassReason::Range)),
            false => Ok(()),
        }
    }
}

impl Proxy {
    /// Answers with what is stored and fresh.
    pub(super) fn fresh(&self, exchange: &Exchange<'_>, lookup: &Lookup, now: Instant) -> Option<Answer> {
        let (spot, slot) = self.find(exchange, lookup);
        match self.judge(slot, &spot, lookup, now) {
            Ok(Found::Usable(entry, freshness, outcome, Refresh::No)) => {
                Some(serve(exchange, &entry, freshness, outcome))
            }
            _ => None,
        }
    }

    /// Answers from the store or by a flight. `Err`: the request is to be passed, for this reason.
    pub(super) async fn look_up(
        self: &Arc<Self>,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
    ) -> Result<Answer, PassReason> {
        let mut demand = self.demand(&lookup.directives);
        let mut failed = None;
        for _ in 0..MAX_ROUNDS {
            let now = self.cache.clock.instant();
            let (spot, slot) = self.find(exchange, lookup);
            let (base, forward) = match self.judge(slot, &spot, lookup, now)? {
                Found::Usable(entry, freshness, outcome, refresh) => {
                    if refresh == Refresh::Behind {
                        self.refresh(exchange, lookup, &spot, &entry, now);
                    }
                    return Ok(serve(exchange, &entry, freshness, outcome));
                }
                Found::Ask(base, forward) => (base, forward),
            };
            match exchange.may_fly(lookup) {
                Ok(()) => {}
                Err(Grounded::OnlyIfCached) => return Ok(exchange.problem(NOT_CACHED, Outcome::OnlyIfCached)),
                Err(Grounded::Pass(reason)) => return Err(reason),
            }
            let asking = self.asking(&spot, now);
            let wanted = Wanted { base, forward, demand, failed: failed.as_deref(), asking };
            let flown: ToOrigin<'_, Waited> = Box::pin(self.fly(exchange, lookup, spot, wanted));
            match flown.await {
                Waited::Answer(answer) => return Ok(answer),
                Waited::Again(next) => demand = next,
                Waited::Elect(flight) => failed = Some(flight),
                Waited::Pass(reason) => return Err(reason),
            }
        }
        Err(PassReason::Rounds)
    }

    /// A client that says `no-cache` is given nothing that left before it asked.
    fn demand(&self, directives: &RequestDirectives) -> Demand {
        match directives.no_cache {
            true => Demand { serial: Some(self.cache.flights.draw()), ..Demand::ANY },
            false => Demand::ANY,
        }
    }

    pub(super) fn find<'a>(&self, exchange: &Exchange<'_>, lookup: &'a Lookup) -> (Spot<'a>, Option<Slot>) {
        match self.cache.memory.get(&lookup.key) {
            Some(Slot::Vary(names)) => {
                let key = self.variant(exchange, lookup, &names);
                let slot = self.cache.memory.get(&key);
                (Spot { lookup, variant: Some((names, key)) }, slot)
            }
            slot => (Spot { lookup, variant: None }, slot),
        }
    }

    /// The key of a request's variant, by what a fetch for it sends.
    pub(super) fn variant(&self, exchange: &Exchange<'_>, lookup: &Lookup, names: &[HeaderName]) -> KeyBuf {
        if !names.contains(&header::COOKIE) || !self.shows_ignored_cookies(&exchange.headers) {
            return key::variant(&lookup.key, names, &exchange.headers);
        }
        let mut headers = exchange.headers.clone();
        self.drop_ignored_cookies(&mut headers);
        key::variant(&lookup.key, names, &headers)
    }

    /// The second question, for what was found. Whoever is still to be let see it is told the same, whatever is there.
    pub(super) fn judge(
        &self,
        slot: Option<Slot>,
        spot: &Spot<'_>,
        lookup: &Lookup,
        now: Instant,
    ) -> Result<Found, PassReason> {
        let found = self.judge_found(slot, spot, lookup, now)?;
        if self.asking(spot, now).is_none() {
            return Ok(found);
        }
        let entry = match found {
            Found::Usable(entry, ..) => Some(entry),
            Found::Ask(base, _) => base,
        };
        Ok(Found::Ask(entry, Forward::Stale(RevalidateReason::Access)))
    }

    fn judge_found(
        &self,
        slot: Option<Slot>,
        spot: &Spot<'_>,
        lookup: &Lookup,
        now: Instant,
    ) -> Result<Found, PassReason> {
        let miss = if spot.variant.is_some() { Forward::VaryMiss } else { Forward::Miss };
        let entry = match slot {
            Some(Slot::Entry(entry)) => entry,
            Some(Slot::Uncacheable(until)) if now < until => return Err(PassReason::Uncacheable),
            _ => {
                self.check_credentialed(spot, lookup, now)?;
                return Ok(Found::Ask(None, miss));
            }
        };
        let standing = self.cache.log.check(entry.birth(), &entry);
        Ok(match reuse(&entry.vital(), standing, &lookup.directives, lookup.credentialed, now) {
            Reuse::Fresh(freshness) => Found::Usable(entry, freshness, Outcome::Hit(freshness), Refresh::No),
            Reuse::StaleWhileRevalidate(freshness) => {
                let outcome = Outcome::Stale(freshness, StaleBecause::Revalidating);
                Found::Usable(entry, freshness, outcome, Refresh::Behind)
            }
            Reuse::Revalidate(why) => Found::Ask(Some(entry), Forward::Stale(why)),
            // Others may go on using it; this one's credentials speak to the origin themselves.
            Reuse::Unusable(UnusableReason::Credentials) => return Err(PassReason::Credentials),
            Reuse::Unusable(why) => Found::Ask(None, Forward::Unusable(why)),
        })
    }

    /// What is remembered of requests with credentials is kept apart from what holds for those without.
    fn check_credentialed(&self, spot: &Spot<'_>, lookup: &Lookup, now: Instant) -> Result<(), PassReason> {
        if lookup.credentialed == Credentialed::No {
            return Ok(());
        }
        match self.cache.memory.get(&flight_key(spot, lookup)) {
            Some(Slot::Uncacheable(until)) if now < until => Err(PassReason::Uncacheable),
            _ => Ok(()),
        }
    }
}

/// Requests with unkeyed credentials never share a flight with those without.
pub(super) fn flight_key(spot: &Spot<'_>, lookup: &Lookup) -> KeyBuf {
    let mut key = KeyBuf::from_slice(spot.key());
    if lookup.credentialed == Credentialed::Yes {
        key.push(b'C');
    }
    key
}

pub(super) fn serve(exchange: &Exchange<'_>, entry: &Entry, freshness: Freshness, outcome: Outcome) -> Answer {
    (deliver::entry(entry, freshness, &exchange.method, &exchange.headers), outcome)
}

/// RFC 9111 §5.2.1.7.
const NOT_CACHED: Problem = Problem {
    status: StatusCode::GATEWAY_TIMEOUT,
    detail: "The request asked for a stored answer only, and there is none that may be used.",
    code: "only-if-cached",
    connection: Connection::Keep,
};
