//! What changes outside of routes: who is asking, who is believed, who may reach what.

use std::net::{IpAddr, SocketAddr};

use http::HeaderName;

use super::Change;
use crate::asker::identity::{CookieRole, Identity};
use crate::asker::token::TokenSettings;
use crate::config::Settings;
use crate::config::admin::{AdminSettings, TokenScope};
use crate::edge::settings::TlsSettings;
use crate::fields::glob::glob;
use crate::fields::targeted::Targeted;
use crate::policy::sharing::parts;
use crate::rules::path::RequestPath;
use crate::rules::path::aliases::{Aliases, Telling};
use crate::rules::path::refused::summed_up;
use crate::store::settings::CacheMode;
use crate::telemetry::settings::LogSettings;

pub(super) fn compare(old: &Settings, new: &Settings) -> Vec<Change> {
    // All of them by name: a new section is compared here.
    let Settings { server: _, admin: _, cache: _, identity: _, tokens: _, upstreams: _, routes: _, log: _ } = old;
    let mut changes = section("identity", identity(&old.identity, &new.identity));
    changes.extend(section("identity", tokens(old.tokens.as_ref(), new.tokens.as_ref())));
    changes.extend(section("server", server(old, new)));
    changes.extend(section("admin", admin(old.admin.as_ref(), new.admin.as_ref())));
    changes.extend(section("log", log(&old.log, &new.log)));
    changes.extend(section("cache", cache(old, new)));
    changes.extend(section("upstreams", upstreams(old, new)));
    changes
}

fn section(name: &str, changes: Vec<Change>) -> Vec<Change> {
    changes.into_iter().map(|change| change.about(name)).collect()
}

/// What a list of patterns has more or less; `added` and `gone` say why that widens, where it does.
fn patterns(key: &str, old: &[String], new: &[String], added: Option<&str>, gone: Option<&str>) -> Vec<Change> {
    let change = |change: String, why: Option<&str>| match why {
        Some(why) => Change::widens(change, why),
        None => Change::plain(change),
    };
    let covered = |pattern: &String, by: &[String]| by.iter().any(|known| glob(known, pattern));
    let more = new.iter().filter(|pattern| !covered(pattern, old));
    let less = old.iter().filter(|pattern| !covered(pattern, new));
    more.map(|pattern| change(format!("`{key}` has {pattern} now"), added))
        .chain(less.map(|pattern| change(format!("`{key}` no longer has {pattern}"), gone)))
        .collect()
}

