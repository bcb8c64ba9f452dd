//! What a request would get, by the functions that would serve it: nothing is judged here, only told.
//!
//! Asking changes nothing that a request could notice, and sends nothing to an origin.

mod dropped;
mod keyed;
mod lifetimes;
mod moment;
mod names;
mod question;
mod stored;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use self::dropped::dropped_at_the_edge;
use self::lifetimes::lifetimes;
use self::moment::When;
pub use self::question::ExplainQuestion;
use super::forward::SHARED_CONNECTION;
use super::lookup::{Grounded, LookupRest};
use super::{AMBIGUOUS, NO_ROUTE, REFUSED_PATH};
use crate::asker::facet::{Proven, Worth};
use crate::asker::identity::CookieRole;
use crate::coherence::errand::Asks;
use crate::coherence::find::{Found as Judged, Refresh, Spot};
use crate::coherence::tags::RequestPlace;
use crate::edge::connection::Client;
use crate::edge::error::Problem;
use crate::edge::incoming::Arrival;
use crate::entry::head::Credentialed;
use crate::entry::slot::Slot;
use crate::fields::cookies::cookies;
use crate::fields::url::{credentials_in, path_told, query_told};
use crate::hop::fields::drop_untrusted;
use crate::policy::outcome::meaning::{About, meaning};
use crate::policy::outcome::{Forward, Outcome};
use crate::policy::pass::PassReason;
use crate::policy::plan::{KEYED_WHERE_SENT, Lookup, Plan, unplaced};
use crate::policy::question::{self as policy_question, BodyPresence};
use crate::proxy::current::Proxy;
use crate::proxy::exchange::{Exchange, target};
use crate::proxy::explain::names::{cookie_name, query_names, unique};
use crate::proxy::explanation::{AskedOf, Decision, Explanation, RouteTold, SentField, Way};
use crate::rules::caching::{Caching, NamedPolicy};
use crate::rules::path::RequestPath;
use crate::rules::query::QueryRule;
use crate::rules::route::Route;
use crate::rules::route::router::Target;
use crate::telemetry::event::Spending;
use crate::upstream::outgoing::Interim;

/// Whether the store is asked too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// It is that of a running process.
    Asked,
    /// There is none: the answer is about the configuration alone.
    Absent,
}

