//! The judgement of the cache: four pure questions, asked in the order of a request's life.
//!
//! | asked when | function | answers |
//! |---|---|---|
//! | request in hand | [`plan::plan`] | [`plan::Plan`] |
//! | stored entry in hand | [`reuse::reuse`] | [`reuse::Reuse`] |
//! | origin's head in hand | [`admit::admit`] | [`admit::Admit`] |
//! | origin failed | [`rescue::rescue`] | [`rescue::Rescue`] |
//!
//! `now` is an argument, nothing here does I/O, and every answer carries a reason whose one spelling (`as_str`) is the
//! `Cache-Status` detail, the metric's label and the text that people read.

pub mod admit;
pub mod directives;
pub mod plan;
pub mod rescue;
pub mod reuse;
pub mod sharing;
pub mod validate;

use std::time::Duration;

use http::HeaderName;

/// How a route keeps answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caching {
    /// Nothing is stored; the built-in policy `pass`, and what a route without a policy does.
    Pass,
    /// As the origin says by RFC 9111; the built-in policies `origin` and `rfc9111`.
    Http(Credentials),
    /// A policy that the operator named.
    Named(NamedPolicy),
}

/// What counts as a credential under the built-in policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// `Authorization` and every cookie that is not ignored (`origin`).
    AuthorizationAndCookies,
    /// `Authorization` alone, by the letter of RFC 9111 §3.5 (`rfc9111`).
    AuthorizationOnly,
}

/// An entry of `policies:` with a route's overrides applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPolicy {
    /// Who may have a stored answer. There is no default.
    pub share: Share,
    /// Replaces the origin's lifetime, never its `no-store` or `no-cache`; `None` believes the origin.
    pub ttl: Option<Duration>,
    /// How long after its lifetime an answer may be served while it is fetched anew (RFC 5861 §3); `None` believes the origin.
    pub stale_while_revalidate: Option<Duration>,
    /// How long after its lifetime an answer may be served because the origin fails (RFC 5861 §4); `None` believes the origin.
    pub stale_if_error: Option<Duration>,
    /// Nothing older is ever delivered, all stale windows included.
    pub ceiling: Option<Duration>,
    /// Lifetimes by media type; types that are not listed pass. Empty: all types take `ttl`.
    pub types: Vec<(TypePattern, Duration)>,
    /// Request headers that are keyed, and therefore sent, in lower case and sorted.
    pub vary: Vec<HeaderName>,
}

/// Who may have a stored answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// Everybody. Credentials are neither keyed nor sent.
    Public,
    /// Everybody who shows no credentials; the others pass.
    Anonymous,
    /// The same principal only. Sensitive.
    Principal,
}

impl Caching {
    /// Answers are about a person: downstream caches must not keep them.
    pub fn is_sensitive(&self) -> bool {
        matches!(self, Caching::Named(policy) if policy.share.is_sensitive())
    }

    /// Who shares answers, in few words.
    pub fn share_text(&self) -> &'static str {
        match self {
            Caching::Named(policy) => policy.share.as_str(),
            Caching::Http(_) => "as the origin says",
            Caching::Pass => "nothing is stored",
        }
    }
}

impl Share {
    /// Answers are about a person: downstream caches must not keep them.
    pub fn is_sensitive(self) -> bool {
        matches!(self, Share::Principal)
    }

    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Share::Public => "public",
            Share::Anonymous => "anonymous",
            Share::Principal => "principal",
        }
    }
}

/// A key of `types:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypePattern {
    /// `text/css`, in lower case.
    Exact(String),
    /// `image/*`: holds `image`.
    Family(String),
    /// `fingerprinted`: the file's name carries a hash of its content, so it never changes.
    Fingerprinted,
}
