//! `policies:`, and the same keys where a route overrides them.

use std::collections::HashSet;
use std::time::Duration;

use http::HeaderName;

use super::identity::{MEANINGLESS, cookie_pattern};
use super::share::{self, Surroundings, parts_beside};
use super::vary;
use crate::asker::identity::{Identity, form};
use crate::config::message::{ConfigProblem, MessageKind};
use crate::config::node::{Node, NodeKind};
use crate::config::reader::{NodeReader, NodeTable, Written};
use crate::config::units::show_duration;
use crate::fields::glob::glob;
use crate::rules::caching::{Access, ClientNoCache, Expired, NamedPolicy, Share, TypePattern};
use crate::rules::canonical::Serves;

/// The names that mean something without being defined.
pub(super) const BUILT_IN: [&str; 3] = ["pass", "origin", "rfc9111"];

/// The keys that a policy and a route share.
pub(super) const KEYS: [&str; 13] = [
    "share",
    "access",
    "signed_in",
    "ttl",
    "stale_while_revalidate",
    "stale_if_error",
    "ceiling",
    "types",
    "strip_cookies",
    "touch",
    "client_no_cache",
    "override",
    "compress",
];
pub(super) const NOT_YET: [&str; 2] = ["pool", "cdn"];

/// A policy as far as it is written; a route's overrides have this form too.
#[derive(Debug, Clone, Default)]
pub(super) struct Draft<'n> {
    pub share: Option<Written<'n, Share>>,
    access: Option<Written<'n, Access>>,
    signed_in: Option<&'n Node>,
    ttl: Option<Written<'n, Duration>>,
    stale_while_revalidate: Option<Written<'n, Duration>>,
    stale_if_error: Option<Written<'n, Duration>>,
    ceiling: Option<Written<'n, Duration>>,
    types: Option<Vec<(TypePattern, Written<'n, Duration>)>>,
    /// Headers that are keyed and sent.
    vary: Vec<HeaderName>,
    /// What is reduced.
    pub serves: Serves,
    strip_cookies: Option<Vec<String>>,
    touch: Option<Written<'n, Duration>>,
    expired: Option<Written<'n, Expired>>,
    client_no_cache: Option<ClientNoCache>,
}

/// An entry of `policies:`.
#[derive(Debug)]
pub(super) struct Policy<'n> {
    pub name: &'n str,
    pub draft: Draft<'n>,
    /// Nothing is wrong with it, and nothing in it is not available yet.
    pub sound: bool,
}

/// `None`: the section cannot be read, and names in it cannot be known.
pub(super) fn policies<'n>(
    reader: &mut NodeReader,
    root: &'n Node,
    around: &Surroundings<'_>,
) -> Option<Vec<Policy<'n>>> {
    let Some(node) = root.get("policies") else {
        return (!reader.is_meant(root, "policies")).then(Vec::new);
    };
    let mut policies = Vec::new();
    for (key, node) in reader.named(node)? {
        if BUILT_IN.contains(&key.text.as_str()) {
            let message = format!("the policy `{}` is built in and cannot be defined anew", key.text);
            let problem = ConfigProblem::error(MessageKind::Duplicate, key.place, &node.path, message);
            reader.push(problem.hint("give yours another name"));
            continue;
        }
        let before = reader.errors();
        let known = [&KEYS[..], &["vary"]].concat();
        let mut draft = Draft::default();
        if let Some(table) = reader.table(node, &known, &NOT_YET) {
            draft = self::draft(reader, table, around, &parts_beside(root, &key.text));
            if table.get("share").is_none() {
                let message = format!("the policy `{}` does not say who may share its answers", key.text);
                let hint = "there is no default: write share: principal, share: anonymous or share: public";
                reader.missing(node, "share", message, hint);
            }
            if reader.errors() == before {
                draft.check(reader, &draft, around);
            }
        }
        let sound = reader.errors() == before;
        policies.push(Policy { name: &key.text, draft, sound });
    }
    Some(policies)
}

