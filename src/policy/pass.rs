//! Why a request is passed: the reasons that the first question may give, and those that come up on the way.

/// Why a request is passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PassReason {
    /// The route has no cache policy.
    NoPolicy,
    /// `cache.mode: bypass`.
    Bypass,
    /// An operator switched the route to pass for a while.
    OperatorBypass,
    /// NTLM or Negotiate was seen on its connection, which is somebody's now.
    SignedInConnection,
    /// Only GET and HEAD are looked up.
    Method,
    /// It brings a body.
    Body,
    /// It asks for another protocol.
    Upgrade,
    /// `Cache-Control: no-store` in the request.
    NoStore,
    /// `If-Match`, `If-Unmodified-Since`: the origin's to judge.
    Precondition,
    /// A part of an answer that is not stored.
    Range,
    /// A cookie that is neither part of the principal nor ignored, nor for affinity.
    Cookie,
    /// A field that may say who asks, or narrow what they see, and is neither keyed nor ignored.
    Header,
    /// A credential in the path or the query.
    UrlCredential,
    /// A signature over this very request.
    Signed,
    /// `Authorization` where it is no part of the principal.
    Authorization,
    /// Signed in, on a route for those who are not.
    SignedIn,
    /// Nobody, on a route whose answers belong to somebody.
    NoPrincipal,
    /// No token that holds, on a route where one must.
    NoToken,
    /// Other credentials beside the token: the origin might believe those.
    BesideToken,
    /// Other credentials beside the certificate: the origin sees only those.
    BesideCertificate,
    /// A facet that answers are shared by has no value.
    NoFacet,
    /// The origin did not let it pass; its refusal is the answer.
    Denied,
    /// The path can be read in two ways.
    AmbiguousPath,
    /// A query parameter that the route does not list.
    QueryParameter,
    /// A listed query parameter that is not a number.
    QueryNumber,
    /// More query parameters than a key may have.
    QueryLength,
    /// Remembered: the origin's answers here cannot be stored.
    Uncacheable,
    /// What is stored is not open to requests with credentials.
    Credentials,
    /// It was asked again as often as it may be.
    Rounds,
    /// What it waited for was another's, and is not fresh.
    NotFresh,
    /// What it waited for was its asker's alone.
    NotShared,
    /// HEAD, and nothing is stored.
    HeadMiss,
}

impl PassReason {
    /// One spelling for `Cache-Status`, metrics, logs and people.
    pub fn as_str(self) -> &'static str {
        match self {
            PassReason::NoPolicy => "no-policy",
            PassReason::Bypass => "cache-bypassed",
            PassReason::OperatorBypass => "operator-bypass",
            PassReason::SignedInConnection => "signed-in-connection",
            PassReason::Method => "method",
            PassReason::Body => "request-body",
            PassReason::Upgrade => "upgrade",
            PassReason::NoStore => "request-no-store",
            PassReason::Precondition => "precondition",
            PassReason::Range => "range",
            PassReason::Cookie => "unknown-cookie",
            PassReason::Header => "unknown-header",
            PassReason::UrlCredential => "url-credential",
            PassReason::Signed => "signed-request",
            PassReason::Authorization => "unkeyed-authorization",
            PassReason::SignedIn => "signed-in",
            PassReason::NoPrincipal => "no-principal",
            PassReason::NoToken => "no-valid-token",
            PassReason::BesideToken => "credentials-beside-token",
            PassReason::BesideCertificate => "credentials-beside-certificate",
            PassReason::NoFacet => "facet-without-value",
            PassReason::Denied => "access-denied",
            PassReason::AmbiguousPath => "ambiguous-path",
            PassReason::QueryParameter => "unlisted-query-parameter",
            PassReason::QueryNumber => "query-not-a-number",
            PassReason::QueryLength => "too-many-query-parameters",
            PassReason::Uncacheable => "remembered-uncacheable",
            PassReason::Credentials => "credentials",
            PassReason::Rounds => "asked-again-too-often",
            PassReason::NotFresh => "not-fresh",
            PassReason::NotShared => "not-shared",
            PassReason::HeadMiss => "head-not-stored",
        }
    }
}
