//! `tests:` of the file: what a request would get, checked without a network.
//!
//! Reading them is here, and comparing; what a request gets is the caller's to say.

use std::time::Duration;

use http::{HeaderName, Method};

use crate::config::bridge::is_cookie_name;
use crate::config::nearest::nearest;
use crate::config::problem::{Kind, Problem};
use crate::config::reader::{Reader, Table, Written, last_key};
use crate::config::source::Place;
use crate::config::tree::{Node, NodeKind};
use crate::config::units::show_duration;
use crate::policy::Share;

/// One entry of `tests:`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelfTest {
    /// 1-based.
    pub line: u32,
    /// The request.
    pub ask: Ask,
    /// What it must get.
    pub expect: Expect,
}

/// A request of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
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
    Authorization(String),
    Cookie(String, String),
    Header(HeaderName, String),
}

/// What is expected; `None` is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expect {
    pub route: Option<Expected<String>>,
    pub policy: Option<Expected<String>>,
    pub share: Option<Expected<Share>>,
    pub outcome: Option<Expected<Outcome>>,
    /// The route's own tags for this request, in any order.
    pub tags: Option<Expected<Vec<String>>>,
    /// What this request purges if it succeeds, in any order.
    pub purges: Option<Expected<Vec<String>>>,
    pub ttl: Option<Expected<Duration>>,
    /// Parameters that are keyed with this value; others may be there too.
    pub query: Option<Expected<Vec<(String, String)>>>,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected<T> {
    pub value: T,
    place: Place,
    path: String,
}

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// To the origin, without the cache.
    Pass,
    /// Looked up in the cache.
    Lookup,
    /// Answered with an error.
    Refuse,
}

impl Outcome {
    /// As it is written in the configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Pass => "pass",
            Outcome::Lookup => "lookup",
            Outcome::Refuse => "refuse",
        }
    }
}

/// What a request gets by the settings at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// `None`: no route takes it.
    pub route: Option<String>,
    pub policy: Option<String>,
    pub share: Option<Share>,
    pub outcome: Outcome,
    pub tags: Vec<String>,
    pub purges: Vec<String>,
    pub ttl: Option<Duration>,
    /// The canonical query, decoded.
    pub query: Vec<(String, String)>,
}

/// Asks `judge` about every test; where a verdict differs from what is expected, there is a problem.
pub fn run(tests: &[SelfTest], judge: &dyn Fn(&Ask) -> Verdict) -> Vec<Problem> {
    tests.iter().flat_map(|test| differences(&test.expect, &judge(&test.ask))).collect()
}

