//! What `explain` says of a request is what the line then does with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use crate::scenario::{Client, Origin, Reply, Seen, Stent, answer};

const CONFIG: &str = "\
identity: {principal: [authorization, cookie.sessionid, header.x-api-key], ignore_cookies: [csrftoken]}
policies:
  record: {share: principal, ttl: 5m, stale_while_revalidate: 30s, ceiling: 15m, vary: {headers: [x-client]}}
  page: {share: anonymous, ttl: 10m}
  static: {share: public, types: {text/*: 1d}}
routes:
  - {name: patient, path: /patients/<int:id>, policy: record, tags: [patient:<id>]}
  - {name: patients, path: /patients, policy: record, query: {page: any, size: {default: 20, max: 100}, utm_*: drop}}
  - {name: page, path: /pages/**, policy: page}
  - {name: static, path: /static/**, policy: static}
  - {name: news, path: /news/**, policy: origin}
  - {name: archive, path: /archive/**, ambiguous_path: pass}
  - {name: mobile, path: /app, headers: {x-client: mobile}, policy: static}
  - {name: app, path: /app}
";

/// No part of it may be in any explanation.
const SECRET: &str = "hunter2";

async fn origin() -> Origin {
    Origin::start(|seen: Seen| async move {
        let headers: &[(&str, &str)] = match seen.path() {
            "/news/open" => &[("cache-control", "public, max-age=60")],
            "/news/closed" => &[("cache-control", "max-age=60")],
            "/pages/vary" => &[("vary", "accept-language")],
            "/pages/cookie" => &[("set-cookie", "a=b")],
            _ => &[("content-type", "text/plain")],
        };
        answer(200, headers, "body")
    })
    .await
}

/// A request of the table: method, target, headers.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const SESSION: (&str, &str) = ("cookie", "sessionid=hunter2-session; csrftoken=hunter2-form");
const BEARER: (&str, &str) = ("authorization", "Bearer hunter2-token");

const TABLE: &[Row] = &[
    ("GET", "/patients/7", &[SESSION]),
    ("GET", "/patients/7", &[SESSION, BEARER, ("x-client", "hunter2-keyed"), ("user-agent", "x")]),
    ("GET", "/patients/7", &[BEARER, ("x-api-key", "hunter2-header")]),
    ("GET", "/patients/7", &[]),
    ("GET", "/patients/7", &[("cookie", "sessionid=hunter2; theme=hunter2")]),
    ("GET", "/patients/7", &[SESSION, ("cache-control", "no-cache")]),
    ("GET", "/patients/7", &[SESSION, ("cache-control", "no-store")]),
    ("GET", "/patients/7", &[SESSION, ("cache-control", "only-if-cached")]),
    ("GET", "/patients/7", &[SESSION, ("if-match", "\"a\"")]),
    ("PUT", "/patients/7", &[SESSION]),
    ("GET", "/patients/8", &[SESSION, ("cache-control", "only-if-cached")]),
    ("HEAD", "/patients/9", &[SESSION]),
    ("GET", "/patients/9", &[SESSION, ("range", "bytes=0-1")]),
    ("GET", "/patients/9/", &[SESSION, ("accept", "Text/HTML, */*;q=0.5")]),
    ("HEAD", "/patients/9/", &[SESSION, ("accept", "text/html,*/*;q=0.5")]),
    ("GET", "/patients?utm_source=x&size=9999&page=2", &[SESSION]),
    ("GET", "/patients?size=many", &[SESSION]),
    ("GET", "/patients?debug=1", &[SESSION]),
    ("GET", "/pages/a", &[("cookie", "csrftoken=hunter2")]),
    ("GET", "/pages/a", &[SESSION]),
    ("GET", "/pages/vary", &[("accept-language", "en")]),
    ("GET", "/pages/vary", &[("accept-language", "de")]),
    ("GET", "/pages/cookie", &[]),
    ("GET", "/pages/a", &[("x-original-url", "/hunter2"), ("x-forwarded-host", "hunter2.example")]),
    ("GET", "/static/app.css", &[SESSION, BEARER]),
    ("GET", "/static/..%2fpatients/7", &[]),
    ("GET", "/archive/a%2fb", &[]),
    ("GET", "/news/open", &[BEARER]),
    ("GET", "/news/closed", &[BEARER]),
    ("GET", "/news/closed", &[("cookie", "any=hunter2")]),
    ("GET", "/news/closed", &[]),
    ("GET", "/app", &[("x-client", "mobile")]),
    ("GET", "/app", &[("connection", "upgrade"), ("upgrade", "websocket")]),
    ("GET", "/app", &[("te", "trailers")]),
    ("GET", "/./app", &[]),
    ("POST", "/app", &[]),
    ("GET", "/elsewhere", &[]),
];

struct Stage {
    origin: Origin,
    stent: Stent,
}

impl Stage {
    async fn explain(&self, row: Row) -> Value {
        self.ask(row, json!(null)).await
    }

    async fn explain_at(&self, row: Row, at: &str) -> Value {
        self.ask(row, at.into()).await
    }

    async fn ask(&self, (method, target, headers): Row, at: Value) -> Value {
        let url = format!("http://clinic.example{target}");
        let question = json!({"method": method, "url": url, "headers": headers, "at": at});
        let admin = Client { address: self.stent.admin };
        let reply = admin.ask("POST", "/api/v1/explain").body(question.to_string()).send().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(!reply.text().contains(SECRET), "{}", reply.text());
        serde_json::from_slice(&reply.body).expect("JSON")
    }

    async fn send(&self, (method, target, headers): Row) -> Reply {
        let asking = self.stent.client().ask(method, target);
        headers.iter().fold(asking, |asking, (name, value)| asking.header(name, value)).send().await
    }

    /// How many requests each route took.
    async fn counts(&self) -> BTreeMap<String, u64> {
        let metrics = Client { address: self.stent.admin }.get("/metrics").send().await.text();
        let mut counts = BTreeMap::new();
        for line in metrics.lines().filter(|line| line.starts_with("stent_requests_total{")) {
            let route = line.split("route=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a route");
            let count = line.rsplit(' ').next().and_then(|count| count.parse::<f64>().ok()).expect("a number");
            *counts.entry(route.to_owned()).or_default() += count as u64;
        }
        counts
    }

    /// Explains a request, makes it, and compares: the route, `Cache-Status`, and what the origin was asked.
    async fn check(&self, row: Row) {
        let told = self.explain(row).await;
        let (before, asked) = (self.counts().await, self.origin.seen().len());
        let reply = self.send(row).await;
        let after = self.counts().await;
        let risen: Vec<&String> =
            after.iter().filter(|(route, count)| before.get(*route) != Some(count)).map(|it| it.0).collect();
        let route: Vec<&str> = told["route"]["name"].as_str().into_iter().collect();
        assert_eq!(risen, route, "{row:?}\n{told:#}");
        let status = told["decision"]["cache_status"].as_str().expect("known in a running process");
        assert!(reply.cache().starts_with(status), "{row:?}: told {status}, got {}\n{told:#}", reply.cache());
        let seen = self.origin.seen();
        let when = told["origin"]["when"].as_str().unwrap_or("never");
        match when.split(':').next() {
            // A fetch that turns out to be for nobody else is made once more with all that the client sent.
            Some("now" | "always") => self.compare(&told, &seen[asked], row),
            _ => assert_eq!(seen.len(), asked, "{row:?}: the origin was asked\n{told:#}"),
        }
    }

    fn compare(&self, told: &Value, seen: &Seen, row: Row) {
        let request = format!("{} {}", seen.method, seen.target);
        assert_eq!(told["origin"]["request"], request, "{row:?}");
        let sent = told["origin"]["headers"].as_array().expect("a list").iter();
        let sent: BTreeSet<&str> = sent.filter_map(|header| header["name"].as_str()).collect();
        let ours = ["if-none-match", "if-modified-since", "content-length"];
        let came = seen.headers.keys().map(|name| name.as_str()).filter(|name| !ours.contains(name));
        assert_eq!(sent, came.collect(), "{row:?}");
    }
}

async fn stage() -> Stage {
    let origin = origin().await;
    let stent = Stent::start(origin.address, CONFIG);
    Stage { origin, stent }
}

#[tokio::test]
async fn what_is_told_is_what_happens() {
    let stage = stage().await;
    // Nobody knows by what an origin's answers vary before it has said so once.
    stage.send(("GET", "/pages/vary", &[("accept-language", "fr")])).await;
    for row in TABLE {
        // Once with whatever is stored by now, and once more with what that left.
        stage.check(*row).await;
        stage.check(*row).await;
    }
}

#[tokio::test]
async fn what_is_stored_is_told_as_it_ages_and_is_purged() {
    let stage = stage().await;
    let row: Row = ("GET", "/patients/7", &[SESSION]);
    assert_eq!(stage.explain(row).await["stored"]["found"], "nothing");
    stage.check(row).await;
    let answer = |told: Value| told["stored"]["answer"].clone();
    let told = answer(stage.explain(row).await);
    assert_eq!((&told["usable"], &told["age"], &told["ttl"]), (&json!("fresh"), &json!(0), &json!(300)));
    assert_eq!(told["named"], json!(["patient:7"]));
    assert!(told["tags"].as_u64() > Some(1), "{told:#}");

    stage.stent.clock.advance(Duration::from_secs(100));
    let told = answer(stage.explain(row).await);
    assert_eq!((&told["usable"], &told["age"], &told["ttl"]), (&json!("fresh"), &json!(100), &json!(200)));
    stage.stent.clock.advance(Duration::from_secs(210));
    assert_eq!(answer(stage.explain(row).await)["usable"], "stale-while-revalidate");
    stage.stent.clock.advance(Duration::from_secs(100));
    assert_eq!(answer(stage.explain(row).await)["usable"], "stale");
    stage.check(row).await;

    stage.stent.purge(json!({"tags": ["patient:7"], "soft": true})).await;
    assert_eq!(answer(stage.explain(row).await)["usable"], "stale-while-revalidate");
    let receipt = stage.stent.purge(json!({"tags": ["patient:7"]})).await;
    let told = stage.explain(row).await;
    assert_eq!(told["stored"]["answer"]["usable"], "purged");
    assert_eq!(told["stored"]["epoch"], receipt["epoch"]);
    assert!(told["stored"]["answer"]["fetched_at"].as_u64() < receipt["epoch"].as_u64(), "{told:#}");
    stage.check(row).await;
    assert_eq!(answer(stage.explain(row).await)["usable"], "fresh");
}

#[tokio::test]
async fn what_is_told_for_a_moment_is_what_is_told_then() {
    let stage = stage().await;
    let row: Row = ("GET", "/patients/7", &[SESSION]);
    stage.check(row).await;
    for (seconds, usable) in [
        (100, "fresh"),
        (299, "fresh"),
        (300, "stale-while-revalidate"),
        (330, "stale"),
        (899, "stale"),
        (900, "ceiling"),
        (100_000, "ceiling"),
    ] {
        let mut told = stage.explain_at(row, &format!("+{seconds}s")).await;
        assert_eq!(told["stored"]["answer"]["usable"], usable, "{seconds}\n{told:#}");
        assert!(told["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{told:#}");
        // The same by a clock that has come so far.
        let later = self::stage().await;
        later.check(row).await;
        later.stent.clock.advance(Duration::from_secs(seconds));
        let then = later.explain(row).await;
        told["origin"]["when"] = told["origin"]["when"].as_str().map(|when| when.replace("then", "now")).into();
        told.as_object_mut().map(|told| told.remove("at"));
        assert_eq!(told, then, "{seconds}");
    }
}

#[tokio::test]
async fn a_moment_before_an_answer_was_stored_is_said_to_be_so() {
    let stage = stage().await;
    let row: Row = ("GET", "/patients/7", &[SESSION]);
    stage.stent.clock.advance(Duration::from_secs(600));
    stage.check(row).await;
    let told = stage.explain_at(row, "-5m").await;
    let answer = &told["stored"]["answer"];
    assert_eq!((&answer["usable"], &answer["stored_later"]), (&json!("not-yet-stored"), &json!(300)), "{told:#}");
    assert_eq!(answer["stands_in"], false);
    assert_eq!(told["decision"]["cache_status"], Value::Null);
    assert!(told["origin"]["when"].as_str().is_some_and(|when| when.contains("came later")), "{told:#}");
}

#[tokio::test]
async fn a_moment_that_is_none_is_refused_and_a_query_may_name_one() {
    let stage = stage().await;
    let admin = Client { address: stage.stent.admin };
    for at in ["+10m", "%2B10m", "-10m", "2026-11-21T14:00:00Z", "2026-11-21T15:00:00+01:00"] {
        let reply = admin.get(&format!("/api/v1/explain?url=/patients/7&at={at}")).send().await;
        assert_eq!(reply.status, 200, "{at}: {}", reply.text());
        let told: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert!(!at.starts_with("2026") || told["at"] == "2026-11-21T14:00:00Z", "{told:#}");
    }
    for at in ["10m", "+10", "tomorrow", "2026-11-21", "2026-02-30T00:00:00Z", "+40000d"] {
        let reply = admin.get(&format!("/api/v1/explain?url=/patients/7&at={at}")).send().await;
        assert_eq!(reply.status, 400, "{at}");
        assert!(reply.text().contains("the moment is"), "{at}: {}", reply.text());
    }
}

#[tokio::test]
async fn asking_changes_nothing() {
    let stage = stage().await;
    let row: Row = ("GET", "/patients/7", &[SESSION]);
    for _ in 0..3 {
        let told = stage.explain(row).await;
        assert_eq!(told["decision"]["cache_status"], "stent; fwd=uri-miss");
    }
    assert!(stage.origin.seen().is_empty() && stage.counts().await.values().all(|&count| count == 0));
}

#[tokio::test]
async fn a_purge_and_an_operators_wish_are_told() {
    let origin = origin().await;
    let purge = "  - {name: a, path: /a, policy: static, purge: {from: [10.0.0.0/8]}}\n";
    let stent = Stent::start(origin.address, &CONFIG.replace("routes:\n", &format!("routes:\n{purge}")));
    let stage = Stage { origin, stent };
    let told = stage.explain(("PURGE", "/a", &[])).await;
    assert_eq!((&told["decision"]["way"], &told["origin"]), (&json!("purge"), &Value::Null), "{told:#}");
    assert_eq!(stage.send(("PURGE", "/a", &[])).await.status, 403);
    stage.check(("GET", "/a", &[])).await;
    let admin = Client { address: stage.stent.admin };
    let call = json!({"route": "a", "for": "1h"});
    assert_eq!(admin.ask("POST", "/api/v1/bypass").body(call.to_string()).send().await.status, 200);
    assert_eq!(stage.explain(("GET", "/a", &[])).await["decision"]["reason"], "operator-bypass");
    stage.check(("GET", "/a", &[])).await;
}

#[tokio::test]
async fn another_scheme_and_host_is_another_key() {
    let stage = stage().await;
    stage.send(("GET", "/pages/a", &[])).await;
    let admin = Client { address: stage.stent.admin };
    let cases = [
        ("http://clinic.example/pages/a", "answer"),
        ("http://CLINIC.example:80/pages/a", "answer"),
        ("https://clinic.example/pages/a", "nothing"),
        ("http://clinic.example:8080/pages/a", "nothing"),
        ("/pages/a", "nothing"),
    ];
    for (url, want) in cases {
        let by_query = admin.get(&format!("/api/v1/explain?url={url}")).send().await;
        let told: Value = serde_json::from_slice(&by_query.body).expect("JSON");
        assert_eq!(told["stored"]["found"], want, "{url}: {told:#}");
    }
    let forwarded = json!({
        "method": "GET", "url": "http://clinic.example/pages/a", "headers": [["x-forwarded-proto", "https"]],
        "from_trusted_proxy": true,
    });
    let reply = admin.ask("POST", "/api/v1/explain").body(forwarded.to_string()).send().await;
    assert!(reply.text().contains("GET https://clinic.example/pages/a"), "{}", reply.text());
}

#[tokio::test]
async fn a_question_that_cannot_be_one_is_refused_without_repeating_it() {
    let stage = stage().await;
    let admin = Client { address: stage.stent.admin };
    for body in [
        json!({"method": "GET"}),
        json!({"method": "G T", "url": "/hunter2"}),
        json!({"method": "GET", "url": "hunter2"}),
        json!({"method": "GET", "url": "ftp://hunter2/"}),
        json!({"method": "GET", "url": "http://a:hunter2@clinic.example/"}),
        json!({"method": "GET", "url": "/", "headers": [["hunter2 x", "a"]]}),
        json!({"method": "GET", "url": "/", "headers": [["a", "hunter2\n"], ["b", "hunter2\u{1}"]]}),
        json!({"method": "GET", "url": "/", "hunter2": 1}),
    ] {
        let reply = admin.ask("POST", "/api/v1/explain").body(body.to_string()).send().await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
        assert!(!reply.text().contains(SECRET), "{}", reply.text());
    }
    assert_eq!(admin.get("/api/v1/explain").send().await.status, 400);
    assert_eq!(admin.ask("PUT", "/api/v1/explain").send().await.status, 405);
}

#[tokio::test]
async fn the_command_line_asks_a_running_process() {
    let stage = stage().await;
    stage.send(("GET", "/patients/7", &[SESSION])).await;
    let admin = stage.stent.admin.to_string();
    let cookie = format!("{}: {}", SESSION.0, SESSION.1);
    let url = "http://clinic.example/patients/7";
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stent"));
    command.env("NO_COLOR", "1").args(["explain", "GET", url, "-H", &cookie, "--admin", &admin]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("it runs");
    let page = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && !page.contains(SECRET), "{page}");
    for said in [
        "Cache-Status: stent; hit; ttl=300",
        "not now: the stored answer is served",
        "for this request: fresh",
        "status 200, 4 bytes, 0s old, fresh for 5m more",
        "among them patient:7",
    ] {
        assert!(page.contains(said), "{said}\n{page}");
    }
}
