//! What an origin says to caches like this one alone: `CDN-Cache-Control` (RFC 9213), and the older `Surrogate-Control`
//! (W3C note *Edge Architecture*, §2.1).
//!
//! A field that is empty, cannot be read, or says nothing about keeping answers is as if it were not there.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName};

use super::directives::{Argument, ResponseDirectives, elements, seconds};
use super::structured::{self, Bare, Member};

/// Whether targeted fields go on to clients and caches behind us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Targeted {
    /// `CDN-Cache-Control` does: there may be another such cache behind (RFC 9213 §3.1). `Surrogate-Control` does not: it
    /// belongs to the surrogate nearest to the origin.
    #[default]
    Passed,
    /// None does.
    Stripped,
}

/// `CDN-Cache-Control`.
pub const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// `Surrogate-Control`.
pub const SURROGATE_CONTROL: HeaderName = HeaderName::from_static("surrogate-control");

/// What each of them says, where it says something: the one that outweighs the others first (RFC 9213 §2.2).
pub fn said(headers: &HeaderMap) -> impl Iterator<Item = ResponseDirectives> {
    [cdn_cache_control(headers), surrogate_control(headers)].into_iter().flatten()
}

/// RFC 9213 §2.1: a structured dictionary whose values have the types that the directives' arguments suggest.
fn cdn_cache_control(headers: &HeaderMap) -> Option<ResponseDirectives> {
    let members = structured::dictionary(headers, CDN_CACHE_CONTROL.as_str()).filter(|members| !members.is_empty())?;
    let mut found = ResponseDirectives::default();
    for (name, value) in &members {
        let text;
        let argument = match value {
            Member::Item(Bare::Integer(number)) if TIMES.contains(&name.as_str()) => {
                text = number.to_string();
                Argument::Token(text.as_bytes())
            }
            // A number as a string, a fraction or the like is not coerced into one.
            _ if TIMES.contains(&name.as_str()) => Argument::Malformed,
            Member::Item(Bare::Boolean(true)) => Argument::None,
            Member::Item(Bare::Boolean(false)) => continue,
            Member::Item(Bare::String(names)) => Argument::Quoted(Cow::Borrowed(names.as_bytes())),
            Member::Item(Bare::Token(name)) => Argument::Token(name.as_bytes()),
            Member::Item(Bare::Integer(_) | Bare::Other) | Member::InnerList => Argument::Malformed,
        };
        found.add(name.as_bytes(), &argument);
    }
    Some(found)
}

/// The directives whose arguments are numbers.
const TIMES: [&str; 4] = ["max-age", "s-maxage", "stale-while-revalidate", "stale-if-error"];

/// `max-age=60+10, no-store;device`: what is for certain devices only is not for us, save where it forbids.
fn surrogate_control(headers: &HeaderMap) -> Option<ResponseDirectives> {
    let mut found = ResponseDirectives::default();
    for element in headers.get_all(SURROGATE_CONTROL).iter().flat_map(|line| elements(line.as_bytes())) {
        let mut parts = element?.split(|&b| b == b';');
        let directive = parts.next().unwrap_or_default().trim_ascii();
        if directive.is_empty() {
            continue;
        }
        let for_others = parts.next().is_some();
        match super::directives::directive(directive)? {
            (name, _) if name.eq_ignore_ascii_case(b"no-store") || name.eq_ignore_ascii_case(b"no-store-remote") => {
                found.no_store = true;
            }
            _ if for_others => {}
            (name, Argument::Token(time)) if name.eq_ignore_ascii_case(b"max-age") => with_extension(&mut found, time),
            (name, argument) => found.add(name, &argument),
        }
    }
    (found != ResponseDirectives::default()).then_some(found)
}

