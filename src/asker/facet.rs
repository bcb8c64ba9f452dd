//! Facets: what can be known about whoever asks, by which an answer may be shared between people.
//!
//! A facet is *proven* when somebody other than the client vouches for it: whoever signed a token or a certificate, the origin
//! when it was asked, a trusted proxy. What the client itself writes (a host, a path, a header) is *claimed*; alone it shares nothing.
//! A facet without exactly one value is not there, and what is not there is not shared by.

use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName};
use serde_json::{Map, Value};

use crate::asker::facet::certificate::{Presented, SubjectField};
use crate::entry::key::KeyBuf;

pub mod certificate;

/// A named facet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Facet {
    /// Its name in `identity.facets`, or its source as written.
    pub name: String,
    /// Where its value comes from.
    pub source: FacetSource,
}

/// Where the value of a facet comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FacetSource {
    /// `jwt.x`: a claim of a verified token.
    Jwt(String),
    /// `cert.x`: a field of the client's verified certificate.
    Cert(SubjectField),
    /// `access.x`: a field of the origin's JSON answer to `access: {ask: …}`.
    Access(String),
    /// `trusted.x`: a header that only trusted proxies may set.
    Trusted(HeaderName),
    /// `header.x`: a header that anybody may set.
    Header(HeaderName),
    /// `host.x`, `path.x`: a part of the route's host or path.
    Part(String),
}

/// As it is written in the configuration; of a part, whether it is the host's or the path's is the route's to say.
impl std::fmt::Display for FacetSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FacetSource::Jwt(name) => write!(f, "jwt.{name}"),
            FacetSource::Cert(field) => write!(f, "cert.{}", field.as_str()),
            FacetSource::Access(name) => write!(f, "access.{name}"),
            FacetSource::Trusted(name) => write!(f, "trusted.{name}"),
            FacetSource::Header(name) => write!(f, "header.{name}"),
            FacetSource::Part(name) => write!(f, "<{name}>"),
        }
    }
}

/// What the value of a facet is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Worth {
    /// Somebody other than the client vouches for it.
    Proven,
    /// The client says so.
    Claimed,
}

impl FacetSource {
    /// What a value from here is worth.
    pub fn worth(&self) -> Worth {
        match self {
            FacetSource::Jwt(_) | FacetSource::Cert(_) | FacetSource::Access(_) | FacetSource::Trusted(_) => {
                Worth::Proven
            }
            FacetSource::Header(_) | FacetSource::Part(_) => Worth::Claimed,
        }
    }

    /// The request header that holds it.
    pub fn header(&self) -> Option<&HeaderName> {
        match self {
            FacetSource::Trusted(name) | FacetSource::Header(name) => Some(name),
            _ => None,
        }
    }
}

/// The claims of a token that was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Its `exp`, with the leeway.
    pub expires: SystemTime,
    /// All of them.
    pub values: Map<String, Value>,
}

/// What was found out about whoever asks, beside what the request itself shows.
#[derive(Debug, Clone, Default)]
pub struct Proven {
    /// A token that is signed by a known key and holds now.
    pub token: Option<Arc<Claims>>,
    /// What the connection's certificate is worth.
    pub certificate: Presented,
    /// The origin lets this request pass; with what it said besides. `None`: it was not asked.
    pub access: Option<Arc<Map<String, Value>>>,
}

/// Where facets find their values, for one request.
#[derive(Clone, Copy)]
pub struct KnownFacets<'a> {
    /// The request's headers, less what strangers may not set.
    pub headers: &'a HeaderMap,
    /// What was found out.
    pub proven: &'a Proven,
    /// The parts of the route's host and path.
    pub part: &'a dyn Fn(&str) -> Option<&'a str>,
}

/// The value of a facet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FacetValue<'a> {
    /// Text.
    Text(&'a str),
    /// Any JSON but `null` and text.
    Json(&'a Value),
}

impl<'a> KnownFacets<'a> {
    /// The value of a facet, if it has one.
    pub fn value(&self, source: &FacetSource) -> Option<FacetValue<'a>> {
        match source {
            FacetSource::Jwt(path) => json(&self.proven.token.as_ref()?.values, path),
            FacetSource::Cert(field) => text(self.proven.certificate.proves()?.value(*field)?),
            FacetSource::Access(path) => json(self.proven.access.as_ref()?, path),
            FacetSource::Trusted(name) | FacetSource::Header(name) => {
                let mut lines = self.headers.get_all(name).iter();
                // Two lines are two who speak.
                let only = lines.next().filter(|_| lines.next().is_none())?;
                text(only.to_str().ok()?.trim())
            }
            FacetSource::Part(name) => text((self.part)(name)?),
        }
    }

    /// The digest of all these facets with their names; `Err` names the first that has no value.
    pub fn digest<'f>(&self, facets: &'f [Facet], secret: &[u8; 32]) -> Result<[u8; 32], &'f Facet> {
        let mut whole = KeyBuf::new();
        for facet in facets {
            let value = self.value(&facet.source).ok_or(facet)?;
            put(&mut whole, facet.name.as_bytes());
            match value {
                FacetValue::Text(text) => {
                    whole.push(b't');
                    put(&mut whole, text.as_bytes());
                }
                FacetValue::Json(value) => {
                    whole.push(b'j');
                    put(&mut whole, value.to_string().as_bytes());
                }
            }
        }
        Ok(*blake3::keyed_hash(secret, &whole).as_bytes())
    }
}

