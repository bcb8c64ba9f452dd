//! What two routes do with the same requests, compared.

use std::collections::BTreeSet;
use std::time::Duration;

use http::HeaderName;
use http::header::{ACCEPT, ACCEPT_ENCODING, ACCEPT_LANGUAGE};

use super::{Change, lifetimes};
use crate::asker::facet::{Facet, FacetSource};
use crate::asker::identity::Identity;
use crate::config::Settings;
use crate::fields::glob::glob;
use crate::policy::sharing::{Sharing, is_access_within, is_within};
use crate::rules::caching::{Access, Ask, Caching, ClientNoCache, Credentials, Expired, NamedPolicy};
use crate::rules::query::QueryRule;
use crate::rules::route::{AccessLog, AmbiguousPath, Route, Upgrades};
use crate::rules::tag_template::{PurgeTemplate, TagPiece, TagSource};
use crate::rules::template::{HostTemplate, Segment};

/// A route among the settings that it belongs to.
#[derive(Clone, Copy)]
pub(super) struct In<'a> {
    pub settings: &'a Settings,
    pub route: &'a Route,
}

impl In<'_> {
    fn upstream(&self) -> &str {
        self.settings.upstreams.get(self.route.upstream).map_or("", |upstream| upstream.name.as_str())
    }
}

/// All that becomes different for requests that `old` took and `new` takes.
pub(super) fn compare(old: In<'_>, new: In<'_>) -> Vec<Change> {
    // All of them by name: what a route learns to say is compared here, or said not to matter.
    let Route {
        name: _,
        file: _,
        line: _,
        host: _,
        path: _,
        methods: _,
        headers: _,
        upstream: _,
        upstream_mark: _,
        policy_name: _,
        caching: _,
        serves: _,
        tags: _,
        purges: _,
        query: _,
        read_only: _,
        settle: _,
        upgrades: _,
        purge_from: _,
        body_limit: _,
        ambiguous_path: _,
        access_log: _,
        targeted: _,
        tag_fields: _,
        // That of its upstream, where it is compared.
        aliases: _,
        fingerprint: _,
    } = old.route;
    let mut changes = caching(&old.route.caching, &new.route.caching, &new.settings.identity);
    if new.route.caching != Caching::Pass {
        changes.extend(query(old.route, new.route));
        changes.extend(served(old.route, new.route));
        changes.extend(parts(old.route, new.route));
    }
    changes.extend(ends(old.route, new.route));
    changes.extend(refuses(old.route, new.route));
    changes.extend(logged(old, new));
    if old.upstream() != new.upstream() {
        changes.push(Change::plain(format!("goes to `{}` instead of `{}`", new.upstream(), old.upstream())));
    }
    let plain = [
        ("tags", list(old.route.tags.iter()), list(new.route.tags.iter())),
        ("purges", purges(old.route), purges(new.route)),
        ("purge", purgers(old.route), purgers(new.route)),
        ("websocket", websocket(old.route), websocket(new.route)),
        ("body", limit(old.route), limit(new.route)),
    ];
    let different = plain.into_iter().filter(|(_, old, new)| old != new);
    changes.extend(different.map(|(key, old, new)| Change::plain(format!("`{key}` {old} → {new}"))));
    changes
}

/// Who may purge by asking the route itself; more of them see nothing more by it.
fn purgers(route: &Route) -> String {
    list(route.purge_from.iter())
}

/// What ends what is kept: for whoever signs out, and after a method that changes something.
fn ends(old: &Route, new: &Route) -> Vec<Change> {
    let mut changes = Vec::new();
    let for_principal = |route: &Route| route.purges.contains(&PurgeTemplate::Principal);
    if for_principal(old) && !for_principal(new) {
        let why = "what is kept for whoever signs out here, and what they are let see, is no longer ended by it";
        changes.push(Change::widens("`purges` no longer has principal", why));
    }
    if old.settle != new.settle {
        let said = |route: &Route| route.settle.map_or("none".to_owned(), |time| format!("{}s", time.as_secs_f64()));
        let change = format!("`settle` {} → {}", said(old), said(new));
        changes.push(match old.settle.unwrap_or_default() > new.settle.unwrap_or_default() {
            true => Change::widens(change, "what was read before a write took effect may be seen for longer"),
            false => Change::plain(change),
        });
    }
    if old.read_only != new.read_only {
        let change = format!("`read_only` {} → {}", old.read_only, new.read_only);
        changes.push(match new.read_only {
            true => Change::widens(change, "its writes purge nothing: what they change may be seen for longer"),
            false => Change::plain(change),
        });
    }
    changes
}