pub(super) fn draft<'n>(
    reader: &mut NodeReader,
    table: NodeTable<'n>,
    around: &Surroundings<'_>,
    parts: &HashSet<String>,
) -> Draft<'n> {
    if let Some(node) = table.get("compress") {
        let off = matches!(&node.kind, NodeKind::Scalar(scalar) if scalar.plain && scalar.text == "false");
        if !off && !matches!(node.kind, NodeKind::Broken) {
            reader.not_yet(node, &node.path);
        }
    }
    let signed_in = table.get("signed_in").filter(|node| {
        reader.text(node).is_some_and(|text| {
            text == "pass" || {
                reader.not_yet(node, &format!("signed_in: {text}"));
                false
            }
        })
    });
    let (vary, serves) = table.get("vary").map(|node| vary::vary(reader, node)).unwrap_or_default();
    Draft {
        share: table.get("share").and_then(|node| share::share(reader, node, around, parts)),
        access: table.get("access").and_then(|node| share::access(reader, node)),
        signed_in,
        ttl: table
            .get("ttl")
            .and_then(|node| reader.positive_duration(node, "to keep nothing, write policy: pass on the route")),
        stale_while_revalidate: table.get("stale_while_revalidate").and_then(|node| reader.duration(node)),
        stale_if_error: table.get("stale_if_error").and_then(|node| reader.duration(node)),
        ceiling: table.get("ceiling").and_then(|node| reader.positive_duration(node, "write 15m, or leave it out")),
        types: table.get("types").and_then(|node| types(reader, node)),
        vary,
        serves,
        strip_cookies: table.get("strip_cookies").map(|node| strip_cookies(reader, node, &around.who.identity)),
        touch: table
            .get("touch")
            .and_then(|node| reader.positive_duration(node, "write less than the session's idle time, such as 5m")),
        expired: table.get("override").and_then(|node| expired(reader, node)),
        client_no_cache: table.get("client_no_cache").and_then(|node| reader.choice(node, &CLIENT_NO_CACHE)),
    }
}

/// What a client's reload means.
const CLIENT_NO_CACHE: [(&str, ClientNoCache); 2] =
    [("heed", ClientNoCache::Heeded), ("ignore", ClientNoCache::Ignored)];

fn expired<'n>(reader: &mut NodeReader, node: &'n Node) -> Option<Written<'n, Expired>> {
    let value = if reader.boolean(node)? { Expired::Overridden } else { Expired::Heeded };
    Some(Written { value, node })
}

fn types<'n>(reader: &mut NodeReader, node: &'n Node) -> Option<Vec<(TypePattern, Written<'n, Duration>)>> {
    let mut types = Vec::new();
    for (key, node) in reader.map(node)? {
        let Some(pattern) = pattern(&key.text) else {
            let message = format!("`{}` is not a media type", key.text);
            let problem = ConfigProblem::error(MessageKind::Value, key.place, &node.path, message);
            reader.push(problem.hint("write text/css, image/* or fingerprinted"));
            continue;
        };
        if let Some(time) = reader.positive_duration(node, "to keep nothing of this type, leave it out") {
            types.push((pattern, time));
        }
    }
    Some(types)
}

fn pattern(text: &str) -> Option<TypePattern> {
    if text == "fingerprinted" {
        return Some(TypePattern::Fingerprinted);
    }
    // RFC 6838 §4.2 restricted names.
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let (family, kind) = text.split_once('/')?;
    match kind {
        "*" if is_part(family) => Some(TypePattern::Family(family.to_ascii_lowercase())),
        _ if is_part(family) && is_part(kind) => Some(TypePattern::Exact(text.to_ascii_lowercase())),
        _ => None,
    }
}

/// Names of cookies whose setting does not hinder an answer from being kept.
pub(super) fn strip_cookies(reader: &mut NodeReader, node: &Node, who: &Identity) -> Vec<String> {
    let mut names = Vec::new();
    for item in reader.one_or_list(node).unwrap_or_default() {
        let everything = "would strip every cookie, and with them whoever signs in";
        let Some(pattern) = cookie_pattern(reader, item, everything, MEANINGLESS) else {
            continue;
        };
        if form::is_known(&pattern) || who.form_cookies.contains(&pattern) {
            let message =
                format!("`{pattern}` protects forms: a page that is kept without it breaks the form that is on it");
            reader.error(
                MessageKind::Unsafe,
                item,
                message,
                "remove it: a form's cookie is keyed and sent, and hinders nothing",
            );
        }
        if let Some(cookie) = who.cookies.iter().find(|name| glob(&pattern, name)) {
            let message = format!("an answer that sets `{cookie}` is one person's: it is part of the principal");
            reader.error(MessageKind::Unsafe, item, message, "remove it: such answers are not kept");
        }
        names.push(pattern);
    }
    names
}

