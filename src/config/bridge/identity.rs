//! `identity:`: who is asking, and what can be known about them.

use std::collections::HashSet;
use std::path::Path;

use http::HeaderName;

use super::headers;
use super::jwt::jwt;
use super::session_cookies::{self, CookieMeaning};
use super::tls::Certificates;
use crate::asker::facet::certificate::SubjectField;
use crate::asker::facet::{Facet, FacetSource};
use crate::asker::identity::Identity;
use crate::asker::token::TokenSettings;
use crate::config::message::{ConfigProblem, MessageKind};
use crate::config::nearest::nearest;
use crate::config::node::{KeyNode, Node};
use crate::config::reader::NodeReader;
use crate::edge::settings::ServerSettings;
use crate::fields::credential::is_credential;
use crate::fields::glob::glob;

/// `identity:` as it was read.
#[derive(Debug, Default)]
pub(super) struct ConfiguredIdentity {
    pub identity: Identity,
    pub tokens: Option<TokenSettings>,
    /// Facets that are named but cannot be used, which was said where they stand: what needs them says nothing further.
    pub broken: HashSet<String>,
}

impl ConfiguredIdentity {
    pub(super) fn facet(&self, name: &str) -> Option<&Facet> {
        self.identity.facets.iter().find(|facet| facet.name == name)
    }

    pub(super) fn nobody(&self) -> bool {
        let identity = &self.identity;
        !identity.authorization && identity.cookies.is_empty() && identity.headers.is_empty()
    }
}

pub(super) fn identity(
    reader: &mut NodeReader,
    node: Option<&Node>,
    server: &ServerSettings,
    certificates: Certificates,
    folder: &Path,
) -> ConfiguredIdentity {
    let mut who = ConfiguredIdentity::default();
    let known = [
        "principal",
        "ignore_cookies",
        "affinity_cookies",
        "form_cookies",
        "ignore_headers",
        "url_credentials",
        "secret_fields",
        "jwt",
        "facets",
    ];
    let Some(table) = node.and_then(|node| reader.table(node, &known, &[])) else { return who };
    for item in table.get("principal").and_then(|node| reader.one_or_list(node)).unwrap_or_default() {
        principal(reader, item, &mut who.identity);
    }
    for item in table.get("ignore_cookies").and_then(|node| reader.one_or_list(node)).unwrap_or_default() {
        ignored(reader, item, &mut who.identity);
    }
    for item in table.get("ignore_headers").and_then(|node| reader.one_or_list(node)).unwrap_or_default() {
        ignored_header(reader, item, &mut who.identity);
    }
    let everything = "would make every request a pass";
    who.identity.url_credentials = names(reader, table.get("url_credentials"), everything, "[visit_key]");
    let everything = "would keep no answer at all";
    who.identity.secret_fields = names(reader, table.get("secret_fields"), everything, "[x-visit-key]");
    for item in table.get("form_cookies").and_then(|node| reader.one_or_list(node)).unwrap_or_default() {
        form(reader, item, &mut who.identity);
    }
    for item in table.get("affinity_cookies").and_then(|node| reader.one_or_list(node)).unwrap_or_default() {
        affinity(reader, item, &mut who.identity);
    }
    if let Some(node) = table.get("jwt") {
        let (source, tokens) = jwt(reader, node, &who.identity, folder);
        (who.identity.token, who.tokens) = (Some(source), tokens);
    }
    for (name, node) in table.get("facets").and_then(|node| reader.named(node)).unwrap_or_default() {
        match facet(reader, name, node, &who.identity, (server, certificates)) {
            Some(source) => who.identity.facets.push(Facet { name: name.text.clone(), source }),
            None => drop(who.broken.insert(name.text.clone())),
        }
    }
    who
}

