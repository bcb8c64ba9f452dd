//! What the `admin:` section says, validated.

use std::net::SocketAddr;

/// The second listener: health, metrics, purges.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminSettings {
    /// Where it listens; beyond loopback only with tokens.
    pub listen: SocketAddr,
    /// Who may do what; empty on loopback means that everybody on this machine may.
    pub tokens: Vec<AdminToken>,
}

/// A named, scoped token.
#[derive(Clone, PartialEq, Eq)]
pub struct AdminToken {
    /// The name under which its use is logged.
    pub name: String,
    /// The secret, as `Authorization: Bearer` carries it.
    pub secret: String,
    /// What it opens.
    pub may: Vec<TokenScope>,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenScope {
    /// `GET` of status, routes, upstreams and metrics, and explanations.
    Read,
    /// `POST /api/v1/purge`, and the calls of other caches that do the same.
    Purge,
    /// `POST /api/v1/reload`.
    Reload,
    /// `POST` and `DELETE /api/v1/bypass`.
    Bypass,
}

impl TokenScope {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            TokenScope::Read => "read",
            TokenScope::Purge => "purge",
            TokenScope::Reload => "reload",
            TokenScope::Bypass => "bypass",
        }
    }
}

impl std::fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminToken").field("name", &self.name).field("may", &self.may).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AdminSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminSettings").field("listen", &self.listen).field("tokens", &self.tokens).finish()
    }
}
