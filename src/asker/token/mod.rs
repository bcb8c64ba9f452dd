//! Tokens that are verified before they are believed: JSON web tokens (RFC 7519) signed by keys from a file.
//!
//! A token that fails for any reason proves nothing, which is no error: its request is passed, and the origin refuses it in
//! its own words. Algorithms are pinned by the type of each key, so that no token can choose how it is verified. What was
//! verified is remembered by a keyed digest, never by the token, in a store that is bounded; the times are looked at on
//! every request. The only home of jsonwebtoken.

pub mod keys;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Validation, decode, decode_header};
use serde_json::{Map, Value};

use crate::asker::facet::Claims;
use crate::asker::principal::PrincipalKey;
use crate::asker::token::keys::VerifyingKey;
use crate::ground::found::{Findings, json_bytes};

/// How tokens are verified.
#[derive(Debug, Clone)]
pub struct TokenSettings {
    /// By what.
    pub keys: Vec<VerifyingKey>,
    /// One of these must be the `iss`; empty: any.
    pub issuers: Vec<String>,
    /// One of these must be among the `aud`; empty: any.
    pub audiences: Vec<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
}

/// Longer ones are not looked at.
const MAX_TOKEN_BYTES: usize = 16 << 10;

/// Room for what was verified.
const REMEMBERED_BYTES: u64 = 16 << 20;

/// Verifies tokens and remembers which it has verified.
#[derive(Debug)]
pub struct Tokens {
    settings: TokenSettings,
    secret: PrincipalKey,
    verified: Findings<Arc<Claims>>,
}

impl Tokens {
    /// Nothing is verified yet.
    pub fn new(settings: TokenSettings, secret: PrincipalKey) -> Tokens {
        Tokens { settings, secret, verified: Findings::new(REMEMBERED_BYTES) }
    }

    /// The claims of a token that holds now.
    pub fn claims(&self, token: &[u8], now: SystemTime) -> Option<Arc<Claims>> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let digest = *blake3::keyed_hash(&self.secret.0, token).as_bytes();
        let claims = match self.verified.get(&digest) {
            Some(claims) => claims,
            None => {
                let claims = Arc::new(self.settings.verify(token, now)?);
                self.verified.put(digest, claims.clone(), size_of::<Claims>() + json_bytes(&claims.values));
                claims
            }
        };
        (now < claims.expires).then_some(claims)
    }

    /// The claims of a token that holds at another moment than the present. It is not remembered: it may not have begun.
    pub fn claims_at(&self, token: &[u8], then: SystemTime) -> Option<Arc<Claims>> {
        let token = (token.len() <= MAX_TOKEN_BYTES).then_some(token)?;
        self.settings.verify(token, then).map(Arc::new)
    }
}

impl TokenSettings {
    /// Signature, times, issuer and audience. `None`: it proves nothing.
    fn verify(&self, token: &[u8], now: SystemTime) -> Option<Claims> {
        let header = decode_header(token).ok()?;
        // RFC 7515 §4.1.11: what must be understood is not.
        if header.crit.is_some() {
            return None;
        }
        let named = header.kid.as_deref();
        let fitting = |key: &&VerifyingKey| {
            key.algorithms.contains(&header.alg) && (named.is_none() || key.id.is_none() || key.id.as_deref() == named)
        };
        let mut validation = Validation::new(header.alg);
        // Times are judged below, by the clock that is given; so are issuer and audience, which may not be missing.
        validation.required_spec_claims.clear();
        (validation.validate_exp, validation.validate_aud) = (false, false);
        let verified = |key: &VerifyingKey| decode::<Map<String, Value>>(token, &key.key, &validation).ok();
        let values = self.keys.iter().filter(fitting).find_map(verified)?.claims;
        self.judge(values, now)
    }

    fn judge(&self, values: Map<String, Value>, now: SystemTime) -> Option<Claims> {
        // A token without an end would be believed for ever.
        let expires = time(values.get("exp")?)?.checked_add(self.leeway)?;
        let begun = match values.get("nbf") {
            Some(nbf) => time(nbf)? <= now.checked_add(self.leeway)?,
            None => true,
        };
        let fits = begun
            && now < expires
            && one_of(values.get("iss"), &self.issuers)
            && one_of(values.get("aud"), &self.audiences);
        fits.then_some(Claims { expires, values })
    }
}

