//! `routes:`: each with its policy resolved, its overrides applied and its names checked.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};
use ipnet::IpNet;

use super::policies::{self, BUILT_IN, Policy};
use super::share::{SIGNED_IN_BY, Surroundings, check_parts, parts_of};
use super::tags::{purges, tags, unlisted};
use super::upstreams::Upstreams;
use super::{covers, patient, query, server, templates, vary};
use crate::asker::identity::Identity;
use crate::config::fingerprint;
use crate::config::message::{ConfigProblem, MessageKind};
use crate::config::nearest::nearest;
use crate::config::node::{Node, NodeKind};
use crate::config::reader::{NodeReader, NodeTable, is_name};
use crate::config::source::SourcePlace;
use crate::fields::harmless::is_harmless;
use crate::fields::method::is_safe;
use crate::fields::targeted::Targeted;
use crate::fields::url::is_credential;
use crate::rules::caching::{AsOrigin, Caching, Credentials, NamedPolicy};
use crate::rules::canonical::Serves;
use crate::rules::query::QueryRules;
use crate::rules::route::{AccessLog, AmbiguousPath, Route, Upgrades};
use crate::rules::tag_template::PurgeTemplate;
use crate::rules::template::{HostTemplate, PathTemplate, Segment};
use crate::store::settings::CacheSettings;

const KNOWN: [&str; 17] = [
    "name",
    "path",
    "host",
    "methods",
    "headers",
    "upstream",
    "policy",
    "tags",
    "purges",
    "purge",
    "query",
    "vary",
    "read_only",
    "body",
    "websocket",
    "log",
    "settle",
];
const NOT_YET: [&str; 6] = ["project", "limits", "preflight", "slo", "images", "warm"];

/// What routes are read against.
pub(super) struct RouteScope<'a, 'n> {
    pub around: Surroundings<'a>,
    pub upstreams: &'a Upstreams<'n>,
    /// `None`: the section cannot be read, and names in it cannot be known.
    pub policies: Option<&'a [Policy<'n>]>,
    pub cache: &'a CacheSettings,
}

pub(super) fn routes(reader: &mut NodeReader, root: &Node, scope: &RouteScope<'_, '_>) -> Vec<Route> {
    let hint = "write routes: [{name: rest, path: /**}]";
    let Some(node) = root.get("routes") else {
        reader.missing(root, "routes", "`routes` is missing: no request would be answered", hint);
        return Vec::new();
    };
    let Some(items) = reader.list(node) else { return Vec::new() };
    if items.is_empty() {
        reader.error(MessageKind::Missing, node, "there are no routes", hint);
    }
    let mut routes = Vec::new();
    let mut names: HashMap<&str, u32> = HashMap::new();
    let mut shapes = covers::Earlier::default();
    for item in items {
        let table = reader.table(
            item,
            &[&KNOWN[..], &["ambiguous_path"], &policies::KEYS].concat(),
            &[NOT_YET.as_slice(), &policies::NOT_YET].concat(),
        );
        let Some(table) = table else { continue };
        let name = name(reader, table, &mut names);
        let before = reader.errors();
        let mut route = shape(reader, table, name.unwrap_or("route"));
        let sound = reader.errors() == before;
        if sound {
            shapes.check(reader, item, &route);
        }
        contents(reader, table, &mut route, scope, sound);
        routes.push(route);
    }
    routes
}

fn name<'n>(reader: &mut NodeReader, table: NodeTable<'n>, names: &mut HashMap<&'n str, u32>) -> Option<&'n str> {
    let Some(node) = table.get("name") else {
        let message = "the route has no name; logs, metrics and purges need one";
        reader.missing(table.node, "name", message, "write name: patients");
        return None;
    };
    let name = reader.text(node)?;
    if !is_name(name) {
        let hint = "use letters, digits, spaces, `-`, `_` and `.`; 64 characters at most";
        reader.error(MessageKind::Value, node, format!("`{name}` cannot be a name"), hint);
        return None;
    }
    if let Some(line) = names.get(name) {
        let message = format!("the route in line {line} is called `{name}` too");
        reader.error(MessageKind::Duplicate, node, message, "give each route a name of its own");
        return Some(name);
    }
    names.insert(name, node.place.line);
    Some(name)
}

