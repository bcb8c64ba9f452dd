//! The keys that tokens are verified with, from a JSON Web Key Set (RFC 7517).
//!
//! What a key is for follows from its type: RSA signs with RS and PS, P-256 with ES256, P-384 with ES384, Ed25519 with EdDSA,
//! a shared secret with HS. A key that names its algorithm is for that one alone. Keys that encrypt, or of types that are
//! not known, are left out: issuers publish those beside the others.

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use serde_json::Value;

/// How a token is signed.
pub use jsonwebtoken::Algorithm;

/// A key, and what it may verify.
#[derive(Clone)]
pub struct VerifyingKey {
    /// Its `kid`.
    pub id: Option<String>,
    /// Tokens that name another algorithm are not verified with it.
    pub algorithms: Vec<Algorithm>,
    /// The key itself.
    pub key: DecodingKey,
    /// Of the key as it was written.
    digest: [u8; 32],
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &VerifyingKey) -> bool {
        (&self.id, &self.algorithms, self.digest) == (&other.id, &other.algorithms, other.digest)
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("id", &self.id)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// The most keys of a file: a token without a key's name is tried with each.
pub const MAX_KEYS: usize = 32;

/// Shorter secrets can be guessed (RFC 7518 §3.2).
const SHORTEST_SECRET: usize = 32;

/// The names of the algorithms that can be listed.
pub const ALGORITHMS: [(&str, Algorithm); 12] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
    ("HS256", Algorithm::HS256),
    ("HS384", Algorithm::HS384),
    ("HS512", Algorithm::HS512),
];

/// Reads a key set; `allowed` narrows the algorithms, empty does not. `Err` says what is wrong with the file.
pub fn parse(text: &str, allowed: &[Algorithm]) -> Result<Vec<VerifyingKey>, String> {
    let set: Value = serde_json::from_str(text)
        .map_err(|error| format!("it is not JSON (line {}, column {})", error.line(), error.column()))?;
    let Some(listed) = set.get("keys").and_then(Value::as_array) else {
        return Err("it has no list `keys`".to_owned());
    };
    if listed.len() > MAX_KEYS {
        return Err(format!("it has more than {MAX_KEYS} keys"));
    }
    let mut keys = Vec::new();
    for (index, value) in listed.iter().enumerate() {
        let at = |message: &str| format!("key {} {message}", index + 1);
        let Ok(jwk) = serde_json::from_value::<Jwk>(value.clone()) else {
            return Err(at("is not a JSON web key"));
        };
        if jwk.common.public_key_use.as_ref().is_some_and(|used| *used != PublicKeyUse::Signature) {
            continue;
        }
        let mut algorithms = algorithms(&jwk);
        if let Some(only) = value.get("alg").and_then(Value::as_str) {
            algorithms.retain(|algorithm| ALGORITHMS.contains(&(only, *algorithm)));
        }
        algorithms.retain(|algorithm| allowed.is_empty() || allowed.contains(algorithm));
        if algorithms.is_empty() {
            continue;
        }
        let key = DecodingKey::from_jwk(&jwk).map_err(|_| at("cannot be read"))?;
        let is_secret = matches!(jwk.algorithm, AlgorithmParameters::OctetKey(_));
        if is_secret && key.try_get_as_bytes().is_ok_and(|secret| secret.len() < SHORTEST_SECRET) {
            return Err(at("is a secret of fewer than 32 bytes, which could be guessed"));
        }
        let digest = *blake3::hash(value.to_string().as_bytes()).as_bytes();
        keys.push(VerifyingKey { id: jwk.common.key_id, algorithms, key, digest });
    }
    match keys.is_empty() {
        true => Err("it has no key that can verify a token".to_owned()),
        false => Ok(keys),
    }
}

/// Whether whoever reads this key set could sign a token: a shared secret, or the private part of a key pair.
pub fn holds_a_secret(text: &str) -> bool {
    let set: Value = serde_json::from_str(text).unwrap_or_default();
    let listed = set.get("keys").and_then(Value::as_array);
    listed.is_some_and(|listed| listed.iter().any(|key| key.get("k").is_some() || key.get("d").is_some()))
}

fn algorithms(jwk: &Jwk) -> Vec<Algorithm> {
    use Algorithm::{ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512};
    match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => vec![RS256, RS384, RS512, PS256, PS384, PS512],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => vec![ES256],
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => vec![ES384],
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => vec![EdDSA],
        AlgorithmParameters::OctetKey(_) => vec![HS256, HS384, HS512],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_for_what_its_type_says() {
        let secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY";
        let check = |keys: &str, allowed: &[Algorithm], want: Result<usize, &str>| {
            let got = parse(&format!(r#"{{"keys": [{keys}]}}"#), allowed);
            let got = got.map(|keys| keys.iter().map(|key| key.algorithms.len()).sum());
            assert_eq!(got, want.map_err(str::to_owned), "{keys}");
        };
        let none = Err("it has no key that can verify a token");
        check(&format!(r#"{{"kty":"oct","k":"{secret}"}}"#), &[], Ok(3));
        check(&format!(r#"{{"kty":"oct","k":"{secret}","alg":"HS384"}}"#), &[], Ok(1));
        check(&format!(r#"{{"kty":"oct","k":"{secret}","alg":"RS256"}}"#), &[], none);
        check(&format!(r#"{{"kty":"oct","k":"{secret}","use":"enc"}}"#), &[], none);
        check(&format!(r#"{{"kty":"oct","k":"{secret}"}}"#), &[Algorithm::HS512], Ok(1));
        check(&format!(r#"{{"kty":"oct","k":"{secret}"}}"#), &[Algorithm::RS256], none);
        check(r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#, &[], Ok(6));
        check(r#"{"kty":"EC","crv":"P-256","x":"AQAB","y":"AQAB"}"#, &[], Ok(1));
        check(r#"{"kty":"OKP","crv":"Ed25519","x":"AQAB"}"#, &[], Ok(1));
        check(
            r#"{"kty":"oct","k":"AQAB"}"#,
            &[],
            Err("key 1 is a secret of fewer than 32 bytes, which could be guessed"),
        );
        check("", &[], none);
        check(r#"{"kty":"new"}"#, &[], none);
        check("1", &[], Err("key 1 is not a JSON web key"));
        assert_eq!(parse("{}", &[]).unwrap_err(), "it has no list `keys`");
        assert_eq!(parse("{", &[]).unwrap_err(), "it is not JSON (line 1, column 1)");
    }
}
