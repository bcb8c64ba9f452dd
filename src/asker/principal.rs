//! The digest of a principal.

use std::fmt;

use http::{HeaderMap, header};

use crate::asker::identity::{CookieRole, Identity};
use crate::entry::key::{self, KeyBuf};
use crate::fields::cookies::cookies;

/// The secret that principals' digests are keyed with, so that a key never holds a token. One per process.
#[derive(Clone)]
pub struct PrincipalKey(pub [u8; 32]);

impl fmt::Debug for PrincipalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrincipalKey(…)")
    }
}

/// The digest of all parts of the principal that are present, together.
pub fn principal(headers: &HeaderMap, identity: &Identity, secret: &PrincipalKey) -> [u8; 32] {
    let mut shown = KeyBuf::new();
    if identity.authorization {
        key::write_header(&mut shown, headers, &header::AUTHORIZATION);
    }
    for field in headers.get_all(header::COOKIE) {
        for cookie in cookies(field) {
            if identity.cookie(cookie.name) == CookieRole::Principal {
                shown.push(b';');
                shown.extend_from_slice(cookie.pair);
                shown.push(0);
            }
        }
    }
    for name in &identity.headers {
        key::write_header(&mut shown, headers, name);
    }
    *blake3::keyed_hash(&secret.0, &shown).as_bytes()
}
