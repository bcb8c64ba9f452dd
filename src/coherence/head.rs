//! The making of a stored head: everything that a hit would otherwise do again each time is done here, once.

use std::time::Instant;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::clock::Now;
use crate::edge::deliver;
use crate::entry::{Entry, Head, Validators, Vital};
use crate::policy::admit::{Downstream, Terms};
use crate::policy::reuse;
use crate::policy::targeted::{CDN_CACHE_CONTROL, SURROGATE_CONTROL, Targeted};
use crate::store::purge::Birth;
use crate::tag::TagSet;

/// Makes a head of an answer's end-to-end fields: everything that a hit would otherwise do again each time.
pub(super) fn build(
    mut headers: HeaderMap,
    status: StatusCode,
    terms: &Terms,
    targeted: Targeted,
    now: Now,
    birth: Birth,
    tags: TagSet,
) -> Head {
    terms.withheld.iter().for_each(|name| drop(headers.remove(name)));
    let validators = Validators::of(&headers);
    let said = about_caching(&headers);
    deliver::leave_targeted(&mut headers, targeted);
    match terms.downstream {
        Downstream::AsOrigin => {}
        Downstream::Private => deliver::make_private(&mut headers),
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
    };
    Head { status, headers, replaced, validators, vital, birth, tags }
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

fn about_caching(headers: &HeaderMap) -> Vec<(HeaderName, HeaderValue)> {
    let mut lines = Vec::new();
    for name in &ABOUT_CACHING {
        lines.extend(headers.get_all(name).iter().map(|value| (name.clone(), value.clone())));
    }
    lines
}

/// The fields in whose place others may be delivered.
const ABOUT_CACHING: [HeaderName; 6] =
    [header::CACHE_CONTROL, header::EXPIRES, header::PRAGMA, header::AGE, CDN_CACHE_CONTROL, SURROGATE_CONTROL];

/// The present moment as a `Date` field has it.
pub(super) fn http_date(now: Now) -> HeaderValue {
    HeaderValue::from_str(&httpdate::fmt_http_date(now.wall)).unwrap_or(HeaderValue::from_static(""))
}

/// The age and what is left of an answer that has just arrived.
pub fn arriving(vital: &Vital, now: Instant) -> reuse::Freshness {
    reuse::Freshness::of(vital.age(now), vital.lifetime.fresh_for)
}
