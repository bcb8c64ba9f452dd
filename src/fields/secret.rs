//! Fields of answers that hand out a credential, or prove something to one client: an answer with one is as personal as one
//! with `Set-Cookie`.

use super::words;
use crate::fields::glob::glob;

/// Whether an answer's field hands out a credential: a known one, or one that the operator `names` (a `*` may end a name).
pub fn is_secret(field: &str, names: &[String]) -> bool {
    // Most fields are none, and nearly all that are have one of these words.
    NAMED.contains(&field) || is_worded(field) || names.iter().any(|name| glob(name, field))
}

fn is_worded(field: &str) -> bool {
    let field = field.strip_prefix("x-").unwrap_or(field);
    let names_one =
        words(field).any(|word| WORDS.contains(&word) || RUN_TOGETHER.iter().any(|part| word.contains(part)));
    names_one && !PUBLIC.contains(&field)
}

/// What names a credential within a word, too: `RequestVerificationToken`, `ASPSESSIONID`.
const RUN_TOGETHER: [&str; 8] =
    ["antiforgery", "bearer", "forgerytoken", "saml", "sessid", "sessionid", "verificationtoken", "xsrf"];

const WORDS: [&str; 17] = [
    "accesstoken",
    "apikey",
    "assertion",
    "authtoken",
    "credential",
    "credentials",
    "csrf",
    "jwt",
    "nonce",
    "otp",
    "password",
    "secret",
    "session",
    "sessionid",
    "ticket",
    "token",
    "xsrf",
];

/// What has such a word and hands out nothing.
const PUBLIC: [&str; 3] = ["access-control-allow-credentials", "session-affinity", "token-count"];

/// Names that have none of these words. `WWW-Authenticate` asks, and hands out nothing but nonces.
const NAMED: [&str; 36] = [
    "authorization",
    "authentication-info",
    // devise_token_auth's, beside `access-token`.
    "client",
    "uid",
    "x-access",
    "x-cookie",
    "x-anti-forgery",
    "proxy-authentication-info",
    "set-authorization",
    "set-cookie2",
    "x-amzn-remapped-authorization",
    "x-set-cookie",
    "persistent-auth",
    "sforce-auth",
    "access-key",
    "api-key",
    "x-auth",
    "x-auth-key",
    "x-access-key",
    "x-api-key",
    "x-authorization",
    "x-bearer",
    "x-jsessionid",
    "phpsessid",
    "jsessionid",
    "x-sid",
    "x-passcode",
    "x-magic-link",
    "dpop-nonce",
    "x-key",
    "x-pin",
    "x-code",
    "x-sso",
    "x-saml-response",
    "x-client-key",
    "x-signed-url",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_hand_out_credentials() {
        for field in [
            "x-auth-token",
            "authorization",
            "x-csrf-token",
            "x-xsrf-token",
            "authentication-info",
            "x-session-id",
            "x-access-token",
            "x-refresh-token",
            "x-subject-token",
            "x-jwt",
            "access-token",
            "set-cookie2",
            "x-amzn-remapped-authorization",
            "x-ms-token",
            "set-authorization",
            "x-session-token",
            "id-token",
            "x-api-key",
            "x-authorization",
            "x-access-key",
            "x-jsessionid",
            "x-magic-link",
            "x-passcode",
            "x-wp-nonce",
            "requestverificationtoken",
            "x-phpsessid",
            "x-cookie",
            "bearer",
            "saml-response",
            "x-anti-forgery",
            "x-access",
            "client",
            "uid",
        ] {
            assert!(is_secret(field, &[]), "{field}");
        }
        for field in [
            // Judged by itself.
            "set-cookie",
            "content-type",
            "etag",
            "www-authenticate",
            "x-request-id",
            "x-frame-options",
            "surrogate-key",
            "access-control-allow-credentials",
            "access-control-allow-origin",
            "x-powered-by",
            "cache-tag",
        ] {
            assert!(!is_secret(field, &[]), "{field}");
        }
        assert!(is_secret("x-visit", &["x-vis*".to_owned()]));
    }
}
