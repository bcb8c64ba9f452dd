//! The third question: the origin's head is in hand; may the answer be stored, and for how long?

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, StatusCode, header};

use super::directives::{MAX_DELTA, ResponseDirectives, seconds};
use super::plan::Credentialed;
use super::{Caching, NamedPolicy, Share, TypePattern, vary};
use crate::entry::{Lifetime, Openness, Staleness, Validators};

/// An answer's head, as far as the judgement needs it.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The path that was asked for, in normal form.
    pub path: &'a str,
    /// Whether the request showed credentials that are no part of the key (built-in policies).
    pub credentialed: Credentialed,
    /// When it arrived.
    pub arrived: SystemTime,
    /// From sending the request to receiving the head.
    pub delay: Duration,
}

/// The answer to the third question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admit {
    /// Store it once it is whole.
    Store(Terms),
    /// Store nothing, and pass such requests for a while without making them wait for each other.
    RememberUncacheable(NotStored),
    /// Store nothing this time. Whoever waits for this very fetch may have it.
    Discard(NotStored),
}

/// On which terms an answer is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// How long.
    pub lifetime: Lifetime,
    /// Its age on arrival.
    pub initial_age: Duration,
    /// Whether requests with unkeyed credentials may have it.
    pub openness: Openness,
    /// The request headers by which answers differ here, sorted, beside those that are keyed anyway.
    pub vary: Vec<HeaderName>,
    /// What clients and caches behind us are told.
    pub downstream: Downstream,
}

/// What the caches behind us are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downstream {
    /// What the origin said.
    AsOrigin,
    /// `private, no-cache`: a purge here would not reach them.
    Private,
    /// `public, max-age=…`, from `types:`; immutable when the name is fingerprinted.
    Public {
        /// For how long they may keep it.
        max_age: Duration,
        /// Whether they need never ask again.
        fingerprinted: Fingerprinted,
    },
}

impl Downstream {
    /// The `Cache-Control` that is sent in place of the origin's, if one is.
    pub fn cache_control(self) -> Option<String> {
        match self {
            Downstream::AsOrigin => None,
            Downstream::Private => Some("private, no-cache".to_owned()),
            Downstream::Public { max_age, fingerprinted } => {
                let immutable = if fingerprinted == Fingerprinted::Yes { ", immutable" } else { "" };
                Some(format!("public, max-age={}{immutable}", max_age.as_secs()))
            }
        }
    }
}

/// Whether a file's name carries a hash of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fingerprinted {
    /// It never changes under this name.
    Yes,
    /// It may.
    No,
}

/// Why an answer is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotStored {
    /// `Cache-Control: no-store`.
    NoStore,
    /// `Cache-Control: private`, and others would share it.
    Private,
    /// It sets a cookie.
    SetCookie,
    /// `Vary: *`.
    VaryAll,
    /// `Vary` names a credential that the policy does not key.
    VaryCredential,
    /// The request had credentials and the origin did not open the answer (RFC 9111 §3.5).
    Credentials,
    /// No lifetime is given and nothing can revalidate it.
    NoLifetime,
    /// A status that is not stored.
    Status,
    /// A media type that the policy does not list.
    Type,
    /// A part of an answer.
    Partial,
    /// An endless stream of events.
    EventStream,
    /// Longer than `max_object`.
    TooLarge,
    /// More tags than an entry may have.
    TooManyTags,
    /// A tag whose value the answer does not hold.
    TagUnknown,
    /// The end of its body cannot be told from a cut.
    Incomplete,
    /// It ends in trailers, which are not kept.
    Trailers,
    /// Other fills hold all the memory that fills may take.
    FillMemory,
    /// It answers HEAD.
    Head,
}

impl NotStored {
    /// One spelling for `Cache-Status`, metrics, logs and people.
    pub fn as_str(self) -> &'static str {
        match self {
            NotStored::NoStore => "no-store",
            NotStored::Private => "private",
            NotStored::SetCookie => "set-cookie",
            NotStored::VaryAll => "vary-all",
            NotStored::VaryCredential => "vary-on-credential",
            NotStored::Credentials => "credentials",
            NotStored::NoLifetime => "no-lifetime",
            NotStored::Status => "status",
            NotStored::Type => "unlisted-type",
            NotStored::Partial => "partial",
            NotStored::EventStream => "event-stream",
            NotStored::TooLarge => "too-large",
            NotStored::TooManyTags => "too-many-tags",
            NotStored::TagUnknown => "tag-unknown",
            NotStored::Incomplete => "incomplete",
            NotStored::Trailers => "trailers",
            NotStored::FillMemory => "fill-memory",
            NotStored::Head => "head",
        }
    }

    /// The origin's own error or passing state: whoever waits for this fetch may have the answer as it is, and the next
    /// request finds out for itself.
    fn is_passing(self) -> bool {
        matches!(self, NotStored::Status)
    }
}

