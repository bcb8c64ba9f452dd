//! How a route keeps answers, as it is configured.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use crate::asker::facet::{Facet, FacetSource, Worth};
use crate::fields::harmless::is_harmless;
use crate::rules::template::Segment;

/// How a route keeps answers.
#[derive(Debug, Clone, PartialEq, Eq)]
// There is one for each route, and every hit reads it: a box would cost a look aside.
#[allow(clippy::large_enum_variant)]
pub enum Caching {
    /// Nothing is stored; the built-in policy `pass`, and what a route without a policy does.
    Pass,
    /// As the origin says by RFC 9111; the built-in policies `origin` and `rfc9111`.
    Http(AsOrigin),
    /// A policy that the operator named.
    Named(NamedPolicy),
}

/// A built-in policy that does as the origin says, with what a route may add to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsOrigin {
    /// What counts as a credential.
    pub credentials: Credentials,
    /// See [`NamedPolicy::strip_cookies`]; none under `rfc9111`, which keeps `Set-Cookie` as any field.
    pub strip_cookies: Vec<String>,
    /// See [`NamedPolicy::secret_fields`].
    pub secret_fields: Vec<String>,
}

/// What counts as a credential under the built-in policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials {
    /// `Authorization` and every cookie that is neither ignored nor for affinity (`origin`).
    AuthorizationAndCookies,
    /// `Authorization` alone, by the letter of RFC 9111 §3.5 (`rfc9111`).
    AuthorizationOnly,
}

/// An entry of `policies:` with a route's overrides applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPolicy {
    /// Who may have a stored answer. There is no default.
    pub share: Share,
    /// What must hold on every request before anything stored is used for it.
    pub access: Option<Access>,
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
    /// Cookies whose setting does not hinder an answer from being kept: whoever caused its fetch is told to set them, nobody
    /// else. A name may end in `*`.
    pub strip_cookies: Vec<String>,
    /// Fields of requests that hold credentials and are neither keyed nor sent: what differs by them is not for all.
    pub unsent: Vec<HeaderName>,
    /// Fields of answers that hand out credentials, beside the known ones; in lower case, and a name may end in `*`.
    pub secret_fields: Vec<String>,
    /// Whether an origin that says of an answer that it is over on arrival forbids sharing it.
    pub expired: Expired,
    /// How long a principal may be served from the store alone before one request of theirs goes to the origin, so that a
    /// session which slides there does not end; `None` never sends one for that.
    pub touch: Option<Duration>,
    /// What clients say to have their answers fresher than the policy has them.
    pub client_no_cache: ClientNoCache,
}

impl NamedPolicy {
    /// Whether `Accept` is keyed and sent whatever the origin says. What is listed by media type is what it is; only an origin that
    /// says so has several.
    pub fn keys_accept(&self) -> bool {
        self.types.is_empty() && !self.vary.contains(&http::header::ACCEPT)
    }
}

/// What a client's wish for a fresher answer means: `no-cache`, `max-age`, `min-fresh` (RFC 9111 §5.2.1, which caches may heed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientNoCache {
    /// The origin is asked.
    #[default]
    Heeded,
    /// Nothing: what is fresh by the policy is served.
    Ignored,
}

/// What an origin's word that an answer is over on arrival means for those who would share it: `Pragma: no-cache`, an `Expires`
/// that is past, `max-age=0`, `s-maxage=0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expired {
    /// It is not shared.
    #[default]
    Heeded,
    /// The operator says that it is written by habit: the policy's `ttl` holds.
    Overridden,
}

/// Who may have a stored answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Share {
    /// Everybody. Credentials are neither keyed nor sent.
    Public,
    /// Everybody who shows no credentials; the others pass.
    Anonymous,
    /// The same principal only. Sensitive.
    Principal,
    /// Everybody of whom the same is known. Sensitive.
    Facets(Arc<[Facet]>),
    /// Everybody who is let pass by [`NamedPolicy::access`]. Sensitive.
    Permitted,
}

/// What must hold on every request before anything stored is used for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Access {
    /// A verified token that has not expired.
    Token,
    /// The origin's yes.
    Ask {
        /// To what.
        about: Ask,
        /// For how long a yes is kept for the same principal; zero asks every time.
        keep: Duration,
        /// Which answer is a yes.
        yes: Yes,
    },
}

/// Which answer of the origin's is a yes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Yes {
    /// 204, or another success that is not HTML: form logins and portals answer 200 with their page to sign in at. JSON that
    /// says no by a usual name is none either.
    #[default]
    Usual,
    /// This status and no other.
    Status(u16),
    /// A success whose JSON holds `true` under this name; dots look further in.
    Field(String),
}

/// What the origin is asked for, with the caller's own credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// This path, with the parts of the route's.
    Path(AskPath),
    /// The same again, on the condition that it is not what is stored: 304 is a yes too.
    Same,
}

/// `/authz/<id>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskPath {
    /// The segments; parts are those of the route.
    pub segments: Vec<Segment>,
    /// As it was written: some origins tell `/a` from `/a/`.
    pub slash: Slash,
}

