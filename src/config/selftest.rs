//! `tests:` of the file: what a request would get, checked without a network.
//!
//! Only the comparing is here: what a request gets is the caller's to say.

use std::time::Duration;

use http::{HeaderName, Method};

use crate::asker::facet::certificate::SubjectField;
use crate::asker::identity::TokenSource;
use crate::config::message::{ConfigProblem, MessageKind};
use crate::config::reader::last_key;
use crate::config::source::SourcePlace;
use crate::config::units::show_duration;

/// One entry of `tests:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfTest {
    /// 1-based.
    pub line: u32,
    /// The request.
    pub ask: TestRequest,
    /// What it must get.
    pub expect: Expect,
}

/// A request of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestRequest {
    /// Its method.
    pub method: Method,
    /// `http://clinic.example/…` names one; otherwise any.
    pub host: Option<String>,
    /// Path and query.
    pub target: String,
    /// Who asks; empty is nobody.
    pub credentials: Vec<Credential>,
}

/// Something that the request of a test carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    /// `Authorization`, whole.
    Authorization(String),
    /// A cookie's name and value.
    Cookie(String, String),
    /// Any other header, and one that a trusted proxy sets.
    Header(HeaderName, String),
    /// A token with these claims that holds.
    Token(TokenSource, serde_json::Map<String, serde_json::Value>),
    /// A client's certificate with these fields that holds.
    Certificate(Vec<(SubjectField, String)>),
    /// What the origin says besides its yes.
    Access(serde_json::Map<String, serde_json::Value>),
}

/// What is expected; `None` is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expect {
    /// The route's name.
    pub route: Option<Expected<String>>,
    /// The policy's name.
    pub policy: Option<Expected<String>>,
    /// Who may share.
    pub share: Option<Expected<String>>,
    /// What happens to it.
    pub outcome: Option<Expected<TestOutcome>>,
    /// The route's own tags for this request, in any order.
    pub tags: Option<Expected<Vec<String>>>,
    /// What this request purges if it succeeds, in any order.
    pub purges: Option<Expected<Vec<String>>>,
    /// The policy's lifetime.
    pub ttl: Option<Expected<Duration>>,
    /// Parameters that are keyed with this value; others may be there too.
    pub query: Option<Expected<Vec<(String, String)>>>,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected<T> {
    /// The value.
    pub value: T,
    pub(super) place: SourcePlace,
    pub(super) path: String,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestOutcome {
    /// To the origin, without the cache.
    Pass,
    /// Looked up in the cache.
    Lookup,
    /// Answered with an error.
    Refuse,
}

impl TestOutcome {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            TestOutcome::Pass => "pass",
            TestOutcome::Lookup => "lookup",
            TestOutcome::Refuse => "refuse",
        }
    }
}

/// What a request gets by the settings at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestVerdict {
    /// `None`: no route takes it.
    pub route: Option<String>,
    /// The policy's name.
    pub policy: Option<String>,
    /// Who may share.
    pub share: Option<String>,
    /// What happens to it.
    pub outcome: TestOutcome,
    /// The route's own tags for it.
    pub tags: Vec<String>,
    /// What it purges if it succeeds.
    pub purges: Vec<String>,
    /// The policy's lifetime.
    pub ttl: Option<Duration>,
    /// The canonical query, decoded.
    pub query: Vec<(String, String)>,
}

/// Asks `judge` about every test; where a verdict differs from what is expected, there is a problem.
pub fn run(tests: &[SelfTest], judge: &dyn Fn(&TestRequest) -> TestVerdict) -> Vec<ConfigProblem> {
    tests.iter().flat_map(|test| differences(&test.expect, &judge(&test.ask))).collect()
}

fn differences(expect: &Expect, verdict: &TestVerdict) -> Vec<ConfigProblem> {
    let mut problems = Vec::new();
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
    compare(&mut problems, &expect.route, |wanted| {
        (verdict.route.as_ref() != Some(wanted)).then(|| (wanted.clone(), name(&verdict.route)))
    });
    compare(&mut problems, &expect.policy, |wanted| {
        (verdict.policy.as_ref() != Some(wanted)).then(|| (wanted.clone(), name(&verdict.policy)))
    });
    compare(&mut problems, &expect.share, |wanted| {
        (verdict.share.as_ref() != Some(wanted)).then(|| (wanted.clone(), name(&verdict.share)))
    });
    compare(&mut problems, &expect.outcome, |wanted| {
        (verdict.outcome != *wanted).then(|| (wanted.as_str().to_owned(), verdict.outcome.as_str().to_owned()))
    });
    compare(&mut problems, &expect.tags, |wanted| sets(wanted, &verdict.tags));
    compare(&mut problems, &expect.purges, |wanted| sets(wanted, &verdict.purges));
    compare(&mut problems, &expect.ttl, |wanted| {
        let got = verdict.ttl.map_or("none".to_owned(), show_duration);
        (verdict.ttl != Some(*wanted)).then(|| (show_duration(*wanted), got))
    });
    compare(&mut problems, &expect.query, |wanted| {
        let missing = wanted.iter().find(|pair| !verdict.query.contains(pair))?;
        let got = verdict.query.iter().find(|(name, _)| *name == missing.0).map_or("none", |(_, value)| value);
        Some((format!("{}={}", missing.0, missing.1), format!("{}={got}", missing.0)))
    });
    problems
}

fn compare<T>(
    problems: &mut Vec<ConfigProblem>,
    expected: &Option<Expected<T>>,
    differ: impl FnOnce(&T) -> Option<(String, String)>,
) {
    let Some(expected) = expected else { return };
    if let Some((wanted, got)) = differ(&expected.value) {
        let message = format!("`{}`: expected {wanted}, got {got}", last_key(&expected.path));
        let problem = ConfigProblem::error(MessageKind::Contradiction, expected.place, &expected.path, message);
        problems.push(problem.hint("correct the test, or the route that it is about"));
    }
}

fn sets(wanted: &[String], got: &[String]) -> Option<(String, String)> {
    let same = wanted.iter().all(|tag| got.contains(tag)) && got.iter().all(|tag| wanted.contains(tag));
    (!same).then(|| (format!("[{}]", wanted.join(", ")), format!("[{}]", got.join(", "))))
}