impl Proxy {
    /// Tells what a request would get. `Err` says what is wrong with the question, without repeating it.
    pub fn explain(&self, question: &ExplainQuestion, store: Store) -> Result<Explanation, &'static str> {
        let (mut head, peer, trust) = question.read(self.authorities)?;
        let when = When::read(question.at.as_deref(), self.cache.clock.now())?;
        let written = head.headers.clone();
        let arrival = match Arrival::read(&mut head, &peer, trust, || HeaderValue::from_static("0")) {
            Ok(arrival) => arrival,
            Err(refusal) => {
                let problem = Problem::from(refusal);
                let request = format!("{} {}", head.method, self.told(head.uri.path(), head.uri.query()));
                return Ok(refused(request, None, problem.code, problem.detail));
            }
        };
        drop_untrusted(&mut head.headers, self.identity.trusted_headers(), trust);
        let path = RequestPath::new(head.uri.path());
        let told = self.told(&path.text, head.uri.query());
        let request = format!("{} {}://{}{told}", head.method, arrival.scheme.as_str(), arrival.authority);
        if self.refused.takes(&path) {
            return Ok(refused(request, None, REFUSED_PATH.code, REFUSED_PATH.detail));
        }
        let target =
            Target { host: arrival.host_name(), path: &path.text, method: &head.method, headers: &head.headers };
        let Some((index, route)) = self.router.find(target) else {
            return Ok(refused(request, None, NO_ROUTE.code, NO_ROUTE.detail));
        };
        let body = body(&written);
        let client = Client::new(peer, 0, Interim(Arc::new(|_, _| {})));
        let (method, uri, headers, arrived) = (head.method, &head.uri, head.headers, self.cache.log.stamp());
        let (proven, spending) = (Proven::default(), Spending::default());
        let mut exchange = Exchange {
            client: &client,
            arrival,
            method,
            uri,
            path: &path,
            headers,
            route,
            index,
            proven,
            arrived,
            spending,
        };
        exchange.proven = self.proven_at(&exchange, when);
        let mut planned = self.plan(&exchange, body);
        if let Plan::Ask(question) = &planned
            && let Some(kept) = self.kept(question, when.now.instant)
        {
            exchange.proven.access = Some(kept);
            planned = self.plan(&exchange, body);
        }
        let told = match planned {
            Plan::Ask(question) => self.asks_first(request, &exchange, &question),
            Plan::Refuse(ambiguity) => refused(request, Some(route), ambiguity.as_str(), AMBIGUOUS.detail),
            Plan::Pass(_) if Self::is_purge(&exchange) => purged(request, route),
            Plan::Pass(_) if exchange.is_signed_in() && exchange.is_handed_on() => {
                refused(request, Some(route), SHARED_CONNECTION.code, SHARED_CONNECTION.detail)
            }
            Plan::Pass(reason) => self.passed(request, &exchange, body, reason),
            Plan::Lookup(lookup) => self.looked_up(request, &exchange, &lookup, store, when),
        };
        let mut dropped = dropped_at_the_edge(&written, trust, &exchange, &self.identity);
        dropped.extend(told.dropped);
        Ok(Explanation { at: when.told(), dropped, ..told })
    }

    fn passed(&self, request: String, exchange: &Exchange<'_>, body: BodyPresence, reason: PassReason) -> Explanation {
        let place = self.place_told(exchange, exchange.uri.query().unwrap_or(""), Worth::Proven);
        let mut purges = match exchange.route.only_reads(&exchange.method) {
            true if exchange.route.purges_by_reading() => place.purges_by_reading_told(exchange.route),
            true => Vec::new(),
            false => {
                let meant = self.routes_meant(exchange, place.plain.as_deref());
                [exchange.route].into_iter().chain(&meant).flat_map(|route| place.purges_told(route)).collect()
            }
        };
        let mut seen = std::collections::HashSet::new();
        purges.retain(|tag| seen.insert(tag.clone()));
        let purges = purges.iter().map(|tag| self.told(tag, None)).collect();
        Explanation {
            route: Some(route(exchange.route)),
            decision: self.pass_decision(exchange, reason),
            origin: Some(self.pass_asks(exchange, body, "always: it is passed".to_owned())),
            purges,
            purged_by_reading: exchange.route.only_reads(&exchange.method) && exchange.route.purges_by_reading(),
            ..nothing(request)
        }
    }

    /// What the origin says first is not known here, and neither is what becomes of the request then.
    fn asks_first(
        &self,
        request: String,
        exchange: &Exchange<'_>,
        question: &policy_question::Question,
    ) -> Explanation {
        let (headers, partition) = match &exchange.route.caching {
            Caching::Named(policy) => {
                let headers = self.question_headers(exchange, policy);
                let partition = self.partition(exchange.route, &headers, Credentialed::No);
                (headers, Some(partition))
            }
            Caching::Pass | Caching::Http(_) => (HeaderMap::new(), None),
        };
        let because = Some("its `access` asks the origin on every request".to_owned());
        let why = |name: &HeaderName| match exchange.headers.get(name) == headers.get(name) {
            true => "the caller's own",
            false => OURS,
        };
        Explanation {
            route: Some(route(exchange.route)),
            decision: Decision { way: Way::Ask, because, ..lookup_decision(None) },
            partition,
            origin: Some(AskedOf {
                upstream: self.upstreams[exchange.route.upstream].settings.name.clone(),
                request: format!("GET {}", self.told(&question.path, None)),
                when: "first; a refusal is the client's answer, and without a yes the request itself is passed"
                    .to_owned(),
                headers: sent(&headers, why),
            }),
            ..nothing(request)
        }
    }

    /// What a pass asks of the origin.
    fn pass_asks(&self, exchange: &Exchange<'_>, body: BodyPresence, when: String) -> AskedOf {
        let mut headers = exchange.headers.clone();
        exchange.arrival.tell_origin(&mut headers, &exchange.client.peer, self.told_by(exchange));
        exchange.tell_next_hop(&mut headers, body);
        let target = exchange.pass_target();
        let target = target.map_or("/".to_owned(), |target| self.told(target.path(), target.query()));
        let why = |name: &HeaderName| match exchange.headers.get(name) == headers.get(name) {
            true => "as it came",
            false => OURS,
        };
        AskedOf {
            upstream: self.upstreams[exchange.route.upstream].settings.name.clone(),
            request: format!("{} {target}", exchange.method),
            when,
            headers: sent(&headers, why),
        }
    }

    fn pass_decision(&self, exchange: &Exchange<'_>, reason: PassReason) -> Decision {
        Decision {
            way: Way::Pass,
            reason: Some(reason.as_str().to_owned()),
            because: meaning(About::Passed, reason.as_str()).map(|meaning| meaning.when.to_owned()),
            names: self.culprits(exchange, reason),
            cache_status: Some(spelled(&Outcome::Passed(reason, None))),
        }
    }

    fn looked_up(
        &self,
        request: String,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        store: Store,
        when: When,
    ) -> Explanation {
        let Exchange { route: taken, .. } = exchange;
        let (spot, slot) = self.find(exchange, lookup);
        // What is stored is asked about as it was asked for.
        let selecting = match slot.as_ref().and_then(Slot::entry) {
            Some(_) => Arc::default(),
            None => self.selecting(exchange),
        };
        let fetched = self.fetch_headers(exchange, spot.vary().iter().chain(&*selecting));
        let judged = match store {
            Store::Absent => Ok((lookup_decision(None), UNLESS_STORED.to_owned())),
            Store::Asked => self.judged(exchange, lookup, &spot, slot.clone(), when),
        };
        let stored = (store == Store::Asked).then(|| self.stored(exchange, lookup, spot.vary(), slot, when));
        let (decision, asked) = match judged {
            Ok(judged) => judged,
            Err(reason) => {
                return Explanation { stored, ..self.passed(request, exchange, BodyPresence::Absent, reason) };
            }
        };
        let named = match &taken.caching {
            Caching::Named(policy) => Some(policy),
            Caching::Pass | Caching::Http(_) => None,
        };
        let fetch = |when: String| AskedOf {
            upstream: self.upstreams[taken.upstream].settings.name.clone(),
            request: format!(
                "{} {}",
                if exchange.asks() == Asks::Head { "HEAD" } else { "GET" },
                target(&exchange.path.text, lookup.query.as_deref())
                    .map_or("/".to_owned(), |target| self.told(target.path(), target.query()))
            ),
            when,
            headers: [
                sent(&fetched, |name| self.why_sent(name, exchange, named, spot.vary())),
                self.affinity_sent(&fetched, named),
            ]
            .concat(),
        };
        Explanation {
            route: Some(route(taken)),
            partition: Some(self.partition(taken, &fetched, lookup.credentialed)),
            key: self.key_parts(exchange, lookup, spot.vary()),
            dropped: self.not_sent(exchange, lookup, &fetched),
            origin: Some(match (store, exchange.may_fly(lookup, None)) {
                (Store::Absent, Err(Grounded::Pass(reason))) => {
                    let when = format!("{UNLESS_STORED}: it is passed then ({})", reason.as_str());
                    self.pass_asks(exchange, BodyPresence::Absent, when)
                }
                (Store::Absent, Err(Grounded::OnlyIfCached)) => fetch(NEVER.to_owned()),
                (Store::Absent, Ok(())) | (Store::Asked, _) => fetch(asked),
            }),
            lifetimes: lifetimes(taken, &exchange.path.text, lookup.credentialed),
            tags: self.tags_told(exchange, lookup.query.as_deref().unwrap_or("")),
            stored,
            decision,
            ..nothing(request)
        }
    }

    /// What the store makes of it, and when the origin is asked.
    fn judged(
        &self,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        spot: &Spot<'_>,
        slot: Option<Slot>,
        when: When,
    ) -> Result<(Decision, String), PassReason> {
        let word = when.word();
        let entry = slot.as_ref().and_then(Slot::entry);
        if entry.is_some_and(|entry| entry.vital().received > when.now.instant) {
            return Ok((lookup_decision(None), UNLESS_STORED_THEN.to_owned()));
        }
        let (base, forward, rest) = match self.judge(slot, spot, when.now.instant)? {
            Judged::Usable(_, _, outcome, refresh) => {
                let asked = match refresh == Refresh::Behind {
                    true => "behind: the stored answer is served meanwhile".to_owned(),
                    false => format!("not {word}: the stored answer is served"),
                };
                return Ok((lookup_decision(Some(spelled(&outcome))), asked));
            }
            Judged::Part(part, freshness, forward) => match exchange.serve_part(&part, freshness) {
                Some((_, outcome)) => {
                    let asked = format!("not {word}: the stored part is served");
                    return Ok((lookup_decision(Some(spelled(&outcome))), asked));
                }
                None => (None, forward, LookupRest::Beside(part)),
            },
            Judged::TooLong => (None, Forward::Miss, LookupRest::OfTooLong),
            Judged::Ask(base, forward) => (base, forward, LookupRest::All),
        };
        Ok(match exchange.may_fly(lookup, base.as_ref()) {
            Err(Grounded::OnlyIfCached) => {
                let status = spelled(&Outcome::OnlyIfCached);
                (lookup_decision(Some(status)), NEVER.to_owned())
            }
            Err(Grounded::Pass(reason)) => return Err(reason),
            Ok(()) => {
                let why = match forward {
                    Forward::Partial => "a part is stored",
                    _ => forward.detail().unwrap_or("nothing is stored"),
                };
                let extent = exchange.extent(rest, self.max_object)?;
                let condition = base.is_some_and(|base| exchange.asks() == Asks::Whole && base.validators().any());
                let condition = match condition {
                    true => "; with a condition, since it is stored",
                    false if extent.held.is_some() && !extent.is_whole() => "; for what is missing of it",
                    false => "",
                };
                let status = format!("stent; fwd={}", forward.token());
                (lookup_decision(Some(status)), format!("{word}: {why}{condition}"))
            }
        })
    }

    /// What was named in the request and is the reason.
    fn culprits(&self, exchange: &Exchange<'_>, reason: PassReason) -> Vec<String> {
        let query = exchange.uri.query().unwrap_or("");
        let listed = |wanted: fn(&QueryRule) -> bool| {
            let names = query_names(query).into_iter();
            names.filter(move |name| wanted(&exchange.route.query.rule_of(name))).collect()
        };
        match reason {
            PassReason::Cookie => {
                let cookies = exchange.headers.get_all(header::COOKIE).iter().flat_map(cookies);
                let other = cookies.filter(|cookie| self.identity.cookie(cookie.name) == CookieRole::Other);
                unique(other.map(|cookie| cookie_name(cookie.name)))
            }
            PassReason::QueryParameter => listed(|rule| matches!(rule, QueryRule::Pass)),
            PassReason::QueryNumber => listed(|rule| matches!(rule, QueryRule::Number { .. })),
            PassReason::Header => {
                let names = unplaced(&exchange.headers, exchange.route, &self.identity).into_iter();
                names.map(ToString::to_string).collect()
            }
            PassReason::UrlCredential => {
                let names = &self.identity.url_credentials;
                unique(credentials_in(&exchange.path.text, exchange.uri.query(), names).into_iter())
            }
            _ => Vec::new(),
        }
    }

    fn place_told(&self, exchange: &Exchange<'_>, query: &str, worth: Worth) -> RequestPlace {
        RequestPlace { facets: self.tag_facets(exchange, worth), ..exchange.place(query) }
    }

    /// The route's tags; of those that need the answer, the template.
    fn tags_told(&self, exchange: &Exchange<'_>, query: &str) -> Vec<String> {
        let later = exchange.route.tags.iter().filter(|template| template.needs_answer()).map(ToString::to_string);
        let place = self.place_told(exchange, query, Worth::Claimed);
        place.known_tags(exchange.route).iter().map(|tag| self.told(tag, None)).chain(later).collect()
    }

    /// A path and a query without the credentials in them.
    pub(super) fn told(&self, path: &str, query: Option<&str>) -> String {
        let names = &self.identity.url_credentials;
        match query {
            Some(query) => format!("{}?{}", path_told(path, names), query_told(query, names)),
            None => path_told(path, names).into_owned(),
        }
    }

    /// The cookies that lead to a server, which stand in a field with what is keyed.
    fn affinity_sent(&self, fetched: &HeaderMap, named: Option<&NamedPolicy>) -> Vec<SentField> {
        let all = fetched.get_all(header::COOKIE).iter().flat_map(cookies).filter(|_| named.is_some());
        let affinity = all.filter(|cookie| self.identity.cookie(cookie.name) == CookieRole::Affinity);
        let names = unique(affinity.map(|cookie| format!("cookie {}", cookie_name(cookie.name))));
        names.into_iter().map(|name| SentField { name, why: AFFINITY.to_owned() }).collect()
    }

    fn why_sent(
        &self,
        name: &HeaderName,
        exchange: &Exchange<'_>,
        named: Option<&NamedPolicy>,
        vary: &[HeaderName],
    ) -> &'static str {
        let Some(policy) = named else {
            let came = exchange.headers.get_all(name);
            let sent = self.sent(exchange, name);
            return match sent {
                _ if exchange.route.serves.reduces(name) => "keyed, reduced to what the route's `vary` lists",
                Some(sent) if came.iter().map(HeaderValue::as_bytes).eq([&*sent]) => "as it came",
                Some(_) => "in canonical form",
                None => OURS,
            };
        };
        match () {
            () if exchange.route.serves.reduces(name) => "keyed, reduced to what `vary` lists",
            () if policy.vary.contains(name) => "keyed, by the policy's `vary`",
            () if vary.contains(name) => "keyed, by the origin's `Vary`",
            () if *name == header::ACCEPT && policy.keys_accept() || KEYED_WHERE_SENT.contains(name) => "keyed",
            () if policy.share.facets().iter().any(|facet| facet.source.header() == Some(name)) => "keyed, as a facet",
            () if *name == header::COOKIE && !self.shows_cookie(&exchange.headers, CookieRole::Principal) => AFFINITY,
            () if policy.share.is_between_people() && exchange.headers.contains_key(name) => {
                "the caller's own credentials, which let the origin decide"
            }
            () if *name == header::AUTHORIZATION || *name == header::COOKIE => "keyed, as a part of the principal",
            () if self.identity.headers.contains(name) => "keyed, as a part of the principal",
            () => OURS,
        }
    }
}

