//! `server:` and `cache:`.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use ipnet::{IpNet, Ipv4Net};

use super::templates;
use super::tls::tls;
use crate::config::bridge::values::addresses;
use crate::config::message::MessageKind;
use crate::config::nearest::nearest;
use crate::config::node::{Node, NodeKind};
use crate::config::reader::NodeReader;
use crate::config::units;
use crate::edge::settings::{Drain, ServerLimits, ServerSettings, Timing};
use crate::entry::tag::MOST_TAGS;
use crate::fields::secret::is_secret;
use crate::fields::targeted::Targeted;
use crate::hop::answer::TAG_FIELDS;
use crate::rules::path::refused::{LOOPBACK_PAGES, LOOPBACK_WORD, RefusedPaths};
use crate::rules::template::Segment;
use crate::store::settings::{Bounds, CacheMode, CacheSettings};

/// Room for the head of any sane request.
const LEAST_HEADER_BYTES: u64 = 8 << 10;
const MOST_HEADER_BYTES: u64 = 1 << 20;
/// Whoever stops a process wants it to end.
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);
const LEAST_MEMORY: u64 = 1 << 20;
/// They are looked through one by one.
const MOST_VARIANTS: u64 = 256;
const MOST_VARY: u64 = 64;
/// Those of a URL have to fit.
const LEAST_TAGS: u64 = 64;

pub(super) fn server(reader: &mut NodeReader, node: Option<&Node>, folder: &Path) -> ServerSettings {
    let mut settings = ServerSettings {
        listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080))],
        tls: None,
        workers: None,
        trusted_proxies: Vec::new(),
        refuse: RefusedPaths::default(),
        limits: ServerLimits::default(),
        drain: Drain::default(),
        timing: Timing::default(),
    };
    let known = ["listen", "tls", "workers", "trusted_proxies", "refuse", "limits", "drain", "timing"];
    let Some(table) = node.and_then(|node| reader.table(node, &known, &["pressure"])) else { return settings };
    settings.tls = table.get("tls").and_then(|node| tls(reader, node, folder));
    match table.get("listen") {
        // Under TLS only.
        Some(Node { kind: NodeKind::List(none), .. }) if none.is_empty() && table.get("tls").is_some() => {
            settings.listen = Vec::new();
        }
        Some(node) => settings.listen = addresses(reader, node).unwrap_or(settings.listen),
        None => {}
    }
    for address in settings.tls.iter().flat_map(|tls| &tls.listen) {
        let node = table.get("tls").and_then(|tls| tls.get("listen"));
        if let Some(node) = node.filter(|_| address.port() != 0 && settings.listen.contains(address)) {
            let message = format!("`{address}` is also an address of `server.listen`, where no TLS is spoken");
            reader.error(MessageKind::Contradiction, node, message, "give TLS a port of its own, like 0.0.0.0:8443");
        }
    }
    settings.workers = table.get("workers").and_then(|node| workers(reader, node));
    let everybody =
        ("trusts everybody: any client can then say where it comes from", "name only the networks of your own proxies");
    if let Some(items) = table.get("trusted_proxies").and_then(|node| reader.one_or_list(node)) {
        settings.trusted_proxies = items.iter().filter_map(|item| network(reader, item, everybody)).collect();
    }
    if let Some(items) = table.get("refuse").and_then(|node| reader.one_or_list(node)) {
        settings.refuse = refused(reader, items);
    }
    if let Some(node) = table.get("limits") {
        limits(reader, node, &mut settings.limits);
    }
    if let Some(table) = table.get("drain").and_then(|node| reader.table(node, &["notice", "limit"], &[])) {
        let drain = &mut settings.drain;
        for (key, target) in [("notice", &mut drain.notice), ("limit", &mut drain.limit)] {
            let Some(time) = table.get(key).and_then(|node| reader.duration(node)) else { continue };
            if time.value > LONGEST_DRAIN {
                let message = format!("`{key}` is longer than an hour");
                reader.error(MessageKind::Value, time.node, message, "write 1h or less");
            }
            *target = time.value;
        }
    }
    if table.get("timing").and_then(|node| reader.boolean(node)) == Some(true) {
        settings.timing = Timing::Told;
    }
    settings
}

