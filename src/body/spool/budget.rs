//! What all fills together may hold in memory. A fill that cannot get what it needs goes on as a window and is not stored:
//! running out costs hits, never answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that fills share.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// The part of a store's memory that fills may take beside it.
const SHARE: u64 = 4;

impl Budget {
    /// Beside a store of this size: a share of it, and room for one body of the longest that is stored.
    pub fn beside(memory: u64, max_object: u64) -> Budget {
        let limit = usize::try_from((memory / SHARE).max(max_object)).unwrap_or(usize::MAX);
        Budget { limit, used: AtomicUsize::new(0) }
    }

    /// What fills hold now, in bytes.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|used| *used <= self.limit)
        });
        taken.is_ok()
    }
}

/// What one fill holds of the budget; given back when it is dropped.
#[derive(Debug)]
pub struct Grant {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Grant {
    /// Nothing yet.
    pub fn none(budget: &Arc<Budget>) -> Grant {
        Grant { budget: budget.clone(), bytes: 0 }
    }

    /// Makes it hold so much at least, if there is so much.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let enough = bytes <= self.bytes || self.budget.take(bytes - self.bytes);
        if enough {
            self.bytes = self.bytes.max(bytes);
        }
        enough
    }

    /// Makes it hold exactly so much, whether or not there is so much: for what a window needs in order to move on.
    pub fn set(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.budget.used.fetch_add(more, Ordering::Relaxed),
            None => self.budget.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed),
        };
        self.bytes = bytes;
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_granted_is_bounded_and_comes_back() {
        let budget = Arc::new(Budget::beside(400, 10));
        let (mut one, mut other) = (Grant::none(&budget), Grant::none(&budget));
        assert!(one.grow_to(60) && one.grow_to(50), "it holds so much already");
        assert!(!other.grow_to(41) && other.grow_to(40));
        assert_eq!(budget.used(), 100);
        other.set(45);
        assert_eq!(budget.used(), 105, "a window moves on all the same");
        drop(one);
        other.set(5);
        assert_eq!(budget.used(), 5);
        drop(other);
        assert_eq!(budget.used(), 0);
        assert!(Grant::none(&Arc::new(Budget::beside(400, 300))).grow_to(300), "the longest body fits");
    }
}
