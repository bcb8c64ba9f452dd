//! `Cache-Control` (RFC 9111 §5.2), parsed strictly: what cannot be understood makes the answer less shareable, never more.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, header};

/// The directives of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResponseDirectives {
    /// §5.2.2.5; also for `must-understand` with a status that we do not understand.
    pub no_store: bool,
    /// §5.2.2.4, with or without field names: the qualified form is taken as the whole.
    pub no_cache: bool,
    /// §5.2.2.7, with or without field names.
    pub private: bool,
    /// §5.2.2.9.
    pub public: bool,
    /// §5.2.2.2, and §5.2.2.8 since this is a shared cache.
    pub must_revalidate: bool,
    /// §5.2.2.1; the smallest if it is repeated, zero if it is malformed.
    pub max_age: Option<Duration>,
    /// §5.2.2.10, likewise.
    pub s_maxage: Option<Duration>,
    /// RFC 5861 §3.
    pub stale_while_revalidate: Option<Duration>,
    /// RFC 5861 §4.
    pub stale_if_error: Option<Duration>,
    /// RFC 8246.
    pub immutable: bool,
}

/// The directives of a request (§5.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestDirectives {
    /// §5.2.1.4, or `Pragma: no-cache` without a `Cache-Control`.
    pub no_cache: bool,
    /// §5.2.1.5.
    pub no_store: bool,
    /// §5.2.1.7.
    pub only_if_cached: bool,
    /// §5.2.1.1.
    pub max_age: Option<Duration>,
    /// §5.2.1.3.
    pub min_fresh: Option<Duration>,
    /// §5.2.1.2; without a value any staleness will do.
    pub max_stale: Option<Duration>,
}

impl ResponseDirectives {
    /// Reads all `Cache-Control` lines of a response.
    pub fn of(headers: &HeaderMap) -> ResponseDirectives {
        let mut found = ResponseDirectives::default();
        for line in headers.get_all(header::CACHE_CONTROL) {
            each_directive(line, |name, value| found.add(name, value));
        }
        found
    }

    fn add(&mut self, name: &str, value: Option<&str>) {
        let is = |want: &str| name.eq_ignore_ascii_case(want);
        if is("no-store") {
            self.no_store = true;
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("private") {
            self.private = true;
        } else if is("public") {
            self.public = true;
        } else if is("must-revalidate") || is("proxy-revalidate") {
            self.must_revalidate = true;
        } else if is("max-age") {
            least(&mut self.max_age, value);
        } else if is("s-maxage") {
            least(&mut self.s_maxage, value);
        } else if is("stale-while-revalidate") {
            least(&mut self.stale_while_revalidate, value);
        } else if is("stale-if-error") {
            least(&mut self.stale_if_error, value);
        } else if is("immutable") {
            self.immutable = true;
        }
    }
}

impl RequestDirectives {
    /// Adds one `Cache-Control` line.
    pub fn read(&mut self, line: &HeaderValue) {
        each_directive(line, |name, value| self.add(name, value));
    }

    fn add(&mut self, name: &str, value: Option<&str>) {
        let is = |want: &str| name.eq_ignore_ascii_case(want);
        if is("no-cache") {
            self.no_cache = true;
        } else if is("no-store") {
            self.no_store = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("max-age") {
            least(&mut self.max_age, value);
        } else if is("min-fresh") {
            // A client that wants freshness which cannot be read is given the origin.
            self.min_fresh = Some(value.and_then(seconds).unwrap_or(MAX_DELTA));
        } else if is("max-stale") {
            self.max_stale = Some(value.map_or(MAX_DELTA, |value| seconds(value).unwrap_or_default()));
        }
    }
}

/// What larger or overflowing values become (RFC 9111 §1.2.2).
pub const MAX_DELTA: Duration = Duration::from_secs(1 << 31);

/// A malformed or missing number is zero: stale.
fn least(slot: &mut Option<Duration>, value: Option<&str>) {
    let value = value.and_then(seconds).unwrap_or_default();
    *slot = Some(slot.map_or(value, |before| before.min(value)));
}

/// `delta-seconds` (RFC 9111 §1.2.2).
pub fn seconds(text: &str) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().map_or(MAX_DELTA, |s| Duration::from_secs(s).min(MAX_DELTA)))
}

