//! The way through the cache: find, judge, fly, judge again.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderName, Method, StatusCode, Uri, header};
use tokio::sync::oneshot;

use super::access::Asking;
use super::{Answer, Exchange, MAX_ROUNDS, Proxy, ToOrigin, target};
use crate::body::Body;
use crate::clock::Now;
use crate::edge::deliver;
use crate::edge::error::{Connection, Problem};
use crate::entry::{Entry, Slot};
use crate::facet::Worth;
use crate::failure::{Failure, FailureKind};
use crate::fetch::fill::{Errand, Own, StandingIn, fly};
use crate::fetch::flight::{Demand, Departure, Filling, Flight, Joined, Landing, TagsKnown, Takeoff};
use crate::fetch::head::arriving;
use crate::fetch::tags::{Place, principal_parts};
use crate::key::{self, Key, KeyBuf, Partition};
use crate::outcome::{Collapsed, Forward, Outcome, StaleBecause, Stored};
use crate::policy::directives::RequestDirectives;
use crate::policy::plan::{Credentialed, Lookup, PassReason};
use crate::policy::reuse::{Freshness, Reuse, RevalidateReason, UnusableReason, reuse};
use crate::store::mutants::{Rule, is_off};
use crate::store::purge::Stamp;

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
    fn key(&self) -> &[u8] {
        self.variant.as_ref().map_or(&self.lookup.key, |(_, key)| key)
    }

    pub(super) fn vary(&self) -> &[HeaderName] {
        self.variant.as_ref().map_or(&[], |(names, _)| names)
    }
}

/// What a flight is wanted for.
struct Wanted<'a> {
    base: Option<Entry>,
    forward: Forward,
    demand: Demand,
    /// One that the client has seen fail.
    failed: Option<&'a Flight>,
    /// Its answer is also whether the client may have it.
    asking: Option<Asking>,
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

/// What waiting for a flight came to.
enum Waited {
    Answer(Answer),
    /// Look again, and demand this of the next flight.
    Again(Demand),
    /// The flight failed by a mishap: look again, and elect another.
    Elect(Arc<Flight>),
    Pass(PassReason),
}