/// `NumericDate` (RFC 7519 §2); fractions are cut off.
fn time(value: &Value) -> Option<SystemTime> {
    let seconds = value.as_u64().or_else(|| {
        let seconds = value.as_f64().filter(|seconds| (0.0..1e15).contains(seconds))?;
        Some(seconds as u64)
    })?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

fn one_of(value: Option<&Value>, wanted: &[String]) -> bool {
    let is = |value: &Value| value.as_str().is_some_and(|text| wanted.iter().any(|want| want == text));
    wanted.is_empty()
        || match value {
            Some(Value::Array(values)) => values.iter().any(is),
            Some(value) => is(value),
            None => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    use serde_json::json;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const OTHER: &[u8] = b"fedcba9876543210fedcba9876543210";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn settings() -> TokenSettings {
        let file = json!({"keys": [{"kty": "oct", "kid": "one", "alg": "HS256", "k": base64url(SECRET)}]});
        TokenSettings {
            keys: keys::parse(&file.to_string(), &[]).expect("a key"),
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway: Duration::ZERO,
        }
    }

    fn base64url(bytes: &[u8]) -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut text = String::new();
        for three in bytes.chunks(3) {
            let number =
                three.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
            (0..=three.len()).for_each(|i| text.push(DIGITS[(number >> (18 - 6 * i)) as usize & 63] as char));
        }
        text
    }

    fn signed(header: &Header, claims: &Value, secret: &[u8]) -> String {
        encode(header, claims, &EncodingKey::from_secret(secret)).expect("a token")
    }

    #[test]
    fn a_token_that_fails_proves_nothing() {
        let good = json!({"exp": 200, "tenant": "a"});
        let header = Header::new(Algorithm::HS256);
        let with = |change: fn(&mut Header)| {
            let mut header = header.clone();
            change(&mut header);
            header
        };
        let check = |token: &str, now: u64, holds: bool, why: &str| {
            assert_eq!(settings().verify(token.as_bytes(), at(now)).is_some(), holds, "{why}");
        };
        let token = signed(&header, &good, SECRET);
        check(&token, 199, true, "whole");
        check(&token, 200, false, "expired");
        check(&signed(&header, &good, OTHER), 100, false, "another's key");
        check(&signed(&with(|h| h.kid = Some("one".into())), &good, SECRET), 100, true, "its key by name");
        check(&signed(&with(|h| h.kid = Some("two".into())), &good, SECRET), 100, false, "a key that is not known");
        check(
            &signed(&with(|h| h.alg = Algorithm::HS512), &good, SECRET),
            100,
            false,
            "an algorithm that the key is not for",
        );
        check(&signed(&with(|h| h.crit = Some(vec!["b64".into()])), &good, SECRET), 100, false, "critical (§4.1.11)");
        check(&signed(&header, &json!({"tenant": "a"}), SECRET), 100, false, "without an end");
        check(&signed(&header, &json!({"exp": "200"}), SECRET), 100, false, "an end that is no number");
        check(&signed(&header, &json!({"exp": 200, "nbf": 101}), SECRET), 100, false, "not yet");
        check(&signed(&header, &json!({"exp": 200, "nbf": 100}), SECRET), 100, true, "from now on");
        check(&signed(&header, &json!({"exp": 200, "nbf": "x"}), SECRET), 100, false, "a beginning that is no number");
        let parts: Vec<&str> = token.split('.').collect();
        let none = base64url(br#"{"alg":"none","typ":"JWT"}"#);
        let other_claims = base64url(json!({"exp": 200, "tenant": "b"}).to_string().as_bytes());
        check(&format!("{none}.{}.", parts[1]), 100, false, "unsigned");
        check(
            &format!("{}.{other_claims}.{}", parts[0], parts[2]),
            100,
            false,
            "other claims under the same signature",
        );
        check(&format!("{token}x"), 100, false, "a longer signature");
        check(&format!("{}.{}", parts[0], parts[1]), 100, false, "no signature");
        check("", 100, false, "nothing");
    }

    #[test]
    fn issuer_and_audience_may_not_be_missing() {
        let strict = TokenSettings { issuers: vec!["us".into()], audiences: vec!["api".into()], ..settings() };
        let check = |claims: Value, holds: bool| {
            let token = signed(&Header::new(Algorithm::HS256), &claims, SECRET);
            assert_eq!(strict.verify(token.as_bytes(), at(100)).is_some(), holds, "{claims}");
        };
        check(json!({"exp": 200, "iss": "us", "aud": "api"}), true);
        check(json!({"exp": 200, "iss": "us", "aud": ["web", "api"]}), true);
        check(json!({"exp": 200, "iss": "us"}), false);
        check(json!({"exp": 200, "aud": "api"}), false);
        check(json!({"exp": 200, "iss": "them", "aud": "api"}), false);
        check(json!({"exp": 200, "iss": "us", "aud": "web"}), false);
    }

    #[test]
    fn what_was_verified_ends_with_its_time() {
        let tokens = Tokens::new(TokenSettings { leeway: Duration::from_secs(5), ..settings() }, PrincipalKey([7; 32]));
        let token = signed(&Header::new(Algorithm::HS256), &json!({"exp": 200}), SECRET);
        for (now, holds) in [(100, true), (204, true), (205, false), (100, true)] {
            assert_eq!(tokens.claims(token.as_bytes(), at(now)).is_some(), holds, "at {now}");
        }
        assert!(tokens.claims(&vec![b'a'; MAX_TOKEN_BYTES + 1], at(100)).is_none());
    }
}
