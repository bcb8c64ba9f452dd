//! Where the servers of an upstream are. A literal address is known; a name is looked up, by one look-up at a time, on a
//! thread of its own: the system's resolver may be silent for as long as it likes, and holds up neither those who have a
//! deadline nor the end of the process.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::uri::Authority;
use tokio::sync::watch;

use crate::ground::clock::monotonic;
use crate::ground::descriptors::is_out_of_descriptors;
use crate::ground::failure::FailureKind;

/// For so long an answer counts as new: whoever comes meanwhile asks nothing.
const NEW: Duration = Duration::from_secs(1);

/// For so long the last good answer stands in while later look-ups hang or fail: a resolver that is down says nothing of a server
/// that has not moved.
const STANDS_IN: Duration = Duration::from_secs(3600);

/// The same where the resolver says that there is no such name: its address may be given to another server by then.
const GONE_STANDS_IN: Duration = Duration::from_secs(60);

/// So long a look-up is waited for where an older answer could stand in.
const PATIENCE: Duration = Duration::from_millis(200);

/// The addresses of a name, without a port.
type Addresses = Arc<[SocketAddr]>;

type Resolve = Arc<dyn Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// All names that are in use, whichever configuration they are from: a reload begins no second look-up.
pub(super) struct Names {
    resolve: Resolve,
    names: Mutex<HashMap<String, Weak<Name>>>,
}

/// Where a server is.
pub(super) enum ServerPlace {
    Literal(SocketAddr),
    Named(Arc<Name>, u16),
}

/// One name, and what is known of it.
pub(super) struct Name {
    host: String,
    resolve: Resolve,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    known: Option<(Addresses, Instant)>,
    /// The resolver has said since that there is no such name.
    is_gone: bool,
    under_way: Option<Lookup>,
}

/// What whoever asks is to do.
enum Step {
    Known(Addresses),
    /// With what may stand in.
    Wait(Lookup, Option<Addresses>),
    Fail(FailureKind),
}

/// Its thread sends once, and is gone. What has no answer and no sender has panicked.
#[derive(Clone)]
struct Lookup {
    began: Instant,
    answer: watch::Receiver<Option<Answer>>,
}

#[derive(Clone)]
struct Answer {
    found: Result<Addresses, FailureKind>,
    is_gone: bool,
    came: Instant,
}

static SYSTEM: LazyLock<Names> =
    LazyLock::new(|| Names::new(|host| std::net::ToSocketAddrs::to_socket_addrs(&(host, 0)).map(Iterator::collect)));

impl Names {
    /// Looked up as the system does.
    pub(super) fn system() -> &'static Names {
        &SYSTEM
    }

    fn new(resolve: impl Fn(&str) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Names {
        Names { resolve: Arc::new(resolve), names: Mutex::default() }
    }

    /// Asks nothing yet.
    pub(super) fn place(&self, authority: &Authority) -> ServerPlace {
        let (host, port) = (authority.host().trim_matches(['[', ']']), authority.port_u16().unwrap_or(80));
        match host.parse::<IpAddr>() {
            Ok(address) => ServerPlace::Literal(SocketAddr::new(address, port)),
            Err(_) => ServerPlace::Named(self.name(&host.to_ascii_lowercase()), port),
        }
    }

    fn name(&self, host: &str) -> Arc<Name> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = names.get(host).and_then(Weak::upgrade) {
            return name;
        }
        names.retain(|_, name| name.strong_count() > 0);
        let (host, resolve) = (host.to_owned(), self.resolve.clone());
        let name = Arc::new(Name { host: host.clone(), resolve, state: Mutex::default() });
        names.insert(host, Arc::downgrade(&name));
        name
    }
}

impl Name {
    /// Its addresses: those that are known, if they are new; otherwise those of the look-up that is under way or begins now.
    /// Those from before stand in for a while.
    pub(super) async fn addresses(self: &Arc<Self>, now: Instant) -> Result<Addresses, FailureKind> {
        match self.step(now) {
            Step::Known(addresses) => Ok(addresses),
            Step::Fail(kind) => Err(kind),
            Step::Wait(lookup, None) => lookup.found().await,
            Step::Wait(lookup, Some(before)) => {
                let patience = (lookup.began + PATIENCE).into();
                let found = tokio::time::timeout_at(patience, lookup.found()).await;
                Ok(found.ok().and_then(Result::ok).unwrap_or(before))
            }
        }
    }

