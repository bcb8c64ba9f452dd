//! Where the store has nothing to use: a flight is joined or begun, and what it brings is judged for each who waited for it.

mod parts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, StatusCode, Uri};
use tokio::sync::{oneshot, watch};

use super::access::{Asking, is_refusal};
use super::probe;
use crate::asker::facet::Worth;
use crate::body::Body;
use crate::coherence::errand::{Asks, Conditions, Errand, StandingIn};
use crate::coherence::extent::Extent;
use crate::coherence::fetch::{Fetch, is_ill};
use crate::coherence::find::Spot;
use crate::coherence::flight::{Demand, Filling, Flight, FlightTurn, Joined, Landing};
use crate::coherence::head::arriving;
use crate::coherence::tags::{RequestPlace, principal_ended, principal_parts};
use crate::coherence::waiter::{self, Instead, is_its_leaders};
use crate::coherence::{Passenger, Waits};
use crate::deliver;
use crate::deliver::ranges::cut;
use crate::entry::head::Vital;
use crate::entry::key::{Key, Partition};
use crate::entry::purge::Standing;
use crate::entry::stored::Entry;
use crate::fields::directives::RequestDirectives;
use crate::ground::clock::monotonic;
use crate::ground::failure::{Failure, FailureKind};
use crate::policy::bound::Binding;
use crate::policy::not_stored::NotStored;
use crate::policy::outcome::{Collapsed, Forward, Outcome, RequestSent, StaleBecause, Stored};
use crate::policy::pass::PassReason;
use crate::policy::plan::{Lookup, form_cookies};
use crate::policy::rescue::{Rescue, rescue};
use crate::policy::reuse::{Freshness, Reuse, RevalidateReason, reuse};
use crate::proxy::current::Proxy;
use crate::proxy::exchange::{Answer, Exchange, serve, target};
use crate::proxy::fetch::fill::{Heed, OwnFetch, Trip, fly};
use crate::proxy::sent::Withholds;
use crate::rules::caching::Caching;

/// The longest that a request waits behind a flight that left before it came: an origin that hangs for one need not for the next.
const BEHIND: Duration = Duration::from_secs(1);

/// What a flight is wanted for.
pub(super) struct Wanted<'a> {
    pub base: Option<Entry>,
    pub extent: Extent,
    pub forward: Forward,
    pub demand: Demand,
    /// One that the client has seen fail.
    pub failed: Option<&'a Flight>,
    /// Whether it may wait behind a flight that left before it came.
    pub waits: Waits,
    /// Its answer is also whether the client may have it.
    pub asking: Option<Asking>,
    /// How the origin may be asked about what is stored.
    pub how: probe::ProbeRequest,
}

/// What waiting for a flight came to.
pub(super) enum FlightResult {
    Answer(Answer),
    /// Look again, and demand this of the next flight.
    Again(Demand),
    /// Look again, and wait behind nothing any more.
    Ahead,
    /// The flight failed by a mishap, or brought its own leader a refusal: look again, and elect another.
    Elect(Arc<Flight>),
    Pass(PassReason),
}

/// A place on a flight.
struct Boarded {
    flight: Arc<Flight>,
    landing: watch::Receiver<Landing>,
    seat: Seat,
    /// What whoever began it has besides.
    leader: Option<Leader>,
}

/// What is made of a flight's landing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seat {
    /// What it brings.
    Aboard,
    /// That the next one may begin.
    Next,
}

struct Leader {
    /// Where the answer comes that is nobody else's.
    own: oneshot::Receiver<OwnFetch>,
    /// The fetch leaves out credentials that the client had sent.
    withholds: Withholds,
    /// What it was to bring.
    extent: Extent,
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

impl Waiter<'_> {
    /// As much of it as decides whether it may have what landed.
    fn seen(&self) -> waiter::Waiter {
        let (arrived, credentialed) = (self.exchange.arrived, self.lookup.credentialed);
        waiter::Waiter { arrived, credentialed, demand: self.demand }
    }

