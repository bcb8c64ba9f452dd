//! The way through: methods, bodies, hops, connections, and what happens when the origin does not answer.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::scenario::{Counter, Gate, LIMIT, Origin, Stent, answer};

const PASS: &str = "routes: [{name: all, path: /**}]";

/// Sends exact bytes and reads until the other side closes.
pub async fn raw(address: SocketAddr, bytes: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut read)).await.expect("it closes").unwrap();
    String::from_utf8_lossy(&read).into_owned()
}

/// An origin of exact bytes: reads one head (and what of a body comes with it), answers with the script's bytes.
pub async fn bytes_origin(
    script: impl Fn(usize, &str) -> Option<String> + Send + 'static,
) -> (SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        let mut number = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            let mut byte = [0];
            loop {
                if head.ends_with(b"\r\n\r\n") {
                    number += 1;
                    let text = String::from_utf8_lossy(&head).into_owned();
                    head.clear();
                    let Some(answer) = script(number, &text) else { break };
                    let close = answer.contains("connection: close");
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    if close {
                        break;
                    }
                }
                match stream.read(&mut byte).await {
                    Ok(1) => head.push(byte[0]),
                    _ => break,
                }
            }
        }
    });
    (address, task)
}

#[tokio::test]
async fn requests_and_answers_pass_whole() {
    let origin = Origin::start(|seen| async move {
        let status = if seen.method == "DELETE" { 404 } else { 200 };
        if seen.method == "HEAD" {
            return answer(200, &[("content-length", "5")], "");
        }
        answer(
            status,
            &[("x-one", "1"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-method", seen.method.as_str())],
            seen.body,
        )
    })
    .await;
    let stent = Stent::start(origin.address, PASS);
    let body: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "REPORT"] {
        let reply = stent.client().ask(method, "/x?b=2&a=1").header("x-sent", "1").body(body.clone()).send().await;
        assert_eq!((reply.status, reply.header("x-method")), (if method == "DELETE" { 404 } else { 200 }, method));
        assert_eq!(reply.body, body, "{method}");
        assert_eq!(reply.headers.get_all("set-cookie").iter().count(), 2);
        let seen = origin.last("/x");
        assert_eq!(
            (seen.target.as_str(), seen.header("x-sent"), seen.header("host")),
            ("/x?b=2&a=1", Some("1"), Some("clinic.example"))
        );
        assert_eq!(seen.header("x-request-id"), Some(reply.header("x-request-id")));
    }
    let head = stent.client().ask("HEAD", "/x").send().await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "5", 0));
}

#[tokio::test]
async fn paths_are_matched_and_sent_in_normal_form() {
    let origin = Origin::start(|seen| async move { answer(200, &[], seen.target) }).await;
    let stent = Stent::start(
        origin.address,
        "policies: {p: {share: public, ttl: 60s}}\n\
         routes: [{name: a, path: /a/<id>, policy: p}, {name: loose, path: /loose/**, policy: p, ambiguous_path: pass}, {name: rest, path: /**}]",
    );
    let client = stent.client();
    assert_eq!(client.get("/x/../a/%62").send().await.text(), "/a/b");
    assert!(client.get("/a/b").send().await.is_hit());
    for path in ["/a%2fb", "/a//b", "/a/b%00", "/a/..;/b"] {
        let refused = client.get(path).send().await;
        assert_eq!(refused.status, 400, "{path}");
    }
    for path in ["/loose/a%2Fb", "/loose//b"] {
        let passed = client.get(path).send().await;
        assert_eq!(
            (passed.text().as_str(), passed.cache()),
            (path, "stent; fwd=bypass; detail=ambiguous-path; fwd-status=200")
        );
    }
}

#[tokio::test]
async fn an_unclear_request_is_refused_and_the_connection_closed() {
    let origin = Origin::start(|_| async { answer(200, &[], "") }).await;
    let stent = Stent::start(origin.address, PASS);
    for (bytes, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
        ("GET / HTTP/1.1\nHost: a\n\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", 400),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: magic\r\n\r\n", 417),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ] {
        let got = raw(stent.address, bytes).await;
        let head = got.split("\r\n").next().unwrap_or("");
        let refused =
            head.starts_with(&format!("HTTP/1.1 {status}")) || head.starts_with(&format!("HTTP/1.0 {status}"));
        assert!(refused, "{bytes:?} got {head:?}");
        assert_eq!(got.matches("HTTP/1.").count(), 1, "{got}");
    }
    assert!(origin.seen().is_empty(), "none of them reached the origin");
}

