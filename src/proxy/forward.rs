//! A pass: the request as it came, less this hop's fields; the answer as it comes. Nothing is stored.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body::Body as _;

use crate::asker::principal::principal;
use crate::body::Body;
use crate::body::upload::{Aside, Expects, Upload, UploadRules};
use crate::coherence::errand::Asks;
use crate::edge::error::{AfterError, Problem};
use crate::edge::incoming::{SignsIn, Trailers, Upgrade};
use crate::entry::key::Partition;
use crate::entry::owner::Owners;
use crate::entry::tag::TagSet;
use crate::fields::credential::{is_signature, signs_request};
use crate::ground::failure::{Failure, FailureKind};
use crate::hop::answer::{self, NamesTags};
use crate::hop::fields::METHOD_OVERRIDES;
use crate::policy::answered::Answered;
use crate::policy::bound::{Binding, is_bound, unbind};
use crate::policy::outcome::{Outcome, RequestSent};
use crate::policy::pass::PassReason;
use crate::policy::plan::Lookup;
use crate::policy::question::BodyPresence;
use crate::proxy::current::Proxy;
use crate::proxy::exchange::{Answer, Exchange, ToOrigin, presence, target};
use crate::rules::route::{Route, Upgrades};
use crate::upstream::Asker;
use crate::upstream::exchange::Exchanged;
use crate::upstream::outgoing::{Interim, Outgoing};
use crate::upstream::settings::ToldBy;