fn identity(old: &Identity, new: &Identity) -> Vec<Change> {
    // All of them by name: what is added to it is compared here. The first three are the parts of a principal.
    let Identity {
        authorization: _,
        cookies: _,
        headers: _,
        ignore_cookies: _,
        ignore_headers: _,
        url_credentials: _,
        secret_fields: _,
        affinity_cookies: _,
        form_cookies: _,
        token: _,
        facets: _,
    } = old;
    let mut changes = Vec::new();
    let (before, after) = (parts(old), parts(new));
    for part in before.iter().filter(|part| !after.contains(part)) {
        let change = format!("`principal` no longer has {part}");
        changes.push(Change::widens(change, "requests that differ in it may be one principal's now, or nobody's"));
    }
    for part in after.iter().filter(|part| !before.contains(part)) {
        let change = format!("`principal` has {part} now");
        changes.push(Change::widens(change, "answers to requests that show it were passed, and may be kept now"));
    }
    for pattern in new.ignore_cookies.iter().filter(|pattern| !old.ignore_cookies.contains(pattern)) {
        // `_ga_x` is ignored already where `_ga*` is.
        let already = old.ignore_cookies.iter().any(|known| glob(known, pattern));
        let change = format!("`ignore_cookies` has {pattern} now");
        changes.push(match already {
            true => Change::plain(change),
            false => Change::widens(change, "requests that differ in it share answers now, or were passed"),
        });
    }
    for pattern in old.ignore_cookies.iter().filter(|pattern| !new.ignore_cookies.contains(pattern)) {
        changes.push(Change::plain(format!("`ignore_cookies` no longer has {pattern}")));
    }
    let (before, after) = (&old.form_cookies, &new.form_cookies);
    let added = "requests that show it were passed, or kept without it, and may be kept now";
    changes.extend(patterns("form_cookies", before, after, Some(added), None));
    let (before, after) = (&old.ignore_headers, &new.ignore_headers);
    let why = "requests that differ in it were passed, and may share answers now";
    changes.extend(patterns("ignore_headers", before, after, Some(why), None));
    let why = "requests and answers with it were kept apart, and may be kept now";
    let (before, after) = (&old.url_credentials, &new.url_credentials);
    changes.extend(patterns("url_credentials", before, after, None, Some(why)));
    let (before, after) = (&old.secret_fields, &new.secret_fields);
    changes.extend(patterns("secret_fields", before, after, None, Some(why)));
    for pattern in new.affinity_cookies.iter().filter(|pattern| !old.affinity_cookies.contains(pattern)) {
        let change = format!("`affinity_cookies` has {pattern} now");
        changes.push(match old.cookie(pattern) {
            CookieRole::Affinity => Change::plain(change),
            CookieRole::Ignored => {
                Change::widens(change, "answers that are shared under `origin` may depend on it now")
            }
            CookieRole::Principal | CookieRole::Form | CookieRole::Other => {
                Change::widens(change, "requests that differ in it share answers now, or were passed")
            }
        });
    }
    for pattern in old.affinity_cookies.iter().filter(|pattern| !new.affinity_cookies.contains(pattern)) {
        changes.push(Change::plain(format!("`affinity_cookies` no longer has {pattern}")));
    }
    if old.token.is_some() && new.token.is_some() && old.token != new.token {
        changes.push(Change::widens("the token stands elsewhere", "what proved nothing may prove something now"));
    }
    for facet in &new.facets {
        let known = old.facets.iter().find(|known| known.name == facet.name);
        changes.extend(known.filter(|known| known.source != facet.source).map(|known| {
            let change = format!("`facets` {}: {} → {}", facet.name, known.source, facet.source);
            Change::widens(change, "people who were told apart by it may share answers now")
        }));
        if known.is_none() {
            changes.push(Change::plain(format!("`facets` has {} now: {}", facet.name, facet.source)));
        }
    }
    for facet in old.facets.iter().filter(|facet| !new.facets.iter().any(|known| known.name == facet.name)) {
        changes.push(Change::plain(format!("`facets` no longer has {}", facet.name)));
    }
    changes
}

/// By what tokens are believed. That none were is no matter: what relies on them is compared with the routes.
fn tokens(old: Option<&TokenSettings>, new: Option<&TokenSettings>) -> Vec<Change> {
    let (Some(old), Some(new)) = (old, new) else { return Vec::new() };
    let mut changes = Vec::new();
    let believed = "tokens that proved nothing are believed now";
    if new.keys.iter().any(|key| !old.keys.contains(key)) {
        changes.push(Change::widens("`jwt` has other keys, or keys for other algorithms", believed));
    } else if new.keys.len() < old.keys.len() {
        changes.push(Change::plain("`jwt` has fewer keys"));
    }
    for (key, before, after) in [("issuer", &old.issuers, &new.issuers), ("audience", &old.audiences, &new.audiences)] {
        if before == after {
            continue;
        }
        let change = format!("`jwt.{key}` [{}] → [{}]", before.join(", "), after.join(", "));
        let narrower = before.is_empty() || !after.is_empty() && after.iter().all(|one| before.contains(one));
        changes.push(if narrower { Change::plain(change) } else { Change::widens(change, believed) });
    }
    if old.leeway != new.leeway {
        let change = format!("`jwt.leeway` {}s → {}s", old.leeway.as_secs_f64(), new.leeway.as_secs_f64());
        let longer = new.leeway > old.leeway;
        changes.push(if longer { Change::widens(change, believed) } else { Change::plain(change) });
    }
    changes
}

