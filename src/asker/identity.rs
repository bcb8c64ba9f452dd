//! Who is asking: which parts of a request are credentials, which of them make up the principal, which cookies mean nothing,
//! and which only say where to go.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::asker::facet::{Facet, FacetSource};
use crate::fields::cookies::cookies;
use crate::fields::credential::is_empty_value;
use crate::fields::glob::glob;

pub mod affinity;
pub mod form;

/// The `identity:` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// `Authorization` is part of the principal.
    pub authorization: bool,
    /// Cookies that are part of the principal, by exact name.
    pub cookies: Vec<String>,
    /// Further headers that are part of the principal.
    pub headers: Vec<HeaderName>,
    /// Cookies that are neither keyed nor sent on cached fetches; a name may end in `*`.
    pub ignore_cookies: Vec<String>,
    /// Fields of requests that say nothing of who asks, in lower case; a name may end in `*`.
    pub ignore_headers: Vec<String>,
    /// Parameters of URLs that are credentials beside the known ones, in lower case; a name may end in `*`.
    pub url_credentials: Vec<String>,
    /// Fields of answers that hand out credentials beside the known ones, in lower case; a name may end in `*`.
    pub secret_fields: Vec<String>,
    /// Further cookies that only say which server has a session; a name may end in `*`. See [`affinity`].
    pub affinity_cookies: Vec<String>,
    /// Further cookies that protect forms; a name may end in `*`. See [`form`].
    pub form_cookies: Vec<String>,
    /// Which of the principal's parts is a token that is verified.
    pub token: Option<TokenSource>,
    /// What can be known about whoever asks, by name.
    pub facets: Vec<Facet>,
}

/// Where a request shows its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// `Authorization: Bearer …`.
    Authorization,
    /// The cookie of this name.
    Cookie(String),
    /// This header, whole.
    Header(HeaderName),
}

/// What the credentials of a request amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// A part of the principal is there.
    pub principal: bool,
    /// A credential is there that no part of the principal covers: `Authorization` that is not listed, or a cookie that is
    /// neither listed, nor ignored, nor for affinity.
    pub other: bool,
    /// A cookie of the above is among them; `origin` counts it, `rfc9111` does not.
    pub other_cookie: bool,
    /// `Authorization` is there, listed or not.
    pub authorization: bool,
    /// Any cookie is there that is neither ignored nor for affinity.
    pub cookie: bool,
    /// A cookie that protects forms is there.
    pub form: bool,
    /// A header of the principal is there.
    pub header: bool,
    /// A field is there by which an origin may know somebody; `origin` counts it.
    pub field: bool,
}

/// What one cookie is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieRole {
    /// Part of the principal.
    Principal,
    /// Says which server has a session, and nothing of whoever asks: no credential, and no part of a key but where the origin's
    /// own `Vary: Cookie` makes all that are sent one. It reaches the origin wherever the caller's own credentials do, since
    /// these mean nothing to another server.
    Affinity,
    /// Protects forms: drawn for one browser, it says nothing of who asks. Where answers are one principal's or those of people who
    /// are not signed in it is keyed and sent; where they are shared otherwise it is neither.
    Form,
    /// Means nothing to the answer.
    Ignored,
    /// Anything else; a credential.
    Other,
}

