//! What a request would get, by the functions that would serve it: nothing is judged here, only told.
//!
//! Asking changes nothing that a request could notice, and sends nothing to an origin.

mod dropped;
mod lifetimes;
mod question;
mod stored;

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};

pub use self::question::Question;

use self::dropped::dropped_at_the_edge;
use self::lifetimes::lifetimes;
use super::lookup::{Found as Judged, Grounded};
use super::{AMBIGUOUS, Exchange, NO_ROUTE, Proxy, is_safe, target};
use crate::edge::connection::Client;
use crate::edge::error::Problem;
use crate::edge::incoming::Arrival;
use crate::entry::Slot;
use crate::explanation::{AskedOf, Decision, Explanation, KeyPart, PartitionTold, RouteTold, Sent, Way, meaning};
use crate::fetch::tags::Place;
use crate::identity::{CookieRole, cookies};
use crate::key::{self, KeyBuf};
use crate::outcome::Outcome;
use crate::path::RequestPath;
use crate::policy::plan::{BodyPresence, Credentialed, Lookup, PassReason, Plan};
use crate::policy::sharing::Sharing;
use crate::policy::{Caching, NamedPolicy};
use crate::query::QueryRule;
use crate::route::{Route, Target};
use crate::tag::PurgeTemplate;
use crate::upstream::exchange::Interim;

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
    pub fn explain(&self, question: &Question, store: Store) -> Result<Explanation, &'static str> {
        let (mut head, peer) = question.read()?;
        let written = head.headers.clone();
        let arrival = match Arrival::read(&mut head, &peer, || HeaderValue::from_static("0")) {
            Ok(arrival) => arrival,
            Err(refusal) => {
                let problem = Problem::from(refusal);
                return Ok(refused(format!("{} {}", head.method, head.uri), None, problem.code, problem.detail));
            }
        };
        let path = RequestPath::new(head.uri.path());
        let query = head.uri.query().map_or(String::new(), |query| format!("?{query}"));
        let request =
            format!("{} {}://{}{}{query}", head.method, arrival.scheme.as_str(), arrival.authority, path.text);
        let target =
            Target { host: arrival.host_name(), path: &path.text, method: &head.method, headers: &head.headers };
        let Some((_, route)) = self.router.find(target) else {
            return Ok(refused(request, None, NO_ROUTE.code, NO_ROUTE.detail));
        };
        let body = body(&written);
        let client = Client { peer, worker: 0, interim: Interim(Arc::new(|_, _| {})) };
        let (method, uri, headers, arrived) = (head.method, &head.uri, head.headers, self.cache.log.stamp());
        let exchange = Exchange { client: &client, arrival, method, uri, path: &path, headers, route, arrived };
        let told = match self.plan(&exchange, body) {
            Err(ambiguity) => refused(request, Some(route), ambiguity.as_str(), AMBIGUOUS.detail),
            Ok(Plan::Pass(reason)) => self.passed(request, &exchange, body, reason),
            Ok(Plan::Lookup(lookup)) => self.looked_up(request, &exchange, &lookup, store),
        };
        let mut dropped = dropped_at_the_edge(&written, &exchange);
        dropped.extend(told.dropped);
        Ok(Explanation { dropped, ..told })
    }

    fn passed(&self, request: String, exchange: &Exchange<'_>, body: BodyPresence, reason: PassReason) -> Explanation {
        let mut headers = exchange.headers.clone();
        exchange.tell_next_hop(&mut headers, body);
        let target = exchange.pass_target().map_or("/".to_owned(), |target| target.to_string());
        let sent = sent(&headers, |name| match exchange.headers.get(name) == headers.get(name) {
            true => "as it came",
            false => OURS,
        });
        let place = place(exchange, exchange.uri.query().unwrap_or(""));
        let purges = match is_safe(&exchange.method) || exchange.route.read_only {
            true => Vec::new(),
            false => {
                let own = exchange.route.purges.contains(&PurgeTemplate::Principal).then(|| "principal".to_owned());
                place.purged(exchange.route, None, None).into_iter().chain(own).collect()
            }
        };
        Explanation {
            route: Some(route(exchange.route)),
            decision: self.pass_decision(exchange, reason),
            origin: Some(AskedOf {
                upstream: self.upstreams[exchange.route.upstream].settings.name.clone(),
                request: format!("{} {target}", exchange.method),
                when: "always: it is passed".to_owned(),
                headers: sent,
            }),
            purges,
            ..nothing(request)
        }
    }

    fn pass_decision(&self, exchange: &Exchange<'_>, reason: PassReason) -> Decision {
        Decision {
            way: Way::Pass,
            reason: Some(reason.as_str().to_owned()),
            because: Some(meaning(reason).to_owned()),
            names: self.culprits(exchange, reason),
            cache_status: Some(spelled(&Outcome::Passed(reason))),
        }
    }

    fn looked_up(&self, request: String, exchange: &Exchange<'_>, lookup: &Lookup, store: Store) -> Explanation {
        let Exchange { route: taken, .. } = exchange;
        let (spot, slot) = self.find(exchange, lookup);
        let fetched = self.fetch_headers(exchange, lookup, spot.vary());
        let judged = match store {
            Store::Absent => Ok((lookup_decision(None), "if nothing is stored that may be used".to_owned())),
            Store::Asked => self.judged(exchange, lookup, &spot, slot.clone()),
        };
        let stored = (store == Store::Asked).then(|| self.stored(exchange, lookup, spot.vary(), slot));
        let (decision, when) = match judged {
            Ok(judged) => judged,
            Err(reason) => {
                return Explanation { stored, ..self.passed(request, exchange, BodyPresence::Absent, reason) };
            }
        };
        let target = target(&exchange.path.text, Some(&lookup.query));
        let named = match &taken.caching {
            Caching::Named(policy) => Some(policy),
            Caching::Pass | Caching::Http(_) => None,
        };
        Explanation {
            route: Some(route(taken)),
            partition: Some(self.partition(taken, &fetched, lookup.credentialed)),
            key: key_parts(exchange, lookup, named, spot.vary()),
            dropped: self.not_sent(exchange, lookup, &fetched),
            origin: Some(AskedOf {
                upstream: self.upstreams[taken.upstream].settings.name.clone(),
                request: format!("GET {}", target.as_ref().map_or("/".to_owned(), Uri::to_string)),
                when,
                headers: sent(&fetched, |name| self.why_sent(name, exchange, named, spot.vary())),
            }),
            lifetimes: lifetimes(&taken.caching, &exchange.path.text, lookup.credentialed),
            tags: tags(exchange, &lookup.query),
            stored,
            decision,
            ..nothing(request)
        }
    }

    /// What the store makes of it now, and when the origin is asked.
    fn judged(
        &self,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        spot: &super::lookup::Spot<'_>,
        slot: Option<Slot>,
    ) -> Result<(Decision, String), PassReason> {
        Ok(match self.judge(slot, spot, lookup, self.cache.clock.now())? {
            Judged::Usable(_, _, outcome, refresh) => {
                let when = match refresh == super::lookup::Refresh::Behind {
                    true => "behind: the stored answer is served meanwhile",
                    false => "not now: the stored answer is served",
                };
                (lookup_decision(Some(spelled(&outcome))), when.to_owned())
            }
            Judged::Ask(base, forward) => match exchange.may_fly(lookup) {
                Err(Grounded::OnlyIfCached) => {
                    let status = spelled(&Outcome::OnlyIfCached);
                    (lookup_decision(Some(status)), "never: it wants a stored answer only".to_owned())
                }
                Err(Grounded::Pass(reason)) => return Err(reason),
                Ok(()) => {
                    let why = forward.detail().unwrap_or("nothing is stored");
                    let condition = base.is_some_and(|base| base.head.validators.any());
                    let condition = if condition { "; with a condition, since it is stored" } else { "" };
                    let status = format!("stent; fwd={}", forward.token());
                    (lookup_decision(Some(status)), format!("now: {why}{condition}"))
                }
            },
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
            _ => Vec::new(),
        }
    }

    fn partition(&self, route: &Route, fetched: &HeaderMap, credentialed: Credentialed) -> PartitionTold {
        let (among, proof) = match (&route.caching, credentialed) {
            (Caching::Named(policy), _) => {
                let Sharing { among, proof, .. } = Sharing::of(&policy.share, &self.identity);
                (among, proof)
            }
            (Caching::Pass | Caching::Http(_), Credentialed::No) => {
                ("everybody".to_owned(), "no proof is asked for; this request shows no credentials".to_owned())
            }
            (Caching::Pass | Caching::Http(_), Credentialed::Yes) => (
                "everybody".to_owned(),
                "by the origin's own word: only what it opened to all (RFC 9111 §3.5)".to_owned(),
            ),
        };
        let shown = match &route.caching {
            // What is keyed is what is sent.
            Caching::Named(_) => self.parts_shown(fetched),
            Caching::Pass | Caching::Http(_) => Vec::new(),
        };
        PartitionTold { among, proof, shown }
    }

    /// The parts of the principal in some headers, by name.
    fn parts_shown(&self, headers: &HeaderMap) -> Vec<String> {
        let authorization = self.identity.authorization && headers.contains_key(header::AUTHORIZATION);
        let cookies = headers.get_all(header::COOKIE).iter().flat_map(cookies);
        let own = cookies.filter(|cookie| self.identity.cookie(cookie.name) == CookieRole::Principal);
        let cookies = own.map(|cookie| format!("cookie.{}", cookie_name(cookie.name)));
        let named = self.identity.headers.iter().filter(|name| headers.contains_key(*name));
        let named = named.map(|name| format!("header.{name}"));
        unique(authorization.then(|| "authorization".to_owned()).into_iter().chain(cookies).chain(named))
    }

    fn why_sent(
        &self,
        name: &HeaderName,
        exchange: &Exchange<'_>,
        named: Option<&NamedPolicy>,
        vary: &[HeaderName],
    ) -> &'static str {
        let Some(policy) = named else {
            return match exchange.headers.contains_key(name) {
                true => "as it came",
                false => OURS,
            };
        };
        match () {
            () if policy.vary.contains(name) => "keyed, by the policy's `vary`",
            () if vary.contains(name) => "keyed, by the origin's `Vary`",
            () if *name == header::ACCEPT => "keyed",
            () if *name == header::AUTHORIZATION || *name == header::COOKIE => "keyed, as a part of the principal",
            () if self.identity.headers.contains(name) => "keyed, as a part of the principal",
            () => OURS,
        }
    }
}

