//! Where the store has nothing to use: a flight is joined or begun, and what it brings is judged for each who waited for it.

use std::sync::Arc;
use std::time::Instant;

use http::Uri;
use tokio::sync::{oneshot, watch};

use super::access::Asking;
use super::lookup::{Spot, flight_key, serve};
use super::{Answer, Exchange, Proxy, target};
use crate::body::Body;
use crate::edge::deliver;
use crate::entry::Entry;
use crate::facet::Worth;
use crate::failure::{Failure, FailureKind};
use crate::fetch::fill::{Errand, Own, StandingIn, fly};
use crate::fetch::flight::{Demand, Departure, Filling, Flight, Joined, Landing, TagsKnown, Takeoff};
use crate::fetch::head::arriving;
use crate::fetch::tags::{Place, principal_parts};
use crate::key::{Key, Partition};
use crate::outcome::{Collapsed, Forward, Outcome, StaleBecause, Stored};
use crate::policy::admit::NotStored;
use crate::policy::directives::RequestDirectives;
use crate::policy::plan::{Lookup, PassReason};
use crate::policy::reuse::{Reuse, RevalidateReason, UnusableReason, reuse};
use crate::store::mutants::{Rule, is_off};

/// What a flight is wanted for.
pub(super) struct Wanted<'a> {
    pub base: Option<Entry>,
    pub forward: Forward,
    pub demand: Demand,
    /// One that the client has seen fail.
    pub failed: Option<&'a Flight>,
    /// Its answer is also whether the client may have it.
    pub asking: Option<Asking>,
}

/// What waiting for a flight came to.
pub(super) enum Waited {
    Answer(Answer),
    /// Look again, and demand this of the next flight.
    Again(Demand),
    /// The flight failed by a mishap: look again, and elect another.
    Elect(Arc<Flight>),
    Pass(PassReason),
}

/// A place on a flight.
struct Boarded {
    flight: Arc<Flight>,
    landing: watch::Receiver<Landing>,
    /// What whoever began it has besides.
    leader: Option<Leader>,
}

struct Leader {
    /// Where the answer comes that is nobody else's.
    own: oneshot::Receiver<Own>,
    /// The fetch leaves out credentials that the client had sent.
    withholds: Withholds,
}

/// Whether a fetch leaves out credentials that the client had sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Withholds {
    Yes,
    No,
}

/// A request before what its flight brought.
struct Waiter<'a> {
    exchange: &'a Exchange<'a>,
    lookup: &'a Lookup,
    forward: Forward,
    demand: Demand,
    collapsed: Collapsed,
    flight: Arc<Flight>,
    leader: Option<Leader>,
}

impl Proxy {
    /// Joins or begins a flight, waits for it, and judges what it brought. Whoever has seen one fail elects no third.
    pub(super) async fn fly(
        self: &Arc<Self>,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        spot: Spot<'_>,
        wanted: Wanted<'_>,
    ) -> Waited {
        let Some(target) = target(&exchange.path.text, Some(&lookup.query)) else {
            return Waited::Pass(PassReason::AmbiguousPath);
        };
        let boarded_at = self.cache.clock.instant();
        let Boarded { flight, mut landing, leader } = self.board(exchange, lookup, &spot, target, &wanted);
        let landed = match landing.wait_for(|landing| !matches!(landing, Landing::Waiting)).await {
            Ok(landed) => landed.clone(),
            Err(_) => Landing::Failed(Failure::sent(FailureKind::Internal)),
        };
        let passed = self.cache.clock.instant().saturating_duration_since(boarded_at);
        // Whoever follows waited for another's fetch, however long that was at the origin.
        let (collapsed, at_origin) = match &leader {
            Some(_) => (Collapsed::No, flight.origin_delay()),
            None => (Collapsed::Yes, None),
        };
        exchange.spending.add(passed, at_origin);
        let Wanted { forward, demand, failed, asking, .. } = wanted;
        if let Some(asking) = asking.filter(|_| leader.is_some() && is_yes(&landed)) {
            self.permit(exchange, &exchange.path.text, asking, flight.born, Arc::default());
        }
        let waiter = Waiter { exchange, lookup, forward, demand, collapsed, flight, leader };
        match landed {
            Landing::Filling(filling) => self.follow(waiter, &filling),
            Landing::Revalidated(entry) => {
                let why = match forward {
                    Forward::Stale(why) => why,
                    _ => RevalidateReason::Stale,
                };
                self.serve_landed(&waiter, &entry, Outcome::Revalidated(why, collapsed))
            }
            Landing::Rescued(entry, freshness, failure) => {
                self.serve_landed(&waiter, &entry, Outcome::Stale(freshness, StaleBecause::Rescued(failure)))
            }
            Landing::Uncacheable(why) => self.own_answer(waiter, why),
            Landing::Failed(failure) => {
                let may_elect = collapsed == Collapsed::Yes && failed.is_none() && failure.is_mishap();
                match may_elect && Instant::now() < waiter.flight.deadline {
                    true => Waited::Elect(waiter.flight),
                    false => Waited::Answer(exchange.failure(failure)),
                }
            }
            Landing::Waiting => Waited::Pass(PassReason::Rounds),
        }
    }

