//! Origins that sign in connections (NTLM, Negotiate): whose requests go out on which.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::scenario::{Client, Gate, LIMIT, Stent, eventually};

/// A request as an origin heard it.
#[derive(Debug, Clone, PartialEq)]
struct Heard {
    /// The number of its connection.
    connection: usize,
    target: String,
    /// Whom its connection was signed in as.
    user: Option<String>,
    body: String,
}

#[derive(Default)]
struct Log {
    heard: Vec<Heard>,
    opened: usize,
    closed: usize,
}

/// An origin that takes whoever has signed in a connection for whoever sends on it. `NTLM name` signs in at once;
/// `NTLM type1` is answered with a challenge, and `NTLM type3-name` on the same connection signs in. `/in` wants that.
struct Signing {
    address: SocketAddr,
    log: Arc<Mutex<Log>>,
    /// Whoever asks for `/gated` waits here.
    gate: Gate,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Signing {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Signing {
    async fn start() -> Signing {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, log, gate) = (listener.local_addr().unwrap(), Arc::<Mutex<Log>>::default(), Gate::default());
        let (noted, gated) = (log.clone(), gate.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let number = {
                    let mut log = noted.lock().unwrap();
                    log.opened += 1;
                    log.opened
                };
                let (noted, gated) = (noted.clone(), gated.clone());
                connections.spawn(async move {
                    serve(stream, number, &noted, &gated).await;
                    noted.lock().unwrap().closed += 1;
                });
            }
        });
        Signing { address, log, gate, task }
    }

    fn heard(&self, path: &str) -> Vec<Heard> {
        self.log.lock().unwrap().heard.iter().filter(|heard| heard.target.starts_with(path)).cloned().collect()
    }

    /// The connections that these arrived on, in the order of their requests.
    fn connections(&self, path: &str) -> Vec<usize> {
        self.heard(path).into_iter().map(|heard| heard.connection).collect()
    }

    fn opened(&self) -> usize {
        self.log.lock().unwrap().opened
    }

    fn closed(&self) -> usize {
        self.log.lock().unwrap().closed
    }
}

async fn serve(mut stream: TcpStream, connection: usize, log: &Mutex<Log>, gate: &Gate) {
    let (mut user, mut challenged): (Option<String>, bool) = (None, false);
    while let Some((head, body)) = request(&mut stream).await {
        let target = head.split(' ').nth(1).unwrap_or("").to_owned();
        let field = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned())
        };
        let shown = field("authorization");
        let token = shown.as_deref().and_then(|shown| shown.split_once(' ')).map(|(_, token)| token);
        let is_connections = shown.as_deref().is_some_and(|shown| {
            let shown = shown.to_ascii_lowercase();
            shown.starts_with("ntlm ") || shown.starts_with("negotiate ")
        });
        let mut refusal = None;
        match token.filter(|_| is_connections) {
            Some("type1") => (challenged, refusal) = (true, Some("NTLM type2")),
            Some(token) => match token.strip_prefix("type3-") {
                Some(name) if challenged => user = Some(name.to_owned()),
                Some(_) => refusal = Some("NTLM"),
                None => user = Some(token.to_owned()),
            },
            None => {}
        }
        if target.starts_with("/in") && user.is_none() {
            refusal = refusal.or(Some("NTLM"));
        }
        log.lock().unwrap().heard.push(Heard { connection, target: target.clone(), user: user.clone(), body });
        match target.as_str() {
            "/gated" => gate.pass().await,
            // It ends without an answer.
            "/cut" => return,
            _ => {}
        }
        let ends = target == "/last";
        let page = user.as_deref().map_or("page for nobody".to_owned(), |user| format!("page of {user}"));
        let (status, more) = match refusal {
            Some(challenge) => ("401 Unauthorized", format!("www-authenticate: {challenge}\r\n")),
            None => ("200 OK", String::new()),
        };
        let length = page.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncache-control: max-age=60\r\n{more}content-length: {length}\r\n\r\n{page}"
        );
        if stream.write_all(answer.as_bytes()).await.is_err() || ends {
            return;
        }
    }
}

/// The head of a request, and its body; none once the connection has ended.
async fn request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

/// A client on one connection.
struct Person(TcpStream);

