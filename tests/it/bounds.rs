//! What origins may name or send has bounds: each has a reason of its own, and a key.

use std::fmt::Write as _;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::scenario::{LIMIT, Origin, Seen, Stent, answer};

const ROUTES: &str = "routes: [{name: passes, path: /pass/**}, {name: all, path: /**, policy: origin}]\n";

fn number(seen: &Seen) -> usize {
    seen.path().rsplit('/').next().and_then(|last| last.parse().ok()).unwrap_or(0)
}

/// An answer whose `Vary` names so many as its path says.
async fn varying() -> Origin {
    Origin::start(|seen: Seen| {
        let names: Vec<String> = (0..number(&seen)).map(|name| format!("x-name-{name}")).collect();
        async move { answer(200, &[("cache-control", "public, max-age=60"), ("vary", &names.join(", "))], "x") }
    })
    .await
}

#[tokio::test]
async fn names_in_vary_have_a_bound_that_can_be_raised() {
    let origin = varying().await;
    let check = async |stent: &Stent, names: usize, want: &str| {
        let path = format!("/{names}");
        stent.client().get(&path).send().await;
        let reply = stent.client().get(&path).send().await;
        assert!(reply.cache().starts_with(want), "{names}: {}", reply.cache());
        let other = stent.client().get(&path).header("x-name-0", "other").send().await;
        assert!(!other.is_hit(), "{names}: it is another variant");
    };
    let passed = "stent; fwd=bypass; detail=remembered-uncacheable";
    let stent = Stent::start(origin.address, ROUTES);
    check(&stent, 9, "stent; hit").await;
    check(&stent, 16, "stent; hit").await;
    assert_eq!(
        stent.client().get("/17").send().await.cache(),
        "stent; fwd=uri-miss; fwd-status=200; detail=too-many-vary-names"
    );
    check(&stent, 17, passed).await;
    let stent = Stent::start(origin.address, &format!("cache: {{vary: 17}}\n{ROUTES}"));
    check(&stent, 17, "stent; hit").await;
    check(&stent, 18, passed).await;
    let stent = Stent::start(origin.address, &format!("cache: {{vary: 1}}\n{ROUTES}"));
    check(&stent, 1, "stent; hit").await;
    check(&stent, 2, passed).await;
}

/// Landing pages carry hundreds of tags; each is one by which they go.
#[tokio::test]
async fn tags_have_a_bound_that_can_be_raised_and_each_of_many_purges() {
    let origin = Origin::start(|seen: Seen| {
        let mut tags = String::new();
        (0..number(&seen)).for_each(|tag| write!(tags, "config:b{tag}:x ").unwrap());
        async move { answer(200, &[("cache-control", "max-age=60"), ("surrogate-key", tags.trim_end())], "x") }
    })
    .await;
    let stent = Stent::start(origin.address, ROUTES);
    let hit = async |stent: &Stent, path: &str| stent.client().get(path).send().await.is_hit();
    for tag in ["config:b0:x", "config:b999:x", "config:b500:*", "config:*", "*"] {
        hit(&stent, "/1000").await;
        assert!(hit(&stent, "/1000").await, "{tag}");
        stent.purge(json!({"tags": ["config:b1000:x", "config:b50:y", "b0"]})).await;
        assert!(hit(&stent, "/1000").await, "{tag}: what it does not carry");
        stent.purge(json!({"tags": [tag]})).await;
        assert!(!hit(&stent, "/1000").await, "{tag}");
    }
    let reply = stent.client().get("/1300").send().await;
    assert_eq!(reply.cache(), "stent; fwd=uri-miss; fwd-status=200; detail=too-many-tags");
    let stent = Stent::start(origin.address, &format!("cache: {{tags: 4000}}\n{ROUTES}"));
    hit(&stent, "/1300").await;
    assert!(hit(&stent, "/1300").await);
    let stent = Stent::start(origin.address, &format!("cache: {{tags: 64}}\n{ROUTES}"));
    assert!(stent.client().get("/40").send().await.cache().ends_with("detail=too-many-tags"));
}

/// `/pass/bytes/70000` answers a field of so many bytes, `/pass/fields/300` so many fields.
async fn large() -> Origin {
    Origin::start(|seen: Seen| {
        let many = number(&seen);
        let fields: Vec<(String, String)> = match seen.path().contains("bytes") {
            true => vec![("x-big".to_owned(), "b".repeat(many))],
            false => (0..many).map(|field| (format!("x-{field}"), "b".to_owned())).collect(),
        };
        let control = ("cache-control", if seen.path().contains("kept") { "max-age=60" } else { "no-store" });
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let response = answer(200, &[&fields[..], &[control]].concat(), "whole");
        async move { response }
    })
    .await
}

