//! The same line under TLS: what is agreed on, what certificates prove, and how connections end.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{DnType, SanType};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::authority::{Authority, LAST_YEAR, Pair};
use crate::raw::until;
use crate::scenario::{Client, Counter, KeptOpen, LIMIT, Origin, Stent, answer, configuration, no_answer, streaming};

const POLICIES: &str = "
identity: {principal: [authorization, cookie.sessionid]}
policies: {all: {share: public, ttl: 60s}}
routes: [{name: live, path: /ws, websocket: true}, {name: all, path: /**, policy: all}]";

const TENANTS: &str = "
identity:
  principal: [authorization, cookie.sessionid]
  facets: {tenant: cert.o, device: cert.san.dns}
policies:
  team: {share: [tenant], ttl: 60s}
  device: {share: [device], ttl: 60s}
  page: {share: anonymous, ttl: 60s}
routes:
  - {name: team, path: /team/**, policy: team}
  - {name: device, path: /device, policy: device}
  - {name: page, path: /page, policy: page}
  - {name: origin, path: /origin, policy: origin}
  - {name: letter, path: /letter, policy: rfc9111}";

/// Stent with TLS, and those who sign for its servers and its clients.
struct Stage {
    stent: Stent,
    servers: Authority,
    clients: Authority,
    folder: tempfile::TempDir,
}

impl Stage {
    fn start(origin: &Origin, yaml: &str) -> Stage {
        Stage::start_with(origin.address, "", yaml)
    }

    /// With more keys for `server`.
    fn start_with(origin: std::net::SocketAddr, server: &str, yaml: &str) -> Stage {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let folder = tempfile::tempdir().unwrap();
        servers.server(&["clinic.example", "127.0.0.1"]).write(folder.path(), "clinic");
        servers.server(&["*.lab.example"]).write(folder.path(), "lab");
        std::fs::write(folder.path().join("ca.pem"), clients.pem()).unwrap();
        write(folder.path(), origin, "127.0.0.1:0", server, yaml);
        let stent = Stent::start_from(&folder.path().join("proxy.yaml"));
        Stage { stent, servers, clients, folder }
    }

    fn address(&self) -> std::net::SocketAddr {
        self.stent.app.as_ref().unwrap().tls_addresses[0]
    }

    fn visitor(&self) -> Visitor {
        Visitor { address: self.address(), roots: self.servers.pem(), own: None, versions: BOTH }
    }

    /// Somebody of this organisation.
    fn of(&self, organisation: &str, name: &str) -> Visitor {
        let own = self.clients.client(&[(DnType::OrganizationName, organisation), (DnType::CommonName, name)]);
        Visitor { own: Some(own), ..self.visitor() }
    }

    async fn metrics(&self) -> String {
        Client { address: self.stent.admin }.get("/metrics").send().await.text()
    }
}

fn write(folder: &Path, origin: std::net::SocketAddr, listen: &str, server: &str, yaml: &str) {
    let certs = "[{cert: clinic.pem, key: clinic.key}, {cert: lab.pem, key: lab.key}]";
    let tls = format!("tls: {{listen: \"{listen}\", certs: {certs}, client_ca: ca.pem}}");
    let text = format!("server: {{listen: 127.0.0.1:0, workers: 2, {tls}{server}}}{yaml}");
    std::fs::write(folder.join("proxy.yaml"), configuration(origin, "", &text)).unwrap();
}

type Versions = &'static [&'static SupportedProtocolVersion];

const BOTH: Versions = &[&TLS13, &TLS12];
const NEW: Versions = &[&TLS13];
const OLD: Versions = &[&TLS12];

/// Who speaks TLS.
#[derive(Clone)]
struct Visitor {
    address: std::net::SocketAddr,
    roots: String,
    own: Option<Pair>,
    versions: Versions,
}

impl Visitor {
    fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.roots.as_bytes()).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(self.versions).unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match &self.own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_slice(own.cert.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config
    }

    async fn connect_to(&self, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        self.over(TcpStream::connect(self.address).await?, name).await
    }

    async fn over(&self, stream: TcpStream, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connecting = TlsConnector::from(Arc::new(self.config())).connect(name, stream);
        tokio::time::timeout(LIMIT, connecting).await.expect("an agreement in time")
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        self.connect_to("clinic.example").await.unwrap()
    }

    async fn open(&self) -> KeptOpen {
        KeptOpen::over(self.connect().await).await.unwrap()
    }

    /// Says this, and reads to an end in order.
    async fn say(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        rest(&mut stream).await.expect("an end in order")
    }
}

/// What comes until the other side says that it ends; an error where it ends without a word.
async fn rest(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let mut read = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut read)).await.expect("it ends in time")?;
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// Numbers its answers by path.
async fn numbered() -> Origin {
    let counter = Counter::default();
    Origin::start(move |seen| {
        let number = counter.next(seen.path());
        async move { answer(200, &[], format!("{number} {}", seen.body.len())) }
    })
    .await
}

#[tokio::test]
async fn requests_go_the_same_way_and_share_nothing_with_plain_ones() {
    let origin = numbered().await;
    let stage = Stage::start(&origin, POLICIES);
    for (path, versions) in [("/13", NEW), ("/12", OLD)] {
        let visitor = Visitor { versions, ..stage.visitor() };
        let mut stream = visitor.connect().await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        stream.write_all(format!("HEAD {path} HTTP/1.1\r\nHost: clinic.example\r\n\r\n").as_bytes()).await.unwrap();
        until(&mut stream, "\r\n\r\n").await;
        let mut open = KeptOpen::over(stream).await.unwrap();
        assert!(!open.get(path).await.unwrap().is_hit());
        for _ in 0..3 {
            let hit = open.get(path).await.unwrap();
            assert!(hit.is_hit() && hit.text() == "2 0", "{} {}", hit.cache(), hit.text());
        }
        assert_eq!(origin.last(path).header("x-forwarded-proto"), Some("https"));
        let plain = stage.stent.client().get(path).send().await;
        assert!(!plain.is_hit(), "{}", plain.cache());
    }
}

const LARGE_BYTES: usize = 8 << 20;

#[tokio::test]
async fn large_bodies_go_both_ways() {
    let origin = Origin::start(|seen| async move {
        match seen.body.is_empty() {
            true => answer(200, &[], (0..LARGE_BYTES).map(|at| at as u8).collect::<Vec<u8>>()),
            false => answer(200, &[], format!("{:?}", seen.body.iter().map(|&b| u64::from(b)).sum::<u64>())),
        }
    })
    .await;
    let stage = Stage::start(&origin, POLICIES);
    let mut open = stage.visitor().open().await;
    for hit in [false, true] {
        let reply = open.get("/scan").await.unwrap();
        assert_eq!((reply.is_hit(), reply.body.len()), (hit, LARGE_BYTES));
        assert!(reply.body.iter().enumerate().all(|(at, &byte)| byte == at as u8));
    }
    let mut stream = stage.visitor().connect().await;
    let head = "POST /form HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nConnection: close\r\n";
    stream.write_all(format!("{head}Content-Length: {LARGE_BYTES}\r\n\r\n").as_bytes()).await.unwrap();
    assert_eq!(until(&mut stream, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&vec![3; LARGE_BYTES]).await.unwrap();
    stream.flush().await.unwrap();
    let reply = rest(&mut stream).await.expect("an end in order");
    assert!(reply.ends_with(&format!("\r\n\r\n{}", 3 * LARGE_BYTES)), "{reply}");
}

#[tokio::test]
async fn the_certificate_is_that_of_the_name_that_is_asked_for_and_else_the_first() {
    let origin = numbered().await;
    let stage = Stage::start(&origin, POLICIES);
    let shown = async |name: &str| {
        let stream = stage.visitor().connect_to(name).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    };
    let of = |name: &str| {
        let pem = std::fs::read(stage.folder.path().join(format!("{name}.pem"))).unwrap();
        CertificateDer::from_pem_slice(&pem).unwrap().to_vec()
    };
    assert_eq!(shown("a.lab.example").await, of("lab"));
    assert_eq!(shown("clinic.example").await, of("clinic"));
    assert_eq!(shown("127.0.0.1").await, of("clinic"), "no name is asked for");
}

#[tokio::test]
async fn a_reload_takes_new_certificates_and_keeps_connections() {
    let origin = numbered().await;
    let stage = Stage::start(&origin, TENANTS);
    let own = stage.of("a", "ada");
    let mut open = own.open().await;
    open.get("/team/1").await.unwrap();
    assert!(open.get("/team/1").await.unwrap().is_hit());

    let servers = Authority::new("other servers");
    servers.server(&["clinic.example"]).write(stage.folder.path(), "clinic");
    let told = stage.stent.admin("POST", "/api/v1/reload").send().await;
    assert_eq!(told.status, 200, "{}", told.text());
    assert!(open.get("/team/1").await.unwrap().is_hit(), "the connection goes on");
    assert!(own.connect_to("clinic.example").await.is_err(), "another is shown");
    let own = Visitor { roots: servers.pem(), ..own };
    assert!(own.open().await.get("/team/1").await.unwrap().is_hit());

    // Whom others have verified is nobody.
    std::fs::write(stage.folder.path().join("ca.pem"), Authority::new("other clients").pem()).unwrap();
    write(stage.folder.path(), origin.address, "127.0.0.2:0", "", TENANTS);
    let told = stage.stent.admin("POST", "/api/v1/reload").send().await;
    assert!(told.text().contains("\"server.tls.listen\""), "{}", told.text());
    let reply = open.get("/team/1").await.unwrap();
    assert_eq!(reply.cache(), "stent; fwd=bypass; detail=facet-without-value; fwd-status=200");

    // What cannot be used changes nothing.
    std::fs::write(stage.folder.path().join("lab.key"), &servers.server(&["x"]).key).unwrap();
    let told = stage.stent.admin("POST", "/api/v1/reload").send().await;
    assert!(told.status == 422 || told.status == 400, "{} {}", told.status, told.text());
    assert!(told.text().contains("it is not the key of the certificate"), "{}", told.text());
    open.get("/team/1").await.unwrap();
}

#[tokio::test]
async fn whoever_shows_a_certificate_that_nobody_has_verified_is_refused() {
    let origin = numbered().await;
    let stage = Stage::start(&origin, TENANTS);
    let signed = |by: &str| Authority::new(by).client(&[(DnType::OrganizationName, "a")]);
    for (versions, by, alert) in
        [(NEW, "clients", "DecryptError"), (OLD, "clients", "DecryptError"), (NEW, "others", "UnknownCA")]
    {
        let visitor = Visitor { own: Some(signed(by)), versions, ..stage.visitor() };
        // In TLS 1.3 the client hears of it when it reads.
        if let Ok(mut stream) = visitor.connect_to("clinic.example").await {
            let _ = stream.write_all(b"GET /team/1 HTTP/1.1\r\nHost: clinic.example\r\n\r\n").await;
            let error = rest(&mut stream).await.expect_err("it is refused");
            assert!(error.to_string().contains(alert), "{error}");
        }
    }
    assert!(origin.seen().is_empty());
    // A client that is refused may hear of it before it is counted.
    let counted = async { while !stage.metrics().await.contains("stent_tls_handshakes_refused_total 3") {} };
    tokio::time::timeout(LIMIT, counted).await.expect("three are counted");
}

#[tokio::test]
async fn tenants_by_certificates_never_share_and_those_of_one_do() {
    let origin = numbered().await;
    let stage = Stage::start(&origin, TENANTS);
    let get = async |visitor: &Visitor, path: &str| visitor.open().await.get(path).await.unwrap();
    let [ada, ben, cleo] = [("a", "ada"), ("a", "ben"), ("b", "cleo")].map(|(org, name)| stage.of(org, name));
    assert_eq!(get(&ada, "/team/1").await.text(), "1 0");
    assert_eq!(get(&cleo, "/team/1").await.text(), "2 0");
    for (visitor, text) in [(&ada, "1 0"), (&ben, "1 0"), (&cleo, "2 0")] {
        let reply = get(visitor, "/team/1").await;
        assert!(reply.is_hit() && reply.text() == text, "{} {}", reply.cache(), reply.text());
    }
    let told = origin.last("/team/1");
    assert!(told.headers.values().all(|value| !value.as_bytes().windows(3).any(|part| part == b"leo")), "{told:?}");

    // Nobody, two organisations at once, and none that can be told.
    let two = &[(DnType::OrganizationName, "a"), (DnType::CustomDnType(vec![2, 5, 4, 10]), "b")];
    let doubtful = [
        stage.visitor(),
        Visitor { own: Some(stage.clients.client(two)), ..stage.visitor() },
        Visitor { own: Some(stage.clients.client(&[(DnType::CommonName, "a")])), ..stage.visitor() },
        stage.of("", "eve"),
    ];
    for visitor in &doubtful {
        assert_eq!(
            get(visitor, "/team/1").await.cache(),
            "stent; fwd=bypass; detail=facet-without-value; fwd-status=200"
        );
    }
    // The origin sees only what else is shown: what it says may be another's.
    let mut open = ada.open().await;
    let beside = open.get_with("/team/1", &[("cookie", "sessionid=x")]).await.unwrap();
    assert_eq!(beside.cache(), "stent; fwd=bypass; detail=credentials-beside-certificate; fwd-status=200");

    let device = |names| stage.clients.client_with(&[], names);
    let name = |name: &str| SanType::DnsName(name.try_into().unwrap());
    let scanner = Visitor { own: Some(device(vec![name("scanner")])), ..stage.visitor() };
    get(&scanner, "/device").await;
    assert!(get(&scanner, "/device").await.is_hit());
    let both = Visitor { own: Some(device(vec![name("scanner"), name("other")])), ..stage.visitor() };
    assert_eq!(get(&both, "/device").await.cache(), "stent; fwd=bypass; detail=facet-without-value; fwd-status=200");
}

#[tokio::test]
async fn what_a_certificate_would_get_can_be_asked() {
    let origin = numbered().await;
    let stage = Stage::start(&origin, TENANTS);
    let ask = async |certificate: serde_json::Value| {
        let question = json!({"method": "GET", "url": "https://clinic.example/team/1", "certificate": certificate});
        stage.stent.admin("POST", "/api/v1/explain").body(question.to_string()).send().await.text()
    };
    let told = ask(json!([["o", "secret"]])).await;
    assert!(told.contains("\"way\":\"lookup\"") && told.contains("proven by cert.o"), "{told}");
    assert!(!told.contains("secret"), "{told}");
    assert!(ask(json!([])).await.contains("facet-without-value"));
    assert!(ask(json!([["o", "a"], ["o", "b"]])).await.contains("facet-without-value"));
    assert!(ask(json!([["x", "a"]])).await.contains("not-a-request"));
}

#[tokio::test]
async fn a_certificate_is_a_credential() {
    let origin = Origin::start(|_| async { answer(200, &[("cache-control", "max-age=60")], "page") }).await;
    let stage = Stage::start(&origin, TENANTS);
    let get = async |visitor: &Visitor, path: &str| visitor.open().await.get(path).await.unwrap();
    let (ada, nobody) = (stage.of("a", "ada"), stage.visitor());
    for path in ["/page", "/origin", "/letter"] {
        get(&nobody, path).await;
        assert!(get(&nobody, path).await.is_hit(), "{path}");
    }
    assert_eq!(get(&ada, "/page").await.cache(), "stent; fwd=bypass; detail=signed-in; fwd-status=200");
    assert!(!get(&ada, "/origin").await.is_hit());
    assert!(get(&ada, "/letter").await.is_hit(), "RFC 9111 knows of `Authorization` only");
}

#[tokio::test]
async fn a_certificate_counts_until_it_expires_and_for_whoever_speaks_for_itself() {
    let origin = numbered().await;
    let stage = Stage::start(&origin, TENANTS);
    let mut open = stage.of("a", "ada").open().await;
    open.get("/team/1").await.unwrap();
    assert!(open.get("/team/1").await.unwrap().is_hit());
    let for_another = open.get_with("/team/1", &[("x-forwarded-for", "192.0.2.7")]).await.unwrap();
    assert_eq!(for_another.cache(), "stent; fwd=bypass; detail=facet-without-value; fwd-status=200");
    let years = u64::try_from(LAST_YEAR - 2020).unwrap();
    stage.stent.clock.advance(Duration::from_secs(years * 366 * 24 * 60 * 60));
    assert_eq!(
        open.get("/team/1").await.unwrap().cache(),
        "stent; fwd=bypass; detail=facet-without-value; fwd-status=200"
    );

    let trusting = Stage::start_with(origin.address, ", trusted_proxies: [127.0.0.1]", TENANTS);
    let mut proxy = trusting.of("a", "proxy").open().await;
    let reply = proxy.get("/team/1").await.unwrap();
    assert_eq!(reply.cache(), "stent; fwd=bypass; detail=facet-without-value; fwd-status=200", "it is the proxy's own");
    proxy.get("/page").await.unwrap();
    assert!(proxy.get("/page").await.unwrap().is_hit(), "and nobody's credential");
}

#[tokio::test]
async fn whoever_stalls_or_stands_idle_is_ended() {
    let origin = numbered().await;
    let limits = ", limits: {header_timeout: 1s, idle_timeout: 1s}";
    let stage = Stage::start_with(origin.address, limits, POLICIES);
    let mut silent = TcpStream::connect(stage.address()).await.unwrap();
    let mut stalling = TcpStream::connect(stage.address()).await.unwrap();
    // The beginning of a ClientHello.
    stalling.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]).await.unwrap();
    let mut mute = stage.visitor().connect().await;
    let mut idle = stage.visitor().connect().await;
    idle.write_all(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    until(&mut idle, "1 0").await;
    for stream in [&mut silent, &mut stalling] {
        let mut read = Vec::new();
        let ended = tokio::time::timeout(LIMIT, stream.read_to_end(&mut read)).await.expect("it ends in time");
        assert!(ended.is_err() || read.len() <= 7, "{read:?}");
    }
    assert_eq!(rest(&mut mute).await.expect("an end in order"), "");
    assert_eq!(rest(&mut idle).await.expect("an end in order"), "");
}

#[tokio::test]
async fn whoever_does_not_read_is_ended() {
    let origin = Origin::start(|_| async { answer(200, &[], vec![b'x'; 4 * LARGE_BYTES]) }).await;
    let stage = Stage::start_with(origin.address, ", limits: {idle_timeout: 1s}", POLICIES);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let stream = socket.connect(stage.address()).await.unwrap();
    let mut stream = stage.visitor().over(stream, "clinic.example").await.unwrap();
    stream.write_all(b"GET /scan HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    until(&mut stream, "\r\n\r\n").await;
    let places = async || stage.metrics().await.contains("stent_connections 0");
    let deadline = std::time::Instant::now() + LIMIT;
    while !places().await {
        assert!(std::time::Instant::now() < deadline, "it is still open");
    }
    let mut read = Vec::new();
    assert!(stream.read_to_end(&mut read).await.is_err(), "nobody takes it for the end");
    assert!(read.len() < 4 * LARGE_BYTES);
}

#[tokio::test]
async fn whoever_speaks_plainly_there_is_told() {
    let origin = numbered().await;
    let stage = Stage::start(&origin, POLICIES);
    let mut client = TcpStream::connect(stage.address()).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: clinic.example\r\n\r\n").await.unwrap();
    let mut read = String::new();
    tokio::time::timeout(LIMIT, client.read_to_string(&mut read)).await.expect("it ends in time").expect("no reset");
    let (head, body) = read.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 ") && head.contains(&format!("content-length: {}", body.len())), "{read}");
    drop(client);
    // The other side waits for whoever was turned away no longer than that.
    assert!(stage.visitor().open().await.get("/a").await.is_ok());
    assert!(stage.metrics().await.contains("stent_tls_handshakes_refused_total 1"));
}

#[tokio::test]
async fn framing_is_as_strict_and_ends_are_in_order() {
    let origin = numbered().await;
    let stage = Stage::start(&origin, POLICIES);
    let visitor = stage.visitor();
    for bad in [
        "GET / HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET / HTTP/1.1\nHost: h\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ] {
        let reply = visitor.say(bad).await;
        assert!(reply.starts_with("HTTP/1.1 400 ") && reply.contains("\r\nconnection: close\r\n"), "{reply}");
    }
    assert!(origin.seen().is_empty());
    let two = "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let reply = visitor.say(two).await;
    assert_eq!(reply.matches("HTTP/1.1 200 ").count(), 2, "{reply}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_without_a_word() {
    let (head, body) = streaming(200, &[]);
    let head = std::sync::Mutex::new(Some(head));
    let origin =
        Origin::start(move |_| std::future::ready(head.lock().unwrap().take().unwrap_or_else(no_answer))).await;
    let stage = Stage::start(&origin, "\nroutes: [{name: all, path: /**}]");
    let mut stream = stage.visitor().connect().await;
    // Of HTTP/1.0 the end of the connection is the end of the body.
    stream.write_all(b"GET /report HTTP/1.0\r\nHost: h\r\n\r\n").await.unwrap();
    body.send(Ok("first".into())).unwrap();
    until(&mut stream, "first").await;
    body.send(Err(std::io::Error::other("gone"))).unwrap();
    rest(&mut stream).await.expect_err("nobody takes it for the end");
}

#[tokio::test]
async fn a_websocket_goes_both_ways_and_ends_on_both_sides() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stage = Stage::start_with(listener.local_addr().unwrap(), "", POLICIES);
    let mut client = stage.visitor().connect().await;
    let asking = "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.write_all(asking.as_bytes()).await.unwrap();
    let mut origin = tokio::time::timeout(LIMIT, listener.accept()).await.expect("a connection in time").unwrap().0;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(origin.read_u8().await.unwrap());
    }
    let granted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    origin.write_all(format!("{granted}early").as_bytes()).await.unwrap();
    assert!(until(&mut client, "early").await.starts_with("HTTP/1.1 101 "));
    // More than fits anywhere on the way.
    let (mut up, mut down) = (vec![0; LARGE_BYTES], vec![0; LARGE_BYTES]);
    let (mut client_reads, mut client_writes) = tokio::io::split(client);
    let (mut origin_reads, mut origin_writes) = origin.split();
    // What a stream of TLS has taken leaves when it is flushed.
    let up_there = async {
        client_writes.write_all(&[1; LARGE_BYTES]).await?;
        client_writes.flush().await
    };
    let carried = async {
        tokio::try_join!(
            up_there,
            origin_reads.read_exact(&mut up),
            origin_writes.write_all(&[2; LARGE_BYTES]),
            client_reads.read_exact(&mut down),
        )
    };
    tokio::time::timeout(LIMIT, carried).await.expect("all of it in time").unwrap();
    assert!(up.iter().all(|&byte| byte == 1) && down.iter().all(|&byte| byte == 2));
    client_writes.shutdown().await.unwrap();
    assert_eq!(origin_reads.read(&mut up).await.unwrap(), 0);
    origin_writes.shutdown().await.unwrap();
    assert_eq!(client_reads.read(&mut down).await.expect("an end in order"), 0);
}

#[tokio::test]
async fn half_a_handshake_makes_room_for_whoever_asks() {
    let origin = numbered().await;
    // A record of a `ClientHello` whose rest never comes (RFC 8446 §5.1).
    for text in [&b""[..], b"\x16\x03\x01\x02\x00\x01\x00"] {
        let stage = Stage::start_with(origin.address, ", limits: {connections: 16}", POLICIES);
        let held = crate::crowding::crowd(stage.address(), text, 48).await;
        for turn in 0..8 {
            let asked = std::time::Instant::now();
            assert_eq!(stage.visitor().open().await.get(&format!("/{turn}")).await.unwrap().status, 200);
            // Those who hold the places have ten.
            assert!(asked.elapsed() < Duration::from_secs(2), "{:?} beside {text:?}", asked.elapsed());
        }
        drop(held);
    }
}
