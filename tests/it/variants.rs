//! Variants: which are kept, which is served, and that nobody fills the store with them.

use std::time::Duration;

use crate::canonical::{ORIGIN, PUBLIC, RFC9111, echo, told};
use crate::scenario::{Asking, Counter, Gate, Origin, Reply, Stent, answer, eventually};

/// An origin whose `Vary` and `Date` the request itself chooses, and that numbers its answers.
async fn obedient() -> Origin {
    let counter = Counter::default();
    Origin::start(move |seen| {
        let number = counter.next("");
        async move {
            let mut headers = vec![("cache-control", "max-age=600")];
            headers.extend(seen.header("x-say-vary").map(|vary| ("vary", vary)));
            headers.extend(seen.header("x-say-date").map(|date| ("date", date)));
            answer(200, &headers, format!("#{number}"))
        }
    })
    .await
}

fn date(stent: &Stent, seconds_ago: u64) -> String {
    let now = stent.cache().clock.now().wall;
    httpdate::fmt_http_date(now - Duration::from_secs(seconds_ago))
}

/// As it is asked, but not from the store.
fn anew(asking: Asking) -> Asking {
    asking.header("cache-control", "no-cache")
}

#[tokio::test]
async fn several_variants_are_kept_whatever_vary_named_when() {
    let origin = obedient().await;
    let stent = Stent::start(origin.address, ORIGIN);
    let ask = |vary: &'static str, a: &'static str, b: &'static str| {
        let asking = stent.client().get("/a").header("x-say-vary", vary);
        asking.header("x-a", a).header("x-b", b)
    };
    assert_eq!(ask("x-a", "1", "1").send().await.text(), "#1");
    assert_eq!(ask("x-a", "2", "1").send().await.text(), "#2");
    assert_eq!(ask("x-a, x-b", "3", "3").send().await.text(), "#3");
    assert_eq!(ask("x-b", "4", "4").send().await.text(), "#4");
    for (a, b, want) in [("1", "1", "#1"), ("2", "9", "#2"), ("3", "3", "#3"), ("9", "4", "#4")] {
        let reply = ask("x-a", a, b).send().await;
        assert!(reply.is_hit(), "{a} {b}: {}", reply.cache());
        assert_eq!(reply.text(), want);
    }
    assert_eq!(
        ask("x-a", "3", "9").send().await.cache().split("; stored").next(),
        Some("stent; fwd=vary-miss; fwd-status=200")
    );
}

#[tokio::test]
async fn of_those_that_match_the_newest_is_served() {
    let origin = obedient().await;
    let stent = Stent::start(origin.address, ORIGIN);
    let ask = |vary: &str, date: &str| {
        let asking = stent.client().get("/a").header("x-a", "1").header("x-b", "1");
        asking.header("x-say-vary", vary).header("x-say-date", date)
    };
    let (older, newer) = (date(&stent, 30), date(&stent, 10));
    assert_eq!(ask("x-a", &newer).send().await.text(), "#1");
    assert_eq!(anew(ask("x-b", &older)).send().await.text(), "#2");
    assert_eq!(ask("", "").send().await.text(), "#1", "RFC 9111 §4: by Date, not by arrival");
    assert_eq!(anew(ask("x-b", &date(&stent, 5))).send().await.text(), "#3");
    assert_eq!(ask("", "").send().await.text(), "#3");
}

#[tokio::test]
async fn an_answer_without_vary_is_for_all_and_a_newer_variant_for_its_own() {
    let origin = obedient().await;
    let stent = Stent::start(origin.address, ORIGIN);
    let ask = |a: &'static str, vary: &'static [(&'static str, &'static str)]| {
        vary.iter().fold(stent.client().get("/a").header("x-a", a), |asking, (name, value)| asking.header(name, value))
    };
    let by_a: &[(&str, &str)] = &[("x-say-vary", "x-a")];
    assert_eq!(ask("1", by_a).send().await.text(), "#1");
    assert_eq!(ask("2", by_a).send().await.text(), "#2");
    stent.clock.advance(Duration::from_secs(1));
    assert_eq!(anew(ask("3", &[])).send().await.text(), "#3");
    for a in ["1", "2", "3", "4"] {
        let reply = ask(a, by_a).send().await;
        assert!(reply.is_hit() && reply.text() == "#3", "{a}: {} {}", reply.cache(), reply.text());
    }
    stent.clock.advance(Duration::from_secs(1));
    assert_eq!(anew(ask("1", by_a)).send().await.text(), "#4");
    for (a, want) in [("1", "#4"), ("2", "#3"), ("4", "#3")] {
        let reply = ask(a, by_a).send().await;
        assert!(reply.is_hit() && reply.text() == want, "{a}: {} {}", reply.cache(), reply.text());
    }
}

