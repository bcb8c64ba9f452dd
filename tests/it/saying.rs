//! What origins say about their answers, and what becomes of it on the way: named fields, targeted fields, cookies that are set.

use std::time::Duration;

use crate::scenario::{Counter, Gate, Origin, Stent, answer, eventually};

const ORIGIN: &str = "routes: [{name: all, path: /**, policy: origin}]";

/// Answers with the path's request number and these headers.
async fn saying(headers: &'static [(&'static str, &'static str)]) -> Origin {
    let counter = Counter::default();
    Origin::start(move |seen| {
        let number = counter.next(seen.path()).to_string();
        async move { answer(200, headers, number) }
    })
    .await
}

#[tokio::test]
async fn rfc9111_5_2_2_7_named_fields_are_for_whoever_caused_the_fetch() {
    for control in ["max-age=60, private=\"x-mine, set-cookie\"", "max-age=60, no-cache=\"X-Mine, Set-Cookie\""] {
        let gate = Gate::default();
        let origin = Origin::gated(&gate, move || {
            let fields = [("cache-control", control), ("x-mine", "a"), ("set-cookie", "b=c"), ("x-all", "d")];
            answer(200, &fields, "body")
        })
        .await;
        let stent = Stent::start(origin.address, ORIGIN);
        let leader = tokio::spawn(stent.client().get("/a").send());
        gate.arrived(1).await;
        let follower = tokio::spawn(stent.client().get("/a").send());
        eventually(|| stent.cache().flights.waiting() == 2).await;
        gate.open(1);
        let (leader, follower) = (leader.await.unwrap(), follower.await.unwrap());
        assert_eq!((leader.header("x-mine"), leader.header("set-cookie"), leader.header("x-all")), ("a", "b=c", "d"));
        for other in [follower, stent.client().get("/a").send().await] {
            assert_eq!((other.text().as_str(), other.header("x-all")), ("body", "d"), "{control}");
            assert_eq!((other.header("x-mine"), other.header("set-cookie")), ("", ""), "{control}: {}", other.cache());
        }
        assert_eq!(origin.count("/a"), 1);
    }
}

#[tokio::test]
async fn rfc9111_5_2_2_4_what_must_be_asked_for_each_time_is_nobody_elses() {
    let (gate, counter) = (Gate::default(), Counter::default());
    let shut = gate.clone();
    let origin = Origin::start(move |seen| {
        let (gate, number) = (shut.clone(), counter.next(seen.path()).to_string());
        async move {
            gate.pass().await;
            answer(200, &[("cache-control", "no-cache"), ("etag", "\"a\"")], number)
        }
    })
    .await;
    let stent = Stent::start(origin.address, ORIGIN);
    let leader = tokio::spawn(stent.client().get("/a").send());
    gate.arrived(1).await;
    let follower = tokio::spawn(stent.client().get("/a").send());
    eventually(|| stent.cache().flights.waiting() == 2).await;
    gate.open(2);
    assert_eq!(leader.await.unwrap().text(), "1");
    let follower = follower.await.unwrap();
    assert_eq!(
        (follower.text().as_str(), follower.cache()),
        ("2", "stent; fwd=bypass; detail=not-fresh; fwd-status=200")
    );
}

#[tokio::test]
async fn cookies_that_a_policy_strips_hinder_nothing_and_reach_whoever_caused_the_fetch() {
    let counter = Counter::default();
    let origin = Origin::start(move |seen| {
        let number = counter.next(seen.path()).to_string();
        async move {
            let fields = [("cache-control", "max-age=60"), ("set-cookie", "lang=de; Path=/"), ("set-cookie", "ab_x=1")];
            let sid = ("set-cookie", "sid=1");
            let more: Vec<_> = fields.into_iter().chain(seen.path().ends_with("sid").then_some(sid)).collect();
            answer(200, &more, number)
        }
    })
    .await;
    let yaml = "policies: {page: {share: public, ttl: 60s, strip_cookies: [lang, ab_*]}}\n\
                routes:\n  - {name: page, path: /page/**, policy: page}\n  \
                - {name: own, path: /own/**, policy: origin, strip_cookies: [lang, ab_*]}\n  \
                - {name: strict, path: /strict/**, policy: origin}\n  - {name: letter, path: /letter/**, policy: rfc9111}\n";
    let stent = Stent::start(origin.address, yaml);
    let twice = async |path: &str| {
        let first = stent.client().get(path).send().await;
        let second = stent.client().get(path).send().await;
        (first.header("set-cookie").to_owned(), second.text(), second.header("set-cookie").to_owned())
    };
    let told = |first: &str, number: &str, second: &str| (first.to_owned(), number.to_owned(), second.to_owned());
    let cookie = "lang=de; Path=/";
    assert_eq!(twice("/page/a").await, told(cookie, "1", ""));
    assert_eq!(twice("/own/a").await, told(cookie, "1", ""));
    assert_eq!(twice("/page/sid").await, told(cookie, "2", cookie), "one that is not named");
    assert_eq!(twice("/own/sid").await, told(cookie, "2", cookie));
    assert_eq!(twice("/strict/a").await, told(cookie, "2", cookie));
    assert_eq!(twice("/letter/a").await, told(cookie, "1", cookie), "by the letter, a field as any");
}