#[tokio::test]
async fn errors_say_what_happened_in_the_form_that_was_asked_for() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = dead.local_addr().unwrap();
    drop(dead);
    let stent = Stent::start(address, PASS);
    let json = stent.client().get("/").send().await;
    assert_eq!((json.status, json.header("content-type")), (502, "application/problem+json"));
    let problem: serde_json::Value = serde_json::from_slice(&json.body).unwrap();
    assert_eq!(problem["request_id"], json.header("x-request-id"));
    assert_eq!(problem["code"], "connect-failed");
    let html = stent.client().get("/secret-path").header("accept", "text/html,*/*").send().await;
    assert_eq!(html.header("content-type"), "text/html; charset=utf-8");
    assert!(html.text().contains(html.header("x-request-id")) && !html.text().contains("secret-path"));
}

#[tokio::test]
async fn a_slow_origin_and_a_busy_one_are_told_apart() {
    let gate = Gate::default();
    let origin = Origin::gated(&gate, move || answer(200, &[], "late")).await;
    let limits = ", timeout: 200ms, deadline: 400ms, connect_timeout: 100ms, pool: {max: 1}";
    let stent = Stent::start_with(origin.address, limits, PASS);
    let slow = tokio::spawn(stent.client().get("/").send());
    gate.arrived(1).await;
    // The only connection is taken until the first one's time is over; then the second has some left of its own.
    let second = tokio::spawn(stent.client().get("/").send());
    assert_eq!(slow.await.unwrap().status, 504);
    assert!([503, 504].contains(&second.await.unwrap().status));
    gate.open(100);
    assert_eq!(stent.client().get("/").send().await.status, 200);
}

#[tokio::test]
async fn one_cap_holds_over_all_workers() {
    let (gate, counter) = (Gate::default(), Counter::default());
    let held = gate.clone();
    let origin = Origin::start(move |seen| {
        let gate = held.clone();
        counter.next(seen.path());
        async move {
            gate.pass().await;
            answer(200, &[], "")
        }
    })
    .await;
    let stent = Stent::start_with(origin.address, ", pool: {max: 3}", PASS);
    let clients: Vec<_> = (0..20).map(|_| tokio::spawn(stent.client().get("/").send())).collect();
    gate.arrived(3).await;
    let counts = stent.app.as_ref().unwrap().proxy().upstreams[0].counts();
    assert_eq!((counts.open, origin.seen().len()), (3, 3));
    for _ in 0..20 {
        gate.open(1);
    }
    for client in clients {
        assert_eq!(client.await.unwrap().status, 200);
    }
    assert!(stent.app.as_ref().unwrap().proxy().upstreams[0].counts().open <= 3);
}

#[tokio::test]
async fn a_request_on_a_connection_that_died_idle_is_tried_once_more() {
    // Answers the first request on each connection and closes without a word at the second.
    let (address, _origin) = bytes_origin(|number, _| match number {
        1 | 3 => Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_owned()),
        2 => None,
        _ => Some("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nlater".to_owned()),
    })
    .await;
    let stent = Stent::start(address, "server: {listen: 127.0.0.1:0, workers: 1}\nroutes: [{name: all, path: /**}]");
    assert_eq!(stent.client().get("/").send().await.text(), "ok");
    assert_eq!(
        stent.client().get("/").send().await.text(),
        "ok",
        "the second request was sent again on a new connection"
    );
}

#[tokio::test]
async fn interim_answers_and_trailers_reach_the_client() {
    let (address, _origin) = bytes_origin(|_, head| {
        assert!(head.contains("te: trailers"), "{head}");
        Some(
            "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n\
             HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n"
                .to_owned(),
        )
    })
    .await;
    let stent = Stent::start(address, PASS);
    let got = raw(stent.address, "GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: te, close\r\n\r\n").await;
    assert!(got.starts_with("HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n"), "{got}");
    assert!(got.contains("HTTP/1.1 200 OK"), "{got}");
    assert!(got.ends_with("2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n"), "{got}");
}

