//! `Cache-Control` (RFC 9111 §5.2), parsed strictly: what cannot be understood makes the answer less shareable, never more.
//!
//! What is no directive by the grammar is taken apart into words. Those that restrict do so; those that grant something
//! grant nothing, and what was to be a number is zero. After a quote that is never closed nothing can be known: `no-store`.

use std::borrow::Cow;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// The directives of a response.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResponseDirectives {
    /// §5.2.2.5.
    pub no_store: bool,
    /// §5.2.2.3.
    pub must_understand: bool,
    /// §5.2.2.4.
    pub no_cache: DirectiveScope,
    /// §5.2.2.7.
    pub private: DirectiveScope,
    /// §5.2.2.9.
    pub public: bool,
    /// §5.2.2.2, and §5.2.2.8 since this is a shared cache.
    pub must_revalidate: bool,
    /// `public` or `s-maxage`, understood: what was asked for with credentials is for others too.
    pub opens: bool,
    /// §3.5: one of those or `must-revalidate`, understood. That opens what `Authorization` alone asked for, of which the RFC speaks.
    pub opens_authorization: bool,
    /// §5.2.2.1; the smallest if it is repeated, zero if it is malformed.
    pub max_age: Option<Duration>,
    /// §5.2.2.10, likewise.
    pub s_maxage: Option<Duration>,
    /// RFC 5861 §3.
    pub stale_while_revalidate: Option<Duration>,
    /// RFC 5861 §4.
    pub stale_if_error: Option<Duration>,
}

/// What `no-cache` or `private` speaks of; nothing where it is not there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirectiveScope {
    /// The whole answer.
    pub whole: bool,
    /// These fields of it.
    pub fields: Vec<HeaderName>,
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
    /// RFC 5861 §4: for this request alone.
    pub stale_if_error: Option<Duration>,
    /// Nothing that the client says: the origin is to hear of its principal by this request.
    pub touch: bool,
}

impl RequestDirectives {
    /// Whether nothing will do that left the origin before this request came: `no-cache`, or an age of nothing.
    pub fn asks_anew(&self) -> bool {
        self.no_cache || self.max_age == Some(Duration::ZERO)
    }

    /// Less what would have its answer fresher than it is.
    pub fn content(self) -> RequestDirectives {
        RequestDirectives { no_cache: false, max_age: None, min_fresh: None, ..self }
    }

    /// What it asks for besides.
    pub fn asked_anew(self) -> RequestDirectives {
        RequestDirectives { no_cache: false, max_age: self.max_age.filter(|max| !max.is_zero()), ..self }
    }
}

impl ResponseDirectives {
    /// Reads all `Cache-Control` lines of a response.
    pub fn of(headers: &HeaderMap) -> ResponseDirectives {
        let mut found = ResponseDirectives::default();
        for line in headers.get_all(header::CACHE_CONTROL) {
            if each_directive(line.as_bytes(), |name, argument| found.add(name, &argument)) == Ends::InsideQuotes {
                found.no_store = true;
            }
        }
        found
    }

    /// RFC 9111 §4.2.1, for a shared cache.
    pub fn lifetime(&self) -> Option<Duration> {
        self.s_maxage.or(self.max_age)
    }

    /// Adds one directive.
    pub(super) fn add(&mut self, name: &[u8], argument: &Argument<'_>) {
        let is = |want: &str| name.eq_ignore_ascii_case(want.as_bytes());
        let alone = *argument == Argument::None;
        if is("no-store") {
            self.no_store = true;
        } else if is("must-understand") {
            // Broken, it lifts nothing and forbids the rest.
            (self.must_understand, self.no_store) = (self.must_understand | alone, self.no_store | !alone);
        } else if is("no-cache") {
            self.no_cache.add(argument);
        } else if is("private") {
            self.private.add(argument);
        } else if is("public") {
            (self.public, self.opens) = (self.public | alone, self.opens | alone);
            self.opens_authorization |= alone;
        } else if is("must-revalidate") {
            (self.must_revalidate, self.opens_authorization) = (true, self.opens_authorization | alone);
        } else if is("proxy-revalidate") {
            self.must_revalidate = true;
        } else if is("max-age") {
            least(&mut self.max_age, argument.seconds());
        } else if is("s-maxage") {
            self.opens |= argument.seconds().is_some();
            self.opens_authorization |= argument.seconds().is_some();
            least(&mut self.s_maxage, argument.seconds());
        } else if is("stale-while-revalidate") {
            least(&mut self.stale_while_revalidate, argument.seconds());
        } else if is("stale-if-error") {
            least(&mut self.stale_if_error, argument.seconds());
        }
    }
}