impl Proxy {
    /// Answers with what is stored and fresh.
    pub(super) fn fresh(&self, exchange: &Exchange<'_>, lookup: &Lookup) -> Option<Answer> {
        let (spot, slot) = self.find(exchange, lookup);
        match self.judge(slot, &spot, lookup, self.cache.clock.now()) {
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
            let now = self.cache.clock.now();
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
            let asking = self.asking(&lookup.permission, now);
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
                let key = key::variant(&lookup.key, &names, &exchange.headers);
                let slot = self.cache.memory.get(&key);
                (Spot { lookup, variant: Some((names, key)) }, slot)
            }
            slot => (Spot { lookup, variant: None }, slot),
        }
    }

    /// The second question, for what was found.
    pub(super) fn judge(
        &self,
        slot: Option<Slot>,
        spot: &Spot<'_>,
        lookup: &Lookup,
        now: Now,
    ) -> Result<Found, PassReason> {
        let miss = if spot.variant.is_some() { Forward::VaryMiss } else { Forward::Miss };
        let entry = match slot {
            Some(Slot::Entry(entry)) => entry,
            Some(Slot::Uncacheable(until)) if now.instant < until => return Err(PassReason::Uncacheable),
            _ => {
                self.check_credentialed(spot, lookup, now)?;
                return Ok(Found::Ask(None, miss));
            }
        };
        let standing = self.cache.log.check(entry.birth(), &entry);
        Ok(match reuse(&entry.vital(), standing, &lookup.directives, lookup.credentialed, now) {
            Reuse::Fresh(_) | Reuse::StaleWhileRevalidate(_) if self.asking(&lookup.permission, now).is_some() => {
                Found::Ask(Some(entry), Forward::Stale(RevalidateReason::Access))
            }
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
    fn check_credentialed(&self, spot: &Spot<'_>, lookup: &Lookup, now: Now) -> Result<(), PassReason> {
        if lookup.credentialed == Credentialed::No {
            return Ok(());
        }
        match self.cache.memory.get(&flight_key(spot, lookup)) {
            Some(Slot::Uncacheable(until)) if now.instant < until => Err(PassReason::Uncacheable),
            _ => Ok(()),
        }
    }

    /// Joins or begins a flight, waits for it, and judges what it brought. Whoever has seen one fail elects no third.
    async fn fly(
        self: &Arc<Self>,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        spot: Spot<'_>,
        wanted: Wanted<'_>,
    ) -> Waited {
        let Wanted { base, forward, demand, failed, asking } = wanted;
        let Some(target) = target(&exchange.path.text, Some(&lookup.query)) else {
            return Waited::Pass(PassReason::AmbiguousPath);
        };
        let joined_at = self.cache.clock.instant();
        let mut key = flight_key(&spot, lookup);
        if let Some(asking) = &asking {
            // What the origin lets one see says nothing about another: nobody follows but the same principal.
            key.push(b'P');
            key.extend_from_slice(&asking.digest);
        }
        let joined = match failed.filter(|flight| *flight.key == *key) {
            Some(flight) => self.cache.flights.succeed(flight, demand, || self.cache.log.stamp()),
            None => self.cache.flights.join(&key, demand, || self.departure(exchange)),
        };
        let (flight, mut landing, mut own) = match joined {
            Joined::Follower(flight, landing) => (flight, landing, None),
            Joined::Leader(takeoff) => {
                let (sender, receiver) = oneshot::channel();
                let mut errand = self.errand(exchange, lookup, &spot, target, base, Some(sender));
                if asking.is_some() {
                    errand.standing_in = StandingIn::Forbidden;
                }
                let (flight, landing) = (takeoff.flight.clone(), takeoff.flight.subscribe());
                let withholds = self.withholds(exchange, &errand.headers);
                tokio::spawn(fly(self.cache.clone(), takeoff, errand));
                (flight, landing, Some((receiver, withholds)))
            }
        };
        let collapsed = if own.is_some() { Collapsed::No } else { Collapsed::Yes };
        let landed = match landing.wait_for(|landing| !matches!(landing, Landing::Waiting)).await {
            Ok(landed) => landed.clone(),
            Err(_) => Landing::Failed(Failure::sent(FailureKind::Internal)),
        };
        let passed = self.cache.clock.instant().saturating_duration_since(joined_at);
        // Whoever follows waited for another's fetch, however long that was at the origin.
        let origin = if collapsed == Collapsed::No { flight.origin_delay() } else { None };
        exchange.spending.add(passed, origin);
        if let Some(asking) = asking.filter(|_| collapsed == Collapsed::No && is_yes(&landed)) {
            self.permit(exchange, &exchange.path.text, asking, flight.born, Arc::default());
        }
        let why = |forward| match forward {
            Forward::Stale(why) => why,
            _ => RevalidateReason::Stale,
        };
        match landed {
            Landing::Filling(filling) => {
                let own = own.as_mut().and_then(|(receiver, _)| receiver.try_recv().ok());
                self.follow(exchange, lookup, &filling, (flight.born, demand), own, forward, collapsed)
            }
            Landing::Revalidated(entry) => {
                let outcome = Outcome::Revalidated(why(forward), collapsed);
                self.serve_landed(exchange, lookup, &entry, demand, outcome)
            }
            Landing::Rescued(entry, freshness, failure) => {
                let outcome = Outcome::Stale(freshness, StaleBecause::Rescued(failure));
                self.serve_landed(exchange, lookup, &entry, demand, outcome)
            }
            Landing::Uncacheable(why) => {
                match own.as_mut().map(|(receiver, withholds)| (receiver.try_recv(), *withholds)) {
                    // What is nobody's to share is the client's own: it is asked for with all that the client sent.
                    Some((_, true)) => Waited::Pass(PassReason::Uncacheable),
                    Some((Ok(Own::Answer(exchanged)), _)) => {
                        let status = exchanged.head.status.as_u16();
                        let outcome = Outcome::Fetched { forward, collapsed, status, stored: Stored::No(why) };
                        Waited::Answer((self.hand_on(exchange.route, *exchanged), outcome))
                    }
                    _ => Waited::Pass(PassReason::Uncacheable),
                }
            }
            Landing::Failed(failure) => {
                let may_elect = collapsed == Collapsed::Yes && failed.is_none() && failure.is_mishap();
                match may_elect && Instant::now() < flight.deadline {
                    true => Waited::Elect(flight),
                    false => Waited::Answer(exchange.failure(failure)),
                }
            }
            Landing::Waiting => Waited::Pass(PassReason::Rounds),
        }
    }

    /// Serves an answer that is still coming, if it is for this request (purge rule 7).
    #[allow(clippy::too_many_arguments)]
    fn follow(
        &self,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        filling: &Filling,
        (born, demand): (Stamp, Demand),
        own: Option<Own>,
        forward: Forward,
        collapsed: Collapsed,
    ) -> Waited {
        let other_variant = !filling.vary.is_empty()
            && key::variant(&lookup.key, &filling.vary, &exchange.headers).as_slice() != &*filling.variant;
        if other_variant {
            return match filling.stored {
                // Nothing is remembered that would lead to the right one.
                Stored::No(_) => Waited::Pass(PassReason::Uncacheable),
                Stored::Yes | Stored::IfItFits => Waited::Again(demand),
            };
        }
        let may_follow = match filling.tags {
            TagsKnown::All => self.cache.log.may_follow(born, exchange.arrived, &filling.head.tags),
            TagsKnown::NotBodys => {
                self.cache.log.may_follow(born, exchange.arrived, &filling.head.tags)
                    && self.cache.log.may_follow_untagged(born, exchange.arrived)
            }
        };
        if !may_follow && !is_off(Rule::Followers) {
            return Waited::Again(Demand { born: Some(exchange.arrived), ..demand });
        }
        let reader = match own {
            Some(Own::Reader(reader)) => Some(reader),
            _ => filling.spool.reader(),
        };
        // The beginning is gone: it has become too long to be kept.
        let Some(reader) = reader else { return Waited::Pass(PassReason::Uncacheable) };
        let now = self.cache.clock.now();
        let freshness = arriving(&filling.head.vital, now.instant);
        let response = deliver::filling(&filling.head, Body::stream(reader), freshness, &exchange.headers);
        let status = filling.head.status.as_u16();
        let outcome = Outcome::Fetched { forward, collapsed, status, stored: filling.stored };
        Waited::Answer((response, outcome))
    }

    /// Serves a whole entry that a flight ended with, if it still stands for this request.
    fn serve_landed(
        &self,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        entry: &Entry,
        demand: Demand,
        outcome: Outcome,
    ) -> Waited {
        let standing = self.cache.log.check(entry.birth(), entry);
        let now = self.cache.clock.now();
        let any = RequestDirectives::default();
        match reuse(&entry.vital(), standing, &any, lookup.credentialed, now) {
            Reuse::Unusable(UnusableReason::Credentials) => Waited::Pass(PassReason::Credentials),
            Reuse::Unusable(UnusableReason::Purged) => Waited::Again(Demand { born: Some(exchange.arrived), ..demand }),
            // It has just been confirmed, or it stands in: its lifetime was judged there.
            _ => Waited::Answer(serve(exchange, entry, arriving(&entry.vital(), now.instant), outcome)),
        }
    }

    /// Fetches anew behind a stale answer, unless that is under way, too much is, or the origin is ill.
    fn refresh(self: &Arc<Self>, exchange: &Exchange<'_>, lookup: &Lookup, spot: &Spot<'_>, entry: &Entry, now: Now) {
        let key = flight_key(spot, lookup);
        let Ok(permit) = self.cache.refreshes.clone().try_acquire_owned() else { return };
        if !self.cache.backoff.may_refresh(&key, exchange.route.upstream, now.instant) {
            return;
        }
        let Some(target) = target(&exchange.path.text, Some(&lookup.query)) else { return };
        let joined = self.cache.flights.join(&key, Demand::ANY, || self.departure(exchange));
        let Joined::Leader(takeoff) = joined else { return };
        let errand = self.errand(exchange, lookup, spot, target, Some(entry.clone()), None);
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

    fn errand(
        &self,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        spot: &Spot<'_>,
        target: Uri,
        base: Option<Entry>,
        own: Option<oneshot::Sender<Own>>,
    ) -> Errand {
        let route = exchange.route;
        let principal = match lookup.partition {
            Partition::Principal(_) => principal_parts(&exchange.headers, &self.identity, &self.secret),
            Partition::Public | Partition::Anonymous | Partition::Facets(_) | Partition::Permitted => Vec::new(),
        };
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
            place: Place {
                authority: exchange.arrival.authority.clone(),
                forwarded_host: exchange.arrival.other_host_named(),
                path: exchange.path.text.clone().into_owned(),
                query: lookup.query.clone(),
                principal,
                facets: self.tag_facets(exchange, Worth::Claimed),
            },
            base,
            standing_in: StandingIn::Allowed,
            own,
        }
    }
}

/// Requests with unkeyed credentials never share a flight with those without.
fn flight_key(spot: &Spot<'_>, lookup: &Lookup) -> KeyBuf {
    let mut key = KeyBuf::from_slice(spot.key());
    if lookup.credentialed == Credentialed::Yes {
        key.push(b'C');
    }
    key
}

/// The origin answered a caller's own request, and not by refusing it.
fn is_yes(landed: &Landing) -> bool {
    match landed {
        Landing::Revalidated(_) => true,
        Landing::Filling(filling) => filling.head.status.is_success(),
        _ => false,
    }
}

fn serve(exchange: &Exchange<'_>, entry: &Entry, freshness: Freshness, outcome: Outcome) -> Answer {
    (deliver::entry(entry, freshness, &exchange.method, &exchange.headers), outcome)
}

/// RFC 9111 §5.2.1.7.
const NOT_CACHED: Problem = Problem {
    status: StatusCode::GATEWAY_TIMEOUT,
    detail: "The request asked for a stored answer only, and there is none that may be used.",
    code: "only-if-cached",
    connection: Connection::Keep,
};
