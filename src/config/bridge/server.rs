//! `server:`, `admin:` and `cache:`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use ipnet::IpNet;

use crate::admin::settings::{AdminSettings, AdminToken, Scope};
use crate::config::problem::Kind;
use crate::config::reader::Reader;
use crate::config::tree::{Node, NodeKind};
use crate::config::units;
use crate::edge::settings::{ServerLimits, ServerSettings};
use crate::store::settings::{CacheMode, CacheSettings};

/// Room for the head of any sane request.
const LEAST_HEADER_BYTES: u64 = 8 << 10;
const MOST_HEADER_BYTES: u64 = 1 << 20;
const LEAST_MEMORY: u64 = 1 << 20;
/// Shorter tokens can be guessed.
const SHORTEST_TOKEN: usize = 16;
const LARGEST_SECRET_FILE: u64 = 64 << 10;

pub(super) fn server(reader: &mut Reader, node: Option<&Node>) -> ServerSettings {
    let mut settings = ServerSettings {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
        workers: None,
        trusted_proxies: Vec::new(),
        limits: ServerLimits::default(),
    };
    let known = ["listen", "workers", "trusted_proxies", "limits"];
    let Some(table) = node.and_then(|node| reader.table(node, &known, &["pressure", "tls"])) else { return settings };
    if let Some(listen) = table.get("listen").and_then(|node| addresses(reader, node)) {
        settings.listen = listen;
    }
    settings.workers = table.get("workers").and_then(|node| workers(reader, node));
    if let Some(items) = table.get("trusted_proxies").and_then(|node| reader.one_or_list(node)) {
        settings.trusted_proxies = items.iter().filter_map(|item| network(reader, item)).collect();
    }
    if let Some(node) = table.get("limits") {
        limits(reader, node, &mut settings.limits);
    }
    settings
}

fn addresses(reader: &mut Reader, node: &Node) -> Option<Vec<SocketAddr>> {
    let items = reader.one_or_list(node)?;
    if items.is_empty() {
        reader.error(Kind::Missing, node, "`server.listen` is an empty list", "write listen: 127.0.0.1:8080");
    }
    let mut addresses = Vec::new();
    for item in items {
        let Some(address) = address(reader, item) else { continue };
        if address.port() != 0 && addresses.contains(&address) {
            reader.error(Kind::Duplicate, item, format!("`{address}` is listed twice"), "keep one of the two");
        }
        addresses.push(address);
    }
    Some(addresses)
}

fn address(reader: &mut Reader, node: &Node) -> Option<SocketAddr> {
    reader.parsed(node, "an address", "an address and a port, like 127.0.0.1:8080", |text| {
        text.parse().map_err(|_| {
            let port = text.strip_prefix(':').unwrap_or(text);
            let hint = if port.parse::<u16>().is_ok() {
                format!("write 127.0.0.1:{port}, or 0.0.0.0:{port} to be reached from other machines")
            } else if let Some(port) = text.strip_prefix("localhost:") {
                format!("write 127.0.0.1:{port}")
            } else if let Some(port) = text.strip_prefix("*:") {
                format!("write 0.0.0.0:{port}")
            } else if let Ok(ip) = text.parse::<IpAddr>() {
                format!("the port is missing: write {}", SocketAddr::new(ip, 8080))
            } else {
                "write an IP address and a port: 127.0.0.1:8080 or [::1]:8080".to_owned()
            };
            (format!("`{text}` is not an address to listen on"), hint)
        })
    })
}

fn workers(reader: &mut Reader, node: &Node) -> Option<usize> {
    let example = "auto or a number from 1 to 64";
    let workers = reader.parsed(node, "a number of workers", example, |text| match text {
        "auto" => Ok(None),
        _ => match text.parse::<usize>() {
            Ok(number @ 1..=64) => Ok(Some(number)),
            _ => Err((format!("`{text}` is not a number of workers"), format!("write {example}"))),
        },
    });
    workers.flatten()
}

fn network(reader: &mut Reader, node: &Node) -> Option<IpNet> {
    let network = reader.parsed(node, "a network", "10.0.0.0/8", |text| {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| network.trunc()).map_err(|_| {
            (
                format!("`{text}` is not a network"),
                "write an address or a network: 10.0.0.7, 10.0.0.0/8 or fd00::/8".to_owned(),
            )
        })
    })?;
    if network.prefix_len() == 0 {
        let message = format!("`{network}` trusts everybody: any client can then say where it comes from");
        reader.warn(Kind::Unsafe, node, message, "name only the networks of your own proxies");
    }
    Some(network)
}

fn limits(reader: &mut Reader, node: &Node, limits: &mut ServerLimits) {
    let known = ["connections", "header_bytes", "headers", "body", "header_timeout", "idle_timeout"];
    let Some(table) = reader.table(node, &known, &[]) else { return };
    if let Some(count) = table.get("connections").and_then(|node| reader.count(node, 1, 1_000_000)) {
        limits.connections = usize::try_from(count).unwrap_or(usize::MAX);
    }
    if let Some(count) = table.get("headers").and_then(|node| reader.count(node, 1, 1_000)) {
        limits.headers = usize::try_from(count).unwrap_or(usize::MAX);
    }
    if let Some(size) = table.get("header_bytes").and_then(|node| reader.size(node)) {
        if (LEAST_HEADER_BYTES..=MOST_HEADER_BYTES).contains(&size.value) {
            limits.header_bytes = usize::try_from(size.value).unwrap_or(usize::MAX);
        } else {
            reader.error(Kind::Value, size.node, "`header_bytes` must be from 8KiB to 1MiB", "write 32KiB");
        }
    }
    if let Some(size) = table.get("body").and_then(|node| reader.size(node)) {
        limits.body = size.value;
    }
    for (key, target) in [("header_timeout", &mut limits.header_timeout), ("idle_timeout", &mut limits.idle_timeout)] {
        if let Some(time) = table.get(key).and_then(|node| reader.positive_duration(node, "write 10s or more")) {
            *target = time.value;
        }
    }
}

