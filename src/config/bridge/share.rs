//! `share:`: who may have a stored answer.
//!
//! What a share may rest on: `principal` needs credentials that `identity.principal` names; a facet must be proven. A
//! facet that comes from the host, the path or a header is merely claimed (any client can write it), and with nothing
//! proven beside it, it is refused for that reason rather than for not being available yet.

use std::collections::HashSet;

use super::identity::{FacetSource, Facets};
use crate::config::nearest::nearest;
use crate::config::node::{Node, NodeKind};
use crate::config::problem::Kind;
use crate::config::reader::{Reader, Written};
use crate::identity::Identity;
use crate::policy::Share;

/// What reading a share depends on.
pub(super) struct Surroundings<'a> {
    pub identity: &'a Identity,
    /// `identity.principal` could not be read, so whether it is empty is not known.
    pub identity_is_sound: bool,
    pub facets: &'a Facets,
}

pub(super) fn share<'n>(
    reader: &mut Reader,
    node: &'n Node,
    around: &Surroundings<'_>,
    parts: &HashSet<String>,
) -> Option<Written<'n, Share>> {
    let forms = "write public, anonymous or principal";
    if let NodeKind::List(items) = &node.kind {
        facets(reader, node, items, around.facets, parts);
        return None;
    }
    let text = reader.text(node)?;
    let value = match text {
        "public" => Share::Public,
        "anonymous" => Share::Anonymous,
        "principal" => Share::Principal,
        "permitted" => {
            reader.not_yet(node, "share: permitted");
            return None;
        }
        name if around.facets.source(name).is_some() || parts.contains(name) => {
            facets(reader, node, std::slice::from_ref(node), around.facets, parts);
            return None;
        }
        _ => {
            let words = ["public", "anonymous", "principal", "permitted"];
            let hint = nearest(text, words).map_or(forms.to_owned(), |name| format!("did you mean `{name}`?"));
            reader.error(Kind::Value, node, format!("`{text}` is not a value of `share`"), hint);
            return None;
        }
    };
    let identity = around.identity;
    let nobody = !identity.authorization && identity.cookies.is_empty() && identity.headers.is_empty();
    if value == Share::Principal && nobody && around.identity_is_sound {
        let message = "`share: principal` needs to know who is asking, but `identity.principal` is empty";
        let hint =
            "write identity: {principal: [authorization, cookie.sessionid]}, with what your application signs in by";
        reader.error(Kind::Contradiction, node, message, hint);
        return None;
    }
    Some(Written { value, node })
}

/// Facets are not available yet; one that any client can claim is told so at once.
fn facets(reader: &mut Reader, node: &Node, items: &[Node], facets: &Facets, parts: &HashSet<String>) {
    let mut claimed = None;
    let mut proven = false;
    for item in items {
        let Some(name) = reader.text(item) else { return };
        match facets.source(name) {
            Some(FacetSource::Proven) => proven = true,
            Some(FacetSource::Claimed) => claimed = claimed.or(Some((item, name))),
            None if parts.contains(name) => claimed = claimed.or(Some((item, name))),
            None => {}
        }
    }
    if let Some((item, name)) = claimed.filter(|_| !proven) {
        let message = format!(
            "`{name}` is only what a client says of itself: any client can simply claim it and get another's answers"
        );
        reader.error(
            Kind::Unsafe,
            item,
            message,
            "write share: principal, which rests on the credentials that the origin checks",
        );
        return;
    }
    reader.not_yet(node, "share: [facets]");
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
