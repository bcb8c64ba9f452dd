//! Who is asking: which parts of a request are credentials, which of them make up the principal, which cookies mean nothing.

use http::HeaderName;

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
}

use http::HeaderValue;

/// What the credentials of a request amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shown {
    /// A part of the principal is there.
    pub principal: bool,
    /// A credential is there that no part of the principal covers: `Authorization` that is not listed, or a cookie that is
    /// neither listed nor ignored.
    pub other: bool,
    /// A cookie of the above is among them; `origin` counts it, `rfc9111` does not.
    pub other_cookie: bool,
    /// `Authorization` is there, listed or not.
    pub authorization: bool,
    /// Any cookie is there that is not ignored.
    pub cookie: bool,
}

/// What one cookie is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CookieRole {
    /// Part of the principal.
    Principal,
    /// Means nothing to the answer.
    Ignored,
    /// Anything else; a credential.
    Other,
}

impl Identity {
    /// What a cookie of this name is.
    pub fn cookie(&self, name: &str) -> CookieRole {
        if self.cookies.iter().any(|cookie| cookie == name) {
            CookieRole::Principal
        } else if self.ignore_cookies.iter().any(|pattern| glob(pattern, name)) {
            CookieRole::Ignored
        } else {
            CookieRole::Other
        }
    }

    /// Adds what a `Cookie` field shows.
    pub fn see_cookies(&self, field: &HeaderValue, shown: &mut Shown) {
        for cookie in cookies(field) {
            match self.cookie(cookie.name) {
                CookieRole::Principal => (shown.principal, shown.cookie) = (true, true),
                CookieRole::Ignored => {}
                CookieRole::Other => (shown.other, shown.other_cookie, shown.cookie) = (true, true, true),
            }
        }
    }
}

/// One pair of a `Cookie` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cookie<'a> {
    /// The name; the whole pair when it has no `=` or is not text, so that it is nobody's known cookie.
    pub name: &'a str,
    /// The pair as it was sent.
    pub pair: &'a [u8],
}

/// The pairs of a `Cookie` field (RFC 6265 §4.2.1).
pub fn cookies(field: &HeaderValue) -> impl Iterator<Item = Cookie<'_>> {
    field.as_bytes().split(|&b| b == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()).map(|pair| {
        let name = pair.split(|&b| b == b'=').next().filter(|name| name.len() < pair.len());
        let name = name.and_then(|name| std::str::from_utf8(name).ok()).map_or("\0", str::trim);
        Cookie { name, pair }
    })
}

/// `pattern` may end in `*`.
pub fn glob(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => pattern == text,
    }
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
}
