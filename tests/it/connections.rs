//! What keeps a connection going and what ends it, seen from both of its ends.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::raw::until;
use crate::scenario::{LIMIT, Origin, Stent, answer, streaming};

const PASS: &str = "cache: {tag_headers: [X-Site-Tags]}\nroutes: [{name: all, path: /**}]";
const KEPT: &str = "policies: {p: {share: public, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: p}]";

/// An origin that does as the story says, and Stent before it.
struct Scene {
    listener: TcpListener,
    stent: Stent,
}

impl Scene {
    async fn start(upstream: &str) -> Scene {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stent = Stent::start_with(listener.local_addr().unwrap(), upstream, PASS);
        Scene { listener, stent }
    }

    /// A client that has sent this.
    async fn client(&self, bytes: &str) -> TcpStream {
        let mut client = TcpStream::connect(self.stent.address).await.unwrap();
        client.write_all(bytes.as_bytes()).await.unwrap();
        client
    }

    /// The next connection to the origin, its head read.
    async fn asked(&self) -> TcpStream {
        let accepted = tokio::time::timeout(LIMIT, self.listener.accept()).await.expect("a connection in time");
        let mut origin = accepted.unwrap().0;
        until(&mut origin, "\r\n\r\n").await;
        origin
    }
}

/// What comes until the other side ends in order.
async fn rest(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut read)).await.expect("it ends in time").expect("no reset");
    String::from_utf8_lossy(&read).into_owned()
}

const LARGE_BYTES: usize = 8 << 20;

