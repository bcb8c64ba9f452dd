//! The way through the cache: find, judge, and fly where there is nothing to use; then look again, or deliver.

use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode};

use super::access::Asking;
use super::flying::{FlightResult, Wanted};
use super::probe;
use crate::coherence::Waits;
use crate::coherence::errand::Asks;
use crate::coherence::extent::Extent;
use crate::coherence::find::{Found, Refresh, Spot};
use crate::coherence::flight::Demand;
use crate::deliver::ranges;
use crate::edge::error::{AfterError, Problem};
use crate::entry::incomplete::Incomplete;
use crate::entry::slot::Slot;
use crate::entry::stored::Entry;
use crate::fields::directives::RequestDirectives;
use crate::policy::outcome::{Forward, Outcome};
use crate::policy::pass::PassReason;
use crate::policy::plan::Lookup;
use crate::policy::reuse::Freshness;
use crate::proxy::current::Proxy;
use crate::proxy::exchange::{Answer, Exchange, ToOrigin, serve};

/// Why a request for which the store has nothing starts no flight.
pub(super) enum Grounded {
    /// The client wants it from the store only.
    OnlyIfCached,
    Pass(PassReason),
}

impl Exchange<'_> {
    /// What a fetch for it asks for.
    pub(super) fn asks(&self) -> Asks {
        if self.method == Method::HEAD { Asks::Head } else { Asks::Whole }
    }

    /// Whether what the store does not have is fetched for this request through the cache. HEAD makes no entry: it is only
    /// where there is one that it can tell something of.
    pub(super) fn may_fly(&self, lookup: &Lookup, base: Option<&Entry>) -> Result<(), Grounded> {
        if lookup.directives.only_if_cached {
            return Err(Grounded::OnlyIfCached);
        }
        if self.asks() == Asks::Head {
            return base.map(|_| ()).ok_or(Grounded::Pass(PassReason::HeadMiss));
        }
        Ok(())
    }
}

/// What a fetch begins with where nothing whole is stored.
pub(super) enum LookupRest {
    /// Nothing is there.
    All,
    /// Nothing, since it is too long.
    OfTooLong,
    /// A part is.
    Beside(Incomplete),
}

impl Exchange<'_> {
    /// Answers with a stored part that is fresh, if that is all it asks for.
    pub(super) fn serve_part(&self, part: &Incomplete, freshness: Option<Freshness>) -> Option<Answer> {
        let freshness = freshness?;
        let response = ranges::part(part, freshness, &self.method, &self.headers)?;
        Some((response, Outcome::Hit(freshness)))
    }

    /// What is to be fetched for it.
    pub(super) fn extent(&self, rest: LookupRest, max_object: u64) -> Result<Extent, PassReason> {
        match rest {
            LookupRest::All => Ok(Extent::WHOLE),
            LookupRest::OfTooLong => Extent::of_too_long(&self.headers, max_object),
            LookupRest::Beside(part) => Extent::beside(part, &self.headers, max_object),
        }
    }
}

impl Proxy {
    /// Answers with what is stored and fresh.
    pub(super) fn fresh(&self, exchange: &Exchange<'_>, lookup: &Lookup, now: Instant) -> Option<Answer> {
        let (spot, slot) = self.find(exchange, lookup);
        match self.judge(slot, &spot, now) {
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
        let (mut failed, mut waits) = (None, Waits::Behind);
        for _ in 0..MAX_ROUNDS {
            let now = self.cache.clock.instant();
            let (spot, slot) = self.find(exchange, lookup);
            let (found, asking) = self.judge_for(slot, &spot, now)?;
            let (base, forward, rest) = match found {
                Found::Usable(entry, freshness, outcome, refresh) => {
                    if refresh == Refresh::Behind {
                        self.refresh(exchange, lookup, &spot, &entry, now);
                    }
                    return Ok(serve(exchange, &entry, freshness, outcome));
                }
                Found::Part(part, freshness, forward) => match exchange.serve_part(&part, freshness) {
                    Some(answer) => return Ok(answer),
                    None => (None, forward, LookupRest::Beside(part)),
                },
                Found::TooLong => (None, Forward::Miss, LookupRest::OfTooLong),
                Found::Ask(base, forward) => (base, forward, LookupRest::All),
            };
            match exchange.may_fly(lookup, base.as_ref()) {
                Ok(()) => {}
                Err(Grounded::OnlyIfCached) => return Ok(exchange.problem(NOT_CACHED, Outcome::OnlyIfCached)),
                Err(Grounded::Pass(reason)) => return Err(reason),
            }
            let extent = exchange.extent(rest, self.max_object)?;
            let how = match &base {
                Some(base) if asking.is_some() && base.said_validators().any() => match failed {
                    None => self.conditions(exchange, lookup, &spot, base).await,
                    // Somebody else may be asking already.
                    Some(_) => self.known_conditions(exchange),
                },
                _ => probe::ProbeRequest::ON_CONDITIONS,
            };
            let wanted = Wanted { base, extent, forward, demand, failed: failed.as_deref(), waits, asking, how };
            let flown: ToOrigin<'_, FlightResult> = Box::pin(self.fly(exchange, lookup, spot, wanted));
            match flown.await {
                FlightResult::Answer(answer) => return Ok(answer),
                FlightResult::Again(next) => demand = next,
                FlightResult::Ahead => waits = Waits::NoMore,
                FlightResult::Elect(flight) => failed = Some(flight),
                FlightResult::Pass(reason) => return Err(reason),
            }
        }
        Err(PassReason::Rounds)
    }

    /// A client that says `no-cache` or `max-age=0` is given nothing that left before it asked.
    fn demand(&self, directives: &RequestDirectives) -> Demand {
        match directives.asks_anew() {
            true => Demand { serial: Some(self.cache.flights.draw()), ..Demand::ANY },
            false => Demand::ANY,
        }
    }

    pub(super) fn find<'a>(&self, exchange: &Exchange<'_>, lookup: &'a Lookup) -> (Spot<'a>, Option<Slot>) {
        self.cache.find(lookup, |names| self.variant(exchange, lookup, names))
    }

    /// The second question, for what was found.
    pub(super) fn judge(&self, slot: Option<Slot>, spot: &Spot<'_>, now: Instant) -> Result<Found, PassReason> {
        self.judge_for(slot, spot, now).map(|(found, _)| found)
    }

    /// The same, and whether the client is still to be let see it.
    fn judge_for(
        &self,
        slot: Option<Slot>,
        spot: &Spot<'_>,
        now: Instant,
    ) -> Result<(Found, Option<Asking>), PassReason> {
        let asking = self.asking(spot, slot.as_ref().and_then(Slot::entry), now);
        let found = self.cache.judge(slot, spot, now)?;
        Ok((if asking.is_some() { found.once_let_see() } else { found }, asking))
    }
}

/// RFC 9111 §5.2.1.7.
const NOT_CACHED: Problem = Problem {
    status: StatusCode::GATEWAY_TIMEOUT,
    detail: "The request asked for a stored answer only, and there is none that may be used.",
    code: "only-if-cached",
    connection: AfterError::Keep,
};

/// How often a request may look again for what it waited for in vain.
pub const MAX_ROUNDS: usize = 4;