/// Which requests it takes. A path that cannot be read is the empty one, and an error.
fn shape(reader: &mut NodeReader, table: NodeTable<'_>, name: &str) -> Route {
    let path = match table.get("path") {
        Some(node) => reader.parsed(node, "a path", "/api/patients/<int:id>", templates::path),
        None => {
            reader.missing(
                table.node,
                "path",
                format!("the route `{name}` has no path"),
                "write path: /api/patients/<int:id>, or /** for all",
            );
            None
        }
    };
    let host = table.get("host").and_then(|node| reader.parsed(node, "a host", "clinic.example", templates::host));
    let methods = table.get("methods").map(|node| methods(reader, node)).unwrap_or_default();
    let headers = table.get("headers").map(|node| headers(reader, node)).unwrap_or_default();
    let path = path.unwrap_or(PathTemplate { text: "/".to_owned(), segments: Vec::new(), rest: false });
    if let Some(HostTemplate::Wildcard { part: Some(part), .. }) = &host
        && path.segments.iter().any(|segment| matches!(segment, Segment::Part(_, name) if name == part))
        && let Some(node) = table.get("host")
    {
        reader.error(
            MessageKind::Duplicate,
            node,
            format!("`<{part}>` is in the host and in the path"),
            "give each part a name of its own",
        );
    }
    Route {
        name: name.to_owned(),
        // The bridge knows nodes; who reads the file knows its name.
        file: Arc::from(""),
        line: table.node.place.line,
        host,
        path,
        methods,
        headers,
        upstream: 0,
        upstream_mark: 0,
        policy_name: "pass".to_owned(),
        caching: Caching::Pass,
        serves: Serves::default(),
        tags: Vec::new(),
        purges: Vec::new(),
        query: QueryRules::default(),
        purge_from: Vec::new(),
        read_only: false,
        settle: None,
        upgrades: Upgrades::Never,
        body_limit: None,
        ambiguous_path: AmbiguousPath::default(),
        access_log: AccessLog::default(),
        targeted: Targeted::default(),
        tag_fields: Arc::default(),
        aliases: Arc::default(),
        fingerprint: 0,
    }
}

fn methods(reader: &mut NodeReader, node: &Node) -> Vec<Method> {
    const STANDARD: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let mut methods: Vec<Method> = Vec::new();
    let items = reader.one_or_list(node).unwrap_or_default();
    for item in items {
        let Some(text) = reader.text(item) else { continue };
        let upper = text.to_ascii_uppercase();
        let meant = nearest(text, STANDARD).filter(|name| *name != text && (text.len() > 3 || upper == *name));
        let custom =
            Method::from_bytes(text.as_bytes()).ok().filter(|_| text == upper && !["CONNECT", "TRACE"].contains(&text));
        match (custom, meant) {
            (Some(method), None) if !methods.contains(&method) => methods.push(method),
            (Some(_), None) => {
                reader.error(MessageKind::Duplicate, item, format!("`{text}` is listed twice"), "keep one of the two")
            }
            (_, Some(meant)) => reader.error(
                MessageKind::Value,
                item,
                format!("`{text}` is not a method"),
                format!("did you mean `{meant}`?"),
            ),
            (None, None) => reader.error(
                MessageKind::Value,
                item,
                format!("`{text}` is not a method that a route can take"),
                format!("write one of {}", STANDARD.join(", ")),
            ),
        }
    }
    methods
}

fn headers(reader: &mut NodeReader, node: &Node) -> Vec<(HeaderName, Option<String>)> {
    let mut headers = Vec::new();
    for (key, value) in reader.map(node).unwrap_or_default() {
        let Ok(name) = HeaderName::from_bytes(key.text.as_bytes()) else {
            let message = format!("`{}` cannot be the name of a header", key.text);
            reader.push(
                ConfigProblem::error(MessageKind::Value, key.place, &value.path, message)
                    .hint("write a name like x-client"),
            );
            continue;
        };
        let hint = "write the value it must have, or `any` if it only has to be there";
        let Some(scalar) = reader.scalar(value, "text", hint) else { continue };
        headers.push((name, (scalar.text != "any").then(|| scalar.text.clone())));
    }
    headers
}