fn refuses(old: &Route, new: &Route) -> Option<Change> {
    let change = format!("`ambiguous_path` {} → {}", ambiguous(old), ambiguous(new));
    match (old.ambiguous_path, new.ambiguous_path) {
        (AmbiguousPath::Refuse, AmbiguousPath::Pass) => {
            Some(Change::widens(change, "nobody was answered there, and origins may read such a path in another way"))
        }
        (AmbiguousPath::Pass, AmbiguousPath::Refuse) => Some(Change::plain(change)),
        (AmbiguousPath::Refuse, AmbiguousPath::Refuse) | (AmbiguousPath::Pass, AmbiguousPath::Pass) => None,
    }
}

fn logged(old: In<'_>, new: In<'_>) -> Option<Change> {
    let written = |of: In<'_>| of.route.access_log == AccessLog::Written;
    let change = format!("`log` {} → {}", written(old), written(new));
    match (written(old), written(new)) {
        (false, true) if !new.settings.log.include.is_empty() => {
            Some(Change::widens(change, "whoever reads the log reads what `include` names of its requests"))
        }
        (false, true) | (true, false) => Some(Change::plain(change)),
        (true, true) | (false, false) => None,
    }
}

/// The parts of the path or the host by which answers are shared, asked for or tagged, where they stand elsewhere now.
fn parts(old: &Route, new: &Route) -> Vec<Change> {
    let moved = |name: &&String| place(old, name) != place(new, name);
    let known = |name: &&String| place(old, name).is_some();
    let used: BTreeSet<&String> =
        tagged_by(new).into_iter().filter(known).chain(decided_by(new)).filter(moved).collect();
    let told = |name: &String| {
        let change = format!("`<{name}>` is another part: {} → {}", old.path.text, new.path.text);
        match place(new, name) {
            Some(_) => Change::widens(change, "what is shared, asked for or purged by it is something else now"),
            None => Change::plain(change),
        }
    };
    used.into_iter().map(told).collect()
}

/// Where [`Route::part`] finds a part: in the host, or so many segments down.
fn place(route: &Route, name: &str) -> Option<Option<usize>> {
    if matches!(&route.host, Some(HostTemplate::Wildcard { part: Some(part), .. }) if part == name) {
        return Some(None);
    }
    let is = |segment: &Segment| matches!(segment, Segment::Part(_, part) if part == name);
    route.path.segments.iter().position(is).map(Some)
}

fn tagged_by(route: &Route) -> Vec<&String> {
    let purges = route.purges.iter().filter_map(|purge| match purge {
        PurgeTemplate::Tag(template) => Some(template),
        PurgeTemplate::Principal => None,
    });
    let pieces = route.tags.iter().chain(purges).flat_map(|template| &template.pieces);
    let tagged = pieces.filter_map(|piece| match piece {
        TagPiece::Value(TagSource::Part(name)) => Some(name),
        TagPiece::Value(TagSource::Listed(source, _)) => match &**source {
            TagSource::Part(name) => Some(name),
            _ => None,
        },
        TagPiece::Value(TagSource::Facet(facet)) => part_of(facet),
        _ => None,
    });
    tagged.collect()
}

/// Those that decide who may have an answer. A route without one of them passes everything.
fn decided_by(route: &Route) -> Vec<&String> {
    let Caching::Named(policy) = &route.caching else { return Vec::new() };
    let asked = match &policy.access {
        Some(Access::Ask { about: Ask::Path(path), .. }) => path.segments.as_slice(),
        _ => &[],
    };
    let asked = asked.iter().filter_map(|segment| match segment {
        Segment::Part(_, name) => Some(name),
        Segment::Literal(_) => None,
    });
    policy.share.facets().iter().filter_map(part_of).chain(asked).collect()
}

