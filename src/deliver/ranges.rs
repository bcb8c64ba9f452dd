//! Parts of answers on their way out (RFC 9110 §15.3.7): one as it lies there, several as `multipart/byteranges`. Nothing of
//! a body is copied.

mod coming;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{Body, BodyError, Part};
use crate::deliver::fields::age;
use crate::deliver::multipart::{MultipartPiece, content_range, multipart, unsatisfiable};
pub use crate::deliver::ranges::coming::{Coming, cut};
use crate::entry::incomplete::Incomplete;
use crate::entry::stored::Entry;
use crate::fields::portion::Portion;
use crate::fields::range::{SelectedRanges, Span, select};
use crate::policy::reuse::Freshness;
use crate::policy::validate::{Condition, condition};

/// Delivers what a GET with a `Range` is to have of a stored 200; `None` is the whole.
pub(super) fn entry(entry: &Entry, freshness: Freshness, request: &HeaderMap) -> Option<Response<Body>> {
    let fields = entry.fields();
    let length = entry.body().len() as u64;
    let selected = select(request, &fields, length);
    deliver(entry, 0, length, freshness, fields, selected)
}

/// Delivers what a request is to have of a stored part, if that is all in it and is no condition's matter.
pub fn part(part: &Incomplete, freshness: Freshness, method: &Method, request: &HeaderMap) -> Option<Response<Body>> {
    let (entry, Portion { span: held, length }) = (part.entry(), part.portion());
    if method != Method::GET || condition(request, &entry.validators()) == Condition::NotModified {
        return None;
    }
    let fields = entry.fields();
    let selected = select(request, &fields, length);
    let is_held = match &selected {
        SelectedRanges::One(span) => held.holds(*span),
        SelectedRanges::Several(spans) => spans.iter().all(|span| held.holds(*span)),
        SelectedRanges::Whole | SelectedRanges::Unsatisfiable => false,
    };
    if is_held { deliver(entry, held.first, length, freshness, fields, selected) } else { None }
}

/// The body begins at byte `from` of `length`.
fn deliver(
    entry: &Entry,
    from: u64,
    length: u64,
    freshness: Freshness,
    fields: HeaderMap,
    selected: SelectedRanges,
) -> Option<Response<Body>> {
    let place = |span: Span| ((span.first - from) as usize, (span.last - from) as usize);
    let mut response = match selected {
        SelectedRanges::Whole => return None,
        SelectedRanges::One(span) => {
            let (first, last) = place(span);
            let part = Part::Range(first, last);
            let mut response = Response::new(Body::Stored(entry.clone(), part));
            content_range(response.headers_mut(), span, length);
            response
        }
        SelectedRanges::Several(spans) => {
            let (fields, pieces) = multipart(fields, &spans, length)?;
            let slice = |piece| match piece {
                MultipartPiece::Text(text) => text,
                MultipartPiece::Span(span) => {
                    let (first, last) = place(span);
                    entry.body().slice(first..=last)
                }
            };
            let mut response = Response::new(Body::stream(Slices(pieces.into_iter().map(slice).collect())));
            *response.headers_mut() = fields;
            response
        }
        SelectedRanges::Unsatisfiable => return Some(unsatisfiable(&fields, length)),
    };
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    age(response.headers_mut(), freshness);
    Some(response)
}

/// Buffers, one after another.
struct Slices(VecDeque<Bytes>);

