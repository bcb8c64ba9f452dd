//! The fourth question: the origin failed; may the stale entry be served in its place?

use std::time::{Duration, Instant};

use crate::entry::head::{Staleness, Vital};
use crate::entry::purge::Standing;
use crate::ground::mutants::{Rule, is_off};
use crate::policy::reuse::Freshness;

/// The answer to the fourth question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rescue {
    /// Serve the stale entry (RFC 5861 §4).
    ServeStale(Freshness),
    /// Tell the client.
    Fail,
}

/// Answers the fourth question. A hard-purged entry never rescues. `asked` is how stale the request itself would have it
/// (RFC 5861 §4); its scope is that request alone.
pub fn rescue(vital: &Vital, standing: Standing, asked: Option<Duration>, now: Instant) -> Rescue {
    let age = vital.age(now);
    let life = &vital.lifetime;
    let stale_for = age.saturating_sub(life.fresh_for);
    let allowed = (standing != Standing::Dead || is_off(Rule::Rescue))
        && life.staleness == Staleness::Allowed
        && age < life.ceiling
        && stale_for < life.stale_if_error.max(asked.unwrap_or_default());
    if allowed { Rescue::ServeStale(Freshness::of(age, life.fresh_for)) } else { Rescue::Fail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::head::Lifetime;
    use crate::policy::reuse::tests::{LIFE, vital};

    #[test]
    fn only_within_its_window_and_never_when_purged() {
        let now = Instant::now();
        let judge = |age, life, standing| {
            let then = now + Duration::from_secs(age);
            rescue(&vital(life, now), standing, None, then) != Rescue::Fail
        };
        let long = Lifetime { ceiling: Lifetime::NO_CEILING, ..LIFE };
        assert!(judge(299, long, Standing::Good), "RFC 5861 §4");
        assert!(!judge(300, long, Standing::Good));
        assert!(!judge(200, LIFE, Standing::Good), "the ceiling is lower");
        assert!(judge(150, LIFE, Standing::Soft));
        assert!(!judge(1, LIFE, Standing::Dead));
        assert!(!judge(150, Lifetime { staleness: Staleness::Forbidden, ..LIFE }, Standing::Good));
    }

    #[test]
    fn rfc5861_4_a_request_may_ask_for_it_where_staleness_is_not_forbidden() {
        let now = Instant::now();
        let short = Lifetime { stale_if_error: Duration::ZERO, ..LIFE };
        let judge = |age, life, standing, asked| {
            let (then, asked) = (now + Duration::from_secs(age), Some(Duration::from_secs(asked)));
            rescue(&vital(life, now), standing, asked, then) != Rescue::Fail
        };
        assert!(judge(150, short, Standing::Good, 51) && !judge(150, short, Standing::Good, 50));
        assert!(judge(150, LIFE, Standing::Good, 0), "the answer's own is not narrowed");
        assert!(!judge(180, short, Standing::Good, 1000), "the ceiling");
        assert!(!judge(150, Lifetime { staleness: Staleness::Forbidden, ..short }, Standing::Good, 1000));
        assert!(!judge(150, short, Standing::Dead, 1000));
    }
}