fn facet(
    reader: &mut NodeReader,
    name: &KeyNode,
    node: &Node,
    identity: &Identity,
    (server, certificates): (&ServerSettings, Certificates),
) -> Option<FacetSource> {
    if ["public", "anonymous", "principal", "permitted"].contains(&name.text.as_str()) {
        let message = format!("`{}` is a word of `share` and cannot be the name of a facet", name.text);
        reader.push(
            ConfigProblem::error(MessageKind::Value, name.place, &node.path, message).hint("give it another name"),
        );
        return None;
    }
    let text = reader.text(node)?;
    let (kind, rest) = text.split_once('.').unwrap_or((text, ""));
    let source = source(text);
    match &source {
        Some(FacetSource::Jwt(_)) if identity.token.is_none() => {
            let message = format!("`{text}` is in a token, but there is no `identity.jwt` to verify one with");
            reader.error(
                MessageKind::Missing,
                node,
                message,
                "write jwt: {from: authorization, keys: {file: jwks.json}}",
            );
            return None;
        }
        Some(FacetSource::Cert(_)) if certificates == Certificates::Unasked => {
            let message = format!(
                "`{text}` is in a client's certificate, and there is no `server.tls.client_ca` to verify one by"
            );
            reader.error(MessageKind::Missing, node, message, "write server: {tls: {…, client_ca: ca.pem}}");
            return None;
        }
        Some(FacetSource::Trusted(_)) if server.trusted_proxies.is_empty() => {
            let message = format!("`{text}` is believed of `server.trusted_proxies` only, and there are none");
            reader.error(MessageKind::Missing, node, message, "write server: {trusted_proxies: [10.0.0.0/8]}");
            return None;
        }
        Some(FacetSource::Trusted(header)) if headers::is_connection(header) || headers::is_forwarding(header) => {
            let message = format!("`{header}` says nothing about who is asking");
            reader.error(
                MessageKind::Value,
                node,
                message,
                "name a header that your proxy sets once it knows the client",
            );
            return None;
        }
        Some(FacetSource::Trusted(header) | FacetSource::Header(header))
            if *header == http::header::AUTHORIZATION || *header == http::header::COOKIE =>
        {
            let message = format!("`{header}` holds credentials, not something that is known by them");
            reader.error(
                MessageKind::Value,
                node,
                message,
                "name it in `principal`, and write jwt.NAME for what it proves",
            );
            return None;
        }
        Some(_) => {}
        None if kind == "cert" && !rest.is_empty() => {
            let fields = SubjectField::ALL.map(|(name, _)| name);
            let near = nearest(rest, fields).map(|near| format!("did you mean `cert.{near}`?"));
            let hint = near.unwrap_or_else(|| format!("these can be facets: {}", fields.join(", ")));
            reader.error(MessageKind::Value, node, format!("`{text}` is not a field of a certificate"), hint);
        }
        None => {
            let forms = "write jwt.NAME, cert.NAME, access.NAME or trusted.NAME; beside one of them also host.NAME, path.NAME or header.NAME";
            let kinds = ["jwt", "cert", "access", "trusted", "host", "path", "header"];
            let near = nearest(kind, kinds).filter(|near| *near != kind && !rest.is_empty());
            let hint = near.map_or(forms.to_owned(), |near| format!("did you mean `{near}.{rest}`?"));
            reader.error(MessageKind::Value, node, format!("`{text}` is not where a facet comes from"), hint);
        }
    }
    source
}

/// `jwt.tenant_id` and the like.
pub(super) fn source(text: &str) -> Option<FacetSource> {
    let (kind, name) = text.split_once('.').filter(|(_, name)| !name.is_empty())?;
    let header = || HeaderName::from_bytes(name.as_bytes()).ok();
    match kind {
        "jwt" => Some(FacetSource::Jwt(name.to_owned())),
        "cert" => SubjectField::named(name).map(FacetSource::Cert),
        "access" => Some(FacetSource::Access(name.to_owned())),
        "trusted" => header().map(FacetSource::Trusted),
        "header" => header().map(FacetSource::Header),
        "host" | "path" => Some(FacetSource::Part(name.to_owned())),
        _ => None,
    }
}