fn workers(reader: &mut NodeReader, node: &Node) -> Option<usize> {
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

/// A network; one that holds everybody is worth a word, and advice.
pub(super) fn network(
    reader: &mut NodeReader,
    node: &Node,
    (everybody, advice): (&str, &'static str),
) -> Option<IpNet> {
    let network = reader.parsed(node, "a network", "10.0.0.0/8", |text| {
        let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map(|network| canonical(network.trunc())).map_err(|_| {
            (
                format!("`{text}` is not a network"),
                "write an address or a network: 10.0.0.7, 10.0.0.0/8 or fd00::/8".to_owned(),
            )
        })
    })?;
    if network.prefix_len() == 0 {
        reader.warn(MessageKind::Unsafe, node, format!("`{network}` {everybody}"), advice);
    }
    Some(network)
}

/// Peers are compared by their IPv4 address where they have one, so `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(mapped) = network else { return network };
    let Some(ip) = mapped.addr().to_ipv4_mapped() else { return network };
    let v4 = mapped.prefix_len().checked_sub(96).and_then(|prefix| Ipv4Net::new(ip, prefix).ok());
    v4.map_or(network, IpNet::V4)
}

fn refused(reader: &mut NodeReader, items: &[Node]) -> RefusedPaths {
    let mut refused = RefusedPaths::default();
    let mut written: Vec<&str> = Vec::new();
    for item in items {
        let Some(text) = reader.text(item) else { continue };
        if written.contains(&text) {
            reader.error(MessageKind::Duplicate, item, format!("`{text}` is listed twice"), "keep one of the two");
            continue;
        }
        written.push(text);
        if text == LOOPBACK_WORD {
            LOOPBACK_PAGES.iter().for_each(|page| refused.add(page));
            continue;
        }
        match refused_path(text) {
            Ok(path) => refused.add(&path),
            Err((message, hint)) => reader.error(MessageKind::Value, item, message, hint),
        }
    }
    refused
}

/// A path that is refused with all that is below it, in normal form.
fn refused_path(text: &str) -> Result<String, templates::TemplateRefusal> {
    if !text.starts_with('/') && nearest(text, [LOOPBACK_WORD]).is_some() {
        return Err((format!("`{text}` is neither a path nor a known list"), format!("write {LOOPBACK_WORD}")));
    }
    let parts = || {
        let message = format!("`{text}` has a part that may be anything, and what is refused is text");
        (message, "write the path up to there: all that is below it is refused too".to_owned())
    };
    if text.strip_suffix("/**").unwrap_or(text).contains('*') {
        return Err(parts());
    }
    let mut path = String::new();
    for segment in templates::path(text)?.segments {
        let Segment::Literal(literal) = segment else { return Err(parts()) };
        // It would never be seen: parameters are left out of the comparison.
        if literal.contains(';') {
            let hint = "write the path without it: parameters make no difference here".to_owned();
            return Err((format!("`{text}` has a parameter"), hint));
        }
        path.push('/');
        path.push_str(&literal);
    }
    match path.is_empty() {
        true => Err((
            format!("`{text}` would refuse every request"),
            format!("name the paths: [{LOOPBACK_WORD}, /server-status]"),
        )),
        false => Ok(path),
    }
}

/// A second; whoever is slower is cut off.
const MOST_MIN_RATE: u64 = 1 << 20;

fn limits(reader: &mut NodeReader, node: &Node, limits: &mut ServerLimits) {
    let known = ["connections", "header_bytes", "headers", "body", "header_timeout", "idle_timeout", "min_rate"];
    let Some(table) = reader.table(node, &known, &[]) else { return };
    if let Some(count) = table.get("connections").and_then(|node| reader.count(node, 1, 1_000_000)) {
        limits.connections = usize::try_from(count).unwrap_or(usize::MAX);
    }
    if let Some(count) = table.get("headers").and_then(|node| reader.count(node, 1, 1_000)) {
        limits.headers = usize::try_from(count).unwrap_or(usize::MAX);
    }
    if let Some(bytes) = table.get("header_bytes").and_then(|node| header_bytes(reader, node, "32KiB")) {
        limits.header_bytes = bytes;
    }
    if let Some(size) = table.get("body").and_then(|node| reader.size(node)) {
        limits.body = size.value;
    }
    for (key, target) in [("header_timeout", &mut limits.header_timeout), ("idle_timeout", &mut limits.idle_timeout)] {
        if let Some(time) = table.get(key).and_then(|node| reader.positive_duration(node, "write 10s or more")) {
            *target = time.value;
        }
    }
    if let Some(node) = table.get("min_rate") {
        let is_off = matches!(&node.kind, NodeKind::Scalar(scalar) if scalar.text == "off");
        let size = if is_off { None } else { reader.size(node) };
        match size {
            None if is_off => limits.min_rate = 0,
            Some(size) if size.value > MOST_MIN_RATE => {
                let message = "`min_rate` is what the slowest honest client does, not what is usual: 1MiB is the most";
                reader.error(MessageKind::Value, size.node, message, "write 1KiB, or off");
            }
            Some(size) => limits.min_rate = size.value,
            None => {}
        }
    }
}

/// How long a head may be; `usual` is what is written otherwise.
pub(super) fn header_bytes(reader: &mut NodeReader, node: &Node, usual: &str) -> Option<usize> {
    let size = reader.size(node)?;
    if !(LEAST_HEADER_BYTES..=MOST_HEADER_BYTES).contains(&size.value) {
        reader.error(
            MessageKind::Value,
            size.node,
            "`header_bytes` must be from 8KiB to 1MiB",
            format!("write {usual}"),
        );
        return None;
    }
    usize::try_from(size.value).ok()
}

/// Headers of answers by which origins name tags; they are taken off before clients see them.
fn tag_fields(reader: &mut NodeReader, items: &[Node]) -> Arc<[HeaderName]> {
    let mut fields: Vec<HeaderName> = Vec::new();
    for item in items {
        let Some(text) = reader.text(item) else { continue };
        let Ok(name) = HeaderName::from_bytes(text.as_bytes()) else {
            reader.error(MessageKind::Value, item, format!("`{text}` is not a header's name"), "write X-Site-Tags");
            continue;
        };
        if TAG_FIELDS.contains(&name.as_str()) || name == "cache-groups" {
            reader.warn(MessageKind::Duplicate, item, format!("`{text}` is known without being listed"), "remove it");
        } else if is_meant_for_clients(&name) {
            let message = format!("`{text}` means something else, and clients would not see it any more");
            reader.error(MessageKind::Value, item, message, "name a header that lists tags: X-Site-Tags");
        } else if is_secret(name.as_str(), &[]) {
            let message =
                format!("`{text}` is taken for what hands out a credential, and no answer that has it is kept");
            reader.error(
                MessageKind::Contradiction,
                item,
                message,
                "let the application list tags in another header: X-Site-Tags",
            );
        } else if fields.contains(&name) {
            reader.error(MessageKind::Duplicate, item, format!("`{text}` is listed twice"), "keep one of the two");
        } else {
            fields.push(name);
        }
    }
    fields.into()
}

/// What is a part of the protocol, not a list of tags.
fn is_meant_for_clients(name: &HeaderName) -> bool {
    let name = name.as_str();
    let families = ["content-", "access-control-", "set-", "x-forwarded-", "sec-"];
    let single = [
        "age",
        "allow",
        "cache-control",
        "cache-status",
        "cdn-cache-control",
        "authorization",
        "connection",
        "date",
        "etag",
        "expires",
        "host",
        "last-modified",
        "link",
        "location",
        "pragma",
        "server",
        "strict-transport-security",
        "surrogate-control",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "vary",
        "via",
        "www-authenticate",
        "x-request-id",
    ];
    families.iter().any(|family| name.starts_with(family)) || single.contains(&name)
}

/// `12%`, or `off`.
fn client_share(reader: &mut NodeReader, node: &Node) -> Option<Option<u8>> {
    reader.parsed(node, "a share", "a share of `memory`, like 12%, or off", |text| {
        if text == "off" {
            return Ok(None);
        }
        let share =
            text.strip_suffix('%').and_then(|number| number.parse().ok()).filter(|share| (1..=100).contains(share));
        share
            .map(Some)
            .ok_or_else(|| (format!("`{text}` is no share of a store"), "write 1% to 100%, or off".to_owned()))
    })
}

pub(super) fn cache(reader: &mut NodeReader, node: Option<&Node>) -> CacheSettings {
    let mut settings = CacheSettings::default();
    let known = ["mode", "memory", "client_share", "max_object", "variants", "vary", "tags", "tag_headers", "targeted"];
    let Some(table) = node.and_then(|node| reader.table(node, &known, &["redis", "pools"])) else { return settings };
    if let Some(node) = table.get("mode") {
        let modes = [("serve", CacheMode::Serve), ("bypass", CacheMode::Bypass)];
        settings.mode = reader.choice_so_far(node, &modes, &["shadow"]).unwrap_or_default();
    }
    let words = [("pass", Targeted::Passed), ("strip", Targeted::Stripped)];
    if let Some(targeted) = table.get("targeted").and_then(|node| reader.choice(node, &words)) {
        settings.targeted = targeted;
    }
    if let Some(items) = table.get("tag_headers").and_then(|node| reader.one_or_list(node)) {
        settings.tag_fields = tag_fields(reader, items);
    }
    if let Some(size) = table.get("memory").and_then(|node| reader.size(node)) {
        if size.value < LEAST_MEMORY {
            reader.error(MessageKind::Value, size.node, "`memory` must be 1MiB at least", "write 256MiB");
        }
        settings.memory = size.value;
    }
    if let Some(share) = table.get("client_share").and_then(|node| client_share(reader, node)) {
        settings.client_share = share;
    }
    settings.max_object = settings.max_object.min(settings.memory);
    if let Some(size) = table.get("max_object").and_then(|node| reader.size(node)) {
        if size.value > settings.memory {
            let shown = units::show_size(settings.memory);
            let message = format!("`max_object` is larger than `memory`, which is {shown}");
            reader.error(
                MessageKind::Contradiction,
                size.node,
                message,
                format!("write {shown} or less, or give `memory` more"),
            );
        }
        settings.max_object = size.value;
    }
    let Bounds { variants, vary, tags } = &mut settings.bounds;
    for (key, bound, least, most) in [
        ("variants", variants, 1, MOST_VARIANTS),
        ("vary", vary, 1, MOST_VARY),
        ("tags", tags, LEAST_TAGS, MOST_TAGS as u64),
    ] {
        if let Some(count) = table.get(key).and_then(|node| reader.count(node, least, most)) {
            *bound = count as usize;
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mapped_network_is_the_ipv4_network() {
        let check = |text: &str, want: &str| assert_eq!(canonical(text.parse().unwrap()).to_string(), want, "{text}");
        check("::ffff:10.0.0.0/104", "10.0.0.0/8");
        check("::ffff:10.1.2.3/128", "10.1.2.3/32");
        check("::ffff:0.0.0.0/96", "0.0.0.0/0");
        check("10.0.0.0/8", "10.0.0.0/8");
        // Wider than what is mapped, and what only looks like it.
        for text in ["::/0", "::/80", "fd00::/8", "::10.1.2.3/128"] {
            let network: IpNet = text.parse().unwrap();
            assert_eq!(canonical(network), network, "{text}");
        }
    }
}
