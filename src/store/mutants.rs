//! Switches that turn single coherence rules off, so that a test can show that it would notice. Without the feature `mutants`
//! all of this is constant and compiles to nothing.

/// A rule of the purge log that can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rule {
    /// 5: the position is noted before the request leaves.
    Birth = 5,
    /// 7: followers are judged when the head is known.
    Followers = 7,
    /// 8: a dead entry is never the base of a 304, and a merged one keeps its birth.
    Base = 8,
}

#[cfg(feature = "mutants")]
static OFF: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(0);

/// Switches a rule off in this process, or all of them on.
#[cfg(feature = "mutants")]
pub fn switch_off(rule: Option<Rule>) {
    OFF.store(rule.map_or(0, |rule| rule as u8), std::sync::atomic::Ordering::SeqCst);
}

/// Whether a rule is switched off.
#[cfg(feature = "mutants")]
pub fn is_off(rule: Rule) -> bool {
    OFF.load(std::sync::atomic::Ordering::Relaxed) == rule as u8
}

/// Whether a rule is switched off: never.
#[cfg(not(feature = "mutants"))]
pub const fn is_off(_rule: Rule) -> bool {
    false
}
