//! `admin:`: the second listener, and who may use it.

use std::path::Path;

use super::secrets::{check_mode, check_mode_of_own};
use crate::config::admin::{AdminSettings, AdminToken, TokenScope};
use crate::config::bridge::values::{address, file};
use crate::config::message::MessageKind;
use crate::config::node::{Node, NodeKind};
use crate::config::reader::NodeReader;
use crate::edge::settings::ServerSettings;

/// Shorter tokens can be guessed.
const SHORTEST_TOKEN: usize = 16;
const SCOPES: [(&str, TokenScope); 4] = [
    ("read", TokenScope::Read),
    ("purge", TokenScope::Purge),
    ("reload", TokenScope::Reload),
    ("bypass", TokenScope::Bypass),
];
const LARGEST_SECRET_FILE: u64 = 64 << 10;

pub(super) fn admin(reader: &mut NodeReader, node: Option<&Node>, folder: &Path) -> Option<AdminSettings> {
    let table = reader.table(node?, &["listen", "tokens"], &[])?;
    let before = reader.errors();
    let tokens = table.get("tokens").map(|node| tokens(reader, node, folder)).unwrap_or_default();
    let tokens_are_sound = reader.errors() == before;
    let Some(listen_node) = table.get("listen") else {
        reader.missing(table.node, "listen", "`admin` does not say where to listen", "write listen: 127.0.0.1:9090");
        return None;
    };
    let listen = address(reader, listen_node)?;
    if !listen.ip().is_loopback() && tokens.is_empty() && tokens_are_sound {
        let message = format!("`{listen}` can be reached from other machines, so `admin` needs tokens");
        let hint =
            "write tokens: {NAME: {token: {file: /run/secrets/admin}, may: [read, purge]}}, or listen on 127.0.0.1";
        reader.error(MessageKind::Unsafe, listen_node, message, hint);
    }
    Some(AdminSettings { listen, tokens })
}

/// The admin listener's address must not be one for clients.
pub(super) fn check_listeners(
    reader: &mut NodeReader,
    root: &Node,
    server: &ServerSettings,
    admin: Option<&AdminSettings>,
) {
    let Some(admin) = admin else { return };
    let Some(node) = root.get("admin").and_then(|admin| admin.get("listen")) else { return };
    let tls = server.tls.as_ref().filter(|tls| tls.listen.contains(&admin.listen)).map(|_| "server.tls.listen");
    let taken = server.listen.contains(&admin.listen).then_some("server.listen").or(tls);
    if let Some(taken) = taken.filter(|_| admin.listen.port() != 0) {
        let message = format!("`{}` is also an address of `{taken}`", admin.listen);
        reader.error(MessageKind::Contradiction, node, message, "give `admin` a port of its own, like 127.0.0.1:9090");
    }
}

fn tokens(reader: &mut NodeReader, node: &Node, folder: &Path) -> Vec<AdminToken> {
    let mut tokens: Vec<AdminToken> = Vec::new();
    for (name, node) in reader.named(node).unwrap_or_default() {
        let Some(table) = reader.table(node, &["token", "may"], &[]) else { continue };
        let secret = match table.get("token") {
            Some(node) => secret(reader, node, folder),
            None => {
                reader.missing(
                    node,
                    "token",
                    format!("the token `{}` has no `token`", name.text),
                    "write token: {file: /run/secrets/admin}",
                );
                None
            }
        };
        let may = match table.get("may") {
            Some(node) => scopes(reader, node),
            None => {
                reader.missing(
                    node,
                    "may",
                    format!("the token `{}` does not say what it may do", name.text),
                    "write may: [read], [purge] or [read, purge]",
                );
                None
            }
        };
        let (Some(secret), Some(may)) = (secret, may) else { continue };
        if let Some(other) = tokens.iter().find(|other| other.secret == secret) {
            let message =
                format!("`{}` and `{}` have the same token, so their use cannot be told apart", other.name, name.text);
            reader.error(MessageKind::Duplicate, node, message, "give each name a token of its own");
        }
        tokens.push(AdminToken { name: name.text.clone(), secret, may });
    }
    tokens
}

fn scopes(reader: &mut NodeReader, node: &Node) -> Option<Vec<TokenScope>> {
    let mut scopes = Vec::new();
    let items = reader.one_or_list(node)?;
    if items.is_empty() {
        reader.error(MessageKind::Missing, node, "the list is empty", "write [read], [purge] or [read, purge]");
    }
    for item in items {
        let scope = reader.choice(item, &SCOPES)?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Some(scopes)
}

/// A secret: text, or `{file: path}` whose content is read now. Messages never say what it is.
fn secret(reader: &mut NodeReader, node: &Node, folder: &Path) -> Option<String> {
    let (secret, node) = match &node.kind {
        NodeKind::Map(_) => {
            let table = reader.table(node, &["file"], &[])?;
            let Some(file) = table.get("file") else {
                reader.missing(node, "file", "the file is missing", "write token: {file: /run/secrets/admin}");
                return None;
            };
            let secret = secret_file(reader, file, folder)?;
            check_mode(reader, file, folder);
            (secret, file)
        }
        _ => {
            let written = reader.scalar(node, "text or {file: path}", "write {file: /run/secrets/admin}")?;
            let secret = written.text.clone();
            if written.written.is_none() {
                check_mode_of_own(reader, node);
            }
            (secret, node)
        }
    };
    let hint = "make one with `openssl rand -hex 32`";
    if secret.len() < SHORTEST_TOKEN {
        let message = format!("the token has fewer than {SHORTEST_TOKEN} characters, so it could be guessed");
        reader.error(MessageKind::Unsafe, node, message, hint);
        return None;
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = "the token has characters that an Authorization header cannot carry";
        reader.error(MessageKind::Value, node, message, hint);
        return None;
    }
    Some(secret)
}

/// The content of a file with a secret, read now, without the end of its last line.
pub(super) fn secret_file(reader: &mut NodeReader, node: &Node, folder: &Path) -> Option<String> {
    let content = file(reader, node, folder, LARGEST_SECRET_FILE)?;
    let trimmed = content.strip_suffix('\n').map_or(content.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if trimmed.is_empty() {
        let name = reader.text(node)?;
        reader.error(MessageKind::Value, node, format!("`{name}` is empty"), "write the secret into it");
        return None;
    }
    Some(trimmed.to_owned())
}
