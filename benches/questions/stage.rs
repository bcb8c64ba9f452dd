//! What the benches share: a Stent with a small configuration, and an answer that it fetched and keeps.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, LazyLock};

use http::Request;
use http::request::Parts;
use http_body_util::BodyExt;
use stent::app::App;
use stent::asker::facet::Proven;
use stent::body::Body;
use stent::config;
use stent::edge::connection::{Client, Reply};
use stent::edge::incoming::{Arrival, Peer};
use stent::entry::slot::Slot;
use stent::entry::stored::Entry;
use stent::fields::authority::Scheme;
use stent::ground::clock::Clock;
use stent::hop::trust::Trust;
use stent::http1::head;
use stent::policy::plan::{Lookup, Plan, plan};
use stent::policy::question::{Asked, BodyPresence};
use stent::proxy::current::Proxy;
use stent::rules::path::RequestPath;
use stent::rules::route::Route;
use stent::rules::route::router::{Router, Target};
use stent::store::slots::Slots;
use stent::upstream::outgoing::Interim;

/// As a browser asks: what is public, and what is somebody's own.
pub const PUBLIC: &str = "/doctors/4711?page=2&size=20";
pub const OWN: &str = "/patients/4711/notes?page=2&size=20";

const FIELDS: &str = "Host: clinic.example\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Language: de-CH,de;q=0.8,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\n\
    Referer: https://clinic.example/visits\r\n\
    Cookie: sessionid=q3ZtqAUT8sNbYhYl0m9c; csrftoken=x8Yb5h0bQ\r\n\
    Connection: keep-alive\r\n";

/// What the origin says, but for its body. A date would make it older with every day.
pub const ANSWER: &str = "HTTP/1.1 200 OK\r\n\
    Server: gunicorn\r\n\
    Content-Type: application/json\r\n\
    Cache-Control: max-age=3600\r\n\
    ETag: \"3f2a9c40d1b7\"\r\n\
    Vary: Accept\r\n\
    X-Frame-Options: DENY\r\n\
    Content-Length: 1024\r\n\r\n";

pub struct Stage {
    pub proxy: Arc<Proxy>,
    pub client: Client,
    /// Its threads go on as long as it is there.
    _app: App,
}

/// One for all benches: its answers are kept from the first look on.
pub static STAGE: LazyLock<Stage> = LazyLock::new(Stage::start);

/// A request that was read, up to the first question.
pub struct Ready {
    parts: Parts,
    arrival: Arrival,
    proven: Proven,
}

/// The bytes of a request.
pub fn request(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\n{FIELDS}\r\n").into_bytes()
}

/// The same as it is handed to the line.
pub fn read(bytes: &[u8]) -> Request<Body> {
    let head = head::request(bytes, 100).expect("a request");
    let mut request = Request::new(Body::Empty);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.target;
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers;
    request
}

/// The routes of a configuration with this many; the last is for `/doctors/…`.
pub fn routes(count: usize) -> Vec<Route> {
    let route =
        |number: usize| format!("  - {{name: r{number}, path: /area{number}/<int:id>/notes, policy: public}}\n");
    let text = format!(
        "upstreams: {{origin: {{servers: [http://127.0.0.1:9]}}}}\n\
         policies: {{public: {{share: public, ttl: 1h}}}}\n\
         routes:\n{}  - {{name: last, path: '/doctors/<int:id>', policy: public}}\n",
        (1..count).map(route).collect::<String>()
    );
    config::parse("proxy.yaml", &text, &|_| None).expect("a configuration").settings.routes
}

