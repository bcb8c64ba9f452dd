//! `Accept` (RFC 9110 §12.5.1) and `Accept-Charset` (§12.5.2): names in lower case and no optional whitespace, in the client's
//! order. Values of parameters stay as they are: whether their case says something is each parameter's own affair (§5.6.6).

use crate::entry::key::KeyBuf;
use crate::rules::canonical::weighted;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Name,
    Value,
    Quotes,
    /// After a backslash in quotes.
    Escape,
}

/// Writes all lines as one list.
pub(super) fn write<'a>(out: &mut KeyBuf, lines: impl Iterator<Item = &'a [u8]>) {
    let start = out.len();
    let separate = |out: &mut KeyBuf| {
        // RFC 9110 §5.6.1.2: empty members are none.
        if out.len() > start && out.last() != Some(&b',') {
            out.push(b',');
        }
    };
    for line in lines {
        separate(out);
        let mut within = Within::Name;
        for &byte in line {
            match (within, byte) {
                (Within::Escape, _) => within = Within::Quotes,
                (Within::Quotes, b'\\') => within = Within::Escape,
                (Within::Quotes, b'"') => within = Within::Value,
                (Within::Quotes, _) => {}
                (_, b' ' | b'\t') => continue,
                (_, b',') => {
                    within = Within::Name;
                    separate(out);
                    continue;
                }
                (_, b'"') => within = Within::Quotes,
                (_, b';') => within = Within::Name,
                (_, b'=') => within = Within::Value,
                (Within::Name, _) => {
                    out.push(byte.to_ascii_lowercase());
                    continue;
                }
                (Within::Value, _) => {}
            }
            out.push(byte);
        }
    }
    if out.len() > start && out.last() == Some(&b',') {
        out.pop();
    }
}

/// Whether this, in canonical form, is what browsers and libraries send: so few that each may have a key of its own. What is none of
/// them is anybody's invention.
pub(super) fn is_usual(accept: &[u8]) -> bool {
    USUAL.iter().any(|usual| usual.as_bytes() == accept)
}

const USUAL: [&str; 24] = [
    "*/*",
    "application/json",
    "application/json,text/plain,*/*",
    "application/json,text/javascript,*/*;q=0.01",
    "application/json,*/*;q=0.5",
    "application/fhir+json",
    "application/dicom+json",
    "application/xml",
    "text/html",
    "text/plain",
    "text/css,*/*;q=0.1",
    "text/event-stream",
    "image/*",
    "image/*,*/*;q=0.8",
    "text/html,*/*",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/png,image/svg+xml,*/*;q=0.8",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
    "image/avif,image/webp,*/*",
    "image/avif,image/webp,image/apng,image/svg+xml,image/*,*/*;q=0.8",
    "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
    "image/webp,image/avif,image/jxl,image/heic,image/heic-sequence,video/*;q=0.8,image/png,image/svg+xml,image/*;q=0.8,*/*;q=0.5",
];

/// The type that fits best of those that are served (RFC 9110 §12.5.1), by the range that names each most closely; of several that
/// fit alike the client's order decides, then ours. The first where none is wanted. There is one at least.
pub(super) fn best<'s>(served: &'s [String], wanted: Option<&[u8]>) -> &'s str {
    let mut list = KeyBuf::new();
    write(&mut list, wanted.into_iter());
    let fit = |media: &str| {
        let ranges = list.split(|b| *b == b',').enumerate();
        let fitting = ranges.filter_map(|(place, range)| Some((closeness(range, media)?, place, weight(range))));
        let closest = fitting.min_by_key(|(closeness, place, _)| (std::cmp::Reverse(*closeness), *place));
        closest.filter(|(_, _, weight)| *weight > 0).map(|(_, place, weight)| (std::cmp::Reverse(weight), place))
    };
    let fits = served.iter().filter_map(|media| Some((fit(media)?, media)));
    fits.min_by_key(|(fit, _)| *fit).map(|(_, media)| media).or(served.first()).map_or("", String::as_str)
}

