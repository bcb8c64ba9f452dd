//! `identity:`; and which facets were meant, so that what would need them says nothing further.

use std::collections::HashMap;

use http::HeaderName;

use crate::config::node::{Node, NodeKind};
use crate::config::problem::Kind;
use crate::config::reader::Reader;
use crate::identity::Identity;

/// Facets are not available yet. What they would have been is kept for two reasons: a share on something that a client
/// merely claims is refused with its true reason, and a tag that uses a facet is not called unknown.
#[derive(Debug, Default)]
pub(super) struct Facets {
    sources: HashMap<String, FacetSource>,
}

/// Where a facet comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FacetSource {
    /// A verified token, a client certificate, the origin's own answer or a trusted proxy.
    Proven,
    /// The host, the path or a header: whoever asks writes what he likes.
    Claimed,
}

impl Facets {
    pub(super) fn source(&self, name: &str) -> Option<FacetSource> {
        self.sources.get(name).copied().or_else(|| source(name))
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.sources.contains_key(name)
    }
}

fn source(text: &str) -> Option<FacetSource> {
    match text.split_once('.')?.0 {
        "jwt" | "cert" | "access" | "trusted" => Some(FacetSource::Proven),
        "host" | "path" | "header" | "query" | "cookie" => Some(FacetSource::Claimed),
        _ => None,
    }
}

/// Cookies by which frameworks know who is signed in. Ignoring one makes everybody look alike.
const SESSION_COOKIES: [&str; 8] =
    ["sessionid", "session", "connect.sid", "JSESSIONID", "PHPSESSID", "laravel_session", "ASP.NET_SessionId", "sid"];

pub(super) fn identity(reader: &mut Reader, node: Option<&Node>) -> (Identity, Facets) {
    let mut identity = Identity::default();
    let mut facets = Facets::default();
    let known = ["principal", "ignore_cookies"];
    let Some(table) = node.and_then(|node| reader.table(node, &known, &["jwt", "facets"])) else {
        return (identity, facets);
    };
    if let Some(Node { kind: NodeKind::Map(entries), .. }) = table.get("facets") {
        for (name, value) in entries {
            let text = if let NodeKind::Scalar(scalar) = &value.kind { scalar.text.as_str() } else { "" };
            facets.sources.insert(name.text.clone(), source(text).unwrap_or(FacetSource::Proven));
        }
    }
    for item in table.get("principal").and_then(|node| reader.one_or_list(node)).unwrap_or_default() {
        principal(reader, item, &mut identity);
    }
    for item in table.get("ignore_cookies").and_then(|node| reader.one_or_list(node)).unwrap_or_default() {
        ignored(reader, item, &mut identity);
    }
    (identity, facets)
}

fn principal(reader: &mut Reader, node: &Node, identity: &mut Identity) {
    let Some(text) = reader.text(node) else { return };
    let forms = "write authorization, cookie.NAME or header.NAME";
    if text == "authorization" {
        if identity.authorization {
            reader.error(Kind::Duplicate, node, "`authorization` is listed twice", "keep one of the two");
        }
        identity.authorization = true;
    } else if let Some(name) = text.strip_prefix("cookie.") {
        if !is_cookie_name(name) {
            reader.error(
                Kind::Value,
                node,
                format!("`{name}` cannot be the name of a cookie"),
                "write the exact name: cookie.sessionid",
            );
        } else if identity.cookies.iter().any(|other| other == name) {
            reader.error(Kind::Duplicate, node, format!("`{text}` is listed twice"), "keep one of the two");
        } else {
            identity.cookies.push(name.to_owned());
        }
    } else if let Some(name) = text.strip_prefix("header.") {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(header) if header == http::header::AUTHORIZATION => {
                reader.error(Kind::Value, node, "`authorization` has a word of its own", "write authorization");
            }
            Ok(header) if header == http::header::COOKIE => {
                reader.error(
                    Kind::Value,
                    node,
                    "all cookies together cannot be the principal",
                    "name the one that signs in: cookie.sessionid",
                );
            }
            Ok(header) if super::headers::is_connection(&header) || super::headers::is_forwarding(&header) => {
                let message = format!("`{header}` says nothing about who is asking");
                reader.error(Kind::Value, node, message, forms);
            }
            Ok(header) if is_merely_claimed(&header) => {
                let message = format!(
                    "`{header}` is what a client simply claims: whoever sends another's gets another's answers"
                );
                let hint =
                    "name what only its owner has, such as authorization, a session's cookie or header.x-api-key";
                reader.error(Kind::Unsafe, node, message, hint);
            }
            Ok(header) if identity.headers.contains(&header) => {
                reader.error(Kind::Duplicate, node, format!("`{text}` is listed twice"), "keep one of the two");
            }
            Ok(header) => identity.headers.push(header),
            Err(_) => reader.error(Kind::Value, node, format!("`{name}` cannot be the name of a header"), forms),
        }
    } else if text.starts_with("jwt.") || text.starts_with("cert.") {
        reader.not_yet(node, text);
    } else {
        reader.error(Kind::Value, node, format!("`{text}` cannot be a principal"), forms);
    }
}

fn ignored(reader: &mut Reader, node: &Node, identity: &mut Identity) {
    let Some(text) = reader.text(node) else { return };
    let stem = text.strip_suffix('*').unwrap_or(text);
    if stem.is_empty() {
        let message = "`*` would ignore every cookie, and with them whoever is signed in";
        reader.error(Kind::Unsafe, node, message, "name the cookies that mean nothing: [csrftoken, _ga*]");
        return;
    }
    if !is_cookie_name(stem) || stem.contains('*') {
        let message = format!("`{text}` cannot be the name of a cookie");
        reader.error(Kind::Value, node, message, "write a name; a `*` may stand at its end only: _ga*");
        return;
    }
    let matches = |name: &str| if text.ends_with('*') { name.starts_with(stem) } else { name == stem };
    if let Some(cookie) = identity.cookies.iter().find(|name| matches(name)) {
        let message = format!("`{text}` is ignored, but `cookie.{cookie}` is part of the principal");
        reader.error(Kind::Contradiction, node, message, "remove it from one of the two lists");
    } else if let Some(cookie) = SESSION_COOKIES.into_iter().find(|name| matches(name)) {
        let message = format!("`{text}` ignores `{cookie}`, by which many applications know who is signed in");
        reader.warn(Kind::Unsafe, node, message, format!("if yours does: principal: [cookie.{cookie}]"));
    }
    identity.ignore_cookies.push(text.to_owned());
}

/// RFC 6265 §4.1.1: a token; `*` is one too, but here it means any ending.
pub(super) fn is_cookie_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !br#"()<>@,;:\"/[]?={}*"#.contains(&byte))
}

/// Headers that name somebody without proving it, or that every client sends.
fn is_merely_claimed(header: &HeaderName) -> bool {
    const NAMES: [&str; 8] = [
        "accept",
        "accept-language",
        "accept-encoding",
        "user-agent",
        "referer",
        "origin",
        "content-type",
        "cache-control",
    ];
    const STEMS: [&str; 5] = ["x-tenant", "x-user", "x-role", "x-org", "x-client"];
    NAMES.contains(&header.as_str()) || STEMS.iter().any(|stem| header.as_str().starts_with(stem))
}