/// The whole takes three times as long as a client may stand still.
#[tokio::test]
async fn a_large_hit_reaches_a_client_that_is_slow_but_steady() {
    let origin = Origin::start(|_| async { answer(200, &[], vec![b'x'; LARGE_BYTES]) }).await;
    let server = "server: {listen: 127.0.0.1:0, workers: 1, limits: {idle_timeout: 1s}}";
    let stent = Stent::start(origin.address, &format!("{server}\n{KEPT}"));
    assert_eq!(stent.client().get("/scan").send().await.body.len(), LARGE_BYTES);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(64 << 10).unwrap();
    let mut client = socket.connect(stent.address).await.unwrap();
    client.write_all(b"GET /scan HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    until(&mut client, "\r\n\r\n").await;
    const STEPS: usize = 64;
    let mut pace = tokio::time::interval(Duration::from_secs(3) / STEPS as u32);
    let mut room = vec![0; LARGE_BYTES / STEPS];
    for step in 0..STEPS {
        pace.tick().await;
        let read = tokio::time::timeout(LIMIT, client.read_exact(&mut room)).await.expect("bytes in time");
        read.unwrap_or_else(|error| panic!("step {step} of {STEPS}: {error}"));
    }
}

/// Whoever leads a flight may be at one worker and go, whoever follows at another and stay: the first is not to end with it.
#[tokio::test]
async fn a_stop_lets_flights_end_whichever_worker_they_are_at() {
    // Each time the two are at the same worker with even chances.
    for _ in 0..8 {
        let (head, body) = streaming(200, &[]);
        let head = std::sync::Mutex::new(Some(head));
        let origin = Origin::start(move |_| std::future::ready(head.lock().unwrap().take().unwrap())).await;
        let mut stent = Stent::start(origin.address, KEPT);
        let app = stent.app.take().unwrap();
        body.send(Ok("first".into())).unwrap();
        let mut leader = TcpStream::connect(stent.address).await.unwrap();
        leader.write_all(b"GET /report HTTP/1.1\r\nHost: clinic.example\r\n\r\n").await.unwrap();
        until(&mut leader, "first\r\n").await;
        let mut follower = stent.client().get("/report").open().await;
        assert_eq!(follower.next().await.unwrap().unwrap(), "first");
        // A reset is noticed at once.
        socket2::SockRef::from(&leader).set_linger(Some(Duration::ZERO)).unwrap();
        drop(leader);
        let stopped = std::thread::spawn(move || app.stop());
        while TcpStream::connect(stent.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        body.send(Ok(", last".into())).unwrap();
        drop(body);
        let reply = follower.rest().await;
        assert_eq!((reply.text().as_str(), reply.broken), (", last", false));
        stopped.join().unwrap();
        assert_eq!(origin.count("/report"), 1);
    }
}

/// RFC 9110 §10.1.1: it may send its body all the same, or its next request, and these cannot be told apart.
#[tokio::test]
async fn a_client_that_was_answered_instead_of_asked_for_its_body_is_told_that_this_is_the_end() {
    let scene = Scene::start("").await;
    let head = "POST /form HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n";
    let mut client = scene.client(head).await;
    let mut origin = scene.asked().await;
    origin.write_all(b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 10\r\n\r\nfirst").await.unwrap();
    let head = until(&mut client, "first").await;
    assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
    client.write_all(b"0123456789").await.unwrap();
    origin.write_all(b"-last").await.unwrap();
    assert_eq!(rest(&mut client).await, "-last");
}

/// RFC 9110 §8.6: whoever believed a length there would take the answer for a body.
#[tokio::test]
async fn interim_answers_have_no_length_and_name_no_tags() {
    let scene = Scene::start("").await;
    let mut client = scene.client("GET /page HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    let mut origin = scene.asked().await;
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nsurrogate-key: patient:7\r\nx-site-tags: patient:7\r\ncontent-length: 38\r\n\r\n";
    let page = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npage";
    origin.write_all(format!("{hints}{page}").as_bytes()).await.unwrap();
    let interim = until(&mut client, "\r\n\r\n").await;
    assert!(interim.starts_with("HTTP/1.1 103 ") && interim.contains("\r\nlink: </a>\r\n"), "{interim}");
    assert!(
        !interim.contains("content-length") && !interim.contains("patient:7") && !interim.contains("tags"),
        "{interim}"
    );
    assert!(rest(&mut client).await.ends_with("\r\n\r\npage"));
}

#[tokio::test]
async fn a_connection_that_ended_with_its_answer_is_not_kept_for_another() {
    let scene = Scene::start("").await;
    let mut client = scene.client("GET /page HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    let mut origin = scene.asked().await;
    origin.write_all(b"HTTP/1.1 200 OK\r\n\r\npage").await.unwrap();
    drop(origin);
    rest(&mut client).await;
    let counts = scene.stent.app.as_ref().unwrap().proxy().upstreams[0].counts();
    assert_eq!((counts.idle, counts.open), (0, 0));
}

/// An origin may begin its answer at once and end it once it has the whole request.
#[tokio::test]
async fn while_an_upload_moves_its_answer_is_waited_for() {
    let scene = Scene::start(", timeout: 1s").await;
    const PIECE: usize = 128 << 10;
    let head = format!("POST /image HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\n\r\n", PIECE * 5);
    let mut client = scene.client(&head).await;
    client.write_all(&[7; PIECE]).await.unwrap();
    let mut origin = scene.asked().await;
    origin.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst").await.unwrap();
    until(&mut client, "first").await;
    let mut room = vec![0; PIECE];
    origin.read_exact(&mut room).await.unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(500));
    for _ in 0..4 {
        pace.tick().await;
        client.write_all(&room).await.unwrap();
        origin.read_exact(&mut room).await.expect("it goes on");
    }
    pace.tick().await;
    origin.write_all(b"-last").await.unwrap();
    until(&mut client, "-last").await;
}

/// RFC 9110 §9.3.7: load balancers ask so whether a server stands. It is about this one, so no origin hears of it.
#[tokio::test]
async fn who_asks_whether_the_server_stands_is_told() {
    let scene = Scene::start("").await;
    let ask = async |bytes: &str| {
        let mut client = scene.client(bytes).await;
        rest(&mut client).await
    };
    for check in [
        "OPTIONS * HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\nConnection: close\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
    ] {
        let answer = ask(check).await.to_ascii_lowercase();
        assert!(answer.starts_with("http/1.1 200 ok\r\n"), "{check}: {answer}");
        assert!(answer.contains("\r\ncontent-length: 0\r\n") && answer.contains("\r\nx-request-id: "), "{answer}");
        assert!(!answer.contains("cache-status"), "no cache has a part in it: {answer}");
    }
    let twice = ask("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS * HTTP/1.0\r\n\r\n").await;
    assert_eq!(twice.matches(" 200 OK").count(), 2, "the connection goes on: {twice}");
    for refused in [
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a b\r\n\r\n",
        "OPTIONS ** HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS *?a HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        assert!(ask(refused).await.starts_with("HTTP/1.1 400 "), "{refused}");
    }
    assert!(tokio::time::timeout(Duration::ZERO, scene.listener.accept()).await.is_err(), "the origin heard of it");
}
