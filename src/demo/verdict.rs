//! What became of a request, in a word: read from the `Cache-Status` (RFC 9211) that came with its answer.

use std::fmt;

/// The word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DemoVerdict {
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
pub(super) enum DemoWait {
    /// It was.
    ForAnother,
    /// It was not.
    No,
}

impl DemoVerdict {
    /// Reads Stent's own member: `stent; hit; ttl=300`, `stent; fwd=uri-miss; fwd-status=200; stored`.
    pub(super) fn of(cache_status: &str) -> DemoVerdict {
        let mut parts = cache_status.split(';').map(str::trim);
        if parts.next() != Some("stent") {
            return DemoVerdict::Unknown;
        }
        let parts: Vec<&str> = parts.collect();
        let value = |name: &str| parts.iter().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        if parts.contains(&"hit") {
            return if value("ttl").is_some_and(|ttl| ttl.starts_with('-')) {
                DemoVerdict::Stale
            } else {
                DemoVerdict::Hit
            };
        }
        match value("fwd") {
            Some("bypass" | "method" | "request") => DemoVerdict::Pass,
            Some("uri-miss" | "vary-miss" | "partial" | "miss" | "stale") if parts.contains(&"stored") => {
                DemoVerdict::Miss
            }
            _ => DemoVerdict::Unknown,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            DemoVerdict::Hit => "HIT",
            DemoVerdict::Stale => "STALE",
            DemoVerdict::Miss => "MISS",
            DemoVerdict::Pass => "PASS",
            DemoVerdict::Purged => "PURGED",
            DemoVerdict::Unknown => "?",
        }
    }
}

impl DemoWait {
    /// Reads the same.
    pub(super) fn of(cache_status: &str) -> DemoWait {
        match cache_status.split(';').any(|part| part.trim() == "collapsed") {
            true => DemoWait::ForAnother,
            false => DemoWait::No,
        }
    }
}

impl fmt::Display for DemoVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_status_in_a_word() {
        let check = |text: &str, want: DemoVerdict| assert_eq!(DemoVerdict::of(text), want, "{text}");
        check("stent; hit; ttl=299", DemoVerdict::Hit);
        check("stent; hit; ttl=-3; detail=stale-while-revalidate", DemoVerdict::Stale);
        check("stent; fwd=uri-miss; fwd-status=200; stored", DemoVerdict::Miss);
        check("stent; fwd=miss; fwd-status=200; stored; detail=purged", DemoVerdict::Miss);
        check("stent; fwd=uri-miss; fwd-status=200; detail=set-cookie", DemoVerdict::Unknown);
        check("stent; fwd=miss; detail=connect", DemoVerdict::Unknown);
        check("stent; fwd=bypass; detail=signed-in", DemoVerdict::Pass);
        check("stent; fwd=method", DemoVerdict::Pass);
        check("another; hit; ttl=1", DemoVerdict::Unknown);
        check("", DemoVerdict::Unknown);
    }

    #[test]
    fn who_waited() {
        assert_eq!(DemoWait::of("stent; fwd=uri-miss; fwd-status=200; stored; collapsed"), DemoWait::ForAnother);
        assert_eq!(DemoWait::of("stent; fwd=uri-miss; fwd-status=200; stored"), DemoWait::No);
    }
}
