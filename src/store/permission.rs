//! Permissions: the origin's yes to somebody's request, kept for as long as the policy allows.
//!
//! A permission is purged like an answer: it notes where the log stood before the question left, and carries the tags of
//! what was asked for and the principal's. A no is never kept: whoever is let in later is let in at once.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Map, Value};

use crate::entry::purge::{Birth, PurgeLog, Standing};
use crate::entry::tag::TagSet;
use crate::ground::found::{Findings, json_bytes};

/// A yes.
#[derive(Debug)]
pub struct KeptPermission {
    /// What the origin said besides.
    pub facts: Arc<Map<String, Value>>,
    /// The version of the answer that it is about ([`crate::policy::yes::version`]), where it came with one.
    pub about: Option<u64>,
    /// Until when it holds.
    pub until: Instant,
    /// Where the log stood before the question left.
    pub birth: Birth,
    /// What ends it.
    pub tags: TagSet,
}

/// Room for permissions.
const KEPT_BYTES: u64 = 16 << 20;

/// Those that are kept, by digests of who asked for what.
#[derive(Debug)]
pub struct Permissions(Findings<Arc<KeptPermission>>);

impl Default for Permissions {
    fn default() -> Permissions {
        Permissions(Findings::new(KEPT_BYTES))
    }
}

impl Permissions {
    /// What the origin said, if that still holds, and is about this version of the answer.
    pub fn get(
        &self,
        digest: &[u8; 32],
        about: Option<u64>,
        now: Instant,
        log: &PurgeLog,
    ) -> Option<Arc<Map<String, Value>>> {
        let permission = self.0.get(digest)?;
        let holds = now < permission.until
            && permission.about == about
            && log.check(&permission.birth, &permission.tags) == Standing::Good;
        holds.then(|| permission.facts.clone())
    }

    /// Ends a yes: the origin has said otherwise.
    pub fn end(&self, digest: &[u8; 32]) {
        self.0.remove(digest);
    }

    /// Keeps a yes, unless it has more tags than a purge could find it by. `is_refused`: the origin has said otherwise since the question
    /// left.
    pub fn keep(&self, digest: [u8; 32], permission: KeptPermission, is_refused: impl Fn() -> bool) {
        if permission.tags.overflowed() || is_refused() {
            return;
        }
        let bytes = size_of::<KeptPermission>() + permission.tags.spilled_bytes() + json_bytes(&permission.facts);
        self.0.put(digest, Arc::new(permission), bytes);
        // Looked at again once it is there: a no that came in between had nothing to end.
        if is_refused() {
            self.end(&digest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::purge::Strength;
    use std::time::Duration;

    #[test]
    fn a_permission_ends_with_its_time_and_with_a_purge() {
        let (permissions, log, now) = (Permissions::default(), PurgeLog::default(), Instant::now());
        let mut tags = TagSet::default();
        tags.name("patient:7");
        let keep = |digest, tags: &TagSet| {
            let birth = Birth::new(log.stamp(), log.stamp());
            let until = now + Duration::from_secs(60);
            let permission = KeptPermission { facts: Arc::default(), about: None, until, birth, tags: tags.clone() };
            permissions.keep(digest, permission, || false);
        };
        let holds =
            |digest, seconds| permissions.get(&digest, None, now + Duration::from_secs(seconds), &log).is_some();
        keep([1; 32], &tags);
        keep([2; 32], &TagSet::default());
        assert!(holds([1; 32], 59) && holds([2; 32], 59));
        assert!(!holds([1; 32], 60), "its time is over");
        assert!(!holds([3; 32], 0), "another's");
        log.apply(&tags, Strength::Hard);
        assert!(!holds([1; 32], 0) && holds([2; 32], 0), "purged");
        keep([1; 32], &tags);
        assert!(holds([1; 32], 0), "asked again");
    }

    #[test]
    fn a_yes_that_was_asked_for_before_a_no_came_is_not_kept() {
        let (permissions, log, now) = (Permissions::default(), PurgeLog::default(), Instant::now());
        for no_comes_at in 0..3 {
            let looks = std::cell::Cell::new(0);
            let is_refused = || {
                looks.set(looks.get() + 1);
                looks.get() > no_comes_at
            };
            let birth = Birth::new(log.stamp(), log.stamp());
            let until = now + Duration::from_secs(60);
            let tags = TagSet::default();
            permissions.keep(
                [1; 32],
                KeptPermission { facts: Arc::default(), about: None, until, birth, tags },
                is_refused,
            );
            let is_kept = permissions.get(&[1; 32], None, now, &log).is_some();
            assert_eq!(is_kept, no_comes_at == 2, "{no_comes_at}");
        }
    }
}
