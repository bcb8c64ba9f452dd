//! The tags of an exchange: those that its URL gives it, and those of the route's templates.

use crate::asker::facet::{KnownFacets, Worth};
use crate::asker::principal::PrincipalKey;
use crate::entry::tag::TagSet;
use crate::fields::authority::{Scheme, without_port};
use crate::fields::percent::decode;
use crate::ground::mutants::{Rule, is_off};
use crate::rules::picker::Picked;
use crate::rules::query;
use crate::rules::route::Route;
use crate::rules::tag_template::{PurgeTemplate, TagPiece, TagSource, TagTemplate, Unknown, Values};

/// Where an exchange takes place; what its tags are made from.
#[derive(Debug, Clone)]
pub struct RequestPlace {
    /// The client's scheme.
    pub scheme: Scheme,
    /// Host and port in lower case.
    pub authority: String,
    /// The host that a trusted proxy forwards for, where it is another; in lower case.
    pub forwarded_host: Option<String>,
    /// The path in normal form.
    pub path: String,
    /// Its plain name, where the origin knows it by another.
    pub plain: Option<String>,
    /// The query that is keyed, or nothing.
    pub query: String,
    /// A digest of each part of the principal that was shown.
    pub principal: Vec<[u8; 32]>,
    /// The facets that the route's templates use, by name, with their values.
    pub facets: Vec<(String, Vec<String>)>,
}

impl RequestPlace {
    /// The origin of its URL (RFC 9110 §4.3.1), within which cache groups are known (RFC 9875 §2.1).
    pub fn origin(&self) -> String {
        let authority = self.forwarded_host.as_ref().unwrap_or(&self.authority);
        format!("{}://{authority}", self.scheme.as_str())
    }

    /// The tags that every entry carries: its route, and its URL, path and path prefixes with this host and without any, the
    /// root of which is everything; and its principal.
    pub fn carried(&self, route: &Route) -> TagSet {
        let mut tags = TagSet::default();
        tags.route(&route.name);
        let hosts = [Some(self.authority.as_str()), self.forwarded_host.as_deref(), Some("")];
        let query = query::named(&self.query);
        for host in hosts.into_iter().flatten() {
            if self.principal.is_empty() || !is_off(Rule::AllPartitions) {
                tags.url(host, &self.path, &query);
            }
            tags.carry_path(host, &self.path);
            self.plain.iter().for_each(|plain| tags.carry_path(host, plain));
        }
        self.principal.iter().for_each(|digest| tags.principal(digest));
        tags
    }

    /// Adds the tags of the route's templates to an entry. `Err` when one cannot be told: the answer is not stored.
    pub fn add_templates(&self, route: &Route, answer: Option<&Picked>, tags: &mut TagSet) -> Result<(), Unknown> {
        let values = ExchangeValues { route, place: self, sent: None, answer };
        for template in &route.tags {
            template.tags(&values)?.iter().for_each(|tag| tags.carry(tag));
        }
        Ok(())
    }

    /// As [`RequestPlace::add_templates`], for the templates that do not need the answer's body.
    pub fn add_known_templates(&self, route: &Route, tags: &mut TagSet) -> Result<(), Unknown> {
        let values = ExchangeValues { route, place: self, sent: None, answer: None };
        for template in route.tags.iter().filter(|template| !template.needs_answer()) {
            template.tags(&values)?.iter().for_each(|tag| tags.carry(tag));
        }
        Ok(())
    }

    /// The tags that the route's templates give before there is an answer.
    pub fn known_tags(&self, route: &Route) -> Vec<String> {
        let values = ExchangeValues { route, place: self, sent: None, answer: None };
        let known = route.tags.iter().filter(|template| !template.needs_answer());
        known.flat_map(|template| template.tags(&values).unwrap_or_default()).collect()
    }

    /// The names that a write purges by the route's templates: its `tags` and its `purges`. What cannot be told widens.
    pub fn purged(&self, route: &Route, sent: Option<&Picked>, answer: Option<&Picked>) -> Vec<String> {
        let values = ExchangeValues { route, place: self, sent, answer };
        route.tags.iter().chain(templates(route)).flat_map(|template| template.purged(&values)).collect()
    }

    /// Those of its `purges` alone.
    pub fn purged_besides(&self, route: &Route, sent: Option<&Picked>, answer: Option<&Picked>) -> Vec<String> {
        let values = ExchangeValues { route, place: self, sent, answer };
        templates(route).flat_map(|template| template.purged(&values)).collect()
    }

    /// The same before anything is sent, as people name it: `principal` is whoever asks.
    pub fn purges_told(&self, route: &Route) -> Vec<String> {
        self.purged(route, None, None).into_iter().chain(principal_told(route)).collect()
    }

    /// What a request that only reads purges on a route that passes, as people name it.
    pub fn purges_by_reading_told(&self, route: &Route) -> Vec<String> {
        self.purged_besides(route, None, None).into_iter().chain(principal_told(route)).collect()
    }
}

fn principal_told(route: &Route) -> Option<String> {
    route.purges.contains(&PurgeTemplate::Principal).then(|| "principal".to_owned())
}

/// The templates among a route's `purges`.
fn templates(route: &Route) -> impl Iterator<Item = &TagTemplate> {
    route.purges.iter().filter_map(|purge| match purge {
        PurgeTemplate::Tag(template) => Some(template),
        PurgeTemplate::Principal => None,
    })
}