fn part_of(facet: &Facet) -> Option<&String> {
    match &facet.source {
        FacetSource::Part(name) => Some(name),
        _ => None,
    }
}

/// Whether requests that no route took may be forwarded now.
pub(super) fn begins(new: &Route, identity: &Identity) -> Change {
    let change = match &new.caching {
        Caching::Pass => "requests that no route took are passed now".to_owned(),
        Caching::Http(_) => "requests that no route took are answered and kept as the origin says now".to_owned(),
        Caching::Named(policy) => {
            let among = Sharing::of(&policy.share, identity).among;
            format!("requests that no route took are answered now, and shared among {among}")
        }
    };
    Change::widens(change, "nobody was answered here")
}

fn caching(old: &Caching, new: &Caching, identity: &Identity) -> Vec<Change> {
    let kept = "what was passed is kept now";
    match (old, new) {
        (Caching::Pass, Caching::Pass) => Vec::new(),
        (Caching::Pass, Caching::Http(_)) => {
            vec![Change::widens("pass → as the origin says", kept)]
        }
        (Caching::Pass, Caching::Named(policy)) => {
            let among = Sharing::of(&policy.share, identity).among;
            vec![Change::widens(format!("pass → `share: {}`", policy.share), format!("{kept}, for {among}"))]
        }
        (Caching::Http(_) | Caching::Named(_), Caching::Pass) => vec![Change::plain("passed now, and no longer kept")],
        (Caching::Http(old), Caching::Http(new)) => match (old.credentials, new.credentials) {
            (Credentials::AuthorizationAndCookies, Credentials::AuthorizationOnly) => {
                vec![Change::widens(
                    "origin → rfc9111",
                    "cookies are no longer credentials, and those that are set are kept",
                )]
            }
            (Credentials::AuthorizationOnly, Credentials::AuthorizationAndCookies) => {
                vec![Change::plain("rfc9111 → origin: cookies are credentials too")]
            }
            (Credentials::AuthorizationAndCookies, Credentials::AuthorizationAndCookies)
            | (Credentials::AuthorizationOnly, Credentials::AuthorizationOnly) => {
                strip_cookies(&old.strip_cookies, &new.strip_cookies)
            }
        },
        (Caching::Http(_), Caching::Named(policy)) => {
            let change = format!("as the origin says → `share: {}`", policy.share);
            vec![Change::widens(change, "what the origin did not open may be shared, or kept for longer")]
        }
        (Caching::Named(policy), Caching::Http(_)) => {
            let change = format!("`share: {}` → as the origin says", policy.share);
            vec![Change::widens(change, "the origin decides now, and what it opens is not known here")]
        }
        (Caching::Named(old), Caching::Named(new)) => named(old, new, identity),
    }
}

