//! What is stored, for how long, and what clients may ask of it.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::raw::until;
use crate::scenario::{Counter, Gate, LIMIT, Origin, Stent, answer};

const ORIGIN: &str = "routes: [{name: all, path: /**, policy: origin}]";

/// Answers with the path's request number, and with headers that the path's query names as `name:value`, by `&`.
async fn numbered() -> Origin {
    let counter = Counter::default();
    Origin::start(move |seen| {
        let number = counter.next(seen.path()).to_string();
        async move {
            let query =
                seen.target.split_once('?').map_or("", |(_, query)| query).replace("%20", " ").replace("%22", "\"");
            let headers: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once(':')).collect();
            let etag = headers.iter().find(|(name, _)| *name == "etag").map(|(_, value)| *value);
            if etag.is_some() && seen.header("if-none-match") == etag {
                return answer(304, &headers, "");
            }
            answer(200, &headers, number)
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_lives_as_long_as_the_origin_says_and_tells_its_age() {
    let origin = numbered().await;
    let stent = Stent::start(origin.address, ORIGIN);
    let client = stent.client();
    let target = "/a?cache-control:max-age=60";
    let first = client.get(target).send().await;
    assert_eq!((first.text().as_str(), first.cache()), ("1", "stent; fwd=uri-miss; fwd-status=200; stored; ttl=60"));
    stent.clock.advance(Duration::from_secs(59));
    let second = client.get(target).send().await;
    assert_eq!((second.text().as_str(), second.header("age"), second.cache()), ("1", "59", "stent; hit; ttl=1"));
    stent.clock.advance(Duration::from_secs(1));
    assert_eq!(client.get(target).send().await.text(), "2");
}

#[tokio::test]
async fn clients_may_ask_for_more_than_the_store_has() {
    let origin = numbered().await;
    let stent = Stent::start(origin.address, ORIGIN);
    let client = stent.client();
    let target = "/a?cache-control:max-age=60";
    let ask = |control: &'static str| client.get(target).header("cache-control", control).send();
    let nothing = ask("only-if-cached").await;
    assert_eq!((nothing.status, nothing.cache()), (504, "stent; detail=only-if-cached"));
    client.get(target).send().await;
    stent.clock.advance(Duration::from_secs(30));
    assert_eq!(ask("only-if-cached").await.text(), "1");
    assert_eq!(ask("max-age=30").await.text(), "1");
    assert_eq!(ask("max-age=29").await.text(), "2", "RFC 9111 §5.2.1.1");
    assert_eq!(ask("no-cache").await.text(), "3", "§5.2.1.4");
    assert_eq!(client.get(target).header("pragma", "no-cache").send().await.text(), "4", "§5.4");
    assert_eq!(ask("no-store").await.text(), "5", "§5.2.1.5");
    assert_eq!(ask("min-fresh=50").await.text(), "4");
    assert_eq!(client.get(target).send().await.text(), "4", "a no-store answer was not kept; the one before was");
    stent.clock.advance(Duration::from_secs(70));
    assert_eq!(ask("max-stale=60").await.text(), "4", "§5.2.1.2");
    assert_eq!(ask("max-stale=9").await.text(), "6");
}

#[tokio::test]
async fn conditions_are_answered_from_the_store() {
    let origin = numbered().await;
    let stent = Stent::start(origin.address, ORIGIN);
    let client = stent.client();
    let target = "/a?cache-control:max-age=60&etag:%22x%22";
    client.get(target).send().await;
    let same = client.get(target).header("if-none-match", "W/\"x\"").send().await;
    assert_eq!((same.status, same.header("etag"), same.body.len()), (304, "\"x\"", 0));
    let other = client.get(target).header("if-none-match", "\"y\"").send().await;
    assert_eq!((other.status, other.text().as_str()), (200, "1"));
    let head = client.ask("HEAD", target).send().await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, "1", 0));
    let part = client.get(target).header("range", "bytes=0-0").send().await;
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 0-0/1"));
    assert_eq!(origin.count("/a"), 1);
    // A client's condition on a miss is its own: the whole is fetched and stored, and the client is told what it has.
    let target = "/b?cache-control:max-age=60&etag:%22x%22";
    let missed = client.get(target).header("if-none-match", "\"x\"").send().await;
    assert_eq!(missed.status, 304);
    assert_eq!(origin.last("/b").header("if-none-match"), None);
    assert!(client.get(target).send().await.is_hit());
}

#[tokio::test]
async fn a_stale_answer_is_asked_about_and_confirmed() {
    let origin = numbered().await;
    let stent = Stent::start(origin.address, ORIGIN);
    let client = stent.client();
    let target = "/a?cache-control:max-age=60&etag:%22x%22&x-new:1";
    client.get(target).send().await;
    stent.clock.advance(Duration::from_secs(100));
    let confirmed = client.get(target).send().await;
    assert_eq!((confirmed.status, confirmed.text().as_str(), confirmed.header("age")), (200, "1", "0"));
    assert_eq!(confirmed.cache(), "stent; fwd=stale; fwd-status=304; ttl=60; detail=stale");
    assert_eq!(origin.last("/a").header("if-none-match"), Some("\"x\""));
    let again = client.get(target).send().await;
    assert!(again.is_hit(), "the 304 renewed it: {}", again.cache());
    assert_eq!(origin.count("/a"), 2);
}

#[tokio::test]
async fn stale_answers_are_served_only_within_their_windows() {
    let counter = Counter::default();
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |seen| {
        let (number, gate) = (counter.next(seen.path()), held.clone());
        async move {
            if seen.path() == "/swr" && number == 2 {
                gate.pass().await;
            }
            if seen.path() == "/sie" && number == 2 {
                return answer(503, &[], "ill");
            }
            let windows = "max-age=10, stale-while-revalidate=10, stale-if-error=20";
            answer(200, &[("cache-control", windows)], number.to_string())
        }
    })
    .await;
    let stent = Stent::start(origin.address, ORIGIN);
    let client = stent.client();
    client.get("/swr").send().await;
    stent.clock.advance(Duration::from_secs(15));
    let stale = client.get("/swr").send().await;
    assert_eq!((stale.text().as_str(), stale.cache()), ("1", "stent; hit; ttl=-5; detail=stale-while-revalidate"));
    gate.arrived(1).await;
    assert_eq!(client.get("/swr").send().await.text(), "1", "nobody waits for the refresh, and there is one");
    gate.open(1);
    let until = std::time::Instant::now() + crate::scenario::LIMIT;
    while client.get("/swr").send().await.text() == "1" {
        assert!(std::time::Instant::now() < until, "the refresh arrives");
    }
    assert_eq!(origin.count("/swr"), 2);

    client.get("/sie").send().await;
    stent.clock.advance(Duration::from_secs(25));
    let rescued = client.get("/sie").send().await;
    assert_eq!((rescued.status, rescued.text().as_str()), (200, "1"));
    assert!(rescued.cache().contains("stale-if-error"), "{}", rescued.cache());
    stent.clock.advance(Duration::from_secs(10));
    assert_eq!(client.get("/sie").send().await.text(), "3", "beyond its window it is not served");
}

