//! A full store: nobody takes the room of others, and what is said to be stored is.

use crate::scenario::{Origin, Stent, answer};

/// The smallest store, of which a client may have 120 kB.
const ROUTES: &str = "
server: {listen: 127.0.0.1:0, workers: 1, trusted_proxies: [127.0.0.0/8]}
cache: {memory: 1MiB}
policies: {all: {share: public, ttl: 10m}}
routes: [{name: all, path: /**, policy: all}]";

async fn origin() -> Origin {
    let body = "x".repeat(2000);
    Origin::start(move |_| std::future::ready(answer(200, &[], body.clone()))).await
}

/// Asks for something on behalf of a client.
async fn ask(stent: &Stent, path: &str, client: &str) -> String {
    let asked = stent.client().get(path).header("x-forwarded-for", client).send().await;
    assert_eq!(asked.status, 200, "{path}");
    asked.cache().to_owned()
}

/// The hundredths of the requests of ten clients for a hundred answers that are hits.
async fn hits(stent: &Stent, requests: usize, others: usize, asked: &mut usize) -> usize {
    let mut hits = 0;
    for request in 0..requests {
        for _ in 0..others {
            // Each of its keys is asked for four times, after some others.
            let key = (*asked / 4).saturating_sub(*asked % 4 * 25);
            ask(stent, &format!("/export/{key}"), "198.51.100.7").await;
            *asked += 1;
        }
        let (key, client) = (request * 7 % 100, format!("192.0.2.{}", request % 10));
        hits += usize::from(ask(stent, &format!("/page/{key}"), &client).await.contains("; hit"));
    }
    hits * 100 / requests
}

#[tokio::test]
async fn one_client_that_asks_for_everything_leaves_the_others_what_they_ask_for() {
    let origin = origin().await;
    let stent = Stent::start_with(origin.address, "", ROUTES);
    hits(&stent, 200, 0, &mut 0).await;
    let quiet = hits(&stent, 200, 0, &mut 0).await;
    let mut asked = 0;
    let beside_a_flood = hits(&stent, 200, 10, &mut asked).await;
    assert_eq!((quiet, asked), (100, 2000));
    assert!(beside_a_flood + 3 >= quiet, "{beside_a_flood} of 100");
    // It has its own share all the same: its next answers are stored, in the place of its own.
    for _ in 0..3 {
        ask(&stent, "/export/last", "198.51.100.7").await;
    }
    assert!(ask(&stent, "/export/last", "198.51.100.7").await.contains("; hit"));
}

#[tokio::test]
async fn where_nobody_has_too_much_what_was_never_asked_for_waits_for_its_second_time() {
    let origin = origin().await;
    let stent = Stent::start_with(origin.address, "", &ROUTES.replace("1MiB", "1MiB, client_share: off"));
    let mut full = None;
    for key in 0..2000 {
        let said = ask(&stent, &format!("/page/{key}"), "192.0.2.1").await;
        if said.contains("store-full") {
            full = Some((key, said));
            break;
        }
        assert!(said.contains("stored"), "{said}");
    }
    let (key, said) = full.expect("a store of 1MiB is full");
    assert!(!said.contains("; stored"), "{said}");
    let again = ask(&stent, &format!("/page/{key}"), "192.0.2.1").await;
    assert!(again.contains("; stored"), "{again}");
}