fn server(old: &Settings, new: &Settings) -> Vec<Change> {
    let (old, new) = (&old.server, &new.server);
    let mut changes = Vec::new();
    for net in new.trusted_proxies.iter().filter(|net| !old.trusted_proxies.contains(net)) {
        let change = format!("`trusted_proxies` has {net} now");
        let already = old.trusted_proxies.iter().any(|known| known.contains(net));
        changes.push(match already {
            true => Change::plain(change),
            false => Change::widens(change, "its word on hosts, schemes and clients is believed"),
        });
    }
    for net in old.trusted_proxies.iter().filter(|net| !new.trusted_proxies.contains(net)) {
        changes.push(Change::plain(format!("`trusted_proxies` no longer has {net}")));
    }
    let lost = old.refuse.texts().filter(|path| !new.refuse.takes(&RequestPath::new(path)));
    for path in summed_up(lost) {
        let change = format!("`refuse` no longer has {path}");
        changes.push(Change::widens(change, "it reaches the origin, to which everybody has Stent's address"));
    }
    let come = new.refuse.texts().filter(|path| !old.refuse.takes(&RequestPath::new(path)));
    changes.extend(summed_up(come).into_iter().map(|path| Change::plain(format!("`refuse` has {path} now"))));
    for address in new.listen.iter().filter(|address| !old.listen.contains(address)) {
        changes.push(listening("`listen`", *address, &old.listen));
    }
    for address in old.listen.iter().filter(|address| !new.listen.contains(address)) {
        changes.push(Change::plain(format!("`listen` no longer has {address}")));
    }
    changes.extend(tls(old.tls.as_ref(), new.tls.as_ref()));
    if old.timing != new.timing {
        changes.push(Change::plain("`timing` differs"));
    }
    if old.limits != new.limits || old.workers != new.workers || old.drain != new.drain {
        changes.push(Change::plain("`limits`, `workers` or `drain` differ"));
    }
    changes
}

fn tls(old: Option<&TlsSettings>, new: Option<&TlsSettings>) -> Vec<Change> {
    let addresses = |tls: Option<&TlsSettings>| tls.map_or(Vec::new(), |tls| tls.listen.clone());
    let (before, after) = (addresses(old), addresses(new));
    let come = after.iter().filter(|address| !before.contains(address));
    let mut changes: Vec<Change> = come.map(|address| listening("`tls.listen`", *address, &before)).collect();
    for address in before.iter().filter(|address| !after.contains(address)) {
        changes.push(Change::plain(format!("`tls.listen` no longer has {address}")));
    }
    let (Some(old), Some(new)) = (old, new) else { return changes };
    // That none were believed is no matter: what relies on them is compared with the routes.
    match (old.terms.roots(), new.terms.roots()) {
        (Some(before), Some(after)) if after.iter().any(|root| !before.contains(root)) => {
            let change = "`tls.client_ca` has other authorities";
            changes.push(Change::widens(change, "certificates that proved nothing are believed now"));
        }
        (Some(before), Some(after)) if after.len() < before.len() => {
            changes.push(Change::plain("`tls.client_ca` has fewer authorities"));
        }
        (Some(_), None) => changes.push(Change::plain("clients are not asked for certificates any more")),
        (None, Some(_)) => changes.push(Change::plain("clients are asked for certificates now")),
        (None, None) | (Some(_), Some(_)) => {}
    }
    if !old.terms.shows_same(&new.terms) {
        changes.push(Change::plain("`tls.certs` has other certificates"));
    }
    changes
}

fn log(old: &LogSettings, new: &LogSettings) -> Vec<Change> {
    let LogSettings { access: _, slow: _, include: _ } = old;
    let mut changes = Vec::new();
    for included in new.include.iter().filter(|included| !old.include.contains(included)) {
        let change = format!("`include` has {} now", included.as_str());
        changes.push(Change::widens(change, "whoever reads the log reads that"));
    }
    for included in old.include.iter().filter(|included| !new.include.contains(included)) {
        changes.push(Change::plain(format!("`include` no longer has {}", included.as_str())));
    }
    if old.access != new.access {
        let change = "`access` differs: the log goes elsewhere";
        changes.push(match new.include.is_empty() {
            true => Change::plain(change),
            false => Change::widens(change, "whoever reads it there reads what `include` names"),
        });
    }
    if old.slow != new.slow {
        changes.push(Change::plain("`slow` differs"));
    }
    changes
}

