//! Which request headers mean something else than what an answer is about.

use http::HeaderName;

/// They belong to one connection or to the framing of one message (RFC 9110 §7.6.1).
pub(super) fn is_connection(name: &HeaderName) -> bool {
    let connection = [
        "connection",
        "content-length",
        "expect",
        "host",
        "http2-settings",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    connection.contains(&name.as_str())
}

/// They say where a request came from, and differ from client to client.
pub(super) fn is_forwarding(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-")
        || ["forwarded", "via", "x-real-ip", "x-request-id", "cf-connecting-ip", "true-client-ip"].contains(&name)
}

/// The cache answers them itself (RFC 9110 §13, §14).
pub(super) fn is_conditional(name: &HeaderName) -> bool {
    name.as_str().starts_with("if-") || ["range", "cache-control", "pragma"].contains(&name.as_str())
}
