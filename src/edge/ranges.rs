//! Parts of answers on their way out (RFC 9110 §15.3.7): one as it lies there, several as `multipart/byteranges`. Nothing of
//! a body is copied.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::deliver::{age, set, without_body};
use crate::body::{Body, BodyError, Part};
use crate::entry::Entry;
use crate::policy::range::{Selected, Span, select};
use crate::policy::reuse::Freshness;

/// Delivers what a GET with a `Range` is to have of a stored 200; `None` is the whole.
pub(super) fn entry(entry: &Entry, freshness: Freshness, request: &HeaderMap) -> Option<Response<Body>> {
    let fields = entry.fields();
    let length = entry.body().len() as u64;
    let mut response = match select(request, &fields, length) {
        Selected::Whole => return None,
        Selected::One(span) => {
            let part = Part::Range(span.first as usize, span.last as usize);
            let mut response = Response::new(Body::Stored(entry.clone(), part));
            content_range(response.headers_mut(), span, length);
            response
        }
        Selected::Several(spans) => {
            let (fields, pieces) = multipart(fields, &spans, length)?;
            let slice = |piece| match piece {
                Piece::Text(text) => text,
                Piece::Span(span) => entry.body().slice(span.first as usize..=span.last as usize),
            };
            let mut response = Response::new(Body::stream(Slices(pieces.into_iter().map(slice).collect())));
            *response.headers_mut() = fields;
            response
        }
        Selected::Unsatisfiable => return Some(unsatisfiable(&fields, length)),
    };
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    age(response.headers_mut(), freshness);
    Some(response)
}

/// RFC 9110 §15.5.17: of what is there only its length. It is this client's mistake, and no cache's to keep.
fn unsatisfiable(fields: &HeaderMap, length: u64) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    let headers = response.headers_mut();
    *headers = without_body(fields);
    headers.remove(header::EXPIRES);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set(headers, header::CONTENT_RANGE, &format!("bytes */{length}"));
    response
}

fn content_range(headers: &mut HeaderMap, Span { first, last }: Span, length: u64) {
    set(headers, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
}

/// What such a body is made of.
enum Piece {
    Text(Bytes),
    /// These bytes of the whole.
    Span(Span),
}

/// The head's fields and the pieces of a body with several parts (§14.6, §15.3.7.2). `None`: there is no chance to be had.
fn multipart(mut fields: HeaderMap, spans: &[Span], length: u64) -> Option<(HeaderMap, Vec<Piece>)> {
    let boundary = boundary()?;
    let of_parts = fields.insert(header::CONTENT_TYPE, boundary_type(&boundary)?);
    let mut pieces = Vec::with_capacity(spans.len() * 2 + 1);
    for (i, span) in spans.iter().enumerate() {
        let mut text = Vec::new();
        let begins = if i == 0 { "--" } else { "\r\n--" };
        [begins, boundary.as_str(), "\r\n"].iter().for_each(|piece| text.extend_from_slice(piece.as_bytes()));
        if let Some(value) = &of_parts {
            [b"content-type: ", value.as_bytes(), b"\r\n"].iter().for_each(|piece| text.extend_from_slice(piece));
        }
        let Span { first, last } = span;
        text.extend_from_slice(format!("content-range: bytes {first}-{last}/{length}\r\n\r\n").as_bytes());
        pieces.push(Piece::Text(text.into()));
        pieces.push(Piece::Span(*span));
    }
    pieces.push(Piece::Text(format!("\r\n--{boundary}--\r\n").into()));
    Some((fields, pieces))
}

fn boundary_type(boundary: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("multipart/byteranges; boundary={boundary}")).ok()
}

