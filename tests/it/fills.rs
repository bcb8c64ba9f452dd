//! What fills hold: bounded, whoever reads and however slowly; and what clients are told of being stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use stent::body::spool::WINDOW;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scenario::{Gate, LIMIT, Origin, Stent, answer, eventually, streaming};

const MIB: usize = 1 << 20;

/// One object of 1 MiB at most, and 1 MiB for all fills.
const SMALL: &str = "cache: {memory: 4MiB, max_object: 1MiB}\npolicies: {p: {share: public, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: p}]";

fn piece() -> Bytes {
    Bytes::from(vec![7; 64 << 10])
}

/// An origin that streams as many pieces as the path says, as fast as they are taken, once the gate is open.
async fn pieces(gate: &Gate) -> Origin {
    let gate = gate.clone();
    Origin::start(move |seen| {
        let many: usize = seen.path().rsplit('/').next().unwrap().parse().unwrap();
        let length = (many * piece().len()).to_string();
        let announced = [("content-length", length.as_str())];
        let headers: &[(&str, &str)] = if seen.path().starts_with("/announced") { &announced } else { &[] };
        let (response, sender) = streaming(200, headers);
        (0..many).for_each(|_| sender.send(Ok(piece())).unwrap());
        let gate = gate.clone();
        async move {
            gate.pass().await;
            response
        }
    })
    .await
}

/// The most that fills held while a test ran.
struct Most(Arc<AtomicUsize>, Arc<AtomicBool>);

impl Most {
    fn watch(stent: &Stent) -> Most {
        let (most, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (seen, stop) = (most.clone(), over.clone());
        let budget = stent.cache().budget.clone();
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                seen.fetch_max(budget.used(), Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_micros(200));
            }
        });
        Most(most, over)
    }

    fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Most {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn all_fills_together_are_bounded() {
    let gate = Gate::default();
    let origin = pieces(&gate).await;
    let stent = Stent::start(origin.address, SMALL);
    let most = Most::watch(&stent);
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..40 {
        let kind = if number % 2 == 0 { "announced" } else { "unknown" };
        // Half a MiB, and two, which none can keep.
        for many in [8, 32] {
            clients.spawn(stent.client().get(&format!("/{kind}/{number}/{many}")).send());
        }
    }
    gate.arrived(80).await;
    gate.open(100);
    let mut without_room = 0;
    while let Some(reply) = clients.join_next().await {
        let reply = reply.unwrap();
        assert!(!reply.broken && [8, 32].contains(&(reply.body.len() / piece().len())));
        without_room += usize::from(reply.cache().ends_with("detail=fill-memory"));
    }
    // Of a hundred, 1 MiB, and a window for each that is not kept.
    let bound = MIB + 80 * WINDOW;
    assert!((MIB / 2..=bound).contains(&most.bytes()), "{} bytes", most.bytes());
    assert!(without_room > 0, "there was not room for all");
    eventually(|| stent.cache().budget.used() == 0).await;
    // Running out is not remembered: the next one is kept.
    stent.client().get("/announced/again/8").send().await;
    assert!(stent.client().get("/announced/again/8").send().await.is_hit());
    let metrics = crate::scenario::Client { address: stent.admin }.get("/metrics").send().await;
    assert!(metrics.text().contains("\nstent_fill_bytes 0\n"));
}

#[tokio::test]
async fn whoever_reads_too_slowly_is_cut_off_and_the_others_get_all() {
    const PIECES: usize = 512;
    let gate = Gate::default();
    let origin = pieces(&gate).await;
    let stent = Stent::start(origin.address, SMALL);
    let most = Most::watch(&stent);
    let path = format!("/unknown/{PIECES}");
    // It reads the head and a little, and no more until the others have all.
    let mut slow = TcpStream::connect(stent.address).await.unwrap();
    slow.write_all(format!("GET {path} HTTP/1.1\r\nhost: clinic.example\r\n\r\n").as_bytes()).await.unwrap();
    let fast: Vec<_> = (0..3).map(|_| tokio::spawn(stent.client().get(&path).send())).collect();
    eventually(|| stent.cache().flights.waiting() == 4).await;
    gate.open(1);
    let mut read = vec![0; 1000];
    slow.read_exact(&mut read).await.unwrap();
    for one in fast {
        let reply = tokio::time::timeout(LIMIT, one).await.expect("in time").unwrap();
        assert_eq!((reply.body.len(), reply.broken), (PIECES * piece().len(), false));
    }
    tokio::time::timeout(LIMIT, slow.read_to_end(&mut read)).await.expect("its connection ends").ok();
    assert!(read.len() < PIECES * piece().len() && !read.ends_with(b"0\r\n\r\n"), "visibly cut off");
    assert!(most.bytes() <= 2 * MIB, "{} bytes", most.bytes());
    eventually(|| stent.cache().budget.used() == 0).await;
}

#[tokio::test]
async fn a_slow_reader_of_what_is_stored_holds_no_fill() {
    let gate = Gate::default();
    let origin = pieces(&gate).await;
    gate.open(1);
    let yaml = SMALL.replace("4MiB", "64MiB").replace("1MiB", "16MiB");
    let stent = Stent::start(origin.address, &yaml);
    let mut slow = TcpStream::connect(stent.address).await.unwrap();
    slow.write_all(b"GET /unknown/240 HTTP/1.1\r\nhost: clinic.example\r\n\r\n").await.unwrap();
    let mut read = vec![0; 1000];
    slow.read_exact(&mut read).await.unwrap();
    eventually(|| stent.cache().flights.is_empty()).await;
    assert!(stent.client().get("/unknown/240").send().await.is_hit());
    assert_eq!(stent.cache().budget.used(), 0, "though its first reader is not half through");
    while !read.ends_with(b"\r\n0\r\n\r\n") {
        assert!(slow.read_buf(&mut read).await.unwrap() > 0);
    }
    assert!(read.len() > 240 * piece().len());
}

#[tokio::test]
async fn stored_is_said_when_it_is_known() {
    let streams = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = streams.clone();
    let origin = Origin::start(move |seen| {
        let length: &[(&str, &str)] = match seen.path() {
            "/announced" => &[("content-length", "3")],
            "/too-long" => &[("content-length", "9999999")],
            _ => &[],
        };
        let streamed = seen.path() != "/whole";
        let (response, sender) = streaming(200, length);
        kept.lock().unwrap().push(sender);
        async move { if streamed { response } else { answer(200, &[], "all at once") } }
    })
    .await;
    let stent = Stent::start(origin.address, SMALL);
    for (path, want) in [
        ("/whole", "stored; ttl=60"),
        ("/announced", "stored; ttl=60"),
        ("/unknown", "detail=stored-if-it-fits"),
        ("/too-long", "detail=too-large"),
    ] {
        let opened = stent.client().get(path).open().await;
        let said = opened.headers["cache-status"].to_str().unwrap().to_owned();
        assert_eq!(said, format!("stent; fwd=uri-miss; fwd-status=200; {want}"), "{path}");
        opened.hang_up();
    }
}
