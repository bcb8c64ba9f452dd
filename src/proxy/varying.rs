//! By which fields the answers of routes were seen to differ.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use http::{HeaderName, header};

/// What is known of one route, until the next reload.
#[derive(Debug)]
pub struct Selecting {
    pub(super) names: RwLock<Arc<[HeaderName]>>,
    /// Answers yet to come that may tell whether languages matter; none once that is settled.
    pub(super) unsettled: AtomicU8,
}

/// So many answers that say nothing of languages settle that they make no difference.
pub(super) const SETTLES: u8 = 8;

impl Default for Selecting {
    fn default() -> Selecting {
        Selecting { names: RwLock::new([header::ACCEPT_LANGUAGE].into()), unsettled: AtomicU8::new(SETTLES) }
    }
}

/// The most that are remembered of a route: each multiplies what is kept of it.
pub(super) const MOST: usize = 4;

impl Selecting {
    /// The fields.
    pub fn names(&self) -> Arc<[HeaderName]> {
        self.names.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What an answer says that it differs by.
    pub(super) fn heed(&self, vary: &[HeaderName]) {
        if self.unsettled.load(Ordering::Relaxed) == 0 {
            return;
        }
        let says_so = vary.contains(&header::ACCEPT_LANGUAGE);
        let settled = |left: u8| if says_so { Some(0) } else { left.checked_sub(1) };
        let left = self.unsettled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, settled);
        if left == Ok(1) && !says_so {
            let mut known = self.names.write().unwrap_or_else(PoisonError::into_inner);
            *known = known.iter().filter(|name| **name != header::ACCEPT_LANGUAGE).cloned().collect();
        }
    }

    pub(super) fn add(&self, names: impl Iterator<Item = HeaderName>) {
        let mut known = self.names.write().unwrap_or_else(PoisonError::into_inner);
        let mut all = known.to_vec();
        for name in names {
            if all.len() < MOST && !all.contains(&name) {
                all.push(name);
            }
        }
        *known = all.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_once_and_not_too_many() {
        let selecting = Selecting::default();
        selecting.heed(&[header::ACCEPT_LANGUAGE]);
        let named = |names: &[&'static str]| selecting.add(names.iter().map(|name| HeaderName::from_static(name)));
        named(&["accept-language", "x-a"]);
        named(&["x-a", "x-b", "accept-language", "x-c", "x-d"]);
        assert_eq!(&*selecting.names(), ["accept-language", "x-a", "x-b", "x-c"]);
    }

    #[test]
    fn languages_are_sent_until_they_seem_to_make_no_difference() {
        let selecting = Selecting::default();
        for _ in 1..SETTLES {
            selecting.heed(&[header::ACCEPT_ENCODING]);
            assert_eq!(&*selecting.names(), ["accept-language"]);
        }
        selecting.heed(&[]);
        assert!(selecting.names().is_empty());
        selecting.heed(&[]);
        selecting.add([header::ACCEPT_LANGUAGE].into_iter());
        assert_eq!(&*selecting.names(), ["accept-language"], "they do make one");
        selecting.heed(&[]);
        assert_eq!(&*selecting.names(), ["accept-language"]);
    }
}