#[tokio::test]
async fn what_is_stale_and_for_all_gives_way_to_what_comes_after_it() {
    let origin = Origin::start(|seen| async move {
        match seen.header("x-a") {
            // From a clock that is ahead.
            None => answer(200, &[("cache-control", "max-age=5"), ("date", "Fri, 01 Jan 2100 00:00:00 GMT")], "all"),
            Some(a) => answer(200, &[("cache-control", "max-age=60"), ("vary", "x-a"), ("age", "20")], a.to_owned()),
        }
    })
    .await;
    let stent = Stent::start(origin.address, ORIGIN);
    let ask = |a: &'static str| stent.client().get("/a").header("x-a", a).send();
    assert_eq!(stent.client().get("/a").send().await.text(), "all");
    assert_eq!(ask("1").await.text(), "all");
    stent.clock.advance(Duration::from_secs(6));
    for a in ["1", "2"] {
        assert_eq!(ask(a).await.text(), a);
        assert!(ask(a).await.is_hit(), "{a}");
    }
}

async fn entries(stent: &Stent) -> u64 {
    let status = stent.admin("GET", "/api/v1/status").send().await;
    let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
    status["memory"]["entries"].as_u64().unwrap()
}

#[tokio::test]
async fn a_stream_of_new_values_fills_no_store() {
    let origin = echo("x-a", &[("cache-control", "max-age=600"), ("vary", "x-a")]).await;
    for (yaml, most) in [(ORIGIN.to_owned(), 32), (format!("cache: {{variants: 3}}\n{PUBLIC}"), 3)] {
        let stent = Stent::start(origin.address, &yaml);
        let ask = |a: String| stent.client().get("/a").header("x-a", &a).send();
        assert_eq!(ask("first".to_owned()).await.status, 200);
        // A first answer under a named policy came without the field, which nobody had named yet.
        for number in 0..100 {
            ask(number.to_string()).await;
        }
        assert_eq!(entries(&stent).await, most + 1, "the variants, and what leads to them");
        let metrics = stent.admin("GET", "/metrics").send().await.text();
        assert!(metrics.contains(&format!("stent_entries {}", most + 1)), "{metrics}");
        for number in 100 - most..100 {
            assert!(ask(number.to_string()).await.is_hit(), "{number} of the last");
        }
        assert!(!ask("first".to_owned()).await.is_hit(), "the oldest went");
    }
}

#[tokio::test]
async fn a_purge_by_url_takes_all_variants() {
    let origin = obedient().await;
    let stent = Stent::start(origin.address, ORIGIN);
    let ask = async |vary: &str, a: &str| -> Reply {
        stent.client().get("/a").header("x-say-vary", vary).header("x-a", a).send().await
    };
    for (vary, a) in [("x-a", "1"), ("x-a", "2"), ("x-a, x-b", "3")] {
        ask(vary, a).await;
        assert!(ask(vary, a).await.is_hit(), "{a}");
    }
    stent.purge(serde_json::json!({"urls": ["http://clinic.example/a"]})).await;
    for a in ["1", "2", "3"] {
        let reply = ask("x-a", a).await;
        assert!(!reply.is_hit(), "{a}: {}", reply.cache());
    }
    assert!(ask("x-a", "1").await.is_hit());
}

