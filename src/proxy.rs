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
//! share. It does so [`MAX_ROUNDS`] times at most and is passed then.

mod access;
pub mod current;
mod ending;
pub mod explain;
pub mod explanation;
pub mod fetch;
mod flying;
mod forward;
mod ids;
mod lookup;
pub mod probe;
pub(crate) mod purging;
pub mod selecting;
mod sent;
mod sessions;
mod write;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body as _;
use ipnet::IpNet;

use self::access::Verdict;
use self::current::Current;
use self::ending::{Begun, Unanswered};
pub use self::ids::RequestIds;
pub use self::probe::Probes;
use self::selecting::Selecting;
pub use self::sessions::Touches;
use crate::asker::facet::Proven;
use crate::asker::facet::certificate::Authorities;
use crate::asker::identity::Identity;
use crate::asker::principal::PrincipalKey;
use crate::asker::token::Tokens;
use crate::body::Body;
use crate::coherence::Cache;
use crate::coherence::tags::Place;
use crate::deliver;
use crate::edge::connection::{Client, Reply};
use crate::edge::error::{Connection, Problem};
use crate::edge::incoming::{Arrival, Refusal, SignsIn, Upgrade, is_of_the_server};
use crate::edge::settings::{ServerLimits, Timing};
use crate::entry::key::Partition;
use crate::entry::purge::Stamp;
use crate::ground::failure::Failure;
use crate::hop::fields::{X_REQUEST_ID, drop_untrusted};
use crate::hop::trust::Trust;
use crate::policy::outcome::{Outcome, Sent};
use crate::policy::plan::{Asked, BodyPresence, Lookup, PassReason, Plan, Question, plan};
use crate::rules::caching::Caching;
use crate::rules::path::RequestPath;
use crate::rules::path::refused::RefusedPaths;
use crate::rules::route::router::{Router, Target};
use crate::rules::route::{Route, Upgrades};
use crate::store::memory::Memory;
use crate::store::permission::Permissions;
use crate::store::settings::CacheMode;
use crate::telemetry::event::Spending;
use crate::telemetry::{Telemetry, line};
use crate::upstream::Upstream;

/// How often a request may look again for what it waited for in vain.
pub const MAX_ROUNDS: usize = 4;

/// Everything that answering a request needs.
#[derive(Debug)]
pub struct Proxy {
    /// Which route takes what.
    pub router: Router,
    /// Who is asking.
    pub identity: Identity,
    /// Tokens that are verified, where they are.
    pub tokens: Option<Tokens>,
    /// What the origin let whom see.
    pub permissions: Permissions,
    /// Services, by the index that routes hold.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Whether the store is used at all.
    pub mode: CacheMode,
    /// Whose word on forwarding is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What never reaches an origin, whatever routes say.
    pub refused: RefusedPaths,
    /// By whom clients' certificates are verified.
    pub authorities: Option<Authorities>,
    /// Bounds on clients.
    pub limits: ServerLimits,
    /// The longest body that is stored, in bytes.
    pub max_object: u64,
    /// What principals' digests are keyed with.
    pub secret: PrincipalKey,
    /// Store, purge log and flights.
    pub cache: Arc<Cache<Memory>>,
    /// Whether answers say how long they took.
    pub timing: Timing,
    /// What is counted and written down.
    pub telemetry: Arc<Telemetry>,
    /// Request ids, by worker.
    pub ids: Arc<RequestIds>,
    /// What is known of how the origins judge conditions.
    pub probes: Probes,
    /// When the origins last heard of whom.
    pub touches: Arc<Touches>,
    /// Whether any route's policy wants that known.
    pub touches_sessions: bool,
    /// By which fields the answers of routes were seen to differ, by their index.
    pub selecting: Box<[Selecting]>,
    /// Routes that pass by an operator's wish, by their index.
    pub bypassed: Box<[AtomicBool]>,
    /// Where the one in force is: this one or a later one.
    pub current: Weak<Current>,
}

/// A request on its way down the line.
struct Exchange<'a> {
    client: &'a Client,
    arrival: Arrival,
    method: Method,
    uri: &'a Uri,
    path: &'a RequestPath<'a>,
    headers: HeaderMap,
    route: &'a Arc<Route>,
    /// Its index.
    index: usize,
    /// What was found out about whoever asks.
    proven: Proven,
    /// Where the purge log stood when the request was complete.
    arrived: Stamp,
    /// Where its time goes.
    spending: Spending,
}

