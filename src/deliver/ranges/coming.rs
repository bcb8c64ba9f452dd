//! Parts of answers whose bodies are still coming: each piece is sent as soon as it is there.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{self, HeaderMap};
use http::{Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::body::{Body, BodyError};
use crate::deliver::multipart::{MultipartPiece, content_range, multipart, unsatisfiable};
use crate::fields::portion::Portion;
use crate::fields::range::{SelectedRanges, select};

/// What a GET is to have of an answer whose body is still coming.
#[derive(Debug, PartialEq, Eq)]
pub enum Coming {
    /// All of it, as it comes.
    Whole,
    /// This, of so many bytes.
    Part(SelectedRanges, u64),
    /// Something that is not in it, or of which that cannot be told.
    Elsewhere,
}

impl Coming {
    /// For such a request, an answer with this status and these fields, and a body of this length. Parts in another order than
    /// they come in would have to be waited for: the whole is there as soon.
    pub fn of(request: &HeaderMap, status: StatusCode, fields: &HeaderMap, length: Option<u64>) -> Coming {
        if status != StatusCode::OK || !request.contains_key(header::RANGE) {
            return Coming::Whole;
        }
        match (select(request, fields, length.unwrap_or(u64::MAX)), length) {
            (SelectedRanges::Whole, _) => Coming::Whole,
            (SelectedRanges::Several(spans), _) if !spans.is_sorted_by_key(|span| span.first) => Coming::Whole,
            (selected, Some(length)) => Coming::Part(selected, length),
            (_, None) => Coming::Elsewhere,
        }
    }

    /// The same of a part that is coming, with the fields of the whole.
    pub fn of_part(request: &HeaderMap, fields: &HeaderMap, part: Portion) -> Coming {
        match select(request, fields, part.length) {
            SelectedRanges::One(span) if part.span.holds(span) => Coming::Part(SelectedRanges::One(span), part.length),
            _ => Coming::Elsewhere,
        }
    }
}

/// Makes a part of a whole answer (200) whose body is still coming, from byte `from` on: each piece is sent as soon as it is
/// there, and behind the last there is nothing to wait for.
pub fn cut(response: Response<Body>, selected: SelectedRanges, length: u64, from: u64) -> Response<Body> {
    let (mut head, source) = response.into_parts();
    let pieces = match selected {
        SelectedRanges::Whole => return Response::from_parts(head, source),
        SelectedRanges::Unsatisfiable => return unsatisfiable(&head.headers, length),
        SelectedRanges::One(span) => {
            content_range(&mut head.headers, span, length);
            vec![MultipartPiece::Span(span)]
        }
        SelectedRanges::Several(spans) => match multipart(head.headers.clone(), &spans, length) {
            None => return Response::from_parts(head, source),
            Some((headers, pieces)) => {
                head.headers = headers;
                pieces
            }
        },
    };
    head.status = StatusCode::PARTIAL_CONTENT;
    let cuts = Cuts { source, ahead: Bytes::new(), at: from, pieces: pieces.into() };
    Response::from_parts(head, Body::stream(cuts))
}

/// Pieces of a body that is still coming, in the order in which they come.
struct Cuts {
    source: Body,
    /// What has come and is not used yet.
    ahead: Bytes,
    /// Where in the whole that begins.
    at: u64,
    pieces: VecDeque<MultipartPiece>,
}

impl Cuts {
    /// What there is of the next piece, if that is anything.
    fn next(&mut self) -> Option<Bytes> {
        let span = match self.pieces.front_mut()? {
            MultipartPiece::Span(span) => span,
            MultipartPiece::Text(text) => {
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
        let length = |piece: &MultipartPiece| match piece {
            MultipartPiece::Text(text) => text.len() as u64,
            MultipartPiece::Span(span) => span.length(),
        };
        SizeHint::with_exact(self.pieces.iter().map(length).sum())
    }
}

#[cfg(test)]
mod tests {
    use http::header::HeaderValue;
    use http_body_util::BodyExt;

    use super::*;
    use crate::deliver;
    use crate::deliver::ranges::Slices;
    use crate::deliver::ranges::tests::{FIELDS, stored, whole};
    use crate::fields::range::Span;
    use crate::policy::reuse::Freshness;

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
                assert_eq!(sent(cut(coming, selected, length, 0)), sent(there), "{request:?} by {size}");
            }
        }
    }

    #[test]
    fn what_breaks_off_breaks_off_its_parts() {
        let body = Body::stream(Slices([Bytes::from_static(b"0123")].into()));
        let span = Span { first: 2, last: 5 };
        let mut body = cut(Response::new(body), SelectedRanges::One(span), 10, 0).into_body();
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
        assert_eq!(ask("bytes=0-1", StatusCode::OK, None), Coming::Elsewhere);
        assert_eq!(ask("bytes=-1", StatusCode::OK, None), Coming::Elsewhere);
        assert_eq!(ask("lines=0-1", StatusCode::OK, None), Coming::Whole);
        assert_eq!(ask("bytes=0-1", StatusCode::NOT_FOUND, Some(9)), Coming::Whole);
        assert_eq!(ask("bytes=5-6,0-1", StatusCode::OK, Some(9)), Coming::Whole);
    }
}
