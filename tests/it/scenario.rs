//! A stage for stories: a scripted origin, Stent from a few lines of YAML, clients, gates. No sleeps, no fixed ports.

#![allow(dead_code)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use stent::app::App;
use stent::coherence::cache::Cache;
use stent::ground::clock::{Clock, ManualClock};
use stent::store::memory::Memory;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};

/// The longest that anything here may take.
pub const LIMIT: Duration = Duration::from_secs(20);

pub type OriginBody = UnsyncBoxBody<Bytes, std::io::Error>;
type Answering = Pin<Box<dyn Future<Output = Response<OriginBody>> + Send>>;

/// A request as the origin saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or("")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A scripted origin.
pub struct Origin {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    /// Answers each request by `script`.
    pub async fn start<F, A>(script: F) -> Origin
    where
        F: Fn(Seen) -> A + Send + Sync + 'static,
        A: Future<Output = Response<OriginBody>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Arc<dyn Fn(Seen) -> Answering + Send + Sync> = Arc::new(move |seen| Box::pin(script(seen)));
        let task = tokio::spawn(serve(listener, seen.clone(), script));
        Origin { address, seen, task }
    }

    /// Answers each request by `script`, once the gate lets it pass.
    pub async fn gated<F>(gate: &Gate, script: F) -> Origin
    where
        F: Fn() -> Response<OriginBody> + Clone + Send + Sync + 'static,
    {
        let gate = gate.clone();
        Origin::start(move |_| {
            let (gate, script) = (gate.clone(), script.clone());
            async move {
                gate.pass().await;
                script()
            }
        })
        .await
    }

    /// Requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests this path got.
    pub fn count(&self, path: &str) -> usize {
        self.seen.lock().unwrap().iter().filter(|seen| seen.path() == path).count()
    }

    /// The last request for this path.
    pub fn last(&self, path: &str) -> Seen {
        self.seen().into_iter().rev().find(|seen| seen.path() == path).expect("the origin saw it")
    }
}

async fn serve(
    listener: TcpListener,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Arc<dyn Fn(Seen) -> Answering + Send + Sync>,
) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (seen, script) = (seen.clone(), script.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (seen, script) = (seen.clone(), script.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let target = head.uri.path_and_query().map_or("", |target| target.as_str()).to_owned();
                let one = Seen { method: head.method, target, headers: head.headers, body };
                seen.lock().unwrap().push(one.clone());
                let response = script(one).await;
                match response.extensions().get::<NoAnswer>() {
                    Some(NoAnswer) => Err(std::io::Error::other("no answer")),
                    None => Ok(response),
                }
            }
        });
        connections.spawn(async move {
            // Without a `Date`: the stage has a clock of its own.
            let mut builder = hyper::server::conn::http1::Builder::new();
            let _ = builder.auto_date_header(false).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// An answer with a body.
pub fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<OriginBody> {
    let body = Full::new(body.into()).map_err(|never: Infallible| match never {}).boxed_unsync();
    with_headers(status, headers, body)
}

#[derive(Clone)]
struct NoAnswer;

/// Ends the connection instead of an answer.
pub fn no_answer() -> Response<OriginBody> {
    let mut response = answer(500, &[], "");
    response.extensions_mut().insert(NoAnswer);
    response
}

/// An answer whose body comes as the sender gives it; an `Err` breaks it off.
pub fn streaming(
    status: u16,
    headers: &[(&str, &str)],
) -> (Response<OriginBody>, mpsc::UnboundedSender<Result<Bytes, std::io::Error>>) {
    let (sender, receiver) = mpsc::unbounded_channel::<Result<Bytes, std::io::Error>>();
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let next = receiver.recv().await?;
        Some((next.map(Frame::data), receiver))
    });
    (with_headers(status, headers, StreamBody::new(frames).boxed_unsync()), sender)
}

fn with_headers(status: u16, headers: &[(&str, &str)], body: OriginBody) -> Response<OriginBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        response.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    response
}

/// Stent, in this process, on its own threads.
pub struct Stent {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub clock: ManualClock,
    pub app: Option<App>,
}

impl Drop for Stent {
    fn drop(&mut self) {
        // Clients of a failed test may still hold connections; the threads end with the process then.
        if let Some(app) = self.app.take() {
            std::thread::spawn(move || app.stop());
        }
    }
}

impl Stent {
    /// From policies and routes; listeners, admin and one upstream are added.
    pub fn start(origin: SocketAddr, yaml: &str) -> Stent {
        Stent::start_with(origin, "", yaml)
    }

    /// As above, with more keys for the upstream.
    pub fn start_with(origin: SocketAddr, upstream: &str, yaml: &str) -> Stent {
        Stent::start_before(&[origin], upstream, yaml)
    }

