//! How answers leave: stored ones with their age, conditions and ranges; passed ones less the fields of the other hop; and
//! on each of them what the cache had to do with it (`Cache-Status`, RFC 9211).

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use smallvec::SmallVec;

use super::incoming::X_REQUEST_ID;
use super::ranges;
use crate::body::{Body, Part};
use crate::entry::head::{Head, Validators};
use crate::entry::stored::{Entry as Stored, VIA};
use crate::entry::tag::TagSet;
use crate::fields::structured;
use crate::fields::targeted::{CDN_CACHE_CONTROL, SURROGATE_CONTROL, Targeted};
use crate::outcome::Outcome;
use crate::policy::reuse::Freshness;
use crate::policy::validate::{Condition, condition};

/// `Cache-Status`.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Delivers a stored answer.
pub fn entry(entry: &Stored, freshness: Freshness, method: &Method, request: &HeaderMap) -> Response<Body> {
    if entry.status().is_success() && is_conditional(request) {
        if condition(request, &entry.validators()) == Condition::NotModified {
            return not_modified(&entry.fields(), freshness);
        }
        let may_be_cut = method == Method::GET && entry.status() == StatusCode::OK;
        if may_be_cut
            && request.contains_key(header::RANGE)
            && let Some(response) = ranges::entry(entry, freshness, request)
        {
            return response;
        }
    }
    let part = if method == Method::HEAD { Part::Nothing } else { Part::Whole };
    let mut response = Response::new(Body::Stored(entry.clone(), part));
    *response.status_mut() = entry.status();
    response.headers_mut().reserve(8);
    age(response.headers_mut(), freshness);
    response
}

/// Most requests are not, and the validators of what is stored need not be read.
fn is_conditional(request: &HeaderMap) -> bool {
    [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::RANGE].iter().any(|name| request.contains_key(name))
}

/// Puts the fields of a stored answer among the others, for whoever wants to change them.
pub fn unpack(response: &mut Response<Body>) {
    let Body::Stored(entry, part) = response.body() else { return };
    let (mut headers, length) = (entry.fields(), entry.body().len());
    if *part == Part::Nothing {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let body = Body::full(entry.body().slice_ref(part.of(entry.body())));
    // Behind what is stored, as it is sent: caches nearer to the origin have said their `Cache-Status`.
    for (name, value) in response.headers() {
        headers.append(name, value.clone());
    }
    *response.headers_mut() = headers;
    *response.body_mut() = body;
}

/// Delivers an answer whose body is still being filled.
pub fn filling(head: &Head, body: Body, freshness: Freshness, request: &HeaderMap) -> Response<Body> {
    if head.status.is_success() && condition(request, &head.validators) == Condition::NotModified {
        return not_modified(&head.headers, freshness);
    }
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers.clone();
    age(response.headers_mut(), freshness);
    response
}

/// Delivers what nobody but this client may have. Its conditions stayed here, where they are judged by what came
/// (RFC 9110 §13.2.2); by validators alone, since nothing is stored whose `Date` could count.
pub fn own(mut response: Response<Body>, request: &HeaderMap) -> Response<Body> {
    let validators = Validators { date: None, ..Validators::of(response.headers()) };
    if response.status().is_success() && condition(request, &validators) == Condition::NotModified {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = without_body(response.headers());
        *response.body_mut() = Body::Empty;
    }
    response
}

/// Adds fields beside those that are there.
pub fn add(headers: &mut HeaderMap, more: &HeaderMap) {
    for (name, value) in more {
        headers.append(name.clone(), value.clone());
    }
}

/// RFC 9110 §15.4.5: what would have been sent, less what describes the body; `Last-Modified` guides those who guess.
fn not_modified(fields: &HeaderMap, freshness: Freshness) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = without_body(fields);
    age(response.headers_mut(), freshness);
    response
}

/// The fields of an answer that do not describe its body.
pub(super) fn without_body(fields: &HeaderMap) -> HeaderMap {
    let others = fields.iter().filter(|(name, _)| !is_of_body(name));
    others.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is_of_body(name: &HeaderName) -> bool {
    match name.as_str().strip_prefix("content-") {
        Some(rest) => rest != "location" && !rest.starts_with("security-policy"),
        // RFC 9530.
        None => matches!(name.as_str(), "repr-digest" | "digest"),
    }
}

pub(super) fn age(headers: &mut HeaderMap, freshness: Freshness) {
    let mut buffer = itoa::Buffer::new();
    set(headers, header::AGE, buffer.format(freshness.age));
}

pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Digits and fixed text make a value.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Adds what every answer carries; ours after what caches nearer to the origin said (RFC 9211 §2).
pub fn finish(headers: &mut HeaderMap, outcome: &Outcome, id: HeaderValue) {
    headers.append(CACHE_STATUS, outcome.cache_status());
    headers.insert(X_REQUEST_ID, id);
}

/// Whether a head names tags; most do not, and need not be searched for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NamesTags {
    /// Some field that [`take_tags`] reads is there.
    Yes,
    /// None is.
    No,
}

