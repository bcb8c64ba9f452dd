//! Connections to the origin are few, and nobody keeps them from others: not what lasts, not whoever does not read or sends bit
//! by bit, and not whoever has many already.

use std::io::Write;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::raw::until;
use crate::scenario::{Client, Gate, LIMIT, Origin, Stent, answer, eventually, streaming};

const ROUTES: &str = "
server: {listen: 127.0.0.1:0, workers: 2, trusted_proxies: [127.0.0.0/8]}
cache: {max_object: 1MiB}
policies: {all: {share: public, ttl: 60s}}
routes: [{name: ws, path: /ws/**, websocket: true}, {name: kept, path: /kept/**, policy: all}, {name: all, path: /**}]";

/// Longer than those who wait are to wait, and shorter than any timeout.
const IN_TIME: Duration = Duration::from_secs(9);

/// What fits into no socket.
const LARGE_BYTES: usize = 16 << 20;

async fn upstream(stent: &Stent) -> serde_json::Value {
    let told = stent.admin("GET", "/api/v1/upstreams").send().await;
    serde_json::from_slice::<serde_json::Value>(&told.body).unwrap()[0]["connections"].clone()
}

/// Waits until the pool says so.
async fn connections(stent: &Stent, what: &str, many: usize) {
    let until = Instant::now() + LIMIT;
    while upstream(stent).await[what] != many {
        assert!(Instant::now() < until, "{what}: {many} of {}", upstream(stent).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn full(stent: &Stent) -> serde_json::Value {
    let told = stent.admin("GET", "/api/v1/status").send().await;
    serde_json::from_slice::<serde_json::Value>(&told.body).unwrap()["full"].clone()
}

#[tokio::test]
async fn event_streams_keep_no_plain_request_out() {
    let senders = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = senders.clone();
    let origin = Origin::start(move |seen| {
        let (response, sender) = match seen.path() {
            "/mjpeg" => streaming(200, &[("content-type", "multipart/x-mixed-replace; boundary=b")]),
            path if path.contains("events") => streaming(200, &[("content-type", "Text/Event-Stream; charset=utf-8")]),
            _ => return std::future::ready(answer(200, &[], "plain")),
        };
        sender.send(Ok(Bytes::from_static(b"data: 1\n\n"))).unwrap();
        kept.lock().unwrap().push(sender);
        std::future::ready(response)
    })
    .await;
    let stent = Stent::start_with(origin.address, ", timeout: 30s, deadline: 30s, pool: {max: 1, streams: 3}", ROUTES);
    let client = stent.client();
    let mut open = Vec::new();
    // Passed, through the cache, and of another kind.
    for path in ["/events/1", "/kept/events", "/mjpeg"] {
        let mut opened = client.get(path).open().await;
        assert_eq!(opened.status, 200, "{path}");
        opened.next().await.unwrap().unwrap();
        open.push(opened);
        assert_eq!(client.get("/plain").send().await.text(), "plain", "beside {path}");
    }
    assert_eq!(upstream(&stent).await["streams"], 3);
    assert_eq!(full(&stent).await, serde_json::json!([{"upstream": "origin", "what": "streams"}]));
    let refused = client.get("/events/4").send().await;
    assert_eq!((refused.status, refused.cache()), (503, "stent; fwd=bypass; detail=streams-taken"));
    // As browsers ask for events: the origin hears nothing of it.
    let refused = client.get("/events/5").header("accept", "text/event-stream").send().await;
    assert_eq!((refused.status, origin.count("/events/5")), (503, 0));
    assert_eq!(client.get("/plain").send().await.text(), "plain");
    assert_eq!(stent.admin("GET", "/readyz").send().await.status, 200, "all else goes on");
    open.remove(0).hang_up();
    connections(&stent, "streams", 2).await;
    assert_eq!(full(&stent).await, serde_json::json!([]));
    assert_eq!(client.get("/events/6").open().await.status, 200);
}

#[tokio::test]
async fn an_event_stream_that_ends_leaves_its_connection_to_others() {
    let origin = Origin::start(|_| async {
        let (response, sender) = streaming(200, &[("content-type", "text/event-stream")]);
        tokio::spawn(async move {
            sender.send(Ok(Bytes::from_static(b"data: 1\n\n"))).unwrap();
        });
        response
    })
    .await;
    let stent = Stent::start_with(origin.address, ", pool: {max: 1, streams: 1}", ROUTES);
    for _ in 0..3 {
        assert_eq!(stent.client().get("/events").send().await.text(), "data: 1\n\n");
        connections(&stent, "streams", 0).await;
        connections(&stent, "in_flight", 0).await;
    }
    assert!(upstream(&stent).await["open"].as_u64().unwrap() <= 1);
}

/// Grants every WebSocket, and answers all else.
async fn granting() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                loop {
                    let head = until(&mut stream, "\r\n\r\n").await.to_ascii_lowercase();
                    let answer = match head.contains("upgrade: websocket") {
                        true => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
                        false => "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nplain",
                    };
                    stream.write_all(answer.as_bytes()).await.unwrap();
                    if head.contains("upgrade: websocket") {
                        let _ = stream.read(&mut [0]).await;
                        return;
                    }
                }
            });
        }
    });
    address
}

async fn websocket(address: SocketAddr) -> (TcpStream, String) {
    let mut client = TcpStream::connect(address).await.unwrap();
    let asking = b"GET /ws/x HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(asking).await.unwrap();
    let head = until(&mut client, "\r\n\r\n").await;
    (client, head)
}

#[tokio::test]
async fn websockets_keep_no_plain_request_out() {
    let stent = Stent::start_with(granting().await, ", pool: {max: 1, streams: 2}", ROUTES);
    let mut open = Vec::new();
    for _ in 0..2 {
        let (client, head) = websocket(stent.address).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        open.push(client);
        assert_eq!(stent.client().get("/plain").send().await.text(), "plain");
    }
    let (_, head) = websocket(stent.address).await;
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("detail=streams-taken"), "{head}");
    open.pop();
    connections(&stent, "streams", 1).await;
    let (_client, head) = websocket(stent.address).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
}

/// One that says this and takes next to nothing.
fn deaf(address: SocketAddr, text: &str) -> StdStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(8 << 10).unwrap();
    socket.connect(&address.into()).unwrap();
    let mut stream = StdStream::from(socket);
    stream.write_all(text.as_bytes()).unwrap();
    stream
}

async fn large(seen: &str) -> http::Response<crate::scenario::OriginBody> {
    match seen.contains("large") {
        true => answer(200, &[("cache-control", "max-age=60")], vec![b'x'; LARGE_BYTES]),
        false => answer(200, &[], "small"),
    }
}

#[tokio::test]
async fn whoever_does_not_read_makes_room_for_those_who_wait() {
    let origin = Origin::start(|seen| async move { large(seen.path()).await }).await;
    for (path, range) in [("/large", ""), ("/kept/large", ""), ("/large", "Range: bytes=0-16000000\r\n")] {
        let stent = Stent::start_with(origin.address, ", pool: {max: 3}", ROUTES);
        let deaf = |turn| {
            let text = format!("GET {path}/{turn} HTTP/1.1\r\nHost: h\r\n{range}\r\n");
            deaf(stent.address, &text)
        };
        let held: Vec<_> = (0..5).map(deaf).collect();
        connections(&stent, "in_flight", 3).await;
        let asked = Instant::now();
        for turn in 0..3 {
            let reply = stent.client().get(&format!("/small/{turn}")).send().await;
            assert_eq!((reply.status, reply.text().as_str()), (200, "small"), "beside {path} {range}");
        }
        assert!(asked.elapsed() < IN_TIME, "{:?} beside {path} {range}", asked.elapsed());
        assert!(upstream(&stent).await["made_room"].as_u64().unwrap() >= 3);
        drop(held);
    }
}

#[tokio::test]
async fn whoever_takes_its_time_keeps_its_connection_where_nobody_waits() {
    let origin = Origin::start(|seen| async move { large(seen.path()).await }).await;
    let stent = Stent::start_with(origin.address, ", pool: {max: 2}", ROUTES);
    let slow = deaf(stent.address, "GET /large HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    connections(&stent, "in_flight", 1).await;
    // Longer than the patience with it, were there others.
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        assert_eq!(stent.client().get("/small").send().await.text(), "small");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let read = move || {
        let (mut slow, mut read) = (slow, Vec::new());
        std::io::Read::read_to_end(&mut slow, &mut read).unwrap();
        read.len()
    };
    let read = tokio::task::spawn_blocking(read).await.unwrap();
    assert!(read > LARGE_BYTES, "{read}");
    assert_eq!(upstream(&stent).await["made_room"], 0);
}

#[tokio::test]
async fn whoever_sends_bit_by_bit_makes_room_for_those_who_wait() {
    let origin = Origin::start(|seen| async move { large(seen.path()).await }).await;
    let stent = Stent::start_with(origin.address, ", pool: {max: 2}", ROUTES);
    let begun = format!("POST /small HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n{}", "x".repeat(100_000));
    let mut held: Vec<_> = (0..2).map(|_| deaf(stent.address, &begun)).collect();
    connections(&stent, "in_flight", 2).await;
    let asked = Instant::now();
    let honest = tokio::spawn(Client { address: stent.address }.ask("POST", "/small").body("all of it").send());
    // One is silent, the other is not; both are too slow.
    while !honest.is_finished() {
        assert!(asked.elapsed() < IN_TIME, "{:?}", asked.elapsed());
        let _ = held[1].write(b"x");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(honest.await.unwrap().status, 200);
    let told = move || {
        let (mut read, mut told) = ([0; 4096], Vec::new());
        for mut one in held {
            one.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            let came = std::io::Read::read(&mut one, &mut read).unwrap_or(0);
            told.push(String::from_utf8_lossy(&read[..came]).into_owned());
        }
        told.concat()
    };
    let told = tokio::task::spawn_blocking(told).await.unwrap();
    assert!(told.contains("HTTP/1.1 408 ") && told.contains("detail=slow-client"), "{told}");
}

#[tokio::test]
async fn of_those_who_wait_the_client_with_the_fewest_is_next() {
    let gate = Gate::default();
    let origin = Origin::gated(&gate, || answer(200, &[], "fine")).await;
    let stent = Stent::start_with(origin.address, ", pool: {max: 4}", ROUTES);
    let address = stent.address;
    let ask =
        |who: &str, path: String| tokio::spawn(Client { address }.get(&path).header("x-forwarded-for", who).send());
    let mut all = Vec::new();
    for turn in 0..8 {
        all.push(ask("192.0.2.1", format!("/greedy/{turn}")));
    }
    gate.arrived(4).await;
    connections(&stent, "waiting", 4).await;
    assert_eq!(full(&stent).await, serde_json::json!([{"upstream": "origin", "what": "connections"}]));
    for who in [2, 3] {
        all.push(ask(&format!("192.0.2.{who}"), format!("/modest/{who}")));
        connections(&stent, "waiting", 3 + who).await;
    }
    gate.open(2);
    gate.arrived(6).await;
    let came: Vec<_> = origin.seen().into_iter().skip(4).map(|seen| seen.target).collect();
    assert!(came.iter().all(|path| path.starts_with("/modest/")), "they came last and have none: {came:?}");
    gate.open(8);
    for one in all {
        assert_eq!(one.await.unwrap().status, 200);
    }
}

/// One address that asks for much and takes what it gets, such as a proxy that nobody trusts, has all places.
#[tokio::test]
async fn an_address_whose_requests_may_all_go_on_has_every_place() {
    let gate = Gate::default();
    let waits = gate.clone();
    let origin = Origin::start(move |_| {
        let waits = waits.clone();
        async move {
            waits.pass().await;
            answer(200, &[], "x")
        }
    })
    .await;
    let stent = Stent::start_with(origin.address, ", timeout: 30s, deadline: 30s, pool: {max: 20}", ROUTES);
    let client = stent.client();
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..40 {
        tasks.spawn(async move { client.get(&format!("/held/{number}")).send().await.status });
    }
    // The last five of them after half a second, since none has ended yet.
    gate.arrived(20).await;
    gate.open(40);
    assert!(tasks.join_all().await.iter().all(|status| *status == 200));
}

/// Also before anybody can know who is slow, the last places are not for an address that has most of them already.
#[tokio::test]
async fn whoever_comes_from_another_address_finds_a_place_at_once() {
    let gate = Gate::default();
    let waits = gate.clone();
    let origin = Origin::start(move |_| {
        let waits = waits.clone();
        async move {
            waits.pass().await;
            answer(200, &[], "x")
        }
    })
    .await;
    let stent = Stent::start_with(origin.address, ", timeout: 30s, deadline: 30s, pool: {max: 20}", ROUTES);
    let client = stent.client();
    let ask = |path: String, from: &'static str| {
        tokio::spawn(async move { client.get(&path).header("x-forwarded-for", from).send().await.status })
    };
    let many: Vec<_> = (0..40).map(|number| ask(format!("/many/{number}"), "192.0.2.1")).collect();
    let few: Vec<_> = (0..4).map(|number| ask(format!("/few/{number}"), "192.0.2.2")).collect();
    // Nothing has ended: were the places all taken, these would not have come.
    eventually(|| (0..4).all(|number| origin.count(&format!("/few/{number}")) == 1)).await;
    gate.open(44);
    for one in many.into_iter().chain(few) {
        assert_eq!(one.await.unwrap(), 200);
    }
}