impl Stage {
    fn start() -> Stage {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let origin = listener.local_addr().expect("an address");
        std::thread::spawn(move || answer_each(&listener));
        let text = format!(
            "server: {{listen: 127.0.0.1:0, workers: 1}}\n\
             log: {{access: {{file: /dev/null}}}}\n\
             cache: {{memory: 64MiB}}\n\
             upstreams: {{origin: {{servers: [http://{origin}]}}}}\n\
             identity: {{principal: [cookie.sessionid], ignore_cookies: [csrftoken]}}\n\
             policies:\n  public: {{share: public, ttl: 1h, stale_if_error: 1d}}\n  own: {{share: principal, ttl: 1h}}\n\
             routes:\n  \
               - {{name: doctors, path: '/doctors/<int:id>', policy: public, tags: ['doctor:<id>']}}\n  \
               - {{name: notes, path: '/patients/<int:id>/notes', policy: own, tags: ['patient:<id>']}}\n",
        );
        let settings = config::parse("proxy.yaml", &text, &|_| None).expect("a configuration").settings;
        let app = App::start(settings, Clock::System).expect("it starts");
        let peer = Peer::new([127, 0, 0, 1].into(), Scheme::Http);
        let client = Client::new(peer, 0, Interim(Arc::new(|_, _| {})));
        let stage = Stage { proxy: app.proxy(), client, _app: app };
        for target in [PUBLIC, OWN] {
            // Until a few answers have said nothing of languages, each is kept by them.
            (0..10).for_each(|number| stage.ask(&target.replace("4711", &number.to_string())));
            stage.fetch(target);
        }
        stage
    }

    /// Has it fetched and kept.
    fn fetch(&self, target: &str) {
        self.ask(target);
        self.entry(target);
    }

    fn ask(&self, target: &str) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let body = runtime.block_on(async {
            let answer = match self.proxy.handle(&self.client, read(&request(target))) {
                Reply::Now(answer) => answer,
                Reply::Later(answer) => answer.await,
            };
            answer.into_body().collect().await.expect("a body").to_bytes()
        });
        assert_eq!(body.len(), 1024);
    }

    /// What is kept for a target.
    pub fn entry(&self, target: &str) -> Entry {
        let ready = self.ready(target);
        match self.proxy.cache.memory.get(&ready.lookup(self).key) {
            Some(Slot::Entry(entry)) => entry,
            other => panic!("{target}: {other:?} is kept"),
        }
    }

    /// What belongs to this hop is taken off.
    pub fn arrival(&self, parts: &mut Parts) -> Arrival {
        let new_id = || self.proxy.ids.next(0);
        Arrival::read(parts, &self.client.peer, Trust::Stranger, new_id).expect("a request that is let in")
    }

    /// A request, up to the first question.
    pub fn ready(&self, target: &str) -> Ready {
        let (mut parts, _) = read(&request(target)).into_parts();
        let arrival = self.arrival(&mut parts);
        Ready { parts, arrival, proven: Proven::default() }
    }
}

impl Ready {
    pub fn path(&self) -> RequestPath<'_> {
        RequestPath::new(self.parts.uri.path())
    }

    pub fn asked<'a>(&'a self, path: &'a RequestPath<'_>) -> Asked<'a> {
        Asked {
            method: &self.parts.method,
            scheme: self.arrival.scheme,
            authority: &self.arrival.authority,
            host: self.arrival.host_name(),
            forwarded_host: None,
            path: &path.text,
            ambiguity: path.ambiguity,
            query: self.parts.uri.query(),
            headers: &self.parts.headers,
            body: BodyPresence::Absent,
            proven: &self.proven,
            bypass: None,
        }
    }

    /// Its route.
    pub fn route<'r>(&self, router: &'r Router) -> &'r Arc<Route> {
        let path = self.path();
        let (host, method) = (self.arrival.host_name(), &self.parts.method);
        router.find(Target { host, path: &path.text, method, headers: &self.parts.headers }).expect("a route").1
    }

    pub fn lookup(&self, stage: &Stage) -> Lookup {
        let path = self.path();
        let proxy = &stage.proxy;
        match plan(&self.asked(&path), self.route(&proxy.router), &proxy.identity, &proxy.secret) {
            Plan::Lookup(lookup) => lookup,
            other => panic!("{other:?}"),
        }
    }
}

/// The origin: a kibibyte for each connection.
fn answer_each(listener: &TcpListener) {
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        let mut read = Vec::new();
        let mut buffer = [0; 4096];
        while !read.ends_with(b"\r\n\r\n") {
            let came = stream.read(&mut buffer).expect("a request");
            if came == 0 {
                break;
            }
            read.extend_from_slice(&buffer[..came]);
        }
        stream.write_all(ANSWER.as_bytes()).and_then(|()| stream.write_all(&[b' '; 1024])).expect("an answer");
    }
}