impl RequestDirectives {
    /// Adds one `Cache-Control` line.
    pub fn read(&mut self, line: &HeaderValue) {
        if each_directive(line.as_bytes(), |name, argument| self.add(name, &argument)) == Ends::InsideQuotes {
            self.no_store = true;
        }
    }

    fn add(&mut self, name: &[u8], argument: &Argument<'_>) {
        let is = |want: &str| name.eq_ignore_ascii_case(want.as_bytes());
        if is("no-cache") {
            self.no_cache = true;
        } else if is("no-store") {
            self.no_store = true;
        } else if is("only-if-cached") {
            self.only_if_cached = true;
        } else if is("max-age") {
            least(&mut self.max_age, argument.seconds());
        } else if is("min-fresh") {
            // A client that wants freshness which cannot be read is given the origin.
            self.min_fresh = self.min_fresh.max(Some(argument.seconds().unwrap_or(MAX_DELTA)));
        } else if is("max-stale") {
            let any = (*argument == Argument::None).then_some(MAX_DELTA);
            least(&mut self.max_stale, argument.seconds().or(any));
        } else if is("stale-if-error") {
            least(&mut self.stale_if_error, argument.seconds());
        }
    }
}

impl DirectiveScope {
    /// Adds what one such directive says. What cannot be read as names of fields is the whole. So is a field without which the
    /// rest would mean something else.
    fn add(&mut self, argument: &Argument<'_>) {
        let text = match argument {
            Argument::None | Argument::Malformed => b"",
            Argument::Token(text) => *text,
            Argument::Quoted(text) => text.as_ref(),
        };
        let names = text.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
        match names.map(HeaderName::from_bytes).collect::<Result<Vec<_>, _>>() {
            Ok(names) if !names.is_empty() && !names.iter().any(|name| ESSENTIAL.contains(name)) => {
                self.fields.extend(names);
            }
            _ => self.whole = true,
        }
    }

    /// Both together.
    pub(crate) fn join(&mut self, other: DirectiveScope) {
        self.whole |= other.whole;
        self.fields.extend(other.fields);
    }
}

/// How a body is read, and what caches behind us may do with it.
const ESSENTIAL: [HeaderName; 5] =
    [header::CONTENT_ENCODING, header::CONTENT_RANGE, header::CONTENT_TYPE, header::CACHE_CONTROL, header::VARY];

/// What larger or overflowing values become (§1.2.2).
pub const MAX_DELTA: Duration = Duration::from_secs(1 << 31);

/// A malformed or missing number is zero: stale.
fn least(slot: &mut Option<Duration>, value: Option<Duration>) {
    let value = value.unwrap_or_default();
    *slot = Some(slot.map_or(value, |before| before.min(value)));
}

/// `delta-seconds` (§1.2.2).
pub fn seconds(text: &[u8]) -> Option<Duration> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = text.iter().fold(0_u64, |number, b| number.saturating_mul(10).saturating_add(u64::from(b - b'0')));
    Some(Duration::from_secs(number).min(MAX_DELTA))
}

/// What stands behind a directive's name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    None,
    Token(&'a [u8]),
    /// Without its quotes.
    Quoted(Cow<'a, [u8]>),
    /// It is part of something that is no directive.
    Malformed,
}

impl Argument<'_> {
    /// Either form will do (§5.2).
    fn seconds(&self) -> Option<Duration> {
        match self {
            Argument::Token(text) => seconds(text),
            Argument::Quoted(text) => seconds(text),
            Argument::None | Argument::Malformed => None,
        }
    }
}

#[derive(PartialEq, Eq)]
enum Ends {
    AsItShould,
    InsideQuotes,
}

/// Calls `each` with every directive of a list; of what is none, with every word.
fn each_directive<'a>(line: &'a [u8], mut each: impl FnMut(&'a [u8], Argument<'a>)) -> Ends {
    for element in elements(line) {
        let Some(element) = element else { return Ends::InsideQuotes };
        match directive(element) {
            Some((name, argument)) => each(name, argument),
            None => words(element).for_each(|word| each(word, Argument::Malformed)),
        }
    }
    Ends::AsItShould
}

/// The elements of a list, trimmed; `None` for a last one whose quotes do not close.
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let Some(end) = end_of_element(text) else { return Some(None) };
        rest = text.get(end + 1..);
        Some(Some(text[..end].trim_ascii()))
    })
}

