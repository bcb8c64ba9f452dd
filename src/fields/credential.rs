//! Fields of requests by which an origin may know somebody, beside `Authorization` and `Cookie`: keys, tokens, and what gateways
//! say of whom they let in.
//!
//! Under `origin` such a field is a credential like any cookie: what was made for it is shared only where the origin opened it.
//! The lists are wide on purpose: what is taken for a credential in error costs a hit.

use http::{HeaderName, HeaderValue};

use super::words;
use crate::ground::mutants::{Rule, is_off};

/// Whether a field that is not harmless may say who asks.
pub fn is_credential(name: &HeaderName) -> bool {
    NAMED.contains(&name.as_str()) || words(name.as_str()).any(|word| WORDS.contains(&word))
}

/// Words of names that hold a secret, or name somebody.
const WORDS: [&str; 50] = [
    "account",
    "apikey",
    "assertion",
    "auth",
    "authenticated",
    "authorization",
    "bearer",
    "cert",
    "certificate",
    "credential",
    "credentials",
    "creds",
    "customer",
    "dn",
    "email",
    "eppn",
    "group",
    "groups",
    "identity",
    "jwt",
    "key",
    "login",
    "mail",
    "member",
    "oidc",
    "on-behalf-of",
    "passwd",
    "password",
    "person",
    "practitioner",
    "principal",
    "remote",
    "role",
    "roles",
    "secret",
    "session",
    "sessionid",
    "signature",
    "sso",
    "subject",
    "tenant",
    "ticket",
    "token",
    "tokens",
    "uid",
    "upn",
    "user",
    "userid",
    "username",
    "accesstoken",
];

/// Names that have none of these words.
const NAMED: [&str; 12] = [
    "dpop",
    "from",
    "iv-creds",
    "signature-input",
    "sm-universalid",
    "sm_universalid",
    "sudo",
    "x-amz-date",
    "x-dsid",
    "x-hub-signature-256",
    "x-on-behalf-of",
    "x-sid",
];

/// Whether what should be a credential is what scripts and browsers send where there is none: nobody is known by it.
pub fn is_empty_value(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    let says_nothing = bare.is_empty() || NOTHING.iter().any(|nothing| bare.eq_ignore_ascii_case(nothing));
    says_nothing && !is_off(Rule::EmptyCredential)
}

/// The same for `Authorization`: a scheme without anything behind it, or with an empty value; `Og==` is `:`, neither name
/// nor password.
pub fn is_empty_authorization(value: &HeaderValue) -> bool {
    let value = value.as_bytes().trim_ascii();
    let Some(space) = value.iter().position(|&b| b == b' ') else {
        let schemes = [&b"basic"[..], b"bearer", b"token", b"digest", b"jwt"];
        return is_empty_value(value) || schemes.iter().any(|scheme| value.eq_ignore_ascii_case(scheme));
    };
    let (scheme, rest) = (&value[..space], value[space..].trim_ascii());
    is_empty_value(rest) || scheme.eq_ignore_ascii_case(b"basic") && rest == b"Og=="
}

const NOTHING: [&[u8]; 8] = [b"deleted", b"null", b"undefined", b"none", b"nil", b"false", b"nan", b"[object object]"];

/// Whether `Authorization` signs this very request: its target, and perhaps its fields, must reach the origin byte for byte.
pub fn signs_request(value: &HeaderValue) -> bool {
    let scheme = value.as_bytes().trim_ascii().split(|&b| b == b' ').next().unwrap_or_default();
    SIGNING.iter().any(|signing| scheme.eq_ignore_ascii_case(signing)) || starts_with(scheme, b"AWS4-")
}

/// RFC 7616, AWS, Google, Azure, Hawk, OAuth 1.0 (RFC 5849), Escher and the drafts of HTTP signatures.
const SIGNING: [&[u8]; 13] = [
    b"Digest",
    b"AWS",
    b"GOOG1",
    b"GOOG4-RSA-SHA256",
    b"GOOG4-HMAC-SHA256",
    b"SharedKey",
    b"SharedKeyLite",
    b"Hawk",
    b"OAuth",
    b"MAC",
    b"Signature",
    b"HMAC",
    b"EG1-HMAC-SHA256",
];

fn starts_with(text: &[u8], start: &[u8]) -> bool {
    text.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start))
}

/// Whether a field beside `Authorization` signs the request (RFC 9421, and the date that AWS signs).
pub fn is_signature(name: &str) -> bool {
    matches!(name, "signature" | "signature-input" | "x-signature" | "x-hmac-signature" | "x-amz-content-sha256")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_that_say_who_asks() {
        for name in [
            "x-api-key",
            "api-key",
            "apikey",
            "x-auth-token",
            "x-access-token",
            "private-token",
            "x-gitlab-token",
            "x-vault-token",
            "x-session-id",
            "x-session",
            "x-amz-security-token",
            "x-goog-iap-jwt-assertion",
            "x-ms-client-principal",
            "x-ms-token-aad-id-token",
            "x-amzn-oidc-data",
            "x-amzn-oidc-identity",
            "x-auth-request-user",
            "x-auth-request-email",
            "x-forwarded-user",
            "x-forwarded-email",
            "x-remote-user",
            "remote-user",
            "x-user",
            "x-user-id",
            "x-authenticated-userid",
            "x-credential-identifier",
            "cf-access-jwt-assertion",
            "cf-access-client-secret",
            "ocp-apim-subscription-key",
            "x-rapidapi-key",
            "x-functions-key",
            "x-jwt",
            "x-id-token",
            "x-client-cert",
            "x-ssl-client-s-dn",
            "x-forwarded-client-cert",
            "iv-user",
            "iv-creds",
            "sm_user",
            "oidc_claim_sub",
            "dpop",
            "signature",
            "x-tenant-id",
            "x-active-role",
            "x-on-behalf-of",
            "sudo",
            "from",
            "x-authorization",
            "authentication-token",
            "x-user-email",
        ] {
            assert!(is_credential(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["x-client", "x-version", "x-theme", "turbo-frame", "hx-request", "accept-features"] {
            assert!(!is_credential(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn nothing_is_no_credential() {
        for (value, want) in [
            ("", true),
            ("\"\"", true),
            ("deleted", true),
            ("null", true),
            ("undefined", true),
            ("NULL", true),
            ("a", false),
            ("deleted1", false),
        ] {
            assert_eq!(is_empty_value(value.as_bytes()), want, "{value}");
        }
        for (value, want) in [
            ("", true),
            ("Basic Og==", true),
            ("basic  Og==", true),
            ("Bearer", true),
            ("Bearer ", true),
            ("Bearer null", true),
            ("bearer undefined", true),
            ("null", true),
            ("Bearer a", false),
            ("Basic YTpi", false),
            ("Negotiate", false),
        ] {
            assert_eq!(is_empty_authorization(&HeaderValue::from_static(value)), want, "{value}");
        }
    }

    #[test]
    fn what_signs_the_request() {
        for (value, want) in [
            ("Digest username=\"a\"", true),
            ("AWS4-HMAC-SHA256 Credential=a", true),
            ("aws4-ecdsa-p256-sha256 Credential=a", true),
            ("Hawk id=\"a\"", true),
            ("OAuth oauth_consumer_key=\"a\"", true),
            ("SharedKey a:b", true),
            ("Bearer a", false),
            ("Basic a", false),
            ("", false),
        ] {
            assert_eq!(signs_request(&HeaderValue::from_static(value)), want, "{value}");
        }
    }
}
