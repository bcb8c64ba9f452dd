//! The third question: the origin's head is in hand; may the answer be stored, and for how long?

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::lifetime::{guessed, initial_age, origin_clock, received_age};
use super::not_stored::NotStored;
use super::said::Said;
use super::status::{is_about_the_request, is_storable, lives_by_policy};
use super::types::{self, media_type};
use super::vary;
use crate::entry::head::{Credentialed, Lifetime, Openness, OriginClock, Staleness, Validators};
use crate::fields::cookies::cookies;
use crate::fields::glob::glob;
use crate::fields::secret::is_secret;
use crate::fields::url::holds_credential;
use crate::ground::mutants::{Rule, is_off};
use crate::policy::answered::{Answered, Downstream};
use crate::rules::caching::{AsOrigin, Caching, Credentials, Expired, NamedPolicy, Share};

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
    /// What its `Date` says of the origin's clock, where that counts.
    pub clock: OriginClock,
    /// Whether requests with unkeyed credentials may have it.
    pub openness: Openness,
    /// The request headers by which answers differ here, sorted, beside those that are keyed anyway.
    pub vary: Vec<HeaderName>,
    /// The fields that are neither stored nor given to anybody but whoever caused the fetch, sorted.
    pub withheld: Vec<HeaderName>,
    /// What clients and caches behind us are told.
    pub downstream: Downstream,
}

/// Whether an answer that is not stored may still be given to those who wait for this very fetch: it does not depend on anything
/// that may differ between them, is not said to be one person's (RFC 9111 §5.2.2.7), and sets no cookies.
pub fn is_alike_for_all(answered: &Answered<'_>, caching: &Caching) -> bool {
    let is_of_one = matches!(caching, Caching::Named(policy) if policy.share == Share::Principal);
    let said = said(answered, caching);
    let withheld = of_its_own(answered, &said, caching);
    let sets_cookies = answered.headers.contains_key(header::SET_COOKIE) && !withheld.contains(&header::SET_COOKIE);
    if sets_cookies || hands_out_secrets(answered.headers, &withheld, caching) || !is_of_one && said.is_private() {
        return false;
    }
    vary::names(answered.headers).is_ok_and(|names| match caching {
        // It was one person's, and says nothing of what another is let see.
        Caching::Named(policy) if policy.share.is_between_people() => false,
        Caching::Named(policy) => names.iter().all(|name| is_keyed(name, policy)),
        _ => names.is_empty(),
    })
}

/// To whom what is said to somebody's credentials, in an answer or in an update of one, may be said (RFC 9111 §3.5).
pub fn openness(headers: &HeaderMap, arrived: SystemTime) -> Openness {
    opened(&Said::by_precedence(headers, arrived))
}

fn opened(said: &Said) -> Openness {
    match (said.directives.opens, said.directives.opens_authorization) {
        (true, _) => Openness::Open,
        (false, true) => Openness::ToAuthorization,
        (false, false) => Openness::Closed,
    }
}

/// Whether an answer says itself how long it lives.
pub fn gives_lifetime(headers: &HeaderMap, arrived: SystemTime) -> bool {
    Said::by_all(headers, arrived).lifetime.is_some()
}

/// Answers the third question.
pub fn admit(answered: &Answered<'_>, caching: &Caching) -> Admit {
    match terms(answered, caching) {
        Ok(terms) => Admit::Store(terms),
        Err(why) if why.is_passing() => Admit::Discard(why),
        Err(why) => Admit::RememberUncacheable(why),
    }
}

/// The fields of an answer that are for nobody but whoever caused its fetch: those that `no-cache` and `private` name
/// (RFC 9111 §5.2.2.4, §5.2.2.7), and cookies that the policy strips.
pub fn withheld(answered: &Answered<'_>, caching: &Caching) -> Vec<HeaderName> {
    of_its_own(answered, &said(answered, caching), caching)
}

/// What the origin says: by the field that outweighs the others, or where a policy of the operator's decides, by all of them.
fn said(answered: &Answered<'_>, caching: &Caching) -> Said {
    match caching {
        Caching::Named(_) => Said::by_all(answered.headers, answered.arrived),
        Caching::Pass | Caching::Http(_) => Said::by_precedence(answered.headers, answered.arrived),
    }
}

fn of_its_own(answered: &Answered<'_>, said: &Said, caching: &Caching) -> Vec<HeaderName> {
    let mut names: Vec<HeaderName> = said.withheld().cloned().collect();
    if strips_cookies(answered, caching.strip_cookies()) {
        names.push(header::SET_COOKIE);
    }
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names
}

