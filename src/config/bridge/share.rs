//! `share:` and `access:`: who may have a stored answer, and what must hold each time.
//!
//! What a share may rest on: `principal` needs credentials that `identity.principal` names; a facet must be proven. A
//! facet that comes from the host, the path or a header is merely claimed (any client can write it), and is refused with
//! nothing proven beside it.

use std::collections::HashSet;
use std::time::Duration;

use super::identity::{ConfiguredIdentity, source};
use super::templates;
use crate::asker::facet::{Facet, FacetSource, Worth};
use crate::config::message::MessageKind;
use crate::config::nearest::nearest;
use crate::config::node::{Node, NodeKind};
use crate::config::reader::{NodeReader, NodeTable, Written};
use crate::rules::caching::{Access, Ask, AskPath, Caching, Share, Slash, Yes};
use crate::rules::route::Route;
use crate::rules::template::Segment;

/// What reading a share depends on.
pub(super) struct Surroundings<'a> {
    pub who: &'a ConfiguredIdentity,
    /// `identity` could be read, so what it lacks is known.
    pub identity_is_sound: bool,
}

pub(super) fn share<'n>(
    reader: &mut NodeReader,
    node: &'n Node,
    around: &Surroundings<'_>,
    parts: &HashSet<String>,
) -> Option<Written<'n, Share>> {
    let forms = "write public, anonymous, principal, permitted or [facets]";
    if let NodeKind::List(items) = &node.kind {
        let value = facets(reader, node, items, around, parts)?;
        return Some(Written { value, node });
    }
    let text = reader.text(node)?;
    let value = match text {
        "public" => Share::Public,
        "anonymous" => Share::Anonymous,
        "principal" => Share::Principal,
        "permitted" => Share::Permitted,
        name if is_facet(name, around.who, parts) => facets(reader, node, std::slice::from_ref(node), around, parts)?,
        _ => {
            let words = ["public", "anonymous", "principal", "permitted"];
            let hint = nearest(text, words).map_or(forms.to_owned(), |name| format!("did you mean `{name}`?"));
            reader.error(MessageKind::Value, node, format!("`{text}` is not a value of `share`"), hint);
            return None;
        }
    };
    if value == Share::Principal && around.who.nobody() && around.identity_is_sound {
        let message = "`share: principal` needs to know who is asking, but `identity.principal` is empty";
        reader.error(MessageKind::Contradiction, node, message, SIGNED_IN_BY);
        return None;
    }
    Some(Written { value, node })
}

pub(super) const SIGNED_IN_BY: &str =
    "write identity: {principal: [authorization, cookie.sessionid]}, with what your application signs in by";

fn is_facet(name: &str, who: &ConfiguredIdentity, parts: &HashSet<String>) -> bool {
    who.facet(name).is_some() || who.broken.contains(name) || parts.contains(name) || source(name).is_some()
}

fn facets(
    reader: &mut NodeReader,
    node: &Node,
    items: &[Node],
    around: &Surroundings<'_>,
    parts: &HashSet<String>,
) -> Option<Share> {
    if items.is_empty() {
        reader.error(MessageKind::Missing, node, "there are no facets to share by", "write share: [tenant, role]");
        return None;
    }
    let mut found: Vec<(&Node, Facet)> = Vec::new();
    let mut unnamed = None;
    for item in items {
        let name = reader.text(item)?;
        let named = around.who.facet(name).map(|facet| facet.source.clone());
        let facet_source = match named.or_else(|| parts.contains(name).then(|| FacetSource::Part(name.to_owned()))) {
            Some(source) => source,
            // Where it stands it was said what is wrong with it.
            None if around.who.broken.contains(name) => return None,
            None => {
                unnamed = unnamed.or(Some((item, name)));
                match source(name) {
                    Some(source) => source,
                    None if around.identity_is_sound => continue,
                    None => return None,
                }
            }
        };
        if found.iter().any(|(_, other)| other.name == name) {
            reader.error(MessageKind::Duplicate, item, format!("`{name}` is listed twice"), "keep one of the two");
            return None;
        }
        found.push((item, Facet { name: name.to_owned(), source: facet_source }));
    }
    let proven = found.iter().any(|(_, facet)| facet.source.worth() == Worth::Proven);
    if let Some((item, facet)) = found.first().filter(|_| !proven) {
        let message = format!(
            "`{}` is only what a client says of itself: any client can simply claim it and get another's answers",
            facet.name
        );
        let hint =
            "share by something proven besides, like a claim of a token (jwt.tenant_id), or write share: principal";
        reader.error(MessageKind::Unsafe, item, message, hint);
        return None;
    }
    if let Some((item, name)) = unnamed {
        if !around.identity_is_sound {
            return None;
        }
        let facets = &around.who.identity.facets;
        let hint = match nearest(name, facets.iter().map(|facet| facet.name.as_str())) {
            Some(near) => format!("did you mean `{near}`?"),
            None if source(name).is_some() => {
                format!("write identity: {{facets: {{NAME: {name}}}}}, and its name here")
            }
            None => format!("write identity: {{facets: {{{name}: jwt.{name}}}}}"),
        };
        reader.error(MessageKind::UnknownName, item, format!("there is no facet `{name}`"), hint);
        return None;
    }
    Some(Share::Facets(found.into_iter().map(|(_, facet)| facet).collect()))
}