impl FacetValue<'_> {
    /// As tags have it: of a list, every element's. `None` for what has no text.
    pub fn texts(&self) -> Option<Vec<String>> {
        let one = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            _ => None,
        };
        match self {
            FacetValue::Text(text) => Some(vec![(*text).to_owned()]),
            FacetValue::Json(Value::Array(items)) => items.iter().map(one).collect(),
            FacetValue::Json(value) => Some(vec![one(value)?]),
        }
    }
}

/// With its length, so that two values cannot run into each other.
fn put(whole: &mut KeyBuf, field: &[u8]) {
    whole.extend_from_slice(&(field.len() as u64).to_le_bytes());
    whole.extend_from_slice(field);
}

fn text(text: &str) -> Option<FacetValue<'_>> {
    (!text.is_empty()).then_some(FacetValue::Text(text))
}

/// A field by its name, or through dots; some issuers name claims by URLs.
fn json<'a>(values: &'a Map<String, Value>, path: &str) -> Option<FacetValue<'a>> {
    let found = values.get(path).or_else(|| {
        let (first, rest) = path.split_once('.')?;
        rest.split('.').try_fold(values.get(first)?, |value, name| value.get(name))
    })?;
    match found {
        Value::Null => None,
        Value::String(found) => text(found),
        other => is_exact(other).then_some(FacetValue::Json(other)),
    }
}

/// Whether no other value was read as the same: numbers that are no integers of 64 bits were rounded.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => !number.is_f64(),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(fields) => fields.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use serde_json::json;

    fn claims(values: Value) -> Proven {
        let Value::Object(values) = values else { panic!("an object") };
        Proven { token: Some(Arc::new(Claims { expires: SystemTime::UNIX_EPOCH, values })), ..Proven::default() }
    }

    fn facet(name: &str, source: FacetSource) -> Facet {
        Facet { name: name.to_owned(), source }
    }

    #[test]
    fn a_claim_is_found_by_name_or_through_dots() {
        let proven = claims(json!({"a": {"b": "x"}, "https://c.example/t": "y", "n": 7, "no": null, "empty": ""}));
        let known = KnownFacets { headers: &HeaderMap::new(), proven: &proven, part: &|_| None };
        let text = |path: &str| known.value(&FacetSource::Jwt(path.to_owned())).and_then(|value| value.texts());
        assert_eq!(text("a.b"), Some(vec!["x".to_owned()]));
        assert_eq!(text("https://c.example/t"), Some(vec!["y".to_owned()]));
        assert_eq!(text("n"), Some(vec!["7".to_owned()]));
        for path in ["no", "empty", "none", "a.c", "n.x"] {
            assert_eq!(text(path), None, "{path}");
        }
    }

    #[test]
    fn digests_differ_by_name_value_and_kind() {
        let of = |name: &str, value: Value| {
            let proven = claims(json!({"x": value}));
            let known = KnownFacets { headers: &HeaderMap::new(), proven: &proven, part: &|_| None };
            known.digest(&[facet(name, FacetSource::Jwt("x".into()))], &[7; 32]).expect("a value")
        };
        let all =
            [of("a", json!("1")), of("a", json!(1)), of("b", json!("1")), of("a", json!(["1"])), of("a", json!("2"))];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[i + 1..].contains(one), "{i}");
        }
        assert_eq!(of("a", json!("1")), all[0]);
    }

    #[test]
    fn a_number_that_was_rounded_is_no_value() {
        let value = |json: &str| {
            let proven = claims(serde_json::from_str(&format!(r#"{{"x": {json}}}"#)).expect("JSON"));
            let known = KnownFacets { headers: &HeaderMap::new(), proven: &proven, part: &|_| None };
            known.digest(&[facet("a", FacetSource::Jwt("x".into()))], &[7; 32]).ok()
        };
        // Two tenants, and one number to whoever reads them into a float.
        for json in ["18446744073709551616", "18446744073709551617", "0.1", "[1, 1e300]", r#"{"a": 1.5}"#] {
            assert_eq!(value(json), None, "{json}");
        }
        assert!(value("18446744073709551615").is_some() && value("-1").is_some() && value("[1, true]").is_some());
        assert_ne!(value("18446744073709551615"), value("18446744073709551614"));
    }

    #[test]
    fn a_header_that_is_there_twice_proves_nothing() {
        let name = HeaderName::from_static("x-tenant");
        let mut headers = HeaderMap::new();
        headers.append(&name, HeaderValue::from_static("a"));
        let proven = Proven::default();
        let source = FacetSource::Trusted(name.clone());
        let known = KnownFacets { headers: &headers, proven: &proven, part: &|_| None };
        assert_eq!(known.value(&source), Some(FacetValue::Text("a")));
        let mut twice = headers.clone();
        twice.append(&name, HeaderValue::from_static("b"));
        let known = KnownFacets { headers: &twice, proven: &proven, part: &|_| None };
        assert_eq!(known.value(&source), None);
    }
}