fn principal(reader: &mut NodeReader, node: &Node, identity: &mut Identity) {
    let Some(text) = reader.text(node) else { return };
    let forms = "write authorization, cookie.NAME or header.NAME";
    if text == "authorization" {
        if identity.authorization {
            reader.error(MessageKind::Duplicate, node, "`authorization` is listed twice", "keep one of the two");
        }
        identity.authorization = true;
    } else if let Some(name) = text.strip_prefix("cookie.") {
        if !is_cookie_name(name) {
            reader.error(
                MessageKind::Value,
                node,
                format!("`{name}` cannot be the name of a cookie"),
                "write the exact name: cookie.sessionid",
            );
        } else if identity.cookies.iter().any(|other| other == name) {
            reader.error(MessageKind::Duplicate, node, format!("`{text}` is listed twice"), "keep one of the two");
        } else {
            identity.cookies.push(name.to_owned());
        }
    } else if let Some(name) = text.strip_prefix("header.") {
        match HeaderName::from_bytes(name.as_bytes()) {
            Ok(header) if header == http::header::AUTHORIZATION => {
                reader.error(MessageKind::Value, node, "`authorization` has a word of its own", "write authorization");
            }
            Ok(header) if header == http::header::COOKIE => {
                reader.error(
                    MessageKind::Value,
                    node,
                    "all cookies together cannot be the principal",
                    "name the one that signs in: cookie.sessionid",
                );
            }
            Ok(header) if headers::is_connection(&header) || headers::is_forwarding(&header) => {
                let message = format!("`{header}` says nothing about who is asking");
                reader.error(MessageKind::Value, node, message, forms);
            }
            Ok(header) if is_merely_claimed(&header) => {
                let message = format!(
                    "`{header}` is what a client simply claims: whoever sends another's gets another's answers"
                );
                let hint = "name what only its owner has, such as authorization, a session's cookie or header.x-api-key; of what a trusted proxy sets, write facets: {NAME: trusted.HEADER} and share: [NAME]";
                reader.error(MessageKind::Unsafe, node, message, hint);
            }
            Ok(header) if identity.headers.contains(&header) => {
                reader.error(MessageKind::Duplicate, node, format!("`{text}` is listed twice"), "keep one of the two");
            }
            Ok(header) => identity.headers.push(header),
            Err(_) => reader.error(MessageKind::Value, node, format!("`{name}` cannot be the name of a header"), forms),
        }
    } else if text.starts_with("jwt.") || text.starts_with("cert.") {
        reader.not_yet(node, text);
    } else {
        reader.error(MessageKind::Value, node, format!("`{text}` cannot be a principal"), forms);
    }
}

fn ignored(reader: &mut NodeReader, node: &Node, identity: &mut Identity) {
    let everything = "would ignore every cookie, and with them whoever is signed in";
    let Some(text) = cookie_pattern(reader, node, everything, MEANINGLESS) else { return };
    let matches = |name: &str| glob(&text, name);
    if let Some(cookie) = identity.cookies.iter().find(|name| matches(name)) {
        let message = format!("`{text}` is ignored, but `cookie.{cookie}` is part of the principal");
        reader.error(MessageKind::Contradiction, node, message, "remove it from one of the two lists");
    } else if let Some(meaning) = session_cookies::meaning(&text) {
        let (message, hint) = means_somebody(&text, &meaning);
        reader.warn(MessageKind::Unsafe, node, message, hint);
    }
    identity.ignore_cookies.push(text);
}