#[tokio::test]
async fn a_ceiling_bounds_every_window() {
    let origin = numbered().await;
    let yaml = "policies: {p: {share: public, ttl: 10s, stale_while_revalidate: 1h, ceiling: 30s}}\n\
                routes: [{name: all, path: /**, policy: p}]";
    let stent = Stent::start(origin.address, yaml);
    let client = stent.client();
    client.get("/a").send().await;
    stent.clock.advance(Duration::from_secs(31));
    assert_eq!(client.get("/a").send().await.text(), "2");
}

#[tokio::test]
async fn policies_set_lifetimes_but_never_widen() {
    let origin = numbered().await;
    let yaml = "policies: {p: {share: public, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: p}]";
    let stent = Stent::start(origin.address, yaml);
    let client = stent.client();
    for (target, kept) in [
        ("/plain", true),
        ("/short?cache-control:max-age=1", true),
        ("/no-store?cache-control:no-store", false),
        ("/private?cache-control:private", false),
        ("/no-cache?cache-control:no-cache", false),
        ("/cookie?set-cookie:a=b", false),
        ("/vary?vary:cookie", false),
        ("/star?vary:*", false),
    ] {
        client.get(target).send().await;
        stent.clock.advance(Duration::from_secs(2));
        let second = client.get(target).send().await;
        assert_eq!(second.is_hit(), kept, "{target}: {}", second.cache());
        assert_eq!(second.text(), if kept { "1" } else { "2" }, "{target}");
    }
    assert_eq!(
        client.get("/no-store?cache-control:no-store").send().await.cache(),
        "stent; fwd=bypass; detail=remembered-uncacheable; fwd-status=200"
    );
}