/// Text that no body has in it but by a chance of one in 2⁹⁶ for each of its bytes, and nobody can have put there.
fn boundary() -> Option<String> {
    let mut chance = [0; 12];
    getrandom::fill(&mut chance).ok()?;
    let mut text = String::with_capacity(24);
    chance.iter().try_for_each(|byte| write!(text, "{byte:02x}")).ok()?;
    Some(text)
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

/// What a GET is to have of an answer whose body is still coming.
#[derive(Debug, PartialEq, Eq)]
pub enum Coming {
    /// All of it, as it comes.
    Whole,
    /// This, of so many bytes.
    Part(Selected, u64),
    /// A part, and of how much is not known.
    Unmeasured,
}

impl Coming {
    /// For such a request, an answer with this status and these fields, and a body of this length. Parts in another order than
    /// they come in would have to be waited for: the whole is there as soon.
    pub fn of(request: &HeaderMap, status: StatusCode, fields: &HeaderMap, length: Option<u64>) -> Coming {
        if status != StatusCode::OK || !request.contains_key(header::RANGE) {
            return Coming::Whole;
        }
        match (select(request, fields, length.unwrap_or(u64::MAX)), length) {
            (Selected::Whole, _) => Coming::Whole,
            (Selected::Several(spans), _) if !spans.is_sorted_by_key(|span| span.first) => Coming::Whole,
            (selected, Some(length)) => Coming::Part(selected, length),
            (_, None) => Coming::Unmeasured,
        }
    }
}

/// Makes the part of a whole answer (200) that is still coming: each piece is sent as soon as it is there, and behind the
/// last there is nothing to wait for.
pub fn cut(response: Response<Body>, selected: Selected, length: u64) -> Response<Body> {
    let (mut head, source) = response.into_parts();
    let pieces = match selected {
        Selected::Whole => return Response::from_parts(head, source),
        Selected::Unsatisfiable => return unsatisfiable(&head.headers, length),
        Selected::One(span) => {
            content_range(&mut head.headers, span, length);
            vec![Piece::Span(span)]
        }
        Selected::Several(spans) => match multipart(head.headers.clone(), &spans, length) {
            None => return Response::from_parts(head, source),
            Some((headers, pieces)) => {
                head.headers = headers;
                pieces
            }
        },
    };
    head.status = StatusCode::PARTIAL_CONTENT;
    let cuts = Cuts { source, ahead: Bytes::new(), at: 0, pieces: pieces.into() };
    Response::from_parts(head, Body::stream(cuts))
}

/// Pieces of a body that is still coming, in the order in which they come.
struct Cuts {
    source: Body,
    /// What has come and is not used yet.
    ahead: Bytes,
    /// Where in the whole that begins.
    at: u64,
    pieces: VecDeque<Piece>,
}

impl Cuts {
    /// What there is of the next piece, if that is anything.
    fn next(&mut self) -> Option<Bytes> {
        let span = match self.pieces.front_mut()? {
            Piece::Span(span) => span,
            Piece::Text(text) => {
                let text = std::mem::take(text);
                self.pieces.pop_front();
                return Some(text);
            }
        };
        let skipped = (span.first - self.at).min(self.ahead.len() as u64);
        self.ahead.advance(skipped as usize);
        let wanted = if self.at + skipped == span.first { span.length().min(self.ahead.len() as u64) } else { 0 };
        self.at += skipped + wanted;
        if self.at > span.last {
            self.pieces.pop_front();
        } else {
            span.first = span.first.max(self.at);
        }
        Some(self.ahead.split_to(wanted as usize)).filter(|piece| !piece.is_empty())
    }
}

impl HttpBody for Cuts {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        while !this.pieces.is_empty() {
            if let Some(piece) = this.next() {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            match ready!(Pin::new(&mut this.source).poll_frame(cx)) {
                // A frame of trailers has no place in a part.
                Some(Ok(frame)) => this.ahead = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(Some(Err("the body ended before the part".into()))),
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let length = |piece: &Piece| match piece {
            Piece::Text(text) => text.len() as u64,
            Piece::Span(span) => span.length(),
        };
        SizeHint::with_exact(self.pieces.iter().map(length).sum())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::edge::deliver;

    fn stored(fields: &[(&'static str, &'static str)], body: &'static [u8]) -> Entry {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        Entry::new(&crate::entry::tests::head(headers), Bytes::from_static(body))
    }

    fn ask(entry: &Entry, method: http::Method, range: &'static str) -> Response<Body> {
        let request = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))]);
        deliver::entry(entry, Freshness { age: 5, ttl: 6 }, &method, &request)
    }

    fn whole(response: Response<Body>) -> (http::response::Parts, Bytes) {
        let (head, body) = response.into_parts();
        let said = body.size_hint().exact();
        let body = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(body.collect());
        let body = body.unwrap().to_bytes();
        assert_eq!(said, Some(body.len() as u64));
        (head, body)
    }

    const FIELDS: &[(&str, &str)] =
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
        let mut gone = crate::entry::tests::head(HeaderMap::new());
        gone.status = StatusCode::GONE;
        let gone = Entry::new(&gone, Bytes::from_static(b"0123456789"));
        let (head, body) = whole(ask(&gone, http::Method::GET, "bytes=2-4"));
        assert_eq!((head.status, body.len()), (StatusCode::GONE, 10));
    }

    /// What is sent, with a name in place of the boundary.
    fn sent(response: Response<Body>) -> (StatusCode, HeaderMap, String) {
        let (mut head, body) = whole(response);
        head.headers.remove("age");
        let mut body = String::from_utf8(body.to_vec()).unwrap();
        let media = head.headers.get("content-type").map_or("", |media| media.to_str().unwrap());
        if let Some((_, boundary)) = media.split_once("boundary=") {
            body = body.replace(boundary, "BOUNDARY");
            head.headers.remove("content-type");
        }
        (head.status, head.headers, body)
    }

    #[test]
    fn what_is_coming_is_cut_as_what_is_stored() {
        const WHOLE: &[u8] = b"0123456789abcdef";
        let entry = stored(FIELDS, WHOLE);
        for range in ["0-0", "2-11", "15-", "0-", "1-2,5-11,13-", "0-0,-1", "16-"] {
            for size in [1, 3, 16] {
                let range = HeaderValue::from_str(&format!("bytes={range}")).unwrap();
                let request = HeaderMap::from_iter([(header::RANGE, range)]);
                let slices = WHOLE.chunks(size).map(Bytes::from_static).collect();
                let mut coming = Response::new(Body::stream(Slices(slices)));
                *coming.headers_mut() = entry.fields();
                let chosen = Coming::of(&request, coming.status(), coming.headers(), Some(16));
                let Coming::Part(selected, length) = chosen else { panic!("{request:?}: {chosen:?}") };
                let mut there = deliver::entry(&entry, Freshness { age: 5, ttl: 6 }, &http::Method::GET, &request);
                deliver::unpack(&mut there);
                assert_eq!(sent(cut(coming, selected, length)), sent(there), "{request:?} by {size}");
            }
        }
    }

    #[test]
    fn what_breaks_off_breaks_off_its_parts() {
        let body = Body::stream(Slices([Bytes::from_static(b"0123")].into()));
        let span = Span { first: 2, last: 5 };
        let mut body = cut(Response::new(body), Selected::One(span), 10).into_body();
        let mut next = || tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(body.frame());
        assert_eq!(next().unwrap().unwrap().into_data().unwrap(), "23");
        assert!(next().unwrap().is_err());
    }

    #[test]
    fn not_all_that_is_coming_can_be_cut() {
        let ask = |range: &'static str, status, length| {
            let request = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))]);
            Coming::of(&request, status, &HeaderMap::new(), length)
        };
        assert_eq!(ask("bytes=0-1", StatusCode::OK, None), Coming::Unmeasured);
        assert_eq!(ask("bytes=-1", StatusCode::OK, None), Coming::Unmeasured);
        assert_eq!(ask("lines=0-1", StatusCode::OK, None), Coming::Whole);
        assert_eq!(ask("bytes=0-1", StatusCode::NOT_FOUND, Some(9)), Coming::Whole);
        assert_eq!(ask("bytes=5-6,0-1", StatusCode::OK, Some(9)), Coming::Whole);
    }
}