/// A header that says nothing of who asks, though it is not known here.
fn ignored_header(reader: &mut NodeReader, node: &Node, identity: &mut Identity) {
    let everything = "would ignore every header, and with them whatever narrows what somebody is to see";
    let Some(text) = name_pattern(reader, node, everything, "[x-client-version]") else { return };
    let is_own = |header: &&HeaderName| glob(&text, header.as_str());
    if let Some(header) = identity.headers.iter().find(is_own) {
        let message = format!("`{text}` is ignored, but `header.{header}` is part of the principal");
        reader.error(MessageKind::Contradiction, node, message, "remove it from one of the two lists");
    } else if HeaderName::from_bytes(text.trim_end_matches('*').as_bytes()).is_ok_and(|name| is_credential(&name)) {
        let message =
            format!("`{text}` sounds like a header by which somebody is known, or which narrows what they see");
        let hint = "name it in `principal` if only its owner has it, or in a policy's `vary: {headers: […]}`";
        reader.warn(MessageKind::Unsafe, node, message, hint);
    }
    identity.ignore_headers.push(text);
}

/// Names that extend a list, in lower case.
fn names(reader: &mut NodeReader, node: Option<&Node>, everything: &str, example: &str) -> Vec<String> {
    let items = node.and_then(|node| reader.one_or_list(node)).unwrap_or_default();
    items.iter().filter_map(|item| name_pattern(reader, item, everything, example)).collect()
}

/// A name in lower case, or with a `*` at its end the beginning of some.
fn name_pattern(reader: &mut NodeReader, node: &Node, everything: &str, example: &str) -> Option<String> {
    let text = reader.text(node)?.to_ascii_lowercase();
    let stem = text.strip_suffix('*').unwrap_or(&text);
    if stem.is_empty() {
        reader.error(MessageKind::Unsafe, node, format!("`*` {everything}"), format!("name them: {example}"));
        return None;
    }
    if HeaderName::from_bytes(stem.as_bytes()).is_err() || stem.contains('*') {
        let message = format!("`{text}` cannot be such a name");
        reader.error(
            MessageKind::Value,
            node,
            message,
            format!("write a name; a `*` may stand at its end only: {example}"),
        );
        return None;
    }
    Some(text)
}

/// A cookie that protects forms, though it is not known here.
fn form(reader: &mut NodeReader, node: &Node, identity: &mut Identity) {
    let everything = "would take every cookie for a form's, and keep a copy for each browser";
    let hint = "name the cookie that protects forms: [clinic-csrf]";
    let Some(text) = cookie_pattern(reader, node, everything, hint) else { return };
    if let Some(cookie) = identity.cookies.iter().find(|name| glob(&text, name)) {
        let message = format!(
            "`{text}` protects forms and says nothing of who asks, but `cookie.{cookie}` is part of the principal"
        );
        reader.error(MessageKind::Contradiction, node, message, "remove it from one of the two lists");
    }
    identity.form_cookies.push(text);
}

fn affinity(reader: &mut NodeReader, node: &Node, identity: &mut Identity) {
    let everything = "would take every cookie for a load balancer's, and whoever is signed in for anybody";
    let hint = "name the cookies that say which server has a session: [lb-clinic]";
    let Some(text) = cookie_pattern(reader, node, everything, hint) else { return };
    let matches = |name: &str| glob(&text, name);
    if let Some(cookie) = identity.cookies.iter().find(|name| matches(name)) {
        let message =
            format!("`{text}` says where to go and not who asks, but `cookie.{cookie}` is part of the principal");
        reader.error(MessageKind::Contradiction, node, message, "remove it from one of the two lists");
    } else if let Some(CookieMeaning::SignsIn(cookie)) = session_cookies::meaning(&text) {
        // Unlike one that is ignored it is sent, under `origin` even for what everybody shares.
        let message = format!(
            "`{text}` takes `{cookie}` for a load balancer's, by which many applications know who is signed in"
        );
        let hint =
            format!("write principal: [cookie.{cookie}]; the upstream may have `sticky: cookie.{cookie}` all the same");
        reader.error(MessageKind::Unsafe, node, message, hint);
    }
    identity.affinity_cookies.push(text);
}

