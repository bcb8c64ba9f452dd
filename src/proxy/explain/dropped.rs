//! What of a request does not travel to the origin, or not as it came.

use http::{HeaderMap, HeaderName, header};

use crate::asker::identity::{CookieRole, Identity};
use crate::fields::cookies::cookies;
use crate::hop::fields::{X_REQUEST_ID, is_forwarding, is_override, is_spelling};
use crate::hop::trust::Trust;
use crate::policy::plan::Lookup;
use crate::proxy::current::Proxy;
use crate::proxy::exchange::Exchange;
use crate::proxy::explain::names::{cookie_name, query_names};
use crate::proxy::explanation::Dropped;

impl Proxy {
    /// What of the request a cached fetch leaves out.
    pub(super) fn not_sent(&self, exchange: &Exchange<'_>, lookup: &Lookup, fetched: &HeaderMap) -> Vec<Dropped> {
        let headers = exchange.headers.keys().filter(|name| *name != header::COOKIE && !fetched.contains_key(*name));
        let mut dropped: Vec<Dropped> =
            headers.map(|name| left_out("header", name.as_str().to_owned(), self.why_not_sent(name))).collect();
        let kept: Vec<&str> = fetched.get_all(header::COOKIE).iter().flat_map(cookies).map(|it| it.name).collect();
        for cookie in exchange.headers.get_all(header::COOKIE).iter().flat_map(cookies) {
            let why = match self.identity.cookie(cookie.name) {
                CookieRole::Ignored => "ignored, by `identity.ignore_cookies`",
                CookieRole::Form => "for forms: neither keyed nor sent for what others share",
                CookieRole::Affinity => "for affinity: neither keyed nor sent for what others share",
                CookieRole::Principal | CookieRole::Other => "a credential, neither keyed nor sent",
            };
            if !kept.contains(&cookie.name) {
                dropped.push(left_out("cookie", cookie_name(cookie.name), why));
            }
        }
        dropped.extend(query_changes(exchange.uri.query().unwrap_or(""), lookup.query.as_deref().unwrap_or("")));
        dropped
    }

    fn why_not_sent(&self, name: &HeaderName) -> &'static str {
        let heeded = [
            header::IF_NONE_MATCH,
            header::IF_MODIFIED_SINCE,
            header::IF_RANGE,
            header::RANGE,
            header::CACHE_CONTROL,
            header::PRAGMA,
        ];
        match () {
            () if heeded.contains(name) => "heeded here, and not sent",
            () if *name == header::AUTHORIZATION || self.identity.headers.contains(name) => {
                "a credential, neither keyed nor sent"
            }
            () => "not in the key, so not sent",
        }
    }
}

/// What the edge took off.
pub(super) fn dropped_at_the_edge(
    written: &HeaderMap,
    trust: Trust,
    exchange: &Exchange<'_>,
    identity: &Identity,
) -> Vec<Dropped> {
    let gone = written.keys().filter(|name| *name != header::HOST && !exchange.headers.contains_key(*name));
    let why = |name: &HeaderName| match (is_forwarding(name.as_str()) || *name == X_REQUEST_ID, trust) {
        (true, Trust::Stranger) => "only a trusted proxy may say it",
        (true, Trust::Proxy) => "believed, and told on in Stent's own",
        (false, _) if identity.trusted_headers().any(|own| is_spelling(name, own)) => "only a trusted proxy may say it",
        (false, _) if is_override(name.as_str()) => "makes some origins see another target or method",
        (false, _) => "belongs to this hop",
    };
    gone.map(|name| left_out("header", name.to_string(), why(name))).collect()
}

/// Where the canonical query differs from the one that was sent, in more than order.
fn query_changes(raw: &str, canonical: &str) -> Vec<Dropped> {
    let values = |query: &str, name: &str| crate::rules::query::parameters(query, name);
    let kept = query_names(canonical);
    let mut changes = Vec::new();
    for name in query_names(raw) {
        let (before, after) = (values(raw, &name), values(canonical, &name));
        if !kept.contains(&name) {
            changes.push(left_out("query", name, "neither keyed nor sent, by the route's `query`"));
        } else if before != after {
            changes.push(left_out("query", name, &format!("keyed and sent as {}", after.join(", "))));
        }
    }
    changes
}

fn left_out(kind: &str, name: String, why: &str) -> Dropped {
    Dropped { kind: kind.to_owned(), name, why: why.to_owned() }
}
