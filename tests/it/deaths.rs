//! Origins that die: at any byte, in any framing, once or again and again.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::scenario::{Gate, Stent, eventually};

const PUBLIC: &str = "policies: {p: {share: public, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: p}]";

/// Time enough for a crowd to gather on a busy machine.
const PATIENT: &str = ", connect_timeout: 5s, timeout: 60s, deadline: 60s";

/// What a request gets: these bytes, and then the end of the connection, in order or by a reset.
type Bytes = (Vec<u8>, Death);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Death {
    InOrder,
    Reset,
}

/// An origin of plain bytes; every connection carries one request and waits at the gate before it ends.
struct Mortal {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    gate: Gate,
    script: Arc<Mutex<Bytes>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Mortal {
    async fn start(bytes: Vec<u8>, death: Death) -> Mortal {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, gate) = (Arc::<AtomicUsize>::default(), Gate::default());
        let script = Arc::new(Mutex::new((bytes, death)));
        let (counted, gated, scripted) = (requests.clone(), gate.clone(), script.clone());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(live(stream, counted.clone(), gated.clone(), scripted.clone()));
            }
        });
        Mortal { address, requests, gate, script, task }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn answers(&self, bytes: Vec<u8>, death: Death) {
        *self.script.lock().unwrap() = (bytes, death);
    }
}

async fn live(mut stream: TcpStream, requests: Arc<AtomicUsize>, gate: Gate, script: Arc<Mutex<Bytes>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    requests.fetch_add(1, Ordering::SeqCst);
    gate.pass().await;
    let (bytes, death) = script.lock().unwrap().clone();
    stream.write_all(&bytes).await.unwrap();
    gate.pass().await;
    if death == Death::Reset {
        stream.set_zero_linger().unwrap();
    }
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Length,
    Chunked,
    Close,
}

/// An answer in this framing that ends after so many bytes of its body.
fn cut(framing: Framing, body: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = b"HTTP/1.1 200 OK\r\n".to_vec();
    match framing {
        Framing::Length => bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes()),
        Framing::Chunked => bytes.extend(b"transfer-encoding: chunked\r\n\r\n"),
        Framing::Close => bytes.extend(b"connection: close\r\n\r\n"),
    }
    if let (Framing::Chunked, 1..) = (framing, at) {
        bytes.extend(format!("{:x}\r\n", body.len()).bytes());
    }
    bytes.extend(&body[..at]);
    bytes
}

#[tokio::test]
async fn an_origin_that_dies_at_any_byte_is_seen_to_and_nothing_is_stored() {
    let body: Vec<u8> = (0..100_000u32).flat_map(u32::to_le_bytes).collect();
    let origin = Mortal::start(Vec::new(), Death::Reset).await;
    let stent = Stent::start(origin.address, PUBLIC);
    for framing in [Framing::Length, Framing::Chunked, Framing::Close] {
        for at in [0, 1, body.len() / 2, body.len() - 1] {
            // An end in order is all that tells the end of a body without length.
            for death in [Death::InOrder, Death::Reset] {
                if let (Framing::Close, Death::InOrder) = (framing, death) {
                    continue;
                }
                let case = format!("{framing:?} {at} {death:?}");
                let path = format!("/{framing:?}/{at}/{death:?}");
                origin.answers(cut(framing, &body, at), death);
                let readers: Vec<_> = (0..3).map(|_| tokio::spawn(stent.client().get(&path).attempt())).collect();
                eventually(|| stent.cache().flights.waiting() == 3).await;
                // Whoever asks for itself meets the same.
                origin.gate.open(100);
                for reader in readers {
                    // No answer at all cannot be taken for a whole one either.
                    let Some(reply) = reader.await.unwrap() else { continue };
                    match reply.status {
                        200 => assert!(reply.broken && body.starts_with(&reply.body), "{case}"),
                        status => assert_eq!(status, 502, "{case}: {}", reply.cache()),
                    }
                }
                origin.gate.close();
                origin.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole".to_vec(), Death::InOrder);
                origin.gate.open(2);
                let reply = stent.client().get(&path).send().await;
                assert_eq!((reply.text().as_str(), reply.is_hit()), ("whole", false), "{case}");
                origin.gate.close();
            }
        }
    }
    eventually(|| stent.cache().budget.used() == 0).await;
}