impl HttpBody for Slices {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(self.0.pop_front().map(|slice| Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|slice| slice.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::deliver;
    use http::header::{self, HeaderValue};

    pub(super) fn stored(fields: &[(&'static str, &'static str)], body: &'static [u8]) -> Entry {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        Entry::new(&crate::entry::stored::tests::head(headers), Bytes::from_static(body))
    }

    pub(super) fn ask(entry: &Entry, method: http::Method, range: &'static str) -> Response<Body> {
        let request = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))]);
        deliver::entry(entry, Freshness { age: 5, ttl: 6 }, &method, &request)
    }

    pub(super) fn whole(response: Response<Body>) -> (http::response::Parts, Bytes) {
        let (head, body) = response.into_parts();
        let said = body.size_hint().exact();
        let body = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(body.collect());
        let body = body.unwrap().to_bytes();
        assert_eq!(said, Some(body.len() as u64));
        (head, body)
    }

    pub(super) const FIELDS: &[(&str, &str)] =
        &[("content-type", "text/plain"), ("etag", "\"a\""), ("cache-control", "max-age=9"), ("expires", "0")];

    #[test]
    fn one_part() {
        let entry = stored(FIELDS, b"0123456789");
        for timed in [false, true] {
            let mut response = ask(&entry, http::Method::GET, "bytes=2-4");
            if timed {
                deliver::unpack(&mut response);
                assert_eq!(response.headers()["etag"], "\"a\"");
                assert_eq!(response.headers()["content-type"], "text/plain");
            }
            let (head, body) = whole(response);
            assert_eq!((head.status.as_u16(), &*body), (206, &b"234"[..]));
            assert_eq!(head.headers["content-range"], "bytes 2-4/10");
            assert_eq!(head.headers["age"], "5");
        }
    }

    #[test]
    fn several_parts() {
        let response = ask(&stored(FIELDS, b"0123456789"), http::Method::GET, "bytes=7-,0-1,2-2,99-");
        let (head, body) = whole(response);
        assert_eq!(head.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(head.headers["etag"], "\"a\"");
        assert_eq!(head.headers["age"], "5");
        assert!(!head.headers.contains_key("content-range"), "§15.3.7.2");
        let media = head.headers["content-type"].to_str().unwrap();
        let boundary = media.strip_prefix("multipart/byteranges; boundary=").unwrap();
        let part = |range, bytes| format!("content-type: text/plain\r\ncontent-range: bytes {range}/10\r\n\r\n{bytes}");
        let (last, first) = (part("7-9", "789"), part("0-2", "012"));
        let want = format!("--{boundary}\r\n{last}\r\n--{boundary}\r\n{first}\r\n--{boundary}--\r\n");
        assert_eq!(str::from_utf8(&body).unwrap(), want);
        let (head, _) = whole(ask(&stored(FIELDS, b"0123456789"), http::Method::GET, "bytes=7-,0-1"));
        assert_ne!(head.headers["content-type"], media, "another boundary each time");
        let untyped = stored(&[], b"0123456789");
        let (_, body) = whole(ask(&untyped, http::Method::GET, "bytes=0-0,9-9"));
        assert!(!str::from_utf8(&body).unwrap().contains("content-type"));
    }

    #[test]
    fn nothing_of_it() {
        let (head, body) = whole(ask(&stored(FIELDS, b"0123456789"), http::Method::GET, "bytes=10-"));
        assert_eq!((head.status.as_u16(), &*body), (416, &b""[..]));
        assert_eq!(head.headers["content-range"], "bytes */10");
        assert_eq!(head.headers["etag"], "\"a\"");
        assert_eq!(head.headers["cache-control"], "no-store", "it is nobody's to keep");
        assert!(["content-type", "expires"].iter().all(|name| !head.headers.contains_key(*name)));
    }

    #[test]
    fn ranges_are_of_gets_for_what_is_whole() {
        let (head, _) = whole(ask(&stored(FIELDS, b"0123456789"), http::Method::HEAD, "bytes=2-4"));
        assert_eq!(head.status, 200, "§14.2");
        let mut gone = crate::entry::stored::tests::head(HeaderMap::new());
        gone.status = StatusCode::GONE;
        let gone = Entry::new(&gone, Bytes::from_static(b"0123456789"));
        let (head, body) = whole(ask(&gone, http::Method::GET, "bytes=2-4"));
        assert_eq!((head.status, body.len()), (StatusCode::GONE, 10));
    }
}
