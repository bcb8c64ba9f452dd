//! What two requests must have in common to share an answer.

use http::{HeaderMap, HeaderName, header};

use crate::asker::identity::CookieRole;
use crate::entry::head::Credentialed;
use crate::entry::key::KeyBuf;
use crate::fields::cookies::cookies;
use crate::fields::url::{path_told, query_told};
use crate::policy::plan::{KEYED_WHERE_SENT, Lookup, form_cookies};
use crate::policy::question::BodyPresence;
use crate::policy::sharing::{self, Sharing};
use crate::proxy::current::Proxy;
use crate::proxy::exchange::Exchange;
use crate::proxy::explain::names::{cookie_name, unique};
use crate::proxy::explanation::{KeyPart, PartitionTold};
use crate::rules::caching::Caching;
use crate::rules::canonical;
use crate::rules::route::Route;

impl Proxy {
    pub(super) fn partition(&self, route: &Route, fetched: &HeaderMap, credentialed: Credentialed) -> PartitionTold {
        let (among, proof) = match (&route.caching, credentialed) {
            (Caching::Named(policy), _) => {
                let Sharing { among, proof, .. } = Sharing::of(&policy.share, &self.identity);
                (among, [proof].into_iter().chain(sharing::access(policy)).collect::<Vec<_>>().join("; "))
            }
            (Caching::Pass | Caching::Http(_), Credentialed::No) => {
                ("everybody".to_owned(), "no proof is asked for; this request shows no credentials".to_owned())
            }
            (Caching::Pass | Caching::Http(_), Credentialed::Authorization | Credentialed::Otherwise) => (
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

    /// The key's parts after the route and the partition, as they are sent.
    pub(super) fn key_parts(&self, exchange: &Exchange<'_>, lookup: &Lookup, vary: &[HeaderName]) -> Vec<KeyPart> {
        let part = |name: &str, value: &str| KeyPart { name: name.to_owned(), value: Some(value.to_owned()) };
        let asked = exchange.asked(BodyPresence::Absent);
        let mut parts = vec![part("scheme", asked.scheme.as_str()), part("host", asked.authority)];
        parts.extend(asked.forwarded_host.map(|host| part("forwarded host", host)));
        let names = &self.identity.url_credentials;
        parts.push(part("path", &path_told(asked.path, names)));
        parts.push(part("query", &query_told(lookup.query.as_deref().unwrap_or(""), names)));
        let field = |name: &HeaderName| keyed_field(name, self.sent(exchange, name));
        match &exchange.route.caching {
            Caching::Named(policy) => {
                if policy.keys_accept() && !vary.contains(&header::ACCEPT) {
                    parts.push(part("accept", &String::from_utf8_lossy(&canonical::accept(asked.headers))));
                }
                let own = KEYED_WHERE_SENT.iter().filter(|name| asked.headers.contains_key(*name));
                let own = own.filter(|name| !policy.vary.contains(name) && !vary.contains(name));
                parts.extend(policy.vary.iter().chain(own).map(field));
                let own = form_cookies(&exchange.route.caching, &self.identity, asked.headers);
                parts.extend(own.map(|cookie| part("form cookie", &format!("{} (its value)", cookie.name))));
            }
            Caching::Http(_) => parts.extend(exchange.route.serves.fields().map(|name| field(&name))),
            Caching::Pass => {}
        }
        parts.extend(vary.iter().map(field));
        parts
    }
}

/// Values by which answers are negotiated may be told; any other may be somebody's credential.
fn keyed_field(name: &HeaderName, value: Option<KeyBuf>) -> KeyPart {
    let told = [header::ACCEPT, header::ACCEPT_LANGUAGE, header::ACCEPT_ENCODING].contains(name);
    let value = match value {
        None => Some("(absent)".to_owned()),
        Some(value) if told => std::str::from_utf8(&value).ok().map(str::to_owned),
        Some(_) => None,
    };
    KeyPart { name: name.to_string(), value }
}
