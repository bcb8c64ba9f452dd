//! WebSockets through a route that allows them: a tunnel from the origin's 101 on and not before, and none without it. Then
//! bodies without end, each piece of which arrives before the next is sent.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::raw::until;
use crate::scenario::{LIMIT, Origin, Stent, streaming};

const ROUTES: &str = "routes: [{name: live, path: /ws/**, websocket: true}, {name: all, path: /**}]";

/// As RFC 6455 §1.3 has it.
const ASKING: &str = "GET /ws/ward HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://h\r\n\r\n";

const GRANTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// An origin that does as the story says, and Stent before it.
struct Scene {
    listener: TcpListener,
    stent: Stent,
}

impl Scene {
    async fn start(limits: &str) -> Scene {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("server: {{listen: 127.0.0.1:0, workers: 1{limits}}}");
        let stent = Stent::start(listener.local_addr().unwrap(), &format!("{server}\n{ROUTES}"));
        Scene { listener, stent }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.stent.address).await.unwrap()
    }

    /// The next connection to the origin, and the head that came on it in lower case.
    async fn asked(&self) -> (TcpStream, String) {
        let accepted = tokio::time::timeout(LIMIT, self.listener.accept()).await.expect("a connection in time");
        let mut origin = accepted.unwrap().0;
        let head = until(&mut origin, "\r\n\r\n").await.to_ascii_lowercase();
        (origin, head)
    }

    /// Both ends of a tunnel.
    async fn tunnel(&self) -> (TcpStream, TcpStream) {
        let mut client = self.connect().await;
        client.write_all(ASKING.as_bytes()).await.unwrap();
        let (mut origin, _) = self.asked().await;
        origin.write_all(GRANTED.as_bytes()).await.unwrap();
        assert!(until(&mut client, "\r\n\r\n").await.starts_with("HTTP/1.1 101 "));
        (client, origin)
    }

    /// Another request goes all the way: whatever was to happen before it has happened.
    async fn another(&self) {
        let mut client = self.connect().await;
        client.write_all(b"GET /other HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
        let (mut origin, head) = self.asked().await;
        assert!(head.starts_with("get /other "), "{head}");
        origin.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nother").await.unwrap();
        until(&mut client, "\r\n\r\nother").await;
    }
}

/// What comes until the other side ends, by a FIN or a reset.
async fn rest(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let _ = tokio::time::timeout(LIMIT, stream.read_to_end(&mut read)).await.expect("it ends in time");
    String::from_utf8_lossy(&read).into_owned()
}

fn nothing_came(stream: &TcpStream) {
    let read = stream.try_read(&mut [0; 64]);
    assert!(read.as_ref().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "{read:?}");
}