    fn step(self: &Arc<Self>, now: Instant) -> Step {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.take_answer();
        let age = |came: &Instant| now.saturating_duration_since(*came);
        let stands_in = if state.is_gone { GONE_STANDS_IN } else { STANDS_IN };
        let known = state.known.as_ref().filter(|(_, came)| age(came) < stands_in);
        if let Some((addresses, _)) = known.filter(|(_, came)| age(came) < NEW) {
            return Step::Known(addresses.clone());
        }
        let before = known.map(|(addresses, _)| addresses.clone());
        let lookup = match &state.under_way {
            Some(lookup) => lookup.clone(),
            None => match self.look_up(now) {
                Ok(lookup) => state.under_way.insert(lookup).clone(),
                // No thread could be had.
                Err(_) => return before.map_or(Step::Fail(FailureKind::Busy), Step::Known),
            },
        };
        Step::Wait(lookup, before)
    }

    /// Begins it. Nobody waits for the thread: not the runtime when it ends, nor the process.
    fn look_up(self: &Arc<Self>, began: Instant) -> io::Result<Lookup> {
        let (sender, answer) = watch::channel(None);
        let name = self.clone();
        std::thread::Builder::new().name("look-up".to_owned()).spawn(move || {
            let (found, is_gone) = match (name.resolve)(&name.host) {
                Ok(addresses) if addresses.is_empty() => (Err(FailureKind::NameLookup), true),
                Ok(addresses) => (Ok(addresses.into()), false),
                Err(error) => (Err(fault(&error)), says_no_such_name(&error)),
            };
            sender.send_replace(Some(Answer { found, is_gone, came: monotonic() }));
        })?;
        Ok(Lookup { began, answer })
    }
}

impl State {
    /// What the look-up brought that was under way, once it has ended.
    fn take_answer(&mut self) {
        let Some(lookup) = &self.under_way else { return };
        // In this order: it sends before it ends.
        let has_ended = lookup.answer.has_changed().is_err();
        let answer = lookup.answer.borrow().clone();
        if answer.is_none() && !has_ended {
            return;
        }
        self.under_way = None;
        match answer {
            Some(Answer { found: Ok(addresses), came, .. }) => {
                (self.known, self.is_gone) = (Some((addresses, came)), false)
            }
            Some(Answer { found: Err(_), is_gone, .. }) => self.is_gone |= is_gone,
            None => {}
        }
    }
}

impl Lookup {
    async fn found(mut self) -> Result<Addresses, FailureKind> {
        let answer = self.answer.wait_for(Option::is_some).await.ok().and_then(|answer| (*answer).clone());
        answer.map_or(Err(FailureKind::NameLookup), |answer| answer.found)
    }
}

fn fault(error: &io::Error) -> FailureKind {
    if is_out_of_descriptors(error) { FailureKind::Busy } else { FailureKind::NameLookup }
}

/// Whether the resolver answered that there is no such name. `getaddrinfo` has a code for it (RFC 3493 §6.1), of which the
/// standard library hands on the text alone: that of glibc, of musl, of macOS.
fn says_no_such_name(error: &io::Error) -> bool {
    const SAYS_SO: [&str; 4] = ["not known", "No address associated", "does not resolve", "nodename nor servname"];
    let text = error.to_string();
    SAYS_SO.iter().any(|words| text.contains(words))
}