/// Whether an answer that is not stored may still be given to those who wait for this very fetch: it does not depend on anything
/// that may differ between them.
pub fn is_alike_for_all(headers: &HeaderMap, caching: &Caching) -> bool {
    vary::names(headers).is_ok_and(|names| match caching {
        // It was one person's, and says nothing of what another is let see.
        Caching::Named(policy) if policy.share.is_between_people() => false,
        Caching::Named(policy) => names.iter().all(|name| is_keyed(name, policy)),
        _ => names.is_empty(),
    })
}

/// Answers the third question.
pub fn admit(answered: &Answered<'_>, caching: &Caching) -> Admit {
    match terms(answered, caching) {
        Ok(terms) => Admit::Store(terms),
        Err(why) if why.is_passing() => Admit::Discard(why),
        Err(why) => Admit::RememberUncacheable(why),
    }
}

fn terms(answered: &Answered<'_>, caching: &Caching) -> Result<Terms, NotStored> {
    let said = ResponseDirectives::of(answered.headers);
    // A refusal or a page to sign in at is one person's: it is neither kept, nor a reason to keep nothing for the others.
    if matches!(caching, Caching::Named(policy) if policy.share.is_between_people())
        && !matches!(answered.status.as_u16(), 200 | 203)
    {
        return Err(NotStored::Status);
    }
    refuse_always(answered, &said)?;
    match caching {
        Caching::Pass => Err(NotStored::NoStore),
        Caching::Http(_) => http_terms(answered, &said),
        Caching::Named(policy) => named_terms(answered, &said, policy),
    }
}

/// What no policy can widen.
fn refuse_always(answered: &Answered<'_>, said: &ResponseDirectives) -> Result<(), NotStored> {
    let headers = answered.headers;
    if said.no_store {
        return Err(NotStored::NoStore);
    }
    if headers.contains_key(header::SET_COOKIE) {
        return Err(NotStored::SetCookie);
    }
    if answered.status == StatusCode::PARTIAL_CONTENT || headers.contains_key(header::CONTENT_RANGE) {
        return Err(NotStored::Partial);
    }
    if media_type(headers) == "text/event-stream" {
        return Err(NotStored::EventStream);
    }
    Ok(())
}

/// RFC 9111 §3, with explicit lifetimes only.
fn http_terms(answered: &Answered<'_>, said: &ResponseDirectives) -> Result<Terms, NotStored> {
    if said.private {
        return Err(NotStored::Private);
    }
    let vary = vary::names(answered.headers)?;
    let open = said.public || said.s_maxage.is_some() || said.must_revalidate;
    if answered.credentialed == Credentialed::Yes {
        if !open {
            return Err(NotStored::Credentials);
        }
        if vary.iter().any(is_credential) {
            return Err(NotStored::VaryCredential);
        }
    }
    if answered.status.is_server_error() && said.max_age.is_none() && said.s_maxage.is_none() {
        return Err(NotStored::Status);
    }
    let fresh_for = explicit_lifetime(answered, said);
    let (fresh_for, staleness) = origin_lifetime(answered, said, fresh_for)?;
    let lifetime = Lifetime {
        fresh_for,
        stale_while_revalidate: said.stale_while_revalidate.unwrap_or_default(),
        stale_if_error: said.stale_if_error.unwrap_or_default(),
        ceiling: Lifetime::NO_CEILING,
        staleness,
    };
    let openness = if open { Openness::Open } else { Openness::Closed };
    Ok(Terms { lifetime, initial_age: initial_age(answered), openness, vary, downstream: Downstream::AsOrigin })
}