#[tokio::test]
async fn vary_keeps_variants_apart() {
    let origin = Origin::start(|seen| async move {
        let language = seen.header("accept-language").unwrap_or("none").to_owned();
        answer(200, &[("cache-control", "max-age=60"), ("vary", "Accept-Language")], language)
    })
    .await;
    for yaml in [ORIGIN, "policies: {p: {share: public, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: p}]"] {
        let stent = Stent::start(origin.address, yaml);
        let client = stent.client();
        let ask = |language: &'static str| client.get("/a").header("accept-language", language).send();
        for _ in 0..2 {
            assert_eq!(ask("de").await.text(), "de");
            assert_eq!(ask("fr").await.text(), "fr");
            assert_eq!(client.get("/a").send().await.text(), "none");
        }
        assert!(ask("de").await.is_hit() && ask("fr").await.is_hit() && client.get("/a").send().await.is_hit());
    }
}

/// What an origin says while it is ill says little of what it will say.
#[tokio::test]
async fn errors_are_not_remembered_for_long_whatever_they_say_of_caching() {
    const YAML: &str = "
identity: {principal: [header.x-api-key]}
policies: {pub: {share: public, ttl: 60s}}
routes:
  - {name: told, path: /told/**, policy: pub, tags: ['ward:<answer.ward>']}
  - {name: named, path: /named/**, policy: pub}
  - {name: all, path: /**, policy: origin}";
    let lines: [&[(&str, &str)]; 6] = [
        &[("cache-control", "no-store")],
        &[("set-cookie", "a=b")],
        &[("vary", "*")],
        &[("vary", "x-api-key")],
        // It would be kept, but for what it lacks or has too much of.
        &[("cache-control", "max-age=5"), ("vary", "a, b, c, d, e, f, g, h, i")],
        &[("cache-control", "max-age=5"), ("content-type", "text/html")],
    ];
    for (index, fields) in lines.into_iter().enumerate() {
        let counter = Counter::default();
        let origin = Origin::start(move |seen| {
            let number = counter.next(seen.path());
            let well = [("cache-control", "max-age=60"), ("content-type", "application/json")];
            std::future::ready(match number {
                2 => answer(503, fields, "ill"),
                _ => answer(200, &well, format!("{{\"ward\": {number}}}")),
            })
        })
        .await;
        let stent = Stent::start(origin.address, YAML);
        for path in ["/told", "/named", "/all"].map(|path| format!("{path}/{index}")) {
            let get = async || stent.client().get(&path).send().await;
            assert_eq!(get().await.text(), "{\"ward\": 1}");
            stent.clock.advance(Duration::from_secs(61));
            assert_eq!(get().await.status, 503, "{fields:?} {path}");
            stent.clock.advance(Duration::from_secs(6));
            let well = get().await;
            assert!(
                well.text().contains('3') && well.cache().contains("stored"),
                "{fields:?} {path}: {}",
                well.cache()
            );
            assert!(get().await.is_hit(), "{fields:?} {path}");
        }
    }
}

/// One person's refusal is no reason to keep nothing for the others, however its body comes.
#[tokio::test]
async fn a_refusal_that_ends_with_its_connection_is_not_remembered() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let yaml = "policies: {pub: {share: public, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: pub}]";
    let stent = Stent::start(listener.local_addr().unwrap(), yaml);
    let next = async |answered: &str| {
        let asking = tokio::spawn(stent.client().get("/a").send());
        let mut origin = tokio::time::timeout(LIMIT, listener.accept()).await.expect("in time").unwrap().0;
        until(&mut origin, "\r\n\r\n").await;
        origin.write_all(answered.as_bytes()).await.unwrap();
        drop(origin);
        asking.await.unwrap()
    };
    let refused = next("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\nnot you").await;
    assert_eq!((refused.status, refused.text().as_str()), (403, "not you"));
    let given = next("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    assert!(given.cache().contains("stored"), "{}", given.cache());
    assert!(stent.client().get("/a").send().await.is_hit());
}