/// An answer and what became of the request.
type Answer = (Response<Body>, Outcome);

/// A way to the origin, on the heap: what a request keeps while it waits there would make every hit's future large, and
/// futures are moved.
type ToOrigin<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

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
            Verdict::Yes(facts) => Some(facts),
            Verdict::Refusal(refusal) => return refusal,
            // What it said is no answer to what the client wants: the origin gives that itself.
            Verdict::NoYes => return self.forward(exchange, incoming, PassReason::Denied).await,
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

impl Exchange<'_> {
    /// A date says of an answer when it was made, and not for whom: of one principal's copy nothing is confirmed by it, and
    /// nothing is put beside it.
    fn leave_dates_of_others(&mut self, lookup: &Lookup) {
        if !matches!(lookup.partition, Partition::Principal(_)) {
            return;
        }
        self.headers.remove(header::IF_MODIFIED_SINCE);
        let is_date = |value: &HeaderValue| !value.as_bytes().contains(&b'"');
        if self.headers.get(header::IF_RANGE).is_some_and(is_date) {
            self.headers.remove(header::IF_RANGE);
            self.headers.remove(header::RANGE);
        }
    }

    fn asked(&self, body: BodyPresence) -> Asked<'_> {
        Asked {
            method: &self.method,
            scheme: self.arrival.scheme,
            authority: &self.arrival.authority,
            host: self.arrival.host_name(),
            forwarded_host: self.arrival.other_host(),
            path: &self.path.text,
            ambiguity: self.path.ambiguity,
            query: self.uri.query(),
            headers: &self.headers,
            body,
            proven: &self.proven,
            bypass: None,
        }
    }

    /// Its connection is somebody's: NTLM or Negotiate was seen on it, or is now.
    fn is_signed_in(&self) -> bool {
        self.arrival.signs_in == SignsIn::Connection || self.client.own.get().is_some()
    }

    /// It comes from a proxy, believed or not, whose next request may be another person's.
    fn is_handed_on(&self) -> bool {
        self.arrival.trust == Trust::Proxy || self.arrival.through_proxy
    }

    /// Where it takes place: what tags are made from, less who asks.
    fn place(&self, query: &str) -> Place {
        Place {
            scheme: self.arrival.scheme,
            authority: self.arrival.authority.clone(),
            forwarded_host: self.arrival.other_host_named(),
            path: self.path.text.clone().into_owned(),
            plain: self.route.aliases.plain(&self.path.text),
            query: query.to_owned(),
            principal: Vec::new(),
            facets: Vec::new(),
        }
    }

    /// Answers with an error of our own.
    fn problem(&self, problem: Problem, outcome: Outcome) -> Answer {
        (problem.response(&self.headers, &self.arrival.request_id), outcome)
    }

    /// Answers for an origin that did not.
    fn failure(&self, failure: Failure, sent: Sent) -> Answer {
        self.problem(Problem::from(failure), Outcome::Failed(failure, sent))
    }
}

/// Whether a request brings this body.
fn presence(body: &Body) -> BodyPresence {
    if body.is_end_stream() { BodyPresence::Absent } else { BodyPresence::Present }
}

const REFUSED_PATH: Problem = Problem {
    status: StatusCode::NOT_FOUND,
    detail: "There is nothing here for who comes through this proxy.",
    code: "refused-path",
    connection: Connection::Keep,
};

const NO_ROUTE: Problem = Problem {
    status: StatusCode::NOT_FOUND,
    detail: "No route of this proxy takes this request.",
    code: "no-route",
    connection: Connection::Keep,
};

const AMBIGUOUS: Problem = Problem {
    status: StatusCode::BAD_REQUEST,
    detail: "The request's path can be read in two ways.",
    code: "ambiguous-path",
    connection: Connection::Close,
};

/// The origin-form target for a path in normal form and a query; `None` for what cannot be one.
fn target(path: &str, query: Option<&str>) -> Option<Uri> {
    let text = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    Uri::try_from(text).ok()
}
