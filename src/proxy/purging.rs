//! Purges of one URL: what a name of it means by the rules in force, and the `PURGE` method for those who may use it here.
//!
//! Where a route does not speak of `purge`, PURGE is a method like any other that we do not know: it goes to the origin.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::body::Body;
use crate::edge::error::{AfterError, Problem};
use crate::edge::incoming::Hearsay;
use crate::entry::purge::Strength;
use crate::entry::tag::TagSet;
use crate::fields::authority::hop_address;
use crate::hop::trust::Trust;
use crate::policy::outcome::Outcome;
use crate::proxy::current::Proxy;
use crate::proxy::exchange::{Answer, Exchange};
use crate::rules::query::named;
use crate::rules::route::{PURGE, Route};

impl Proxy {
    /// Adds a URL to a record: all its variants, for everybody; of every host where none is given, with any query where it is `*`.
    pub fn name_url(&self, host: &str, path: &str, query: Option<&str>, record: &mut TagSet) {
        // Routes that rewrite queries key this one as something else; which route, the host and headers of each request say.
        let rewrites = |route: &Route| !route.query.keeps_parameters() && route.path.takes(path);
        if query == Some("*") || self.router.routes().iter().any(|route| rewrites(route)) {
            return record.path(host, path);
        }
        record.url(host, path, &named(query.unwrap_or("")));
    }

    /// Whether a request is a purge that we carry out ourselves.
    pub(super) fn is_purge(exchange: &Exchange<'_>) -> bool {
        !exchange.route.purge_from.is_empty() && exchange.method.as_str() == PURGE
    }

    /// Carries out `PURGE`, if the route allows it from where it comes.
    pub(super) fn purge_by_method(&self, exchange: &Exchange<'_>) -> Answer {
        let allowed = |ip: IpAddr| exchange.route.purge_from.iter().any(|net| net.contains(&ip));
        if !self.speaks_for(exchange).is_some_and(allowed) {
            return exchange.problem(NOT_ALLOWED, Outcome::Refused(NOT_ALLOWED.code));
        }
        // Whoever writes a star means a pattern, and would be told of a success that is none.
        let query = exchange.uri.query().filter(|query| *query != "*");
        if exchange.path.text.contains('*') || query.is_some_and(|query| query.contains('*')) {
            return exchange.problem(PATTERN, Outcome::Refused(PATTERN.code));
        }
        let mut tags = TagSet::default();
        let hosts = [Some(exchange.arrival.authority.clone()), exchange.arrival.other_host_named()];
        for host in hosts.into_iter().flatten() {
            self.name_url(&host, &exchange.path.text, exchange.uri.query(), &mut tags);
        }
        let epoch = self.purge(&tags, strength_asked(&exchange.headers));
        let receipt = serde_json::json!({"status": "ok", "id": epoch.0.to_string()});
        let mut response = Response::new(Body::full(format!("{receipt}\n")));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        (response, Outcome::Purged)
    }

    /// Who asks: the peer, or whom the trusted proxies speak for. A proxy that hands on what strangers send must not lend them
    /// its address, even where nobody has said that it is one. `None` where that cannot be told.
    pub(super) fn speaks_for(&self, exchange: &Exchange<'_>) -> Option<IpAddr> {
        let peer = exchange.client.peer.ip;
        if exchange.arrival.hearsay == Hearsay::Told {
            return None;
        }
        let is_trusted = |ip: IpAddr| Trust::of(ip, &self.trusted_proxies) == Trust::Proxy;
        let forwarded = &exchange.arrival.forwarded;
        let Some(chain) = &forwarded.chain else {
            // For whom `Forwarded` alone speaks is not looked into.
            return forwarded.standard.is_none().then_some(peer);
        };
        let mut asks = peer;
        for hop in chain.to_str().ok()?.rsplit(',') {
            if !is_trusted(asks) {
                break;
            }
            asks = hop_address(hop.trim())?;
        }
        Some(asks)
    }
}

/// Soft, if one of the fields by which others say so is there; its value does not matter to them, but a no is no yes.
pub(crate) fn strength_asked(headers: &HeaderMap) -> Strength {
    let says =
        |name| headers.get(name).is_some_and(|value: &HeaderValue| !matches!(value.as_bytes(), b"0" | b"false" | b""));
    if says("fastly-soft-purge") || says("soft-purge") { Strength::Soft } else { Strength::Hard }
}

const PATTERN: Problem = Problem {
    status: StatusCode::BAD_REQUEST,
    detail: "A star is no pattern in a URL: PURGE takes one URL, or with ?* one path with any query; a star itself is %2A.",
    code: "a-pattern",
    connection: AfterError::Keep,
};
const NOT_ALLOWED: Problem = Problem {
    status: StatusCode::FORBIDDEN,
    detail: "This route does not take PURGE from there; see its `purge` in the configuration.",
    code: "purge-not-allowed",
    connection: AfterError::Keep,
};
