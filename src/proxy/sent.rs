//! What a fetch through the cache sends to the origin, and what it leaves out: what is not in the key is not sent, and what is
//! sent is in canonical form.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::flying::Withholds;
use super::{Exchange, Proxy};
use crate::canonical;
use crate::coherence::waiter::leaves_out;
use crate::edge::fields::is_override;
use crate::identity::{CookieRole, cookies};
use crate::key::{self, KeyBuf};
use crate::policy::plan::{Lookup, X_REQUESTED_WITH};
use crate::policy::{Caching, NamedPolicy};

impl Proxy {
    /// What a cached fetch sends. Under a named policy: what is keyed, and ours. Under a built-in one: what the client sent,
    /// less its own conditions, ignored cookies and what makes some origins see another target.
    pub(super) fn fetch_headers(&self, exchange: &Exchange<'_>, vary: &[HeaderName]) -> HeaderMap {
        let asked = &exchange.headers;
        let mut headers = HeaderMap::with_capacity(16);
        let send = |headers: &mut HeaderMap, name: &HeaderName| {
            headers.remove(name);
            let value = self.sent(exchange, name);
            for line in value.iter().flat_map(|value| value.split(|b| *b == b'\n')) {
                // What came in fields makes a value.
                headers.extend(HeaderValue::from_bytes(line).ok().map(|line| (name.clone(), line)));
            }
        };
        match &exchange.route.caching {
            Caching::Named(policy) => {
                set(&mut headers, header::ACCEPT, &canonical::accept(asked));
                policy.vary.iter().chain(vary).chain([&X_REQUESTED_WITH]).for_each(|name| send(&mut headers, name));
                if policy.share.is_sensitive() {
                    self.copy_caller(asked, policy, &mut headers);
                }
            }
            _ => {
                asked.keys().for_each(|name| send(&mut headers, name));
                exchange.route.serves.fields().for_each(|name| send(&mut headers, &name));
            }
        }
        set(&mut headers, header::HOST, exchange.arrival.authority.as_bytes());
        exchange.arrival.tell_origin(&mut headers, &exchange.client.peer);
        headers
    }

    /// The value of a client's field as a cached fetch sends it, its lines with a line feed between them. A variant is looked
    /// for by this, so that a key cannot say anything else than what the origin was told.
    pub(super) fn sent(&self, exchange: &Exchange<'_>, name: &HeaderName) -> Option<KeyBuf> {
        let (asked, route) = (&exchange.headers, exchange.route);
        let listed = matches!(&route.caching, Caching::Named(policy) if policy.vary.contains(name));
        if !listed && is_withheld(name) {
            return None;
        }
        if *name == header::COOKIE && self.shows_cookie(asked, CookieRole::Ignored) {
            let others = self.cookies_of(asked, |role| role != CookieRole::Ignored);
            return (!others.is_empty()).then(|| KeyBuf::from_vec(others));
        }
        canonical::field(asked, name, &route.serves)
    }

    /// The key of a request's variant.
    pub(super) fn variant(&self, exchange: &Exchange<'_>, lookup: &Lookup, names: &[HeaderName]) -> KeyBuf {
        key::variant_of(&lookup.key, names, |name| self.sent(exchange, name))
    }

    /// The caller's own credentials, with what leads to the server that knows them, and the headers by which answers are shared.
    pub(super) fn copy_caller(&self, asked: &HeaderMap, policy: &NamedPolicy, headers: &mut HeaderMap) {
        self.copy_principal(asked, headers);
        let facets = policy.share.facets().iter().filter_map(|facet| facet.source.header());
        facets.for_each(|name| copy(asked, name, headers));
    }

    fn copy_principal(&self, asked: &HeaderMap, headers: &mut HeaderMap) {
        if self.identity.authorization {
            copy(asked, &header::AUTHORIZATION, headers);
        }
        self.identity.headers.iter().for_each(|name| copy(asked, name, headers));
        let is_own = |role| matches!(role, CookieRole::Principal | CookieRole::Affinity);
        set_cookies(headers, &self.cookies_of(asked, is_own));
    }

    pub(super) fn shows_cookie(&self, headers: &HeaderMap, role: CookieRole) -> bool {
        let mut all = headers.get_all(header::COOKIE).iter().flat_map(cookies);
        all.any(|cookie| self.identity.cookie(cookie.name) == role)
    }

    /// The cookies in such a role, as one line.
    fn cookies_of(&self, asked: &HeaderMap, is_wanted: impl Fn(CookieRole) -> bool) -> Vec<u8> {
        let mut kept: Vec<u8> = Vec::new();
        for cookie in asked.get_all(header::COOKIE).iter().flat_map(cookies) {
            if is_wanted(self.identity.cookie(cookie.name)) {
                if !kept.is_empty() {
                    kept.extend_from_slice(b"; ");
                }
                kept.extend_from_slice(cookie.pair);
            }
        }
        kept
    }

    /// Whether the fetch that is made for a request leaves out credentials that the client had sent.
    pub(super) fn withholds(&self, exchange: &Exchange<'_>, sent: &HeaderMap) -> Withholds {
        let credentials = [header::COOKIE, header::AUTHORIZATION];
        match leaves_out(&exchange.headers, sent, &credentials, &exchange.route.serves) {
            true => Withholds::Yes,
            false => Withholds::No,
        }
    }
}

/// A client's own conditions are answered here, and what some origins take for another field, or for another target, is
/// not believed. WSGI takes `Accept_Language` for `Accept-Language`, which is what an answer would be kept by.
fn is_withheld(name: &HeaderName) -> bool {
    let own = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_RANGE, header::RANGE];
    own.contains(name) || name.as_str().contains('_') || is_override(name.as_str())
}

/// What came in fields makes a value.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert(name, value);
    }
}

fn set_cookies(headers: &mut HeaderMap, line: &[u8]) {
    if !line.is_empty() {
        set(headers, header::COOKIE, line);
    }
}

pub(super) fn copy(from: &HeaderMap, name: &HeaderName, to: &mut HeaderMap) {
    to.remove(name);
    for value in from.get_all(name) {
        to.append(name.clone(), value.clone());
    }
}
