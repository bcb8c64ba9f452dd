//! The making of a stored head: everything that a hit would otherwise do again each time is done here, once.

use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::entry::head::{Head, Validators, Vital};
use crate::entry::owner::Owners;
use crate::entry::purge::Birth;
use crate::entry::stored::Entry;
use crate::entry::tag::TagSet;
use crate::fields::targeted::{CDN_CACHE_CONTROL, SURROGATE_CONTROL, Targeted};
use crate::ground::clock::Now;
use crate::hop::answer::{leave_targeted, make_private};
use crate::policy::admit::Terms;
use crate::policy::answered::Downstream;
use crate::policy::bound::Binding;
use crate::policy::reuse;

/// What of an answer is delivered otherwise than the origin said it, by its route and its key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery<'a> {
    /// Whether what is said to caches like this one goes on.
    pub targeted: Targeted,
    /// Whose its tags are.
    pub binding: Option<&'a Binding>,
    /// For whom it was fetched.
    pub owners: Owners,
}

/// Makes a head of an answer's end-to-end fields: everything that a hit would otherwise do again each time.
pub(super) fn build(
    mut headers: HeaderMap,
    status: StatusCode,
    terms: &Terms,
    delivery: Delivery<'_>,
    now: Now,
    birth: Birth,
    tags: TagSet,
) -> Head {
    terms.withheld.iter().for_each(|name| drop(headers.remove(name)));
    let said = about_caching(&headers);
    if let Some(binding) = delivery.binding {
        binding.bind(&mut headers);
    }
    let validators = Validators::of(&headers);
    leave_targeted(&mut headers, delivery.targeted);
    match terms.downstream {
        Downstream::AsOrigin => {}
        Downstream::Private => make_private(&mut headers),
        Downstream::Public { .. } => {
            if let Some(Ok(value)) = terms.downstream.cache_control().map(|text| HeaderValue::from_str(&text)) {
                headers.insert(header::CACHE_CONTROL, value);
            }
            headers.remove(header::EXPIRES);
        }
    }
    // Delivered anew each time.
    headers.remove(header::AGE);
    let replaced = (about_caching(&headers) != said).then_some(said);
    let vital = Vital {
        lifetime: terms.lifetime,
        received: now.instant,
        initial_age: terms.initial_age,
        openness: terms.openness,
        clock: terms.clock,
    };
    Head { status, headers, replaced, validators, vital, birth, tags, owners: delivery.owners }
}

/// The fields of a stored answer as the origin said them.
pub(super) fn as_said(entry: &Entry) -> HeaderMap {
    let mut said = entry.fields();
    if let Some(replaced) = entry.replaced() {
        ABOUT_CACHING.iter().for_each(|name| drop(said.remove(name)));
        said.extend(replaced);
    }
    said
}

/// The fields of an answer that is coming as the origin said them.
pub(super) fn as_came(head: &Head) -> HeaderMap {
    let mut said = head.headers.clone();
    if let Some(replaced) = &head.replaced {
        ABOUT_CACHING.iter().for_each(|name| drop(said.remove(name)));
        said.extend(replaced.iter().cloned());
    }
    said
}

fn about_caching(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut lines = Vec::new();
    for name in &ABOUT_CACHING {
        lines.extend(headers.get_all(name).iter().map(|value| (name.clone(), value.clone())));
    }
    lines
}

/// The fields in whose place others may be delivered.
const ABOUT_CACHING: [HeaderName; 7] = [
    header::CACHE_CONTROL,
    header::EXPIRES,
    header::PRAGMA,
    header::AGE,
    header::ETAG,
    CDN_CACHE_CONTROL,
    SURROGATE_CONTROL,
];

/// The present moment as a `Date` field has it.
pub(super) fn http_date(now: Now) -> HeaderValue {
    HeaderValue::from_str(&httpdate::fmt_http_date(now.wall)).unwrap_or(HeaderValue::from_static(""))
}

/// The age and what is left of an answer that has just arrived.
pub fn arriving(vital: &Vital, now: Instant) -> reuse::Freshness {
    reuse::Freshness::of(vital.age(now), vital.lifetime.fresh_for)
}