/// Whether an answer sets cookies, and none but these and those that it repeats: a form's cookie that its browser has shown.
fn strips_cookies(answered: &Answered<'_>, patterns: &[String]) -> bool {
    let is_listed = |line: &HeaderValue| {
        cookies(line).next().is_some_and(|cookie| {
            answered.form_cookies.iter().any(|shown| shown.as_slice() == cookie.pair)
                || patterns.iter().any(|pattern| glob(pattern, cookie.name))
        })
    };
    let headers = answered.headers;
    headers.contains_key(header::SET_COOKIE) && headers.get_all(header::SET_COOKIE).iter().all(is_listed)
}

fn terms(answered: &Answered<'_>, caching: &Caching) -> Result<Terms, NotStored> {
    // A refusal or a page to sign in at is one person's: it is neither kept, nor a reason to keep nothing for the others.
    if matches!(caching, Caching::Named(policy) if policy.share.is_between_people())
        && !matches!(answered.status.as_u16(), 200 | 203)
        && !is_off(Rule::RefusalKept)
    {
        return Err(NotStored::Status);
    }
    let said = said(answered, caching);
    let withheld = of_its_own(answered, &said, caching);
    refuse_always(answered, &said, &withheld, caching)?;
    let terms = match caching {
        Caching::Pass => return Err(NotStored::NoStore),
        Caching::Http(_) => http_terms(answered, &said)?,
        Caching::Named(policy) => named_terms(answered, &said, policy)?,
    };
    Ok(Terms { withheld, ..terms })
}

/// What no policy can widen.
fn refuse_always(
    answered: &Answered<'_>,
    said: &Said,
    withheld: &[HeaderName],
    caching: &Caching,
) -> Result<(), NotStored> {
    let headers = answered.headers;
    // `must-understand` lifts a `no-store` where the origin alone decides, and no promise of the operator's.
    let named = matches!(caching, Caching::Named(_));
    if said.forbids_storing(answered.status) || named && said.directives.no_store {
        return Err(NotStored::NoStore);
    }
    let sets_cookies = headers.contains_key(header::SET_COOKIE) && !is_off(Rule::SetCookie);
    if sets_cookies && !may_set_cookies(answered, withheld, caching) {
        return Err(NotStored::SetCookie);
    }
    if hands_out_secrets(headers, withheld, caching) && !is_off(Rule::SecretField) {
        return Err(NotStored::SecretField);
    }
    if !is_by_the_letter(caching)
        && (headers.contains_key(header::RETRY_AFTER) || headers.contains_key(header::REFRESH))
        && !is_off(Rule::RetryLater)
    {
        return Err(NotStored::RetryLater);
    }
    // RFC 9110 §14.4: elsewhere `Content-Range` means nothing.
    if answered.status == StatusCode::PARTIAL_CONTENT {
        return Err(NotStored::Partial);
    }
    let is_others = !matches!(caching, Caching::Named(policy) if policy.share == Share::Principal);
    let may_be_its_own = is_others && !is_by_the_letter(caching) && is_about_the_request(answered.status);
    if !is_storable(answered.status) || may_be_its_own {
        return Err(NotStored::Status);
    }
    if media_type(headers) == "text/event-stream" {
        return Err(NotStored::EventStream);
    }
    Ok(())
}

/// Whether an answer that sets cookies may be kept. That the origin withholds the field itself is enough where it decides alone.
fn may_set_cookies(answered: &Answered<'_>, withheld: &[HeaderName], caching: &Caching) -> bool {
    match caching {
        Caching::Http(AsOrigin { credentials: Credentials::AuthorizationOnly, .. }) => true,
        Caching::Http(_) => withheld.contains(&header::SET_COOKIE),
        Caching::Pass | Caching::Named(_) => {
            withheld.contains(&header::SET_COOKIE) && strips_cookies(answered, caching.strip_cookies())
        }
    }
}

/// Whether an answer hands out a credential in a field other than `Set-Cookie`, and the origin does not withhold that field from
/// all but its own client. `rfc9111` keeps such as any field, as it keeps `Set-Cookie`.
fn hands_out_secrets(headers: &HeaderMap, withheld: &[HeaderName], caching: &Caching) -> bool {
    let own = caching.secret_fields();
    let is_handed_out = |name: &HeaderName| is_secret(name.as_str(), own) && !withheld.contains(name);
    !is_by_the_letter(caching) && (headers.keys().any(is_handed_out) || leads_to_a_credential(headers))
}

