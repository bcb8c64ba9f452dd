//! From `proxy.yaml` to validated settings: what was written, what is needed, and one bridge between.
//!
//! ```text
//! text → tree (positions, quotes, duplicate keys) → vars (${NAME}) → bridge (settings, self tests) → Loaded or Report
//! ```
//!
//! All mistakes of a file are reported in one run, each with its place and with what to write instead; only text that
//! is not YAML ends the run early. Keys of the vocabulary that this version does not have are errors of their own kind
//! and cause no others. Nothing here panics on any text, and no message or excerpt shows a secret.
//!
//! What may be shared between people is decided in `bridge::patient` and `bridge::policies`, where the rules are
//! written down.

use std::path::Path;
use std::sync::Arc;

use crate::asker::identity::Identity;
use crate::asker::token::TokenSettings;
use crate::config::admin::AdminSettings;
use crate::edge::settings::ServerSettings;
use crate::rules::route::Route;
use crate::store::settings::CacheSettings;
use crate::telemetry::settings::LogSettings;
use crate::upstream::settings::UpstreamSettings;

pub mod admin;
mod bridge;
mod excerpt;
mod fingerprint;
pub mod message;
mod nearest;
mod node;
mod not_yet;
pub mod problem;
mod reader;
pub mod selftest;
mod source;
mod syntax;
mod tree;
pub(crate) mod units;
mod vars;

pub use crate::config::message::ConfigProblem;
pub use problem::Report;
pub use selftest::SelfTest;
pub(crate) use units::show_duration;

use crate::config::message::MessageKind;
use crate::config::message::Severity;
use source::{SourcePlace, SourceText};
use tree::Tree;

/// Everything the process needs, validated.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Listeners for clients.
    pub server: ServerSettings,
    /// The admin listener, if there is one.
    pub admin: Option<AdminSettings>,
    /// What is written down about exchanges.
    pub log: LogSettings,
    /// The store.
    pub cache: CacheSettings,
    /// Who is asking.
    pub identity: Identity,
    /// How tokens are verified, where they are.
    pub tokens: Option<TokenSettings>,
    /// Services, by index.
    pub upstreams: Vec<UpstreamSettings>,
    /// Routes in the order of the file.
    pub routes: Vec<Route>,
}

/// A file without errors.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the process runs on.
    pub settings: Settings,
    /// What should be looked at all the same.
    pub warnings: Vec<ConfigProblem>,
    /// The file's own tests, not run yet.
    pub tests: Vec<SelfTest>,
    source: SourceText,
}

impl Loaded {
    /// Problems of this file that were found after it was loaded (its own tests, its warnings), with excerpts.
    pub fn report(&self, problems: Vec<ConfigProblem>) -> Report {
        Report::new(self.source.clone(), problems)
    }
}

/// A thousand routes are a tenth of this.
const LARGEST_FILE: usize = 1 << 20;

/// Reads the file at `path`. `vars` says what `${NAME}` holds, mostly the environment.
pub fn load(path: &Path, vars: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Report> {
    use std::io::Read as _;
    let name = path.to_string_lossy();
    let mut bytes = Vec::new();
    // One byte more than is allowed tells a file that is too large from one that just fits.
    let limit = u64::try_from(LARGEST_FILE).unwrap_or(u64::MAX).saturating_add(1);
    let read = std::fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
    if let Err(error) = read {
        let (message, hint) = match error.kind() {
            std::io::ErrorKind::NotFound => {
                ("there is no such file".to_owned(), "give the path of a configuration file")
            }
            std::io::ErrorKind::PermissionDenied => {
                ("reading it is not permitted".to_owned(), "let the process read it")
            }
            _ => (format!("the file cannot be read: {error}"), "give the path of a configuration file"),
        };
        return Err(whole_file(&name, message, hint));
    }
    match String::from_utf8(bytes) {
        Ok(text) => parse(&name, &text, vars),
        Err(_) => Err(whole_file(&name, "the file is not text in UTF-8".to_owned(), "save it as UTF-8")),
    }
}

/// A time as the file writes it: `90s`, `15m`, `1h`.
pub fn duration(text: &str) -> Option<std::time::Duration> {
    units::duration(text).ok()
}

/// Reads `text`. `file_name` is for messages, and secrets (`{file: path}`) are relative to its folder.
pub fn parse(file_name: &str, text: &str, vars: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Report> {
    if text.len() > LARGEST_FILE {
        let message = "the file is larger than 1 MiB".to_owned();
        return Err(whole_file(file_name, message, "write fewer routes with wider paths"));
    }
    let mut source = SourceText::new(file_name, text);
    let Tree { root, mut problems, secrets } = tree::build(text);
    for (start, end) in &secrets {
        source.blot(start, end);
    }
    let Some(mut root) = root else {
        if problems.is_empty() {
            let hint = "write at least `upstreams` and `routes`";
            return Err(whole_file(file_name, "the file is empty".to_owned(), hint));
        }
        source.blot_by_key();
        return Err(Report::new(source, problems));
    };
    vars::fill(&mut root, vars, &mut problems);
    let (crossed, found) = bridge::cross(&root, Path::new(file_name));
    problems.extend(found);
    vars::hide(text, vars, &mut problems);
    match crossed {
        Some((mut settings, tests)) if problems.iter().all(|problem| problem.severity == Severity::Warning) => {
            let mut warnings = problems;
            warnings.sort_by_key(|problem| (problem.line, problem.column));
            let file: Arc<str> = file_name.into();
            settings.routes.iter_mut().for_each(|route| route.file = file.clone());
            Ok(Loaded { settings, warnings, tests, source })
        }
        _ => Err(Report::new(source, problems)),
    }
}

/// A problem with no place in the file.
fn whole_file(file_name: &str, message: String, hint: &str) -> Report {
    let problem = ConfigProblem::error(MessageKind::Syntax, SourcePlace::default(), "", message).hint(hint);
    let problem = ConfigProblem { line: 0, column: 0, ..problem };
    Report::new(SourceText::new(file_name, ""), vec![problem])
}