/// More people may reach it when it is not on this machine only, and was not reached by the same address.
fn listening(key: &str, address: SocketAddr, before: &[SocketAddr]) -> Change {
    let change = format!("{key} has {address} now");
    let reached = |old: &SocketAddr| old.ip() == address.ip() || is_everywhere(old.ip()) && is_everywhere(address.ip());
    match address.ip().is_loopback() || before.iter().any(reached) {
        true => Change::plain(change),
        false => Change::widens(change, "it can be reached from elsewhere now"),
    }
}

fn is_everywhere(ip: IpAddr) -> bool {
    ip.is_unspecified()
}

fn admin(old: Option<&AdminSettings>, new: Option<&AdminSettings>) -> Vec<Change> {
    let Some(new) = new else {
        return old.map(|_| Change::plain("there is no admin listener any more")).into_iter().collect();
    };
    let mut changes = Vec::new();
    let before: Vec<SocketAddr> = old.iter().map(|old| old.listen).collect();
    if !before.contains(&new.listen) {
        changes.push(listening("`listen`", new.listen, &before));
    }
    let everybody = "whoever is on this machine may read status, metrics and explanations";
    let Some(old) = old else {
        let readers = new.tokens.iter().filter(|token| token.may.contains(&TokenScope::Read));
        let readers = readers.map(|token| {
            Change::widens(format!("the token {} may read now", token.name), "it sees status, metrics and explanations")
        });
        changes.extend(readers);
        if new.tokens.is_empty() {
            changes.push(Change::widens("there is an admin listener now, without `tokens`", everybody));
        }
        return changes;
    };
    if new.tokens.is_empty() && !old.tokens.is_empty() {
        changes.push(Change::widens("`tokens` are gone", everybody));
        return changes;
    }
    if old.tokens.is_empty() && !new.tokens.is_empty() {
        changes.push(Change::plain("only holders of `tokens` may call now"));
        return changes;
    }
    for token in &new.tokens {
        let known = old.tokens.iter().find(|known| known.name == token.name);
        let had = |scope: &TokenScope| known.is_some_and(|known| known.may.contains(scope));
        for scope in token.may.iter().filter(|scope| !had(scope)) {
            let change = format!("the token {} may {} now", token.name, scope.as_str());
            changes.push(match scope {
                TokenScope::Read => Change::widens(change, "it sees status, metrics and explanations"),
                TokenScope::Purge | TokenScope::Reload | TokenScope::Bypass => Change::plain(change),
            });
        }
        for scope in known.into_iter().flat_map(|known| &known.may).filter(|scope| !token.may.contains(scope)) {
            changes.push(Change::plain(format!("the token {} may no longer {}", token.name, scope.as_str())));
        }
        if known.is_some_and(|known| known.secret != token.secret) {
            changes.push(Change::plain(format!("the token {} has another secret", token.name)));
        }
    }
    for token in old.tokens.iter().filter(|token| !new.tokens.iter().any(|known| known.name == token.name)) {
        changes.push(Change::plain(format!("the token {} is gone", token.name)));
    }
    changes
}

