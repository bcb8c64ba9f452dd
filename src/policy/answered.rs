//! An answer of an origin as the judgement sees it.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};

use crate::entry::head::Credentialed;

/// An answer's head, as far as the judgement needs it.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The path that was asked for, in normal form.
    pub path: &'a str,
    /// Whether the request showed credentials that are no part of the key (built-in policies).
    pub credentialed: Credentialed,
    /// The cookies that protect forms, as pairs, where they were sent and are a part of the key.
    pub form_cookies: &'a [Vec<u8>],
    /// When it arrived.
    pub arrived: SystemTime,
    /// From sending the request to receiving the head.
    pub delay: Duration,
}

/// What the caches behind us are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Downstream {
    /// What the origin said.
    AsOrigin,
    /// `private, no-cache`: a purge here would not reach them.
    Private,
    /// `public, max-age=…`, from `types:`; immutable when the name is fingerprinted.
    Public {
        /// For how long they may keep it.
        max_age: Duration,
        /// Whether they need never ask again.
        fingerprinted: Fingerprinted,
    },
}

impl Downstream {
    /// The `Cache-Control` that is sent in place of the origin's, if one is.
    pub fn cache_control(self) -> Option<String> {
        match self {
            Downstream::AsOrigin => None,
            Downstream::Private => Some("private, no-cache".to_owned()),
            Downstream::Public { max_age, fingerprinted } => {
                let immutable = if fingerprinted == Fingerprinted::Yes { ", immutable" } else { "" };
                Some(format!("public, max-age={}{immutable}", max_age.as_secs()))
            }
        }
    }
}

/// Whether a file's name carries a hash of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fingerprinted {
    /// It never changes under this name.
    Yes,
    /// It may.
    No,
}