impl Identity {
    /// The token that a request shows; none where it shows two, since the origin might believe the other.
    pub fn token<'h>(&self, headers: &'h HeaderMap) -> Option<&'h [u8]> {
        let (token, further) = match self.token.as_ref()? {
            TokenSource::Authorization => {
                let mut lines = headers.get_all(header::AUTHORIZATION).iter();
                (bearer(lines.next()?), lines.next().is_some())
            }
            TokenSource::Header(name) => {
                let mut lines = headers.get_all(name).iter();
                (Some(lines.next()?.as_bytes()), lines.next().is_some())
            }
            TokenSource::Cookie(name) => {
                let all = headers.get_all(header::COOKIE).iter().flat_map(cookies);
                let mut own = all.filter(|cookie| cookie.name == name);
                (own.next()?.value(), own.next().is_some())
            }
        };
        token.filter(|_| !further)
    }

    /// Whether a request shows parts of the principal beside its token. Which of them the origin believes is not known.
    pub fn shows_beside_token(&self, headers: &HeaderMap) -> bool {
        let token = self.token.as_ref();
        let by_header = |name: &HeaderName| token != Some(&TokenSource::Header(name.clone()));
        let by_cookie = |name: &str| !matches!(token, Some(TokenSource::Cookie(own)) if own == name);
        let mut all = headers.get_all(header::COOKIE).iter().flat_map(cookies);
        (self.authorization
            && token != Some(&TokenSource::Authorization)
            && headers.contains_key(header::AUTHORIZATION))
            || self.headers.iter().any(|name| by_header(name) && headers.contains_key(name))
            || all.any(|cookie| self.cookie(cookie.name) == CookieRole::Principal && by_cookie(cookie.name))
    }

    /// Whether a request shows anything that an origin may know somebody by.
    pub fn shows_credentials(&self, headers: &HeaderMap) -> bool {
        let mut all = headers.get_all(header::COOKIE).iter().flat_map(cookies);
        headers.contains_key(header::AUTHORIZATION)
            || self.headers.iter().any(|name| headers.contains_key(name))
            || all.any(|cookie| matches!(self.cookie(cookie.name), CookieRole::Principal | CookieRole::Other))
    }

    /// The headers that only trusted proxies may set.
    pub fn trusted_headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.facets.iter().filter_map(|facet| match &facet.source {
            FacetSource::Trusted(name) => Some(name),
            _ => None,
        })
    }

    /// Whether the operator says that a field says nothing of who asks.
    pub fn ignores(&self, name: &HeaderName) -> bool {
        self.ignore_headers.iter().any(|pattern| glob(pattern, name.as_str()))
    }

    /// What a cookie of this name is. Many who have a load balancer have told Stent to ignore its cookie.
    pub fn cookie(&self, name: &str) -> CookieRole {
        if self.cookies.iter().any(|cookie| cookie == name) {
            CookieRole::Principal
        } else if form::is_known(name) || self.form_cookies.iter().any(|pattern| glob(pattern, name)) {
            CookieRole::Form
        } else if affinity::is_known(name) || self.affinity_cookies.iter().any(|pattern| glob(pattern, name)) {
            CookieRole::Affinity
        } else if self.is_ignored(name) {
            CookieRole::Ignored
        } else {
            CookieRole::Other
        }
    }

    fn is_ignored(&self, name: &str) -> bool {
        self.ignore_cookies.iter().any(|pattern| glob(pattern, name))
    }

    /// Whether the operator says that a cookie means nothing, and does not say that it protects forms.
    pub fn ignores_cookie(&self, name: &str) -> bool {
        self.is_ignored(name) && !self.form_cookies.iter().any(|pattern| glob(pattern, name))
    }

    /// Adds what a `Cookie` field shows.
    pub fn see_cookies(&self, field: &HeaderValue, shown: &mut Shown) {
        for cookie in cookies(field) {
            match self.cookie(cookie.name) {
                // Some servers read further pairs out of such a value: another cookie may hide in it.
                CookieRole::Affinity | CookieRole::Form if may_hide_others(cookie.pair) => {
                    (shown.other, shown.other_cookie, shown.cookie) = (true, true, true);
                }
                // What a sign-out left behind, or a script wrote where there was nothing, is nobody.
                CookieRole::Principal if is_empty_value(cookie.value().unwrap_or_default()) => {}
                CookieRole::Principal => (shown.principal, shown.cookie) = (true, true),
                // Where the origin alone decides it counts, unless it is said to mean nothing.
                CookieRole::Form => {
                    (shown.form, shown.cookie) = (true, shown.cookie || !self.is_ignored(cookie.name));
                }
                CookieRole::Affinity | CookieRole::Ignored => {}
                CookieRole::Other => (shown.other, shown.other_cookie, shown.cookie) = (true, true, true),
            }
        }
    }
}

