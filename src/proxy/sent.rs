//! What a fetch through the cache sends to the origin, and what it leaves out: what is not in the key is not sent, and what is
//! sent is in canonical form.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::asker::identity::CookieRole;
use crate::coherence::waiter::{leaves_out, varies_by};
use crate::entry::key::{self, KeyBuf};
use crate::fields::cookies::{Cookie, cookies};
use crate::fields::credential::{is_empty_authorization, is_empty_value};
use crate::fields::directives::ResponseDirectives;
use crate::hop::fields::is_override;
use crate::policy::plan::{KEYED_WHERE_SENT, Lookup, form_cookies};
use crate::policy::vary;
use crate::proxy::current::Proxy;
use crate::proxy::exchange::Exchange;
use crate::rules::caching::{Caching, NamedPolicy, Share};
use crate::rules::canonical;

impl Proxy {
    /// What a cached fetch sends. Under a named policy: what is keyed, and ours. Under a built-in one: what the client sent,
    /// less its own conditions, ignored cookies and what makes some origins see another target.
    pub(super) fn fetch_headers<'n>(
        &self,
        exchange: &Exchange<'_>,
        vary: impl Iterator<Item = &'n HeaderName>,
    ) -> HeaderMap {
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
                if policy.keys_accept() {
                    set(&mut headers, header::ACCEPT, &canonical::accept(asked));
                }
                policy.vary.iter().for_each(|name| send(&mut headers, name));
                vary.for_each(|name| send(&mut headers, name));
                KEYED_WHERE_SENT.iter().for_each(|name| send(&mut headers, name));
                if policy.share.is_sensitive() {
                    self.copy_caller(asked, policy, &mut headers);
                } else if policy.share == Share::Anonymous {
                    let own = form_cookies(&exchange.route.caching, &self.identity, asked);
                    set_cookies(&mut headers, &own.map(|cookie| cookie.pair).collect::<Vec<_>>().join(&b"; "[..]));
                }
            }
            _ => {
                asked.keys().for_each(|name| send(&mut headers, name));
                exchange.route.serves.fields().for_each(|name| send(&mut headers, &name));
            }
        }
        set(&mut headers, header::HOST, exchange.arrival.authority.as_bytes());
        exchange.arrival.tell_origin(&mut headers, &exchange.client.peer, self.told_by(exchange));
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
        if *name == header::COOKIE {
            let means_nothing = |cookie: &Cookie<'_>| match self.identity.cookie(cookie.name) {
                CookieRole::Ignored => true,
                CookieRole::Principal => is_empty_value(cookie.value().unwrap_or_default()),
                CookieRole::Affinity | CookieRole::Form | CookieRole::Other => false,
            };
            if asked.get_all(name).iter().flat_map(cookies).any(|cookie| means_nothing(&cookie)) {
                let others = self.cookies_of(asked, |cookie| !means_nothing(cookie));
                return (!others.is_empty()).then(|| KeyBuf::from_vec(others));
            }
        }
        // What counts as no credential is none for the origin either, which may take `deleted` for a name.
        let mut lines = asked.get_all(name).iter();
        if *name == header::AUTHORIZATION && lines.all(is_empty_authorization)
            || self.identity.headers.contains(name) && lines.all(|value| is_empty_value(value.as_bytes()))
        {
            return None;
        }
        canonical::field(asked, name, &route.serves)
    }

    /// The key of a request's variant.
    pub(super) fn variant(&self, exchange: &Exchange<'_>, lookup: &Lookup, names: &[HeaderName]) -> KeyBuf {
        key::variant_of(&lookup.key, names, |name| self.sent(exchange, name))
    }

    /// The caller's own credentials, with what leads to the server that knows them, and the headers by which answers are shared.
    pub(super) fn copy_caller(&self, asked: &HeaderMap, policy: &NamedPolicy, headers: &mut HeaderMap) {
        self.copy_principal(asked, policy, headers);
        let facets = policy.share.facets().iter().filter_map(|facet| facet.source.header());
        facets.for_each(|name| copy(asked, name, headers));
    }

    fn copy_principal(&self, asked: &HeaderMap, policy: &NamedPolicy, headers: &mut HeaderMap) {
        if self.identity.authorization {
            copy(asked, &header::AUTHORIZATION, headers);
        }
        self.identity.headers.iter().for_each(|name| copy(asked, name, headers));
        let is_own = |role| match role {
            CookieRole::Principal | CookieRole::Affinity => true,
            CookieRole::Form => policy.share == Share::Principal,
            CookieRole::Ignored | CookieRole::Other => false,
        };
        set_cookies(headers, &self.cookies_of(asked, |cookie| is_own(self.identity.cookie(cookie.name))));
    }

    pub(super) fn shows_cookie(&self, headers: &HeaderMap, role: CookieRole) -> bool {
        let mut all = headers.get_all(header::COOKIE).iter().flat_map(cookies);
        all.any(|cookie| self.identity.cookie(cookie.name) == role)
    }

    /// Some of the cookies, as one line.
    fn cookies_of(&self, asked: &HeaderMap, is_wanted: impl Fn(&Cookie<'_>) -> bool) -> Vec<u8> {
        let mut kept: Vec<u8> = Vec::new();
        for cookie in asked.get_all(header::COOKIE).iter().flat_map(cookies) {
            if is_wanted(&cookie) {
                if !kept.is_empty() {
                    kept.extend_from_slice(b"; ");
                }
                kept.extend_from_slice(cookie.pair);
            }
        }
        kept
    }

    /// Whether an answer that nobody shares was made for somebody who had not shown what the client did, so that it is not the
    /// client's: it sets a cookie anew that the client has and the fetch left out; or it says that it differs by something that the
    /// fetch left out.
    pub(super) fn is_for_another(
        &self,
        exchange: &Exchange<'_>,
        answer: &http::response::Parts,
        sent: &HeaderMap,
        withholds: Withholds,
    ) -> bool {
        let shown = |name: &str, headers: &HeaderMap| {
            headers.get_all(header::COOKIE).iter().flat_map(cookies).any(|cookie| cookie.name == name)
        };
        let mut set = answer.headers.get_all(header::SET_COOKIE).iter().filter_map(|line| cookies(line).next());
        let resets = set.any(|cookie| shown(cookie.name, &exchange.headers) && !shown(cookie.name, sent));
        let varies_by = varies_by(&exchange.headers, &answer.headers);
        let left_accept = !sent.contains_key(header::ACCEPT)
            && exchange.headers.contains_key(header::ACCEPT)
            && vary::names(&answer.headers).is_ok_and(|names| names.contains(&header::ACCEPT));
        let leaves_out = leaves_out(&exchange.headers, sent, &varies_by, &exchange.route.serves);
        self.heed_vary(exchange, &answer.headers);
        if leaves_out && vary::names(&answer.headers).is_ok() {
            self.learn_left_out(exchange, sent, &varies_by);
        }
        resets || left_accept || leaves_out || withholds == Withholds::Yes && self.differs_by_credentials(answer)
    }

    fn differs_by_credentials(&self, answer: &http::response::Parts) -> bool {
        let names = vary::names(&answer.headers);
        let own = [header::COOKIE, header::AUTHORIZATION];
        let varies = names
            .map_or(true, |names| names.iter().any(|name| own.contains(name) || self.identity.headers.contains(name)));
        varies || ResponseDirectives::of(&answer.headers).private.whole
    }

    /// Whether the fetch that is made for a request leaves out credentials that the client had sent.
    pub(super) fn withholds(&self, exchange: &Exchange<'_>, sent: &HeaderMap) -> Withholds {
        let asked = &exchange.headers;
        let pairs = |headers: &HeaderMap| -> Vec<Vec<u8>> {
            let all = headers.get_all(header::COOKIE).iter().flat_map(cookies);
            let own = all.filter(|cookie| {
                matches!(self.identity.cookie(cookie.name), CookieRole::Principal | CookieRole::Other)
            });
            own.map(|cookie| cookie.pair.to_vec()).collect()
        };
        let mut headers = self.identity.headers.iter().chain([&header::AUTHORIZATION]);
        match headers.any(|name| asked.get(name) != sent.get(name)) || pairs(asked) != pairs(sent) {
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

/// Whether a fetch leaves out credentials that the client had sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Withholds {
    Yes,
    No,
}