const OURS: &str = "Stent's own";

fn nothing(request: String) -> Explanation {
    Explanation {
        request,
        route: None,
        decision: lookup_decision(None),
        partition: None,
        key: Vec::new(),
        dropped: Vec::new(),
        origin: None,
        lifetimes: Vec::new(),
        tags: Vec::new(),
        purges: Vec::new(),
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
        share: route.caching.share_text().to_owned(),
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

fn place(exchange: &Exchange<'_>, query: &str) -> Place {
    Place {
        authority: exchange.arrival.authority.clone(),
        forwarded_host: exchange.arrival.other_host_named(),
        path: exchange.path.text.clone().into_owned(),
        query: query.to_owned(),
        principal: Vec::new(),
    }
}

/// The route's tags; of those that need the answer, the template.
fn tags(exchange: &Exchange<'_>, query: &str) -> Vec<String> {
    let later = exchange.route.tags.iter().filter(|template| template.needs_answer()).map(ToString::to_string);
    place(exchange, query).known_tags(exchange.route).into_iter().chain(later).collect()
}

fn sent(headers: &HeaderMap, why: impl Fn(&HeaderName) -> &'static str) -> Vec<Sent> {
    headers.keys().map(|name| Sent { name: name.to_string(), why: why(name).to_owned() }).collect()
}

fn key_parts(
    exchange: &Exchange<'_>,
    lookup: &Lookup,
    named: Option<&NamedPolicy>,
    vary: &[HeaderName],
) -> Vec<KeyPart> {
    let part = |name: &str, value: &str| KeyPart { name: name.to_owned(), value: Some(value.to_owned()) };
    let asked = exchange.asked(BodyPresence::Absent);
    let mut parts = vec![part("scheme", asked.scheme.as_str()), part("host", asked.authority)];
    parts.extend(asked.forwarded_host.map(|host| part("forwarded host", host)));
    parts.push(part("path", asked.path));
    parts.push(part("query", &lookup.query));
    if let Some(policy) = named {
        let mut accept = KeyBuf::new();
        key::write_accept(&mut accept, asked.headers);
        parts.push(part("accept", &String::from_utf8_lossy(&accept)));
        parts.extend(policy.vary.iter().map(|name| keyed_header(name, asked.headers)));
    }
    parts.extend(vary.iter().map(|name| keyed_header(name, asked.headers)));
    parts
}

/// Values by which answers are negotiated may be told; any other may be somebody's credential.
fn keyed_header(name: &HeaderName, headers: &HeaderMap) -> KeyPart {
    let told = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::ACCEPT_ENCODING].contains(name);
    let value = match headers.get(name) {
        None => Some("(absent)".to_owned()),
        Some(value) if told => value.to_str().ok().map(str::to_owned),
        Some(_) => None,
    };
    KeyPart { name: name.to_string(), value }
}

fn query_names(query: &str) -> Vec<String> {
    let tokens = query.split('&').filter(|token| !token.is_empty());
    unique(tokens.map(|token| crate::tag::decode(token.split('=').next().unwrap_or(token)).into_owned()))
}

fn cookie_name(name: &str) -> String {
    if name == "\0" { "(one that cannot be read)".to_owned() } else { name.to_owned() }
}

fn unique(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}