/// RFC 6265 §4.1.1 lets none of these be in a value. By RFC 2965 a comma ends a pair, as some servers still have it.
fn may_hide_others(pair: &[u8]) -> bool {
    memchr::memchr3(b',', b'"', b' ', pair).is_some()
}

/// RFC 6750 §2.1.
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_told_apart() {
        let identity = Identity {
            cookies: vec!["sessionid".into()],
            ignore_cookies: vec!["csrftoken".into(), "_ga*".into()],
            ..Identity::default()
        };
        let shown = |text: &'static str| {
            let mut shown = Shown::default();
            identity.see_cookies(&HeaderValue::from_static(text), &mut shown);
            (shown.principal, shown.other)
        };
        assert_eq!(shown("csrftoken=a; _ga_X=1"), (false, false));
        assert_eq!(shown("csrftoken=a; sessionid=b"), (true, false));
        assert_eq!(shown("sessionid=b;lang=en"), (true, true));
        assert_eq!(shown("Sessionid=b"), (false, true));
        assert_eq!(shown("csrftoken"), (false, true), "a pair without `=` is unknown");
        assert_eq!(shown(" ; ;"), (false, false));
    }

    #[test]
    fn a_cookie_that_says_where_to_go_is_no_credential() {
        let identity = Identity {
            cookies: vec!["GCLB".into()],
            ignore_cookies: vec!["SERVERID".into(), "lb-*".into()],
            affinity_cookies: vec!["lb-clinic".into()],
            ..Identity::default()
        };
        let check = |name: &str, want: CookieRole| assert_eq!(identity.cookie(name), want, "{name}");
        check("GCLB", CookieRole::Principal);
        check("SERVERID", CookieRole::Affinity);
        check("lb-clinic", CookieRole::Affinity);
        check("lb-other", CookieRole::Ignored);
        check("JSESSIONID", CookieRole::Other);
        let (mut shown, line) = (Shown::default(), HeaderValue::from_static("SERVERID=a; lb-clinic=b"));
        identity.see_cookies(&line, &mut shown);
        assert_eq!(shown, Shown::default());
        assert!(!identity.shows_credentials(&HeaderMap::from_iter([(header::COOKIE, line)])));
    }

    #[test]
    fn a_token_is_alone_or_none() {
        let identity = |token| Identity {
            authorization: true,
            cookies: vec!["jwt".into(), "sessionid".into()],
            headers: vec![HeaderName::from_static("x-token")],
            token: Some(token),
            ..Identity::default()
        };
        let check = |token: TokenSource, lines: &[(&'static str, &'static str)], want: Option<&str>, beside: bool| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let identity = identity(token);
            assert_eq!(identity.token(&headers), want.map(str::as_bytes), "{lines:?}");
            assert_eq!(identity.shows_beside_token(&headers), beside, "{lines:?}");
        };
        use TokenSource::{Authorization, Cookie, Header};
        check(Authorization, &[("authorization", "bearer  a.b.c")], Some("a.b.c"), false);
        check(Authorization, &[("authorization", "Basic abc")], None, false);
        check(Authorization, &[("authorization", "Bearer a"), ("authorization", "Bearer b")], None, false);
        check(Authorization, &[("authorization", "Bearer a"), ("cookie", "sessionid=x")], Some("a"), true);
        check(Cookie("jwt".into()), &[("cookie", "jwt=a.b=c")], Some("a.b=c"), false);
        check(Cookie("jwt".into()), &[("cookie", "jwt=a; jwt=b")], None, false);
        check(Cookie("jwt".into()), &[("cookie", "jwt=a"), ("authorization", "Bearer b")], Some("a"), true);
        check(Header(HeaderName::from_static("x-token")), &[("x-token", "a")], Some("a"), false);
        check(Header(HeaderName::from_static("x-token")), &[], None, false);
    }
}