/// `60+10`: fresh for a minute, and then served for ten seconds until it has been fetched anew.
fn with_extension(found: &mut ResponseDirectives, time: &[u8]) {
    let mut numbers = time.splitn(2, |&b| b == b'+').map(seconds);
    let fresh = numbers.next().flatten();
    let extension = numbers.next().map(Option::unwrap_or_default);
    let stricter =
        |slot: &mut Option<Duration>, value: Duration| *slot = Some(slot.map_or(value, |old| old.min(value)));
    stricter(&mut found.max_age, fresh.unwrap_or_default());
    if let Some(extension) = extension {
        stricter(&mut found.stale_while_revalidate, extension);
        stricter(&mut found.stale_if_error, extension);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn cdn(text: &str) -> Option<ResponseDirectives> {
        cdn_cache_control(&HeaderMap::from_iter([(
            CDN_CACHE_CONTROL,
            HeaderValue::from_bytes(text.as_bytes()).unwrap(),
        )]))
    }

    #[test]
    fn rfc9213_2_1_a_dictionary_of_directives() {
        let secs = |s| Some(Duration::from_secs(s));
        let said = cdn("max-age=60, s-maxage=5;x=1, stale-if-error=9, must-revalidate, public").unwrap();
        assert_eq!((said.max_age, said.s_maxage, said.stale_if_error), (secs(60), secs(5), secs(9)));
        assert!(said.must_revalidate && said.public && said.opens);
        assert!(cdn("no-store").unwrap().no_store && cdn("no-store;a=b").unwrap().no_store);
        assert!(!cdn("no-store=?0").unwrap().no_store);
        assert_eq!(cdn("max-age=60, max-age=5").unwrap().max_age, secs(5), "the last, by RFC 9651 §4.2.2");
        assert_eq!(cdn("max-age=5, max-age=60").unwrap().max_age, secs(60));
        assert_eq!(cdn("unheard-of=1").unwrap(), ResponseDirectives::default(), "valid, and nothing known in it");
        for value in ["", "=60.5", "=\"60\"", "=sixty", "=-1", "=?0", "=?1", "=(60)", "=@60"] {
            assert_eq!(cdn(&format!("max-age{value}")).unwrap().max_age, secs(0), "{value}: not coerced");
        }
        let fields = [HeaderName::from_static("a"), HeaderName::from_static("b")];
        assert_eq!(cdn("no-cache=\"a, b\"").unwrap().no_cache.fields, fields);
        for value in ["", "=1", "=()", "=(\"a\")", "=\"\""] {
            assert!(cdn(&format!("private{value}")).unwrap().private.whole, "{value}");
        }
    }

    #[test]
    fn rfc9213_2_2_empty_or_broken_is_as_if_it_were_not_there() {
        for text in [
            "",
            " ",
            "max-age=60,",
            "max-age=60;;",
            "Max-Age=60",
            "max-age=60, No-Store",
            "max-age =60",
            "max-age= 60",
            "max-age=60 no-store",
            "max-age=",
            "max-age=\"60",
            "max-age=1234567890123456",
            "max-age=+60",
            "no-cache=\u{e4}",
        ] {
            assert_eq!(cdn(text), None, "{text}");
        }
    }

    #[test]
    fn the_field_may_have_several_lines() {
        let mut headers = HeaderMap::new();
        headers.append(CDN_CACHE_CONTROL, "max-age=60".parse().unwrap());
        headers.append(CDN_CACHE_CONTROL, "no-store".parse().unwrap());
        headers.append(SURROGATE_CONTROL, "max-age=1".parse().unwrap());
        let all: Vec<_> = said(&headers).collect();
        assert_eq!((all.len(), all[0].no_store, all[1].no_store), (2, true, false));
        assert_eq!(all[0].max_age, Some(Duration::from_secs(60)));
    }

    #[test]
    fn surrogate_control() {
        let check = |text: &'static str, want: Option<(bool, u64, u64)>| {
            let headers = HeaderMap::from_iter([(SURROGATE_CONTROL, HeaderValue::from_static(text))]);
            let said = super::surrogate_control(&headers).map(|said| {
                let secs = |time: Option<Duration>| time.unwrap_or_default().as_secs();
                (said.no_store, secs(said.max_age), secs(said.stale_while_revalidate))
            });
            assert_eq!(said, want, "{text}");
        };
        check("max-age=60", Some((false, 60, 0)));
        check("Max-Age=60+10, content=\"ESI/1.0\"", Some((false, 60, 10)));
        check("no-store, max-age=60", Some((true, 60, 0)));
        check("no-store-remote", Some((true, 0, 0)));
        check("no-store;abc", Some((true, 0, 0)));
        check("max-age=60;abc, max-age=5", Some((false, 5, 0)));
        check("max-age=x", Some((false, 0, 0)));
        check("max-age=60+x", Some((false, 60, 0)));
        check("max-age=60;abc", None);
        check("content=\"ESI/1.0\"", None);
        check("", None);
        check("max-age=\"60", None);
        check("max age=60", None);
    }
}
