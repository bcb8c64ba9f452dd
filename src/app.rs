//! The only wiring: from settings to running workers, and from a signal to a quiet end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::{HeaderMap, Request, Response};
use tokio::sync::watch;

use crate::body::Body;
use crate::config::Settings;
use crate::control::admin::Admin;
use crate::control::posts::{Post, Posts};
use crate::control::reload::{ConfigSource, Configuration};
use crate::edge::connection::{Client, Reply, Service};
use crate::edge::incoming::Refusal;
use crate::edge::listen::{Accepting, Families, accept, bind};
use crate::edge::places::ClientPlaces;
use crate::edge::watch::Stage;
use crate::fields::authority::Scheme;
use crate::ground::clock::{Clock, monotonic};
use crate::ground::notice;
use crate::proxy::current::{Current, Proxy};
use crate::telemetry::Registry;

/// A running process: its addresses, its parts for the admin, and the way to stop it.
#[derive(Debug)]
pub struct App {
    /// Where clients are served, as bound.
    pub addresses: Vec<SocketAddr>,
    /// Where they are served under TLS, as bound.
    pub tls_addresses: Vec<SocketAddr>,
    /// Where the admin is served, as bound.
    pub admin_address: Option<SocketAddr>,
    /// What is in force, and the way to change it.
    pub configuration: Arc<Configuration>,
    /// Metrics.
    pub registry: Arc<Registry>,
    posts: Posts,
    places: Arc<ClientPlaces>,
    /// How far a stop has come, for clients; and for the admin, which ends last.
    stages: [watch::Sender<Stage>; 2],
    workers: Vec<JoinHandle<()>>,
    others: Vec<JoinHandle<()>>,
}

/// How long clients whose connections idle are given to learn with their next answer that it is the last one there.
const LINGER: Duration = Duration::from_secs(1);

/// The most connections to the admin; these places are its own: it must answer when clients have taken all of theirs.
const ADMIN_PLACES: usize = 64;

#[derive(Clone)]
struct Line(Arc<Current>);

impl Service for Line {
    fn answer<'a>(&'a self, client: &'a Client, request: Request<Body>) -> Reply<'a> {
        // One configuration from here to the end, whatever is put in force meanwhile.
        self.0.load().handle(client, request)
    }

    fn refuse(&self, client: &Client, headers: &HeaderMap, refusal: Refusal) -> Response<Body> {
        self.0.load().refuse(refusal.into(), headers, client)
    }
}

impl App {
    /// Binds, starts the workers and answers once all of them listen. Its configuration is not read again.
    pub fn start(settings: Settings, clock: Clock) -> io::Result<App> {
        App::start_from(settings, None, clock)
    }