    /// What came was another's alone. One of those who waited asks first, and if that one is refused too, each for itself.
    fn not_shared(self) -> FlightResult {
        match self.flight.turn == FlightTurn::First && monotonic() < self.flight.deadline {
            true => FlightResult::Elect(self.flight),
            false => FlightResult::Pass(PassReason::NotShared),
        }
    }

    /// Whether it may have what another's request brought: where the origin alone decides, only what might be reused for it
    /// (RFC 9111 §4). A policy of the operator's says itself who shares.
    fn may_share(&self, vital: &Vital, now: Instant) -> bool {
        let Waiter { exchange, lookup, .. } = self;
        if self.leader.is_some() || !matches!(exchange.route.caching, Caching::Http(_)) {
            return true;
        }
        // That it left after the request came was demanded of the flight.
        let reused = reuse(vital, Standing::Good, &lookup.directives.asked_anew(), lookup.credentialed, now);
        matches!(reused, Reuse::Fresh(_) | Reuse::StaleWhileRevalidate(_))
    }
}

impl Proxy {
    /// Joins or begins a flight, waits for it, and judges what it brought. Whoever has seen one fail elects no third.
    pub(super) async fn fly(
        self: &Arc<Self>,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        spot: Spot<'_>,
        wanted: Wanted<'_>,
    ) -> FlightResult {
        let Some(target) = target(&exchange.path.text, lookup.query.as_deref()) else {
            return FlightResult::Pass(PassReason::AmbiguousPath);
        };
        let boarded_at = self.cache.clock.instant();
        let Boarded { flight, mut landing, seat, leader } =
            self.board(exchange, lookup, &spot, target, &wanted, boarded_at);
        if seat == Seat::Next {
            // It wants nothing of this one, be it an answer or a failure: it only shares the next one with others.
            let landed = landing.wait_for(|landing| !matches!(landing, Landing::Waiting));
            let is_over = tokio::time::timeout(BEHIND, landed).await.is_ok();
            let passed = self.cache.clock.instant().saturating_duration_since(boarded_at);
            exchange.spending.add(passed, None);
            return if is_over { FlightResult::Again(wanted.demand) } else { FlightResult::Ahead };
        }
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
        let Wanted { forward, demand, failed, asking, base, how, .. } = wanted;
        let stood_in = base.as_ref().filter(|base| asking.is_none() && !base.is_ended());
        if let Some(answer) = stood_in.and_then(|base| self.stand_in(exchange, lookup, base, forward, &landed)) {
            return FlightResult::Answer(answer);
        }
        if leader.is_some() && exchange.asks() != Asks::Head {
            self.learn(&how, base.as_ref(), &landed);
        }
        if leader.is_some() {
            self.learn_selecting(exchange, lookup, &landed);
        }
        if let Some(asking) = asking.filter(|_| leader.is_some())
            && let Some(about) = self.own_yes(exchange, base.as_ref(), &landed)
        {
            let left = (flight.born, flight.serial);
            let digest = self.permission_digest_of(lookup, &landed).unwrap_or(asking.digest);
            let asking = asking.under(digest);
            self.permit(exchange, &exchange.path.text, asking, left, (Arc::default(), Some(about)));
        }
        let waiter = Waiter { exchange, lookup, forward, demand, collapsed, flight, leader };
        match landed {
            Landing::Filling(filling) => self.follow(waiter, &filling),
            Landing::Revalidated(entry) => {
                let why = match forward {
                    Forward::Stale(why) => why,
                    _ => RevalidateReason::Stale,
                };
                if !waiter.may_share(&entry.vital(), self.cache.clock.instant()) {
                    return FlightResult::Pass(PassReason::NotFresh);
                }
                let status = if exchange.asks() == Asks::Head { 200 } else { 304 };
                let revalidated = |ttl| Outcome::Revalidated { why, collapsed, status, ttl };
                self.serve_landed(&waiter, &entry, |freshness| revalidated(freshness.ttl))
            }
            Landing::Rescued(entry, freshness, failure) => {
                let because = StaleBecause::Rescued(forward, failure);
                self.serve_landed(&waiter, &entry, |_| Outcome::Stale(freshness, because))
            }
            Landing::Uncacheable(why) => self.own_answer(waiter, why),
            Landing::Failed(failure) => {
                let may_elect = collapsed == Collapsed::Yes && failed.is_none() && failure.is_mishap();
                match may_elect && monotonic() < waiter.flight.deadline {
                    true => FlightResult::Elect(waiter.flight),
                    false => FlightResult::Answer(exchange.failure(failure, RequestSent::Through(forward))),
                }
            }
            Landing::Waiting => FlightResult::Pass(PassReason::Rounds),
        }
    }