#[derive(Debug)]
struct Told {
    status: u16,
    head: String,
    body: String,
}

impl Person {
    async fn at(stent: &Stent) -> Person {
        Person(TcpStream::connect(stent.address).await.unwrap())
    }

    async fn get(&mut self, target: &str, lines: &[&str]) -> Told {
        self.ask("GET", target, lines, "").await
    }

    async fn ask(&mut self, method: &str, target: &str, lines: &[&str], body: &str) -> Told {
        self.say(method, target, lines, body).await;
        self.told().await
    }

    async fn say(&mut self, method: &str, target: &str, lines: &[&str], body: &str) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nHost: clinic.example\r\n");
        lines.iter().for_each(|line| head.push_str(&format!("{line}\r\n")));
        if !body.is_empty() {
            head.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        self.0.write_all(format!("{head}\r\n{body}").as_bytes()).await.unwrap();
    }

    async fn told(&mut self) -> Told {
        let answer = tokio::time::timeout(LIMIT, request(&mut self.0)).await.expect("an answer in time");
        let (head, body) = answer.expect("an answer");
        Told { status: head.split(' ').nth(1).unwrap().parse().unwrap(), head: head.to_ascii_lowercase(), body }
    }
}

impl Told {
    fn is_passed_as_signed_in(&self) -> bool {
        self.head.contains("cache-status: stent; fwd=bypass; detail=signed-in-connection; fwd-status=200\r\n")
    }
}

const ALICE: &str = "Authorization: NTLM alice";

const EVERY_POLICY: &str = "identity: {principal: [cookie.session]}\n\
     policies: {page: {share: anonymous, ttl: 10m}, open: {share: public, ttl: 10m}, own: {share: principal, ttl: 10m}}\n\
     routes:\n\
     - {name: a, path: /anonymous/**, policy: page}\n\
     - {name: p, path: /public/**, policy: open}\n\
     - {name: o, path: /origin/**, policy: origin}\n\
     - {name: r, path: /rfc9111/**, policy: rfc9111}\n\
     - {name: i, path: /principal/**, policy: own}\n\
     - {name: rest, path: /**}";

const POLICIES: [&str; 6] = ["/anonymous", "/public", "/origin", "/rfc9111", "/principal", "/pass"];

#[tokio::test]
async fn what_is_signed_in_by_one_is_nobody_elses() {
    let origin = Signing::start().await;
    let stent = Stent::start(origin.address, EVERY_POLICY);
    for policy in POLICIES {
        let mut alice = Person::at(&stent).await;
        let first = alice.get(&format!("{policy}/first"), &[ALICE]).await;
        assert!(first.body == "page of alice" && first.is_passed_as_signed_in(), "{policy}: {first:?}");
        let session = if policy == "/principal" { "session=b" } else { "" };
        for asked in 0..3 {
            let target = format!("{policy}/{asked}");
            // While her connection idles, and over whatever was left in the pool.
            for _ in 0..2 {
                let reply = match session {
                    "" => stent.client().get(&target).send().await,
                    session => stent.client().get(&target).cookie(session).send().await,
                };
                assert_eq!(reply.text(), "page for nobody", "{policy}");
            }
            let own = alice.get(&target, &[]).await;
            assert!(own.body == "page of alice" && own.is_passed_as_signed_in(), "{policy}: {own:?}");
        }
        drop(alice);
    }
    // Of a connection that somebody signed in, every request is theirs.
    let heard = origin.heard("/");
    for signed_in in heard.iter().filter(|heard| heard.user.is_some()) {
        let mut on_it = heard.iter().filter(|other| other.connection == signed_in.connection);
        assert!(on_it.all(|other| other.user.is_some()), "a stranger's request went out on {signed_in:?}");
    }
}