/// Takes off what belongs to the hop to the origin (RFC 9110 §7.6.1), and adds ours. `own` are further fields that list tags.
pub fn leave_hop(headers: &mut HeaderMap, own: &[HeaderName]) -> NamesTags {
    let mut dropped: SmallVec<[HeaderName; 4]> = SmallVec::new();
    let mut tags = NamesTags::No;
    for (name, value) in headers.iter() {
        match name.as_str() {
            text if text == "cache-groups" || TAG_FIELDS.contains(&text) || own.contains(name) => tags = NamesTags::Yes,
            "connection" => {
                let options = value.to_str().unwrap_or("").split(',').map(str::trim);
                let named = options.filter_map(|option| HeaderName::from_bytes(option.as_bytes()).ok());
                dropped.extend(named.filter(|name| name != header::CONTENT_LENGTH));
                dropped.push(header::CONNECTION);
            }
            "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" | "te" => dropped.push(name.clone()),
            // RFC 9111 §3.1: they speak of this proxy.
            "proxy-authenticate" | "proxy-authentication-info" | "proxy-authorization" => dropped.push(name.clone()),
            _ => {}
        }
    }
    dropped.iter().for_each(|name| drop(headers.remove(name)));
    headers.append(header::VIA, HeaderValue::from_static(VIA));
    tags
}