    /// Serves what is stale where the origin failed and the request itself asks for that (RFC 5861 §4). A policy of the
    /// operator's says how stale its answers may be.
    fn stand_in(
        &self,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        base: &Entry,
        forward: Forward,
        landed: &Landing,
    ) -> Option<Answer> {
        let failure = match landed {
            Landing::Failed(failure) => *failure,
            Landing::Filling(filling) if is_ill(filling.head.status) => Failure::sent(FailureKind::Protocol),
            _ => return None,
        };
        let (standing, now) = (self.cache.log.check(base.birth(), base), self.cache.clock.instant());
        // It would have been a hit, if the origin were not to hear of its principal now and then.
        if let Forward::Stale(RevalidateReason::Touch) = forward {
            let directives = RequestDirectives { touch: false, ..lookup.directives };
            return match reuse(&base.vital(), standing, &directives, lookup.credentialed, now) {
                Reuse::Fresh(freshness) => {
                    let outcome = Outcome::Stale(freshness, StaleBecause::Rescued(forward, failure));
                    Some(serve(exchange, base, freshness, outcome))
                }
                _ => None,
            };
        }
        let asked = lookup.directives.stale_if_error.filter(|_| matches!(exchange.route.caching, Caching::Http(_)))?;
        match rescue(&base.vital(), standing, Some(asked), now) {
            Rescue::ServeStale(freshness) => Some(serve(
                exchange,
                base,
                freshness,
                Outcome::Stale(freshness, StaleBecause::Rescued(forward, failure)),
            )),
            Rescue::Fail => None,
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
        now: Instant,
    ) -> Boarded {
        let asks = wanted.extent.span.map_or(exchange.asks(), Asks::Span);
        let asking = wanted.asking.as_ref().map(|asking| &asking.digest);
        let Wanted { demand, failed, waits, .. } = *wanted;
        let passenger = Passenger { spot, asks, asking, demand, failed, waits, now };
        let joined = self.cache.board(&passenger, || self.deadline(exchange));
        let takeoff = match joined {
            Joined::Follower(flight, landing) => return Boarded { flight, landing, seat: Seat::Aboard, leader: None },
            Joined::Behind(flight, landing) => return Boarded { flight, landing, seat: Seat::Next, leader: None },
            Joined::Leader(takeoff) => takeoff,
        };
        let (sender, own) = oneshot::channel();
        let standing_in = if wanted.asking.is_some() { StandingIn::Forbidden } else { StandingIn::Allowed };
        let (extent, base, conditions) = (wanted.extent.clone(), wanted.base.clone(), wanted.how.conditions);
        let errand = self.errand(exchange, lookup, spot, base);
        let errand = Errand { asks, extent, standing_in, conditions, ..errand };
        let (extent, withholds) = (wanted.extent.clone(), self.withholds(exchange, &errand.headers));
        let leader = Some(Leader { own, withholds, extent });
        let (flight, landing) = (takeoff.flight.clone(), takeoff.flight.subscribe());
        let interim = Some(exchange.hints());
        let trip = Trip { interim, own: Some(sender), ..self.trip(exchange, target, self.permission_digest(spot)) };
        tokio::spawn(fly(Fetch::new(self.cache.clone(), takeoff, errand), trip));
        Boarded { flight, landing, seat: Seat::Aboard, leader }
    }

    /// Serves an answer that is still coming, if it is for this request (purge rule 7).
    fn follow(&self, mut waiter: Waiter<'_>, filling: &Filling) -> FlightResult {
        let Waiter { exchange, lookup, forward, collapsed, .. } = waiter;
        let variant = |names: &[HeaderName]| self.variant(exchange, lookup, names);
        if let Err(instead) = self.cache.may_follow(&waiter.seen(), waiter.flight.born, filling, variant) {
            return instead.into();
        }
        if waiter.leader.is_none() && is_its_leaders(filling, waiter.flight.turn) {
            return waiter.not_shared();
        }
        let passing = matches!(filling.stored, Stored::No(why) if why.is_passing());
        if !passing && !waiter.may_share(&filling.head.vital, self.cache.clock.instant()) {
            return FlightResult::Pass(PassReason::NotFresh);
        }
        let part = match waiter.part_of(filling) {
            Ok(part) => part,
            Err(instead) => return instead.into(),
        };
        let own = waiter.leader.as_mut().and_then(|leader| Some((leader.own.try_recv().ok()?, leader.withholds)));
        let (reader, withheld) = match own {
            Some((OwnFetch::Reader(reader, withheld), Withholds::No)) => (Some(reader), withheld),
            // What the origin says to one without credentials is not meant for this one.
            Some((OwnFetch::Reader(reader, _), Withholds::Yes)) => (Some(reader), HeaderMap::new()),
            _ => (filling.spool.reader(), HeaderMap::new()),
        };
        // The beginning is gone: it has become too long to be kept.
        let Some(reader) = reader else { return FlightResult::Pass(PassReason::Uncacheable) };
        let now = self.cache.clock.instant();
        let freshness = arriving(&filling.head.vital, now);
        let whole = deliver::filling(&filling.head, Body::stream(reader), freshness, &exchange.headers);
        let mut response = match part {
            Some((selected, length)) if whole.status() == StatusCode::OK => {
                cut(whole, selected, length, filling.part.map_or(0, |part| part.span.first))
            }
            _ => whole,
        };
        deliver::add(response.headers_mut(), &withheld);
        let status = filling.status.as_u16();
        let outcome = Outcome::Fetched { forward, collapsed, status, stored: filling.stored, ttl: freshness.ttl };
        FlightResult::Answer((response, outcome))
    }

    /// Hands an answer that nobody may share to whoever caused it.
    fn own_answer(&self, waiter: Waiter<'_>, why: NotStored) -> FlightResult {
        if waiter.leader.is_none() && why.is_its_askers() {
            return waiter.not_shared();
        }
        let Waiter { exchange, forward, collapsed, leader, .. } = waiter;
        let passed = match why {
            NotStored::Head => PassReason::HeadMiss,
            _ => PassReason::Uncacheable,
        };
        let Some(mut leader) = leader else { return FlightResult::Pass(passed) };
        match (leader.withholds, leader.own.try_recv()) {
            // It was made for somebody without what the client had shown: the client's own is asked for, with all that it sent.
            (withholds, Ok(OwnFetch::Answer(brought, sent, _)))
                if self.is_for_another(exchange, &brought.head, &sent, withholds) =>
            {
                FlightResult::Pass(passed)
            }
            (_, Ok(OwnFetch::Answer(brought, _, status))) => {
                let Ok(part) = leader.part_of_own(&brought, exchange) else {
                    return FlightResult::Pass(PassReason::Range);
                };
                let status = status.as_u16();
                let outcome = Outcome::Fetched { forward, collapsed, status, stored: Stored::No(why), ttl: 0 };
                let whole = deliver::own(self.hand_on(exchange.route, *brought), &exchange.headers);
                let response = match part {
                    Some((selected, length)) if whole.status() == StatusCode::OK => cut(whole, selected, length, 0),
                    _ => whole,
                };
                FlightResult::Answer((response, outcome))
            }
            _ => FlightResult::Pass(passed),
        }
    }

    /// Serves a whole entry that a flight ended with, if it still stands for this request.
    fn serve_landed(
        &self,
        waiter: &Waiter<'_>,
        entry: &Entry,
        outcome: impl FnOnce(Freshness) -> Outcome,
    ) -> FlightResult {
        let now = self.cache.clock.instant();
        match self.cache.may_have(&waiter.seen(), entry, now) {
            Ok(()) => {
                let freshness = arriving(&entry.vital(), now);
                FlightResult::Answer(serve(waiter.exchange, entry, freshness, outcome(freshness)))
            }
            Err(instead) => instead.into(),
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
        let Some(target) = target(&exchange.path.text, lookup.query.as_deref()) else { return };
        let (asks, demand) = (Asks::Whole, Demand::ANY);
        let passenger = Passenger { spot, asks, asking: None, demand, failed: None, waits: Waits::NoMore, now };
        let boarded = self.cache.board_refresh(&passenger, exchange.route.upstream_mark, || self.deadline(exchange));
        let Some((takeoff, permit)) = boarded else { return };
        let errand = self.errand(exchange, lookup, spot, Some(entry.clone()));
        let (fetch, trip) = (
            Fetch::new(self.cache.clone(), takeoff, errand),
            self.trip(exchange, target, self.permission_digest(spot)),
        );
        tokio::spawn(async move {
            let _permit = permit;
            fly(fetch, trip).await;
        });
    }

    fn deadline(&self, exchange: &Exchange<'_>) -> Instant {
        monotonic() + self.upstreams[exchange.route.upstream].settings.deadline
    }

    /// The way to the origin; a refusal there ends what is kept under `permission`.
    fn trip(self: &Arc<Self>, exchange: &Exchange<'_>, target: Uri, permission: Option<[u8; 32]>) -> Trip {
        let upstream = self.upstreams[exchange.route.upstream].clone();
        // Under a built-in policy a fetch shows what its client does; what is everybody's by an operator's policy shows nothing.
        let shows = exchange.route.caching.is_sensitive() || matches!(exchange.route.caching, Caching::Http(_));
        let shown = if shows { principal_ended(&exchange.headers, &self.identity, &self.secret) } else { Vec::new() };
        if shows {
            self.touched_by(exchange);
        }
        let proxy = self.clone();
        let heed = move |head: &http::response::Parts| {
            if is_refusal(head.status) {
                permission.iter().for_each(|digest| proxy.forbid(digest));
            }
            proxy.heed(head.status, &head.headers, || shown.clone());
        };
        let heed = Heed(Arc::new(heed));
        let asker = self.asker(exchange);
        Trip { upstream, worker: exchange.client.worker, target, asker, interim: None, own: None, heed }
    }

    /// What to bring, for everybody, and in place of what if that is stored.
    fn errand(&self, exchange: &Exchange<'_>, lookup: &Lookup, spot: &Spot<'_>, base: Option<Entry>) -> Errand {
        let route = exchange.route;
        let principal = match lookup.partition {
            Partition::Principal(_) => principal_parts(&exchange.headers, &self.identity, &self.secret),
            Partition::Public | Partition::Anonymous | Partition::Facets(_) | Partition::Permitted => Vec::new(),
        };
        let facets = self.tag_facets(exchange, Worth::Claimed);
        let form_cookies = form_cookies(&route.caching, &self.identity, &exchange.headers);
        let form_cookies = form_cookies.map(|cookie| cookie.pair.to_vec()).collect();
        let binding = match &lookup.partition {
            Partition::Principal(digest) => Some(Binding::of(digest)),
            _ => None,
        };
        // What is stored is asked about as it was asked for.
        let selecting = if base.is_some() { Arc::default() } else { self.selecting(exchange) };
        Errand {
            asks: Asks::Whole,
            extent: Extent::WHOLE,
            route: route.clone(),
            primary: Key::from(lookup.key.as_slice()),
            spot: Key::from(spot.key()),
            headers: self.fetch_headers(exchange, spot.vary().iter().chain(&*selecting)),
            credentialed: lookup.credentialed,
            max_object: self.max_object,
            place: RequestPlace { principal, facets, ..exchange.place(lookup.query.as_deref().unwrap_or("")) },
            base,
            standing_in: StandingIn::Allowed,
            conditions: Conditions::Sent,
            form_cookies,
            selecting,
            binding,
            owners: self.owners(exchange, &lookup.partition),
        }
    }
}

impl From<Instead> for FlightResult {
    fn from(instead: Instead) -> FlightResult {
        match instead {
            Instead::Again(demand) => FlightResult::Again(demand),
            Instead::Pass(reason) => FlightResult::Pass(reason),
        }
    }
}