#[tokio::test]
async fn all_that_somebody_asks_on_one_connection_arrives_on_one_which_ends_with_it() {
    let origin = Signing::start().await;
    let stent = Stent::start(origin.address, EVERY_POLICY);
    let mut alice = Person::at(&stent).await;
    // Before she signs in, hers is like any.
    assert_eq!(alice.get("/public/a", &[]).await.body, "page for nobody");
    assert_eq!(alice.get("/alice/1", &["Authorization: negotiate alice"]).await.body, "page of alice");
    for policy in POLICIES {
        assert_eq!(alice.get(&format!("{policy}/a"), &["X-Alice: 1"]).await.body, "page of alice", "{policy}");
    }
    assert_eq!(alice.ask("PUT", "/alice/2", &[], "a").await.body, "page of alice");
    let first = origin.connections("/alice/1")[0];
    assert_eq!(origin.connections("/alice"), [first, first]);
    assert_eq!(origin.connections("/public/a")[1..], [first]);
    assert_eq!(origin.opened(), 2);
    let before = origin.closed();
    drop(alice);
    eventually(|| origin.closed() == before + 1).await;
    assert_eq!(stent.client().get("/pass/b").send().await.text(), "page for nobody");
}

#[tokio::test]
async fn a_handshake_of_three_legs_stays_on_one_connection() {
    let origin = Signing::start().await;
    let stent = Stent::start(origin.address, EVERY_POLICY);
    let mut alice = Person::at(&stent).await;
    let asked = alice.get("/in/a", &[]).await;
    assert!(asked.status == 401 && asked.head.contains("www-authenticate: ntlm\r\n"), "{asked:?}");
    let challenge = alice.get("/in/a", &["Authorization: NTLM type1"]).await;
    assert!(challenge.status == 401 && challenge.head.contains("www-authenticate: ntlm type2\r\n"), "{challenge:?}");
    // Others come between.
    for _ in 0..3 {
        assert_eq!(stent.client().get("/in/a").send().await.status, 401);
    }
    let signed_in = alice.get("/in/a", &["Authorization: NTLM type3-alice"]).await;
    assert_eq!((signed_in.status, signed_in.body.as_str()), (200, "page of alice"));
    let legs = origin.connections("/in/a");
    assert!(legs[1] == legs[5] && !legs[2..5].contains(&legs[1]), "{legs:?}");
    assert_eq!(alice.get("/in/b", &[]).await.body, "page of alice");
    assert_eq!(stent.client().get("/in/b").send().await.status, 401);
}

#[tokio::test]
async fn a_write_takes_her_connection_and_purges_what_it_touches() {
    let origin = Signing::start().await;
    let stent = Stent::start(origin.address, EVERY_POLICY);
    stent.client().get("/public/form").send().await;
    assert!(stent.client().get("/public/form").send().await.is_hit());
    let mut alice = Person::at(&stent).await;
    alice.get("/alice", &[ALICE]).await;
    let upload = "x".repeat(300_000);
    let written = alice.ask("POST", "/public/form", &[], &upload).await;
    assert_eq!((written.status, written.body.as_str()), (200, "page of alice"));
    let heard = origin.heard("/public/form").pop().unwrap();
    assert_eq!(heard.connection, origin.connections("/alice")[0]);
    assert_eq!((heard.user.as_deref(), heard.body.len()), (Some("alice"), upload.len()));
    assert_eq!(alice.get("/after", &[]).await.body, "page of alice");
    let again = stent.client().get("/public/form").send().await;
    assert_eq!((again.is_hit(), again.text().as_str()), (false, "page for nobody"));
}

#[tokio::test]
async fn a_proxy_that_asks_for_many_people_is_told_why_it_may_not_sign_in() {
    let origin = Signing::start().await;
    let server = "server: {listen: 127.0.0.1:0, workers: 1, trusted_proxies: [127.0.0.1]}";
    let behind = Stent::start(origin.address, &format!("{server}\n{EVERY_POLICY}"));
    let direct = Stent::start(origin.address, EVERY_POLICY);
    let forwarded = "X-Forwarded-For: 192.0.2.1";
    let tells = [forwarded, "Via: 1.1 front", "CDN-Loop: front", "X-Forwarded-Proto: https"];
    let all = [(&behind, "X-Nothing: 1"), (&behind, forwarded)].into_iter().chain(tells.map(|tells| (&direct, tells)));
    for (stent, more) in all {
        for policy in POLICIES {
            let mut proxy = Person::at(stent).await;
            let refused = proxy.get(&format!("{policy}/a"), &[ALICE, more]).await;
            assert!(refused.status == 403 && refused.body.contains("\"signed-in-connection\""), "{refused:?}");
            assert!(refused.body.contains("let clients connect to Stent directly"), "{refused:?}");
            assert!(refused.head.contains("cache-status: stent; detail=signed-in-connection\r\n"), "{refused:?}");
            // It has signed in nothing: what comes next is like any other.
            let next = proxy.get("/pass/a", &[]).await;
            assert!(next.body == "page for nobody" && !next.is_passed_as_signed_in(), "{next:?}");
        }
        let mut proxy = Person::at(stent).await;
        assert_eq!(proxy.ask("POST", "/public/a", &[ALICE, more], "written").await.status, 403);
    }
    // One that says only now that it asks for others.
    let mut proxy = Person::at(&direct).await;
    assert_eq!(proxy.get("/pass/b", &[ALICE]).await.body, "page of alice");
    assert_eq!(proxy.get("/pass/b", &[forwarded]).await.status, 403);
}