/// Where requests go, how answers are kept, and what they touch. Without a `sound` path and host its parts are not
/// known, and neither is whether a tag may use them.
fn contents(reader: &mut NodeReader, table: NodeTable<'_>, route: &mut Route, scope: &RouteScope<'_, '_>, sound: bool) {
    if let Some(index) = upstream(reader, table, scope.upstreams) {
        route.upstream = index;
    }
    if let Some(read_only) = table.get("read_only").and_then(|node| reader.boolean(node)) {
        route.read_only = read_only;
    }
    if let Some(node) = table.get("websocket") {
        route.upgrades = websocket(reader, node);
    }
    route.purge_from = table.get("purge").map(|node| purge_from(reader, node)).unwrap_or_default();
    route.targeted = scope.cache.targeted;
    route.tag_fields = scope.cache.tag_fields.clone();
    route.body_limit = table.get("body").and_then(|node| reader.size(node)).map(|size| size.value);
    let words = [("refuse", AmbiguousPath::Refuse), ("pass", AmbiguousPath::Pass)];
    if let Some(choice) = table.get("ambiguous_path").and_then(|node| reader.choice(node, &words)) {
        route.ambiguous_path = choice;
    }
    if let Some(written) = table.get("log").and_then(|node| reader.boolean(node)) {
        route.access_log = if written { AccessLog::Written } else { AccessLog::Silent };
    }
    let parts = part_names(route.host.as_ref(), &route.path);
    if sound {
        route.tags = table.get("tags").map(|node| tags(reader, node, &parts, scope.around.who)).unwrap_or_default();
        route.purges =
            table.get("purges").map(|node| purges(reader, node, &parts, scope.around.who)).unwrap_or_default();
    }
    if let Some(node) = table.get("purges").filter(|_| route.read_only) {
        let message = "a route that is `read_only` changes nothing, so it purges nothing";
        reader.error(MessageKind::Contradiction, node, message, "remove `purges` or `read_only`");
    }
    if let Some(node) = table.get("purges").filter(|_| purges_nobody(route, &scope.around)) {
        let message = "`purges: [principal]` purges nothing: `identity.principal` is empty, so nobody is a principal";
        reader.warn(MessageKind::Contradiction, node, message, SIGNED_IN_BY);
    }
    route.settle = table.get("settle").and_then(|node| settle(reader, node, route.read_only));
    if let Some((node, rules)) = table.get("query").and_then(|node| Some((node, query::query(reader, node)?))) {
        let credentials = &scope.around.who.identity.url_credentials;
        for (name, _) in rules.rules.iter().filter(|(name, _)| is_credential(name, credentials)) {
            let message =
                format!("`{name}` is a credential in the URL: a request that has it is passed, whatever is said here");
            reader.warn(MessageKind::Contradiction, node, message, format!("remove `{name}`"));
        }
        route.query = rules;
    }
    let before = reader.errors();
    policy(reader, table, route, scope);
    if route.caching != Caching::Pass
        && !route.methods.is_empty()
        && route.methods.iter().all(is_safe)
        && let Some(node) = table.get("purges")
    {
        let message =
            "these `purges` never happen: the route takes reading methods alone, and has a policy that answers them";
        reader.warn(
            MessageKind::Contradiction,
            node,
            message,
            "remove `policy` where reading acts (a sign-out by a link), or add the methods that write",
        );
    }
    if sound && reader.errors() == before {
        check_parts(reader, table, route, &parts);
        patient::check(reader, table, route);
        if let Some(node) = table.get("tags") {
            unlisted(reader, node, route);
        }
    }
    let upstream = scope.upstreams.names.as_ref().and_then(|names| names.get(route.upstream)).unwrap_or(&"");
    let settings = scope.upstreams.settings.iter().find(|known| known.name == *upstream);
    route.aliases = settings.map(|settings| Arc::new(settings.paths.clone())).unwrap_or_default();
    route.upstream_mark = foldhash::fast::FixedState::with_seed(0).hash_one(upstream) as usize;
    route.fingerprint = fingerprint::of(route, upstream, &scope.around.who.identity);
}

