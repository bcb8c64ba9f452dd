//! What is known of how origins judge conditions.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;

use crate::coherence::errand::Conditions;
use crate::ground::mutants::{Rule, is_off};

/// What is known of the origins, by views; until the next reload. A fixed table: two views that share a place are found out about
/// more often, never less.
#[derive(Debug, Default)]
pub struct Probes(OnceLock<Box<[Probe]>>);

/// What is known of one view: which it is in the upper bits, and the state in the lowest eight.
#[derive(Debug, Default)]
pub struct Probe(AtomicU64);

/// Which view, by 56 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View(pub(super) u64);

/// What the origin said when it was asked without credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToNobody {
    /// It confirmed what is stored.
    Confirmed,
    /// It sent them away by a status that says so.
    Refused,
    /// Nothing that tells what it would do for somebody: it may be ill, or guarded by something that answers in its place.
    Unclear,
}

pub(super) const PLACES: usize = 4096;

pub(super) const STATE: u64 = 0xff;

/// From zero to this: how often it was found out in vain. After that the whole is asked for, and nothing more is tried.
pub(super) const MAX_TRIES: u64 = 8;

pub(super) const JUDGES_FIRST: u64 = 0x10;

pub(super) const SAYS_304_TO_NOBODY: u64 = 0x11;

/// Besides: somebody is finding out.
pub(super) const ASKED: u64 = 0x80;

impl View {
    /// By the first bits of a digest.
    pub fn of(digest: &[u8; 32]) -> View {
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        View(u64::from_le_bytes(first) & !STATE)
    }
}

impl ToNobody {
    /// What a status says. A page in place of an answer may be anybody's.
    pub fn of(status: StatusCode) -> ToNobody {
        match status.as_u16() {
            304 => ToNobody::Confirmed,
            401 | 403 | 301 | 302 | 303 | 307 | 308 => ToNobody::Refused,
            _ => ToNobody::Unclear,
        }
    }
}

impl Probes {
    pub(super) fn of(&self, view: View) -> &Probe {
        let places = self.0.get_or_init(|| (0..PLACES).map(|_| Probe::default()).collect());
        &places[(view.0 >> 8) as usize % PLACES]
    }
}

/// Somebody is finding out about a view; ends with it.
#[derive(Debug)]
pub struct Inquiry<'a> {
    pub(super) probe: &'a Probe,
    pub(super) view: View,
}

impl Drop for Inquiry<'_> {
    fn drop(&mut self) {
        let _ = self.probe.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            (word & !STATE == self.view.0 && word & ASKED != 0).then_some(word & !ASKED)
        });
    }
}

pub(super) fn state_in(word: u64, view: View) -> u64 {
    if word & !STATE == view.0 { word & STATE & !ASKED } else { 0 }
}

impl Probe {
    /// Begins to find out about a view; `None` while somebody does.
    pub fn inquire(&self, view: View) -> Option<Inquiry<'_>> {
        let begun = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
            let is_asked = word & !STATE == view.0 && word & ASKED != 0;
            (!is_asked).then(|| view.0 | state_in(word, view) | ASKED)
        });
        begun.is_ok().then_some(Inquiry { probe: self, view })
    }

    /// Whether the view's 304 may count; `None` while that is not known and may be found out.
    pub fn conditions(&self, view: View) -> Option<Conditions> {
        if is_off(Rule::Probe) {
            return Some(Conditions::Sent);
        }
        match self.state(view) {
            JUDGES_FIRST => Some(Conditions::Sent),
            SAYS_304_TO_NOBODY | MAX_TRIES.. => Some(Conditions::Withheld),
            _ => None,
        }
    }

    /// Learns from what the origin says to nobody, on the condition that it is not what is stored. That somebody is refused says
    /// little by itself: what is stored may be out of date, so that nobody would get a 304 for it. See [`Probe::proved`].
    pub fn heard(&self, view: View, said: ToNobody) {
        let state = self.state(view);
        match said {
            ToNobody::Confirmed => self.0.store(view.0 | SAYS_304_TO_NOBODY, Ordering::Relaxed),
            ToNobody::Refused | ToNobody::Unclear if state < MAX_TRIES => {
                self.0.store(view.0 | (state + 1), Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// Nobody was refused, and right after that what is stored turned out to be the origin's present answer: it looks at who asks
    /// first. What was once found to be unsafe stays so.
    pub fn proved(&self, view: View) {
        if self.state(view) < MAX_TRIES {
            self.0.store(view.0 | JUDGES_FIRST, Ordering::Relaxed);
        }
    }

    pub(super) fn state(&self, view: View) -> u64 {
        state_in(self.0.load(Ordering::Relaxed), view)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIEW: View = View(7 << 8);

    #[test]
    fn what_was_found_unsafe_once_stays_so() {
        let probe = Probe::default();
        assert_eq!(probe.conditions(VIEW), None);
        probe.heard(VIEW, ToNobody::Refused);
        assert_eq!(probe.conditions(VIEW), None, "what is stored may have been out of date");
        probe.proved(VIEW);
        assert_eq!(probe.conditions(VIEW), Some(Conditions::Sent));
        assert_eq!(probe.conditions(View(8 << 8)), None, "of another view nothing is known");
        probe.heard(VIEW, ToNobody::Confirmed);
        probe.proved(VIEW);
        assert_eq!(probe.conditions(VIEW), Some(Conditions::Withheld));
    }

    #[test]
    fn one_at_a_time_finds_out() {
        let probe = Probe::default();
        let first = probe.inquire(VIEW);
        assert!(first.is_some() && probe.inquire(VIEW).is_none());
        assert_eq!(probe.conditions(VIEW), None, "nothing is known yet");
        drop(first);
        let second = probe.inquire(VIEW);
        assert!(second.is_some(), "whoever began may have hung up");
        // Another view takes the place; who ends then ends nobody else's.
        let other = probe.inquire(View(8 << 8));
        drop(second);
        assert!(other.is_some() && probe.inquire(View(8 << 8)).is_none());
    }

    #[test]
    fn what_cannot_be_found_out_is_not_tried_for_ever() {
        let probe = Probe::default();
        for _ in 0..MAX_TRIES {
            assert_eq!(probe.conditions(VIEW), None);
            probe.heard(VIEW, ToNobody::Unclear);
        }
        assert_eq!(probe.conditions(VIEW), Some(Conditions::Withheld));
        probe.heard(VIEW, ToNobody::Refused);
        probe.proved(VIEW);
        assert_eq!(probe.conditions(VIEW), Some(Conditions::Withheld));
    }

    #[test]
    fn only_a_refusal_is_one() {
        for (status, said) in [
            (304, ToNobody::Confirmed),
            (401, ToNobody::Refused),
            (302, ToNobody::Refused),
            (200, ToNobody::Unclear),
            (400, ToNobody::Unclear),
            (404, ToNobody::Unclear),
            (412, ToNobody::Unclear),
            (429, ToNobody::Unclear),
            (503, ToNobody::Unclear),
        ] {
            assert_eq!(ToNobody::of(StatusCode::from_u16(status).unwrap()), said, "{status}");
        }
    }
}
