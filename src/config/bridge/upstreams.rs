//! `upstreams:`: named services, with `defaults` for all of them.

use std::time::Duration;

use http::uri::Authority;

use super::identity::is_cookie_name;
use super::paths;
use super::server::header_bytes;
use crate::asker::identity::{CookieRole, Identity};
use crate::config::message::{ConfigProblem, MessageKind};
use crate::config::node::{KeyNode, Node, NodeKind};
use crate::config::reader::{NodeReader, NodeTable, Written};
use crate::config::units::show_duration;
use crate::http1::bounds::{MAX_FIELDS, MAX_HEAD};
use crate::rules::path::RequestPath;
use crate::upstream::settings::{Balance, HeadLimits, ToldBy, UpstreamSettings};

/// All upstreams by name; the settings only of those that could be read.
pub(super) struct Upstreams<'n> {
    /// `None`: the section is missing or cannot be read, and names in it cannot be known.
    pub names: Option<Vec<&'n str>>,
    pub settings: Vec<UpstreamSettings>,
}

/// What one upstream or `defaults` says.
#[derive(Default, Clone, Copy)]
struct Draft<'n> {
    balance: Option<Balance>,
    told: Option<ToldBy>,
    paths: Option<&'n Node>,
    sign_in: Option<Written<'n, &'n str>>,
    sticky: Option<Written<'n, &'n str>>,
    connect_timeout: Option<Written<'n, Duration>>,
    timeout: Option<Written<'n, Duration>>,
    deadline: Option<Written<'n, Duration>>,
    head_bytes: Option<usize>,
    head_fields: Option<usize>,
    retries: Option<u32>,
    max: Option<usize>,
    streams: Option<usize>,
    idle: Option<Written<'n, usize>>,
    life: Option<Duration>,
    idle_timeout: Option<Duration>,
}

const SHARED: [&str; 11] = [
    "balance",
    "paths",
    "sticky",
    "sign_in",
    "forwarded",
    "connect_timeout",
    "timeout",
    "deadline",
    "limits",
    "retries",
    "pool",
];
const NOT_YET: [&str; 2] = ["health", "breaker"];

pub(super) fn upstreams<'n>(reader: &mut NodeReader, root: &'n Node, identity: &Identity) -> Upstreams<'n> {
    let mut upstreams = Upstreams { names: None, settings: Vec::new() };
    let hint = "write upstreams: {app: {servers: [http://127.0.0.1:8000]}}";
    let Some(node) = root.get("upstreams") else {
        reader.missing(root, "upstreams", "`upstreams` is missing: nothing says where requests go", hint);
        return upstreams;
    };
    let Some(entries) = reader.named(node) else { return upstreams };
    let defaults = entries.iter().find(|(name, _)| name.text == "defaults");
    let defaults = defaults.and_then(|(_, node)| reader.table(node, &SHARED, &NOT_YET));
    let defaults = defaults.map(|table| draft(reader, table, identity)).unwrap_or_default();
    let services: Vec<(&KeyNode, &Node)> = entries.into_iter().filter(|(name, _)| name.text != "defaults").collect();
    if services.is_empty() {
        reader.missing(node, "", "no upstream is defined", hint);
        return upstreams;
    }
    upstreams.names = Some(services.iter().map(|(name, _)| name.text.as_str()).collect());
    upstreams.settings =
        services.into_iter().filter_map(|(name, node)| upstream(reader, name, node, defaults, identity)).collect();
    upstreams
}

