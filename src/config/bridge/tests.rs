//! `tests:`: requests, who asks them, and what they must get.

use http::{HeaderName, Method};

use super::identity::is_cookie_name;
use crate::asker::facet::certificate::SubjectField;
use crate::asker::identity::TokenSource;
use crate::config::message::{ConfigProblem, MessageKind};
use crate::config::nearest::nearest;
use crate::config::node::{Node, NodeKind};
use crate::config::reader::{NodeReader, NodeTable, Written};
use crate::config::selftest::{Credential, Expect, Expected, SelfTest, TestOutcome, TestRequest};

/// Names that a test may expect.
pub(super) struct TestNames<'a> {
    pub routes: Vec<&'a str>,
    pub policies: Vec<&'a str>,
    /// Headers that only trusted proxies may set.
    pub trusted: Vec<HeaderName>,
    /// Where a token stands.
    pub token: Option<TokenSource>,
}

pub(super) fn read(reader: &mut NodeReader, node: &Node, names: &TestNames<'_>) -> Vec<SelfTest> {
    let items = reader.list(node).unwrap_or_default();
    items.iter().filter_map(|item| test(reader, item, names)).collect()
}

fn test(reader: &mut NodeReader, node: &Node, names: &TestNames<'_>) -> Option<SelfTest> {
    let table = reader.table(node, &["ask", "as", "expect"], &[])?;
    let credentials = table.get("as").map(|node| credentials(reader, node, names)).unwrap_or_default();
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
    Some(SelfTest { line: node.place.line, ask: TestRequest { method, host, target, credentials }, expect: expect? })
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

fn credentials(reader: &mut NodeReader, node: &Node, names: &TestNames<'_>) -> Vec<Credential> {
    let hint = "write nobody, or {authorization: a}, {cookie.sessionid: a}, {header.x-user: a}, {trusted.x-tenant: a}, {jwt: {sub: a}}, {cert: {o: a}}";
    match &node.kind {
        NodeKind::Scalar(scalar) if scalar.text == "nobody" => return Vec::new(),
        NodeKind::Scalar(_) if !node.is_empty() => {
            reader.error(MessageKind::Value, node, "this does not say who asks", hint);
            return Vec::new();
        }
        _ => {}
    }
    let mut credentials = Vec::new();
    for (key, value) in reader.map(node).unwrap_or_default() {
        let credential = match key.text.split_once('.') {
            None if key.text == "authorization" => {
                reader.text(value).map(|text| Credential::Authorization(text.to_owned()))
            }
            None if key.text == "jwt" => match &names.token {
                Some(source) => object(reader, value).map(|claims| Credential::Token(source.clone(), claims)),
                None => {
                    reader.error(
                        MessageKind::Contradiction,
                        value,
                        "there is no `identity.jwt` to verify a token with",
                        hint,
                    );
                    None
                }
            },
            None if key.text == "cert" => certificate(reader, value),
            None if key.text == "access" => object(reader, value).map(Credential::Access),
            Some(("trusted", name)) if names.trusted.iter().any(|trusted| trusted.as_str() == name) => {
                let name = HeaderName::from_bytes(name.as_bytes()).ok();
                reader.text(value).zip(name).map(|(text, name)| Credential::Header(name, text.to_owned()))
            }
            Some(("header", name)) if names.trusted.iter().any(|trusted| trusted.as_str() == name) => {
                let message = format!("`{name}` is dropped unless a trusted proxy sets it");
                reader.error(MessageKind::Contradiction, value, message, format!("write {{trusted.{name}: a}}"));
                None
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
                reader.push(ConfigProblem::error(MessageKind::UnknownKey, key.place, &value.path, message).hint(hint));
                None
            }
        };
        credentials.extend(credential);
    }
    credentials
}

/// A certificate with these fields that holds.
fn certificate(reader: &mut NodeReader, node: &Node) -> Option<Credential> {
    let mut fields = Vec::new();
    for (key, value) in reader.map(node)? {
        match SubjectField::named(&key.text) {
            Some(field) => fields.extend(reader.text(value).map(|text| (field, text.to_owned()))),
            None => {
                let message = format!("`{}` is not a field of a certificate", key.text);
                let hint = format!("these are known: {}", SubjectField::ALL.map(|(name, _)| name).join(", "));
                reader.push(ConfigProblem::error(MessageKind::UnknownKey, key.place, &value.path, message).hint(hint));
            }
        }
    }
    Some(Credential::Certificate(fields))
}

fn expect(reader: &mut NodeReader, node: &Node, names: &TestNames<'_>) -> Option<Expect> {
    let known = ["route", "policy", "share", "outcome", "tags", "purges", "ttl", "query"];
    let table = reader.table(node, &known, &[])?;
    let outcomes = [("pass", TestOutcome::Pass), ("lookup", TestOutcome::Lookup), ("refuse", TestOutcome::Refuse)];
    let share = table.get("share").and_then(|node| match &node.kind {
        NodeKind::List(items) => {
            let names: Option<Vec<&str>> = items.iter().map(|item| reader.text(item)).collect();
            names.map(|names| at(node, format!("[{}]", names.join(", "))))
        }
        _ => {
            let words = ["public", "anonymous", "principal", "permitted"].map(|word| (word, word));
            reader.choice(node, &words).map(|word| at(node, word.to_owned()))
        }
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

/// A map as JSON, for claims and the like.
fn object(reader: &mut NodeReader, node: &Node) -> Option<serde_json::Map<String, serde_json::Value>> {
    let entries = reader.map(node)?;
    Some(entries.iter().map(|(key, value)| (key.text.clone(), json(value))).collect())
}

fn json(node: &Node) -> serde_json::Value {
    match &node.kind {
        NodeKind::Map(entries) => entries.iter().map(|(key, value)| (key.text.clone(), json(value))).collect(),
        NodeKind::List(items) => items.iter().map(json).collect(),
        NodeKind::Scalar(scalar) => {
            let plain = scalar.plain.then(|| serde_json::from_str(&scalar.text).ok()).flatten();
            plain.unwrap_or_else(|| serde_json::Value::String(scalar.text.clone()))
        }
        NodeKind::Broken => serde_json::Value::Null,
    }
}

fn at<T>(node: &Node, value: T) -> Expected<T> {
    Expected { value, place: node.place, path: node.path.clone() }
}

fn known_name(reader: &mut NodeReader, table: NodeTable<'_>, key: &str, names: &[&str]) -> Option<Expected<String>> {
    let node = table.get(key)?;
    let name = reader.text(node)?;
    if !names.contains(&name) {
        let hint = match nearest(name, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("these exist: {}", names.join(", ")),
        };
        reader.error(MessageKind::UnknownName, node, format!("there is no {key} `{name}`"), hint);
        return None;
    }
    Some(at(node, name.to_owned()))
}

fn texts(reader: &mut NodeReader, table: NodeTable<'_>, key: &str) -> Option<Expected<Vec<String>>> {
    let node = table.get(key)?;
    let items = reader.one_or_list(node)?;
    let texts: Vec<String> = items.iter().filter_map(|item| Some(reader.text(item)?.to_owned())).collect();
    Some(at(node, texts))
}
