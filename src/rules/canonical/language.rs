//! `Accept-Language`, reduced to the one of a route's languages that fits best (RFC 4647 §3.4, lookup).

use crate::rules::canonical::weighted::{WeightedMember, members};

/// The language to ask for; the first where none is wanted, or what is wanted cannot be read. There is one at least.
pub(super) fn best<'s>(served: &'s [String], wanted: Option<&[u8]>) -> &'s str {
    let mut wanted = wanted.and_then(members).unwrap_or_default();
    wanted.sort_by_key(|member| std::cmp::Reverse(member.weight));
    let ranges = wanted.iter().filter(|member| member.weight > 0);
    let found = ranges.into_iter().find_map(|range| look_up(served, range.name, &wanted));
    let fallback = || served.iter().find(|tag| !is_refused(tag, &wanted)).or(served.first());
    found.or_else(fallback).map_or("", String::as_str)
}

/// The tag that is the range, or its beginning of the most subtags.
fn look_up<'s>(served: &'s [String], range: &[u8], wanted: &[WeightedMember<'_>]) -> Option<&'s String> {
    let mut range = range;
    loop {
        let same = |tag: &&String| tag.as_bytes().eq_ignore_ascii_case(range) && !is_refused(tag, wanted);
        if let Some(tag) = served.iter().find(same) {
            return Some(tag);
        }
        range = &range[..range.iter().rposition(|b| *b == b'-')?];
        // A single letter or digit at the end says something of what followed it only.
        if let [shorter @ .., b'-', _] = range {
            range = shorter;
        }
    }
}

/// `q=0` (RFC 9110 §12.4.2) by the longest range that the tag begins with.
fn is_refused(tag: &str, wanted: &[WeightedMember<'_>]) -> bool {
    let begins = |range: &[u8]| {
        let tag = tag.as_bytes();
        let start = tag.get(..range.len()).is_some_and(|start| start.eq_ignore_ascii_case(range));
        range == b"*" || start && matches!(tag.get(range.len()), None | Some(b'-'))
    };
    let ranges = wanted.iter().filter(|member| begins(member.name));
    let length = |member: &&WeightedMember<'_>| if member.name == b"*" { 0 } else { member.name.len() };
    ranges.max_by_key(length).is_some_and(|member| member.weight == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_that_fits_best() {
        let check = |served: &str, wanted: Option<&str>, want: &str| {
            let served: Vec<String> = served.split(' ').map(str::to_owned).collect();
            assert_eq!(best(&served, wanted.map(str::as_bytes)), want, "{served:?} {wanted:?}");
        };
        check("en no", None, "en");
        check("en no", Some(""), "en");
        check("en no", Some("no"), "no");
        check("en no", Some("NO"), "no");
        check("en no", Some("de"), "en");
        check("en no", Some("en;q=0.5, no;q=0.6"), "no");
        check("en no", Some("no, en"), "no"); // the first of one weight
        check("en no", Some("de, fr;q=0.9, no;q=0.1"), "no");
        check("en zh-Hant zh", Some("zh-Hant-CN-x-private1-private2"), "zh-Hant"); // RFC 4647 §3.4
        check("en zh", Some("zh-Hant-CN"), "zh");
        check("en zh-a", Some("zh-a-b"), "en"); // … a single letter goes with what follows it
        check("en-US no", Some("en"), "en-US"); // by default: lookup shortens ranges, not tags
        check("no en-US", Some("en"), "no");
        check("en no", Some("*"), "en");
        check("en no", Some("*, no;q=0.5"), "no");
        check("en no", Some("en;q=0"), "no"); // RFC 9110 §12.4.2
        check("en-GB no", Some("en;q=0, de"), "no");
        check("en-GB no", Some("en;q=0, en-GB"), "en-GB");
        check("en no", Some("*;q=0, no"), "no");
        check("en no", Some("*;q=0"), "en"); // somebody must be given something
        check("en no", Some("no;q=0.5;x"), "en");
        check("en no", Some("-, --, no-"), "no");
    }
}