fn draft<'n>(reader: &mut NodeReader, table: NodeTable<'n>, identity: &Identity) -> Draft<'n> {
    let balances =
        [("round_robin", Balance::RoundRobin), ("least_connections", Balance::LeastConnections), ("p2c", Balance::P2c)];
    let mut draft = Draft {
        balance: table.get("balance").and_then(|node| reader.choice(node, &balances)),
        told: table.get("forwarded").and_then(|node| reader.choice(node, &TOLD)),
        paths: table.get("paths"),
        sign_in: table.get("sign_in").and_then(|node| sign_in(reader, node)),
        sticky: table.get("sticky").and_then(|node| sticky(reader, node, identity)),
        connect_timeout: time(reader, table, "connect_timeout", "write 1s"),
        timeout: time(reader, table, "timeout", "write 10s"),
        deadline: time(reader, table, "deadline", "write 30s"),
        retries: table
            .get("retries")
            .and_then(|node| reader.count(node, 0, 10))
            .and_then(|count| u32::try_from(count).ok()),
        ..Draft::default()
    };
    let limits = table.get("limits").and_then(|node| reader.table(node, &["header_bytes", "headers"], &[]));
    if let Some(limits) = limits {
        draft.head_bytes = limits.get("header_bytes").and_then(|node| header_bytes(reader, node, "64KiB"));
        let fields = limits.get("headers").and_then(|node| reader.count(node, 1, MOST_FIELDS));
        draft.head_fields = fields.and_then(|count| usize::try_from(count).ok());
    }
    let pool =
        table.get("pool").and_then(|node| reader.table(node, &["max", "streams", "idle", "life", "idle_timeout"], &[]));
    if let Some(pool) = pool {
        let count = |count: u64| usize::try_from(count).ok();
        draft.max = pool.get("max").and_then(|node| reader.count(node, 1, 100_000)).and_then(count);
        draft.streams = pool.get("streams").and_then(|node| reader.count(node, 0, 100_000)).and_then(count);
        let idle = pool.get("idle").and_then(|node| Some((reader.count(node, 0, 100_000)?, node)));
        draft.idle = idle.and_then(|(idle, node)| Some(Written { value: count(idle)?, node }));
        draft.life = time(reader, pool, "life", "write 1h").map(|life| life.value);
        draft.idle_timeout = time(reader, pool, "idle_timeout", "write 1500ms").map(|time| time.value);
    }
    draft
}

/// The most fields that the head of an answer may be let have.
const MOST_FIELDS: u64 = 4096;

/// By which fields an origin is told of the client.
const TOLD: [(&str, ToldBy); 4] =
    [("both", ToldBy::Both), ("rfc7239", ToldBy::Standard), ("x-forwarded", ToldBy::XForwarded), ("off", ToldBy::Not)];

/// The path that whoever is not signed in is sent to.
fn sign_in<'n>(reader: &mut NodeReader, node: &'n Node) -> Option<Written<'n, &'n str>> {
    let text = reader.text(node)?;
    let path = RequestPath::new(text);
    if !text.starts_with('/') || text == "/" || text.contains(['?', '#', '*', '<', '\\']) || path.ambiguity.is_some() {
        let message = format!("`{text}` is not the path of a page to sign in at");
        reader.error(MessageKind::Value, node, message, "write its path alone, like /accounts/login/");
        return None;
    }
    Some(Written { value: text, node })
}

/// The name of the cookie in `cookie.NAME`.
fn sticky<'n>(reader: &mut NodeReader, node: &'n Node, identity: &Identity) -> Option<Written<'n, &'n str>> {
    let text = reader.text(node)?;
    let Some(name) = text.strip_prefix("cookie.").filter(|name| is_cookie_name(name)) else {
        let message = format!("`{text}` does not say what a request goes to its server by");
        reader.error(MessageKind::Value, node, message, "write cookie.NAME, with the exact name: cookie.JSESSIONID");
        return None;
    };
    if identity.cookie(name) == CookieRole::Ignored {
        let message = format!("`{name}` is ignored, so what is fetched to be kept is sent without it, to any server");
        reader.warn(MessageKind::Contradiction, node, message, "move it from `ignore_cookies` to `affinity_cookies`");
    }
    Some(Written { value: name, node })
}

fn time<'n>(reader: &mut NodeReader, table: NodeTable<'n>, key: &str, hint: &str) -> Option<Written<'n, Duration>> {
    table.get(key).and_then(|node| reader.positive_duration(node, hint))
}