fn cache(old: &Settings, new: &Settings) -> Vec<Change> {
    let (old, new) = (&old.cache, &new.cache);
    let mode = match (old.mode, new.mode) {
        (CacheMode::Bypass, CacheMode::Serve) => {
            Some(Change::widens("`mode` bypass → serve", "everything was passed; what routes keep is kept now"))
        }
        (CacheMode::Serve, CacheMode::Bypass) => Some(Change::plain("`mode` serve → bypass: everything is passed")),
        (CacheMode::Serve, CacheMode::Serve) | (CacheMode::Bypass, CacheMode::Bypass) => None,
    };
    let size = |key: &str, old: u64, new: u64| (old != new).then(|| format!("`{key}` {old} → {new} bytes"));
    let memory = size("memory", old.memory, new.memory).map(Change::plain);
    let shown = |share: Option<u8>| share.map_or("off".to_owned(), |share| format!("{share}%"));
    let share = (old.client_share != new.client_share)
        .then(|| format!("`client_share` {} → {}", shown(old.client_share), shown(new.client_share)))
        .map(Change::plain);
    let longest = size("max_object", old.max_object, new.max_object);
    let longest = longest.map(|change| match new.max_object > old.max_object {
        true => Change::widens(change, "longer answers were passed, and are kept now"),
        false => Change::plain(change),
    });
    let targeted = match (old.targeted, new.targeted) {
        (Targeted::Stripped, Targeted::Passed) => Some(Change::widens(
            "`targeted` strip → pass",
            "caches behind may keep answers, where no purge reaches them",
        )),
        (Targeted::Passed, Targeted::Stripped) => Some(Change::plain("`targeted` pass → strip")),
        (Targeted::Passed, Targeted::Passed) | (Targeted::Stripped, Targeted::Stripped) => None,
    };
    let more = |key: &str, old: usize, new: usize| {
        let change = (old != new).then(|| format!("`{key}` {old} → {new}"));
        change.map(|change| match new > old {
            true => Change::widens(change, "answers with more were passed, and are kept now"),
            false => Change::plain(change),
        })
    };
    let (was, is) = (&old.bounds, &new.bounds);
    let bounds = more("vary", was.vary, is.vary).into_iter().chain(more("tags", was.tags, is.tags));
    let names = |fields: &[HeaderName]| fields.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    let fields = (old.tag_fields != new.tag_fields).then(|| {
        let change = format!("`tag_headers` [{}] → [{}]", names(&old.tag_fields), names(&new.tag_fields));
        match old.tag_fields.iter().all(|name| new.tag_fields.contains(name)) {
            true => Change::plain(change),
            false => Change::widens(change, "answers are not purged any more by what a header names"),
        }
    });
    mode.into_iter().chain(memory).chain(share).chain(longest).chain(bounds).chain(fields).chain(targeted).collect()
}

/// Whether all that is one path to the other is one to this.
fn covers(one: &Aliases, other: &Aliases) -> bool {
    let no_less = |one: Telling, other: Telling| one == Telling::Ignored || other == Telling::Distinct;
    no_less(one.parameters, other.parameters)
        && no_less(one.case, other.case)
        && other.suffixes.iter().all(|suffix| one.suffixes.contains(suffix))
}

fn upstreams(old: &Settings, new: &Settings) -> Vec<Change> {
    let mut changes = Vec::new();
    for upstream in &new.upstreams {
        let name = &upstream.name;
        match old.upstreams.iter().find(|known| known.name == *name) {
            None => changes.push(Change::plain(format!("`{name}` is new"))),
            Some(known) if known.servers != upstream.servers => {
                changes.push(Change::plain(format!("`{name}` has other servers")));
            }
            Some(known) if known.sticky != upstream.sticky => {
                changes.push(Change::plain(format!("`{name}` has another `sticky`")));
            }
            Some(known) if known.paths != upstream.paths => {
                let change = format!("`{name}` has other `paths`");
                changes.push(match covers(&upstream.paths, &known.paths) {
                    true => Change::plain(change),
                    false => {
                        Change::widens(change, "a write by another name of a path leaves what is kept by this one")
                    }
                });
            }
            Some(known) if known != upstream => {
                changes.push(Change::plain(format!("`{name}` has other times, retries or connections")));
            }
            Some(_) => {}
        }
    }
    for known in old.upstreams.iter().filter(|known| !new.upstreams.iter().any(|upstream| upstream.name == known.name))
    {
        changes.push(Change::plain(format!("`{}` is gone", known.name)));
    }
    changes
}
