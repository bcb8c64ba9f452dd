//! Hosts and paths as routes name them.

use crate::rules::path::RequestPath;

/// `clinic.example`, `*.clinic.example` or `<tenant>.clinic.example`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostTemplate {
    /// This host, in lower case, without a port.
    Exact(String),
    /// One label in front of `suffix` (`clinic.example`), captured when it has a name.
    Wildcard {
        /// The name of the label in front, if it is captured.
        part: Option<String>,
        /// What follows it, without the dot.
        suffix: String,
    },
}

impl std::fmt::Display for HostTemplate {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            HostTemplate::Exact(host) => f.write_str(host),
            HostTemplate::Wildcard { part: Some(part), suffix } => write!(f, "<{part}>.{suffix}"),
            HostTemplate::Wildcard { part: None, suffix } => write!(f, "*.{suffix}"),
        }
    }
}

/// One segment of a path template.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Exactly this text, after normalisation.
    Literal(String),
    /// One segment of this kind, captured under this name.
    Part(PartKind, String),
}

/// What a named part of a path takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartKind {
    /// `<id>`: any one segment that is not empty.
    Text,
    /// `<int:id>`: decimal digits.
    Int,
    /// `<uuid:id>`: 8-4-4-4-12 hexadecimal digits.
    Uuid,
    /// `<slug:id>`: ASCII letters, digits, `-` and `_`.
    Slug,
}

/// A path template; a trailing slash is optional.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PathTemplate {
    /// As written, which is also how logs and metrics name it.
    pub text: String,
    /// The segments in order.
    pub segments: Vec<Segment>,
    /// Ends in `/**`: any further segments, or none.
    pub rest: bool,
}

impl PathTemplate {
    /// Whether this template takes a path in normal form.
    pub fn takes(&self, path: &str) -> bool {
        self.takes_by(path, |literal, text| literal == text)
    }

    /// The same for an origin that does not tell upper from lower case.
    pub fn takes_in_any_case(&self, path: &str) -> bool {
        self.takes_by(path, str::eq_ignore_ascii_case)
    }

    pub(crate) fn takes_by(&self, path: &str, is_same: impl Fn(&str, &str) -> bool) -> bool {
        let mut segments = RequestPath::segments(path);
        let fits = self.segments.iter().all(|segment| {
            segments.next().is_some_and(|text| match segment {
                Segment::Literal(literal) => is_same(literal, text),
                Segment::Part(kind, _) => kind.takes(text),
            })
        });
        fits && (self.rest || segments.next().is_none())
    }
}

impl PartKind {
    pub(crate) fn takes(self, segment: &str) -> bool {
        match self {
            PartKind::Text => !segment.is_empty(),
            PartKind::Int => !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit()),
            PartKind::Uuid => is_uuid(segment),
            PartKind::Slug => {
                !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            }
        }
    }
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        })
}