#[tokio::test]
async fn an_upload_waits_for_the_origins_continue() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one_worker = format!("server: {{listen: 127.0.0.1:0, workers: 1}}\n{PASS}");
    let stent = Stent::start(listener.local_addr().unwrap(), &one_worker);
    let mut client = TcpStream::connect(stent.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut origin, _) = listener.accept().await.unwrap();
    let seen = read_until(&mut origin, "\r\n\r\n").await;
    assert!(seen.contains("expect: 100-continue"), "{seen}");
    origin.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
    assert_eq!(read_until(&mut client, "\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    client.write_all(b"hello").await.unwrap();
    assert_eq!(read_until(&mut origin, "hello").await, "hello");
    origin.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 201 Created"));

    // The origin refuses at once, on the connection that it kept: the body is never asked for.
    let mut client = TcpStream::connect(stent.address).await.unwrap();
    client.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut origin, "\r\n\r\n").await;
    origin.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    assert!(read_until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 413"));
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut read = Vec::new();
    let mut byte = [0];
    while !read.ends_with(end.as_bytes()) {
        let got = tokio::time::timeout(LIMIT, stream.read(&mut byte)).await.expect("bytes in time").unwrap();
        assert_eq!(got, 1, "it closed after {:?}", String::from_utf8_lossy(&read));
        read.push(byte[0]);
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn bodies_flow_with_back_pressure() {
    // The origin sends without end; it must be stopped by a client that does not read.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stent = Stent::start(listener.local_addr().unwrap(), PASS);
    let mut client = TcpStream::connect(stent.address).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let (mut origin, _) = listener.accept().await.unwrap();
    read_until(&mut origin, "\r\n\r\n").await;
    let size = 1u64 << 32;
    origin.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").as_bytes()).await.unwrap();
    read_until(&mut client, "\r\n\r\n").await;
    let piece = vec![0; 1 << 20];
    let mut sent = 0u64;
    while let Ok(written) = tokio::time::timeout(std::time::Duration::from_millis(500), origin.write(&piece)).await {
        sent += written.unwrap() as u64;
        assert!(sent < 64 << 20, "back-pressure reaches the origin");
    }
    assert!(sent > 0);
}

#[tokio::test]
async fn a_retry_goes_to_another_server() {
    let origin = Origin::start(|_| async { answer(200, &[], "alive") }).await;
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dead_address = dead.local_addr().unwrap();
    drop(dead);
    for balance in ["round_robin", "least_connections", "p2c"] {
        let yaml = format!(
            "server: {{listen: 127.0.0.1:0, workers: 2}}\nadmin: {{listen: 127.0.0.1:0}}\n\
             upstreams: {{o: {{servers: [\"http://{}\", \"http://{dead_address}\"], retries: 1, balance: {balance}}}}}\n{PASS}",
            origin.address
        );
        let loaded = stent::config::parse("t", &yaml, &|_| None).unwrap_or_else(|r| panic!("{}", r.render(false)));
        let app = stent::app::App::start(loaded.settings, stent::ground::clock::Clock::System).unwrap();
        let client = crate::scenario::Client { address: app.addresses[0] };
        let asking: Vec<_> = (0..40).map(|_| tokio::spawn(client.get("/").send())).collect();
        for one in asking {
            assert_eq!(one.await.unwrap().status, 200, "{balance}");
        }
        drop(app);
    }
}

#[tokio::test]
async fn what_follows_a_good_request_is_looked_at_as_well() {
    let origin = Origin::start(|seen| async move { answer(200, &[], seen.body) }).await;
    let stent = Stent::start(origin.address, PASS);
    // A good request, one with a body, and a bad one, in one piece: two answers, one refusal, and the end.
    let good = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    let bad = "POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let got = raw(stent.address, &format!("{good}{body}{bad}{good}")).await;
    let statuses: Vec<&str> = got.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{got}");
    assert_eq!((origin.count("/1"), origin.count("/2"), origin.count("/3")), (1, 1, 0));
    // A chunked body ends where its last chunk says, and the next request begins there.
    let chunked = "POST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    let last = "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let got = raw(stent.address, &format!("{chunked}{last}")).await;
    assert_eq!(got.matches("HTTP/1.1 200").count(), 2, "{got}");
    assert_eq!((origin.count("/4"), origin.count("/1")), (1, 2));
}

#[tokio::test]
async fn an_answer_with_two_lengths_is_no_answer() {
    for lengths in [
        "transfer-encoding: chunked\r\ncontent-length: 5",
        "content-length: 5, 5",
        "content-length: 5\r\ncontent-length: 5",
    ] {
        let (address, _origin) = bytes_origin(move |_, _| {
            let head =
                format!("HTTP/1.1 200 OK\r\n{lengths}\r\ncache-control: max-age=60\r\nconnection: close\r\n\r\n");
            Some(format!("{head}26\r\n01234HTTP/1.1 200 OK\r\n\r\nPOISONED-BODY\r\n0\r\n\r\n"))
        })
        .await;
        let stent =
            Stent::start(address, "routes: [{name: kept, path: /kept, policy: origin}, {name: all, path: /**}]");
        for path in ["/kept", "/kept", "/passed"] {
            let reply = stent.client().get(path).send().await;
            assert_eq!(reply.status, 502, "{lengths} {path}: {}", reply.text());
        }
    }
}
