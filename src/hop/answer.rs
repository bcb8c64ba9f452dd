//! The head of an answer across this hop: what was for us comes off, and tags are read.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use smallvec::SmallVec;

use crate::entry::stored::VIA;
use crate::entry::tag::TagSet;
use crate::fields::structured;
use crate::fields::targeted::{CDN_CACHE_CONTROL, SURROGATE_CONTROL, Targeted};

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