fn named(old: &NamedPolicy, new: &NamedPolicy, identity: &Identity) -> Vec<Change> {
    // As above; times and types are compared by `lifetimes`.
    let NamedPolicy {
        share: _,
        access: _,
        ttl: _,
        stale_while_revalidate: _,
        stale_if_error: _,
        ceiling: _,
        types: _,
        vary: _,
        strip_cookies: _,
        unsent: _,
        // That of `identity`, where it is compared.
        secret_fields: _,
        expired: _,
        touch: _,
        client_no_cache: _,
    } = old;
    let mut changes = Vec::new();
    if old.share != new.share {
        let change = format!("`share` {} → {}", old.share, new.share);
        changes.push(match is_within(&new.share, &old.share, identity) {
            true => Change::plain(change),
            false => {
                let among = Sharing::of(&new.share, identity).among;
                Change::widens(change, format!("answers are shared among {among}, who did not share them"))
            }
        });
    }
    if old.access != new.access {
        let said = |access: &Option<Access>| access.as_ref().map_or("nothing".to_owned(), ToString::to_string);
        let change = format!("`access` {} → {}", said(&old.access), said(&new.access));
        changes.push(match is_access_within(new.access.as_ref(), old.access.as_ref()) {
            true => Change::plain(change),
            false => Change::widens(change, "whoever was not let pass may be now, or for longer"),
        });
    }
    if old.share.is_sensitive() && !new.share.is_sensitive() {
        changes.push(Change::widens(
            "clients no longer see `private, no-cache`",
            "browsers and caches behind may keep answers, where no purge reaches them",
        ));
    }
    if old.expired != new.expired {
        let change = "`override`: what the origin says is over on arrival is";
        changes.push(match new.expired {
            Expired::Overridden => Change::widens(format!("{change} shared now"), "its answers were nobody else's"),
            Expired::Heeded => Change::plain(format!("{change} no longer shared")),
        });
    }
    if old.touch != new.touch {
        let said =
            |touch: Option<Duration>| touch.map_or("none".to_owned(), |touch| format!("{}s", touch.as_secs_f64()));
        changes.push(Change::plain(format!("`touch` {} → {}", said(old.touch), said(new.touch))));
    }
    if old.client_no_cache != new.client_no_cache {
        let change = "`client_no_cache`: who reloads";
        changes.push(match new.client_no_cache {
            ClientNoCache::Ignored => {
                Change::widens(format!("{change} gets what is stored"), "answers were fetched anew for them")
            }
            ClientNoCache::Heeded => Change::plain(format!("{change} has it fetched anew")),
        });
    }
    changes.extend(lifetimes::compare(old, new));
    let (before, after): (BTreeSet<&str>, BTreeSet<&str>) = (names(&old.vary), names(&new.vary));
    changes.extend(before.difference(&after).map(|name| {
        Change::widens(format!("`vary` no longer has {name}"), "requests that differ in it share an answer now")
    }));
    changes.extend(after.difference(&before).map(|name| Change::plain(format!("`vary` has {name} now"))));
    changes.extend(strip_cookies(&old.strip_cookies, &new.strip_cookies));
    changes
}

/// To what requests are reduced. Removing it under a policy of one's own is told by the names.
fn served(old: &Route, new: &Route) -> Vec<Change> {
    let keyed = |name: &HeaderName| match &old.caching {
        Caching::Named(policy) => policy.vary.contains(name),
        Caching::Http(_) => true,
        Caching::Pass => false,
    };
    let lists = [
        ("language", ACCEPT_LANGUAGE, &old.serves.languages, &new.serves.languages),
        ("encoding", ACCEPT_ENCODING, &old.serves.encodings, &new.serves.encodings),
        ("accept", ACCEPT, &old.serves.media, &new.serves.media),
    ];
    let different = lists.into_iter().filter(|(_, _, before, after)| before != after);
    let told = different.map(|(key, name, before, after)| {
        let change = format!("`vary.{key}` {} → {}", list(before.iter()), list(after.iter()));
        let merges = match (before.is_empty(), after.is_empty()) {
            (true, _) => keyed(&name),
            (false, true) => matches!(new.caching, Caching::Http(_)),
            (false, false) => !before.iter().all(|value| after.contains(value)),
        };
        match merges {
            true => Change::widens(change, "requests that differ in it share an answer now"),
            false => Change::plain(change),
        }
    });
    told.collect()
}

fn strip_cookies(old: &[String], new: &[String]) -> Vec<Change> {
    let gone = old.iter().filter(|pattern| !new.contains(pattern));
    let gone = gone.map(|pattern| Change::plain(format!("`strip_cookies` no longer has {pattern}")));
    let added = new.iter().filter(|pattern| !old.iter().any(|known| glob(known, pattern)));
    let added = added.map(|pattern| {
        let change = format!("`strip_cookies` has {pattern} now");
        Change::widens(change, "answers that set it were not kept, and may be shared now")
    });
    gone.chain(added).collect()
}

fn names(headers: &[HeaderName]) -> BTreeSet<&str> {
    headers.iter().map(HeaderName::as_str).collect()
}

