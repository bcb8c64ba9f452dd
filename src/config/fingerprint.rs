//! A number that changes when anything does that decides which request an answer belongs to.
//!
//! It is part of every key, so that an entry which was made under other rules is a miss (purge rule 15). Lifetimes are in
//! it too: an entry carries its own, and who shortens them in a running process does not want to wait for the longer ones
//! to end. The service's name is, because the same key at another service is another thing; its addresses are not, because
//! a server that joins or leaves makes no other service of it.

use std::time::Duration;

use crate::asker::facet::{Facet, FacetSource};
use crate::asker::identity::{Identity, TokenSource};
use crate::fields::targeted::Targeted;
use crate::rules::caching::{Access, AsOrigin, Ask, Caching, Credentials, Expired, NamedPolicy, TypePattern};
use crate::rules::path::aliases::{Aliases, Telling};
use crate::rules::query::{OtherQuery, QueryOrder, QueryRule};
use crate::rules::route::Route;
use crate::rules::tag_template::{PurgeTemplate, TagPiece, TagSource, TagTemplate};
use crate::rules::template::{HostTemplate, PartKind, Segment};

/// Changes with the meaning of what is written below.
const VERSION: &str = "route 4";

pub(super) fn of(route: &Route, upstream: &str, identity: &Identity) -> u64 {
    let mut text = Canonical(VERSION.to_owned());
    text.put("name", &route.name);
    text.put("upstream", upstream);
    host(&mut text, route.host.as_ref());
    path(&mut text, route);
    conditions(&mut text, route);
    caching(&mut text, &route.caching);
    route.serves.languages.iter().for_each(|tag| text.put("language", tag));
    route.serves.encodings.iter().for_each(|coding| text.put("encoding", coding));
    route.serves.media.iter().for_each(|media| text.put("accept", media));
    query(&mut text, route);
    text.put("targeted", if route.targeted == Targeted::Stripped { "strip" } else { "pass" });
    let Aliases { parameters, case, suffixes } = &*route.aliases;
    for (key, telling) in [("parameters", parameters), ("case", case)] {
        text.put(key, if *telling == Telling::Ignored { "ignored" } else { "distinct" });
    }
    suffixes.iter().for_each(|suffix| text.put("suffix", suffix));
    route.tag_fields.iter().for_each(|name| text.put("tag field", name.as_str()));
    route.tags.iter().for_each(|tag| self::tag(&mut text, "tag", tag));
    for purge in &route.purges {
        match purge {
            PurgeTemplate::Tag(tag) => self::tag(&mut text, "purge", tag),
            PurgeTemplate::Principal => text.put("purge principal", ""),
        }
    }
    who(&mut text, identity);
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(text.0.as_bytes()).as_bytes()[..8]);
    u64::from_le_bytes(first)
}

/// Fields with their lengths, so that no two routes have the same text.
struct Canonical(String);

impl Canonical {
    fn put(&mut self, field: &str, value: &str) {
        self.0.push_str(&format!("\n{field} {}:{value}", value.len()));
    }
}

fn host(text: &mut Canonical, host: Option<&HostTemplate>) {
    match host {
        None => text.put("any host", ""),
        Some(HostTemplate::Exact(host)) => text.put("host", host),
        Some(HostTemplate::Wildcard { part, suffix }) => {
            text.put("host below", suffix);
            text.put("host part", part.as_deref().unwrap_or(""));
        }
    };
}

fn path(text: &mut Canonical, route: &Route) {
    for segment in &route.path.segments {
        match segment {
            Segment::Literal(literal) => text.put("segment", literal),
            Segment::Part(kind, name) => {
                let kind = match kind {
                    PartKind::Text => "text part",
                    PartKind::Int => "int part",
                    PartKind::Uuid => "uuid part",
                    PartKind::Slug => "slug part",
                };
                text.put(kind, name)
            }
        };
    }
    text.put("rest", if route.path.rest { "yes" } else { "no" });
}

fn conditions(text: &mut Canonical, route: &Route) {
    route.methods.iter().for_each(|method| text.put("method", method.as_str()));
    for (name, want) in &route.headers {
        text.put("needs", name.as_str());
        text.put("with", want.as_deref().map_or("any value", |_| "this value"));
        text.put("value", want.as_deref().unwrap_or(""));
    }
}