/// Calls `each` with every `name[=value]` of a list; quoted values lose their quotes. A line that is not text, or whose
/// quotes do not close, counts as `no-store` for responses and `no-cache` for requests: both names are given.
fn each_directive(line: &HeaderValue, mut each: impl FnMut(&str, Option<&str>)) {
    let Ok(text) = line.to_str() else {
        each("no-store", None);
        return each("no-cache", None);
    };
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return;
        }
        let end = rest.find([',', '=']).unwrap_or(rest.len());
        let name = rest[..end].trim_end();
        let Some(after) = rest[end..].strip_prefix('=') else {
            each(name, None);
            rest = &rest[end..];
            continue;
        };
        let after = after.trim_start();
        if let Some(quoted) = after.strip_prefix('"') {
            let Some(close) = closing_quote(quoted) else {
                each("no-store", None);
                return each("no-cache", None);
            };
            each(name, Some(&quoted[..close]));
            rest = &quoted[close + 1..];
            // Anything between the quote and the next comma belongs to no directive that we know.
            rest = &rest[rest.find(',').unwrap_or(rest.len())..];
        } else {
            let end = after.find(',').unwrap_or(after.len());
            each(name, Some(after[..end].trim_end()));
            rest = &after[end..];
        }
    }
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|b| {
        let closes = b == b'"' && !escaped;
        escaped = b == b'\\' && !escaped;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> ResponseDirectives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::CACHE_CONTROL, HeaderValue::from_str(line).unwrap());
        }
        ResponseDirectives::of(&headers)
    }

    fn secs(s: u64) -> Option<Duration> {
        Some(Duration::from_secs(s))
    }

    #[test]
    fn response_directives() {
        assert!(of(&["No-Store"]).no_store);
        assert!(of(&["private=\"set-cookie, x\", max-age=5"]).private);
        assert_eq!(of(&["private=\"max-age=9\", max-age=5"]).max_age, secs(5));
        assert!(of(&["no-cache=\"a\""]).no_cache);
        assert_eq!(of(&["max-age=10, max-age=5"]).max_age, secs(5), "the stricter of two");
        assert_eq!(of(&["max-age=10", "s-maxage=3"]).s_maxage, secs(3));
        assert_eq!(of(&["max-age=\"10\""]).max_age, secs(10));
        assert_eq!(of(&["max-age=-1"]).max_age, secs(0), "malformed is stale");
        assert_eq!(of(&["max-age"]).max_age, secs(0));
        assert_eq!(of(&["max-age=1.5"]).max_age, secs(0));
        assert_eq!(of(&["max-age=99999999999999999999999"]).max_age, Some(MAX_DELTA));
        assert!(of(&["proxy-revalidate"]).must_revalidate);
        assert!(of(&["x=\"unclosed, public"]).no_store, "what cannot be read is not stored");
        assert!(!of(&["x-no-store"]).no_store);
        assert!(of(&[", ,public ,"]).public);
        assert!(of(&["ext=\"a\\\"no-store\", public"]).public);
        assert!(!of(&["ext=\"a\\\", no-store\""]).no_store);
    }

    #[test]
    fn request_directives() {
        let read = |line: &'static str| {
            let mut found = RequestDirectives::default();
            found.read(&HeaderValue::from_static(line));
            found
        };
        assert_eq!(read("max-stale").max_stale, Some(MAX_DELTA));
        assert_eq!(read("max-stale=7").max_stale, secs(7));
        assert_eq!(read("max-stale=x").max_stale, secs(0));
        assert!(read("no-cache, only-if-cached").only_if_cached);
        assert_eq!(read("max-age=0").max_age, secs(0));
        assert_eq!(read("min-fresh=x").min_fresh, Some(MAX_DELTA));
    }
}