fn upstream(
    reader: &mut NodeReader,
    name: &KeyNode,
    node: &Node,
    defaults: Draft<'_>,
    identity: &Identity,
) -> Option<UpstreamSettings> {
    let known = [&["servers"], &SHARED[..]].concat();
    let table = reader.table(node, &known, &NOT_YET)?;
    let before = reader.errors();
    let own = draft(reader, table, identity);
    let sound = reader.errors() == before;
    let servers = match table.get("servers") {
        Some(node) => servers(reader, node),
        None => {
            let message = format!("the upstream `{}` has no servers", name.text);
            reader.missing(node, "servers", message, "write servers: [http://127.0.0.1:8000]");
            return None;
        }
    };
    if let (Some(sticky), [_]) = (own.sticky, servers.as_slice()) {
        let message = "`sticky` does nothing where there is one server";
        reader.warn(MessageKind::Contradiction, sticky.node, message, "remove it, or list the other servers");
    }
    let paths = own.paths.or(defaults.paths).and_then(|node| paths::aliases(reader, node)).unwrap_or_default();
    let max_connections = own.max.or(defaults.max).unwrap_or(100);
    let timeout = own.timeout.or(defaults.timeout);
    let attempt = timeout.map_or(Duration::from_secs(10), |timeout| timeout.value);
    let settings = UpstreamSettings {
        name: name.text.clone(),
        servers,
        balance: own.balance.or(defaults.balance).unwrap_or_default(),
        told: own.told.or(defaults.told).unwrap_or_default(),
        paths,
        sign_in: own.sign_in.or(defaults.sign_in).map(|written| RequestPath::new(written.value).text.into_owned()),
        sticky: own.sticky.or(defaults.sticky).map(|written| written.value.to_owned()),
        // What is not written gives way to what is.
        connect_timeout: match own.connect_timeout.or(defaults.connect_timeout) {
            Some(written) => written.value,
            None => Duration::from_secs(1).min(attempt),
        },
        timeout: attempt,
        deadline: own.deadline.or(defaults.deadline).map_or(Duration::from_secs(30), |deadline| deadline.value),
        head: HeadLimits {
            bytes: own.head_bytes.or(defaults.head_bytes).unwrap_or(MAX_HEAD),
            fields: own.head_fields.or(defaults.head_fields).unwrap_or(MAX_FIELDS),
        },
        retries: own.retries.or(defaults.retries).unwrap_or(0),
        max_connections,
        max_streams: own.streams.or(defaults.streams).unwrap_or(1000),
        max_idle: own.idle.or(defaults.idle).map_or(32.min(max_connections), |idle| idle.value),
        idle_timeout: own.idle_timeout.or(defaults.idle_timeout).unwrap_or(Duration::from_millis(1500)),
        max_life: own.life.or(defaults.life).unwrap_or(Duration::from_secs(3600)),
    };
    if sound {
        check(reader, node, &settings, own, defaults);
    }
    Some(settings)
}

/// `60s` stays `60s` in a message, so that it can be found in the file.
fn as_written(written: Option<Written<'_, Duration>>, value: Duration) -> String {
    match written.map(|written| &written.node.kind) {
        Some(NodeKind::Scalar(scalar)) if scalar.written.is_none() => scalar.text.clone(),
        _ => show_duration(value),
    }
}

