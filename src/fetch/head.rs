//! The making of a stored head: everything that a hit would otherwise do again each time is done here, once.

use std::time::Instant;

use bytes::BytesMut;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::clock::Now;
use crate::edge::deliver;
use crate::entry::{Head, Validators};
use crate::policy::admit::{Downstream, Terms};
use crate::policy::reuse;
use crate::store::purge::Birth;
use crate::tag::TagSet;

/// Makes a head of an answer's end-to-end fields: everything that a hit would otherwise do again each time.
pub(super) fn build(
    headers: HeaderMap,
    status: StatusCode,
    terms: &Terms,
    now: Now,
    birth: Birth,
    tags: TagSet,
) -> Head {
    let mut headers = compact(&headers);
    let validators = Validators::of(&headers);
    let mut replaced = Vec::new();
    for name in REPLACED {
        replaced.extend(headers.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
    }
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
    deliver::keep_places(&mut headers);
    Head {
        status,
        headers,
        replaced,
        validators,
        lifetime: terms.lifetime,
        received: now.instant,
        initial_age: terms.initial_age,
        birth,
        tags,
        openness: terms.openness,
    }
}

/// The fields of a stored answer as the origin said them.
pub(super) fn as_said(head: &Head) -> HeaderMap {
    let mut said = head.headers.clone();
    deliver::drop_places(&mut said);
    for name in REPLACED {
        said.remove(name);
    }
    for (name, value) in &head.replaced {
        said.append(name.clone(), value.clone());
    }
    said
}

/// The fields in whose place others may be delivered.
const REPLACED: [http::HeaderName; 4] = [header::CACHE_CONTROL, header::EXPIRES, header::PRAGMA, header::AGE];

/// A copy of a head in one buffer of exact size. As it arrived its values are slices of the connection's read buffer, and
/// any one of them would keep the whole of that alive for as long as the entry lives.
fn compact(headers: &HeaderMap) -> HeaderMap {
    let length = headers.iter().map(|(_, value)| value.len()).sum();
    let mut values = BytesMut::with_capacity(length);
    headers.iter().for_each(|(_, value)| values.extend_from_slice(value.as_bytes()));
    let mut values = values.freeze();
    // Room for the places that deliveries fill.
    let mut copy = HeaderMap::with_capacity(headers.len() + 4);
    for (name, value) in headers {
        // A name that is not a standard one is a slice as well.
        let name = http::HeaderName::from_bytes(name.as_str().as_bytes()).unwrap_or_else(|_| name.clone());
        let value = HeaderValue::from_maybe_shared(values.split_to(value.len())).unwrap_or_else(|_| value.clone());
        copy.append(name, value);
    }
    copy
}

/// The present moment as a `Date` field has it.
pub(super) fn http_date(now: Now) -> HeaderValue {
    HeaderValue::from_str(&httpdate::fmt_http_date(now.wall)).unwrap_or(HeaderValue::from_static(""))
}

/// The age and what is left of an answer that has just arrived.
pub fn arriving(head: &Head, now: Instant) -> reuse::Freshness {
    reuse::Freshness::of(head.age(now), head.lifetime.fresh_for)
}
