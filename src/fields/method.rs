//! What a method promises (RFC 9110 §9.2).

use http::Method;

/// Methods that are registered as safe (RFC 9110 §9.2.1, RFC 3253, RFC 4918, RFC 5323, RFC 10008). Any other may change
/// something, those that nobody knows included.
pub fn is_safe(method: &Method) -> bool {
    matches!(method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE" | "QUERY" | "PROPFIND" | "REPORT" | "SEARCH")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_to_be_safe_is_not() {
        let check = |method: &str, want| {
            assert_eq!(is_safe(&Method::from_bytes(method.as_bytes()).unwrap()), want, "{method}");
        };
        ["GET", "HEAD", "OPTIONS", "TRACE", "QUERY", "PROPFIND", "REPORT", "SEARCH"]
            .iter()
            .for_each(|safe| check(safe, true));
        ["POST", "PUT", "PATCH", "DELETE", "MKCOL", "FOO", "get", "Query"].iter().for_each(|other| check(other, false));
    }
}