/// A URL in a field has a credential in it: whoever follows it is let in.
fn leads_to_a_credential(headers: &HeaderMap) -> bool {
    [header::LOCATION, header::CONTENT_LOCATION, header::LINK].iter().flat_map(|name| headers.get_all(name)).any(
        |value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            text.split(['<', '>', ',', ' ']).any(|url| {
                let (url, fragment) = url.split_once('#').unwrap_or((url, ""));
                let (path, query) = url.split_once('?').unwrap_or((url, ""));
                holds_credential(path, Some(query), &[]) || holds_credential("", Some(fragment), &[])
            })
        },
    )
}

fn is_by_the_letter(caching: &Caching) -> bool {
    matches!(caching, Caching::Http(AsOrigin { credentials: Credentials::AuthorizationOnly, .. }))
}

/// RFC 9111 §3.
fn http_terms(answered: &Answered<'_>, said: &Said) -> Result<Terms, NotStored> {
    let directives = &said.directives;
    if said.is_private() {
        return Err(NotStored::Private);
    }
    let vary = vary::names(answered.headers)?;
    let openness = opened(said);
    if answered.credentialed != Credentialed::No {
        if !openness.is_for(answered.credentialed) {
            return Err(NotStored::Credentials);
        }
        if vary.iter().any(is_credential) {
            return Err(NotStored::VaryCredential);
        }
    }
    let lifetime = said.lifetime.or_else(|| guessed(answered, said));
    if lifetime.is_none() && answered.status.is_server_error() {
        return Err(NotStored::Status);
    }
    let (fresh_for, staleness) = origin_lifetime(answered, said, lifetime)?;
    let lifetime = Lifetime {
        fresh_for,
        stale_while_revalidate: directives.stale_while_revalidate.unwrap_or_default(),
        stale_if_error: directives.stale_if_error.unwrap_or_default(),
        ceiling: Lifetime::NO_CEILING,
        staleness,
    };
    let (downstream, withheld) = (Downstream::AsOrigin, Vec::new());
    let (initial_age, clock) = (initial_age(answered), origin_clock(answered));
    Ok(Terms { lifetime, initial_age, clock, openness, vary, withheld, downstream })
}

fn named_terms(answered: &Answered<'_>, said: &Said, policy: &NamedPolicy) -> Result<Terms, NotStored> {
    let directives = &said.directives;
    if said.is_private() && policy.share != Share::Principal {
        return Err(NotStored::Private);
    }
    let shares = policy.share != Share::Principal && !is_off(Rule::SaysExpired);
    if shares && policy.expired == Expired::Heeded && says_expired(answered, said) {
        return Err(NotStored::SaysExpired);
    }
    let between_people = policy.share.is_between_people();
    let mut vary = vary::names(answered.headers)?;
    if (between_people || policy.share == Share::Public) && vary.iter().any(is_credential) {
        return Err(NotStored::VaryCredential);
    }
    vary.retain(|name| !is_keyed(name, policy));
    // Redirects that are not for ever, errors and the like: only as the origin says itself.
    if said.lifetime.is_none() && !lives_by_policy(answered.status) {
        return Err(NotStored::Status);
    }
    if said.lifetime.is_none_or(|lifetime| lifetime.is_zero())
        && leads_to_parameters(answered)
        && !is_off(Rule::QueryRedirect)
    {
        return Err(NotStored::QueryRedirect);
    }
    let (ttl, downstream) = types::listed(answered, policy)?;
    let lifetime = ttl.filter(|_| lives_by_policy(answered.status)).or(said.lifetime);
    let (fresh_for, mut staleness) = origin_lifetime(answered, said, lifetime)?;
    if directives.s_maxage.is_some() && !directives.must_revalidate && !said.is_no_cache() && ttl.is_some() {
        // `s-maxage` forbids staleness because it sets the lifetime; here the policy sets it.
        staleness = Staleness::Allowed;
    }
    let downstream = if policy.share.is_sensitive() { Downstream::Private } else { downstream };
    let lifetime = Lifetime {
        fresh_for,
        stale_while_revalidate: policy.stale_while_revalidate.or(directives.stale_while_revalidate).unwrap_or_default(),
        stale_if_error: policy.stale_if_error.or(directives.stale_if_error).unwrap_or_default(),
        ceiling: policy.ceiling.unwrap_or(Lifetime::NO_CEILING),
        staleness,
    };
    // Last: what is not kept anyway is no reason to remember anything.
    if vary.iter().any(|name| policy.unsent.contains(name)) {
        return Err(NotStored::VaryCredential);
    }
    let (openness, withheld) = (Openness::Open, Vec::new());
    // A time of the operator's counts from the arrival, whatever the origin's clock says and however long it took; what caches
    // nearer to the origin kept it for counts.
    let by_operator = ttl.is_some() && lives_by_policy(answered.status);
    let (initial_age, clock) = match by_operator {
        true => (received_age(answered), OriginClock::Right),
        false => (initial_age(answered), origin_clock(answered)),
    };
    Ok(Terms { lifetime, initial_age, clock, openness, vary, withheld, downstream })
}