    /// Joins a flight, or begins it.
    fn board(
        self: &Arc<Self>,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        spot: &Spot<'_>,
        target: Uri,
        wanted: &Wanted<'_>,
    ) -> Boarded {
        let mut key = flight_key(spot, lookup);
        if let Some(asking) = &wanted.asking {
            // What the origin lets one see says nothing about another: nobody follows but the same principal.
            key.push(b'P');
            key.extend_from_slice(&asking.digest);
        }
        let joined = match wanted.failed.filter(|flight| *flight.key == *key) {
            Some(flight) => self.cache.flights.succeed(flight, wanted.demand, || self.cache.log.stamp()),
            None => self.cache.flights.join(&key, wanted.demand, || self.departure(exchange)),
        };
        let takeoff = match joined {
            Joined::Follower(flight, landing) => return Boarded { flight, landing, leader: None },
            Joined::Leader(takeoff) => takeoff,
        };
        let (sender, own) = oneshot::channel();
        let standing_in = if wanted.asking.is_some() { StandingIn::Forbidden } else { StandingIn::Allowed };
        let (base, own_answer) = (wanted.base.clone(), Some(sender));
        let errand = self.errand(exchange, lookup, spot, target);
        let errand = Errand { base, standing_in, own: own_answer, ..errand };
        let leader = Some(Leader { own, withholds: self.withholds(exchange, &errand.headers) });
        let (flight, landing) = (takeoff.flight.clone(), takeoff.flight.subscribe());
        tokio::spawn(fly(self.cache.clone(), takeoff, errand));
        Boarded { flight, landing, leader }
    }

    /// Serves an answer that is still coming, if it is for this request (purge rule 7).
    fn follow(&self, mut waiter: Waiter<'_>, filling: &Filling) -> Waited {
        let Waiter { exchange, lookup, forward, demand, collapsed, .. } = waiter;
        let (born, arrived) = (waiter.flight.born, exchange.arrived);
        let other_variant =
            !filling.vary.is_empty() && self.variant(exchange, lookup, &filling.vary).as_slice() != &*filling.variant;
        if other_variant {
            return match filling.stored {
                // Nothing is remembered that would lead to the right one.
                Stored::No(_) => Waited::Pass(PassReason::Uncacheable),
                Stored::Yes | Stored::IfItFits => Waited::Again(demand),
            };
        }
        let may_follow = self.cache.log.may_follow(born, arrived, &filling.head.tags)
            && match filling.tags {
                TagsKnown::All => true,
                TagsKnown::NotBodys => self.cache.log.may_follow_untagged(born, arrived),
            };
        if !may_follow && !is_off(Rule::Followers) {
            return Waited::Again(Demand { born: Some(arrived), ..demand });
        }
        let reader = match waiter.leader.as_mut().and_then(|leader| leader.own.try_recv().ok()) {
            Some(Own::Reader(reader)) => Some(reader),
            _ => filling.spool.reader(),
        };
        // The beginning is gone: it has become too long to be kept.
        let Some(reader) = reader else { return Waited::Pass(PassReason::Uncacheable) };
        let now = self.cache.clock.instant();
        let freshness = arriving(&filling.head.vital, now);
        let response = deliver::filling(&filling.head, Body::stream(reader), freshness, &exchange.headers);
        let status = filling.head.status.as_u16();
        let outcome = Outcome::Fetched { forward, collapsed, status, stored: filling.stored };
        Waited::Answer((response, outcome))
    }

