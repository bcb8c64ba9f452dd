//! The only wiring: from settings to running workers, and from a signal to a quiet end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use http::{HeaderMap, Request, Response};
use tokio::sync::{Semaphore, watch};

use crate::admin;
use crate::body::Body;
use crate::clock::Clock;
use crate::config::Settings;
use crate::edge::connection::{Client, Service};
use crate::edge::incoming::Refusal;
use crate::edge::listen::{Accepting, accept, bind};
use crate::edge::settings::ServerSettings;
use crate::fetch::backoff::Backoff;
use crate::fetch::budget::Budget;
use crate::fetch::fill::{Cache, MAX_REFRESHES};
use crate::policy::plan::PrincipalKey;
use crate::proxy::{Proxy, RequestIds};
use crate::route::Router;
use crate::store::memory::Memory;
use crate::telemetry::{Meters, Registry};
use crate::upstream::Upstream;

/// A running process: its addresses, its parts for the admin, and the way to stop it.
#[derive(Debug)]
pub struct App {
    /// Where clients are served, as bound.
    pub addresses: Vec<SocketAddr>,
    /// Where the admin is served, as bound.
    pub admin_address: Option<SocketAddr>,
    /// The line.
    pub proxy: Arc<Proxy>,
    /// Metrics.
    pub registry: Arc<Registry>,
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

/// How long what is in flight may take after a stop was asked for.
pub const DRAIN: Duration = Duration::from_secs(30);

#[derive(Clone)]
struct Line(Arc<Proxy>);

impl Service for Line {
    async fn answer(&self, client: &Client, request: Request<Body>) -> Response<Body> {
        self.0.handle(client, request).await
    }

    fn refuse(&self, client: &Client, headers: &HeaderMap, refusal: Refusal) -> Response<Body> {
        self.0.refuse(refusal.into(), headers, client)
    }
}

impl App {
    /// Binds, starts the workers and answers once all of them listen.
    pub fn start(settings: Settings, clock: Clock) -> io::Result<App> {
        let workers = settings.server.workers.unwrap_or_else(cores);
        let mut listeners: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        let mut addresses = Vec::new();
        for &address in &settings.server.listen {
            let bound = bind(address, workers).map_err(|error| naming(error, address))?;
            addresses.push(bound[0].local_addr()?);
            listeners.iter_mut().zip(bound).for_each(|(own, listener)| own.push(listener));
        }
        let admin_listener = match &settings.admin {
            Some(admin) => bind(admin.listen, 1).map_err(|error| naming(error, admin.listen))?.pop(),
            None => None,
        };
        let admin_address = admin_listener.as_ref().map(|listener| listener.local_addr()).transpose()?;

        let registry = Arc::new(Registry::default());
        let server = Arc::new(settings.server.clone());
        let admin_settings = settings.admin.clone();
        let proxy = Arc::new(proxy(settings, workers, clock, &registry)?);
        let places = Arc::new(Semaphore::new(server.limits.connections));
        let (stop, stopped) = watch::channel(false);
        let mut threads = Vec::new();
        for (worker, listeners) in listeners.into_iter().enumerate() {
            let accepting = Accepting {
                worker,
                settings: server.clone(),
                places: places.clone(),
                service: Line(proxy.clone()),
                stop: stopped.clone(),
            };
            let all = listeners.into_iter().map(move |listener| (listener, accepting.clone()));
            threads.push(thread(format!("worker-{worker}"), run_all(all.collect()))?);
        }
        if let Some((listener, admin_settings)) = admin_listener.zip(admin_settings) {
            let clients = admin::Clients { places: places.clone(), limit: server.limits.connections };
            let service = admin::Admin::new(admin_settings, proxy.clone(), registry.clone(), clients, stopped.clone());
            let server = ServerSettings { trusted_proxies: Vec::new(), ..(*server).clone() };
            // The admin has places of its own: it must answer when clients have taken all of theirs.
            let (settings, places) = (Arc::new(server), Arc::new(Semaphore::new(64)));
            let accepting = Accepting { worker: 0, settings, places, service, stop: stopped.clone() };
            threads.push(thread("admin".to_owned(), run_all(vec![(listener, accepting)]))?);
        }
        threads.push(thread("housekeeping".to_owned(), housekeeping(proxy.clone(), stopped))?);
        Ok(App { addresses, admin_address, proxy, registry, stop, threads })
    }

    /// Stops accepting, finishes what is in flight for [`DRAIN`] at most, and ends the workers.
    pub fn stop(self) {
        // Nobody listening any more means that all has ended.
        let _ = self.stop.send(true);
        let until = Instant::now() + DRAIN;
        for thread in self.threads {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

/// The line as [`App::start`] would make it, listening nowhere: to be asked what it would do.
pub fn unserved(settings: Settings) -> io::Result<Proxy> {
    proxy(settings, 1, Clock::System, &Registry::default())
}

fn proxy(settings: Settings, workers: usize, clock: Clock, registry: &Registry) -> io::Result<Proxy> {
    let mut secret = [0; 32];
    let mut seed = [0; 8];
    getrandom::fill(&mut secret).and_then(|()| getrandom::fill(&mut seed)).map_err(io::Error::other)?;
    let seed = u64::from_le_bytes(seed);
    let cache = Cache {
        memory: Memory::new(settings.cache.memory),
        log: Default::default(),
        flights: Arc::default(),
        budget: Arc::new(Budget::beside(settings.cache.memory, settings.cache.max_object)),
        max_object: settings.cache.max_object,
        refreshes: Arc::new(Semaphore::new(MAX_REFRESHES)),
        backoff: Backoff::new(settings.upstreams.len(), seed, clock.now().instant),
        clock,
    };
    let meters = Meters::new(registry, settings.routes.iter().map(|route| route.name.as_str()));
    Ok(Proxy {
        router: Router::new(settings.routes),
        identity: settings.identity,
        upstreams: settings.upstreams.into_iter().map(|each| Arc::new(Upstream::new(each, workers))).collect(),
        mode: settings.cache.mode,
        limits: settings.server.limits,
        secret: PrincipalKey(secret),
        cache: Arc::new(cache),
        meters,
        ids: RequestIds::new(seed, workers),
    })
}

/// Starts a thread with a single-threaded runtime that runs `work` to its end.
fn thread(name: String, work: impl Future<Output = ()> + Send + 'static) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name).spawn(move || runtime.block_on(work))
}

async fn run_all<S: Service>(all: Vec<(std::net::TcpListener, Accepting<S>)>) {
    let mut listening = tokio::task::JoinSet::new();
    for (listener, accepting) in all {
        listening.spawn(accept(listener, accepting));
    }
    while listening.join_next().await.is_some() {}
}

/// What has to be done now and then: idle connections, the store's evictions.
async fn housekeeping(proxy: Arc<Proxy>, mut stop: watch::Receiver<bool>) {
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    while !*stop.borrow() {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => {}
        }
        let now = Instant::now();
        proxy.upstreams.iter().for_each(|upstream| upstream.tend(now));
        proxy.cache.memory.tend();
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn naming(error: io::Error, address: SocketAddr) -> io::Error {
    io::Error::new(error.kind(), format!("listening on {address}: {error}"))
}