/// `token`, or `{ask: /authz/<id>, yes: 204, for: 60s}`.
pub(super) fn access<'n>(reader: &mut NodeReader, node: &'n Node) -> Option<Written<'n, Access>> {
    let forms = "write token, or {ask: /authz/<id>, yes: 204, for: 60s}";
    if let NodeKind::Scalar(scalar) = &node.kind
        && !node.is_empty()
    {
        if scalar.text == "token" {
            return Some(Written { value: Access::Token, node });
        }
        reader.error(MessageKind::Value, node, format!("`{}` is not a value of `access`", scalar.text), forms);
        return None;
    }
    let table = reader.table(node, &["ask", "for", "yes"], &[])?;
    let keep = table.get("for").map(|node| reader.duration(node));
    let Some(ask) = table.get("ask") else {
        reader.missing(node, "ask", "`access` does not say what the origin is asked for", forms);
        return None;
    };
    let about = match reader.text(ask)? {
        "self" => Ask::Same,
        _ => Ask::Path(reader.parsed(ask, "a path to ask for", "/authz/<id>", ask_path)?),
    };
    let keep = match keep {
        Some(keep) => keep?.value,
        None => Duration::ZERO,
    };
    let yes = match table.get("yes") {
        Some(node) => yes(reader, node)?,
        None => Yes::Usual,
    };
    if let (Ask::Path(_), Yes::Usual) = (&about, &yes) {
        let message = "`access` does not say what a yes is: any success that is not HTML counts as one";
        reader.warn(MessageKind::Unsafe, ask, message, "write yes: 204, or yes: {json: allowed}");
    }
    if let (Ask::Same, Yes::Field(_), Some(node)) = (&about, &yes, table.get("yes")) {
        let message = "`ask: self` asks for the answer itself, whose JSON says nothing of who may have it";
        reader.error(MessageKind::Contradiction, node, message, "write ask: /authz/<id>, or remove `yes`");
    }
    Some(Written { value: Access::Ask { about, keep, yes }, node })
}

/// `204`, or `{json: allowed}`.
fn yes(reader: &mut NodeReader, node: &Node) -> Option<Yes> {
    let forms = "write 204, or {json: allowed} for a field of the answer's JSON that is true";
    if let NodeKind::Map(_) = &node.kind {
        let table = reader.table(node, &["json"], &[])?;
        let Some(field) = table.get("json") else {
            reader.missing(node, "json", "`yes` does not say which field is the yes", forms);
            return None;
        };
        let name = reader.text(field)?;
        if name.split('.').any(str::is_empty) {
            reader.error(
                MessageKind::Value,
                field,
                format!("`{name}` cannot be the name of a field"),
                "write result.allow",
            );
            return None;
        }
        return Some(Yes::Field(name.to_owned()));
    }
    let scalar = reader.scalar(node, "a status or {json: FIELD}", forms)?;
    match scalar.text.parse::<u16>() {
        Ok(status @ 200..=299) => Some(Yes::Status(status)),
        _ => {
            reader.error(MessageKind::Value, node, format!("`{}` cannot be a yes", scalar.text), forms);
            None
        }
    }
}

fn ask_path(text: &str) -> Result<AskPath, templates::TemplateRefusal> {
    let template = templates::path(text)?;
    if template.rest {
        let hint = "write a path with parts of the route: /authz/<id>";
        return Err((format!("`{text}` is not one path"), hint.to_owned()));
    }
    let slash = if text.ends_with('/') { Slash::Trailing } else { Slash::None };
    Ok(AskPath { segments: template.segments, slash })
}

