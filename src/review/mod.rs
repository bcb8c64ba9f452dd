//! What a configuration lets happen, and what a change of it lets happen: for those who answer for it.
//!
//! [`audit`] describes one configuration, [`diff`] compares two. Both only read settings; the words for ways of sharing are
//! those of [`crate::policy::sharing`].

pub mod audit;
pub mod diff;
mod lifetimes;
mod surroundings;
mod treatment;

use serde::Serialize;

/// One difference between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// What it is about: routes, by name, or a section.
    pub about: Vec<String>,
    /// What changes, in plain words.
    pub change: String,
    /// Why it lets more people see an answer, or see it for longer; `None`: it does not.
    pub widens: Option<String>,
}

impl Change {
    /// It lets nobody see more.
    fn plain(change: impl Into<String>) -> Change {
        Change { about: Vec::new(), change: change.into(), widens: None }
    }

    fn widens(change: impl Into<String>, why: impl Into<String>) -> Change {
        Change { about: Vec::new(), change: change.into(), widens: Some(why.into()) }
    }

    fn about(mut self, what: &str) -> Change {
        self.about = vec![what.to_owned()];
        self
    }
}