/// The answer as it comes, in lower case: clients of the stage have bounds of their own.
async fn whole(stent: &Stent, path: &str) -> String {
    let mut client = TcpStream::connect(stent.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: clinic.example\r\nConnection: close\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    tokio::time::timeout(LIMIT, client.read_to_end(&mut read)).await.expect("it ends in time").unwrap();
    String::from_utf8_lossy(&read).to_ascii_lowercase()
}

#[tokio::test]
async fn the_head_of_an_answer_has_a_bound_that_can_be_raised() {
    let origin = large().await;
    let check = async |stent: &Stent, path: &str, fits: bool| {
        let answer = whole(stent, path).await;
        let is_whole = answer.starts_with("http/1.1 200 ") && answer.ends_with("\r\n\r\nwhole");
        let is_refused = answer.starts_with("http/1.1 502 ") && answer.contains("detail=answer-head-too-long");
        assert_eq!((is_whole, is_refused), (fits, !fits), "{path}: {:.300}", answer);
    };
    let stent = Stent::start(origin.address, ROUTES);
    for (path, fits) in [
        ("/pass/bytes/60000", true),
        ("/pass/bytes/70000", false),
        ("/pass/fields/250", true),
        ("/pass/fields/300", false),
        ("/kept/bytes/70000", false),
    ] {
        check(&stent, path, fits).await;
    }
    let metrics = stent.admin("GET", "/metrics").send().await.text();
    let counted = "stent_upstream_failures_total{upstream=\"origin\",reason=\"answer-head-too-long\"} 3";
    assert!(metrics.contains(counted), "{metrics}");
    let stent = Stent::start_with(origin.address, ", limits: {header_bytes: 100KiB, headers: 1000}", ROUTES);
    for (path, fits) in [
        ("/pass/bytes/70000", true),
        ("/pass/bytes/103000", false),
        ("/pass/fields/900", true),
        ("/pass/fields/1000", false),
        ("/kept/bytes/70000", true),
        ("/kept/fields/900", true),
    ] {
        check(&stent, path, fits).await;
    }
    for path in ["/kept/bytes/70000", "/kept/fields/900"] {
        let answer = whole(&stent, path).await;
        assert!(
            answer.contains("\r\ncache-status: stent; hit; ") && answer.ends_with("whole"),
            "{path}: {answer:.300}"
        );
    }
}

/// Applications have names of their own for what lists tags.
#[tokio::test]
async fn headers_that_list_tags_are_known_or_named() {
    let known = ["Surrogate-Key", "xkey", "Cache-Tag", "Cache-Tags", "X-Cache-Tag", "X-Cache-Tags", "Edge-Cache-Tag"];
    let cases = known.into_iter().chain(["X-Drupal-Cache-Tags"]).map(|name| (name, "")).chain([
        ("X-Names", "cache: {tag_headers: [X-Site-Tags, X-Names]}\n"),
        ("X-Site-Tags", "cache: {tag_headers: [X-Site-Tags, X-Names]}\n"),
    ]);
    for (name, cache) in cases {
        let origin = Origin::start(move |_| async move {
            answer(200, &[("cache-control", "max-age=60"), (name, "one,two,three:3")], "x")
        })
        .await;
        let stent = Stent::start(origin.address, &format!("{cache}{ROUTES}"));
        assert!(!stent.client().get("/pass/1").send().await.headers.contains_key(name), "{name}: passed");
        for tag in ["one", "two", "three:3", "three:*"] {
            stent.client().get("/a").send().await;
            let reply = stent.client().get("/a").send().await;
            assert!(reply.is_hit() && !reply.headers.contains_key(name), "{name} {tag}");
            stent.purge(json!({"tags": [tag]})).await;
            assert!(!stent.client().get("/a").send().await.is_hit(), "{name} {tag}");
        }
    }
    // What nobody named is a header as any other.
    let origin =
        Origin::start(|_| async { answer(200, &[("cache-control", "max-age=60"), ("x-names", "one")], "x") }).await;
    let stent = Stent::start(origin.address, ROUTES);
    assert!(stent.client().get("/a").send().await.headers.contains_key("x-names"));
    stent.purge(json!({"tags": ["one"]})).await;
    assert!(stent.client().get("/a").send().await.is_hit());
}
