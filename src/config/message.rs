//! One message about a configuration, with its place.

use serde::Serialize;

use crate::config::source::SourcePlace;

/// One thing to change in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigProblem {
    /// Whether it stops the file from being used.
    pub severity: Severity,
    /// What sort of mistake it is.
    pub kind: MessageKind,
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

/// Whether a problem stops the file from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but should be looked at.
    Warning,
}

impl ConfigProblem {
    pub(super) fn error(
        kind: MessageKind,
        place: SourcePlace,
        path: &str,
        message: impl Into<String>,
    ) -> ConfigProblem {
        ConfigProblem {
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

    pub(super) fn warning(mut self) -> ConfigProblem {
        self.severity = Severity::Warning;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> ConfigProblem {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn related(mut self, place: SourcePlace, message: impl Into<String>) -> ConfigProblem {
        self.related = Some(Related { line: place.line, column: place.column, message: message.into() });
        self
    }
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

/// What sort of mistake it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
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
