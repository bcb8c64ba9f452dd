//! The line: one request, top to bottom.
//!
//! ```text
//! arrival → route → plan ── Pass ────────────────────────────► forward
//!                     │   ├ Refuse ──────────────────────────► an error of our own
//!                     │   └ Ask: the origin, and plan again
//!                     │ Lookup
//!                     ▼
//!             find → reuse ── Fresh ─────────────────────────► deliver
//!                     │      └ stale, refreshed behind ──────► deliver
//!                     ▼ nothing · Revalidate · Unusable
//!             flight (leader or follower) → landing ─────────► deliver, or once more
//! ```
//!
//! What is stored and fresh is answered at once, without a future. Everything else goes on from the plan as one, which owns
//! what the request borrowed until then.
//!
//! A request goes round when what it waited for turns out not to be for it: another variant, purged meanwhile, or nobody's to
//! share. It does so [`lookup::MAX_ROUNDS`] times at most and is passed then.

mod access;
pub mod current;
mod ending;
pub mod exchange;
pub mod explain;
pub mod explanation;
pub mod fetch;
mod flying;
mod forward;
mod ids;
pub mod lookup;
pub mod probe;
pub mod probes;
pub(crate) mod purging;
pub mod selecting;
mod sent;
mod sessions;
pub mod touches;
pub mod varying;
mod write;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};

use self::access::AccessVerdict;
use self::ending::{Begun, Unanswered};
pub use self::ids::RequestIds;
use crate::asker::facet::Proven;
use crate::body::Body;
use crate::deliver;
use crate::edge::connection::{Client, Reply};
use crate::edge::error::{AfterError, Problem};
use crate::edge::incoming::{Arrival, Refusal, Upgrade, is_of_the_server};
use crate::hop::fields::{X_REQUEST_ID, drop_untrusted};
use crate::hop::trust::Trust;
use crate::policy::outcome::Outcome;
use crate::policy::pass::PassReason;
use crate::policy::plan::{Lookup, Plan, plan};
use crate::policy::question::{Asked, BodyPresence, Question};
use crate::proxy::current::Proxy;
use crate::proxy::exchange::{Answer, Exchange, ToOrigin, presence};
pub use crate::proxy::probes::Probes;
pub use crate::proxy::touches::Touches;
use crate::rules::caching::Caching;
use crate::rules::path::RequestPath;
use crate::rules::route::Upgrades;
use crate::rules::route::router::Target;
use crate::store::settings::CacheMode;
use crate::telemetry::event::Spending;
use crate::telemetry::line;

