//! All places are taken by those who ask for nothing, and whoever asks is answered at once.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scenario::{Client, Gate, KeptOpen, LIMIT, Origin, Stent, answer};

/// As long as a busy machine takes to answer; a head that is not whole has ten seconds.
const AT_ONCE: Duration = Duration::from_secs(2);

const PLACES: usize = 16;

const RULES: &str = "
server: {listen: 127.0.0.1:0, workers: 2, limits: {connections: 16}}
policies: {all: {share: public, ttl: 60s}}
routes: [{name: slow, path: /slow}, {name: all, path: /**, policy: all}]";

/// Connects and says this.
pub async fn saying(address: SocketAddr, text: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text).await.unwrap();
    stream
}

/// So many who say this, each on a connection that it holds.
pub async fn crowd(address: SocketAddr, text: &[u8], many: usize) -> Vec<TcpStream> {
    let mut crowd = Vec::new();
    for _ in 0..many {
        crowd.push(saying(address, text).await);
    }
    crowd
}

#[tokio::test]
async fn an_honest_client_waits_for_nobody_who_asks_for_nothing() {
    let origin = Origin::start(|_| async { answer(200, &[], "fine") }).await;
    let texts: [&[u8]; 4] = [
        b"",
        b"GET /half HTTP/1.1\r\nHost: h\r\n",
        // It has its answer, and the rest of its body is waited for.
        b"GET /refused HTTP/1.1\r\nHost: h\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhalf",
        b"GET /idle HTTP/1.1\r\nHost: h\r\n\r\n",
    ];
    for text in texts {
        let stent = Stent::start(origin.address, RULES);
        // More than there are places: who comes later finds others in the queue, too.
        let held = crowd(stent.address, text, PLACES * 3).await;
        for turn in 0..PLACES {
            let asked = Instant::now();
            assert_eq!(stent.client().get(&format!("/{turn}")).send().await.status, 200);
            assert!(asked.elapsed() < AT_ONCE, "{:?} beside {:?}", asked.elapsed(), String::from_utf8_lossy(text));
        }
        drop(held);
    }
}

#[tokio::test]
async fn whoever_has_a_request_under_way_keeps_its_place() {
    let gate = Gate::default();
    let origin = Origin::gated(&gate, || answer(200, &[], "fine")).await;
    let stent = Stent::start(origin.address, RULES);
    let address = stent.address;
    let busy = (0..PLACES - 1).map(|_| tokio::spawn(Client { address }.get("/slow").send()));
    let busy: Vec<_> = busy.collect();
    gate.arrived(PLACES - 1).await;
    let silent = crowd(address, b"", PLACES * 3).await;
    // Each closes the one before, and none of the others.
    for mut stream in silent.into_iter().take(PLACES) {
        let end = tokio::time::timeout(LIMIT, stream.read(&mut [0])).await.expect("it is closed in time");
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
    gate.open(PLACES - 1);
    for answer in busy {
        assert_eq!(answer.await.unwrap().status, 200);
    }
}

#[tokio::test]
async fn nobody_holds_the_admin() {
    let origin = Origin::start(|_| async { answer(200, &[], "fine") }).await;
    let stent = Stent::start(origin.address, RULES);
    let texts: [&[u8]; 4] = [
        b"",
        b"GET /livez HTTP/1.1\r\nHost: h\r\n",
        b"GET /refused HTTP/1.1\r\nHost: h\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhalf",
        b"POST /api/v1/purge HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    ];
    let mut kept = KeptOpen::to(stent.address).await.unwrap();
    assert_eq!(kept.get("/a").await.unwrap().status, 200);
    for text in texts {
        let held = crowd(stent.admin, text, 200).await;
        for _ in 0..4 {
            let asked = Instant::now();
            assert_eq!(stent.admin("GET", "/livez").send().await.status, 200);
            stent.purge(serde_json::json!({"tags": ["a"]})).await;
            assert!(asked.elapsed() < AT_ONCE, "{:?} beside {:?}", asked.elapsed(), String::from_utf8_lossy(text));
        }
        drop(held);
    }
    assert_eq!(kept.get("/a").await.unwrap().status, 200, "no client made room for it");
}