#[tokio::test]
async fn two_variants_are_filled_at_once() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |seen| {
        let gate = held.clone();
        async move {
            let a = told(&seen.headers, "x-a");
            if a != "first" {
                gate.pass().await;
            }
            answer(200, &[("cache-control", "max-age=60"), ("vary", "x-a")], a)
        }
    })
    .await;
    for yaml in [ORIGIN, "cache: {variants: 16}\nroutes: [{name: all, path: /**, policy: rfc9111}]"] {
        let stent = Stent::start(origin.address, yaml);
        let ask = |a: String| stent.client().get("/a").header("x-a", &a).send();
        assert_eq!(ask("first".to_owned()).await.text(), "first");
        let before = origin.count("/a");
        let flying: Vec<_> = (0..16).map(|n| tokio::spawn(ask(format!("v{}", n % 8)))).collect();
        eventually(|| origin.count("/a") >= before + 8).await;
        gate.open(16);
        for (n, reply) in flying.into_iter().enumerate() {
            assert_eq!(reply.await.unwrap().text(), format!("v{}", n % 8));
        }
        gate.close();
        assert_eq!(origin.count("/a"), before + 8, "one fetch for each");
        for n in 0..8 {
            let reply = ask(format!("v{n}")).await;
            assert!(reply.is_hit() && reply.text() == format!("v{n}"), "{}", reply.cache());
        }
        assert!(ask("first".to_owned()).await.is_hit());
    }
}

#[tokio::test]
async fn a_variant_that_is_confirmed_is_the_one_that_was_asked_for() {
    let origin = Origin::start(|seen| async move {
        let a = told(&seen.headers, "x-a");
        let etag = format!("\"{a}\"");
        let headers = [("cache-control", "max-age=5"), ("vary", "x-a"), ("etag", etag.as_str())];
        match seen.header("if-none-match") == Some(&etag) {
            true => answer(304, &headers, ""),
            false => answer(200, &headers, a),
        }
    })
    .await;
    let stent = Stent::start(origin.address, ORIGIN);
    let ask = async |a: &str| stent.client().get("/a").header("x-a", a).send().await;
    for a in ["1", "2"] {
        ask(a).await;
    }
    stent.clock.advance(Duration::from_secs(6));
    for a in ["1", "2"] {
        let reply = ask(a).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, a), "{}", reply.cache());
        assert!(reply.cache().contains("fwd-status=304") || reply.cache().contains("fwd=stale"), "{}", reply.cache());
        assert!(ask(a).await.is_hit());
    }
}

#[tokio::test]
async fn vary_that_cannot_be_kept_apart_is_not_kept() {
    let many = (0..17).map(|n| format!("x-{n}")).collect::<Vec<_>>().join(", ");
    let cases: [(&[&str], bool); 9] = [
        (&["*"], false),
        (&["x-a, *"], false),
        (&["x-a", "*"], false),
        (&["*, x-a"], false),
        (&["x-a", " , * ,"], false),
        (&["x a"], false),
        (&[&many], false),
        (&["x-a, X-A", "x-a"], true),
        (&[",X-A ,, x-b"], true),
    ];
    for (lines, kept) in cases {
        let lines: Vec<String> = lines.iter().map(|line| line.to_string()).collect();
        let origin = Origin::start(move |_| {
            let lines = lines.clone();
            async move {
                let vary = lines.iter().map(|line| ("vary", line.as_str()));
                let headers: Vec<_> = [("cache-control", "max-age=60")].into_iter().chain(vary).collect();
                answer(200, &headers, "x")
            }
        })
        .await;
        for yaml in [ORIGIN, RFC9111, PUBLIC] {
            let stent = Stent::start(origin.address, yaml);
            let ask = || stent.client().get("/a").header("x-a", "1").send();
            ask().await;
            // Under a named policy what `Vary` names is sent from the second fetch on.
            ask().await;
            let third = ask().await;
            assert_eq!(third.is_hit(), kept, "{yaml}: {}", third.cache());
        }
    }
}

const ACCEPTS: &str = "cache: {variants: 8}\npolicies:\n  p: {share: anonymous, ttl: 60s}\n  \
    two: {share: anonymous, ttl: 60s, vary: {accept: [text/html, application/json]}}\n  \
    files: {share: public, types: {image/*: 60s}}\nroutes:\n  - {name: two, path: /two/**, policy: two}\n  \
    - {name: files, path: /files/**, policy: files}\n  - {name: rest, path: /**, policy: p}\n  ";