    /// Hands an answer that nobody may share to whoever caused it.
    fn own_answer(&self, waiter: Waiter<'_>, why: NotStored) -> Waited {
        let Waiter { exchange, forward, collapsed, leader, .. } = waiter;
        let Some(mut leader) = leader else { return Waited::Pass(PassReason::Uncacheable) };
        match (leader.withholds, leader.own.try_recv()) {
            (Withholds::No, Ok(Own::Answer(exchanged))) => {
                let status = exchanged.head.status.as_u16();
                let outcome = Outcome::Fetched { forward, collapsed, status, stored: Stored::No(why) };
                Waited::Answer((self.hand_on(exchange.route, *exchanged), outcome))
            }
            // What is nobody's to share is the client's own: it is asked for with all that the client sent.
            _ => Waited::Pass(PassReason::Uncacheable),
        }
    }

    /// Serves a whole entry that a flight ended with, if it still stands for this request.
    fn serve_landed(&self, waiter: &Waiter<'_>, entry: &Entry, outcome: Outcome) -> Waited {
        let Waiter { exchange, lookup, demand, .. } = *waiter;
        let standing = self.cache.log.check(entry.birth(), entry);
        let now = self.cache.clock.instant();
        let any = RequestDirectives::default();
        match reuse(&entry.vital(), standing, &any, lookup.credentialed, now) {
            Reuse::Unusable(UnusableReason::Credentials) => Waited::Pass(PassReason::Credentials),
            Reuse::Unusable(UnusableReason::Purged) => Waited::Again(Demand { born: Some(exchange.arrived), ..demand }),
            // It has just been confirmed, or it stands in: its lifetime was judged there.
            _ => Waited::Answer(serve(exchange, entry, arriving(&entry.vital(), now), outcome)),
        }
    }

    /// Fetches anew behind a stale answer, unless that is under way, too much is, or the origin is ill.
    pub(super) fn refresh(
        self: &Arc<Self>,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        spot: &Spot<'_>,
        entry: &Entry,
        now: Instant,
    ) {
        let key = flight_key(spot, lookup);
        let Ok(permit) = self.cache.refreshes.clone().try_acquire_owned() else { return };
        if !self.cache.backoff.may_refresh(&key, exchange.route.upstream, now) {
            return;
        }
        let Some(target) = target(&exchange.path.text, Some(&lookup.query)) else { return };
        let joined = self.cache.flights.join(&key, Demand::ANY, || self.departure(exchange));
        let Joined::Leader(takeoff) = joined else { return };
        let errand = Errand { base: Some(entry.clone()), ..self.errand(exchange, lookup, spot, target) };
        let cache = self.cache.clone();
        tokio::spawn(async move {
            let _permit = permit;
            let takeoff: Takeoff = takeoff;
            fly(cache, takeoff, errand).await;
        });
    }

    fn departure(&self, exchange: &Exchange<'_>) -> Departure {
        let limit = self.upstreams[exchange.route.upstream].settings.deadline;
        Departure { born: self.cache.log.stamp(), deadline: Instant::now() + limit }
    }

    /// What to bring, from nothing and for everybody.
    fn errand(&self, exchange: &Exchange<'_>, lookup: &Lookup, spot: &Spot<'_>, target: Uri) -> Errand {
        let route = exchange.route;
        let principal = match lookup.partition {
            Partition::Principal(_) => principal_parts(&exchange.headers, &self.identity, &self.secret),
            Partition::Public | Partition::Anonymous | Partition::Facets(_) | Partition::Permitted => Vec::new(),
        };
        let facets = self.tag_facets(exchange, Worth::Claimed);
        Errand {
            upstream: self.upstreams[route.upstream].clone(),
            worker: exchange.client.worker,
            route: route.clone(),
            primary: Key::from(lookup.key.as_slice()),
            spot: Key::from(spot.key()),
            target,
            headers: self.fetch_headers(exchange, spot.vary()),
            credentialed: lookup.credentialed,
            max_object: self.max_object,
            place: Place { principal, facets, ..exchange.place(&lookup.query) },
            base: None,
            standing_in: StandingIn::Allowed,
            own: None,
        }
    }
}

/// The origin answered a caller's own request, and not by refusing it.
fn is_yes(landed: &Landing) -> bool {
    match landed {
        Landing::Revalidated(_) => true,
        Landing::Filling(filling) => filling.head.status.is_success(),
        _ => false,
    }
}