/// How closely a range names a type; `None`: it does not.
fn closeness(range: &[u8], media: &str) -> Option<u8> {
    let range = range.split(|b| *b == b';').next().unwrap_or_default();
    let family = media.split('/').next().unwrap_or_default();
    match range.strip_suffix(b"/*") {
        Some(b"*") => Some(0),
        Some(named) => (named == family.as_bytes()).then_some(1),
        None => (range == media.as_bytes()).then_some(2),
    }
}

/// In thousandths; what cannot be read is as good as any.
fn weight(range: &[u8]) -> u16 {
    let mut parameters = range.split(|b| *b == b';').skip(1);
    parameters.find_map(weighted::weight).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_that_fits_best() {
        let check = |served: &str, wanted: Option<&str>, want: &str| {
            let served: Vec<String> = served.split(' ').map(str::to_owned).collect();
            assert_eq!(best(&served, wanted.map(str::as_bytes)), want, "{served:?} {wanted:?}");
        };
        let both = "text/html application/json";
        check(both, None, "text/html");
        check(both, Some(""), "text/html");
        check(both, Some("*/*"), "text/html");
        check(both, Some("application/json"), "application/json");
        check(both, Some("Application/JSON ; q=0.1"), "application/json");
        check(both, Some("application/json, text/plain, */*"), "application/json");
        check(both, Some("text/plain, application/json, text/html"), "application/json"); // the first of one weight
        check(both, Some("text/html;q=0.5, application/json;q=0.6"), "application/json");
        check(both, Some("text/*, application/json;q=0.9"), "text/html");
        check(both, Some("*/*, text/html;q=0.3"), "application/json"); // §12.5.1: the closest range decides
        check(both, Some("text/html;q=0, */*"), "application/json");
        check(both, Some("text/html;level=1;q=0.2, application/json;q=0.3"), "application/json");
        check(both, Some("image/png"), "text/html"); // somebody must be given something
        check(both, Some("*/*;q=0"), "text/html");
        check(both, Some("text/html;q=x, noise, ;, //, application/json;q=0.9"), "text/html");
    }

    #[test]
    fn what_is_usual_is_canonical() {
        for usual in USUAL {
            let mut out = KeyBuf::new();
            write(&mut out, std::iter::once(usual.as_bytes()));
            assert_eq!(&*out, usual.as_bytes());
            assert!(is_usual(usual.as_bytes()));
        }
        assert!(!is_usual(b"text/x1") && !is_usual(b""));
    }

    #[test]
    fn lists_that_mean_the_same_are_written_alike() {
        let check = |lines: &[&str], want: &str| {
            let mut out = KeyBuf::new();
            write(&mut out, lines.iter().map(|line| line.as_bytes()));
            assert_eq!(String::from_utf8(out.to_vec()).unwrap(), want, "{lines:?}");
        };
        check(&["*/*"], "*/*");
        check(&["Text/HTML , application/json; Q=0.5"], "text/html,application/json;q=0.5");
        check(&["a/b", "c/d"], "a/b,c/d");
        check(&["b/b, a/a"], "b/b,a/a"); // some origins take the first that they have
        check(&[",a/b,, c/d ,"], "a/b,c/d");
        check(&["a/b; Version=R4, C/D"], "a/b;version=R4,c/d");
        check(&["a/b; x=\"A, b\" ; Y=z"], "a/b;x=\"A, b\";y=z");
        check(&["a/b;x=\"A\\\" , B\", C/D"], "a/b;x=\"A\\\" , B\",c/d");
        check(&["a/b;x=\"A\\\\\" , B/B"], "a/b;x=\"A\\\\\",b/b");
        check(&["a/b;x=\"open", "C/D"], "a/b;x=\"open,c/d");
        check(&[""], "");
        check(&["UTF-8, ISO-8859-1;q=0.7"], "utf-8,iso-8859-1;q=0.7");
    }
}
