//! What is wrong with a file: every problem with its place, sorted, and whether any of them is an error.

use serde::Serialize;

use crate::config::excerpt;
use crate::config::message::{ConfigProblem, MessageKind, Severity};
use crate::config::source::SourceText;

/// All problems of one file, sorted by position.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The file's name as it was given.
    pub file: String,
    /// Errors and warnings.
    pub problems: Vec<ConfigProblem>,
    #[serde(skip)]
    source: SourceText,
}

impl Report {
    pub(super) fn new(source: SourceText, mut problems: Vec<ConfigProblem>) -> Report {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Report { file: source.file.clone(), problems, source }
    }

    /// Those that stop the file from being used.
    pub fn errors(&self) -> impl Iterator<Item = &ConfigProblem> {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error)
    }

    /// There are errors, and each is about something that this version does not have yet; warnings do not count.
    pub fn only_not_yet(&self) -> bool {
        self.errors().next().is_some() && self.errors().all(|problem| problem.kind == MessageKind::NotYet)
    }

    /// Each problem with the line it is on; with terminal colours when `color`.
    pub fn render(&self, color: bool) -> String {
        excerpt::render(&self.source, &self.problems, color)
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Report {}