    /// As [`App::start`], with where the configuration is read again.
    pub fn start_from(settings: Settings, source: Option<ConfigSource>, clock: Clock) -> io::Result<App> {
        let workers = settings.server.workers.unwrap_or_else(cores);
        let mut listeners: Vec<Vec<_>> = (0..workers).map(|_| Vec::new()).collect();
        let (mut addresses, mut tls_addresses) = (Vec::new(), Vec::new());
        let plain = settings.server.listen.iter().map(|address| (*address, Scheme::Http));
        let tls = settings.server.tls.iter().flat_map(|tls| &tls.listen).map(|address| (*address, Scheme::Https));
        let all: Vec<_> = plain.chain(tls).collect();
        let admin = settings.admin.as_ref().map(|admin| admin.listen);
        let families =
            |address: SocketAddr| Families::of(address, all.iter().map(|(address, _)| *address).chain(admin));
        for &(address, scheme) in &all {
            let bound = bind(address, families(address), workers).map_err(|error| naming(error, address))?;
            match scheme {
                Scheme::Http => addresses.push(bound[0].local_addr()?),
                Scheme::Https => tls_addresses.push(bound[0].local_addr()?),
            }
            listeners.iter_mut().zip(bound).for_each(|(own, listener)| own.push((listener, scheme)));
        }
        let admin_listener = match &settings.admin {
            Some(admin) => {
                bind(admin.listen, families(admin.listen), 1).map_err(|error| naming(error, admin.listen))?.pop()
            }
            None => None,
        };
        let admin_address = admin_listener.as_ref().map(|listener| listener.local_addr()).transpose()?;

        let registry = Arc::new(Registry::default());
        let posts = Posts::default();
        let places = ClientPlaces::new(settings.server.limits.connections);
        let admin_server = Arc::new(ArcSwap::from_pointee(settings.server.clone()));
        let configuration = Arc::new(Configuration::new(settings, source, workers, clock, registry.clone())?);
        let [(stage, watched), (last_stage, watched_last)] = [(); 2].map(|()| watch::channel(Stage::Serving));
        let mut threads = Vec::new();
        let busy = Arc::new(watch::Sender::new(()));
        for (worker, listeners) in listeners.into_iter().enumerate() {
            let accepting = Accepting {
                worker,
                scheme: Scheme::Http,
                settings: configuration.server.clone(),
                places: places.clone(),
                service: Line(configuration.current.clone()),
                stage: watched.clone(),
            };
            let all = listeners.into_iter();
            let all = all.map(move |(listener, scheme)| (listener, Accepting { scheme, ..accepting.clone() }));
            threads.push(thread(
                format!("worker-{worker}"),
                work(all.collect(), posts.clone(), busy.subscribe(), busy.clone()),
            )?);
        }
        let mut others = Vec::new();
        if let Some((listener, address)) = admin_listener.zip(admin_address) {
            let port = address.port();
            let clients = places.clone();
            let service = Admin::new(configuration.clone(), registry.clone(), clients, watched, posts.clone(), port);
            let service = Arc::new(service);
            let places = ClientPlaces::for_calls(ADMIN_PLACES, places.clone());
            let (scheme, stage) = (Scheme::Http, watched_last.clone());
            let accepting = Accepting { worker: 0, scheme, settings: admin_server, places, service, stage };
            others.push(thread("admin".to_owned(), run_all(vec![(listener, accepting)], posts.clone()))?);
        }
        let post = posts.take("housekeeping".to_owned(), watched_last.clone());
        others.push(thread(
            "housekeeping".to_owned(),
            housekeeping(configuration.current.clone(), watched_last.clone(), post),
        )?);
        let stages = [stage, last_stage];
        let workers = threads;
        Ok(App {
            addresses,
            tls_addresses,
            admin_address,
            configuration,
            registry,
            posts,
            places,
            stages,
            workers,
            others,
        })
    }

    /// Waits until a part has ended that should not, and answers which: the process is of no use any more.
    pub async fn failed(&self) -> String {
        self.posts.fails().await
    }

    /// The line as it is now.
    pub fn proxy(&self) -> Arc<Proxy> {
        self.configuration.current.load_full()
    }

    /// Announces that it ends, goes on for the notice that was configured, stops accepting, finishes what is in flight
    /// within the limit that was configured, and ends the workers. The admin answers until then.
    pub fn stop(self) {
        let drain = self.configuration.server.load().drain;
        let [clients, last] = &self.stages;
        clients.send_replace(Stage::Leaving);
        std::thread::sleep(drain.notice);
        let until = monotonic() + drain.limit;
        clients.send_replace(Stage::Closed);
        wait(&self.workers, until.min(monotonic() + LINGER));
        clients.send_replace(Stage::Ending);
        if !wait(&self.workers, until) {
            let open = self.places.taken();
            notice::say(format_args!("{open} connections are cut off after {:?}", drain.limit));
        }
        last.send_replace(Stage::Ending);
        wait(&self.others, monotonic() + LINGER);
        self.proxy().telemetry.log.stop();
    }
}