impl Proxy {
    /// Answers one request: at once what is stored, later what takes the origin.
    pub fn handle<'a>(self: &Arc<Self>, client: &'a Client, request: Request<Body>) -> Reply<'a> {
        let arrived = self.cache.log.stamp();
        let began = self.cache.clock.at_arrival();
        let (mut head, incoming) = request.into_parts();
        let trust = Trust::of(client.peer.ip, &self.trusted_proxies);
        let arrival = match Arrival::read(&mut head, &client.peer, trust, || self.ids.next(client.worker)) {
            Ok(arrival) => arrival,
            Err(Refusal::Target) if is_of_the_server(&head) => {
                return Reply::Now(self.stands(presence(&incoming), client));
            }
            Err(refusal) => return Reply::Now(self.refuse(Problem::from(refusal), &head.headers, client)),
        };
        drop_untrusted(&mut head.headers, self.identity.trusted_headers(), trust);
        let path = RequestPath::new(head.uri.path());
        // Before anything that could make an exception: routes, methods, bypasses, trusted proxies.
        if self.refused.takes(&path) {
            return Reply::Now(self.refuse(REFUSED_PATH, &head.headers, client));
        }
        let target =
            Target { host: arrival.host_name(), path: &path.text, method: &head.method, headers: &head.headers };
        let Some((index, route)) = self.router.find(target) else {
            return Reply::Now(self.refuse(NO_ROUTE, &head.headers, client));
        };
        let begun = Begun {
            at: began,
            route: index,
            worker: client.worker,
            id: arrival.request_id.clone(),
            method: line::method_name(&head.method),
            version: head.version,
        };
        let (method, headers) = (head.method, head.headers);
        let (proven, spending) = (Proven::default(), Spending::default());
        let (uri, path) = (&head.uri, &path);
        let mut exchange =
            Exchange { client, arrival, method, uri, path, headers, route, index, proven, arrived, spending };
        let body = presence(&incoming);
        if exchange.route.caching != Caching::Pass && body == BodyPresence::Absent {
            exchange.proven = self.proven(&exchange);
        }
        let mut planned = self.plan(&exchange, body);
        if let Plan::Lookup(lookup) = &mut planned {
            exchange.leave_dates_of_others(lookup);
            if let Some(answer) = self.fresh(&exchange, lookup, began) {
                if !self.is_touch_due(&exchange, lookup, began) {
                    return Reply::Now(self.end(&exchange, begun, answer));
                }
                lookup.directives.touch = true;
            }
        }
        let Exchange { arrival, method, headers, proven, .. } = exchange;
        let (proxy, uri) = (self.clone(), head.uri);
        Reply::Later(Box::pin(async move {
            let (uri, path, route) = (&uri, &RequestPath::new(uri.path()), &proxy.router.routes()[index]);
            let spending = Spending::default();
            let mut exchange =
                Exchange { client, arrival, method, uri, path, headers, route, index, proven, arrived, spending };
            let unanswered = Unanswered::new(&proxy, begun);
            let answer = proxy.answer(&mut exchange, incoming, planned).await;
            proxy.end(&exchange, unanswered.answered(), answer)
        }))
    }

    /// Where the answer to the first question leads, if not to what is stored and fresh.
    fn answer<'a>(
        self: &'a Arc<Self>,
        exchange: &'a mut Exchange<'_>,
        incoming: Body,
        planned: Plan,
    ) -> ToOrigin<'a, Answer> {
        match planned {
            Plan::Pass(reason) => self.forward(exchange, incoming, reason),
            Plan::Lookup(lookup) => Box::pin(self.through_cache(exchange, incoming, lookup)),
            Plan::Ask(question) => Box::pin(self.asked_first(exchange, incoming, question)),
            Plan::Refuse(ambiguity) => {
                let refused = exchange.problem(AMBIGUOUS, Outcome::Refused(ambiguity.as_str()));
                Box::pin(std::future::ready(refused))
            }
        }
    }

    async fn through_cache(self: &Arc<Self>, exchange: &mut Exchange<'_>, incoming: Body, lookup: Lookup) -> Answer {
        match self.look_up(exchange, &lookup).await {
            Ok(answer) => answer,
            Err(PassReason::Uncacheable) if matches!(exchange.route.caching, Caching::Http(_)) => {
                self.pass_unkept(exchange, incoming, &lookup).await
            }
            Err(reason) => self.forward(exchange, incoming, reason).await,
        }
    }

    async fn asked_first(self: &Arc<Self>, exchange: &mut Exchange<'_>, incoming: Body, question: Question) -> Answer {
        // A yes that is kept lets somebody see what is stored. It fetches nothing for others: their session may have ended since, and
        // what the origin says to them then is a page to sign in at.
        let now = self.cache.clock.instant();
        if let Some(facts) = self.kept(&question, now) {
            exchange.proven.access = Some(facts);
            if let Plan::Lookup(lookup) = self.plan(exchange, presence(&incoming))
                && let Some(answer) = self.fresh(exchange, &lookup, now)
            {
                return answer;
            }
            exchange.proven.access = None;
        }
        exchange.proven.access = match self.ask(exchange, &question).await {
            AccessVerdict::Yes(facts) => Some(facts),
            AccessVerdict::Refusal(refusal) => return refusal,
            // What it said is no answer to what the client wants: the origin gives that itself.
            AccessVerdict::NoYes => return self.forward(exchange, incoming, PassReason::Denied).await,
        };
        let planned = match self.plan(exchange, presence(&incoming)) {
            // Asked for already.
            Plan::Ask(_) => Plan::Pass(PassReason::Denied),
            planned => planned,
        };
        self.answer(exchange, incoming, planned).await
    }

    /// The first question.
    fn plan(&self, exchange: &Exchange<'_>, body: BodyPresence) -> Plan {
        let asked = Asked { bypass: self.bypass(exchange), ..exchange.asked(body) };
        plan(&asked, exchange.route, &self.identity, &self.secret)
    }

    /// Why a request is passed whatever its route says.
    fn bypass(&self, exchange: &Exchange<'_>) -> Option<PassReason> {
        if exchange.is_signed_in() {
            return Some(PassReason::SignedInConnection);
        }
        if self.mode == CacheMode::Bypass {
            return Some(PassReason::Bypass);
        }
        if self.bypassed[exchange.index].load(Ordering::Relaxed) {
            return Some(PassReason::OperatorBypass);
        }
        // RFC 9110 §7.8: a wish that is not granted is ignored.
        let granted = exchange.arrival.upgrade == Upgrade::WebSocket && exchange.route.upgrades == Upgrades::WebSocket;
        granted.then_some(PassReason::Upgrade)
    }

    /// Answers `OPTIONS *`, by which load balancers ask whether a server stands: it is about this one, so no origin hears of it,
    /// and no cache has a part in it.
    fn stands(&self, body: BodyPresence, client: &Client) -> Response<Body> {
        let mut response = Response::new(Body::Empty);
        let headers = response.headers_mut();
        headers.insert(X_REQUEST_ID, self.ids.next(client.worker));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if body == BodyPresence::Present {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// Refuses before there is a route.
    pub fn refuse(&self, problem: Problem, headers: &HeaderMap, client: &Client) -> Response<Body> {
        let id = self.ids.next(client.worker);
        let outcome = Outcome::Refused(problem.code);
        let mut response = problem.response(headers, &id);
        deliver::finish(response.headers_mut(), &outcome, id.clone());
        self.end_refused(client.worker, id, response, outcome)
    }
}

const REFUSED_PATH: Problem = Problem {
    status: StatusCode::NOT_FOUND,
    detail: "There is nothing here for who comes through this proxy.",
    code: "refused-path",
    connection: AfterError::Keep,
};

const NO_ROUTE: Problem = Problem {
    status: StatusCode::NOT_FOUND,
    detail: "No route of this proxy takes this request.",
    code: "no-route",
    connection: AfterError::Keep,
};

const AMBIGUOUS: Problem = Problem {
    status: StatusCode::BAD_REQUEST,
    detail: "The request's path can be read in two ways.",
    code: "ambiguous-path",
    connection: AfterError::Close,
};