/// The facets that a route's templates use and that have a value. A purge takes only what is `proven`: by what a client
/// merely claims it would be too narrow.
pub fn facets(route: &Route, known: &KnownFacets<'_>, worth: Worth) -> Vec<(String, Vec<String>)> {
    let pieces = route.tags.iter().chain(templates(route)).flat_map(|template| &template.pieces);
    let used = pieces.filter_map(|piece| match piece {
        TagPiece::Value(TagSource::Facet(facet)) => Some(facet),
        _ => None,
    });
    let worthy = used.filter(|facet| worth == Worth::Claimed || facet.source.worth() == Worth::Proven);
    worthy.filter_map(|facet| Some((facet.name.clone(), known.value(&facet.source)?.texts()?))).collect()
}

/// The digests of the parts of the principal that are shown, each for itself, and of all together: what ends is found by them.
pub fn principal_parts(
    headers: &http::HeaderMap,
    identity: &crate::asker::identity::Identity,
    secret: &PrincipalKey,
) -> Vec<[u8; 32]> {
    let shown = shown_parts(headers, identity, secret);
    let mut parts: Vec<_> = shown.iter().map(|(digest, _)| *digest).collect();
    parts.extend(together(&shown, secret));
    parts
}

/// By which of them what is kept for a principal ends. A part that others may show as well (a tenant, a language) ends nothing by itself,
/// or whoever shows it beside something made up would end what is kept for all of those: only all parts together do, and each that
/// is long enough to be nobody else's.
pub fn principal_ended(
    headers: &http::HeaderMap,
    identity: &crate::asker::identity::Identity,
    secret: &PrincipalKey,
) -> Vec<[u8; 32]> {
    let shown = shown_parts(headers, identity, secret);
    match shown.len() {
        0 | 1 => shown.iter().map(|(digest, _)| *digest).collect(),
        _ => {
            let own = shown.iter().filter(|(_, length)| *length >= ONES_OWN).map(|(digest, _)| *digest);
            own.chain(together(&shown, secret)).collect()
        }
    }
}

/// What is as long as this is a session's or a token: nobody shows it by chance, and nobody shares it.
pub const ONES_OWN: usize = 16;

fn together(shown: &[([u8; 32], usize)], secret: &PrincipalKey) -> Option<[u8; 32]> {
    (shown.len() > 1).then(|| {
        let mut all: Vec<_> = shown.iter().map(|(digest, _)| *digest).collect();
        all.sort_unstable();
        part_digest(secret, b"all", &all.concat())
    })
}

/// Each part's digest, and the length of its value.
fn shown_parts(
    headers: &http::HeaderMap,
    identity: &crate::asker::identity::Identity,
    secret: &PrincipalKey,
) -> Vec<([u8; 32], usize)> {
    let part = |kind: &[u8], value: &[u8]| (part_digest(secret, kind, value), value.len());
    let mut parts = Vec::new();
    if identity.authorization {
        parts.extend(headers.get_all(http::header::AUTHORIZATION).iter().map(|v| part(b"authorization", v.as_bytes())));
    }
    for field in headers.get_all(http::header::COOKIE) {
        let own = crate::fields::cookies::cookies(field)
            .filter(|cookie| identity.cookie(cookie.name) == crate::asker::identity::CookieRole::Principal);
        parts.extend(own.map(|cookie| {
            let (digest, length) = part(b"cookie", cookie.pair);
            (digest, length.saturating_sub(cookie.name.len() + 1))
        }));
    }
    for name in &identity.headers {
        parts.extend(headers.get_all(name).iter().map(|v| part(name.as_str().as_bytes(), v.as_bytes())));
    }
    parts
}

/// The digest of one cookie of the principal, as [`principal_parts`] has it.
pub fn cookie_digest(secret: &PrincipalKey, pair: &[u8]) -> [u8; 32] {
    part_digest(secret, b"cookie", pair)
}

fn part_digest(secret: &PrincipalKey, kind: &[u8], value: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(&secret.0);
    hasher.update(kind).update(b"\0").update(value);
    *hasher.finalize().as_bytes()
}

struct ExchangeValues<'a> {
    route: &'a Route,
    place: &'a RequestPlace,
    sent: Option<&'a Picked>,
    answer: Option<&'a Picked>,
}

impl Values for ExchangeValues<'_> {
    fn values(&self, source: &TagSource) -> Result<Vec<String>, Unknown> {
        match source {
            TagSource::Part(name) => {
                let host = without_port(&self.place.authority);
                let part = |path| self.route.part(name, host, path).map(|part| decode(part).into_owned());
                let mut values = vec![part(&self.place.path).ok_or(Unknown)?];
                values.extend(self.place.plain.as_deref().and_then(part).filter(|plain| *plain != values[0]));
                Ok(values)
            }
            TagSource::Facet(facet) => {
                let known = self.place.facets.iter().find(|(name, _)| *name == facet.name);
                known.map(|(_, values)| values.clone()).ok_or(Unknown)
            }
            TagSource::Query(name) => Ok(query::parameters(&self.place.query, name)),
            TagSource::Listed(source, _) => self.values(source),
            TagSource::Sent(path) => self.sent.map_or(Ok(Vec::new()), |json| json.values(path)),
            TagSource::Answer(path) => self.answer.map_or(Err(Unknown), |json| json.values(path)),
        }
    }
}
