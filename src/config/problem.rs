//! What is wrong with a file: every problem with its place, sorted, and whether any of them is an error.

use serde::Serialize;

use crate::config::excerpt;
use crate::config::source::{Place, Source};

/// One thing to change in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether it stops the file from being used.
    pub severity: Severity,
    /// What sort of mistake it is.
    pub kind: Kind,
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// How many characters of the line are meant; at least 1.
    #[serde(skip)]
    pub length: u32,
    /// `routes[3].policy`; empty for the file as a whole.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
    /// A second place that belongs to it: the earlier route, the first of two equal keys.
    pub related: Option<Related>,
}

/// A second place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// 1-based.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// Why it matters.
    pub message: String,
}

/// Whether a problem stops the file from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but should be looked at.
    Warning,
}

/// What sort of mistake it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The text is not YAML, or uses a part of YAML that is refused.
    Syntax,
    /// A key that does not exist here.
    UnknownKey,
    /// A key or a name that is written twice.
    Duplicate,
    /// Something that must be there is not.
    Missing,
    /// A value that cannot be read.
    Value,
    /// A name that nothing has.
    UnknownName,
    /// Readable, but it contradicts something else or can have no effect.
    Contradiction,
    /// It would let one person have another's answer.
    Unsafe,
    /// Part of the vocabulary, but this version does not have it.
    NotYet,
}

impl Problem {
    pub(super) fn error(kind: Kind, place: Place, path: &str, message: impl Into<String>) -> Problem {
        Problem {
            severity: Severity::Error,
            kind,
            line: place.line,
            column: place.column,
            length: place.length.max(1),
            path: path.to_owned(),
            message: message.into(),
            hint: None,
            related: None,
        }
    }

    pub(super) fn warning(mut self) -> Problem {
        self.severity = Severity::Warning;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn related(mut self, place: Place, message: impl Into<String>) -> Problem {
        self.related = Some(Related { line: place.line, column: place.column, message: message.into() });
        self
    }
}

/// All problems of one file, sorted by position.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The file's name as it was given.
    pub file: String,
    /// Errors and warnings.
    pub problems: Vec<Problem>,
    #[serde(skip)]
    source: Source,
}

impl Report {
    pub(super) fn new(source: Source, mut problems: Vec<Problem>) -> Report {
        problems.sort_by_key(|problem| (problem.line, problem.column));
        Report { file: source.file.clone(), problems, source }
    }

    /// Those that stop the file from being used.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error)
    }

    /// There are errors, and each is about something that this version does not have yet; warnings do not count.
    pub fn only_not_yet(&self) -> bool {
        self.errors().next().is_some() && self.errors().all(|problem| problem.kind == Kind::NotYet)
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
