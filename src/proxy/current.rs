//! The configuration in force, and how another takes its place while requests are under way.
//!
//! A request takes the proxy that is in force when its head is complete and keeps it to its end. Store, purge log, flights and
//! counters are shared by all that come after each other; what was stored under other rules has other keys (purge rule 15).
//!
//! Keys alone do not suffice: rules that come back would find entries from before, which writes in between, by the rules of
//! that time, did not name. So routes that are new or other are purged *before* they are in force; and a write that ends under
//! other rules than it began by purges them once more, since it cannot name what they fetched meanwhile.
//!
//! An operator may switch a route to pass for a while: that is no change of rules, and outlasts one.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use ipnet::IpNet;

use crate::asker::facet::certificate::Authorities;
use crate::asker::identity::Identity;
use crate::asker::principal::PrincipalKey;
use crate::asker::token::Tokens;
use crate::coherence::cache::Cache;
use crate::edge::settings::{ServerLimits, Timing};
use crate::entry::purge::{Stamp, Strength};
use crate::entry::tag::TagSet;
use crate::proxy::ids::RequestIds;
use crate::proxy::probes::Probes;
use crate::proxy::touches::Touches;
use crate::proxy::varying::Selecting;
use crate::rules::path::refused::RefusedPaths;
use crate::rules::route::router::Router;
use crate::store::memory::Memory;
use crate::store::permission::Permissions;
use crate::store::settings::CacheMode;
use crate::telemetry::Telemetry;
use crate::upstream::Upstream;

/// The proxy that answers requests from now on.
#[derive(Debug)]
pub struct Current {
    proxy: ArcSwap<Proxy>,
    /// Routes that pass by an operator's wish, and until when. Held while a proxy takes another's place.
    bypassed: Mutex<BTreeMap<String, Instant>>,
}

/// No route of the configuration has this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchRoute;

impl Current {
    /// Begins with what `build` makes; it is given the place where its successors will be.
    pub fn new(build: impl FnOnce(Weak<Current>) -> Proxy) -> Arc<Current> {
        Arc::new_cyclic(|current| Current {
            proxy: ArcSwap::from_pointee(build(current.clone())),
            bypassed: Mutex::default(),
        })
    }

    /// For one request.
    pub fn load(&self) -> Guard<Arc<Proxy>> {
        self.proxy.load()
    }

    /// For longer.
    pub fn load_full(&self) -> Arc<Proxy> {
        self.proxy.load_full()
    }

    /// Puts another in force. Bypasses go on where their routes do.
    pub fn replace(&self, next: Proxy) {
        let mut bypassed = self.bypassed();
        bypassed.retain(|name, _| next.set_bypass(name, true).is_ok());
        next.purge_new_routes(&self.proxy.load());
        self.proxy.store(Arc::new(next));
    }

    /// Passes all requests of a route until then.
    pub fn bypass(&self, route: &str, until: Instant) -> Result<(), NoSuchRoute> {
        let mut bypassed = self.bypassed();
        self.proxy.load().set_bypass(route, true)?;
        bypassed.insert(route.to_owned(), until);
        Ok(())
    }

    /// Ends a bypass, if there is one.
    pub fn end_bypass(&self, route: &str) -> Result<(), NoSuchRoute> {
        let mut bypassed = self.bypassed();
        bypassed.remove(route);
        self.proxy.load().set_bypass(route, false)
    }

    /// Ends the bypasses whose time is over, and names them.
    pub fn end_bypasses(&self, now: Instant) -> Vec<String> {
        let mut bypassed = self.bypassed();
        let over: Vec<String> =
            bypassed.iter().filter(|(_, until)| **until <= now).map(|(name, _)| name.clone()).collect();
        for name in &over {
            bypassed.remove(name);
            // A route that has gone took its bypass along.
            let _ = self.proxy.load().set_bypass(name, false);
        }
        over
    }

    /// The bypasses in force.
    pub fn bypasses(&self) -> Vec<(String, Instant)> {
        self.bypassed().iter().map(|(name, until)| (name.clone(), *until)).collect()
    }

    fn bypassed(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.bypassed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proxy {
    /// Purges what may be kept of routes that `other` does not have, or has under other rules.
    fn purge_new_routes(&self, other: &Proxy) {
        let known: HashSet<u64> = other.router.routes().iter().map(|route| route.fingerprint).collect();
        for route in self.router.routes().iter().filter(|route| !known.contains(&route.fingerprint)) {
            let mut tags = TagSet::default();
            tags.route(&route.name);
            self.cache.log.apply(&tags, Strength::Hard);
        }
    }

    /// Applies a purge that this proxy's rules named, and what other rules that came into force meanwhile would name.
    pub(super) fn purge(&self, tags: &TagSet, strength: Strength) -> Stamp {
        let epoch = self.cache.log.apply(tags, strength);
        self.telemetry.meters.count_purge();
        if let Some(current) = self.current.upgrade() {
            let now = current.load();
            if !std::ptr::eq(&raw const **now, self) {
                now.purge_new_routes(self);
            }
        }
        epoch
    }

    fn set_bypass(&self, name: &str, on: bool) -> Result<(), NoSuchRoute> {
        let index = self.router.routes().iter().position(|route| route.name == name).ok_or(NoSuchRoute)?;
        self.bypassed[index].store(on, Ordering::Relaxed);
        Ok(())
    }
}

/// Everything that answering a request needs.
#[derive(Debug)]
pub struct Proxy {
    /// Which route takes what.
    pub router: Router,
    /// Who is asking.
    pub identity: Identity,
    /// Tokens that are verified, where they are.
    pub tokens: Option<Tokens>,
    /// What the origin let whom see.
    pub permissions: Permissions,
    /// Services, by the index that routes hold.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Whether the store is used at all.
    pub mode: CacheMode,
    /// Whose word on forwarding is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What never reaches an origin, whatever routes say.
    pub refused: RefusedPaths,
    /// By whom clients' certificates are verified.
    pub authorities: Option<Authorities>,
    /// Bounds on clients.
    pub limits: ServerLimits,
    /// The longest body that is stored, in bytes.
    pub max_object: u64,
    /// What principals' digests are keyed with.
    pub secret: PrincipalKey,
    /// Store, purge log and flights.
    pub cache: Arc<Cache<Memory>>,
    /// Whether answers say how long they took.
    pub timing: Timing,
    /// What is counted and written down.
    pub telemetry: Arc<Telemetry>,
    /// Request ids, by worker.
    pub ids: Arc<RequestIds>,
    /// What is known of how the origins judge conditions.
    pub probes: Probes,
    /// When the origins last heard of whom.
    pub touches: Arc<Touches>,
    /// Whether any route's policy wants that known.
    pub touches_sessions: bool,
    /// By which fields the answers of routes were seen to differ, by their index.
    pub selecting: Box<[Selecting]>,
    /// Routes that pass by an operator's wish, by their index.
    pub bypassed: Box<[AtomicBool]>,
    /// Where the one in force is: this one or a later one.
    pub current: Weak<Current>,
}
