//! For which requests an answer was selected.

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::entry::key::{self, Key};

/// It left before a refusal came, and is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RefusedSince;

/// For which requests an answer was selected.
#[derive(Debug, Clone, Copy)]
pub(super) struct SelectedBy<'a> {
    /// Their key before any `Vary`.
    pub primary: &'a Key,
    /// The fields that `Vary` names.
    pub names: &'a Arc<[HeaderName]>,
    /// What was sent in them.
    pub sent: &'a HeaderMap,
}

impl SelectedBy<'_> {
    pub(super) fn key(&self) -> Key {
        Key::from(key::variant(self.primary, self.names, self.sent).as_slice())
    }
}