fn query(old: &Route, new: &Route) -> Vec<Change> {
    let patterns = old.query.rules.iter().chain(&new.query.rules).map(|(pattern, _)| pattern.as_str());
    let patterns: BTreeSet<&str> = patterns.collect();
    let mut changes = Vec::new();
    // Every name is like one of these: it has a rule of its own, the rule of a pattern, or none.
    for pattern in patterns.into_iter().map(Some).chain([None]) {
        let like = match pattern {
            Some(pattern) => pattern.replace('*', UNHEARD_OF),
            None => UNHEARD_OF.to_owned(),
        };
        let (before, after) = (old.query.rule_of(&like), new.query.rule_of(&like));
        if before == after {
            continue;
        }
        let change = format!("`query` {}: {} → {}", pattern.unwrap_or("other"), rule(&before), rule(&after));
        changes.push(match merges(&before, &after) {
            None => Change::plain(change),
            Some(why) => Change::widens(change, why),
        });
    }
    changes
}

/// No rule is likely to name it.
const UNHEARD_OF: &str = "~unheard-of~";

/// Why requests may share an answer, or one may be kept, that did not before.
fn merges(old: &QueryRule, new: &QueryRule) -> Option<&'static str> {
    const KEPT: &str = "requests with it were passed, and are kept now";
    const SHARED: &str = "requests that differ in it may share an answer now";
    match (old, new) {
        (_, QueryRule::Pass)
        | (QueryRule::Any, QueryRule::Any)
        | (QueryRule::Drop, QueryRule::Any | QueryRule::Drop) => None,
        (QueryRule::Pass, QueryRule::Any | QueryRule::Drop | QueryRule::Number { .. }) => Some(KEPT),
        (QueryRule::Any | QueryRule::Number { .. }, QueryRule::Drop) => Some(SHARED),
        (QueryRule::Any, QueryRule::Number { .. }) => Some(SHARED),
        // What is no number was passed.
        (QueryRule::Number { .. }, QueryRule::Any) => Some(KEPT),
        // What is no number is passed now, and the rest is keyed.
        (QueryRule::Drop, QueryRule::Number { .. }) => None,
        (QueryRule::Number { default, min, max }, QueryRule::Number { default: other, min: lower, max: upper }) => {
            let lowest = |bound: &Option<i64>| bound.unwrap_or(i64::MIN);
            let highest = |bound: &Option<i64>| bound.unwrap_or(i64::MAX);
            // Who leaves it out shares with who writes the default.
            let shared_default = other.is_some() && other != default;
            (shared_default || lowest(lower) > lowest(min) || highest(upper) < highest(max)).then_some(SHARED)
        }
    }
}

fn rule(rule: &QueryRule) -> String {
    match rule {
        QueryRule::Any => "any".to_owned(),
        QueryRule::Drop => "drop".to_owned(),
        QueryRule::Pass => "pass".to_owned(),
        QueryRule::Number { default, min, max } => {
            let bounds = [("default", default), ("min", min), ("max", max)];
            let said = bounds.into_iter().filter_map(|(name, bound)| bound.map(|bound| format!("{name}: {bound}")));
            format!("{{{}}}", said.collect::<Vec<_>>().join(", "))
        }
    }
}

fn list(items: impl Iterator<Item = impl ToString>) -> String {
    format!("[{}]", items.map(|item| item.to_string()).collect::<Vec<_>>().join(", "))
}

fn purges(route: &Route) -> String {
    list(route.purges.iter().map(|purge| match purge {
        PurgeTemplate::Tag(tag) => tag.to_string(),
        PurgeTemplate::Principal => "principal".to_owned(),
    }))
}

fn limit(route: &Route) -> String {
    route.body_limit.map_or("the server's".to_owned(), |bytes| format!("{bytes} bytes"))
}

fn websocket(route: &Route) -> String {
    match route.upgrades {
        Upgrades::Never => "false".to_owned(),
        Upgrades::WebSocket => "true".to_owned(),
    }
}

fn ambiguous(route: &Route) -> String {
    match route.ambiguous_path {
        AmbiguousPath::Refuse => "refuse".to_owned(),
        AmbiguousPath::Pass => "pass".to_owned(),
    }
}