/// The origin says that the answer is over when it arrives: the old ways to say that nobody is to keep it, which RFC 9111 reads
/// as a mere want of a lifetime.
fn says_expired(answered: &Answered<'_>, said: &Said) -> bool {
    let pragma = answered.headers.get_all(header::PRAGMA).iter();
    let says_no_cache =
        |value: &HeaderValue| value.as_bytes().to_ascii_lowercase().windows(8).any(|w| w == b"no-cache");
    said.lifetime == Some(Duration::ZERO) || pragma.into_iter().any(says_no_cache)
}

/// A redirect whose target holds parameters may hold somebody's: in its query, its path, its fragment, or in front of its host.
fn leads_to_parameters(answered: &Answered<'_>) -> bool {
    let location = answered.headers.get(header::LOCATION);
    let is_mark = |byte: &u8| b"?;#(@%".contains(byte);
    answered.status.is_redirection() && location.is_some_and(|location| location.as_bytes().iter().any(is_mark))
}

/// Applies `no-cache`, which needs something to revalidate with, and what forbids staleness.
fn origin_lifetime(
    answered: &Answered<'_>,
    said: &Said,
    lifetime: Option<Duration>,
) -> Result<(Duration, Staleness), NotStored> {
    let can_revalidate = Validators::of(answered.headers).any();
    let fresh_for = match lifetime {
        _ if said.is_no_cache() => Duration::ZERO,
        Some(lifetime) => lifetime,
        None => return Err(NotStored::NoLifetime),
    };
    let directives = &said.directives;
    let windows = [directives.stale_while_revalidate, directives.stale_if_error];
    // What may be served stale is of use though it is never fresh (RFC 5861).
    let may_be_stale = !said.forbids_staleness() && windows.iter().flatten().any(|window| !window.is_zero());
    if fresh_for.is_zero() && !can_revalidate && !may_be_stale {
        return Err(NotStored::NoLifetime);
    }
    let staleness = match said.forbids_staleness() {
        true if said.directives.must_revalidate || said.is_no_cache() => Staleness::Forbidden,
        true => Staleness::ForbiddenBySMaxage,
        false => Staleness::Allowed,
    };
    Ok((fresh_for, staleness))
}

fn is_credential(name: &HeaderName) -> bool {
    name == header::COOKIE || name == header::AUTHORIZATION
}