pub(super) fn admin(reader: &mut Reader, node: Option<&Node>, folder: &Path) -> Option<AdminSettings> {
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
        reader.error(Kind::Unsafe, listen_node, message, hint);
    }
    Some(AdminSettings { listen, tokens })
}

/// The admin listener's address must not be one for clients.
pub(super) fn check_listeners(
    reader: &mut Reader,
    root: &Node,
    server: &ServerSettings,
    admin: Option<&AdminSettings>,
) {
    let Some(admin) = admin else { return };
    let Some(node) = root.get("admin").and_then(|admin| admin.get("listen")) else { return };
    if admin.listen.port() != 0 && server.listen.contains(&admin.listen) {
        let message = format!("`{}` is also an address of `server.listen`", admin.listen);
        reader.error(Kind::Contradiction, node, message, "give `admin` a port of its own, like 127.0.0.1:9090");
    }
}

fn tokens(reader: &mut Reader, node: &Node, folder: &Path) -> Vec<AdminToken> {
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
            reader.error(Kind::Duplicate, node, message, "give each name a token of its own");
        }
        tokens.push(AdminToken { name: name.text.clone(), secret, may });
    }
    tokens
}

fn scopes(reader: &mut Reader, node: &Node) -> Option<Vec<Scope>> {
    let mut scopes = Vec::new();
    let items = reader.one_or_list(node)?;
    if items.is_empty() {
        reader.error(Kind::Missing, node, "the list is empty", "write [read], [purge] or [read, purge]");
    }
    for item in items {
        let scope = reader.choice(item, &[("read", Scope::Read), ("purge", Scope::Purge)])?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Some(scopes)
}

/// A secret: text, or `{file: path}` whose content is read now. Messages never say what it is.
fn secret(reader: &mut Reader, node: &Node, folder: &Path) -> Option<String> {
    let (secret, node) = match &node.kind {
        NodeKind::Map(_) => {
            let table = reader.table(node, &["file"], &[])?;
            let Some(file) = table.get("file") else {
                reader.missing(node, "file", "the file is missing", "write token: {file: /run/secrets/admin}");
                return None;
            };
            (secret_file(reader, file, folder)?, file)
        }
        _ => (reader.scalar(node, "text or {file: path}", "write {file: /run/secrets/admin}")?.text.clone(), node),
    };
    let hint = "make one with `openssl rand -hex 32`";
    if secret.len() < SHORTEST_TOKEN {
        let message = format!("the token has fewer than {SHORTEST_TOKEN} characters, so it could be guessed");
        reader.error(Kind::Unsafe, node, message, hint);
        return None;
    }
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        let message = "the token has characters that an Authorization header cannot carry";
        reader.error(Kind::Value, node, message, hint);
        return None;
    }
    Some(secret)
}

fn secret_file(reader: &mut Reader, node: &Node, folder: &Path) -> Option<String> {
    use std::io::Read as _;
    let name = reader.text(node)?;
    let path = folder.join(name);
    let mut content = String::new();
    // A device or a pipe would be read for ever; a directory fails when it is read.
    let read = std::fs::metadata(&path).and_then(|metadata| {
        if !metadata.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        std::fs::File::open(&path)?.take(LARGEST_SECRET_FILE).read_to_string(&mut content)
    });
    if let Err(error) = read {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "reading it is not permitted".to_owned(),
            _ => error.to_string(),
        };
        let hint = "the path is relative to the folder of this file; the process must be able to read it";
        reader.error(Kind::Value, node, format!("`{name}` cannot be read: {reason}"), hint);
        return None;
    }
    let trimmed = content.strip_suffix('\n').map_or(content.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if trimmed.is_empty() {
        reader.error(Kind::Value, node, format!("`{name}` is empty"), "write the secret into it");
        return None;
    }
    Some(trimmed.to_owned())
}

pub(super) fn cache(reader: &mut Reader, node: Option<&Node>) -> CacheSettings {
    let mut settings = CacheSettings::default();
    let known = ["mode", "memory", "max_object"];
    let Some(table) = node.and_then(|node| reader.table(node, &known, &["redis", "pools"])) else { return settings };
    if let Some(node) = table.get("mode") {
        let modes = [("serve", CacheMode::Serve), ("bypass", CacheMode::Bypass)];
        settings.mode = reader.choice_so_far(node, &modes, &["shadow"]).unwrap_or_default();
    }
    if let Some(size) = table.get("memory").and_then(|node| reader.size(node)) {
        if size.value < LEAST_MEMORY {
            reader.error(Kind::Value, size.node, "`memory` must be 1MiB at least", "write 256MiB");
        }
        settings.memory = size.value;
    }
    settings.max_object = settings.max_object.min(settings.memory);
    if let Some(size) = table.get("max_object").and_then(|node| reader.size(node)) {
        if size.value > settings.memory {
            let shown = units::show_size(settings.memory);
            let message = format!("`max_object` is larger than `memory`, which is {shown}");
            reader.error(
                Kind::Contradiction,
                size.node,
                message,
                format!("write {shown} or less, or give `memory` more"),
            );
        }
        settings.max_object = size.value;
    }
    settings
}
