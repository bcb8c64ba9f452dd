//! Names of fields that are more than they seem: that tell of the client, that only trusted proxies may set, or that make
//! some origins see another request than we do.

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::hop::trust::Trust;

const X_CLIENT: [&str; 7] = [
    "x-real-ip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-originating-ip",
    "x-remote-addr",
    "x-remote-ip",
];

/// Fields that tell of the client and its way. WSGI folds `_` and `-` together, so we do too.
pub fn is_forwarding(name: &str) -> bool {
    let same = |want: &str| same_field(name, want);
    match name.len() {
        ..7 => false,
        _ if name.as_bytes()[0] == b'x' => {
            name.get(..12).is_some_and(|start| same_field(start, "x-forwarded-")) || X_CLIENT.into_iter().any(same)
        }
        _ => ["forwarded", "true-client-ip", "cf-connecting-ip", "fastly-client-ip"].into_iter().any(same),
    }
}

/// Fields by which a proxy that ends TLS tells an origin of the client's certificate (RFC 9440).
pub(crate) fn is_certificate(name: &str) -> bool {
    ["client-cert", "client-cert-chain"].into_iter().any(|field| same_field(name, field))
}

/// Of those, the ones that say whom a request comes from.
pub(crate) fn tells_of_client(name: &str) -> bool {
    same_field(name, "x-forwarded-for") || !name.starts_with("x-forwarded-")
}

/// Drops the headers that only trusted proxies may set, where a stranger sends them; and their other spellings, which some
/// origins take for the same, whoever sends them: a proxy that sets one may hand on the other.
pub fn drop_untrusted<'n>(headers: &mut HeaderMap, trusted: impl Iterator<Item = &'n HeaderName>, peer: Trust) {
    for own in trusted {
        let mut dropped: SmallVec<[HeaderName; 2]> = SmallVec::new();
        let unproven = |name: &&HeaderName| (peer == Trust::Stranger || *name != own) && is_spelling(name, own);
        dropped.extend(headers.keys().filter(unproven).cloned());
        dropped.iter().for_each(|name| drop(headers.remove(name)));
    }
}

/// Whether some origins take one for the other.
pub fn is_spelling(name: &HeaderName, own: &HeaderName) -> bool {
    let folded = |b: u8| if b == b'_' { b'-' } else { b };
    name.as_str().len() == own.as_str().len()
        && name.as_str().bytes().zip(own.as_str().bytes()).all(|(a, b)| folded(a) == folded(b))
}

/// Fields that make some origins see another target, host, scheme or method: known ways to have one's own answer kept for
/// others. `X-Forwarded-…` are above.
const OVERRIDES: [&str; 43] = [
    // To gunicorn these two are the real ones.
    "script-name",
    "path-info",
    "front-end-https",
    "x-accel-mapping",
    "x-accel-redirect",
    "x-backend-host",
    "x-envoy-original-host",
    "x-envoy-original-path",
    "x-forward-host",
    "x-forward-proto",
    "x-forward-scheme",
    "x-forwarded",
    "x-host",
    "x-host-override",
    "x-http-destinationurl",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-invoke-path",
    "x-invoke-query",
    "x-method-override",
    "x-middleware-subrequest",
    "x-original-host",
    "x-original-method",
    "x-original-path",
    "x-original-proto",
    "x-original-query",
    "x-original-scheme",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-proxy-url",
    "x-real-host",
    "x-real-uri",
    "x-request-method",
    "x-request-uri",
    "x-request-url",
    "x-rewrite-uri",
    "x-rewrite-url",
    "x-scheme",
    "x-script-name",
    "x-sendfile-type",
    "x-url-scheme",
];

/// Whether a field is one of those, in whatever spelling.
pub fn is_override(name: &str) -> bool {
    matches!(name.as_bytes().first(), Some(b'x' | b's' | b'p' | b'f'))
        && OVERRIDES.into_iter().any(|want| same_field(name, want))
}

/// Fields by which a client that knows only POST names the method that it means, as they are spelled and no other way.
pub fn is_method_override(name: &str) -> bool {
    METHOD_OVERRIDES.contains(&name)
}

/// See [`is_method_override`].
pub const METHOD_OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// `Content_Length` and `Transfer_Encoding`.
pub(crate) fn is_framing(name: &str) -> bool {
    name.contains('_') && ["content-length", "transfer-encoding"].into_iter().any(|want| same_field(name, want))
}

/// Drops from a request's trailers what nobody may say in its head: some origins do not keep the two apart.
pub(crate) fn drop_from_trailers(trailers: &mut HeaderMap) {
    let unsaid = |name: &str| {
        is_forwarding(name) || is_certificate(name) || is_override(name) || same_field(name, "x-request-id")
    };
    let dropped: SmallVec<[HeaderName; 4]> = trailers.keys().filter(|name| unsaid(name.as_str())).cloned().collect();
    dropped.iter().for_each(|name| drop(trailers.remove(name)));
}

/// As WSGI takes them for the same.
pub(crate) fn same_field(name: &str, want: &str) -> bool {
    name.len() == want.len() && name.bytes().zip(want.bytes()).all(|(a, b)| a == b || (a == b'_' && b == b'-'))
}

/// `X-Request-Id`.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_makes_an_origin_see_another_request_is_known_in_each_spelling() {
        let overrides = OVERRIDES.map(str::to_owned);
        for name in overrides {
            let spellings = [name.clone(), name.replace('-', "_"), name.replacen('-', "_", 1)];
            spellings.iter().for_each(|name| assert!(is_override(name), "{name}"));
        }
        for name in ["host", "port", "server", "scheme", "proto", "prefix", "ssl", "path", "uri", "url", "for"] {
            let name = format!("x-forwarded-{name}");
            assert!(is_forwarding(&name) && is_forwarding(&name.replace('-', "_")), "{name}");
        }
        for name in ["forwarded", "true-client-ip", "true_client_ip", "x-client-ip", "cf-connecting-ip", "x-real-ip"] {
            assert!(is_forwarding(name), "{name}");
        }
        for name in
            ["x-requested-with", "x-client-version", "x-csrftoken", "prefer", "sec-fetch-mode", "from", "x-tenant"]
        {
            assert!(!is_override(name) && !is_forwarding(name) && !is_certificate(name), "{name}");
        }
        assert!(is_certificate("client-cert") && is_certificate("client_cert_chain"));
    }

    #[test]
    fn a_trusted_header_is_a_proxys_and_in_one_spelling() {
        let own = HeaderName::from_static("x-tenant_id");
        for (peer, want) in [(Trust::Stranger, vec!["x-other"]), (Trust::Proxy, vec!["x-other", "x-tenant_id"])] {
            let names = ["x-tenant_id", "x-tenant-id", "x_tenant_id", "x-other"];
            let mut headers: HeaderMap =
                names.map(|name| (HeaderName::from_static(name), HeaderValue::from_static("a"))).into_iter().collect();
            drop_untrusted(&mut headers, std::iter::once(&own), peer);
            let mut left: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
            left.sort();
            assert_eq!(left, want, "{peer:?}");
        }
    }
}