/// What to name instead of all cookies.
pub(super) const MEANINGLESS: &str = "name the cookies that mean nothing: [csrftoken, _ga*]";

/// What is wrong with ignoring a cookie that tells people apart, and what to write.
fn means_somebody(text: &str, meaning: &CookieMeaning) -> (String, String) {
    let exact = |name: &str| match is_cookie_name(name) {
        true => name.to_owned(),
        false => "NAME".to_owned(),
    };
    match meaning {
        CookieMeaning::SignsIn(cookie) => (
            format!("`{text}` ignores `{cookie}`, by which many applications know who is signed in"),
            format!("if yours does: principal: [cookie.{}]", exact(cookie)),
        ),
        CookieMeaning::Sounds(word) => (
            format!("`{text}` has `{word}` in its name, like cookies by which applications know who is signed in"),
            format!("if yours is one: principal: [cookie.{}]; if it is not, nothing need be done", exact(text)),
        ),
        CookieMeaning::Messages(cookie) => (
            format!("`{text}` ignores `{cookie}`, in which Django and others keep what they have to tell one person"),
            "take it off the list: a request that brings it is passed then, and whoever it is for is told".to_owned(),
        ),
    }
}

/// The name of a cookie, or with a `*` at its end the beginning of some; `everything` says what `*` alone would do, and
/// `hint` what to write instead.
pub(super) fn cookie_pattern(reader: &mut NodeReader, node: &Node, everything: &str, hint: &str) -> Option<String> {
    let text = reader.text(node)?;
    let stem = text.strip_suffix('*').unwrap_or(text);
    if stem.is_empty() {
        reader.error(MessageKind::Unsafe, node, format!("`*` {everything}"), hint);
        return None;
    }
    if !is_cookie_name(stem) {
        let message = format!("`{text}` cannot be the name of a cookie");
        reader.error(MessageKind::Value, node, message, "write a name; a `*` may stand at its end only: _ga*");
        return None;
    }
    Some(text.to_owned())
}

/// RFC 6265 §4.1.1: a token; `*` is one too, but here it means any ending.
pub(super) fn is_cookie_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !br#"()<>@,;:\"/[]?={}*"#.contains(&byte))
}

/// Headers that name somebody without proving it, or that every client sends.
fn is_merely_claimed(header: &HeaderName) -> bool {
    // What names somebody, unless it says that it is a secret.
    const NAMING: [&str; 25] = [
        "account",
        "customer",
        "dn",
        "email",
        "group",
        "groups",
        "login",
        "mail",
        "member",
        "name",
        "org",
        "organization",
        "patient",
        "person",
        "practitioner",
        "principal",
        "role",
        "roles",
        "subject",
        "tenant",
        "uid",
        "upn",
        "user",
        "userid",
        "username",
    ];
    const SECRET: [&str; 10] =
        ["token", "key", "apikey", "secret", "session", "signature", "jwt", "assertion", "ticket", "password"];
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
    let words: Vec<&str> = header.as_str().split(['-', '_']).collect();
    let is_secret = words.iter().any(|word| SECRET.contains(word));
    NAMES.contains(&header.as_str())
        || STEMS.iter().any(|stem| header.as_str().starts_with(stem))
        || !is_secret && words.iter().any(|word| NAMING.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_proof() {
        let claimed = |name: &'static str| is_merely_claimed(&HeaderName::from_static(name));
        for name in [
            "remote-user",
            "x-remote-user",
            "x-auth-request-email",
            "x-auth-username",
            "cf-access-authenticated-user-email",
            "x-authentik-uid",
            "x-ms-client-principal-name",
            "x-ssl-client-s-dn",
            "x-patient-id",
            "x_user",
        ] {
            assert!(claimed(name), "{name}");
        }
        for name in ["x-api-key", "x-session", "x-auth-token", "x-amzn-oidc-data", "x-account-key", "x-csrf-token"] {
            assert!(!claimed(name), "{name}");
        }
    }
}
