//! How long answers would be kept, as the third question judges one that has nothing to say about itself.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::entry::head::Credentialed;
use crate::fields::targeted::{CDN_CACHE_CONTROL, SURROGATE_CONTROL, Targeted};
use crate::policy::admit::{Admit, admit};
use crate::policy::answered::{Answered, Downstream};
use crate::policy::not_stored::NotStored;
use crate::proxy::explanation::{LifetimeTold, ToldField};
use crate::rules::caching::{Caching, TypePattern};
use crate::rules::route::Route;

/// Of each listed media type, or of any.
pub(super) fn lifetimes(route: &Route, path: &str, credentialed: Credentialed) -> Vec<LifetimeTold> {
    let policy = match &route.caching {
        Caching::Named(policy) if !policy.types.is_empty() => policy,
        _ => return vec![lifetime(route, path, credentialed, None)],
    };
    let listed = policy.types.iter().filter_map(|(pattern, _)| match pattern {
        TypePattern::Exact(media) => Some(media.clone()),
        TypePattern::Family(family) => Some(format!("{family}/*")),
        // Of these types: whether a file is one, its name says.
        TypePattern::Fingerprinted => None,
    });
    listed.map(|media| lifetime(route, path, credentialed, Some(media))).collect()
}

fn lifetime(route: &Route, path: &str, credentialed: Credentialed, media_type: Option<String>) -> LifetimeTold {
    let caching = &route.caching;
    let headers: HeaderMap = media_type
        .iter()
        .filter_map(|media| HeaderValue::from_str(media).ok().map(|value| (header::CONTENT_TYPE, value)))
        .collect();
    let answered = Answered {
        form_cookies: &[],
        status: StatusCode::OK,
        headers: &headers,
        path,
        credentialed,
        arrived: SystemTime::UNIX_EPOCH,
        delay: Duration::ZERO,
    };
    let policy = match caching {
        Caching::Named(policy) => Some(policy),
        Caching::Pass | Caching::Http(_) => None,
    };
    let from_origin = || ToldField { seconds: None, from: "origin".to_owned() };
    let by_policy = |time: Option<Duration>| {
        time.map_or_else(from_origin, |time| ToldField { seconds: Some(time.as_secs()), from: "policy".to_owned() })
    };
    let ceiling = policy.and_then(|policy| policy.ceiling);
    let from = if media_type.is_some() { "types" } else { "policy" };
    let (fresh_for, downstream) = match admit(&answered, caching) {
        Admit::Store(terms) => {
            let fresh = terms.lifetime.fresh_for;
            let (time, from) =
                if terms.lifetime.ceiling < fresh { (terms.lifetime.ceiling, "ceiling") } else { (fresh, from) };
            (ToldField { seconds: Some(time.as_secs()), from: from.to_owned() }, terms.downstream)
        }
        Admit::RememberUncacheable(NotStored::NoLifetime) if caching.is_sensitive() => {
            (from_origin(), Downstream::Private)
        }
        Admit::RememberUncacheable(_) | Admit::Discard(_) => (from_origin(), Downstream::AsOrigin),
    };
    let without: &[HeaderName] = match (route.targeted, downstream) {
        (Targeted::Stripped, _) | (_, Downstream::Private) => &[CDN_CACHE_CONTROL, SURROGATE_CONTROL],
        (Targeted::Passed, _) => &[SURROGATE_CONTROL],
    };
    LifetimeTold {
        media_type,
        fresh_for,
        stale_while_revalidate: by_policy(policy.and_then(|policy| policy.stale_while_revalidate)),
        stale_if_error: by_policy(policy.and_then(|policy| policy.stale_if_error)),
        ceiling: ceiling.map(|time| time.as_secs()),
        downstream: downstream.cache_control(),
        without: without.iter().map(ToString::to_string).collect(),
    }
}
