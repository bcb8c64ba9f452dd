//! Who asks the clinic: a bearer token `tenant.user`, or the session of a browser.

use http::{HeaderMap, header};

/// What sessions are called; a real application would draw them by lot.
const SESSION: &str = "session-of-";

/// Somebody, or nobody.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Visitor {
    /// Who; none if nobody showed who they are.
    pub(super) user: Option<String>,
    /// For which hospital: as `X-Tenant` says, else as the token does.
    pub(super) tenant: String,
}

impl Visitor {
    pub(super) fn of(headers: &HeaderMap) -> Visitor {
        let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
        let token = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer ")?.split_once('.'));
        let cookies = text(header::COOKIE).unwrap_or("").split(';').map(str::trim);
        let session = cookies.filter_map(|cookie| cookie.strip_prefix("sessionid=")?.strip_prefix(SESSION)).next();
        let (tenant, user) = match token {
            Some((tenant, user)) => (tenant, Some(user)),
            None => ("north", session),
        };
        let asked = headers.get("x-tenant").and_then(|value| value.to_str().ok());
        Visitor {
            user: user.filter(|user| is_name(user)).map(str::to_owned),
            tenant: asked.filter(|tenant| is_name(tenant)).unwrap_or(tenant).to_owned(),
        }
    }
}

/// The cookie of a new session.
pub(super) fn session(user: &str) -> Option<String> {
    is_name(user).then(|| format!("sessionid={SESSION}{user}; Path=/; HttpOnly; SameSite=Lax"))
}

/// Letters only, so that a name needs no escaping wherever it is written.
fn is_name(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn who_asks() {
        let check = |lines: &[(&'static str, &'static str)], user: Option<&str>, tenant: &str| {
            let lines = lines.iter().map(|&(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)));
            let visitor = Visitor::of(&lines.collect());
            assert_eq!((visitor.user.as_deref(), visitor.tenant.as_str()), (user, tenant));
        };
        check(&[], None, "north");
        check(&[("authorization", "Bearer south.ben")], Some("ben"), "south");
        check(&[("authorization", "Bearer south.ben"), ("x-tenant", "north")], Some("ben"), "north");
        check(&[("authorization", "Bearer south.<b>")], None, "south");
        check(&[("cookie", "csrftoken=a; sessionid=session-of-ada")], Some("ada"), "north");
        check(&[("cookie", "sessionid=guessed")], None, "north");
    }
}
