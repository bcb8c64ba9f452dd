//! From an entry to the answer that its client gets: conditions, ranges, age, `Cache-Status`. Nothing here waits.

pub mod fields;
pub mod multipart;
pub mod ranges;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};

use crate::body::{Body, Part};
use crate::deliver::fields::{age, without_body};
use crate::entry::head::{Head, Validators};
use crate::entry::stored::Entry as Stored;
use crate::hop::fields::X_REQUEST_ID;
use crate::policy::outcome::Outcome;
use crate::policy::reuse::Freshness;
use crate::policy::validate::{Condition, condition};

/// `Cache-Status`.
pub const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Delivers a stored answer.
pub fn entry(entry: &Stored, freshness: Freshness, method: &Method, request: &HeaderMap) -> Response<Body> {
    if entry.status().is_success() && is_conditional(request) {
        if condition(request, &entry.validators()) == Condition::NotModified {
            return not_modified(&entry.fields(), freshness);
        }
        let may_be_cut = method == Method::GET && entry.status() == StatusCode::OK;
        if may_be_cut
            && request.contains_key(header::RANGE)
            && let Some(response) = ranges::entry(entry, freshness, request)
        {
            return response;
        }
    }
    let part = if method == Method::HEAD { Part::Nothing } else { Part::Whole };
    let mut response = Response::new(Body::Stored(entry.clone(), part));
    *response.status_mut() = entry.status();
    response.headers_mut().reserve(8);
    age(response.headers_mut(), freshness);
    response
}

/// Most requests are not, and the validators of what is stored need not be read.
fn is_conditional(request: &HeaderMap) -> bool {
    [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::RANGE].iter().any(|name| request.contains_key(name))
}

/// Puts the fields of a stored answer among the others, for whoever wants to change them.
pub fn unpack(response: &mut Response<Body>) {
    let Body::Stored(entry, part) = response.body() else { return };
    let (mut headers, length) = (entry.fields(), entry.body().len());
    if *part == Part::Nothing {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let body = Body::full(entry.body().slice_ref(part.of(entry.body())));
    // Behind what is stored, as it is sent: caches nearer to the origin have said their `Cache-Status`.
    for (name, value) in response.headers() {
        headers.append(name, value.clone());
    }
    *response.headers_mut() = headers;
    *response.body_mut() = body;
}

/// Delivers an answer whose body is still being filled.
pub fn filling(head: &Head, body: Body, freshness: Freshness, request: &HeaderMap) -> Response<Body> {
    if head.status.is_success() && condition(request, &head.validators) == Condition::NotModified {
        return not_modified(&head.headers, freshness);
    }
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers.clone();
    age(response.headers_mut(), freshness);
    response
}

/// Delivers what nobody but this client may have. Its conditions stayed here, where they are judged by what came
/// (RFC 9110 §13.2.2); by validators alone, since nothing is stored whose `Date` could count.
pub fn own(mut response: Response<Body>, request: &HeaderMap) -> Response<Body> {
    let validators = Validators { date: None, ..Validators::of(response.headers()) };
    if response.status().is_success() && condition(request, &validators) == Condition::NotModified {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.headers_mut() = without_body(response.headers());
        *response.body_mut() = Body::Empty;
    }
    response
}

/// Adds fields beside those that are there.
pub fn add(headers: &mut HeaderMap, more: &HeaderMap) {
    for (name, value) in more {
        headers.append(name.clone(), value.clone());
    }
}

/// RFC 9110 §15.4.5: what would have been sent, less what describes the body; `Last-Modified` guides those who guess.
fn not_modified(fields: &HeaderMap, freshness: Freshness) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.headers_mut() = without_body(fields);
    age(response.headers_mut(), freshness);
    response
}

/// Adds what every answer carries; ours after what caches nearer to the origin said (RFC 9211 §2).
pub fn finish(headers: &mut HeaderMap, outcome: &Outcome, id: HeaderValue) {
    headers.append(CACHE_STATUS, outcome.cache_status());
    headers.insert(X_REQUEST_ID, id);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_304_says_what_it_must_and_nothing_of_the_body() {
        let said = [
            ("date", true),
            ("etag", true),
            ("vary", true),
            ("cache-control", true),
            ("expires", true),
            ("content-location", true),
            ("last-modified", true),
            ("content-security-policy", true),
            ("content-type", false),
            ("content-length", false),
            ("content-encoding", false),
            ("content-language", false),
            ("content-range", false),
            ("content-disposition", false),
            ("content-digest", false),
            ("repr-digest", false),
        ];
        let fields = said.map(|(name, _)| (HeaderName::from_static(name), HeaderValue::from_static("x")));
        let answer = not_modified(&fields.into_iter().collect(), Freshness { age: 7, ttl: 1 });
        assert_eq!((answer.status(), &answer.headers()["age"]), (StatusCode::NOT_MODIFIED, &HeaderValue::from(7)));
        said.iter().for_each(|(name, kept)| assert_eq!(answer.headers().contains_key(*name), *kept, "{name}"));
    }

    #[test]
    fn what_is_unpacked_is_what_would_be_sent() {
        let mut fields = HeaderMap::new();
        fields.insert(CACHE_STATUS, HeaderValue::from_static("inner; hit"));
        let entry = Stored::new(&crate::entry::stored::tests::head(fields), bytes::Bytes::from_static(b"x"));
        let mut response = Response::new(Body::Stored(entry, Part::Whole));
        response.headers_mut().insert(CACHE_STATUS, HeaderValue::from_static("stent; hit; ttl=1"));
        unpack(&mut response);
        let said: Vec<_> = response.headers().get_all(CACHE_STATUS).iter().collect();
        assert_eq!(said, ["inner; hit", "stent; hit; ttl=1"]);
    }
}