#[tokio::test]
async fn one_that_has_died_is_followed_by_another_that_is_nobody_elses() {
    let origin = Signing::start().await;
    let stent = Stent::start(origin.address, EVERY_POLICY);
    stent.client().get("/pass/a").send().await;
    let mut alice = Person::at(&stent).await;
    alice.get("/last", &[ALICE]).await;
    eventually(|| origin.closed() >= 1).await;
    // The idle connection of the pool would do, and is left alone.
    let opened = origin.opened();
    assert_eq!(alice.get("/alice/1", &[]).await.body, "page for nobody");
    assert_eq!(origin.opened(), opened + 1);
    assert_eq!(alice.get("/alice/2", &["Authorization: NTLM alice"]).await.body, "page of alice");
    assert_eq!(alice.get("/alice/3", &[]).await.body, "page of alice");
    let second = origin.connections("/alice/1")[0];
    assert_eq!(origin.connections("/alice"), [second, second, second]);
    assert!(!origin.connections("/pass").contains(&second));
}

#[tokio::test]
async fn what_may_be_a_step_of_signing_in_is_sent_once() {
    let origin = Signing::start().await;
    let stent = Stent::start_with(origin.address, ", retries: 3", EVERY_POLICY);
    let mut alice = Person::at(&stent).await;
    alice.get("/alice", &[ALICE]).await;
    let cut = alice.get("/cut", &[]).await;
    assert_eq!((cut.status, origin.heard("/cut").len()), (502, 1));
    // Whoever has not signed in is asked for again.
    assert_eq!(stent.client().get("/cut").send().await.status, 502);
    assert_eq!(origin.heard("/cut").len(), 5);
    assert_eq!(alice.get("/in", &[]).await.status, 401);
    assert_eq!(alice.get("/in", &[ALICE]).await.body, "page of alice");
}