fn named_terms(answered: &Answered<'_>, said: &ResponseDirectives, policy: &NamedPolicy) -> Result<Terms, NotStored> {
    if said.private && policy.share != Share::Principal {
        return Err(NotStored::Private);
    }
    let between_people = policy.share.is_between_people();
    let mut vary = vary::names(answered.headers)?;
    if (between_people || policy.share == Share::Public) && vary.iter().any(is_credential) {
        return Err(NotStored::VaryCredential);
    }
    vary.retain(|name| !is_keyed(name, policy));
    let (ttl, downstream) = listed_type(answered, policy)?;
    let explicit = explicit_lifetime(answered, said);
    let lifetime = match ttl {
        Some(ttl) if lives_by_policy(answered.status) => Some(ttl),
        // Redirects that are not for ever, errors and the like: only as the origin says itself.
        _ => explicit,
    };
    if lifetime.is_none() && !lives_by_policy(answered.status) {
        return Err(NotStored::Status);
    }
    let (fresh_for, mut staleness) = origin_lifetime(answered, said, lifetime)?;
    if said.s_maxage.is_some() && !said.must_revalidate && !said.no_cache && ttl.is_some() {
        // `s-maxage` forbids staleness because it sets the lifetime; here the policy sets it.
        staleness = Staleness::Allowed;
    }
    let downstream = if policy.share.is_sensitive() { Downstream::Private } else { downstream };
    let lifetime = Lifetime {
        fresh_for,
        stale_while_revalidate: policy.stale_while_revalidate.or(said.stale_while_revalidate).unwrap_or_default(),
        stale_if_error: policy.stale_if_error.or(said.stale_if_error).unwrap_or_default(),
        ceiling: policy.ceiling.unwrap_or(Lifetime::NO_CEILING),
        staleness,
    };
    Ok(Terms { lifetime, initial_age: initial_age(answered), openness: Openness::Open, vary, downstream })
}

/// Statuses that take the policy's `ttl`.
fn lives_by_policy(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 301 | 308)
}

/// Applies `no-cache`, which needs something to revalidate with, and what forbids staleness.
fn origin_lifetime(
    answered: &Answered<'_>,
    said: &ResponseDirectives,
    lifetime: Option<Duration>,
) -> Result<(Duration, Staleness), NotStored> {
    let can_revalidate = Validators::of(answered.headers).any();
    if said.no_cache {
        return if can_revalidate { Ok((Duration::ZERO, Staleness::Forbidden)) } else { Err(NotStored::NoLifetime) };
    }
    let fresh_for = match lifetime {
        Some(lifetime) => lifetime,
        None => return Err(NotStored::NoLifetime),
    };
    if fresh_for.is_zero() && !can_revalidate {
        return Err(NotStored::NoLifetime);
    }
    let forbidden = said.must_revalidate || said.s_maxage.is_some();
    Ok((fresh_for, if forbidden { Staleness::Forbidden } else { Staleness::Allowed }))
}

/// RFC 9111 §4.2.1, for a shared cache.
fn explicit_lifetime(answered: &Answered<'_>, said: &ResponseDirectives) -> Option<Duration> {
    if let Some(lifetime) = said.s_maxage.or(said.max_age) {
        return Some(lifetime);
    }
    let expires = single(answered.headers, header::EXPIRES)?;
    // An unreadable date, such as 0, is in the past (§5.3).
    let Some(expires) = expires.and_then(|text| httpdate::parse_http_date(text).ok()) else {
        return Some(Duration::ZERO);
    };
    let date = date(answered.headers).unwrap_or(answered.arrived);
    Some(expires.duration_since(date).unwrap_or_default().min(MAX_DELTA))
}

/// RFC 9111 §4.2.3, `corrected_initial_age`.
pub fn initial_age(answered: &Answered<'_>) -> Duration {
    let apparent = date(answered.headers).and_then(|date| answered.arrived.duration_since(date).ok());
    // §5.1: a malformed or repeated Age counts by its first value.
    let age = answered.headers.get(header::AGE).and_then(|value| value.to_str().ok());
    let age = age.and_then(|text| text.split(',').next()).and_then(|text| seconds(text.trim())).unwrap_or_default();
    // Dates have whole seconds: less than one of apparent age is none.
    let apparent = Duration::from_secs(apparent.unwrap_or_default().as_secs());
    apparent.max(age + answered.delay)
}

fn date(headers: &HeaderMap) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()
}

/// `None`: absent. `Some(None)`: there, but repeated or not text.
fn single(headers: &HeaderMap, name: HeaderName) -> Option<Option<&str>> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    Some(if values.next().is_some() { None } else { first.to_str().ok() })
}

fn is_credential(name: &HeaderName) -> bool {
    name == header::COOKIE || name == header::AUTHORIZATION
}

/// Whether a named policy's key decides this header's value already, or its fetch never sends it.
fn is_keyed(name: &HeaderName, policy: &NamedPolicy) -> bool {
    is_credential(name)
        || name == header::ACCEPT
        || name == header::ACCEPT_ENCODING
        || name == header::HOST
        || policy.vary.contains(name)
}

