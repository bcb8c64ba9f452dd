//! Switches that turn single rules of coherence and of privacy off, so that a test can show that it would notice. Without the feature `mutants`
//! all of this is constant and compiles to nothing.
//!
//! The orders of loads and stores in the purge log are broken under loom instead, in `tests/ordering`. What cannot be broken
//! because it is not there: nothing is pruned or removed one by one, and no entry is derived from another or put together of
//! several; a merged one is the nearest to that.

/// A rule that can be switched off. The numbers are those of the purge log's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rule {
    /// 4: a URL is a tag of what is kept for anybody.
    AllPartitions = 1,
    /// 5: the position is noted before the request leaves.
    Birth,
    /// 6: `checked` begins at birth, not when an entry is stored.
    Checked,
    /// 6: `checked` does not advance on a soft match.
    CheckedOnSoft,
    /// 6: hard and soft records are kept apart, so that neither hides the other.
    Columns,
    /// 7: followers are judged when the head is known.
    Followers,
    /// 7: by all tags of the answer, not only by those that its URL gives it.
    FollowersTags,
    /// 7: the tags of what is not stored count too.
    FollowersTagsOfUnstored,
    /// 8: a dead entry is never the base of a 304, and a merged one keeps its birth.
    Base,
    /// 8: a 304 that names no tags drops none.
    MergedTags,
    /// 8: what a 304 makes of a living entry keeps that one's birth.
    MergedBirth,
    /// A 304 speaks of the variant that was asked about.
    MergedVariant,
    /// 15: keys carry the fingerprint of their route.
    Fingerprint,
    /// 17: an answer with too many tags is not stored.
    Bound,
    /// What was purged does not stand in when the origin fails, nor is it given to who waited.
    Rescue,
    /// Who shares a flight shares a partition.
    FlightPartition,
    /// Who comes after the head takes only what is fresh.
    Timely,
    /// What breaks off is not stored.
    Whole,
    /// What sets a cookie is nobody else's.
    SetCookie,
    /// A refusal is its asker's alone, and handed to nobody who follows.
    RefusalAlone,
    /// After a refusal nothing lives on.
    AfterRefusal,
    /// What is unlike what is stored for several people takes nobody's place.
    Unlike,
    /// Between people nothing is kept but what a success says.
    RefusalKept,
    /// What hands out a credential in a field is nobody else's.
    SecretField,
    /// What the origin says is over is not shared.
    SaysExpired,
    /// What is to be replaced soon is not kept.
    RetryLater,
    /// A redirect for ever to a target with a query lives only as its origin says.
    QueryRedirect,
    /// A field of a request that nobody has a place for makes a pass.
    UnknownHeader,
    /// A field that names somebody is a credential, where the origin decides.
    CredentialField,
    /// What scripts ask for is kept apart.
    RequestedWith,
    /// A credential in a URL makes a pass.
    UrlCredential,
    /// So does a signature over the request.
    Signed,
    /// An empty credential shows nobody.
    EmptyCredential,
    /// HTML is no yes.
    HtmlYes,
    /// Nor is JSON that says no.
    JsonNo,
    /// A kept yes is about one kind of answer.
    YesKind,
    /// A 304 is a yes only of an origin that looks at who asks first.
    Probe,
    /// The tags of a principal's answers are bound to the principal.
    PrincipalTags,
    /// `must-revalidate` opens what `Authorization` alone asked for, and nothing that a cookie did.
    OpensCookies,
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
