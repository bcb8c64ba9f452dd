//! Another configuration for a running process: read, compared with the one in force, and swapped in as a whole.
//!
//! What is bound or sized when the process starts cannot be swapped: it stays as it is and is named. Everything else holds for
//! every request whose head is complete afterwards; bounds on connections for those that come afterwards.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::asker::principal::PrincipalKey;
use crate::asker::token::Tokens;
use crate::body::spool::budget::Budget;
use crate::coherence::MAX_REFRESHES;
use crate::coherence::backoff::Backoff;
use crate::coherence::cache::{Cache, Filing};
use crate::config::admin::AdminSettings;
use crate::config::{ConfigProblem, Loaded, Report, Settings};
use crate::edge::settings::ServerSettings;
use crate::ground::clock::Clock;
use crate::proxy::current::{Current, Proxy};
use crate::proxy::varying::Selecting;
use crate::proxy::{Probes, RequestIds, Touches};
use crate::rules::caching::Caching;
use crate::rules::route::router::Router;
use crate::store::memory::Memory;
use crate::store::permission::Permissions;
use crate::telemetry::log::Log;
use crate::telemetry::{Meters, Registry, Telemetry, UpstreamMeters};
use crate::upstream::Upstream;

/// Where a configuration comes from when it is read again.
pub type ConfigSource = Box<dyn Fn() -> Result<Loaded, Report> + Send + Sync>;

/// What is in force, and the one way to change it.
pub struct Configuration {
    /// The line.
    pub current: Arc<Current>,
    /// Bounds of connections that come from now on.
    pub server: Arc<ArcSwap<ServerSettings>>,
    /// Who may call the admin from now on.
    pub admin: ArcSwapOption<AdminSettings>,
    registry: Arc<Registry>,
    workers: usize,
    /// All of it; held while it changes, so that changes come one after another.
    settings: Mutex<Settings>,
    source: Option<ConfigSource>,
}

/// What came of a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Keys whose new value takes a restart; the old one stays in force.
    pub restart_needed: Vec<&'static str>,
    /// What should be looked at all the same.
    pub warnings: Vec<ConfigProblem>,
}

/// Why nothing was changed.
#[derive(Debug)]
pub enum NotReloaded {
    /// The process was not started from a file.
    NoSource,
    /// The file has mistakes.
    Mistakes(Report),
}

impl std::fmt::Debug for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configuration").field("current", &self.current).finish_non_exhaustive()
    }
}

impl Configuration {
    /// Puts the first settings in force.
    pub fn new(
        settings: Settings,
        source: Option<ConfigSource>,
        workers: usize,
        clock: Clock,
        registry: Arc<Registry>,
    ) -> io::Result<Configuration> {
        let mut secret = [0; 32];
        let mut seed = [0; 8];
        getrandom::fill(&mut secret).and_then(|()| getrandom::fill(&mut seed)).map_err(io::Error::other)?;
        let seed = u64::from_le_bytes(seed);
        let cache = Cache {
            memory: Memory::new(settings.cache.memory, settings.cache.share()),
            filing: Filing::of(settings.cache.bounds),
            log: Default::default(),
            refused: Default::default(),
            swept: Default::default(),
            flights: Arc::default(),
            budget: Arc::new(Budget::beside(settings.cache.memory, settings.cache.max_object)),
            refreshes: Arc::new(Semaphore::new(MAX_REFRESHES)),
            backoff: Backoff::new(seed, clock.now().instant),
            clock,
        };
        let dropped = registry.counter("stent_log_dropped_total", &[]);
        let log = Log::start(&settings.log.access, workers, &cache.clock, dropped)?;
        let lasting = Lasting {
            secret: PrincipalKey(secret),
            touches: Arc::new(Touches::new(cache.clock.instant())),
            cache: Arc::new(cache),
            ids: Arc::new(RequestIds::new(seed, workers)),
            log: Arc::new(log),
        };
        let current = Current::new(|current| proxy(&settings, lasting, &[], workers, &registry, current));
        Ok(Configuration {
            current,
            server: Arc::new(ArcSwap::from_pointee(settings.server.clone())),
            admin: ArcSwapOption::from_pointee(settings.admin.clone()),
            registry,
            workers,
            settings: Mutex::new(settings),
            source,
        })
    }

    /// Reads the file again and puts it in force. With any mistake in it, nothing changes, but that the access log is opened
    /// anew: whoever moved it away asks for no more.
    pub fn reload(&self) -> Result<Reloaded, NotReloaded> {
        self.current.load().telemetry.log.reopen();
        let source = self.source.as_ref().ok_or(NotReloaded::NoSource)?;
        let loaded = source().map_err(NotReloaded::Mistakes)?;
        Ok(Reloaded { warnings: loaded.warnings, ..self.replace(loaded.settings) })
    }

