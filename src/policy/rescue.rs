//! The fourth question: the origin failed; may the stale entry be served in its place?

use crate::clock::Now;
use crate::entry::{Head, Staleness};
use crate::policy::reuse::Freshness;
use crate::store::purge::Standing;

/// The answer to the fourth question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rescue {
    /// Serve the stale entry (RFC 5861 §4).
    ServeStale(Freshness),
    /// Tell the client.
    Fail,
}

/// Answers the fourth question. A hard-purged entry never rescues.
pub fn rescue(head: &Head, standing: Standing, now: Now) -> Rescue {
    let age = head.age(now.instant);
    let life = &head.lifetime;
    let stale_for = age.saturating_sub(life.fresh_for);
    let allowed = standing != Standing::Dead
        && life.staleness == Staleness::Allowed
        && age < life.ceiling
        && stale_for < life.stale_if_error;
    if allowed { Rescue::ServeStale(Freshness::of(age, life.fresh_for)) } else { Rescue::Fail }
}
