//! Fields that deliveries set.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::policy::reuse::Freshness;

/// The fields of an answer that do not describe its body.
pub(crate) fn without_body(fields: &HeaderMap) -> HeaderMap {
    let others = fields.iter().filter(|(name, _)| !is_of_body(name));
    others.map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(crate) fn age(headers: &mut HeaderMap, freshness: Freshness) {
    let mut buffer = itoa::Buffer::new();
    set(headers, header::AGE, buffer.format(freshness.age));
}

pub(crate) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Digits and fixed text make a value.
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn is_of_body(name: &HeaderName) -> bool {
    match name.as_str().strip_prefix("content-") {
        Some(rest) => rest != "location" && !rest.starts_with("security-policy"),
        // RFC 9530.
        None => matches!(name.as_str(), "repr-digest" | "digest"),
    }
}