/// Where the next comma stands that is not in quotes, or the end.
fn end_of_element(text: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, &b) in text.iter().enumerate() {
        match b {
            b',' if !quoted => return Some(at),
            b'"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = quoted && b == b'\\' && !escaped;
    }
    (!quoted).then_some(text.len())
}

/// `token [ "=" ( token / quoted-string ) ]`, with no space around the sign.
pub(crate) fn directive(element: &[u8]) -> Option<(&[u8], Argument<'_>)> {
    let (name, rest) = element.split_at(token_length(element));
    if name.is_empty() {
        return None;
    }
    let Some(argument) = rest.strip_prefix(b"=") else {
        return rest.is_empty().then_some((name, Argument::None));
    };
    if let Some(quoted) = argument.strip_prefix(b"\"") {
        return Some((name, Argument::Quoted(unquoted(quoted)?)));
    }
    (!argument.is_empty() && token_length(argument) == argument.len()).then_some((name, Argument::Token(argument)))
}

/// What stands before a closing quote that must be the end.
fn unquoted(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    let inside = text.strip_suffix(b"\"")?;
    if !inside.contains(&b'\\') {
        return (!inside.contains(&b'"')).then_some(Cow::Borrowed(inside));
    }
    let (mut plain, mut bytes) = (Vec::with_capacity(inside.len()), inside.iter());
    while let Some(&b) = bytes.next() {
        match b {
            b'\\' => plain.push(*bytes.next()?),
            b'"' => return None,
            _ => plain.push(b),
        }
    }
    Some(Cow::Owned(plain))
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| !is_token_byte(b)).filter(|word| !word.is_empty())
}

fn token_length(text: &[u8]) -> usize {
    text.iter().position(|&b| !is_token_byte(b)).unwrap_or(text.len())
}