fn purges_nobody(route: &Route, around: &Surroundings<'_>) -> bool {
    route.purges.contains(&PurgeTemplate::Principal) && around.identity_is_sound && around.who.nobody()
}

/// `true`, or a table of limits, none of which is there yet.
fn websocket(reader: &mut NodeReader, node: &Node) -> Upgrades {
    let allowed = match &node.kind {
        NodeKind::Map(_) => reader.table(node, &[], &["per", "max", "close"]).map(|_| true),
        _ => reader.boolean(node),
    };
    if allowed == Some(true) { Upgrades::WebSocket } else { Upgrades::Never }
}

/// For how long an origin may answer as before a write.
fn settle(reader: &mut NodeReader, node: &Node, read_only: bool) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(3600);
    let settle = reader.positive_duration(node, "write the time after which a read shows the write, such as 5s")?.value;
    if settle > LONGEST {
        reader.error(
            MessageKind::Value,
            node,
            "`settle` is longer than an hour",
            "write 1h or less, or purge when it is done",
        );
        return None;
    }
    if read_only {
        let message = "a route that is `read_only` changes nothing, so nothing settles";
        reader.error(MessageKind::Contradiction, node, message, "remove `settle` or `read_only`");
    }
    Some(settle)
}

/// Who may use the method `PURGE`.
fn purge_from(reader: &mut NodeReader, node: &Node) -> Vec<IpNet> {
    let Some(table) = reader.table(node, &["from"], &[]) else { return Vec::new() };
    let Some(items) = table.get("from").and_then(|node| reader.one_or_list(node)) else {
        let message = "`purge` does not say from where it is allowed";
        reader.missing(table.node, "from", message, "write purge: {from: [10.0.0.0/8]}");
        return Vec::new();
    };
    if items.is_empty() {
        reader.error(MessageKind::Missing, node, "`purge.from` is an empty list", "write purge: {from: [10.0.0.0/8]}");
    }
    let everybody = ("lets everybody purge", "name only the networks of your own applications");
    items.iter().filter_map(|item| server::network(reader, item, everybody)).collect()
}

fn upstream(reader: &mut NodeReader, table: NodeTable<'_>, upstreams: &Upstreams<'_>) -> Option<usize> {
    let names = upstreams.names.as_ref()?;
    let Some(node) = table.get("upstream") else {
        if names.len() > 1 {
            let message = "the route does not say where its requests go, and there are several upstreams";
            reader.missing(
                table.node,
                "upstream",
                message,
                format!("write upstream: {}", names.join(" or upstream: ")),
            );
        }
        return Some(0);
    };
    let name = reader.text(node)?;
    let found = names.iter().position(|other| *other == name);
    if found.is_none() {
        let hint = suggestion(name, names);
        reader.error(MessageKind::UnknownName, node, format!("there is no upstream `{name}`"), hint);
    }
    found
}

fn suggestion(name: &str, names: &[&str]) -> String {
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("these exist: {}", names.join(", ")),
    }
}

fn part_names(host: Option<&HostTemplate>, path: &PathTemplate) -> Vec<String> {
    let in_host = match host {
        Some(HostTemplate::Wildcard { part: Some(part), .. }) => Some(part.clone()),
        _ => None,
    };
    let in_path = path.segments.iter().filter_map(|segment| match segment {
        Segment::Part(_, name) => Some(name.clone()),
        Segment::Literal(_) => None,
    });
    in_path.chain(in_host).collect()
}