    /// As above, before several servers of the one upstream.
    pub fn start_before(servers: &[SocketAddr], upstream: &str, yaml: &str) -> Stent {
        let clock = ManualClock::start();
        let app = App::start(settings(servers, upstream, yaml), Clock::Manual(clock.clone())).unwrap();
        Stent::of(app, clock)
    }

    /// From a file that is read again when it is told to.
    pub fn start_from(file: &std::path::Path) -> Stent {
        let file = file.to_owned();
        let source = move || stent::config::load(&file, &|_| None);
        let loaded = source().unwrap_or_else(|report| panic!("{}", report.render(false)));
        let clock = ManualClock::start();
        let app = App::start_from(loaded.settings, Some(Box::new(source)), Clock::Manual(clock.clone())).unwrap();
        Stent::of(app, clock)
    }

    fn of(app: App, clock: ManualClock) -> Stent {
        let (address, admin) = (app.addresses[0], app.admin_address.unwrap());
        Stent { address, admin, clock, app: Some(app) }
    }

    /// Puts other policies and routes in force; answers what takes a restart.
    pub fn reload(&self, origin: SocketAddr, yaml: &str) -> Vec<&'static str> {
        let app = self.app.as_ref().unwrap();
        app.configuration.replace(settings(&[origin], "", yaml)).restart_needed
    }

    /// Asks the admin.
    pub fn admin(&self, method: &str, target: &str) -> Asking {
        Client { address: self.admin }.ask(method, target)
    }

    pub fn client(&self) -> Client {
        Client { address: self.address }
    }

    /// What is stored and on its way.
    pub fn cache(&self) -> Arc<Cache<Memory>> {
        self.app.as_ref().expect("it runs").proxy().cache.clone()
    }

    /// `POST /api/v1/purge`.
    pub async fn purge(&self, call: serde_json::Value) -> serde_json::Value {
        let reply = Client { address: self.admin }.ask("POST", "/api/v1/purge").body(call.to_string()).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        serde_json::from_slice(&reply.body).unwrap()
    }
}

/// A configuration as text.
pub fn configuration(origin: SocketAddr, upstream: &str, yaml: &str) -> String {
    configuration_of(&[origin], upstream, yaml)
}

fn configuration_of(servers: &[SocketAddr], upstream: &str, yaml: &str) -> String {
    let servers = servers.iter().map(|server| format!("\"http://{server}\"")).collect::<Vec<_>>().join(", ");
    let server = if yaml.contains("server:") { "" } else { "server: {listen: 127.0.0.1:0, workers: 2}\n" };
    let admin = if yaml.contains("admin:") { "" } else { "admin: {listen: 127.0.0.1:0}\n" };
    format!("{server}{admin}upstreams: {{origin: {{servers: [{servers}]{upstream}}}}}\n{yaml}")
}

fn settings(servers: &[SocketAddr], upstream: &str, yaml: &str) -> stent::config::Settings {
    let loaded = stent::config::parse("test.yaml", &configuration_of(servers, upstream, yaml), &|_| None);
    loaded.unwrap_or_else(|report| panic!("{}", report.render(false))).settings
}

/// A connection that stays open between requests.
pub struct KeptOpen {
    sender: hyper::client::conn::http1::SendRequest<Full<Bytes>>,
    connection: tokio::task::JoinHandle<()>,
}

impl KeptOpen {
    pub async fn to(address: SocketAddr) -> std::io::Result<KeptOpen> {
        KeptOpen::over(TcpStream::connect(address).await?).await
    }

    /// Over whatever the requests are to go through.
    pub async fn over<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> std::io::Result<KeptOpen> {
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(std::io::Error::other)?;
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(KeptOpen { sender, connection })
    }

    /// Asks and reads the answer to its end.
    pub async fn get(&mut self, target: &str) -> Result<Reply, hyper::Error> {
        self.get_with(target, &[]).await
    }

    pub async fn get_with(&mut self, target: &str, headers: &[(&str, &str)]) -> Result<Reply, hyper::Error> {
        self.sender.ready().await?;
        let request = Request::builder().uri(target).header("host", "clinic.example");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = self.sender.send_request(request.body(Full::default()).unwrap()).await?;
        let (head, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body, broken: false })
    }

    /// Waits until the other side closes it.
    pub async fn closed(self) {
        tokio::time::timeout(LIMIT, self.connection).await.expect("it is closed in time").unwrap();
    }
}

/// Somebody who asks; every request on a connection of its own.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    pub address: SocketAddr,
}

impl Client {
    pub fn ask(&self, method: &str, target: &str) -> Asking {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let (address, target) = (self.address, target.to_owned());
        Asking { address, method, target, headers: Vec::new(), body: Bytes::new() }
    }

    pub fn get(&self, target: &str) -> Asking {
        self.ask("GET", target)
    }
}