const UNLESS_STORED: &str = "if nothing is stored that may be used";
const UNLESS_STORED_THEN: &str = "unless something was stored that could be used: what is stored now came later";
const NEVER: &str = "never: it wants a stored answer only";
const OURS: &str = "Stent's own";
const AFFINITY: &str = "for affinity: sent, not keyed";

fn nothing(request: String) -> Explanation {
    Explanation {
        request,
        at: None,
        route: None,
        decision: lookup_decision(None),
        partition: None,
        key: Vec::new(),
        dropped: Vec::new(),
        origin: None,
        lifetimes: Vec::new(),
        tags: Vec::new(),
        purges: Vec::new(),
        purged_by_reading: false,
        stored: None,
    }
}

fn refused(request: String, taken: Option<&Arc<Route>>, code: &'static str, detail: &str) -> Explanation {
    let decision = Decision {
        way: Way::Refuse,
        reason: Some(code.to_owned()),
        because: Some(detail.to_owned()),
        names: Vec::new(),
        cache_status: Some(spelled(&Outcome::Refused(code))),
    };
    Explanation { route: taken.map(|taken| route(taken)), decision, ..nothing(request) }
}

fn purged(request: String, taken: &Arc<Route>) -> Explanation {
    let from: Vec<String> = taken.purge_from.iter().map(ToString::to_string).collect();
    let because = format!("this URL is purged for who asks from {}, and refused to others", from.join(", "));
    let decision = Decision { way: Way::Purge, because: Some(because), ..lookup_decision(None) };
    Explanation { route: Some(route(taken)), decision, ..nothing(request) }
}

fn lookup_decision(cache_status: Option<String>) -> Decision {
    Decision { way: Way::Lookup, reason: None, because: None, names: Vec::new(), cache_status }
}

fn spelled(outcome: &Outcome) -> String {
    outcome.cache_status().to_str().unwrap_or("stent").to_owned()
}

fn route(route: &Route) -> RouteTold {
    RouteTold {
        name: route.name.clone(),
        file: route.file.to_string(),
        line: route.line,
        path: route.path.text.clone(),
        policy: route.policy_name.clone(),
        share: route.caching.share_text(),
    }
}

/// A body is announced by its length or its coding (RFC 9112 §6.3).
fn body(headers: &HeaderMap) -> BodyPresence {
    let length = headers.get(header::CONTENT_LENGTH).map(HeaderValue::as_bytes);
    match headers.contains_key(header::TRANSFER_ENCODING) || length.is_some_and(|length| length != b"0") {
        true => BodyPresence::Present,
        false => BodyPresence::Absent,
    }
}

fn sent(headers: &HeaderMap, why: impl Fn(&HeaderName) -> &'static str) -> Vec<SentField> {
    headers.keys().map(|name| SentField { name: name.to_string(), why: why(name).to_owned() }).collect()
}