#[tokio::test]
async fn rfc9213_what_is_said_to_us_outweighs_what_is_said_to_all() {
    const FIELDS: &[(&str, &str)] =
        &[("cache-control", "no-store"), ("cdn-cache-control", "max-age=60"), ("surrogate-control", "max-age=5")];
    let origin = saying(FIELDS).await;
    for (targeted, seen) in [("pass", "max-age=60"), ("strip", "")] {
        let yaml = format!(
            "cache: {{targeted: {targeted}}}\nidentity: {{principal: [authorization]}}\n\
             policies: {{own: {{share: principal, ttl: 5m}}}}\n\
             routes: [{{name: own, path: /own/**, policy: own}}, {{name: passed, path: /passed}}, {{name: all, path: /**, policy: origin}}]"
        );
        let stent = Stent::start(origin.address, &yaml);
        let path = format!("/{targeted}");
        let first = stent.client().get(&path).send().await;
        stent.clock.advance(Duration::from_secs(59));
        let second = stent.client().get(&path).send().await;
        assert!(second.is_hit() && !first.is_hit(), "{}", second.cache());
        for reply in [first, second, stent.client().get("/passed").send().await] {
            assert_eq!(reply.header("cache-control"), "no-store");
            assert_eq!((reply.header("cdn-cache-control"), reply.header("surrogate-control")), (seen, ""));
        }
        stent.clock.advance(Duration::from_secs(1));
        assert!(!stent.client().get(&path).send().await.is_hit());
        let own = stent.client().get("/own/a").bearer("a").send().await;
        assert!(own.cache().ends_with("detail=no-store"), "no field widens a policy: {}", own.cache());
    }
}

#[tokio::test]
async fn where_nothing_could_be_kept_the_next_answer_that_can_be_is() {
    let counter = Counter::default();
    let origin = Origin::start(move |seen| {
        let number = counter.next(seen.path());
        async move {
            let control = if number < 3 { "no-store" } else { "max-age=60" };
            answer(200, &[("cache-control", control)], number.to_string())
        }
    })
    .await;
    let stent = Stent::start(origin.address, ORIGIN);
    let mut told = Vec::new();
    for _ in 0..5 {
        let reply = stent.client().get("/a").send().await;
        told.push((reply.text(), reply.cache().to_owned()));
    }
    let told: Vec<(&str, &str)> = told.iter().map(|(text, cache)| (text.as_str(), cache.as_str())).collect();
    assert_eq!(
        told,
        [
            ("1", "stent; fwd=uri-miss; fwd-status=200; detail=no-store"),
            ("2", "stent; fwd=bypass; detail=remembered-uncacheable; fwd-status=200"),
            ("3", "stent; fwd=bypass; detail=remembered-uncacheable; fwd-status=200"),
            ("4", "stent; fwd=uri-miss; fwd-status=200; stored; ttl=60"),
            ("4", "stent; hit; ttl=60"),
        ]
    );
}

#[tokio::test]
async fn rfc5861_4_a_request_may_ask_for_what_is_stale_in_place_of_an_error() {
    let counter = Counter::default();
    let origin = Origin::start(move |seen| {
        let number = counter.next(seen.path());
        async move {
            match (number, seen.path()) {
                (1, "/strict") => answer(200, &[("cache-control", "max-age=60, must-revalidate")], "1"),
                (1, _) => answer(200, &[("cache-control", "max-age=60")], "1"),
                _ => answer(503, &[], "ill"),
            }
        }
    })
    .await;
    let yaml = "policies: {p: {share: public, ttl: 60s, stale_if_error: 0s}}\n\
                routes: [{name: p, path: /p, policy: p}, {name: all, path: /**, policy: origin}]";
    let stent = Stent::start(origin.address, yaml);
    for path in ["/a", "/strict", "/p"] {
        assert_eq!(stent.client().get(path).send().await.text(), "1");
    }
    stent.clock.advance(Duration::from_secs(70));
    let ask = async |path: &str, control: &str| {
        let reply = stent.client().get(path).header("cache-control", control).send().await;
        (reply.text(), reply.cache().to_owned())
    };
    let (text, cache) = ask("/a", "stale-if-error=60").await;
    assert_eq!(
        (text.as_str(), cache.as_str()),
        ("1", "stent; fwd=stale; ttl=-10; detail=\"stale-if-error protocol-error\"")
    );
    assert_eq!(ask("/a", "stale-if-error=9").await.0, "ill");
    assert_eq!(ask("/strict", "stale-if-error=60").await.0, "ill", "RFC 9111 §5.2.2.2");
    assert_eq!(ask("/p", "stale-if-error=60").await.0, "ill", "a policy of the operator's says itself how stale");
}