    /// Puts these settings in force, as far as a running process can.
    pub fn replace(&self, next: Settings) -> Reloaded {
        let mut settings = self.settings.lock().unwrap_or_else(PoisonError::into_inner);
        let (next, restart_needed) = applicable(&settings, next);
        let old = self.current.load_full();
        let log = old.telemetry.log.clone();
        let lasting = Lasting {
            secret: old.secret.clone(),
            cache: old.cache.clone(),
            ids: old.ids.clone(),
            touches: old.touches.clone(),
            log,
        };
        let proxy = proxy(&next, lasting, &old.upstreams, self.workers, &self.registry, Arc::downgrade(&self.current));
        self.current.replace(proxy);
        self.server.store(Arc::new(next.server.clone()));
        self.admin.store(next.admin.clone().map(Arc::new));
        *settings = next;
        Reloaded { restart_needed, warnings: Vec::new() }
    }
}

/// The new settings with the old values of what takes a restart, and the keys of those that differ.
fn applicable(old: &Settings, mut next: Settings) -> (Settings, Vec<&'static str>) {
    let mut needed = Vec::new();
    keep("server.listen", &old.server.listen, &mut next.server.listen, &mut needed);
    match (&old.server.tls, &mut next.server.tls) {
        (Some(old), Some(next)) => keep("server.tls.listen", &old.listen, &mut next.listen, &mut needed),
        (old, next) => keep("server.tls", old, next, &mut needed),
    }
    keep("server.workers", &old.server.workers, &mut next.server.workers, &mut needed);
    let connections = &mut next.server.limits.connections;
    keep("server.limits.connections", &old.server.limits.connections, connections, &mut needed);
    keep("log.access", &old.log.access, &mut next.log.access, &mut needed);
    keep("cache.memory", &old.cache.memory, &mut next.cache.memory, &mut needed);
    keep("cache.client_share", &old.cache.client_share, &mut next.cache.client_share, &mut needed);
    let (was, bounds) = (&old.cache.bounds, &mut next.cache.bounds);
    keep("cache.variants", &was.variants, &mut bounds.variants, &mut needed);
    keep("cache.vary", &was.vary, &mut bounds.vary, &mut needed);
    keep("cache.tags", &was.tags, &mut bounds.tags, &mut needed);
    next.cache.max_object = next.cache.max_object.min(next.cache.memory);
    // Its tokens wait with its address: those of a listener on loopback may be none, and this one may not be there.
    let listen = |settings: &Settings| settings.admin.as_ref().map(|admin| admin.listen);
    if listen(old) != listen(&next) {
        keep("admin", &old.admin, &mut next.admin, &mut needed);
    }
    (next, needed)
}

fn wants_touches(caching: &Caching) -> bool {
    matches!(caching, Caching::Named(policy) if policy.touch.is_some())
}

fn keep<T: PartialEq + Clone>(key: &'static str, old: &T, next: &mut T, needed: &mut Vec<&'static str>) {
    if old != next {
        needed.push(key);
        next.clone_from(old);
    }
}

/// What goes on from one configuration to the next.
struct Lasting {
    secret: PrincipalKey,
    cache: Arc<Cache<Memory>>,
    ids: Arc<RequestIds>,
    touches: Arc<Touches>,
    log: Arc<Log>,
}

/// The line by these settings. Services that are as they were keep their connections; routes go on counting where one of
/// their name left off.
fn proxy(
    settings: &Settings,
    lasting: Lasting,
    before: &[Arc<Upstream>],
    workers: usize,
    registry: &Registry,
    current: Weak<Current>,
) -> Proxy {
    let upstreams = settings.upstreams.iter().map(|each| {
        let same = before.iter().find(|upstream| upstream.settings == *each).cloned();
        let meters = || UpstreamMeters::new(registry, &each.name);
        same.unwrap_or_else(|| Arc::new(Upstream::new(each.clone(), workers, meters())))
    });
    // What was verified by other keys, or allowed by other rules, is found out anew.
    let tokens = settings.tokens.clone().map(|tokens| Tokens::new(tokens, lasting.secret.clone()));
    let meters = Meters::new(registry, settings.routes.iter().map(|route| route.name.as_str()));
    let clock = lasting.cache.clock.clone();
    let telemetry = Telemetry::new(&settings.log, settings.routes.iter(), meters, lasting.log, clock);
    Proxy {
        tokens,
        permissions: Permissions::default(),
        router: Router::new(settings.routes.clone()),
        identity: settings.identity.clone(),
        upstreams: upstreams.collect(),
        mode: settings.cache.mode,
        trusted_proxies: settings.server.trusted_proxies.clone(),
        refused: settings.server.refuse.clone(),
        authorities: settings.server.tls.as_ref().and_then(|tls| tls.terms.authorities()),
        limits: settings.server.limits.clone(),
        max_object: settings.cache.max_object,
        secret: lasting.secret,
        cache: lasting.cache,
        timing: settings.server.timing,
        telemetry: Arc::new(telemetry),
        ids: lasting.ids,
        // What an origin does with conditions may be another thing after a change.
        probes: Probes::default(),
        touches: lasting.touches,
        touches_sessions: settings.routes.iter().any(|route| wants_touches(&route.caching)),
        selecting: settings.routes.iter().map(|_| Selecting::default()).collect(),
        bypassed: settings.routes.iter().map(|_| AtomicBool::new(false)).collect(),
        current,
    }
}
