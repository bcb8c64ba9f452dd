//! Several ranges of a body in one answer (RFC 9110 §14.6), and what to say where there are none.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};

use crate::body::Body;
use crate::deliver::fields::{set, without_body};
use crate::fields::range::Span;

/// RFC 9110 §15.5.17: of what is there only its length. It is this client's mistake, and no cache's to keep.
pub(super) fn unsatisfiable(fields: &HeaderMap, length: u64) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
    let headers = response.headers_mut();
    *headers = without_body(fields);
    headers.remove(header::EXPIRES);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set(headers, header::CONTENT_RANGE, &format!("bytes */{length}"));
    response
}

pub(super) fn content_range(headers: &mut HeaderMap, Span { first, last }: Span, length: u64) {
    set(headers, header::CONTENT_RANGE, &format!("bytes {first}-{last}/{length}"));
}

/// What such a body is made of.
pub(super) enum MultipartPiece {
    Text(Bytes),
    /// These bytes of the whole.
    Span(Span),
}

/// The head's fields and the pieces of a body with several parts (§14.6, §15.3.7.2). `None`: there is no chance to be had.
pub(super) fn multipart(
    mut fields: HeaderMap,
    spans: &[Span],
    length: u64,
) -> Option<(HeaderMap, Vec<MultipartPiece>)> {
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
        pieces.push(MultipartPiece::Text(text.into()));
        pieces.push(MultipartPiece::Span(*span));
    }
    pieces.push(MultipartPiece::Text(format!("\r\n--{boundary}--\r\n").into()));
    Some((fields, pieces))
}

pub(super) fn boundary_type(boundary: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(&format!("multipart/byteranges; boundary={boundary}")).ok()
}

/// Text that no body has in it but by a chance of one in 2⁹⁶ for each of its bytes, and nobody can have put there.
pub(super) fn boundary() -> Option<String> {
    let mut chance = [0; 12];
    getrandom::fill(&mut chance).ok()?;
    let mut text = String::with_capacity(24);
    chance.iter().try_for_each(|byte| write!(text, "{byte:02x}")).ok()?;
    Some(text)
}