#[tokio::test]
async fn each_upstream_has_one_of_its_own() {
    let (app, images) = (Signing::start().await, Signing::start().await);
    let yaml = format!(
        "upstreams: {{app: {{servers: [\"http://{}\"]}}, images: {{servers: [\"http://{}\"]}}}}\n\
         server: {{listen: 127.0.0.1:0, workers: 1}}\nadmin: {{listen: 127.0.0.1:0}}\n\
         routes: [{{name: i, path: /images/**, upstream: images}}, {{name: rest, path: /**, upstream: app}}]",
        app.address, images.address
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy.yaml");
    std::fs::write(&file, yaml).unwrap();
    let stent = Stent::start_from(&file);
    let mut alice = Person::at(&stent).await;
    for _ in 0..2 {
        assert_eq!(alice.get("/images/a", &[ALICE]).await.body, "page of alice");
        assert_eq!(alice.get("/a", &[]).await.status, 200);
    }
    assert_eq!(alice.get("/b", &[ALICE]).await.body, "page of alice");
    assert_eq!((app.opened(), images.opened()), (1, 1));
    for path in ["/images/a", "/a"] {
        assert_eq!(stent.client().get(path).send().await.text(), "page for nobody");
    }
    drop(alice);
    eventually(|| app.closed() == 1 && images.closed() == 1).await;
}

#[tokio::test]
async fn with_two_servers_it_stays_with_one_of_them() {
    let (first, second) = (Signing::start().await, Signing::start().await);
    let stent = Stent::start_before(&[first.address, second.address], "", EVERY_POLICY);
    let mut alice = Person::at(&stent).await;
    alice.get("/alice", &[ALICE]).await;
    for _ in 0..4 {
        assert_eq!(alice.get("/alice", &[]).await.body, "page of alice");
        stent.client().get("/other").send().await;
    }
    let heard = [first.heard("/alice").len(), second.heard("/alice").len()];
    assert!(heard == [5, 0] || heard == [0, 5], "{heard:?}");
}

#[tokio::test]
async fn it_takes_a_permit_until_its_client_has_gone() {
    let origin = Signing::start().await;
    let stent = Stent::start_with(origin.address, ", pool: {max: 2, idle: 2}, deadline: 5s, timeout: 5s", EVERY_POLICY);
    let counts = || stent.app.as_ref().unwrap().proxy().upstreams[0].counts();
    let mut alice = Person::at(&stent).await;
    alice.get("/alice", &[ALICE]).await;
    assert_eq!((counts().open, counts().idle, counts().in_flight), (1, 0, 0));
    stent.client().get("/pass/a").send().await;
    assert_eq!((counts().open, counts().idle), (2, 1));
    // The pool's idle one makes room for hers.
    let mut bob = Person::at(&stent).await;
    assert_eq!(bob.get("/bob", &["Authorization: NTLM bob"]).await.body, "page of bob");
    assert_eq!((counts().open, counts().idle), (2, 0));
    // Both are somebody's: whoever comes now waits until one of them goes.
    let waiting = tokio::spawn(stent.client().get("/gated").send());
    assert_eq!(alice.get("/alice", &[]).await.body, "page of alice");
    assert_eq!(origin.heard("/gated"), []);
    drop(bob);
    origin.gate.arrived(1).await;
    assert_eq!((counts().open, counts().in_flight), (2, 1));
    origin.gate.open(1);
    assert_eq!(waiting.await.unwrap().text(), "page for nobody");
    drop(alice);
    eventually(|| counts().open == 1 && counts().idle == 1).await;
}

/// Whoever hangs up before the answer has come ends the origin's connection with it.
#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_behind() {
    let origin = Signing::start().await;
    let stent = Stent::start(origin.address, EVERY_POLICY);
    for method in ["GET", "POST"] {
        let (opened, closed) = (origin.opened(), origin.closed());
        let mut alice = Person::at(&stent).await;
        alice.get("/alice", &[ALICE]).await;
        alice.say(method, "/gated", &[], "").await;
        eventually(|| origin.heard("/gated").last().is_some_and(|heard| heard.connection == opened + 1)).await;
        socket2::SockRef::from(&alice.0).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(alice);
        // A write is waited for, so that its purge follows it.
        origin.gate.open(1);
        eventually(|| origin.closed() == closed + 1).await;
    }
    let counts = || stent.app.as_ref().unwrap().proxy().upstreams[0].counts();
    eventually(|| counts().open == 0).await;
}

#[tokio::test]
async fn explain_knows_it() {
    let origin = Signing::start().await;
    let server = "server: {listen: 127.0.0.1:0, workers: 1, trusted_proxies: [10.0.0.0/8]}";
    let stent = Stent::start(origin.address, &format!("{server}\n{EVERY_POLICY}"));
    let explained = async |headers: serde_json::Value| {
        let question =
            serde_json::json!({"method": "GET", "url": "http://clinic.example/public/a", "headers": headers});
        let admin = Client { address: stent.admin };
        let reply = admin.ask("POST", "/api/v1/explain").body(question.to_string()).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let told: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        (told["decision"]["way"].clone(), told["decision"]["reason"].clone())
    };
    let (way, reason) = explained(serde_json::json!([["authorization", "Negotiate YII="]])).await;
    assert_eq!((way.as_str(), reason.as_str()), (Some("pass"), Some("signed-in-connection")));
    let told = serde_json::json!([["authorization", "NTLM a"], ["x-forwarded-for", "192.0.2.1"]]);
    let (way, reason) = explained(told).await;
    assert_eq!((way.as_str(), reason.as_str()), (Some("refuse"), Some("signed-in-connection")));
    assert_eq!(origin.opened(), 0, "nobody was asked");
}