/// What the origin was asked to answer with.
async fn accepting() -> Origin {
    Origin::start(|seen| async move {
        let accept = seen.header("accept").unwrap_or("-").to_owned();
        let vary = seen.path().ends_with("varies").then_some(("vary", "accept"));
        let fields: Vec<(&str, &str)> = [("content-type", "image/png")].into_iter().chain(vary).collect();
        answer(200, &fields, accept)
    })
    .await
}

#[tokio::test]
async fn made_up_accepts_fill_no_store_and_each_gets_its_own() {
    let origin = accepting().await;
    let stent = Stent::start(origin.address, ACCEPTS);
    let ask = async |path: &str, accept: &str| stent.client().get(path).header("accept", accept).send().await;
    let usual = ["*/*", "application/json", "application/json, text/plain, */*", "text/html,*/*"];
    for accept in usual {
        ask("/a", accept).await;
    }
    for number in 0..100 {
        let accept = format!("text/x{number}");
        assert_eq!(ask("/a", &accept).await.text(), accept);
        let again = ask("/a", &accept).await;
        assert_eq!((again.text(), again.is_hit()), (accept, true));
    }
    let kept = entries(&stent).await;
    assert!(kept <= usual.len() as u64 + 1 + 8, "{kept}");
    for accept in usual {
        let reply = ask("/a", accept).await;
        assert!(reply.is_hit() && reply.text() == accept.replace(", ", ","), "{accept}: nobody pushed it out");
    }
    assert!(stent.client().get("/a").send().await.is_hit(), "none is anything");
    stent.purge(serde_json::json!({"urls": ["/a"]})).await;
    assert!(!ask("/a", "text/x99").await.is_hit() && !ask("/a", "*/*").await.is_hit());
}

#[tokio::test]
async fn who_make_up_accepts_at_once_get_their_own_too() {
    let origin = accepting().await;
    let stent = Stent::start(origin.address, ACCEPTS);
    let all: Vec<_> = (0..20)
        .map(|number| {
            let accept = format!("text/y{number}");
            (accept.clone(), tokio::spawn(stent.client().get("/a").header("accept", &accept).send()))
        })
        .collect();
    for (accept, reply) in all {
        assert_eq!(reply.await.unwrap().text(), accept);
    }
}

#[tokio::test]
async fn accept_is_reduced_to_what_is_served() {
    let origin = accepting().await;
    let stent = Stent::start(origin.address, ACCEPTS);
    let html = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
    for (accept, want, hit) in [
        (Some(html), "text/html", false),
        (None, "text/html", true),
        (Some("*/*"), "text/html", true),
        (Some("text/x1"), "text/html", true),
        (Some("application/json"), "application/json", false),
        (Some("application/json;q=0.9, text/*;q=0.1"), "application/json", true),
    ] {
        let asking =
            accept.into_iter().fold(stent.client().get("/two/a"), |asking, value| asking.header("accept", value));
        let reply = asking.send().await;
        assert_eq!((reply.text().as_str(), reply.is_hit()), (want, hit), "{accept:?}");
    }
}

#[tokio::test]
async fn what_is_listed_by_type_differs_by_accept_only_if_the_origin_says_so() {
    let origin = accepting().await;
    let stent = Stent::start(origin.address, ACCEPTS);
    let ask = async |path: &str, accept: &str| stent.client().get(path).header("accept", accept).send().await;
    for (number, accept) in ["image/avif,*/*", "*/*", "text/x1"].into_iter().enumerate() {
        let reply = ask("/files/plain", accept).await;
        assert_eq!((reply.text().as_str(), reply.is_hit()), ("-", number > 0), "{accept}");
    }
    for round in 0..2 {
        for accept in ["image/avif,*/*", "*/*", "text/x1"] {
            let reply = ask("/files/varies", accept).await;
            assert_eq!((reply.text().as_str(), reply.is_hit()), (accept, round > 0), "{accept}");
        }
    }
}