impl<'n> Draft<'n> {
    /// This one's keys, and where it is silent those of `other`; the headers of both.
    pub(super) fn over(&self, other: &Draft<'n>) -> Draft<'n> {
        let said = |own: &[String], other: &[String]| if own.is_empty() { other.to_vec() } else { own.to_vec() };
        Draft {
            share: self.share.clone().or_else(|| other.share.clone()),
            access: self.access.clone().or_else(|| other.access.clone()),
            signed_in: self.signed_in.or(other.signed_in),
            ttl: self.ttl.or(other.ttl),
            stale_while_revalidate: self.stale_while_revalidate.or(other.stale_while_revalidate),
            stale_if_error: self.stale_if_error.or(other.stale_if_error),
            ceiling: self.ceiling.or(other.ceiling),
            types: self.types.clone().or_else(|| other.types.clone()),
            vary: self.vary.iter().chain(&other.vary).cloned().collect(),
            serves: Serves {
                languages: said(&self.serves.languages, &other.serves.languages),
                encodings: said(&self.serves.encodings, &other.serves.encodings),
                media: said(&self.serves.media, &other.serves.media),
            },
            strip_cookies: self.strip_cookies.clone().or_else(|| other.strip_cookies.clone()),
            touch: self.touch.or(other.touch),
            expired: self.expired.or(other.expired),
            client_no_cache: self.client_no_cache.or(other.client_no_cache),
        }
    }

    /// Does what holds in the end contradict itself? Only what `local` had a part in is reported.
    pub(super) fn check(&self, reader: &mut NodeReader, local: &Draft<'_>, around: &Surroundings<'_>) {
        if local.share.is_some() || local.access.is_some() {
            share::check(reader, self.share.as_ref(), self.access.as_ref(), around);
        }
        if let (Some(ttl), Some(ceiling)) = (self.ttl, self.ceiling)
            && ttl.value > ceiling.value
            && let Some(at) = local.ttl.or(local.ceiling)
        {
            let (ttl, ceiling) = (show_duration(ttl.value), show_duration(ceiling.value));
            let message =
                format!("`ttl` is {ttl}, but nothing older than the `ceiling` of {ceiling} is ever delivered");
            reader.error(
                MessageKind::Contradiction,
                at.node,
                message,
                format!("write a `ttl` of {ceiling} or less, or a `ceiling` of {ttl} or more"),
            );
        }
        for (_, time) in local.types.iter().flatten() {
            if let Some(ceiling) = self.ceiling.filter(|ceiling| time.value > ceiling.value) {
                let ceiling = show_duration(ceiling.value);
                let message = format!("{} is longer than the `ceiling` of {ceiling}", show_duration(time.value));
                reader.error(
                    MessageKind::Contradiction,
                    time.node,
                    message,
                    format!("write {ceiling} or less, or a longer `ceiling`"),
                );
            }
        }
        if let (Some(share), Some(touch)) = (&self.share, local.touch)
            && share.value != Share::Principal
        {
            let message = format!(
                "`touch` lets a principal's session go on, and answers of `share: {}` are no principal's",
                share.value
            );
            reader.error(MessageKind::Contradiction, touch.node, message, "remove it, or write share: principal");
        }
        if let (Some(share), Some(expired)) = (&self.share, local.expired)
            && share.value == Share::Principal
            && expired.value == Expired::Overridden
        {
            let message =
                "`override` lets answers be shared that the origin says are over, and `share: principal` shares none";
            reader.error(MessageKind::Contradiction, expired.node, message, "remove it: the `ttl` holds without it");
        }
        if let (Some(share), Some(node)) = (&self.share, local.signed_in)
            && share.value != Share::Anonymous
        {
            let message = format!(
                "`signed_in` means something with `share: anonymous` only, and this is `share: {}`",
                share.value
            );
            reader.error(MessageKind::Contradiction, node, message, "remove it, or write share: anonymous");
        }
    }

    /// The validated form; `None` if it does not say who may share.
    pub(super) fn finish(&self, who: &Identity) -> Option<NamedPolicy> {
        let value = |written: Option<Written<'_, Duration>>| written.map(|written| written.value);
        let mut vary: Vec<HeaderName> = self.vary.iter().cloned().chain(self.serves.fields()).collect();
        vary.sort_by(|a, b| a.as_str().cmp(b.as_str()));
        vary.dedup();
        let types = self.types.iter().flatten();
        let share = self.share.clone()?.value;
        let unsent = unsent(&share, &vary, who);
        Some(NamedPolicy {
            share,
            access: self.access.clone().map(|access| access.value),
            ttl: value(self.ttl),
            stale_while_revalidate: value(self.stale_while_revalidate),
            stale_if_error: value(self.stale_if_error),
            ceiling: value(self.ceiling),
            types: types.map(|(pattern, time)| (pattern.clone(), time.value)).collect(),
            vary,
            strip_cookies: self.strip_cookies.clone().unwrap_or_default(),
            unsent,
            secret_fields: who.secret_fields.clone(),
            expired: self.expired.map(|expired| expired.value).unwrap_or_default(),
            touch: value(self.touch),
            client_no_cache: self.client_no_cache.unwrap_or_default(),
        })
    }
}

/// The credentials that a fetch for all does not send, as far as they are fields of their own. Who shows a part of the
/// principal has no part in what is for those who show none.
fn unsent(share: &Share, vary: &[HeaderName], who: &Identity) -> Vec<HeaderName> {
    let own = match share {
        _ if share.is_sensitive() => return Vec::new(),
        Share::Public => &who.headers[..],
        _ => &[],
    };
    own.iter().chain(who.trusted_headers()).filter(|name| !vary.contains(name)).cloned().collect()
}