#[tokio::test]
async fn the_origins_101_opens_a_tunnel() {
    let scene = Scene::start("").await;
    let mut client = scene.connect().await;
    client.write_all(ASKING.as_bytes()).await.unwrap();
    let (mut origin, head) = scene.asked().await;
    for line in [
        "get /ws/ward http/1.1\r\n",
        "\r\nhost: h\r\n",
        "\r\nupgrade: websocket\r\n",
        "\r\nconnection: upgrade\r\n",
        "\r\nsec-websocket-version: 13\r\n",
        "\r\nsec-websocket-key: dghlihnhbxbszsbub25jzq==\r\n",
        "\r\norigin: http://h\r\n",
    ] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    origin.write_all(GRANTED.as_bytes()).await.unwrap();
    let head = until(&mut client, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let head = head.to_ascii_lowercase();
    for line in ["\r\nupgrade: websocket\r\n", "\r\nconnection: upgrade\r\n", "\r\nsec-websocket-accept: s3pp"] {
        assert!(head.contains(line), "{line:?} in {head}");
    }
    assert!(!head.contains("content-length") && !head.contains("transfer-encoding"), "{head}");
    // What looks like HTTP is none any more.
    let frames = "\0\u{1}GET /evil HTTP/1.1\r\n\r\nend";
    for _ in 0..3 {
        client.write_all(frames.as_bytes()).await.unwrap();
        assert_eq!(until(&mut origin, "end").await, frames);
        origin.write_all(frames.as_bytes()).await.unwrap();
        assert_eq!(until(&mut client, "end").await, frames);
    }
    scene.another().await;
}

#[tokio::test]
async fn a_tunnel_carries_much_both_ways_at_once() {
    let scene = Scene::start("").await;
    let (client, origin) = scene.tunnel().await;
    let much: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    let (mut from_client, mut to_origin) = client.into_split();
    let (mut from_origin, mut to_client) = origin.into_split();
    let (mut at_client, mut at_origin) = (vec![0; much.len()], vec![0; much.len()]);
    let all = async {
        tokio::try_join!(
            to_origin.write_all(&much),
            to_client.write_all(&much),
            from_client.read_exact(&mut at_client),
            from_origin.read_exact(&mut at_origin)
        )
    };
    tokio::time::timeout(LIMIT, all).await.expect("in time").unwrap();
    assert!(at_client == much && at_origin == much);
}

#[tokio::test]
async fn each_side_may_end_before_the_other() {
    let scene = Scene::start("").await;
    // The client has said all, the origin has not.
    let (mut client, mut origin) = scene.tunnel().await;
    client.write_all(b"last").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(rest(&mut origin).await, "last");
    origin.write_all(b"answer").await.unwrap();
    drop(origin);
    assert_eq!(rest(&mut client).await, "answer");
    // The other way round.
    let (mut client, mut origin) = scene.tunnel().await;
    origin.write_all(b"last").await.unwrap();
    origin.shutdown().await.unwrap();
    assert_eq!(rest(&mut client).await, "last");
    client.write_all(b"answer").await.unwrap();
    drop(client);
    assert_eq!(rest(&mut origin).await, "answer");
    // Either goes away.
    let (client, mut origin) = scene.tunnel().await;
    drop(client);
    assert_eq!(rest(&mut origin).await, "");
    let (mut client, origin) = scene.tunnel().await;
    drop(origin);
    assert_eq!(rest(&mut client).await, "");
}

#[tokio::test]
async fn a_refusal_is_passed_on_and_opens_nothing() {
    let scene = Scene::start("").await;
    for status in ["403 Forbidden", "200 OK", "426 Upgrade Required"] {
        let mut client = scene.connect().await;
        client.write_all(ASKING.as_bytes()).await.unwrap();
        let (mut origin, _) = scene.asked().await;
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
        origin.write_all(answer.as_bytes()).await.unwrap();
        let head = until(&mut client, "\r\n\r\n").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {}", &status[..3])), "{head}");
        assert!(!head.to_ascii_lowercase().contains("upgrade: websocket"), "{head}");
        assert_eq!(until(&mut client, "no").await, "no");
        // Nobody takes it for the other protocol; it may be read as what it is, and is refused then.
        let _ = client.write_all(b"\x81\x02hi\r\n\r\n").await;
        let after = rest(&mut client).await;
        assert!(after.is_empty() || after.starts_with("HTTP/1.1 400"), "{after}");
        assert_eq!(rest(&mut origin).await, "", "after {status}");
    }
}

#[tokio::test]
async fn what_a_client_sends_early_waits_for_the_101() {
    let scene = Scene::start("").await;
    let mut client = scene.connect().await;
    client.write_all(format!("{ASKING}early").as_bytes()).await.unwrap();
    let (mut origin, _) = scene.asked().await;
    scene.another().await;
    nothing_came(&origin);
    origin.write_all(GRANTED.as_bytes()).await.unwrap();
    until(&mut client, "\r\n\r\n").await;
    client.write_all(b", then more").await.unwrap();
    assert_eq!(until(&mut origin, "more").await, "early, then more");
    // Where the origin refuses, it goes nowhere: not into a tunnel, and not to anybody as a request.
    let mut client = scene.connect().await;
    client.write_all(format!("{ASKING}GET /evil HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
    let (mut origin, _) = scene.asked().await;
    origin.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno").await.unwrap();
    let answers = rest(&mut client).await;
    assert!(answers.starts_with("HTTP/1.1 403"), "{answers}");
    let more = answers.split("\r\n\r\nno").nth(1).unwrap_or_default();
    assert!(more.is_empty() || more.starts_with("HTTP/1.1 400"), "{more}");
    assert_eq!(rest(&mut origin).await, "");
    scene.another().await;
}

#[tokio::test]
async fn what_the_origin_sends_with_its_101_is_in_the_tunnel() {
    let scene = Scene::start("").await;
    let mut client = scene.connect().await;
    client.write_all(ASKING.as_bytes()).await.unwrap();
    let (mut origin, _) = scene.asked().await;
    origin.write_all(format!("{GRANTED}HTTP/1.1 200 OK\r\n\r\nwelcome").as_bytes()).await.unwrap();
    until(&mut client, "\r\n\r\n").await;
    assert_eq!(until(&mut client, "welcome").await, "HTTP/1.1 200 OK\r\n\r\nwelcome");
}

#[tokio::test]
async fn a_silent_tunnel_ends() {
    let scene = Scene::start(", limits: {idle_timeout: 300ms}").await;
    let (mut client, mut origin) = scene.tunnel().await;
    client.write_all(b"hello").await.unwrap();
    assert_eq!(until(&mut origin, "hello").await, "hello");
    assert_eq!((rest(&mut client).await, rest(&mut origin).await), (String::new(), String::new()));
}

#[tokio::test]
async fn only_websockets_are_asked_for() {
    none_is_asked_for(&[
        ASKING
            .replace("Connection: Upgrade", "Connection: Upgrade, HTTP2-Settings")
            .replace("Upgrade: websocket", "Upgrade: h2c\r\nHTTP2-Settings: AAMA"),
        ASKING.replace("Upgrade: websocket", "Upgrade: TLS/1.0"),
        // RFC 6455 §4.1 has it with GET.
        ASKING.replace("GET ", "DELETE "),
        ASKING.replace("/ws/ward", "/elsewhere"),
    ])
    .await;
}

/// RFC 9110 §7.8: `Connection` has to name it, and in HTTP/1.0 it is ignored.
#[tokio::test]
async fn an_upgrade_that_is_none_is_not_asked_for() {
    none_is_asked_for(&[
        ASKING.replace("Connection: Upgrade", "Connection: keep-alive"),
        ASKING.replace("HTTP/1.1", "HTTP/1.0"),
    ])
    .await;
}

async fn none_is_asked_for(askings: &[String]) {
    let scene = Scene::start("").await;
    for asking in askings {
        let mut client = scene.connect().await;
        client.write_all(asking.as_bytes()).await.unwrap();
        let (mut origin, head) = scene.asked().await;
        assert!(!head.contains("\r\nupgrade:") && !head.contains("http2-settings"), "{asking} became {head}");
        // An origin that switches all the same is no origin.
        origin.write_all(GRANTED.as_bytes()).await.unwrap();
        let answer = until(&mut client, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 502") || answer.starts_with("HTTP/1.0 502"), "{answer}");
        assert_eq!(rest(&mut origin).await, "");
    }
}

#[tokio::test]
async fn a_101_to_something_else_is_no_answer() {
    let scene = Scene::start("").await;
    for granted in [GRANTED.replace("websocket", "h2c"), GRANTED.replace("Upgrade: websocket\r\n", "")] {
        let mut client = scene.connect().await;
        client.write_all(ASKING.as_bytes()).await.unwrap();
        let (mut origin, _) = scene.asked().await;
        origin.write_all(granted.as_bytes()).await.unwrap();
        let answer = until(&mut client, "\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
        assert_eq!(rest(&mut origin).await, "");
    }
}

#[tokio::test]
async fn each_event_arrives_before_the_next_is_sent() {
    for (media, caching, rest_of_route) in [
        ("text/event-stream", "no-cache", ""),
        ("text/event-stream", "max-age=60", ", policy: kept"),
        ("application/x-ndjson", "no-store", ", policy: kept"),
        ("application/octet-stream", "max-age=60", ", policy: origin"),
    ] {
        let (sender, senders) = tokio::sync::mpsc::unbounded_channel();
        let senders = std::sync::Arc::new(tokio::sync::Mutex::new(senders));
        let origin = Origin::start(move |_| {
            let (response, events) = streaming(200, &[("content-type", media), ("cache-control", caching)]);
            sender.send(events).unwrap();
            async { response }
        })
        .await;
        let config = format!(
            "policies: {{kept: {{share: public, ttl: 60s}}}}\nroutes: [{{name: all, path: /**{rest_of_route}}}]"
        );
        let stent = Stent::start(origin.address, &config);
        // The head comes before there is anything behind it.
        let mut opened = stent.client().get("/events").open().await;
        let events = senders.lock().await.recv().await.expect("the origin was asked");
        for number in 0..20 {
            let event = format!("data: {number}\n\n");
            events.send(Ok(event.clone().into())).unwrap();
            let mut got = Vec::new();
            while got.len() < event.len() {
                got.extend_from_slice(&opened.next().await.expect("more").expect("whole"));
            }
            assert_eq!(got, event.as_bytes(), "{media} {caching}{rest_of_route}");
        }
        drop(events);
        assert!(opened.next().await.is_none(), "{media} {caching}{rest_of_route}");
    }
}

/// Without chunks the end of the connection is the end of the body, and each piece is sent on all the same.
#[tokio::test]
async fn events_until_the_end_of_the_connection_arrive_one_by_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stent = Stent::start(listener.local_addr().unwrap(), "routes: [{name: all, path: /**}]");
    let asking = tokio::spawn(stent.client().get("/events").open());
    let (mut origin, _) = listener.accept().await.unwrap();
    until(&mut origin, "\r\n\r\n").await;
    origin.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await.unwrap();
    let mut opened = asking.await.unwrap();
    for number in 10..30 {
        let event = format!("data: {number}\n\n");
        origin.write_all(event.as_bytes()).await.unwrap();
        let mut got = Vec::new();
        while got.len() < event.len() {
            got.extend_from_slice(&opened.next().await.expect("more").expect("whole"));
        }
        assert_eq!(got, event.as_bytes());
    }
    drop(origin);
    assert!(opened.next().await.is_none());
}

/// A client that goes away ends what only it was listening to.
#[tokio::test]
async fn a_listener_that_leaves_ends_the_stream() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stent = Stent::start(listener.local_addr().unwrap(), "routes: [{name: all, path: /**}]");
    let asking = tokio::spawn(stent.client().get("/events").open());
    let (mut origin, _) = listener.accept().await.unwrap();
    until(&mut origin, "\r\n\r\n").await;
    origin.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n").await.unwrap();
    let mut opened = asking.await.unwrap();
    assert!(opened.next().await.expect("an event").is_ok());
    opened.hang_up();
    let ended = tokio::time::timeout(LIMIT, origin.read(&mut [0; 1])).await.expect("it is told");
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
}