/// Waits until all have ended, or until then. Answers whether they have.
fn wait(threads: &[JoinHandle<()>], until: Instant) -> bool {
    while !threads.iter().all(JoinHandle::is_finished) {
        if monotonic() >= until {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    true
}

/// The line as [`App::start`] would make it, listening nowhere: to be asked what it would do.
pub fn unserved(settings: Settings) -> io::Result<Arc<Proxy>> {
    let configuration = Configuration::new(settings, None, 1, Clock::System, Arc::default())?;
    Ok(configuration.current.load_full())
}

/// Starts a thread with a single-threaded runtime that runs `work` to its end.
fn thread(name: String, work: impl Future<Output = ()> + Send + 'static) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name).spawn(move || runtime.block_on(work))
}

/// What a worker does. It ends with the last of them: a flight that it runs may have followers at the others.
async fn work<S: Service>(
    all: Vec<(std::net::TcpListener, Accepting<S>)>,
    posts: Posts,
    busy: watch::Receiver<()>,
    all_busy: Arc<watch::Sender<()>>,
) {
    run_all(all, posts).await;
    drop(busy);
    all_busy.closed().await;
}

async fn run_all<S: Service>(all: Vec<(std::net::TcpListener, Accepting<S>)>, posts: Posts) {
    let mut listening = tokio::task::JoinSet::new();
    for (listener, accepting) in all {
        let post = posts.take(naming_listener(&listener), accepting.stage.clone());
        listening.spawn(async move {
            let _post = post;
            accept(listener, accepting).await
        });
    }
    while listening.join_next().await.is_some() {}
}

/// What has to be done now and then: idle connections, the store's evictions, what purges left behind in it, bypasses whose time is over.
async fn housekeeping(current: Arc<Current>, mut stage: watch::Receiver<Stage>, _post: Post) {
    let mut tick = tokio::time::interval(Duration::from_millis(500));
    let mut sweeping: Option<tokio::task::JoinHandle<Duration>> = None;
    let (mut rested, mut dead_since) = (monotonic(), None);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stage.wait_for(|stage| *stage == Stage::Ending) => return,
        }
        let (now, proxy) = (monotonic(), current.load_full());
        if let Some(slept) = proxy.cache.clock.look() {
            notice::say(format_args!("the clock went on by {} s: what is stored is that much older", slept.as_secs()));
        }
        for route in current.end_bypasses(proxy.cache.clock.now().instant) {
            notice::say(format_args!("the bypass of route {route} is over"));
        }
        proxy.upstreams.iter().for_each(|upstream| upstream.tend(now));
        proxy.cache.memory.tend();
        if sweeping.as_ref().is_some_and(|sweep| sweep.is_finished())
            && let Some(sweep) = sweeping.take()
        {
            rested = now + sweep.await.unwrap_or_default();
        }
        let cache = &proxy.cache;
        if sweeping.is_none() && cache.swept.is_done(&cache.log) {
            dead_since = None;
        } else if sweeping.is_none() && now >= rested && now >= *dead_since.get_or_insert(now) + PURGED_IS_SAID {
            dead_since = None;
            let (cache, stage) = (cache.clone(), stage.clone());
            let go_on = move || *stage.borrow() != Stage::Ending;
            sweeping = Some(tokio::task::spawn_blocking(move || cache.swept.walk(&cache.memory, &cache.log, go_on)));
        }
    }
}

/// How long what was purged stays where it was: whoever asks for it meanwhile is told why it is fetched.
const PURGED_IS_SAID: Duration = Duration::from_secs(2);

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn naming_listener(listener: &std::net::TcpListener) -> String {
    listener.local_addr().map_or_else(|_| "a listener".to_owned(), |address| format!("the listener on {address}"))
}

fn naming(error: io::Error, address: SocketAddr) -> io::Error {
    io::Error::new(error.kind(), format!("listening on {address}: {error}"))
}