/// Whether share and access fit together, and what they need is there. Only what `local` had a part in is reported.
pub(super) fn check(
    reader: &mut NodeReader,
    share: Option<&Written<'_, Share>>,
    access: Option<&Written<'_, Access>>,
    around: &Surroundings<'_>,
) {
    let Some(share) = share else { return };
    match access {
        None if share.value == Share::Permitted => {
            let message = "`share: permitted` does not say how it is found out who may have an answer";
            reader.error(
                MessageKind::Missing,
                share.node,
                message,
                "write access: {ask: /authz/<id>, yes: 204, for: 60s}, or access: token",
            );
        }
        Some(access) if !share.value.is_sensitive() => {
            let message = format!("`access` means nothing with `share: {}`: nobody is asked who they are", share.value);
            reader.error(MessageKind::Contradiction, access.node, message, "remove it, or write share: permitted");
        }
        Some(access)
            if access.value == Access::Token && around.who.identity.token.is_none() && around.identity_is_sound =>
        {
            let message = "`access: token` needs keys to verify tokens with";
            reader.error(
                MessageKind::Missing,
                access.node,
                message,
                "write identity: {jwt: {from: authorization, keys: {file: jwks.json}}}",
            );
        }
        Some(access) if access.value != Access::Token && around.who.nobody() && around.identity_is_sound => {
            let message = "the origin is asked with the caller's credentials, but `identity.principal` is empty";
            reader.error(MessageKind::Contradiction, access.node, message, SIGNED_IN_BY);
        }
        _ => {}
    }
    let asks = matches!(access, Some(Written { value: Access::Ask { about: Ask::Path(_), .. }, .. }));
    let said = share.value.facets().iter().find(|facet| matches!(facet.source, FacetSource::Access(_)));
    if let Some(facet) = said.filter(|_| !asks) {
        let message = format!("`{}` is what the origin says when it is asked, but it is asked for nothing", facet.name);
        reader.error(MessageKind::Missing, share.node, message, "write access: {ask: /authz/<id>, yes: 204, for: 60s}");
    }
}

/// Whether a route has the parts that its policy shares or asks by.
pub(super) fn check_parts(reader: &mut NodeReader, table: NodeTable<'_>, route: &Route, parts: &[String]) {
    let Caching::Named(policy) = &route.caching else { return };
    let shared = policy.share.facets().iter().filter_map(|facet| match &facet.source {
        FacetSource::Part(name) => Some(name),
        _ => None,
    });
    let segments = match &policy.access {
        Some(Access::Ask { about: Ask::Path(path), .. }) => path.segments.as_slice(),
        _ => &[],
    };
    let asked = segments.iter().filter_map(|segment| match segment {
        Segment::Part(_, name) => Some(name),
        Segment::Literal(_) => None,
    });
    if let Some(name) = shared.chain(asked).find(|name| !parts.contains(name)) {
        let node = ["access", "share", "policy"].into_iter().find_map(|key| table.get(key)).unwrap_or(table.node);
        let message =
            format!("the policy needs `<{name}>`, which this route does not have: its requests are all passed");
        reader.warn(
            MessageKind::Contradiction,
            node,
            message,
            format!("write <{name}> in its path, or give it another policy"),
        );
    }
}

/// The names of the parts in the paths and hosts of the routes with this policy.
pub(super) fn parts_beside(root: &Node, policy: &str) -> HashSet<String> {
    let Some(Node { kind: NodeKind::List(routes), .. }) = root.get("routes") else { return HashSet::new() };
    let with_policy = |route: &&Node| matches!(route.get("policy"), Some(Node { kind: NodeKind::Scalar(scalar), .. }) if scalar.text == policy);
    routes.iter().filter(with_policy).flat_map(parts_of).collect()
}

/// The names in `<id>` and `<int:id>` of one route, however the rest of it looks.
pub(super) fn parts_of(route: &Node) -> Vec<String> {
    let texts = ["path", "host"].into_iter().filter_map(|key| match &route.get(key)?.kind {
        NodeKind::Scalar(scalar) => Some(scalar.text.as_str()),
        _ => None,
    });
    let name = |hole: &str| hole.split_once('>').map(|(name, _)| name.rsplit(':').next().unwrap_or(name).to_owned());
    texts.flat_map(|text| text.split('<').skip(1)).filter_map(name).collect()
}
