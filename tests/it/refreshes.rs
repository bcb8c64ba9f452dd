//! Refreshes behind stale answers while the origin is ill.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stent::coherence::MAX_REFRESHES;

use crate::scenario::{Counter, Gate, Origin, Seen, Stent, answer, eventually};

const STALE: &str =
    "policies: {p: {share: public, ttl: 10s, stale_while_revalidate: 1h}}\nroutes: [{name: all, path: /**, policy: p}]";

/// So many ask; all are served what is stale, and refreshes that this begins are over.
async fn crowd(stent: &Stent, path: &str) {
    for _ in 0..50 {
        let reply = stent.client().get(path).send().await;
        assert!(reply.cache().ends_with("detail=stale-while-revalidate"), "{}", reply.cache());
    }
    eventually(|| stent.cache().flights.is_empty()).await;
}

#[tokio::test]
async fn they_back_off_for_the_key_and_for_the_upstream_until_it_is_well() {
    let ill = Arc::new(AtomicBool::new(false));
    let (counter, illness) = (Counter::default(), ill.clone());
    let origin = Origin::start(move |seen| {
        let status = if illness.load(Ordering::SeqCst) { 503 } else { 200 };
        let body = counter.next(seen.path()).to_string();
        async move { answer(status, &[], body) }
    })
    .await;
    let stent = Stent::start(origin.address, STALE);
    let client = stent.client();
    client.get("/a").send().await;
    client.get("/b").send().await;
    stent.clock.advance(Duration::from_secs(11));
    ill.store(true, Ordering::SeqCst);
    crowd(&stent, "/a").await;
    assert_eq!(origin.count("/a"), 2, "one refresh, and it failed");
    crowd(&stent, "/b").await;
    assert_eq!(origin.count("/b"), 1, "the upstream is known to be ill");
    // At the latest after 1, 2 and 4 seconds, at the earliest after half of that.
    for (early, rest, tries) in [(0, 1000, 3), (990, 1010, 4), (1990, 2010, 5)] {
        stent.clock.advance(Duration::from_millis(early));
        crowd(&stent, "/a").await;
        assert_eq!(origin.count("/a"), tries - 1, "after {early} ms more");
        stent.clock.advance(Duration::from_millis(rest));
        crowd(&stent, "/a").await;
        assert_eq!(origin.count("/a"), tries, "after {rest} ms more");
    }
    ill.store(false, Ordering::SeqCst);
    stent.clock.advance(Duration::from_secs(8));
    client.get("/a").send().await;
    eventually(|| stent.cache().flights.is_empty()).await;
    assert!(client.get("/a").send().await.is_hit());
    client.get("/b").send().await;
    eventually(|| stent.cache().flights.is_empty()).await;
    assert_eq!((origin.count("/a"), origin.count("/b")), (6, 2), "and all is as before");
}

#[tokio::test]
async fn what_was_refused_stands_in_for_nobody_who_asks_after_that() {
    let (refreshed, anew) = (Gate::default(), Gate::default());
    let (counter, gates) = (Counter::default(), [refreshed.clone(), anew.clone()]);
    let origin = Origin::start(move |seen: Seen| {
        let (number, [refreshed, anew]) = (counter.next(seen.path()), gates.clone());
        async move {
            match number {
                1 => answer(200, &[("etag", "\"v1\"")], "old"),
                2 => {
                    refreshed.pass().await;
                    answer(403, &[], "no more")
                }
                _ => {
                    anew.pass().await;
                    answer(503, &[], "ill")
                }
            }
        }
    })
    .await;
    let yaml = "policies: {p: {share: public, ttl: 10s, stale_while_revalidate: 1h, stale_if_error: 1h}}\n\
                routes: [{name: all, path: /**, policy: p}]";
    let stent = Stent::start(origin.address, yaml);
    assert_eq!(stent.client().get("/a").send().await.text(), "old");
    stent.clock.advance(Duration::from_secs(20));
    assert_eq!(stent.client().get("/a").send().await.text(), "old", "and it is fetched anew behind");
    refreshed.arrived(1).await;
    // Another flight has the copy in its hand, for when the origin fails.
    let (client, late) = (stent.client(), stent.client());
    let first = tokio::spawn(client.get("/a").header("cache-control", "no-cache").send());
    anew.arrived(1).await;
    refreshed.open(1);
    eventually(|| stent.cache().refreshes.available_permits() == MAX_REFRESHES).await;
    let second = tokio::spawn(late.get("/a").send());
    // It waits for nothing that left before the refusal came.
    anew.arrived(2).await;
    anew.open(100);
    for reply in [first.await.unwrap(), second.await.unwrap()] {
        assert_eq!((reply.status, reply.text().as_str()), (503, "ill"), "{}", reply.cache());
    }
}

#[tokio::test]
async fn a_page_in_the_way_of_a_head_renews_nothing() {
    let origin = Origin::start(|seen: Seen| async move {
        let fields = |media| [("content-type", media), ("cache-control", "max-age=10")];
        match seen.method.as_str() {
            "HEAD" => answer(200, &fields("text/html"), ""),
            _ => answer(200, &fields("application/json"), "{}"),
        }
    })
    .await;
    let stent = Stent::start(origin.address, "routes: [{name: all, path: /**, policy: origin}]");
    let client = stent.client();
    client.get("/a").send().await;
    stent.clock.advance(Duration::from_secs(20));
    client.ask("HEAD", "/a").send().await;
    let again = client.get("/a").send().await;
    assert_eq!((again.header("content-type"), again.is_hit()), ("application/json", false), "{}", again.cache());
}
