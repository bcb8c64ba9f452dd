//! What the `log:` section says, validated.

use std::path::PathBuf;
use std::time::Duration;

/// What is written down about exchanges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// Where every exchange is written.
    pub access: AccessLines,
    /// From when on an exchange is slow; such are written even where the others are not. `None`: none is.
    pub slow: Option<Duration>,
    /// What lines tell of requests besides.
    pub include: Vec<Included>,
}

/// Where the access log goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLines {
    /// Nowhere; slow exchanges go to standard error.
    Off,
    /// Standard output.
    Stdout,
    /// Standard error, among the messages for people.
    Stderr,
    /// Appended to this file.
    File(PathBuf),
}

/// What a line tells of a request only if somebody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Included {
    /// The client's address; behind a trusted proxy the one that it names.
    Client,
    /// The host as it was asked for.
    Host,
    /// The path as it was asked for.
    Path,
    /// The query as it was asked for.
    Query,
}

impl Included {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Included::Client => "client",
            Included::Host => "host",
            Included::Path => "path",
            Included::Query => "query",
        }
    }
}

impl Default for LogSettings {
    fn default() -> LogSettings {
        LogSettings { access: AccessLines::Off, slow: Some(Duration::from_secs(2)), include: Vec::new() }
    }
}