/// How a path ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slash {
    /// With a slash.
    Trailing,
    /// Without.
    None,
}

impl Caching {
    /// By what kind of policy: as the origin says, with these credentials.
    pub fn as_origin(credentials: Credentials) -> Caching {
        Caching::Http(AsOrigin { credentials, strip_cookies: Vec::new(), secret_fields: Vec::new() })
    }

    /// The cookies whose setting does not hinder an answer from being kept.
    pub(crate) fn strip_cookies(&self) -> &[String] {
        match self {
            Caching::Pass => &[],
            Caching::Http(http) => &http.strip_cookies,
            Caching::Named(policy) => &policy.strip_cookies,
        }
    }

    /// The fields of answers that hand out credentials, beside the known ones.
    pub(crate) fn secret_fields(&self) -> &[String] {
        match self {
            Caching::Pass => &[],
            Caching::Http(http) => &http.secret_fields,
            Caching::Named(policy) => &policy.secret_fields,
        }
    }

    /// Answers are about a person: downstream caches must not keep them.
    pub fn is_sensitive(&self) -> bool {
        matches!(self, Caching::Named(policy) if policy.share.is_sensitive())
    }

    /// Who shares answers, in few words.
    pub fn share_text(&self) -> String {
        match self {
            Caching::Named(policy) => policy.share.to_string(),
            Caching::Http(_) => "as the origin says".to_owned(),
            Caching::Pass => "nothing is stored".to_owned(),
        }
    }
}

impl NamedPolicy {
    /// Who may have an answer depends on a token, so that no other credential may have brought it about.
    pub fn relies_on_token(&self) -> bool {
        let by_claim = |facet: &Facet| matches!(facet.source, FacetSource::Jwt(_));
        self.access == Some(Access::Token) || self.share.facets().iter().any(by_claim)
    }

    /// The keyed fields by which an answer may be narrowed: what the origin is asked about somebody is asked with them.
    pub fn narrowing(&self) -> impl Iterator<Item = &HeaderName> {
        self.vary.iter().filter(|name| !is_harmless(name))
    }

    /// Who may have an answer depends on a certificate and on nothing that the origin sees too. It is not told of certificates,
    /// so what other credentials of the same request bring about may be another organisation's.
    pub fn relies_on_certificate_alone(&self) -> bool {
        let facets = self.share.facets();
        let is_cert = |facet: &Facet| matches!(facet.source, FacetSource::Cert(_));
        let mut proven = facets.iter().filter(|facet| facet.source.worth() == Worth::Proven);
        self.access.is_none() && facets.iter().any(is_cert) && proven.all(is_cert)
    }
}

impl Share {
    /// Answers are about a person: downstream caches must not keep them.
    pub fn is_sensitive(&self) -> bool {
        matches!(self, Share::Principal) || self.is_between_people()
    }

    /// One person's answer reaches another who shows credentials of their own.
    pub fn is_between_people(&self) -> bool {
        matches!(self, Share::Facets(_) | Share::Permitted)
    }

    /// By which facets; none where it is not by facets.
    pub fn facets(&self) -> &[Facet] {
        match self {
            Share::Facets(facets) => facets,
            _ => &[],
        }
    }
}

/// As it is written in the configuration.
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Share::Public => f.write_str("public"),
            Share::Anonymous => f.write_str("anonymous"),
            Share::Principal => f.write_str("principal"),
            Share::Permitted => f.write_str("permitted"),
            Share::Facets(facets) => {
                let names: Vec<&str> = facets.iter().map(|facet| facet.name.as_str()).collect();
                write!(f, "[{}]", names.join(", "))
            }
        }
    }
}

/// As it is written in the configuration.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Access::Token => f.write_str("token"),
            Access::Ask { about, keep, yes } => {
                match about {
                    Ask::Same => f.write_str("{ask: self")?,
                    Ask::Path(path) => write!(f, "{{ask: {path}")?,
                }
                match yes {
                    Yes::Usual => {}
                    Yes::Status(status) => write!(f, ", yes: {status}")?,
                    Yes::Field(name) => write!(f, ", yes: {{json: {name}}}")?,
                }
                write!(f, ", for: {}s}}", keep.as_secs_f64())
            }
        }
    }
}

impl fmt::Display for AskPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Literal(text) => write!(f, "/{text}")?,
                Segment::Part(_, name) => write!(f, "/<{name}>")?,
            }
        }
        f.write_str(if self.slash == Slash::Trailing || self.segments.is_empty() { "/" } else { "" })
    }
}

impl AskPath {
    /// The path to ask for; `None` when a part is missing.
    pub fn fill<'p>(&self, part: &dyn Fn(&str) -> Option<&'p str>) -> Option<String> {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            path.push_str(match segment {
                Segment::Literal(text) => text,
                Segment::Part(_, name) => part(name)?,
            });
        }
        if self.slash == Slash::Trailing || path.is_empty() {
            path.push('/');
        }
        Some(path)
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