impl Proxy {
    /// Forwards a request; one that may change something purges what it touched.
    pub(super) fn forward<'a>(
        self: &'a Arc<Self>,
        exchange: &'a mut Exchange<'_>,
        incoming: Body,
        reason: PassReason,
    ) -> ToOrigin<'a, Answer> {
        if Proxy::is_purge(exchange) {
            return Box::pin(std::future::ready(self.purge_by_method(exchange)));
        }
        if exchange.is_signed_in() && exchange.is_handed_on() {
            let refused = exchange.problem(SHARED_CONNECTION, Outcome::Refused(SHARED_CONNECTION.code));
            return Box::pin(std::future::ready(refused));
        }
        if exchange.arrival.signs_in == SignsIn::Connection {
            exchange.client.own.get_or_init(Arc::default);
        }
        if exchange.count_hop() == Hops::Spent {
            let refused = exchange.problem(SPENT, Outcome::Refused(SPENT.code));
            return Box::pin(std::future::ready(refused));
        }
        if exchange.route.only_reads(&exchange.method) && !exchange.route.purges_by_reading() {
            Box::pin(self.pass(exchange, incoming, reason))
        } else {
            Box::pin(self.write(exchange, incoming, reason))
        }
    }

    async fn pass(self: &Arc<Self>, exchange: &mut Exchange<'_>, incoming: Body, reason: PassReason) -> Answer {
        let sent = self.send_on(exchange, incoming).await;
        if let Ok(exchanged) = &sent {
            self.heed_refusal(exchange, exchanged.head.status, reason);
        }
        self.end_pass(exchange, sent, reason)
    }

    /// Passes a request because answers here could not be kept, and learns whether that still holds.
    pub(super) fn pass_unkept<'a>(
        self: &'a Arc<Self>,
        exchange: &'a mut Exchange<'_>,
        incoming: Body,
        lookup: &'a Lookup,
    ) -> ToOrigin<'a, Answer> {
        Box::pin(async move {
            // Before the headers leave.
            let key = self.find(exchange, lookup).0.flight_key(Asks::Whole, None);
            let sent = self.send_on(exchange, incoming).await;
            if let Ok(exchanged) = &sent
                && exchange.method == Method::GET
            {
                let now = self.cache.clock.now();
                let answered = Answered {
                    status: exchanged.head.status,
                    headers: &exchanged.head.headers,
                    path: &exchange.path.text,
                    credentialed: lookup.credentialed,
                    form_cookies: &[],
                    arrived: now.wall,
                    delay: exchanged.delay,
                };
                let (ending, route) = (exchanged.ending, exchange.route);
                self.cache.passed(&key, &answered, ending, self.max_object, route, now.instant);
            }
            self.end_pass(exchange, sent, PassReason::Uncacheable)
        })
    }

    async fn send_on(self: &Arc<Self>, exchange: &mut Exchange<'_>, incoming: Body) -> Result<Exchanged, Failure> {
        let mut outgoing = self.outgoing(exchange, incoming, Aside::No).await?;
        let upstream = &self.upstreams[exchange.route.upstream];
        let sent_at = self.cache.clock.instant();
        let sent = upstream.send(exchange.client.worker, &mut outgoing).await;
        if let Ok(exchanged) = &sent {
            self.heed_answer(&outgoing.headers, &exchanged.head);
        }
        exchange.headers = outgoing.headers;
        self.spent_since(sent_at, exchange, &sent);
        sent
    }

    /// What a pass came to.
    pub(super) fn end_pass(
        &self,
        exchange: &Exchange<'_>,
        sent: Result<Exchanged, Failure>,
        reason: PassReason,
    ) -> Answer {
        match sent {
            Ok(exchanged) => {
                let status = exchanged.head.status.as_u16();
                (self.hand_on(exchange.route, exchanged), Outcome::Passed(reason, Some(status)))
            }
            Err(failure) => exchange.failure(failure, RequestSent::Past(reason)),
        }
    }

    /// The whole request as it goes to the origin. It takes the exchange's headers along, which an error is worded by: whoever
    /// sends it gives them back.
    pub(super) async fn outgoing(
        &self,
        exchange: &mut Exchange<'_>,
        incoming: Body,
        aside: Aside,
    ) -> Result<Outgoing, Failure> {
        let limit = exchange.route.body_limit.unwrap_or(self.limits.body);
        if incoming.size_hint().lower() > limit {
            return Err(Failure::before(FailureKind::BodyTooLarge));
        }
        let Some(target) = exchange.pass_target() else {
            return Err(Failure::before(FailureKind::Protocol));
        };
        let (brings, expects) = (presence(&incoming), exchange.arrival.expects);
        let (body, upload) = match brings {
            BodyPresence::Absent => (Body::Empty, None),
            BodyPresence::Present => {
                let (idle, least_rate) = (self.limits.idle_timeout, self.limits.min_rate);
                let rules = UploadRules { limit, idle, least_rate, expects, aside };
                let (upload, state) = Upload::new(incoming, rules);
                let upstream = &self.upstreams[exchange.route.upstream];
                let body = upload.ahead(&upstream.slow).await.map_err(|end| Failure::before(end.into()))?;
                (body, Some(state))
            }
        };
        if exchange.route.read_only {
            // What only reads is not to be made a write.
            METHOD_OVERRIDES.iter().for_each(|name| drop(exchange.headers.remove(*name)));
        }
        self.touched_by(exchange);
        if is_bound(&exchange.headers) {
            let own = Binding::of(&principal(&exchange.headers, &self.identity, &self.secret));
            unbind(&mut exchange.headers, &own);
        }
        let mut headers = std::mem::take(&mut exchange.headers);
        let upgrades = exchange.tell_next_hop(&mut headers, brings);
        if brings == BodyPresence::Present && expects == Expects::Continue {
            headers.insert(header::EXPECT, HeaderValue::from_static("100-continue"));
        }
        let told = exchange.arrival.told(&exchange.client.peer, self.told_by(exchange));
        let interim = interim(&exchange.hints(), upload.clone());
        let (method, own) = (exchange.method.clone(), exchange.client.own.get().cloned());
        let asker = self.asker(exchange);
        Ok(Outgoing { method, target, headers, told, body, interim: Some(interim), upgrades, upload, own, asker })
    }

    /// For whom the origin is asked: the client that a trusted proxy speaks for, or the peer.
    pub(super) fn asker(&self, exchange: &Exchange<'_>) -> Asker {
        let client = self.speaks_for(exchange).unwrap_or(exchange.client.peer.ip);
        Asker { client: Some(client), least_rate: self.limits.min_rate }
    }

    /// For whom an answer is fetched, as far as the store needs to know.
    pub(super) fn owners(&self, exchange: &Exchange<'_>, partition: &Partition) -> Owners {
        let principal = match partition {
            Partition::Principal(digest) => Some(digest),
            Partition::Public | Partition::Anonymous | Partition::Facets(_) | Partition::Permitted => None,
        };
        Owners::of(self.asker(exchange).client, principal)
    }

    /// By which fields the exchange's origin is told of the client.
    pub(super) fn told_by(&self, exchange: &Exchange<'_>) -> ToldBy {
        self.upstreams[exchange.route.upstream].settings.told
    }

    /// Notes where the time went on the way to the origin and back.
    pub(super) fn spent_since(&self, sent_at: Instant, exchange: &Exchange<'_>, sent: &Result<Exchanged, Failure>) {
        let passed = self.cache.clock.instant().saturating_duration_since(sent_at);
        exchange.spending.add(passed, sent.as_ref().ok().map(|exchanged| exchanged.delay));
    }

    /// An origin's answer on its way out, uncached.
    pub(super) fn hand_on(&self, route: &Route, exchanged: Exchanged) -> Response<Body> {
        let Exchanged { mut head, body, .. } = exchanged;
        if answer::leave_hop(&mut head.headers, &route.tag_fields) == NamesTags::Yes {
            // Names by which we purge are not for clients.
            answer::take_tags(&mut head.headers, &route.tag_fields, "", &mut TagSet::default());
        }
        answer::leave_targeted(&mut head.headers, route.targeted);
        if route.caching.is_sensitive() {
            answer::make_private(&mut head.headers);
        }
        if let Body::Tunnel(_) = body {
            head.headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        }
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        response
    }
}