/// The lifetime and the downstream header that `types:` and `ttl` give.
fn listed_type(answered: &Answered<'_>, policy: &NamedPolicy) -> Result<(Option<Duration>, Downstream), NotStored> {
    if policy.types.is_empty() {
        return Ok((policy.ttl, Downstream::AsOrigin));
    }
    let media = media_type(answered.headers);
    let matching = |fingerprinted: Fingerprinted| {
        policy.types.iter().find(|(pattern, _)| match pattern {
            TypePattern::Fingerprinted => fingerprinted == Fingerprinted::Yes && is_fingerprinted(answered.path),
            TypePattern::Exact(exact) => fingerprinted == Fingerprinted::No && *exact == media,
            TypePattern::Family(family) => {
                let of = media.split_once('/').map(|(family, _)| family);
                fingerprinted == Fingerprinted::No && of == Some(family)
            }
        })
    };
    let listed = matching(Fingerprinted::No).ok_or(NotStored::Type)?;
    let (max_age, fingerprinted) = match matching(Fingerprinted::Yes) {
        Some((_, ttl)) => (*ttl, Fingerprinted::Yes),
        None => (listed.1, Fingerprinted::No),
    };
    Ok((Some(max_age), Downstream::Public { max_age, fingerprinted }))
}

/// The media type in lower case, without parameters; empty when there is none.
pub fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    value.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// `app.3f2a9c1b.js`, `app-3f2a9c1bd0.css`: a piece of at least eight hexadecimal digits, one of them a decimal digit.
fn is_fingerprinted(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or("");
    let mut pieces: Vec<&str> = file.split(['.', '-', '_']).collect();
    // The extension is none of them.
    pieces.pop();
    pieces.iter().skip(1).any(|piece| {
        piece.len() >= 8 && piece.bytes().all(|b| b.is_ascii_hexdigit()) && piece.bytes().any(|b| b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn named(share: Share) -> NamedPolicy {
        NamedPolicy {
            share,
            access: None,
            ttl: Some(Duration::from_secs(300)),
            stale_while_revalidate: None,
            stale_if_error: None,
            ceiling: None,
            types: Vec::new(),
            vary: Vec::new(),
        }
    }

    fn ask(
        status: u16,
        lines: &[(&'static str, &'static str)],
        credentialed: Credentialed,
        caching: &Caching,
    ) -> Admit {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let answered = Answered {
            status: StatusCode::from_u16(status).unwrap(),
            headers: &headers,
            path: "/static/app.3f2a9c1b.js",
            credentialed,
            arrived: SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000),
            delay: Duration::ZERO,
        };
        admit(&answered, caching)
    }

    fn verdict(admit: Admit) -> Result<u64, NotStored> {
        match admit {
            Admit::Store(terms) => Ok(terms.lifetime.fresh_for.as_secs()),
            Admit::RememberUncacheable(why) | Admit::Discard(why) => Err(why),
        }
    }

    #[test]
    fn by_the_origin() {
        let http = Caching::Http(Credentials::AuthorizationAndCookies);
        let check = |lines: &[(&'static str, &'static str)], want: Result<u64, NotStored>| {
            assert_eq!(verdict(ask(200, lines, Credentialed::No, &http)), want, "{lines:?}");
        };
        use super::super::Credentials;
        check(&[("cache-control", "max-age=60")], Ok(60)); // §4.2.1
        check(&[("cache-control", "max-age=60, s-maxage=5")], Ok(5));
        check(&[("cache-control", "max-age=60, private")], Err(NotStored::Private));
        check(&[("cache-control", "no-store, max-age=60")], Err(NotStored::NoStore));
        check(&[("cache-control", "no-cache"), ("etag", "\"a\"")], Ok(0));
        check(&[("cache-control", "no-cache")], Err(NotStored::NoLifetime));
        check(&[], Err(NotStored::NoLifetime));
        check(&[("expires", "0")], Err(NotStored::NoLifetime));
        check(&[("expires", "Sun, 09 Sep 2001 01:47:40 GMT")], Ok(60)); // §5.3
        check(&[("cache-control", "max-age=60"), ("set-cookie", "a=b")], Err(NotStored::SetCookie));
        check(&[("cache-control", "max-age=60"), ("vary", "*")], Err(NotStored::VaryAll));
        check(&[("cache-control", "max-age=60"), ("content-type", "text/event-stream")], Err(NotStored::EventStream));
    }

    #[test]
    fn credentials_need_the_origins_word() {
        use super::super::Credentials;
        let http = Caching::Http(Credentials::AuthorizationAndCookies);
        let check = |control: &'static str, vary: &'static str, want: Result<u64, NotStored>| {
            let lines = [("cache-control", control), ("vary", vary)];
            assert_eq!(verdict(ask(200, &lines, Credentialed::Yes, &http)), want, "{control} {vary}");
        };
        check("max-age=60", "accept", Err(NotStored::Credentials)); // §3.5
        check("max-age=60, public", "accept", Ok(60));
        check("s-maxage=60", "accept", Ok(60));
        check("max-age=60, must-revalidate", "accept", Ok(60));
        check("max-age=60, public", "cookie", Err(NotStored::VaryCredential));
    }

    #[test]
    fn by_policy() {
        let check = |share: Share,
                     status: u16,
                     lines: &[(&'static str, &'static str)],
                     want: Result<u64, NotStored>| {
            let text = format!("{share} {status} {lines:?}");
            assert_eq!(verdict(ask(status, lines, Credentialed::No, &Caching::Named(named(share)))), want, "{text}");
        };
        check(Share::Principal, 200, &[], Ok(300));
        check(Share::Principal, 200, &[("cache-control", "max-age=5")], Ok(300));
        check(Share::Principal, 200, &[("cache-control", "private")], Ok(300));
        check(Share::Anonymous, 200, &[("cache-control", "private")], Err(NotStored::Private));
        check(Share::Public, 200, &[("cache-control", "no-store")], Err(NotStored::NoStore));
        check(Share::Public, 200, &[("vary", "Cookie")], Err(NotStored::VaryCredential));
        check(Share::Anonymous, 200, &[("vary", "Cookie")], Ok(300));
        check(Share::Public, 200, &[("cache-control", "no-cache"), ("etag", "\"x\"")], Ok(0));
        check(Share::Public, 404, &[], Err(NotStored::Status));
        check(Share::Public, 404, &[("cache-control", "max-age=9")], Ok(9));
        check(Share::Public, 500, &[], Err(NotStored::Status));
        check(Share::Public, 302, &[], Err(NotStored::Status));
        check(Share::Public, 301, &[], Ok(300));
        check(Share::Principal, 401, &[], Err(NotStored::Status));
        check(Share::Public, 206, &[], Err(NotStored::Partial));
        check(Share::Permitted, 200, &[], Ok(300));
        check(Share::Permitted, 200, &[("cache-control", "private")], Err(NotStored::Private));
        check(Share::Permitted, 200, &[("vary", "Authorization")], Err(NotStored::VaryCredential));
        check(Share::Permitted, 403, &[("cache-control", "max-age=9")], Err(NotStored::Status));
        check(Share::Permitted, 301, &[], Err(NotStored::Status));
    }

    #[test]
    fn an_unkeyed_vary_becomes_part_of_the_key() {
        let mut policy = named(Share::Public);
        policy.vary = vec![HeaderName::from_static("x-client")];
        let lines = [("vary", "Accept-Language, X-Client, Accept-Encoding"), ("vary", "accept")];
        let Admit::Store(terms) = ask(200, &lines, Credentialed::No, &Caching::Named(policy)) else { panic!() };
        assert_eq!(terms.vary, [header::ACCEPT_LANGUAGE]);
    }

    #[test]
    fn types_give_lifetimes() {
        let mut policy = named(Share::Public);
        policy.types = vec![
            (TypePattern::Family("image".into()), Duration::from_secs(7)),
            (TypePattern::Exact("text/javascript".into()), Duration::from_secs(1)),
            (TypePattern::Fingerprinted, Duration::from_secs(365)),
        ];
        let caching = Caching::Named(policy);
        let ttl = |media| verdict(ask(200, &[("content-type", media)], Credentialed::No, &caching));
        assert_eq!(ttl("Text/JavaScript; charset=utf-8"), Ok(365));
        assert_eq!(ttl("text/html"), Err(NotStored::Type));
        assert!(is_fingerprinted("/a/app-0123abcd.css"));
        assert!(
            !is_fingerprinted("/a/app.css") && !is_fingerprinted("/a/deadbeef.png") && !is_fingerprinted("/facade.x.y")
        );
    }

    #[test]
    fn staleness_and_age() {
        let caching = Caching::Named(named(Share::Public));
        let terms = |lines: &[(&'static str, &'static str)]| match ask(200, lines, Credentialed::No, &caching) {
            Admit::Store(terms) => terms,
            other => panic!("{other:?}"),
        };
        assert_eq!(terms(&[("cache-control", "must-revalidate")]).lifetime.staleness, Staleness::Forbidden);
        assert_eq!(terms(&[("cache-control", "s-maxage=9")]).lifetime.staleness, Staleness::Allowed);
        assert_eq!(terms(&[("age", "30")]).initial_age.as_secs(), 30);
        assert_eq!(terms(&[("age", "x")]).initial_age.as_secs(), 0);
        assert_eq!(terms(&[("date", "Sun, 09 Sep 2001 01:46:30 GMT")]).initial_age.as_secs(), 10);
    }
}