impl std::fmt::Debug for ServerPlace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServerPlace::Literal(address) => write!(formatter, "{address}"),
            ServerPlace::Named(name, port) => write!(formatter, "{}:{port}", name.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::super::Asker;
    use super::super::pool::Pool;
    use super::super::settings::{Balance, ToldBy, UpstreamSettings};
    use super::*;
    use crate::ground::failure::Failure;
    use crate::rules::path::aliases::Aliases;
    use crate::upstream::outgoing::Within;
    use crate::upstream::seat::By;
    use crate::upstream::seat::ConnectionChoice;
    use crate::upstream::settings::HeadLimits;

    const FOUND: &str = "192.0.2.7:0";

    /// Names whose look-ups are counted, and each of which answers when it is told what.
    fn told() -> (Names, mpsc::Sender<io::Result<Vec<SocketAddr>>>, Arc<AtomicUsize>) {
        let (sender, receiver) = mpsc::channel();
        let (receiver, asked) = (Mutex::new(receiver), Arc::new(AtomicUsize::new(0)));
        let count = asked.clone();
        let names = Names::new(move |host| {
            assert_eq!(host, "origin.example");
            count.fetch_add(1, Ordering::SeqCst);
            receiver.lock().unwrap().recv().unwrap_or_else(|_| Err(io::Error::other("the test is over")))
        });
        (names, sender, asked)
    }

    fn good() -> io::Result<Vec<SocketAddr>> {
        Ok(vec![FOUND.parse().unwrap()])
    }

    fn named(names: &Names) -> Arc<Name> {
        match names.place(&Authority::from_static("Origin.example:8000")) {
            ServerPlace::Named(name, 8000) => name,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_literal_address_asks_nothing() {
        let names = Names::new(|host| panic!("{host} was looked up"));
        for (written, means) in [
            ("192.0.2.1:8000", "192.0.2.1:8000"),
            ("192.0.2.1", "192.0.2.1:80"),
            ("[2001:db8::1]:81", "[2001:db8::1]:81"),
        ] {
            let place = names.place(&Authority::from_static(written));
            assert!(matches!(place, ServerPlace::Literal(address) if address.to_string() == means), "{place:?}");
        }
    }

    #[tokio::test]
    async fn who_asks_at_once_shares_one_look_up_and_its_answer() {
        let (names, tell, asked) = told();
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let name = named(&names);
                // Begun here, and not when it is first polled.
                assert!(matches!(name.step(Instant::now()), Step::Wait(_, None)));
                tokio::spawn(async move { name.addresses(Instant::now()).await })
            })
            .collect();
        let name = named(&names);
        tell.send(good()).unwrap();
        for one in waiting {
            assert_eq!(one.await.unwrap().unwrap()[0].to_string(), FOUND);
        }
        assert_eq!(name.addresses(Instant::now()).await.unwrap().len(), 1);
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    fn settings(server: &str) -> UpstreamSettings {
        let minute = Duration::from_secs(60);
        UpstreamSettings {
            name: "origin".to_owned(),
            servers: vec![server.parse().unwrap()],
            balance: Balance::default(),
            told: ToldBy::default(),
            paths: Aliases::default(),
            sign_in: None,
            sticky: None,
            connect_timeout: Duration::from_millis(50),
            timeout: minute,
            deadline: minute,
            head: HeadLimits::default(),
            retries: 0,
            max_connections: 100,
            max_streams: 10,
            max_idle: 10,
            idle_timeout: minute,
            max_life: minute,
        }
    }

    #[tokio::test]
    async fn a_silent_resolver_is_told_apart_within_connect_timeout_and_its_late_answer_is_used() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (names, tell, asked) = told();
        let server = format!("origin.example:{}", listener.local_addr().unwrap().port());
        let pool = Arc::new(Pool::with_names(&settings(&server), 1, &names));
        let lease = || {
            let pool = pool.clone();
            tokio::spawn(async move {
                let now = Instant::now();
                let within = Within { now, deadline: now + Duration::from_secs(60) };
                pool.lease(0, By { worker: 0, asker: Asker::OURSELVES }, within, ConnectionChoice::AnyConnection).await
            })
        };
        let began = Instant::now();
        let waiting: Vec<_> = (0..50).map(|_| lease()).collect();
        for one in waiting {
            let failure = one.await.unwrap().expect_err("nobody knows where it is");
            assert_eq!((failure, failure.as_str()), (Failure::before(FailureKind::NameLookup), "name-lookup"));
        }
        assert!(began.elapsed() < Duration::from_secs(10), "it waited for more than `connect_timeout`");
        tell.send(Ok(vec!["127.0.0.1:0".parse().unwrap()])).unwrap();
        // The look-up's thread is beside the runtime: it may take a few attempts until its answer is there.
        let mut lease_now = lease().await.unwrap();
        while lease_now.is_err() && began.elapsed() < Duration::from_secs(20) {
            lease_now = lease().await.unwrap();
        }
        assert_eq!(lease_now.unwrap().stream.peer_addr().unwrap(), listener.local_addr().unwrap());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_failed_look_up_has_a_reason_and_the_next_one_asks_again() {
        let (names, tell, asked) = told();
        let name = named(&names);
        for bad in [Err(io::Error::other("no such name")), Ok(Vec::new())] {
            tell.send(bad).unwrap();
            assert_eq!(name.addresses(Instant::now()).await, Err(FailureKind::NameLookup));
        }
        tell.send(Err(io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error()))).unwrap();
        assert_eq!(name.addresses(Instant::now()).await, Err(FailureKind::Busy));
        tell.send(good()).unwrap();
        assert_eq!(name.addresses(Instant::now()).await.unwrap()[0].to_string(), FOUND);
        assert_eq!(asked.load(Ordering::SeqCst), 4);
    }

    #[tokio::test]
    async fn the_last_good_answer_stands_in_for_a_while() {
        let (names, tell, asked) = told();
        let name = named(&names);
        tell.send(good()).unwrap();
        let first = name.addresses(Instant::now()).await.unwrap();
        let came = Instant::now();
        // One that fails, then one that hangs.
        tell.send(Err(io::Error::other("Temporary failure in name resolution"))).unwrap();
        assert_eq!(name.addresses(came + NEW).await, Ok(first.clone()));
        for later in [NEW * 2, GONE_STANDS_IN * 2] {
            assert_eq!(name.addresses(came + later).await, Ok(first.clone()));
        }
        // Too old: it waits for the look-up, which does not come.
        let late = tokio::time::timeout(Duration::from_millis(10), name.addresses(came + STANDS_IN)).await;
        assert!(late.is_err(), "{late:?}");
        let waits = name.clone();
        let waiting = tokio::spawn(async move { waits.addresses(came + STANDS_IN).await });
        // It waits before the answer comes: what comes now is old by the time that is told here.
        tokio::task::yield_now().await;
        tell.send(Ok(vec!["192.0.2.8:0".parse().unwrap()])).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap()[0].to_string(), "192.0.2.8:0");
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn where_there_is_no_such_name_any_more_the_last_good_answer_stands_in_for_a_minute() {
        let (names, tell, _asked) = told();
        let name = named(&names);
        tell.send(good()).unwrap();
        let first = name.addresses(Instant::now()).await.unwrap();
        let came = Instant::now();
        let gone = || Err(io::Error::other("failed to lookup address information: Name or service not known"));
        tell.send(gone()).unwrap();
        assert_eq!(name.addresses(came + NEW).await, Ok(first));
        tell.send(gone()).unwrap();
        assert_eq!(name.addresses(came + GONE_STANDS_IN).await, Err(FailureKind::NameLookup));
        // The system's own words.
        let own =
            std::net::ToSocketAddrs::to_socket_addrs(&("no-such-name.invalid", 0)).map(Iterator::collect::<Vec<_>>);
        if let Err(error) = own
            && !error.to_string().contains("Temporary")
        {
            assert!(says_no_such_name(&error), "{error}");
        }
    }

    #[test]
    fn a_look_up_that_hangs_holds_up_no_runtime_that_ends() {
        let (names, tell, asked) = told();
        let name = named(&names);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let waited = runtime.block_on(async {
            tokio::time::timeout(Duration::from_millis(10), name.addresses(Instant::now())).await.is_err()
        });
        assert!(waited);
        // Were it the runtime's own thread, this would never end.
        drop(runtime);
        drop(tell);
        assert!(asked.load(Ordering::SeqCst) <= 1);
    }
}
