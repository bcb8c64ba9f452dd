//! Who is asking: which parts of a request are credentials, which of them make up the principal, which cookies mean nothing.

use http::HeaderName;

/// The `identity:` of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// `Authorization` is part of the principal.
    pub authorization: bool,
    /// Cookies that are part of the principal, by exact name.
    pub cookies: Vec<String>,
    /// Further headers that are part of the principal.
    pub headers: Vec<HeaderName>,
    /// Cookies that are neither keyed nor sent on cached fetches; a name may end in `*`.
    pub ignore_cookies: Vec<String>,
}
