//! What the simulator has found, once more with sockets.

use bytes::Bytes;
use serde_json::json;

use crate::scenario::{Counter, Gate, Origin, Stent, answer, eventually, streaming};

const CLINIC: &str = "
policies: {all: {share: public, ttl: 60s}}
routes:
  - {name: thing, path: /things/<id>, policy: all, tags: ['thing:<id>']}
  - {name: http, path: /http/**, policy: origin}
  - {name: all, path: /**, policy: all}
";

#[tokio::test]
async fn an_answer_that_is_not_stored_is_purged_by_its_tags_too() {
    let (counter, gate) = (Counter::default(), Gate::default());
    let (counted, behind) = (counter.clone(), gate.clone());
    let origin = Origin::start(move |seen| {
        let (counter, gate) = (counted.clone(), behind.clone());
        async move {
            match counter.next(seen.path()) {
                1 => {
                    gate.pass().await;
                    answer(404, &[], "not yet")
                }
                _ => answer(200, &[], "now"),
            }
        }
    })
    .await;
    let stent = Stent::start(origin.address, CLINIC);
    let before = tokio::spawn(stent.client().get("/things/7").send());
    gate.arrived(1).await;
    stent.purge(json!({"tags": ["thing:7"]})).await;
    let after = tokio::spawn(stent.client().get("/things/7").send());
    eventually(|| stent.cache().flights.waiting() == 2).await;
    gate.open(1);
    assert_eq!(before.await.unwrap().status, 404);
    assert_eq!(after.await.unwrap().text(), "now");
}

#[tokio::test]
async fn a_304_with_more_tags_than_are_kept_confirms_nothing() {
    let tags: Vec<String> = (0..2500).map(|number| format!("t{number}")).collect();
    let tags = tags.join(" ");
    let origin = Origin::start(move |seen| {
        let tags = tags.clone();
        async move {
            let stale = [("etag", "\"a\""), ("cache-control", "max-age=60"), ("age", "61")];
            match seen.header("if-none-match") {
                Some(_) => answer(304, &[("etag", "\"a\""), ("surrogate-key", &tags)], ""),
                None => answer(200, &stale, "whole"),
            }
        }
    })
    .await;
    let stent = Stent::start(origin.address, CLINIC);
    for fetches in [1, 3] {
        assert_eq!(stent.client().get("/http/a").send().await.text(), "whole");
        assert_eq!(origin.count("/http/a"), fetches, "the whole again, without the condition");
    }
}

#[tokio::test]
async fn an_answer_that_depends_on_what_was_not_sent_is_asked_for_again() {
    let origin = Origin::start(|seen| async move {
        let language = seen.header("accept-language").unwrap_or("none").to_owned();
        answer(200, &[("cache-control", "no-store"), ("vary", "Accept-Language")], language)
    })
    .await;
    let stent = Stent::start(origin.address, CLINIC);
    let asked = || stent.client().get("/greeting").header("accept-language", "fr").send();
    assert_eq!((asked().await.text(), asked().await.text()), ("fr".into(), "fr".into()));
    assert_eq!(origin.count("/greeting"), 2, "languages are sent until they seem to make no difference");
}
#[tokio::test]
async fn who_comes_after_the_head_of_an_answer_that_is_not_fresh_asks_for_himself() {
    let gate = Gate::default();
    let behind = gate.clone();
    let origin = Origin::start(move |_| {
        let gate = behind.clone();
        async move {
            let (response, sender) = streaming(200, &[("cache-control", "no-cache"), ("etag", "\"a\"")]);
            tokio::spawn(async move {
                let _ = sender.send(Ok(Bytes::from_static(b"half ")));
                gate.pass().await;
                let _ = sender.send(Ok(Bytes::from_static(b"whole")));
            });
            response
        }
    })
    .await;
    let stent = Stent::start(origin.address, CLINIC);
    let first = stent.client().get("/http/a").open().await;
    let second = stent.client().get("/http/a").open().await;
    assert_eq!(origin.count("/http/a"), 2, "what it would have joined was said before it asked");
    gate.open(2);
    assert_eq!((first.rest().await.text(), second.rest().await.text()), ("half whole".into(), "half whole".into()));
}
