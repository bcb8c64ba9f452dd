//! What a fetch through the cache sends to the origin, and what it leaves out: what is not in the key is not sent.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::flying::Withholds;
use super::{Exchange, Proxy};
use crate::edge::fields::is_override;
use crate::identity::{CookieRole, cookies};
use crate::key::{self, KeyBuf};
use crate::policy::{Caching, NamedPolicy};

impl Proxy {
    /// What a cached fetch sends. Under a named policy: what is keyed, and ours. Under a built-in one: what the client sent,
    /// less its own conditions, ignored cookies and what makes some origins see another target.
    pub(super) fn fetch_headers(&self, exchange: &Exchange<'_>, vary: &[HeaderName]) -> HeaderMap {
        let asked = &exchange.headers;
        let mut headers = match &exchange.route.caching {
            Caching::Named(policy) => {
                let mut headers = HeaderMap::with_capacity(16);
                let mut accept = KeyBuf::new();
                key::write_accept(&mut accept, asked);
                set(&mut headers, header::ACCEPT, &accept);
                policy.vary.iter().chain(vary).for_each(|name| copy(asked, name, &mut headers));
                if policy.share.is_sensitive() {
                    self.copy_caller(asked, policy, &mut headers);
                }
                headers
            }
            _ => {
                let mut headers = asked.clone();
                let own = [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_RANGE, header::RANGE];
                own.iter().for_each(|name| drop(headers.remove(name)));
                // WSGI takes `Accept_Language` for `Accept-Language`, which is what an answer would be kept by.
                let doubtful = |name: &&HeaderName| name.as_str().contains('_') || is_override(name.as_str());
                asked.keys().filter(doubtful).for_each(|name| drop(headers.remove(name)));
                self.drop_ignored_cookies(&mut headers);
                headers
            }
        };
        set(&mut headers, header::HOST, exchange.arrival.authority.as_bytes());
        exchange.arrival.tell_origin(&mut headers, &exchange.client.peer);
        headers
    }

    /// The caller's own credentials, and the headers by which answers are shared.
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
        set_cookies(headers, &self.cookies_of(asked, |role| role == CookieRole::Principal));
    }

    /// Takes the ignored cookies off: an answer that is made with them is not everybody's.
    pub(super) fn drop_ignored_cookies(&self, headers: &mut HeaderMap) {
        if self.shows_ignored_cookies(headers) {
            let others = self.cookies_of(headers, |role| role != CookieRole::Ignored);
            headers.remove(header::COOKIE);
            set_cookies(headers, &others);
        }
    }

    pub(super) fn shows_ignored_cookies(&self, headers: &HeaderMap) -> bool {
        let mut all = headers.get_all(header::COOKIE).iter().flat_map(cookies);
        all.any(|cookie| self.identity.cookie(cookie.name) == CookieRole::Ignored)
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
        let differs = |name: &HeaderName| !exchange.headers.get_all(name).iter().eq(sent.get_all(name));
        match [header::COOKIE, header::AUTHORIZATION].iter().any(differs) {
            true => Withholds::Yes,
            false => Withholds::No,
        }
    }
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

fn copy(from: &HeaderMap, name: &HeaderName, to: &mut HeaderMap) {
    to.remove(name);
    for value in from.get_all(name) {
        to.append(name.clone(), value.clone());
    }
}
