//! `upstreams.NAME.paths`: by which names an origin knows one path; and what in a configuration shows that it knows several.

use crate::asker::identity::{CookieRole, Identity};
use crate::config::message::MessageKind;
use crate::config::node::Node;
use crate::config::reader::NodeReader;
use crate::rules::caching::Caching;
use crate::rules::path::aliases::{Aliases, Telling};
use crate::rules::route::Route;
use crate::upstream::settings::UpstreamSettings;

const TELLING: [(&str, Telling); 2] = [("distinct", Telling::Distinct), ("ignored", Telling::Ignored)];

pub(super) fn aliases(reader: &mut NodeReader, node: &Node) -> Option<Aliases> {
    let table = reader.table(node, &["parameters", "case", "suffixes"], &[])?;
    let mut aliases = Aliases::default();
    for (key, telling) in [("parameters", &mut aliases.parameters), ("case", &mut aliases.case)] {
        *telling = table.get(key).and_then(|node| reader.choice(node, &TELLING)).unwrap_or_default();
    }
    for item in table.get("suffixes").and_then(|node| reader.one_or_list(node)).unwrap_or_default() {
        let Some(text) = reader.text(item) else { continue };
        let suffix = text.to_ascii_lowercase();
        let rest = suffix.strip_prefix('.');
        if !rest.is_some_and(|rest| rest.len() <= 16 && rest.bytes().all(|b| b.is_ascii_alphanumeric())) {
            reader.error(
                MessageKind::Value,
                item,
                format!("`{text}` is not the end of a path's last part"),
                "write .json, or \".\" for a dot alone",
            );
        } else if aliases.suffixes.contains(&suffix) {
            reader.error(MessageKind::Duplicate, item, format!("`{text}` is listed twice"), "keep one of the two");
        } else {
            aliases.suffixes.push(suffix);
        }
    }
    Some(aliases)
}

/// Where nothing is said: does something show that the origin has other names for its paths? A write by one of them would leave what
/// is kept by another.
pub(super) fn check(
    reader: &mut NodeReader,
    root: &Node,
    identity: &Identity,
    upstreams: &[UpstreamSettings],
    routes: &[Route],
) {
    let Some(section) = root.get("upstreams") else { return };
    let is_said = |node: &Node| node.get("paths").is_some();
    if section.get("defaults").is_some_and(is_said) {
        return;
    }
    for (index, upstream) in upstreams.iter().enumerate() {
        let Some(node) = section.get(&upstream.name).filter(|node| !is_said(node)) else { continue };
        let own: Vec<&Route> = routes.iter().filter(|route| route.upstream == index).collect();
        if own.iter().all(|route| route.caching == Caching::Pass) {
            continue;
        }
        if let Some((because, write)) = by_session(identity).or_else(|| by_routes(&own)) {
            let message = format!("{because}: a write by the one name leaves what is kept by the other");
            reader.warn(MessageKind::Unsafe, node, message, write);
        }
    }
}

/// The session's cookie names the server.
fn by_session(identity: &Identity) -> Option<(String, String)> {
    let is_own = |name: &str| identity.cookie(name) == CookieRole::Principal;
    if is_own("JSESSIONID") {
        let because = "`cookie.JSESSIONID` is that of a servlet container, which takes /a;b=c for /a";
        let write = "write paths: {parameters: ignored}, or `distinct` if this one looks at what stands behind `;`";
        return Some((because.to_owned(), write.to_owned()));
    }
    let microsoft =
        ["ASP.NET_SessionId", ".ASPXAUTH", ".AspNetCore.Session", ".AspNetCore.Cookies", ".AspNet.ApplicationCookie"];
    let own = microsoft.into_iter().find(|name| is_own(name))?;
    let because = format!("`cookie.{own}` is that of ASP.NET, which takes /A for /a");
    Some((because, "write paths: {case: ignored}, or `distinct` if this one tells them apart".to_owned()))
}

/// Two routes name one path with and without a suffix, or in another case.
fn by_routes(routes: &[&Route]) -> Option<(String, String)> {
    for one in routes {
        for other in routes {
            let (plain, named) = (&*one.path.text, &*other.path.text);
            if plain != named && plain.eq_ignore_ascii_case(named) {
                let because = format!("`{plain}` and `{named}` are one path in two cases");
                return Some((
                    because,
                    "write paths: {case: ignored}, or `distinct` if they are two things".to_owned(),
                ));
            }
            let Some(suffix) = named.strip_prefix(plain).filter(|_| plain.len() > 1) else { continue };
            if ["json", "xml", "html", "csv", "txt"].iter().any(|known| suffix.strip_prefix('.') == Some(known)) {
                let because = format!("`{plain}` and `{named}` may be one thing in two formats");
                let write = format!("write paths: {{suffixes: [{suffix}]}}, or [] if they are two things");
                return Some((because, write));
            }
        }
    }
    None
}