/// Whether a request may go further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hops {
    /// As far as it has said.
    Left,
    /// It ends here.
    Spent,
}

/// Whoever signs in a connection that others' requests come on signs them in too.
pub(super) const SHARED_CONNECTION: Problem = Problem {
    status: StatusCode::FORBIDDEN,
    detail: "NTLM and Negotiate sign in a connection, and the proxy in front of Stent shares its connections between people. \
             Let the application sign in by a form or a token, or let clients connect to Stent directly.",
    code: "signed-in-connection",
    connection: AfterError::Keep,
};

/// RFC 9110 §7.6.2: whoever asks wants to know who is here, and is told by `Cache-Status`.
const SPENT: Problem = Problem {
    status: StatusCode::NOT_IMPLEMENTED,
    detail: "The request may go no further than this proxy, which does not answer it itself.",
    code: "max-forwards",
    connection: AfterError::Keep,
};

impl Exchange<'_> {
    /// Where its client hears of interim answers, which name no tags either.
    pub(super) fn hints(&self) -> Interim {
        let client = self.client.interim.clone();
        if self.route.tag_fields.is_empty() {
            return client;
        }
        let own = self.route.tag_fields.clone();
        Interim(Arc::new(move |status, headers| {
            let mut headers = headers.clone();
            own.iter().for_each(|name| drop(headers.remove(name)));
            (client.0)(status, &headers);
        }))
    }

    /// Counts this hop off `Max-Forwards`, which only OPTIONS and TRACE have to heed (RFC 9110 §7.6.2). What is no number
    /// goes on as it is.
    fn count_hop(&mut self) -> Hops {
        if self.method != Method::OPTIONS && self.method != Method::TRACE {
            return Hops::Left;
        }
        let said = self.headers.get(header::MAX_FORWARDS).and_then(|said| said.to_str().ok());
        match said.and_then(|said| said.trim().parse::<u32>().ok()) {
            Some(0) => return Hops::Spent,
            Some(left) => drop(self.headers.insert(header::MAX_FORWARDS, HeaderValue::from(left - 1))),
            None => {}
        }
        Hops::Left
    }

    /// Where a pass goes. A path in normal form that was sent so keeps its target; an ambiguous one goes as it came.
    pub(super) fn pass_target(&self) -> Option<Uri> {
        let as_it_came = self.path.text == self.uri.path() || self.is_signed();
        match self.uri.path_and_query().filter(|_| as_it_came) {
            Some(target) => Some(Uri::from(target.clone())),
            None => target(&self.path.text, self.uri.query()),
        }
    }

    /// Whether it is signed, target and all: in another form the signature would not hold.
    fn is_signed(&self) -> bool {
        self.headers.get_all(header::AUTHORIZATION).iter().any(signs_request)
            || self.headers.keys().any(|name| is_signature(name.as_str()))
    }

    /// Adds to a pass's end-to-end fields what the next hop is told; answers what the client may change to.
    pub(super) fn tell_next_hop(&self, headers: &mut HeaderMap, body: BodyPresence) -> Upgrades {
        if self.arrival.trailers == Trailers::Accepted {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
            headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
        }
        let upgrades = self.arrival.upgrade == Upgrade::WebSocket
            && self.route.upgrades == Upgrades::WebSocket
            && self.method == Method::GET
            && body == BodyPresence::Absent;
        if !upgrades {
            return Upgrades::Never;
        }
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        Upgrades::WebSocket
    }
}

/// `100 Continue` lets the upload begin, which tells the client so itself; other interim answers go on to the client
/// (RFC 9110 §15.2).
fn interim(client: &Interim, upload: Option<Arc<crate::body::upload::UploadState>>) -> Interim {
    let client = client.clone();
    let Some(upload) = upload else { return client };
    Interim(Arc::new(move |status, headers| match status {
        StatusCode::CONTINUE => upload.open_gate(),
        _ => (client.0)(status, headers),
    }))
}
