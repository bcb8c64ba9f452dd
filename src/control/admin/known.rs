//! What is known of what a purge names: which routes can keep an answer that it takes, and which stored answers it takes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::control::admin::named::Named;
use crate::entry::purge::Standing;
use crate::entry::tag::{TagHash, TagSet, Tagged};
use crate::fields::authority::without_port;
use crate::ground::clock::monotonic;
use crate::proxy::current::Proxy;
use crate::rules::caching::Caching;
use crate::rules::path::RequestPath;
use crate::rules::route::Route;
use crate::rules::tag_template::TagSource;
use crate::rules::template::{HostTemplate, PartKind, PathTemplate, Segment};
use crate::store::sweep::look_through;

/// One thing that a call names.
#[derive(Debug)]
pub(super) struct PurgeItem {
    pub(super) what: What,
    /// In which list of the call it stands, and where in it: what a caller wrote may name a patient, and is not repeated.
    pub(super) at: (&'static str, usize),
    /// By which hashes it takes what it takes: any of them.
    pub(super) tags: TagSet,
}

#[derive(Debug)]
pub(super) enum What {
    Tag(String),
    Url(Named),
    Prefix(Named),
    All,
}

impl PurgeItem {
    pub(super) fn new(at: (&'static str, usize), what: What, name: impl FnOnce(&mut TagSet)) -> PurgeItem {
        let mut tags = TagSet::default();
        name(&mut tags);
        PurgeItem { what, at, tags }
    }
}

/// What is known of a call.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KnownTags {
    /// How many stored answers it takes; `None`: the store is too large to count.
    pub(super) met: Option<u64>,
    /// Where the things stand, by their list, which no route can carry and no stored answer carries.
    pub(super) unknown: BTreeMap<&'static str, Vec<usize>>,
    /// Whether some could not be told.
    pub(super) untold: bool,
    /// The routes whose answers it takes or can take, and how many are stored.
    pub(super) routes: BTreeMap<String, u64>,
}

/// How long routes are gone through for one call.
const LOOKED_FOR: Duration = Duration::from_millis(100);

impl KnownTags {
    /// Looks; blocks, though not for long. Of a store with more than `most` answers nothing is counted.
    pub(super) fn of(proxy: &Proxy, items: &[PurgeItem], most: u64) -> KnownTags {
        let mut by_hash: HashMap<TagHash, Vec<usize>> = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            item.tags.hashes().iter().for_each(|hash| by_hash.entry(*hash).or_default().push(index));
        }
        let routes = proxy.router.routes();
        let by_route: HashMap<TagHash, &str> = routes
            .iter()
            .filter_map(|route| {
                let mut tags = TagSet::default();
                tags.route(&route.name);
                Some((*tags.hashes().first()?, route.name.as_str()))
            })
            .collect();
        let mut known = KnownTags::default();
        let (mut met, mut carried) = (0, vec![false; items.len()]);
        let whole = look_through(&proxy.cache.memory, most, |_, slot| {
            let Some(entry) = slot.entry() else { return };
            let mut takes = entry.tag_hashes().filter_map(|hash| by_hash.get(&hash)).peekable();
            if takes.peek().is_none() || proxy.cache.log.check(entry.birth(), entry) == Standing::Dead {
                return;
            }
            takes.flatten().for_each(|&index| carried[index] = true);
            met += 1;
            if let Some(name) = entry.tag_hashes().find_map(|hash| by_route.get(&hash)) {
                *known.routes.entry((*name).to_owned()).or_default() += 1;
            }
        });
        known.met = whole.then_some(met);
        let until = monotonic() + LOOKED_FOR;
        for (item, carried) in items.iter().zip(carried) {
            let in_time = monotonic() < until;
            let routes = if in_time { carriers(routes, item) } else { Vec::new() };
            for route in &routes {
                known.routes.entry(route.name.clone()).or_default();
            }
            if carried || !routes.is_empty() || matches!(item.what, What::All) {
                continue;
            }
            match whole && in_time {
                true => known.unknown.entry(item.at.0).or_default().push(item.at.1),
                false => known.untold = true,
            }
        }
        known
    }

    /// Whether all that is named is known; `None` where that cannot be told.
    pub(super) fn known(&self) -> Option<bool> {
        match (self.unknown.is_empty(), self.untold) {
            (false, _) => Some(false),
            (true, true) => None,
            (true, false) => Some(true),
        }
    }
}

/// The routes that can keep an answer which this takes.
fn carriers<'r>(routes: &'r [Arc<Route>], item: &PurgeItem) -> Vec<&'r Route> {
    let keeping = routes.iter().map(|route| &**route).filter(|route| route.caching != Caching::Pass);
    match &item.what {
        What::All => keeping.collect(),
        What::Tag(text) => keeping
            .filter(|route| {
                route.tags.iter().any(|template| template.makes(text, &|source, value| fits(route, source, value)))
            })
            .collect(),
        What::Prefix(named) => {
            keeping.filter(|route| takes_host(route, &named.host) && may_take_below(&route.path, &named.path)).collect()
        }
        What::Url(named) => {
            let mut found = Vec::new();
            for route in routes.iter().filter(|route| takes_host(route, &named.host) && route.path.takes(&named.path)) {
                let reads = route.methods.is_empty() || route.methods.contains(&Method::GET);
                if reads && route.caching != Caching::Pass {
                    found.push(&**route);
                }
                // What is below it in the file is never asked for this.
                if reads && route.headers.is_empty() && (route.host.is_none() || !named.host.is_empty()) {
                    break;
                }
            }
            found
        }
    }
}

/// Whether a hole of the route's tags can have this value, in the form that tags have.
fn fits(route: &Route, source: &TagSource, value: &str) -> bool {
    let TagSource::Part(name) = source else { return true };
    let kind = route.path.segments.iter().find_map(|segment| match segment {
        Segment::Part(kind, part) if part == name => Some(*kind),
        _ => None,
    });
    match kind {
        Some(PartKind::Int) => value.bytes().all(|b| b.is_ascii_digit()),
        Some(PartKind::Uuid) => value.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-'),
        Some(PartKind::Text | PartKind::Slug) | None => true,
    }
}

fn takes_host(route: &Route, host: &str) -> bool {
    let host = without_port(host);
    host.is_empty()
        || match &route.host {
            None => true,
            Some(HostTemplate::Exact(own)) => own == host,
            Some(HostTemplate::Wildcard { suffix, .. }) => host.split_once('.').is_some_and(|(_, rest)| rest == suffix),
        }
}

/// Whether a template takes a path or anything below it.
fn may_take_below(template: &PathTemplate, path: &str) -> bool {
    let mut own = template.segments.iter();
    for segment in RequestPath::segments(path) {
        let fits = match own.next() {
            Some(Segment::Literal(literal)) => literal == segment,
            Some(Segment::Part(PartKind::Int, _)) => segment.bytes().all(|b| b.is_ascii_digit()),
            Some(Segment::Part(..)) => true,
            None => return template.rest,
        };
        if !fits {
            return false;
        }
    }
    true
}