/// Do the times and counts fit each other?
fn check(reader: &mut NodeReader, node: &Node, settings: &UpstreamSettings, own: Draft<'_>, defaults: Draft<'_>) {
    let UpstreamSettings { timeout, deadline, connect_timeout, retries, .. } = settings;
    let shown_timeout = as_written(own.timeout.or(defaults.timeout), *timeout);
    let shown_deadline = as_written(own.deadline.or(defaults.deadline), *deadline);
    let contradiction = |at: Option<&Node>, message: String, hint: String| {
        let place = at.map_or(node.label(), |node| node.place);
        ConfigProblem::error(MessageKind::Contradiction, place, at.map_or(&node.path, |node| &node.path), message)
            .hint(hint)
    };
    let deadline_from = if own.deadline.or(defaults.deadline).is_some() { "" } else { " unless it is written" };
    if timeout > deadline {
        let at = own.timeout.or(own.deadline).map(|written| written.node);
        let message = format!(
            "one attempt may take {shown_timeout}, but `deadline`, for all of them together, is {shown_deadline}{deadline_from}"
        );
        let hint = format!("write a `timeout` of {shown_deadline} or less, or a `deadline` of {shown_timeout} or more");
        reader.push(contradiction(at, message, hint));
    } else if timeout.saturating_mul(retries + 1) > *deadline {
        let fit = deadline.as_nanos() / timeout.as_nanos().max(1);
        let at = own.timeout.or(own.deadline).map(|written| written.node);
        let attempts = retries + 1;
        let message = format!(
            "{attempts} attempts of {shown_timeout} do not fit into {shown_deadline}: when the server is slow, {fit} will"
        );
        let hint = "write fewer `retries`, a shorter `timeout` or a longer `deadline`; attempts that fail fast are repeated anyway";
        reader.push(contradiction(at, message, hint.to_owned()).warning());
    }
    if connect_timeout > timeout {
        let shown_connect = as_written(own.connect_timeout.or(defaults.connect_timeout), *connect_timeout);
        let at = own.connect_timeout.or(own.timeout).map(|written| written.node);
        let message = format!("connecting may take {shown_connect}, but a whole attempt only {shown_timeout}");
        reader.push(contradiction(at, message, format!("write a `connect_timeout` of {shown_timeout} or less")));
    }
    if settings.max_idle > settings.max_connections {
        let at = own.idle.map(|written| written.node);
        let (idle, max) = (settings.max_idle, settings.max_connections);
        let message = format!("{idle} idle connections cannot be kept where {max} are the most");
        reader.push(contradiction(at, message, format!("write idle: {max} or less")));
    }
}

fn servers(reader: &mut NodeReader, node: &Node) -> Vec<Authority> {
    let mut servers: Vec<Authority> = Vec::new();
    let Some(items) = reader.one_or_list(node) else { return servers };
    if items.is_empty() {
        reader.error(MessageKind::Missing, node, "the list of servers is empty", "write [http://127.0.0.1:8000]");
    }
    for item in items {
        let Some(text) = reader.text(item) else { continue };
        if text.starts_with("https://") {
            reader.not_yet(item, "https:// to an upstream");
            continue;
        }
        let Some(server) = reader.parsed(item, "a server", "http://127.0.0.1:8000", server) else { continue };
        if servers.contains(&server) {
            reader.error(MessageKind::Duplicate, item, format!("`{text}` is listed twice"), "keep one of the two");
        }
        servers.push(server);
    }
    servers
}

/// `http://host:port` and nothing else.
fn server(text: &str) -> Result<Authority, (String, String)> {
    let message = || format!("`{text}` is not the address of a server");
    let Some(rest) = text.strip_prefix("http://") else {
        let hint = if text.contains("://") || text.is_empty() {
            "http://127.0.0.1:8000".to_owned()
        } else {
            format!("http://{text}")
        };
        return Err((message(), format!("write {hint}")));
    };
    let host = rest.trim_end_matches('/');
    if host.contains(['/', '?', '#']) {
        let host = host.split(['/', '?', '#']).next().unwrap_or("127.0.0.1:8000");
        return Err((format!("`{text}` has a path, but requests keep their own"), format!("write http://{host}")));
    }
    if host.contains('@') {
        return Err((
            "a server's address cannot hold a user or a password".to_owned(),
            "write http://host:port".to_owned(),
        ));
    }
    let authority: Authority =
        host.parse().map_err(|_| (message(), "write http://host:port, like http://127.0.0.1:8000".to_owned()))?;
    match authority.port_u16() {
        Some(port) if port > 0 && !authority.host().is_empty() => Ok(authority),
        _ if authority.host() == host.trim_end_matches(':') && !host.is_empty() => {
            Err((format!("`{text}` has no port"), format!("write http://{}:80", authority.host())))
        }
        _ => Err((message(), "write http://host:port, like http://127.0.0.1:8000".to_owned())),
    }
}
