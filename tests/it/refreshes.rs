//! Refreshes behind stale answers while the origin is ill.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::scenario::{Counter, Origin, Stent, answer, eventually};

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