/// What caches and browsers behind us may do with an answer about a person: keep it only to ask again (RFC 9111 §5.2.2.4,
/// §5.2.2.7), since no purge reaches them. What the origin forbade stays forbidden.
pub fn make_private(headers: &mut HeaderMap) {
    let no_store = crate::fields::directives::ResponseDirectives::of(headers).no_store;
    let value = if no_store { "private, no-cache, no-store" } else { "private, no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(value));
    headers.remove(header::EXPIRES);
    headers.remove(header::PRAGMA);
    let targeted: SmallVec<[HeaderName; 2]> = headers
        .keys()
        .filter(|name| name.as_str() == "surrogate-control" || name.as_str().ends_with("cdn-cache-control"))
        .cloned()
        .collect();
    targeted.iter().for_each(|name| drop(headers.remove(name)));
}

/// Takes off what the origin says to caches like this one alone, as far as it is not meant for others behind.
pub fn leave_targeted(headers: &mut HeaderMap, targeted: Targeted) {
    headers.remove(SURROGATE_CONTROL);
    if targeted == Targeted::Stripped {
        headers.remove(CDN_CACHE_CONTROL);
    }
}

/// Takes the tags that the origin names off a head: `Surrogate-Key` and `xkey` by spaces, `Cache-Tag` by commas, `own` fields by
/// either, `Cache-Groups` as RFC 9875 §2 has it.
pub fn take_tags(headers: &mut HeaderMap, own: &[HeaderName], origin: &str, tags: &mut TagSet) {
    for name in TAG_FIELDS.into_iter().chain(own.iter().map(HeaderName::as_str)) {
        listed_tags(headers, name).iter().for_each(|tag| tags.carry(tag));
        headers.remove(name);
    }
    for group in structured::strings(headers, "cache-groups").unwrap_or_default() {
        tags.group(origin, &group);
        tags.carry(&group);
    }
    headers.remove("cache-groups");
}

/// The fields that list tags, in answers of origins and in purges of those who call us as they call others.
pub const TAG_FIELDS: [&str; 8] = [
    "surrogate-key",
    "xkey",
    "cache-tag",
    "x-cache-tags",
    "cache-tags",
    "edge-cache-tag",
    "x-cache-tag",
    "x-drupal-cache-tags",
];

/// The tags that such a field lists.
pub fn listed_tags(headers: &HeaderMap, name: &str) -> Vec<String> {
    let is_separator = |c: char| match name {
        // A comma may be part of a key, but some write `a, b`, and some `a,b`.
        "surrogate-key" => c == ' ' || c == '\t',
        "cache-tag" | "x-cache-tags" => c == ',',
        _ => c == ' ' || c == '\t' || c == ',',
    };
    let by_either = is_separator(' ') && is_separator(',');
    let mut tags = Vec::new();
    for line in headers.get_all(name) {
        // Text that is not ASCII is nobody's tag; it cannot be purged by name, and it is not kept under another.
        let text = String::from_utf8_lossy(line.as_bytes()).into_owned();
        let pieces = text.split(is_separator).map(|tag| tag.trim().trim_end_matches(','));
        for tag in pieces.filter(|tag| !tag.is_empty()) {
            if tag.contains(',') {
                tags.extend(tag.split(',').filter(|piece| !piece.is_empty()).map(str::to_owned));
            }
            tags.push(tag.to_owned());
        }
        if by_either && text.contains(',') {
            // Where commas separate, a name may have spaces in it.
            let spaced = text.split(',').map(str::trim).filter(|tag| tag.contains([' ', '\t']));
            tags.extend(spaced.map(str::to_owned));
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_304_says_what_it_must_and_nothing_of_the_body() {
        let said = [
            ("date", true),
            ("etag", true),
            ("vary", true),
            ("cache-control", true),
            ("expires", true),
            ("content-location", true),
            ("last-modified", true),
            ("content-security-policy", true),
            ("content-type", false),
            ("content-length", false),
            ("content-encoding", false),
            ("content-language", false),
            ("content-range", false),
            ("content-disposition", false),
            ("content-digest", false),
            ("repr-digest", false),
        ];
        let fields = said.map(|(name, _)| (HeaderName::from_static(name), HeaderValue::from_static("x")));
        let answer = not_modified(&fields.into_iter().collect(), Freshness { age: 7, ttl: 1 });
        assert_eq!((answer.status(), &answer.headers()["age"]), (StatusCode::NOT_MODIFIED, &HeaderValue::from(7)));
        said.iter().for_each(|(name, kept)| assert_eq!(answer.headers().contains_key(*name), *kept, "{name}"));
    }

    #[test]
    fn what_belongs_to_the_hop_is_left_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Named, content-length"),
            ("x-named", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authentication-info", "x=1"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("content-length", "3"),
            ("x-other", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        leave_hop(&mut headers, &[]);
        let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        left.sort();
        assert_eq!(left, ["content-length", "via", "x-other"]);
    }

    #[test]
    fn what_is_unpacked_is_what_would_be_sent() {
        let mut fields = HeaderMap::new();
        fields.insert(CACHE_STATUS, HeaderValue::from_static("inner; hit"));
        let entry = Stored::new(&crate::entry::stored::tests::head(fields), bytes::Bytes::from_static(b"x"));
        let mut response = Response::new(Body::Stored(entry, Part::Whole));
        response.headers_mut().insert(CACHE_STATUS, HeaderValue::from_static("stent; hit; ttl=1"));
        unpack(&mut response);
        let said: Vec<_> = response.headers().get_all(CACHE_STATUS).iter().collect();
        assert_eq!(said, ["inner; hit", "stent; hit; ttl=1"]);
    }

    #[test]
    fn private_answers_stay_private() {
        let mut headers = HeaderMap::new();
        headers.insert("cache-control", HeaderValue::from_static("public, max-age=600"));
        headers.insert("expires", HeaderValue::from_static("Sun, 09 Sep 2040 01:46:40 GMT"));
        headers.insert("surrogate-control", HeaderValue::from_static("max-age=600"));
        headers.insert("fly-cdn-cache-control", HeaderValue::from_static("max-age=600"));
        make_private(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers["cache-control"], "private, no-cache");
        headers.insert("cache-control", HeaderValue::from_static("no-store"));
        make_private(&mut headers);
        assert_eq!(headers["cache-control"], "private, no-cache, no-store");
    }

    #[test]
    fn tags_of_the_origin_are_taken_off() {
        let mut headers = HeaderMap::new();
        headers.append("surrogate-key", HeaderValue::from_static("a:1 b"));
        headers.append("surrogate-key", HeaderValue::from_static("c"));
        headers.append("cache-tag", HeaderValue::from_static("d e, f"));
        headers.append("cache-groups", HeaderValue::from_static("\"g, h\";x, \"i\""));
        let mut tags = TagSet::default();
        headers.append("x-drupal-cache-tags", HeaderValue::from_static("node:7 node_list"));
        headers.append("x-own", HeaderValue::from_static("o:1,o:2, long name"));
        let own = [HeaderName::from_static("x-own")];
        assert_eq!(
            leave_hop(&mut HeaderMap::from_iter([(own[0].clone(), HeaderValue::from_static("a"))]), &own),
            NamesTags::Yes
        );
        take_tags(&mut headers, &own, "host", &mut tags);
        assert!(headers.is_empty());
        let has = |tag: &str| {
            let mut named = TagSet::default();
            named.name(tag);
            tags.hashes().contains(&named.hashes()[0])
        };
        let all =
            ["a:1", "a:*", "b", "c", "d e", "f", "g, h", "i", "node:7", "node_list", "o:1", "o:2", "long name", "o:*"];
        all.iter().for_each(|tag| assert!(has(tag), "{tag}"));
        assert!(!has("d"));
    }
}
