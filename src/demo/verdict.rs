//! What became of a request, in a word: read from the `Cache-Status` (RFC 9211) that came with its answer.

use std::fmt;

/// The word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// From memory.
    Hit,
    /// From memory although stale, while it is fetched anew.
    Stale,
    /// From the origin, and stored.
    Miss,
    /// From the origin, for this client only.
    Pass,
    /// What was named, or what a write touched, is gone.
    Purged,
    /// The answer does not say, or not this.
    Unknown,
}

/// Whether the answer was brought by a fetch that another client's request had begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waited {
    /// It was.
    ForAnother,
    /// It was not.
    No,
}

impl Verdict {
    /// Reads Stent's own member: `stent; hit; ttl=300`, `stent; fwd=uri-miss; fwd-status=200; stored`.
    pub(super) fn of(cache_status: &str) -> Verdict {
        let mut parts = cache_status.split(';').map(str::trim);
        if parts.next() != Some("stent") {
            return Verdict::Unknown;
        }
        let parts: Vec<&str> = parts.collect();
        let value = |name: &str| parts.iter().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        if parts.contains(&"hit") {
            return if value("ttl").is_some_and(|ttl| ttl.starts_with('-')) { Verdict::Stale } else { Verdict::Hit };
        }
        match value("fwd") {
            Some("bypass" | "method" | "request") => Verdict::Pass,
            Some("uri-miss" | "vary-miss" | "partial" | "miss" | "stale") if parts.contains(&"stored") => Verdict::Miss,
            _ => Verdict::Unknown,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Verdict::Hit => "HIT",
            Verdict::Stale => "STALE",
            Verdict::Miss => "MISS",
            Verdict::Pass => "PASS",
            Verdict::Purged => "PURGED",
            Verdict::Unknown => "?",
        }
    }
}

impl Waited {
    /// Reads the same.
    pub(super) fn of(cache_status: &str) -> Waited {
        match cache_status.split(';').any(|part| part.trim() == "collapsed") {
            true => Waited::ForAnother,
            false => Waited::No,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_status_in_a_word() {
        let check = |text: &str, want: Verdict| assert_eq!(Verdict::of(text), want, "{text}");
        check("stent; hit; ttl=299", Verdict::Hit);
        check("stent; hit; ttl=-3; detail=stale-while-revalidate", Verdict::Stale);
        check("stent; fwd=uri-miss; fwd-status=200; stored", Verdict::Miss);
        check("stent; fwd=miss; fwd-status=200; stored; detail=purged", Verdict::Miss);
        check("stent; fwd=uri-miss; fwd-status=200; detail=set-cookie", Verdict::Unknown);
        check("stent; fwd=miss; detail=connect", Verdict::Unknown);
        check("stent; fwd=bypass; detail=signed-in", Verdict::Pass);
        check("stent; fwd=method", Verdict::Pass);
        check("another; hit; ttl=1", Verdict::Unknown);
        check("", Verdict::Unknown);
    }

    #[test]
    fn who_waited() {
        assert_eq!(Waited::of("stent; fwd=uri-miss; fwd-status=200; stored; collapsed"), Waited::ForAnother);
        assert_eq!(Waited::of("stent; fwd=uri-miss; fwd-status=200; stored"), Waited::No);
    }
}