fn caching(text: &mut Canonical, caching: &Caching) {
    match caching {
        Caching::Pass => text.put("policy", "pass"),
        Caching::Http(AsOrigin { credentials, strip_cookies, secret_fields }) => {
            secret_fields.iter().for_each(|name| text.put("secret field", name));
            text.put(
                "policy",
                match credentials {
                    Credentials::AuthorizationAndCookies => "origin",
                    Credentials::AuthorizationOnly => "rfc9111",
                },
            );
            strip_cookies.iter().for_each(|name| text.put("strip cookie", name));
        }
        Caching::Named(policy) => {
            text.put("share", &policy.share.to_string());
            policy.share.facets().iter().for_each(|facet| self::facet(text, "facet", facet));
            match &policy.access {
                None => text.put("access", "not asked"),
                Some(Access::Token) => text.put("access", "token"),
                Some(Access::Ask { about: Ask::Same, .. }) => text.put("access", "self"),
                Some(Access::Ask { about: Ask::Path(path), .. }) => text.put("access", &format!("{path:?}")),
            }
            policy.vary.iter().for_each(|name| text.put("vary", name.as_str()));
            policy.unsent.iter().for_each(|name| text.put("unsent", name.as_str()));
            policy.strip_cookies.iter().for_each(|name| text.put("strip cookie", name));
            policy.secret_fields.iter().for_each(|name| text.put("secret field", name));
            text.put("expired", if policy.expired == Expired::Overridden { "overridden" } else { "heeded" });
            lifetimes(text, policy);
        }
    };
}

fn lifetimes(text: &mut Canonical, policy: &NamedPolicy) {
    let show = |time: Option<Duration>| time.map_or("none".to_owned(), |time| time.as_nanos().to_string());
    text.put("ttl", &show(policy.ttl));
    text.put("stale while revalidate", &show(policy.stale_while_revalidate));
    text.put("stale if error", &show(policy.stale_if_error));
    text.put("ceiling", &show(policy.ceiling));
    for (pattern, ttl) in &policy.types {
        match pattern {
            TypePattern::Exact(media) => text.put("type", media),
            TypePattern::Family(family) => text.put("types of", family),
            TypePattern::Fingerprinted => text.put("fingerprinted", ""),
        }
        text.put("for", &show(Some(*ttl)));
    }
}

fn query(text: &mut Canonical, route: &Route) {
    for (name, rule) in &route.query.rules {
        let rule = match rule {
            QueryRule::Any => "any".to_owned(),
            QueryRule::Drop => "drop".to_owned(),
            QueryRule::Pass => "pass".to_owned(),
            QueryRule::Number { default, min, max } => {
                let show = |number: &Option<i64>| number.map_or("none".to_owned(), |number| number.to_string());
                format!("number {} {} {}", show(default), show(min), show(max))
            }
        };
        text.put("parameter", name);
        text.put("rule", &rule);
    }
    let other = match route.query.other {
        OtherQuery::Any => "any",
        OtherQuery::Drop => "drop",
        OtherQuery::Pass => "pass",
    };
    text.put("other", other);
    text.put("order", if route.query.order == QueryOrder::Sorted { "sorted" } else { "as sent" });
}

fn tag(text: &mut Canonical, field: &str, tag: &TagTemplate) {
    text.put(field, &tag.pieces.len().to_string());
    for piece in &tag.pieces {
        match piece {
            TagPiece::Text(piece) => text.put("text", piece),
            TagPiece::Value(TagSource::Part(name)) => text.put("part", name),
            TagPiece::Value(TagSource::Query(name)) => text.put("query", name),
            TagPiece::Value(TagSource::Listed(..)) => text.put("listed", &tag.to_string()),
            TagPiece::Value(TagSource::Facet(facet)) => self::facet(text, "facet", facet),
            TagPiece::Value(TagSource::Sent(fields)) => text.put("sent", &fields.join(".")),
            TagPiece::Value(TagSource::Answer(fields)) => text.put("answer", &fields.join(".")),
        };
    }
}

fn facet(text: &mut Canonical, field: &str, facet: &Facet) {
    text.put(field, &facet.name);
    match &facet.source {
        FacetSource::Jwt(path) => text.put("jwt", path),
        FacetSource::Cert(field) => text.put("cert", field.as_str()),
        FacetSource::Access(path) => text.put("access", path),
        FacetSource::Trusted(name) => text.put("trusted", name.as_str()),
        FacetSource::Header(name) => text.put("header", name.as_str()),
        FacetSource::Part(name) => text.put("part", name),
    }
}

fn who(text: &mut Canonical, identity: &Identity) {
    text.put("authorization", if identity.authorization { "yes" } else { "no" });
    identity.cookies.iter().for_each(|name| text.put("cookie", name));
    identity.headers.iter().for_each(|name| text.put("header", name.as_str()));
    identity.ignore_cookies.iter().for_each(|name| text.put("ignored", name));
    identity.ignore_headers.iter().for_each(|name| text.put("ignored header", name));
    identity.url_credentials.iter().for_each(|name| text.put("url credential", name));
    identity.form_cookies.iter().for_each(|name| text.put("form cookie", name));
    identity.affinity_cookies.iter().for_each(|name| text.put("affinity", name));
    match &identity.token {
        None => text.put("token", "none"),
        Some(TokenSource::Authorization) => text.put("token", "authorization"),
        Some(TokenSource::Cookie(name)) => text.put("token cookie", name),
        Some(TokenSource::Header(name)) => text.put("token header", name.as_str()),
    }
}
