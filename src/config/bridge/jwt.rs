//! `identity.jwt:`: where a token stands, and what it is verified with.

use std::path::Path;

use http::HeaderName;

use super::admin::secret_file;
use super::secrets::check_mode;
use crate::asker::identity::{Identity, TokenSource};
use crate::asker::token::TokenSettings;
use crate::asker::token::keys::{self, ALGORITHMS, Algorithm};
use crate::config::message::MessageKind;
use crate::config::node::Node;
use crate::config::reader::{NodeReader, NodeTable};

/// Clocks that differ by more are set wrongly.
const MOST_LEEWAY_SECONDS: u64 = 300;

/// Where the token stands, even if something else is wrong: what depends on there being one is not reported too.
pub(super) fn jwt(
    reader: &mut NodeReader,
    node: &Node,
    identity: &Identity,
    folder: &Path,
) -> (TokenSource, Option<TokenSettings>) {
    let known = ["from", "keys", "issuer", "audience", "leeway", "algorithms"];
    let Some(table) = reader.table(node, &known, &[]) else { return (TokenSource::Authorization, None) };
    let source = source(reader, table, identity).unwrap_or(TokenSource::Authorization);
    let algorithms = table.get("algorithms").and_then(|node| reader.one_or_list(node)).unwrap_or_default();
    let algorithms: Vec<_> = algorithms.iter().filter_map(|item| reader.choice(item, &ALGORITHMS)).collect();
    let leeway = table.get("leeway").and_then(|node| reader.duration(node));
    if let Some(leeway) = leeway.filter(|leeway| leeway.value.as_secs() > MOST_LEEWAY_SECONDS) {
        let message = "`leeway` lets a token that has expired be believed for that long";
        reader.error(MessageKind::Unsafe, leeway.node, message, "write 5m or less, and set the clocks");
    }
    let (issuers, audiences) = (texts(reader, table, "issuer"), texts(reader, table, "audience"));
    let keys = keys(reader, table, &algorithms, folder);
    let leeway = leeway.map(|leeway| leeway.value).unwrap_or_default();
    (source, keys.map(|keys| TokenSettings { keys, issuers, audiences, leeway }))
}

fn source(reader: &mut NodeReader, table: NodeTable<'_>, identity: &Identity) -> Option<TokenSource> {
    let node = table.get("from").unwrap_or(table.node);
    let text = match table.get("from") {
        Some(node) => reader.text(node)?,
        None => "authorization",
    };
    let header = |name: &str| HeaderName::from_bytes(name.as_bytes()).ok();
    let (source, listed) = match text.split_once('.') {
        None if text == "authorization" => (TokenSource::Authorization, identity.authorization),
        Some(("cookie", name)) => {
            (TokenSource::Cookie(name.to_owned()), identity.cookies.iter().any(|cookie| cookie == name))
        }
        Some(("header", name)) if header(name).is_some() => {
            let name = header(name)?;
            let listed = identity.headers.contains(&name);
            (TokenSource::Header(name), listed)
        }
        _ => {
            let hint = "write authorization, cookie.NAME or header.NAME";
            reader.error(MessageKind::Value, node, format!("`{text}` is not where a token stands"), hint);
            return None;
        }
    };
    if !listed {
        let message = format!("`{text}` holds a token, but it is no part of `identity.principal`");
        reader.error(
            MessageKind::Contradiction,
            node,
            message,
            format!("write principal: [{text}]: a token is a credential"),
        );
    }
    Some(source)
}

fn texts(reader: &mut NodeReader, table: NodeTable<'_>, key: &str) -> Vec<String> {
    let items = table.get(key).and_then(|node| reader.one_or_list(node)).unwrap_or_default();
    items.iter().filter_map(|item| Some(reader.text(item)?.to_owned())).collect()
}

fn keys(
    reader: &mut NodeReader,
    table: NodeTable<'_>,
    algorithms: &[Algorithm],
    folder: &Path,
) -> Option<Vec<keys::VerifyingKey>> {
    let hint = "write keys: {file: jwks.json}";
    let Some(node) = table.get("keys") else {
        reader.missing(table.node, "keys", "`jwt` does not say which keys tokens are signed with", hint);
        return None;
    };
    let keys = reader.table(node, &["file"], &[])?;
    let Some(file) = keys.get("file") else {
        reader.missing(node, "file", "the file is missing", hint);
        return None;
    };
    let text = secret_file(reader, file, folder)?;
    match keys::parse(&text, algorithms) {
        Ok(keys) => {
            if keys::holds_a_secret(&text) {
                check_mode(reader, file, folder);
            }
            Some(keys)
        }
        Err(reason) => {
            let name = reader.text(file)?;
            let hint = "it must hold a JSON web key set (RFC 7517) with the public keys of whoever signs the tokens";
            reader.error(MessageKind::Value, file, format!("`{name}` cannot be used: {reason}"), hint);
            None
        }
    }
}