/// A request in the making.
pub struct Asking {
    address: SocketAddr,
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// The body broke off.
    pub broken: bool,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// What the cache had to do with it.
    pub fn cache(&self) -> &str {
        self.headers.get_all("cache-status").iter().next_back().map_or("", |value| value.to_str().unwrap())
    }

    pub fn is_hit(&self) -> bool {
        self.cache().starts_with("stent; hit")
    }
}

/// An answer whose body is still coming.
pub struct Opened {
    pub status: u16,
    pub headers: HeaderMap,
    body: Incoming,
    connection: tokio::task::JoinHandle<()>,
}

impl Opened {
    /// The next piece; `None` at the end, `Err` when it broke off.
    pub async fn next(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        loop {
            let frame = tokio::time::timeout(LIMIT, self.body.frame()).await.expect("a piece in time")?;
            match frame.map(|frame| frame.into_data()) {
                Ok(Ok(data)) => return Some(Ok(data)),
                Ok(Err(_)) => continue,
                Err(error) => return Some(Err(error)),
            }
        }
    }

    pub async fn rest(mut self) -> Reply {
        let (mut body, mut broken) = (Vec::new(), false);
        while let Some(piece) = self.next().await {
            match piece {
                Ok(data) => body.extend_from_slice(&data),
                Err(_) => {
                    broken = true;
                    break;
                }
            }
        }
        Reply { status: self.status, headers: self.headers.clone(), body: body.into(), broken }
    }

    /// Goes away without reading on.
    pub fn hang_up(self) {
        self.connection.abort();
    }
}

impl Asking {
    pub fn header(mut self, name: &str, value: &str) -> Asking {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn cookie(self, value: &str) -> Asking {
        self.header("cookie", value)
    }

    pub fn bearer(self, token: &str) -> Asking {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn body(mut self, body: impl Into<Bytes>) -> Asking {
        self.body = body.into();
        self
    }

    pub async fn send(self) -> Reply {
        self.open().await.rest().await
    }

    /// As [`Asking::send`]; `None`: the connection ended without an answer.
    pub async fn attempt(self) -> Option<Reply> {
        let opened = tokio::time::timeout(LIMIT, self.exchange()).await.expect("an answer in time").ok()?;
        Some(opened.rest().await)
    }

    /// Sends it and waits for the head.
    pub async fn open(self) -> Opened {
        tokio::time::timeout(LIMIT, self.exchange()).await.expect("an answer in time").expect("an answer")
    }

    async fn exchange(self) -> Result<Opened, hyper::Error> {
        let stream = TcpStream::connect(self.address).await.expect("stent listens");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let mut request = Request::builder().method(self.method).uri(&self.target);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            // The admin is called by a name of this machine.
            let admin = ["/api/v1/", "/metrics"].iter().any(|call| self.target.starts_with(call));
            request = request.header("host", if admin { "localhost" } else { "clinic.example" });
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = sender.send_request(request.body(Full::new(self.body)).unwrap()).await?;
        let (head, body) = answer.into_parts();
        Ok(Opened { status: head.status.as_u16(), headers: head.headers, body, connection })
    }
}

/// A gate: whoever passes waits until it is opened that often.
#[derive(Clone)]
pub struct Gate {
    permits: Arc<Semaphore>,
    arrived: Arc<AtomicUsize>,
}

impl Default for Gate {
    fn default() -> Gate {
        Gate { permits: Arc::new(Semaphore::new(0)), arrived: Arc::default() }
    }
}

impl Gate {
    pub async fn pass(&self) {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        self.permits.acquire().await.unwrap().forget();
    }

    pub fn open(&self, times: usize) {
        self.permits.add_permits(times);
    }

    /// Takes back what it was opened for and nobody has used.
    pub fn close(&self) {
        self.permits.forget_permits(usize::MAX >> 4);
    }

    /// Waits until so many have come to the gate.
    pub async fn arrived(&self, many: usize) {
        eventually(|| self.arrived.load(Ordering::SeqCst) >= many).await;
    }
}

/// Waits until something is true, within [`LIMIT`].
pub async fn eventually(is: impl Fn() -> bool) {
    let until = std::time::Instant::now() + LIMIT;
    while !is() {
        assert!(std::time::Instant::now() < until, "it never came true");
        tokio::task::yield_now().await;
    }
}

/// The number of each path's requests, as a script counts them.
#[derive(Clone, Default)]
pub struct Counter(Arc<Mutex<HashMap<String, usize>>>);

impl Counter {
    /// One more for this path; answers the new number.
    pub fn next(&self, path: &str) -> usize {
        let mut counts = self.0.lock().unwrap();
        let count = counts.entry(path.to_owned()).or_default();
        *count += 1;
        *count
    }
}