/// Five hundred who follow a leader whose connection is reset before there is a head.
async fn followers_of_a_reset(stent: &Stent, origin: &Mortal) -> Vec<tokio::task::JoinHandle<crate::scenario::Reply>> {
    let all = (0..501).map(|_| tokio::spawn(stent.client().get("/a").send())).collect();
    eventually(|| stent.cache().flights.waiting() == 501).await;
    eventually(|| origin.requests() == 1).await;
    origin.gate.open(2);
    origin.gate.arrived(3).await;
    all
}

#[tokio::test]
async fn followers_of_a_failed_leader_elect_one_of_them_once() {
    let origin = Mortal::start(Vec::new(), Death::Reset).await;
    let stent = Stent::start_with(origin.address, PATIENT, PUBLIC);
    let all = followers_of_a_reset(&stent, &origin).await;
    origin.gate.open(2);
    for one in all {
        let reply = one.await.unwrap();
        assert_eq!((reply.status, reply.cache()), (502, "stent; fwd=uri-miss; detail=reset"));
    }
    assert_eq!(origin.requests(), 2, "two for five hundred and one");
    assert!(stent.cache().flights.is_empty());
}

#[tokio::test]
async fn a_leaders_mishap_is_nobody_elses() {
    let origin = Mortal::start(Vec::new(), Death::Reset).await;
    let stent = Stent::start_with(origin.address, PATIENT, PUBLIC);
    let all = followers_of_a_reset(&stent, &origin).await;
    origin.answers(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole".to_vec(), Death::InOrder);
    origin.gate.open(2);
    let mut failed = 0;
    for one in all {
        let reply = one.await.unwrap();
        match reply.status {
            200 => assert_eq!(reply.text(), "whole"),
            status => {
                assert_eq!(status, 502);
                failed += 1;
            }
        }
    }
    assert_eq!((failed, origin.requests()), (1, 2), "the leader alone");
    assert!(stent.client().get("/a").send().await.is_hit());
}

#[tokio::test]
async fn an_origin_that_is_ill_is_not_asked_once_more_for_the_followers() {
    let origin = Mortal::start(Vec::new(), Death::Reset).await;
    let stent = Stent::start_with(origin.address, ", timeout: 300ms, deadline: 600ms", PUBLIC);
    let all: Vec<_> = (0..50).map(|_| tokio::spawn(stent.client().get("/a").send())).collect();
    eventually(|| stent.cache().flights.waiting() == 50).await;
    for one in all {
        assert_eq!(one.await.unwrap().cache(), "stent; fwd=uri-miss; detail=timeout");
    }
    assert_eq!(origin.requests(), 1);
}

/// Who answers in a coding that nobody asked for would answer so again: nobody is elected to ask once more, and nothing is
/// retried. What is no answer at all is another matter.
#[tokio::test]
async fn an_answer_in_an_unknown_transfer_coding_is_told_by_its_name() {
    let coded = |coding: &str| format!("HTTP/1.1 200 OK\r\ntransfer-encoding: {coding}\r\n\r\nx").into_bytes();
    let (gzip, identity) = (coded("gzip"), coded("identity, chunked"));
    for (bytes, reason, requests) in [
        (gzip, "answer-coding", 1),
        (identity, "answer-coding", 1),
        (coded("chunked, gzip"), "protocol-error", 2),
        (b"nonsense\r\n\r\n".to_vec(), "protocol-error", 2),
    ] {
        let case = String::from_utf8_lossy(&bytes).into_owned();
        let origin = Mortal::start(bytes, Death::InOrder).await;
        let stent = Stent::start_with(origin.address, &format!("{PATIENT}, retries: 2"), PUBLIC);
        let all: Vec<_> = (0..3).map(|_| tokio::spawn(stent.client().get("/a").send())).collect();
        eventually(|| stent.cache().flights.waiting() == 3).await;
        origin.gate.open(100);
        for one in all {
            let reply = one.await.unwrap();
            let want = format!("stent; fwd=uri-miss; detail={reason}");
            assert_eq!((reply.status, reply.cache()), (502, want.as_str()), "{case}");
            assert!(reply.text().contains(&format!("\"code\":\"{reason}\"")), "{}", reply.text());
        }
        assert_eq!(origin.requests(), requests, "{case}");
    }
}
