//! Many ask for the same at once: one fetch, and whatever becomes of it, nobody hangs.

use std::sync::Arc;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::sync::mpsc::UnboundedSender;

use crate::scenario::{Counter, Gate, Origin, Stent, answer, eventually, streaming};

const PUBLIC: &str = "cache: {memory: 64MiB, max_object: 1MiB}\npolicies: {p: {share: public, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: p}]";

type Pieces = Arc<Mutex<Vec<UnboundedSender<Result<Bytes, std::io::Error>>>>>;

/// An origin whose answers stream what the test gives them.
async fn streamed(headers: &'static [(&'static str, &'static str)]) -> (Origin, Pieces) {
    let pieces = Pieces::default();
    let given = pieces.clone();
    let origin = Origin::start(move |_| {
        let (response, sender) = streaming(200, headers);
        given.lock().unwrap().push(sender);
        async move { response }
    })
    .await;
    (origin, pieces)
}

#[tokio::test]
async fn a_thousand_first_requests_are_one_fetch_that_streams_to_all() {
    let (origin, pieces) = streamed(&[]).await;
    let stent = Stent::start(origin.address, PUBLIC);
    let clients: Vec<_> = (0..1000).map(|_| tokio::spawn(stent.client().get("/slow").open())).collect();
    eventually(|| !pieces.lock().unwrap().is_empty()).await;
    let sender = pieces.lock().unwrap()[0].clone();
    sender.send(Ok(Bytes::from_static(b"first "))).unwrap();
    let mut opened = Vec::new();
    for client in clients {
        let mut one = client.await.unwrap();
        assert_eq!(one.next().await.unwrap().unwrap(), "first ", "while the origin is still sending");
        opened.push(one);
    }
    assert_eq!(origin.count("/slow"), 1);
    sender.send(Ok(Bytes::from_static(b"last"))).unwrap();
    drop(sender);
    pieces.lock().unwrap().clear();
    for one in opened {
        let reply = one.rest().await;
        assert_eq!((reply.text().as_str(), reply.broken), ("last", false));
    }
    assert!(stent.client().get("/slow").send().await.is_hit());
    assert_eq!(origin.count("/slow"), 1);
}

#[tokio::test]
async fn a_leader_that_hangs_up_changes_nothing() {
    let (origin, pieces) = streamed(&[]).await;
    let stent = Stent::start(origin.address, PUBLIC);
    let leader = tokio::spawn(stent.client().get("/a").open());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    let sender = pieces.lock().unwrap().pop().unwrap();
    sender.send(Ok(Bytes::from_static(b"half "))).unwrap();
    let leader = leader.await.unwrap();
    let follower = stent.client().get("/a").open().await;
    leader.hang_up();
    sender.send(Ok(Bytes::from_static(b"whole"))).unwrap();
    drop(sender);
    assert_eq!(follower.rest().await.text(), "half whole");
    assert!(stent.client().get("/a").send().await.is_hit());
    assert_eq!(origin.count("/a"), 1);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_seen_to_and_never_stored() {
    let (origin, pieces) = streamed(&[]).await;
    let stent = Stent::start(origin.address, PUBLIC);
    let reading = tokio::spawn(stent.client().get("/a").open());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    let sender = pieces.lock().unwrap().pop().unwrap();
    sender.send(Ok(Bytes::from_static(b"half"))).unwrap();
    let mut reading = reading.await.unwrap();
    assert_eq!(reading.next().await.unwrap().unwrap(), "half");
    sender.send(Err(std::io::Error::other("broken"))).unwrap();
    assert!(reading.rest().await.broken, "the client sees that it broke off");
    let again = tokio::spawn(stent.client().get("/a").send());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    let sender = pieces.lock().unwrap().pop().unwrap();
    sender.send(Ok(Bytes::from_static(b"whole"))).unwrap();
    drop(sender);
    assert_eq!(again.await.unwrap().text(), "whole");
}

#[tokio::test]
async fn an_uncacheable_answer_releases_its_followers_at_once() {
    let counter = Counter::default();
    let (first, others) = (Gate::default(), Gate::default());
    let gates = (first.clone(), others.clone());
    let origin = Origin::start(move |seen| {
        let (number, (first, others)) = (counter.next(seen.path()), gates.clone());
        async move {
            if number == 1 {
                first.pass().await
            } else {
                others.pass().await
            }
            answer(200, &[("cache-control", "no-store")], number.to_string())
        }
    })
    .await;
    let stent = Stent::start(origin.address, PUBLIC);
    let followers: Vec<_> = (0..50).map(|_| tokio::spawn(stent.client().get("/a").send())).collect();
    first.arrived(1).await;
    let flights = stent.app.as_ref().unwrap().proxy().cache.flights.clone();
    assert_eq!(flights.len(), 1);
    first.open(1);
    others.arrived(49).await;
    // All forty-nine are at the origin at the same time: none waits for another.
    others.open(49);
    let mut bodies = Vec::new();
    for follower in followers {
        bodies.push(follower.await.unwrap().text());
    }
    bodies.sort();
    bodies.dedup();
    assert_eq!(bodies.len(), 50, "everybody has an answer of their own");
    others.open(1);
    assert_eq!(stent.client().get("/a").send().await.cache(), "stent; fwd=bypass; detail=remembered-uncacheable");
}

#[tokio::test]
async fn an_answer_that_outgrows_the_store_is_served_all_the_same() {
    let (origin, pieces) = streamed(&[]).await;
    let stent = Stent::start(origin.address, PUBLIC);
    let mut reader = tokio::spawn(stent.client().get("/big").open());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    let sender = pieces.lock().unwrap().pop().unwrap();
    let piece = Bytes::from(vec![7u8; 64 << 10]);
    for _ in 0..80 {
        sender.send(Ok(piece.clone())).unwrap();
    }
    drop(sender);
    let reply = (&mut reader).await.unwrap().rest().await;
    assert_eq!((reply.body.len(), reply.broken), (80 * (64 << 10), false));
    let again = tokio::spawn(stent.client().get("/big").open());
    eventually(|| pieces.lock().unwrap().len() == 1).await;
    pieces.lock().unwrap().clear();
    let cache = again.await.unwrap().rest().await.cache().to_owned();
    assert_eq!(cache, "stent; fwd=bypass; detail=remembered-uncacheable");
}
