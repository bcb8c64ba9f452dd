//! A case as data: what is asked in turn, what the origin answers if it is asked, and what must come of it.
//!
//! The common case needs no words. An exchange with an `answer` must reach the origin, and one without must not; what the
//! client gets is that answer, or else the last whole one that the origin gave. Each answer has a body of its own unless
//! one is given, so that it shows where an answer came from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// One case.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Its name, and the first segment of its path.
    pub id: String,
    /// What decides it: `RFC 9111 §4.2.3`.
    pub section: String,
    pub level: Level,
    /// One line that says what is shown.
    pub shows: String,
    /// `rfc9111`, `origin`, or a named policy as it is written under `policies`.
    #[serde(default = "rfc9111")]
    pub policy: String,
    /// Further keys of its route.
    #[serde(default)]
    pub route: String,
    pub run: Vec<Exchange>,
}

/// How strongly the section speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Must,
    Should,
    May,
    /// No RFC decides it: what we promise.
    Ours,
}

/// One request and what becomes of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exchange {
    /// A method, and what follows the case's path: `GET ?page=2`.
    pub ask: String,
    /// Field lines.
    #[serde(rename = "with")]
    pub fields: Vec<String>,
    /// A body.
    pub send: Option<String>,
    /// The body of a purge, in place of a request.
    pub purge: Option<String>,
    /// The origin is asked, and answers this.
    pub answer: Option<Answer>,
    /// It is asked once more, and answers this.
    pub then: Option<Answer>,
    /// It may be asked or not.
    pub may: Option<Answer>,
    /// It is asked while the client has its answer.
    pub behind: Option<Answer>,
    /// Repeated until it is so: something is under way behind.
    pub until: bool,
    pub want: Want,
    pub seen: Seen,
}

/// An answer of the origin: a status and field lines, or all of it by name.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Answer {
    Lines(Vec<Line>),
    Full(Full),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Line {
    Status(u16),
    Field(String),
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Full {
    pub status: Option<u16>,
    pub fields: Vec<String>,
    pub body: Option<String>,
    pub ending: Ending,
    /// Interim answers before it: a status and field lines each.
    pub interim: Vec<Vec<Line>>,
    pub trailers: Vec<String>,
    /// Without the `Date` that is added otherwise.
    pub undated: bool,
}

/// How an answer of the origin ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// With the length that was announced.
    #[default]
    Whole,
    /// In chunks.
    Chunked,
    /// With the connection.
    Close,
    /// In the middle of its body.
    Cut,
    /// In the middle of its chunks.
    Torn,
    /// The connection ends without an answer.
    Nothing,
}

/// What the client gets.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Want {
    pub status: Option<Statuses>,
    /// The exchange whose answer it is, by its number.
    pub from: Option<usize>,
    pub body: Option<String>,
    /// The body holds these, in lower case.
    pub holds: Vec<String>,
    /// `Name`: it is there; `Name: value`: a line says exactly this.
    pub has: Vec<String>,
    /// `Name`: it is not there.
    pub lacks: Vec<String>,
    /// `Name: part`: the values hold this.
    pub like: Vec<String>,
    /// `Age`, from and to.
    pub age: Option<[u64; 2]>,
    /// Parameters of our member of `Cache-Status`: `hit`, `fwd=stale`, `!stored`.
    pub cache: Vec<String>,
    /// Interim answers, a status and a field line each.
    pub interim: Option<Vec<String>>,
    /// The body breaks off.
    pub cut: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Statuses {
    One(u16),
    Any(Vec<u16>),
}

/// What the origin sees, in the first request of an exchange.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Seen {
    pub method: Option<String>,
    pub has: Vec<String>,
    pub lacks: Vec<String>,
    pub like: Vec<String>,
}

fn rfc9111() -> String {
    "rfc9111".to_owned()
}

impl Case {
    /// The origin fails in it on purpose.
    pub fn is_failing(&self) -> bool {
        let answers = self.run.iter().flat_map(|one| [&one.answer, &one.then, &one.may, &one.behind]).flatten();
        answers.map(Answer::full).any(|answer| answer.status() >= 500 || answer.breaks())
    }
}

impl Exchange {
    pub fn method(&self) -> &str {
        self.ask.split(' ').next().filter(|method| !method.is_empty()).unwrap_or("GET")
    }

    /// What follows the case's path.
    pub fn suffix(&self) -> &str {
        self.ask.split_once(' ').map_or("", |(_, suffix)| suffix)
    }
}

impl Answer {
    pub fn full(&self) -> Full {
        match self {
            Answer::Full(full) => full.clone(),
            Answer::Lines(lines) => {
                let (status, fields) = status_and_fields(lines);
                Full { status, fields, ..Full::default() }
            }
        }
    }
}

/// The status and the fields among some lines.
pub fn status_and_fields(lines: &[Line]) -> (Option<u16>, Vec<String>) {
    let mut status = None;
    let mut fields = Vec::new();
    for line in lines {
        match line {
            Line::Status(number) => status = Some(*number),
            Line::Field(field) => fields.push(field.clone()),
        }
    }
    (status, fields)
}

impl Full {
    pub fn status(&self) -> u16 {
        self.status.unwrap_or(200)
    }

    /// It comes to no good end.
    pub fn breaks(&self) -> bool {
        matches!(self.ending, Ending::Cut | Ending::Torn | Ending::Nothing)
    }
}

impl Statuses {
    pub fn all(&self) -> &[u16] {
        match self {
            Statuses::One(status) => std::slice::from_ref(status),
            Statuses::Any(all) => all,
        }
    }
}

/// All cases, family by family in the order of their files' names; panics with all that is wrong with them.
pub fn all() -> Vec<Case> {
    let folder = folder().join("cases");
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut cases = Vec::new();
    let mut seen = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let read: Vec<Case> = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        for case in read {
            assert!(seen.insert(case.id.clone()), "{}: two cases are called {}", file.display(), case.id);
            let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(case.id.bytes().all(is_plain), "{}: {}", file.display(), case.id);
            cases.push(case);
        }
    }
    cases
}

/// Where the suite's data is.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}