fn policy(reader: &mut NodeReader, table: NodeTable<'_>, route: &mut Route, scope: &RouteScope<'_, '_>) {
    let name = match table.get("policy") {
        Some(node) => match reader.text(node) {
            Some(name) => name,
            None => return,
        },
        None => "pass",
    };
    route.policy_name = name.to_owned();
    if BUILT_IN.contains(&name) {
        route.caching = match name {
            "origin" => Caching::Http(AsOrigin {
                credentials: Credentials::AuthorizationAndCookies,
                strip_cookies: table
                    .get("strip_cookies")
                    .map(|node| policies::strip_cookies(reader, node, &scope.around.who.identity))
                    .unwrap_or_default(),
                secret_fields: scope.around.who.identity.secret_fields.clone(),
            }),
            "rfc9111" => Caching::as_origin(Credentials::AuthorizationOnly),
            _ => Caching::Pass,
        };
        if let (Caching::Http(_), Some(node)) = (&route.caching, table.get("vary")) {
            route.serves = vary::served(reader, node);
        }
        if let Some(node) = table.get("policy").filter(|_| name == "rfc9111") {
            reader.warn(
                MessageKind::Unsafe,
                node,
                BY_THE_LETTER,
                "write policy: origin, unless no answer here depends on a cookie",
            );
        }
        overrides_nothing(reader, table, name);
        return;
    }
    let Some(policies) = scope.policies else { return };
    let Some(policy) = policies.iter().find(|policy| policy.name == name) else {
        if let Some(node) = table.get("policy") {
            let names: Vec<&str> = policies.iter().map(|policy| policy.name).chain(BUILT_IN).collect();
            reader.error(
                MessageKind::UnknownName,
                node,
                format!("there is no policy `{name}`"),
                suggestion(name, &names),
            );
        }
        return;
    };
    let parts: HashSet<String> = parts_of(table.node).into_iter().collect();
    let before = reader.errors();
    let own = policies::draft(reader, table, &scope.around, &parts);
    let whole = own.over(&policy.draft);
    if reader.errors() != before || !policy.sound {
        return;
    }
    whole.check(reader, &own, &scope.around);
    if let Some(mut named) = whole.finish(&scope.around.who.identity) {
        key_conditions(&mut named, &route.headers, &scope.around.who.identity);
        route.caching = Caching::Named(named);
        route.serves = whole.serves;
    }
}

/// What a route is chosen by may narrow what its answers hold, so it is keyed and sent like what `vary` names. Who asks is known
/// by other means.
fn key_conditions(policy: &mut NamedPolicy, conditions: &[(HeaderName, Option<String>)], identity: &Identity) {
    let may_narrow = |name: &&HeaderName| {
        let facet = policy.share.facets().iter().any(|facet| facet.source.header() == Some(name));
        !is_harmless(name) && !facet && !identity.headers.contains(name) && !policy.vary.contains(name)
    };
    let mut added: Vec<HeaderName> = conditions.iter().map(|(name, _)| name).filter(may_narrow).cloned().collect();
    policy.vary.append(&mut added);
    policy.vary.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    policy.vary.dedup();
}

const BY_THE_LETTER: &str = "`rfc9111` takes only `Authorization` for a credential: what is made for a cookie, or sets one, may be shared with everybody";

/// Built-in policies are what they are, save that a route may name the cookies that `origin` strips.
fn overrides_nothing(reader: &mut NodeReader, table: NodeTable<'_>, name: &str) {
    let allowed = |key: &str| key == "compress" || key == "strip_cookies" && name == "origin";
    // What is served at a route can be said whatever is kept.
    let vary: &[&str] = if name == "pass" { &["vary"] } else { &[] };
    let keys = policies::KEYS.iter().filter(|key| !allowed(key)).chain(vary);
    for key in keys {
        let Some(node) = table.get(key) else { continue };
        let place: SourcePlace = node.label();
        let (message, hint) = if table.get("policy").is_some() {
            (
                format!("`{key}` cannot change the built-in policy `{name}`"),
                "define a policy of your own in `policies`, and name it here".to_owned(),
            )
        } else {
            (
                format!("`{key}` does nothing on a route without a policy: its requests are passed through"),
                "write policy: NAME, or remove it".to_owned(),
            )
        };
        reader.push(ConfigProblem::error(MessageKind::Contradiction, place, &node.path, message).hint(hint));
    }
    if let Some(node) = table.get("query").filter(|_| name == "pass") {
        let message = "`query` does nothing on a route whose requests are passed through";
        reader.push(
            ConfigProblem::error(MessageKind::Contradiction, node.label(), &node.path, message)
                .hint("write policy: NAME, or remove it")
                .warning(),
        );
    }
    if let Some(node) = table.get("compress") {
        // Only for its value: what is not available yet is said.
        if !matches!(&node.kind, NodeKind::Scalar(scalar) if scalar.text == "false") {
            reader.not_yet(node, &node.path);
        }
    }
}