/// RFC 9110 §5.6.2.
fn is_token_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&str]) -> ResponseDirectives {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::CACHE_CONTROL, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        ResponseDirectives::of(&headers)
    }

    fn secs(s: u64) -> Option<Duration> {
        Some(Duration::from_secs(s))
    }

    fn fields(names: &[&'static str]) -> DirectiveScope {
        DirectiveScope { whole: false, fields: names.iter().map(|name| HeaderName::from_static(name)).collect() }
    }

    fn whole() -> DirectiveScope {
        DirectiveScope { whole: true, fields: Vec::new() }
    }

    #[test]
    fn rfc9111_5_2_names_in_any_case_on_several_lines_and_unknown_ones_besides() {
        assert!(of(&["No-Store"]).no_store);
        assert!(of(&["x, foo=bar, NO-STORE"]).no_store);
        assert!(of(&["max-age=5", "no-store"]).no_store);
        assert_eq!(of(&["max-age=10", "S-MaxAge=3"]).s_maxage, secs(3));
        assert!(of(&[", ,public ,"]).public);
        assert_eq!(of(&[""]), ResponseDirectives::default());
        for unknown in ["x-no-store", "ext=\"no-store\"", "ext=\"a\\\", no-store\"", "no-storex", "ext=no-store"] {
            assert_eq!(of(&[unknown]), ResponseDirectives::default(), "{unknown}");
        }
        assert!(of(&["ext=\"a\\\"no-store\", public"]).public);
        assert!(of(&["ext=\"\u{e4}\", public"]).public);
    }

    #[test]
    fn rfc9111_1_2_2_delta_seconds() {
        for (argument, want) in [
            ("=10", 10),
            ("=\"10\"", 10), // §5.2: either form
            ("=\"1\\0\"", 10),
            ("=0010", 10),
            ("=2147483648", 1 << 31),
            ("=2147483649", 1 << 31),
            ("=99999999999999999999999", 1 << 31),
            ("", 0),
            ("=", 0),
            ("=\"\"", 0),
            ("=-1", 0),
            ("=+10", 0),
            ("=1.5", 0),
            ("=1e3", 0),
            ("=0x10", 0),
            ("=10s", 0),
            ("=10 0", 0),
            ("='10'", 0),
            ("=\" 10\"", 0),
            (" =10", 0),
            ("= 10", 0),
            ("\t=10", 0),
            (" = \"10\"", 0),
            ("=\"10\"x", 0),
            ("=10;x", 0),
            (":10", 0),
        ] {
            let line = format!("max-age{argument}, s-maxage{argument}");
            let said = of(&[&line]);
            assert_eq!((said.max_age, said.s_maxage), (secs(want), secs(want)), "{line}");
            assert_eq!(said.opens, argument.starts_with('=') && want > 0, "{line}");
        }
    }

    #[test]
    fn rfc9111_4_2_1_of_two_the_stricter() {
        assert_eq!(of(&["max-age=10, max-age=5"]).max_age, secs(5));
        assert_eq!(of(&["max-age=5", "max-age=10"]).max_age, secs(5));
        assert_eq!(of(&["max-age=10, max-age=x"]).max_age, secs(0));
        assert_eq!(of(&["stale-if-error=10, stale-if-error=5"]).stale_if_error, secs(5));
        assert!(of(&["public, no-store"]).no_store);
    }

    #[test]
    fn rfc9111_5_2_2_4_and_5_2_2_7_fields_or_everything() {
        for (argument, want) in [
            ("", whole()),
            ("=\"x\"", fields(&["x"])),
            ("=\"Set-Cookie, X-A\"", fields(&["set-cookie", "x-a"])),
            ("=\" , x ,, \"", fields(&["x"])),
            ("=x", fields(&["x"])), // the token form, too
            ("=\"max-age=9\"", whole()),
            ("=\"\"", whole()),
            ("=\",\"", whole()),
            ("=\"x y\"", whole()),
            ("=", whole()),
            (" =\"x\"", whole()),
            ("= \"x\"", whole()),
            ("=\"x\" y", whole()),
            ("=\"Content-Encoding\"", whole()),
            ("=\"x, Vary\"", whole()),
        ] {
            let line = format!("no-cache{argument}, private{argument}, max-age=5");
            let said = of(&[&line]);
            assert_eq!((&said.no_cache, &said.private, said.max_age), (&want, &want, secs(5)), "{line}");
        }
        assert_eq!(of(&["private=\"x\", private=\"y\""]).private, fields(&["x", "y"]));
        let both = DirectiveScope { whole: true, ..fields(&["x"]) };
        assert_eq!(of(&["private=\"x\"", "private"]).private, both);
        assert_eq!(of(&["private, private=\"x\""]).private, both);
    }

    #[test]
    fn what_cannot_be_read_restricts_and_grants_nothing() {
        for line in
            ["x=\"unclosed, public", "max-age=\"60", "public, \"", "no-store=x", "no-store =x", "no-store max-age=5"]
        {
            assert!(of(&[line]).no_store, "{line}");
        }
        assert!(of(&["max-age=5 no-store"]).no_store);
        assert_eq!(of(&["foo bar private"]).private, whole());
        for line in ["public=x", "public =", "x public", "must-revalidate=1", "s-maxage=x", "proxy-revalidate"] {
            assert!(!of(&[line]).opens_authorization, "{line}");
        }
        assert!(of(&["must-revalidate=1"]).must_revalidate && of(&["proxy-revalidate"]).must_revalidate);
        assert!(of(&["must-understand=1"]).no_store && !of(&["must-understand=1"]).must_understand);
    }

    #[test]
    fn rfc9111_5_2_1_request_directives() {
        let read = |lines: &[&'static str]| {
            let mut found = RequestDirectives::default();
            lines.iter().for_each(|line| found.read(&HeaderValue::from_static(line)));
            found
        };
        let one = |line| read(&[line]);
        assert_eq!(one("max-stale").max_stale, Some(MAX_DELTA));
        assert_eq!(one("max-stale=7").max_stale, secs(7));
        assert_eq!(one("max-stale=\"7\"").max_stale, secs(7));
        assert_eq!(one("max-stale=x").max_stale, secs(0));
        assert_eq!(one("max-stale =7").max_stale, secs(0));
        assert_eq!(read(&["max-stale", "max-stale=7"]).max_stale, secs(7));
        assert!(one("No-Cache, only-if-cached").only_if_cached);
        assert!(one("no-cache=x").no_cache);
        assert_eq!(one("max-age=0").max_age, secs(0));
        assert_eq!(one("max-age=\"10\"").max_age, secs(10));
        assert_eq!(one("max-age= 10").max_age, secs(0));
        assert_eq!(one("min-fresh=x").min_fresh, Some(MAX_DELTA));
        assert_eq!(read(&["min-fresh=9", "min-fresh=5"]).min_fresh, secs(9));
        assert_eq!(one("stale-if-error=60").stale_if_error, secs(60)); // RFC 5861 §4
        assert_eq!(one("stale-if-error").stale_if_error, secs(0));
        assert!(one("x=\"unclosed").no_store);
    }
}