/// Whether a named policy's key decides this header's value already, or its fetch never sends it.
fn is_keyed(name: &HeaderName, policy: &NamedPolicy) -> bool {
    is_credential(name)
        || name == header::ACCEPT && policy.keys_accept()
        || name == header::ACCEPT_ENCODING
        || name == header::HOST
        || policy.vary.contains(name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Keeps answers for five minutes.
    pub(crate) fn named(share: Share) -> NamedPolicy {
        NamedPolicy {
            share,
            access: None,
            ttl: Some(Duration::from_secs(300)),
            stale_while_revalidate: None,
            stale_if_error: None,
            ceiling: None,
            types: Vec::new(),
            vary: Vec::new(),
            strip_cookies: Vec::new(),
            unsent: Vec::new(),
            secret_fields: Vec::new(),
            expired: Expired::Heeded,
            touch: None,
            client_no_cache: crate::rules::caching::ClientNoCache::Heeded,
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
            form_cookies: &[],
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
        let http = Caching::as_origin(Credentials::AuthorizationAndCookies);
        let check = |lines: &[(&'static str, &'static str)], want: Result<u64, NotStored>| {
            assert_eq!(verdict(ask(200, lines, Credentialed::No, &http)), want, "{lines:?}");
        };
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
        let letter = Caching::as_origin(Credentials::AuthorizationOnly);
        for status in [400, 405, 406, 413, 414, 415, 422] {
            let judge =
                |caching: &Caching| verdict(ask(status, &[("cache-control", "max-age=60")], Credentialed::No, caching));
            assert_eq!((judge(&http), judge(&letter)), (Err(NotStored::Status), Ok(60)), "{status}");
            let by = |share| judge(&Caching::Named(named(share)));
            assert_eq!((by(Share::Public), by(Share::Principal)), (Err(NotStored::Status), Ok(60)), "{status}");
        }
        check(&[("cache-control", "max-age=60"), ("content-type", "text/event-stream")], Err(NotStored::EventStream));
    }

    #[test]
    fn credentials_need_the_origins_word() {
        let http = Caching::as_origin(Credentials::AuthorizationAndCookies);
        let by = |credentialed, control: &'static str, vary: &'static str, want: Result<u64, NotStored>| {
            let lines = [("cache-control", control), ("vary", vary)];
            assert_eq!(verdict(ask(200, &lines, credentialed, &http)), want, "{control} {vary}");
        };
        let check = |control, vary, want| by(Credentialed::Authorization, control, vary, want);
        check("max-age=60", "accept", Err(NotStored::Credentials)); // §3.5
        check("max-age=60, public", "accept", Ok(60));
        check("s-maxage=60", "accept", Ok(60));
        check("max-age=60, must-revalidate", "accept", Ok(60));
        // Of cookies and the like §3.5 does not speak.
        by(Credentialed::Otherwise, "max-age=60, must-revalidate", "accept", Err(NotStored::Credentials));
        by(Credentialed::Otherwise, "max-age=60, public", "accept", Ok(60));
        by(Credentialed::Otherwise, "s-maxage=60", "accept", Ok(60));
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
        let to_query = ("location", "/login?next=/chart");
        check(Share::Principal, 301, &[to_query], Err(NotStored::QueryRedirect));
        check(Share::Principal, 301, &[to_query, ("expires", "0")], Err(NotStored::QueryRedirect));
        check(Share::Principal, 301, &[to_query, ("cache-control", "max-age=5")], Ok(300));
        check(Share::Principal, 301, &[("location", "/elsewhere")], Ok(300));
        for to in ["/a;page=1", "/a#top", "https://u:S1@h.example/a"] {
            check(Share::Public, 301, &[("location", to)], Err(NotStored::QueryRedirect));
        }
        // Whoever follows it is let in, whatever the status and the lifetime.
        for to in ["/a;jsessionid=S1", "/(S(S1))/a", "/a#access_token=S1", "/a%3Bsid=S1", "/a?x=1&id_token=S1"] {
            check(Share::Public, 301, &[("location", to), ("cache-control", "max-age=5")], Err(NotStored::SecretField));
            check(Share::Anonymous, 200, &[("content-location", to)], Err(NotStored::SecretField));
        }
        check(Share::Public, 200, &[("link", "</a>; rel=next, </b?token=S1>; rel=prev")], Err(NotStored::SecretField));
        check(Share::Public, 200, &[("link", "</a?page=2>; rel=\"next\"; title=\"token\"")], Ok(300));
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
    fn what_is_not_sent_is_no_reason_for_a_variant_and_errors_are_no_reason_to_remember() {
        let mut policy = named(Share::Public);
        policy.unsent = vec![HeaderName::from_static("x-api-key")];
        policy.types = vec![(crate::rules::caching::TypePattern::Exact("text/css".to_owned()), Duration::from_secs(5))];
        let caching = Caching::Named(policy);
        let check = |status: u16, media: &'static str, want: Admit| {
            let lines = [("vary", "X-Api-Key"), ("content-type", media)];
            assert_eq!(ask(status, &lines, Credentialed::No, &caching), want, "{status} {media}");
        };
        check(200, "text/css", Admit::RememberUncacheable(NotStored::VaryCredential));
        check(200, "text/html", Admit::RememberUncacheable(NotStored::Type));
        check(404, "text/html", Admit::Discard(NotStored::Status));
        check(503, "text/html", Admit::Discard(NotStored::Status));
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
        assert_eq!(terms(&[("date", "Sun, 09 Sep 2001 01:46:30 GMT")]).initial_age.as_secs(), 0, "the operator's time");
    }
}