fn differences(expect: &Expect, verdict: &Verdict) -> Vec<Problem> {
    let mut problems = Vec::new();
    let name = |name: &Option<String>| name.clone().unwrap_or_else(|| "none".to_owned());
    compare(&mut problems, &expect.route, |wanted| {
        (verdict.route.as_ref() != Some(wanted)).then(|| (wanted.clone(), name(&verdict.route)))
    });
    compare(&mut problems, &expect.policy, |wanted| {
        (verdict.policy.as_ref() != Some(wanted)).then(|| (wanted.clone(), name(&verdict.policy)))
    });
    compare(&mut problems, &expect.share, |wanted| {
        let got = verdict.share.map_or("none", Share::as_str);
        (verdict.share != Some(*wanted)).then(|| (wanted.as_str().to_owned(), got.to_owned()))
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
    problems: &mut Vec<Problem>,
    expected: &Option<Expected<T>>,
    differ: impl FnOnce(&T) -> Option<(String, String)>,
) {
    let Some(expected) = expected else { return };
    if let Some((wanted, got)) = differ(&expected.value) {
        let message = format!("`{}`: expected {wanted}, got {got}", last_key(&expected.path));
        let problem = Problem::error(Kind::Contradiction, expected.place, &expected.path, message);
        problems.push(problem.hint("correct the test, or the route that it is about"));
    }
}

fn sets(wanted: &[String], got: &[String]) -> Option<(String, String)> {
    let same = wanted.iter().all(|tag| got.contains(tag)) && got.iter().all(|tag| wanted.contains(tag));
    (!same).then(|| (format!("[{}]", wanted.join(", ")), format!("[{}]", got.join(", "))))
}

/// Names that a test may expect.
pub(super) struct Names<'a> {
    pub routes: Vec<&'a str>,
    pub policies: Vec<&'a str>,
}

pub(super) fn read(reader: &mut Reader, node: &Node, names: &Names<'_>) -> Vec<SelfTest> {
    let items = reader.list(node).unwrap_or_default();
    items.iter().filter_map(|item| test(reader, item, names)).collect()
}

fn test(reader: &mut Reader, node: &Node, names: &Names<'_>) -> Option<SelfTest> {
    let table = reader.table(node, &["ask", "as", "expect"], &[])?;
    let credentials = table.get("as").map(|node| credentials(reader, node)).unwrap_or_default();
    let expect = match table.get("expect") {
        Some(node) => expect(reader, node, names),
        None => {
            reader.missing(node, "expect", "the test expects nothing", "write expect: {route: NAME, outcome: lookup}");
            None
        }
    };
    let Some(ask) = table.get("ask") else {
        reader.missing(node, "ask", "the test asks for nothing", "write ask: GET /api/patients/7");
        return None;
    };
    let (method, host, target) = reader.parsed(ask, "a request", "GET /api/patients/7", request)?;
    Some(SelfTest { line: node.place.line, ask: Ask { method, host, target, credentials }, expect: expect? })
}

fn request(text: &str) -> Result<(Method, Option<String>, String), (String, String)> {
    let refusal = |hint: &str| (format!("`{text}` is not a request"), hint.to_owned());
    let form = "write a method and a path: GET /api/patients/7";
    let (method, target) = text
        .split_once(' ')
        .ok_or_else(|| if text.starts_with('/') { refusal(&format!("write GET {text}")) } else { refusal(form) })?;
    let target = target.trim();
    let upper = method.to_ascii_uppercase();
    let parsed = Method::from_bytes(method.as_bytes()).ok().filter(|_| method == upper);
    let method = parsed.ok_or_else(|| refusal(&format!("write {upper} {target}")))?;
    let (host, target) = match target.strip_prefix("http://").or_else(|| target.strip_prefix("https://")) {
        Some(rest) => {
            let slash =
                rest.find('/').ok_or_else(|| refusal("write a path behind the host: http://clinic.example/"))?;
            (Some(rest[..slash].to_ascii_lowercase()), &rest[slash..])
        }
        None => (None, target),
    };
    if !target.starts_with('/') || target.contains([' ', '#']) || target.chars().any(char::is_control) {
        return Err(refusal(form));
    }
    Ok((method, host, target.to_owned()))
}

fn credentials(reader: &mut Reader, node: &Node) -> Vec<Credential> {
    let hint = "write nobody, or {authorization: a}, {cookie.sessionid: a}, {header.x-user: a}";
    match &node.kind {
        NodeKind::Scalar(scalar) if scalar.text == "nobody" => return Vec::new(),
        NodeKind::Scalar(_) if !node.is_empty() => {
            reader.error(Kind::Value, node, "this does not say who asks", hint);
            return Vec::new();
        }
        _ => {}
    }
    let mut credentials = Vec::new();
    for (key, value) in reader.map(node).unwrap_or_default() {
        if key.text == "jwt" || key.text.starts_with("jwt.") || key.text == "cert" {
            reader.not_yet(value, &format!("as: {}", key.text));
            continue;
        }
        let credential = match key.text.split_once('.') {
            None if key.text == "authorization" => {
                reader.text(value).map(|text| Credential::Authorization(text.to_owned()))
            }
            Some(("cookie", name)) if is_cookie_name(name) => {
                reader.text(value).map(|text| Credential::Cookie(name.to_owned(), text.to_owned()))
            }
            Some(("header", name)) if HeaderName::from_bytes(name.as_bytes()).is_ok() => {
                let name = HeaderName::from_bytes(name.as_bytes()).ok();
                reader.text(value).zip(name).map(|(text, name)| Credential::Header(name, text.to_owned()))
            }
            _ => {
                let message = format!("unknown key `{}`", key.text);
                reader.push(Problem::error(Kind::UnknownKey, key.place, &value.path, message).hint(hint));
                None
            }
        };
        credentials.extend(credential);
    }
    credentials
}

fn expect(reader: &mut Reader, node: &Node, names: &Names<'_>) -> Option<Expect> {
    let known = ["route", "policy", "share", "outcome", "tags", "purges", "ttl", "query"];
    let table = reader.table(node, &known, &[])?;
    let shares = [("public", Share::Public), ("anonymous", Share::Anonymous), ("principal", Share::Principal)];
    let outcomes = [("pass", Outcome::Pass), ("lookup", Outcome::Lookup), ("refuse", Outcome::Refuse)];
    let share = table.get("share").and_then(|node| match &node.kind {
        NodeKind::List(_) => {
            reader.not_yet(node, "share: [facets]");
            None
        }
        _ => reader.choice_so_far(node, &shares, &["permitted"]).map(|share| at(node, share)),
    });
    Some(Expect {
        route: known_name(reader, table, "route", &names.routes),
        policy: known_name(reader, table, "policy", &names.policies),
        share,
        outcome: table.get("outcome").and_then(|node| Some(at(node, reader.choice(node, &outcomes)?))),
        tags: texts(reader, table, "tags"),
        purges: texts(reader, table, "purges"),
        ttl: table.get("ttl").and_then(|node| reader.duration(node)).map(|Written { value, node }| at(node, value)),
        query: table.get("query").and_then(|node| {
            let entries = reader.map(node)?;
            let pairs =
                entries.iter().filter_map(|(key, value)| Some((key.text.clone(), reader.text(value)?.to_owned())));
            let pairs = pairs.collect();
            Some(at(node, pairs))
        }),
    })
}

fn at<T>(node: &Node, value: T) -> Expected<T> {
    Expected { value, place: node.place, path: node.path.clone() }
}

fn known_name(reader: &mut Reader, table: Table<'_>, key: &str, names: &[&str]) -> Option<Expected<String>> {
    let node = table.get(key)?;
    let name = reader.text(node)?;
    if !names.contains(&name) {
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("these exist: {}", names.join(", ")),
        };
        reader.error(Kind::UnknownName, node, format!("there is no {key} `{name}`"), hint);
        return None;
    }
    Some(at(node, name.to_owned()))
}

fn texts(reader: &mut Reader, table: Table<'_>, key: &str) -> Option<Expected<Vec<String>>> {
    let node = table.get(key)?;
    let items = reader.one_or_list(node)?;
    let texts: Vec<String> = items.iter().filter_map(|item| Some(reader.text(item)?.to_owned())).collect();
    Some(at(node, texts))
}
