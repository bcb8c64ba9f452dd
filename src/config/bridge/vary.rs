//! `vary:`, at a policy and at a route: which request headers are keyed and sent, and to what some of them are reduced.

use http::HeaderName;

use super::headers as fields;
use crate::config::message::MessageKind;
use crate::config::node::Node;
use crate::config::reader::{NodeReader, NodeTable};
use crate::rules::canonical::Serves;

const SERVED: [&str; 3] = ["language", "encoding", "accept"];
const NOT_YET: [&str; 1] = ["device"];

/// Under a policy of one's own.
pub(super) fn vary(reader: &mut NodeReader, node: &Node) -> (Vec<HeaderName>, Serves) {
    let Some(table) = reader.table(node, &[&SERVED[..], &["headers"]].concat(), &NOT_YET) else {
        return Default::default();
    };
    let serves = serves(reader, table);
    let names = table.get("headers").map(|node| headers(reader, node, &serves)).unwrap_or_default();
    (names, serves)
}

/// Under a built-in policy, where the origin's own `Vary` names what is keyed.
pub(super) fn served(reader: &mut NodeReader, node: &Node) -> Serves {
    let known = [&SERVED[..], &["headers"]].concat();
    let Some(table) = reader.table(node, &known, &NOT_YET) else { return Serves::default() };
    if let Some(node) = table.get("headers") {
        let message = "`vary.headers` does nothing under a built-in policy: the origin's `Vary` names what is keyed";
        reader.error(
            MessageKind::Contradiction,
            node,
            message,
            "define a policy of your own in `policies`, or remove it",
        );
    }
    serves(reader, table)
}

fn serves(reader: &mut NodeReader, table: NodeTable<'_>) -> Serves {
    let list = |reader: &mut NodeReader, key: &str, example: &str, read: fn(&str) -> Option<String>| {
        table.get(key).map(|node| served_values(reader, node, key, example, read)).unwrap_or_default()
    };
    Serves {
        languages: list(reader, "language", "language: [en, nb-NO]", language),
        encodings: list(reader, "encoding", "encoding: [br, gzip]", encoding),
        media: list(reader, "accept", "accept: [text/html, application/json]", media),
    }
}

fn served_values(
    reader: &mut NodeReader,
    node: &Node,
    key: &str,
    example: &str,
    read: fn(&str) -> Option<String>,
) -> Vec<String> {
    let mut values: Vec<String> = Vec::new();
    let Some(items) = reader.one_or_list(node) else { return values };
    if items.is_empty() {
        reader.error(
            MessageKind::Missing,
            node,
            format!("`{key}` is an empty list"),
            format!("write {example}, or remove it"),
        );
    }
    for item in items {
        let Some(text) = reader.text(item) else { continue };
        match read(text) {
            None => {
                let what = match key {
                    "language" => "a language tag",
                    "accept" => "a media type",
                    _ => "a content coding",
                };
                reader.error(MessageKind::Value, item, format!("`{text}` is not {what}"), format!("write {example}"));
            }
            Some(value) if values.iter().any(|other| other.eq_ignore_ascii_case(&value)) => {
                reader.error(MessageKind::Duplicate, item, format!("`{text}` is listed twice"), "keep one of the two");
            }
            Some(value) => values.push(value),
        }
    }
    values
}

/// RFC 5646 §2.1, as far as it can be told without the registry.
fn language(text: &str) -> Option<String> {
    let mut subtags = text.split('-');
    let is_first = |tag: &str| (2..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphabetic());
    let is_other = |tag: &str| (1..=8).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric());
    (subtags.next().is_some_and(is_first) && subtags.all(is_other)).then(|| text.to_owned())
}

/// Those of the registry that are in use. `identity` is always served.
fn encoding(text: &str) -> Option<String> {
    let text = text.to_ascii_lowercase();
    ["br", "compress", "deflate", "gzip", "zstd"].contains(&text.as_str()).then_some(text)
}

/// `type/subtype`, both named.
fn media(text: &str) -> Option<String> {
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b));
    let (family, name) = text.split_once('/')?;
    (is_name(family) && is_name(name)).then(|| text.to_ascii_lowercase())
}

/// Headers that are keyed and sent, in lower case.
fn headers(reader: &mut NodeReader, node: &Node, serves: &Serves) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for item in reader.one_or_list(node).unwrap_or_default() {
        let Some(text) = reader.text(item) else { continue };
        let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
            reader.error(
                MessageKind::Value,
                item,
                format!("`{text}` cannot be the name of a header"),
                "write a name like x-client-version",
            );
            continue;
        };
        let refused = if name == http::header::COOKIE || name == http::header::AUTHORIZATION {
            Some((
                "holds credentials: they decide who may share an answer, not which one it is",
                "name them in identity.principal and write share: principal",
            ))
        } else if fields::is_connection(&name) {
            Some(("belongs to the connection and not to the answer", "remove it"))
        } else if fields::is_forwarding(&name) {
            Some(("says where a request came from and differs for every client", "remove it"))
        } else if fields::is_conditional(&name) {
            Some(("is answered by the cache itself", "remove it"))
        } else {
            None
        };
        if let Some((reason, hint)) = refused {
            reader.error(MessageKind::Contradiction, item, format!("`{name}` {reason}"), hint);
        } else if name == http::header::ACCEPT {
            reader.warn(
                MessageKind::Contradiction,
                item,
                "`accept` is always keyed",
                "remove it, or list the media types that the origin has beside: accept: [text/html]",
            );
        } else if serves.reduces(&name) {
            reader.warn(
                MessageKind::Contradiction,
                item,
                format!("`{name}` is keyed by what is listed beside"),
                "remove it",
            );
        } else {
            names.push(name);
        }
    }
    names
}
