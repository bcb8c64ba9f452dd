//! Answers that are our own: errors as problem+json (RFC 9457) or as a small page, by `Accept`.

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::incoming::Refusal;
use crate::body::Body;
use crate::ground::failure::{Failure, FailureKind};
use crate::hop::fields::X_REQUEST_ID;

/// What a person or a program is told.
#[derive(Debug, Clone, Copy)]
pub struct Problem {
    /// The status.
    pub status: StatusCode,
    /// What went wrong, and what can be done about it.
    pub detail: &'static str,
    /// A word that programs can compare.
    pub code: &'static str,
    /// Whether the connection can go on.
    pub connection: AfterError,
}

/// Whether the connection can go on after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterError {
    /// It can.
    Keep,
    /// Framing is in doubt, or a body is left unread.
    Close,
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let (status, code, detail) = match refusal {
            Refusal::Host => (400, "host", "The request needs exactly one valid Host header."),
            Refusal::HostMismatch => (400, "host-mismatch", "The Host header and the request's target disagree."),
            Refusal::Framing => (400, "framing", "The length of the request's body is not clear."),
            Refusal::Syntax => (400, "syntax", "The request's head has lines that can be read in two ways."),
            Refusal::TransferCoding => (501, "transfer-coding", "The only transfer coding understood here is chunked."),
            Refusal::Version => (505, "version", "The only versions understood here are HTTP/1.1 and 1.0."),
            Refusal::TooLong => (431, "head-too-long", "The request's head is longer than is allowed here."),
            Refusal::Expectation => (417, "expectation", "The only expectation understood here is 100-continue."),
            Refusal::Target => (400, "target", "The request's target must be a path on this host."),
            Refusal::Loop => (508, "loop", "The request passed through this proxy several times: it goes in circles."),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
        Problem { status, detail, code, connection: AfterError::Close }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Problem {
        let left_unread = matches!(failure.kind, FailureKind::ClientBody | FailureKind::BodyTooLarge);
        let connection = if left_unread { AfterError::Close } else { AfterError::Keep };
        Problem { status: failure.status(), detail: failure.message(), code: failure.as_str(), connection }
    }
}

impl Problem {
    /// The answer; nothing of the request appears in it but its id.
    pub fn response(&self, request: &HeaderMap, id: &HeaderValue) -> Response<Body> {
        let id_text = id.to_str().unwrap_or("");
        let (media, text) = match prefers_html(request) {
            true => ("text/html; charset=utf-8", self.page(id_text)),
            false => ("application/problem+json", self.json(id_text)),
        };
        let mut response = Response::new(Body::full(text));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_REQUEST_ID, id.clone());
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if self.connection == AfterError::Close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn json(&self, id: &str) -> String {
        let status = self.status;
        serde_json::json!({
            "type": "about:blank",
            "title": status.canonical_reason().unwrap_or("Error"),
            "status": status.as_u16(),
            "detail": self.detail,
            "code": self.code,
            "request_id": id,
        })
        .to_string()
    }

    fn page(&self, id: &str) -> String {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let (code, detail) = (self.status.as_u16(), self.detail);
        // An id is visible ASCII without `<`, `>` and `&`: ours, or one that was checked on arrival.
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{code} {title}</title>\
             <style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1em}}\
             small{{color:#666}}</style></head><body><h1>{title}</h1><p>{detail}</p>\
             <p><small>Error {code} · request {id}</small></p></body></html>\n"
        )
    }
}

/// HTML is named in `Accept`, and before any JSON.
fn prefers_html(request: &HeaderMap) -> bool {
    let accept = request.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or("");
    let html = accept.find("text/html");
    let json = accept.find("json");
    html.is_some_and(|html| json.is_none_or(|json| html < json))
}
