//! What purges take, and what writes take with them.

use std::collections::HashMap;

use serde_json::json;
use stent::coherence::tags::RequestPlace;
use stent::entry::purge::{Birth, PurgeLog, Standing, Strength};
use stent::entry::tag::TagSet;
use stent::fields::authority::Scheme;

use crate::scenario::{Counter, Origin, Stent, answer};

const CLINIC: &str = "
identity: {principal: [authorization]}
policies:
  own: {share: principal, ttl: 60s}
  all: {share: public, ttl: 60s, stale_while_revalidate: 60s}
routes:
  - {name: case, path: /cases/<int:id>, policy: all, tags: [case:<id>], purges: [cases]}
  - {name: cases, path: /cases, policy: all, tags: [cases]}
  - {name: visit, path: /visits/<int:id>, policy: all, tags: [visit:<id>, case:<answer.case_id>], purges: [case:<sent.case_id>]}
  - {name: tagged, path: /tagged, policy: all, tags: [by:<query.case>]}
  - {name: rewritten, host: clinic.example, path: /rewritten, policy: all, query: {size: {default: 20}, other: pass}}
  - {name: search, path: /search, methods: [POST], read_only: true}
  - {name: batch, path: /batch, policy: all, tags: ['case:<query.ids:,>']}
  - {name: login, path: /login, purges: [principal]}
  - {name: own, path: /own/**, policy: own}
  - {name: all, path: /**, policy: all}
";

/// Answers with the number of the path's GET requests; writes by the path's last word.
async fn clinic() -> Origin {
    let counter = Counter::default();
    Origin::start(move |seen| {
        let counter = counter.clone();
        async move {
            if seen.method != "GET" {
                return match seen.header("x-status").unwrap_or("200") {
                    "200" => answer(200, &[("content-type", "application/json")], "{\"case_id\": 3}"),
                    "201" => answer(201, &[("location", seen.header("x-location").unwrap_or("/cases/9"))], ""),
                    status => answer(status.parse().unwrap(), &[], ""),
                };
            }
            let number = counter.next(seen.path());
            let headers: &[(&str, &str)] = match seen.path() {
                "/keyed" => &[("surrogate-key", "a:1 b"), ("cache-tag", "c"), ("xkey", "d"), ("cache-groups", "\"g\"")],
                _ => &[("content-type", "application/json")],
            };
            answer(200, headers, json!({"n": number, "case_id": 3}).to_string())
        }
    })
    .await
}

struct Clinic {
    _origin: Origin,
    stent: Stent,
}

impl Clinic {
    async fn open() -> Clinic {
        let origin = clinic().await;
        let stent = Stent::start(origin.address, CLINIC);
        Clinic { stent, _origin: origin }
    }

    /// Makes sure that it is stored.
    async fn keep(&self, target: &str) {
        self.stent.client().get(target).send().await;
        assert!(self.is_kept(target).await, "{target} is stored");
    }

    async fn is_kept(&self, target: &str) -> bool {
        self.stent.client().get(target).header("cache-control", "only-if-cached").send().await.status == 200
    }
}

#[tokio::test]
async fn purges_take_what_they_name() {
    let clinic = Clinic::open().await;
    let all = ["/cases/1", "/cases/2", "/cases", "/cases?page=2", "/other/a", "/other/b", "/others"];
    for (call, gone) in [
        (json!({"tags": ["case:1"]}), &["/cases/1"][..]),
        (json!({"tags": ["case:*"]}), &["/cases/1", "/cases/2"]),
        (json!({"tags": ["cases", "case:2"]}), &["/cases/2", "/cases", "/cases?page=2"]),
        (json!({"urls": ["/cases"]}), &["/cases"]),
        (json!({"urls": ["/cases?*"]}), &["/cases", "/cases?page=2"]),
        (json!({"urls": ["http://clinic.example/cases?page=2"]}), &["/cases?page=2"]),
        (json!({"urls": ["http://other.example/cases"]}), &[]),
        (json!({"prefixes": ["/other"]}), &["/other/a", "/other/b"]),
        (json!({"prefixes": ["http://clinic.example/cases/"]}), &["/cases/1", "/cases/2", "/cases", "/cases?page=2"]),
        (json!({"all": true}), &all),
    ] {
        for target in all {
            clinic.keep(target).await;
        }
        let receipt = clinic.stent.purge(call.clone()).await;
        assert_eq!(receipt["acknowledged"], true);
        assert!(receipt["epoch"].as_u64() > Some(1) && receipt["took_ms"].is_number(), "{receipt}");
        for target in all {
            assert_eq!(clinic.is_kept(target).await, !gone.contains(&target), "{call}: {target}");
        }
    }
}

#[tokio::test]
async fn a_soft_purge_makes_stale() {
    let clinic = Clinic::open().await;
    clinic.keep("/cases/1").await;
    clinic.stent.purge(json!({"tags": ["case:1"], "soft": true})).await;
    let stale = clinic.stent.client().get("/cases/1").send().await;
    assert!(stale.cache().contains("stale-while-revalidate"), "{}", stale.cache());
}

#[tokio::test]
async fn tags_of_the_origin_purge_and_do_not_reach_clients() {
    let clinic = Clinic::open().await;
    for tag in ["a:1", "a:*", "b", "c", "d", "g"] {
        let reply = clinic.stent.client().get("/keyed").send().await;
        for name in ["surrogate-key", "cache-tag", "xkey", "cache-groups"] {
            assert!(!reply.headers.contains_key(name), "{name}");
        }
        clinic.keep("/keyed").await;
        clinic.stent.purge(json!({"tags": [tag]})).await;
        assert!(!clinic.is_kept("/keyed").await, "{tag}");
    }
}

#[tokio::test]
async fn a_write_takes_its_path_its_tags_and_its_purges() {
    let clinic = Clinic::open().await;
    let client = clinic.stent.client();
    let all = ["/cases/3", "/cases/3?fields=a", "/cases/4", "/cases/9", "/cases", "/visits/5", "/visits/6"];
    for (method, target, sent, status, gone) in [
        ("PUT", "/cases/3", "{}", "200", &["/cases/3", "/cases/3?fields=a", "/cases", "/visits/5", "/visits/6"][..]),
        ("DELETE", "/cases/4", "", "204", &["/cases/4", "/cases"]),
        ("POST", "/cases", "{}", "201", &["/cases", "/cases/9"]),
        (
            "PUT",
            "/visits/5",
            "{\"case_id\": 4}",
            "200",
            &["/visits/5", "/visits/6", "/cases/3", "/cases/3?fields=a", "/cases/4"],
        ),
        (
            "PUT",
            "/visits/5",
            "",
            "204",
            &["/visits/5", "/visits/6", "/cases/3", "/cases/3?fields=a", "/cases/4", "/cases/9"],
        ),
        ("PUT", "/cases/3", "{}", "500", &["/cases/3", "/cases/3?fields=a", "/cases", "/visits/5", "/visits/6"]),
        ("PUT", "/cases/3", "{}", "403", &[]),
        ("POST", "/search", "{}", "200", &[]),
        ("OPTIONS", "/cases/3", "", "200", &[]),
    ] {
        for target in all {
            clinic.keep(target).await;
        }
        let reply = client.ask(method, target).header("x-status", status).body(sent).send().await;
        assert_eq!(reply.status.to_string(), status);
        for other in all {
            assert_eq!(clinic.is_kept(other).await, !gone.contains(&other), "{method} {target} {status}: {other}");
        }
    }
}

#[tokio::test]
async fn signing_in_or_out_ends_what_was_kept_for_that_principal() {
    let clinic = Clinic::open().await;
    let client = clinic.stent.client();
    for token in ["a", "b"] {
        client.get("/own/1").bearer(token).send().await;
        assert!(client.get("/own/1").bearer(token).send().await.is_hit());
    }
    client.ask("POST", "/login").bearer("a").send().await;
    assert!(!client.get("/own/1").bearer("a").send().await.is_hit());
    assert!(client.get("/own/1").bearer("b").send().await.is_hit());
}

#[tokio::test]
async fn the_admin_answers_and_refuses_clearly() {
    let origin = clinic().await;
    let yaml = format!(
        "server: {{listen: 127.0.0.1:0}}\n\
         admin: {{listen: 127.0.0.1:0, tokens: {{django: {{token: {secret}, may: [purge]}}, watcher: {{token: {other}, may: [read]}}}}}}\n\
         upstreams: {{o: {{servers: [\"http://{}\"]}}}}\n\
         routes: [{{name: all, path: /**}}]",
        origin.address,
        secret = "purging-secret-01234",
        other = "reading-secret-01234",
    );
    let loaded = stent::config::parse("test.yaml", &yaml, &|_| None).unwrap_or_else(|r| panic!("{}", r.render(false)));
    let app = stent::app::App::start(loaded.settings, stent::ground::clock::Clock::System).unwrap();
    let admin = crate::scenario::Client { address: app.admin_address.unwrap() };
    let call = |body: &str| admin.ask("POST", "/api/v1/purge").body(body.to_owned());
    let all = "{\"all\":true}";
    for (asking, status) in [
        (admin.get("/livez"), 200),
        (admin.get("/readyz"), 200),
        (admin.get("/metrics"), 401),
        (admin.get("/metrics").bearer("reading-secret-01234"), 200),
        (admin.get("/api/v1/status").bearer("reading-secret-01234"), 200),
        (admin.get("/api/v1/routes").bearer("reading-secret-01234"), 200),
        (admin.get("/api/v1/upstreams").bearer("reading-secret-01234"), 200),
        (admin.get("/api/v1/status").bearer("purging-secret-01234"), 403),
        (admin.get("/api/v1/purge").bearer("purging-secret-01234"), 405),
        (admin.get("/nothing"), 404),
        (call(all), 401),
        (call(all).bearer("purging-secret-0123"), 401),
        (call(all).bearer("reading-secret-01234"), 403),
        (call(all).bearer("purging-secret-01234"), 200),
        (call("{}").bearer("purging-secret-01234"), 400),
        (call("{\"tag\":[]}").bearer("purging-secret-01234"), 400),
        (call("{\"urls\":[\"/a%2fb\"]}").bearer("purging-secret-01234"), 400),
    ] {
        let reply = asking.send().await;
        assert_eq!(reply.status, status, "{}", reply.text());
        if status >= 400 {
            assert_eq!(reply.header("content-type"), "application/problem+json");
        }
    }
}

#[tokio::test]
async fn other_spellings_are_the_same_thing() {
    let clinic = Clinic::open().await;
    let client = clinic.stent.client();
    for (kept, method, written, sent) in [
        ("/cases/7", "PUT", "/cases/007", "{}"),
        ("/free/a%40b", "PUT", "/free/a@b", "{}"),
        ("/free/123e4567-e89b-12d3-a456-426614174000", "PUT", "/free/123E4567-E89B-12D3-A456-426614174000", "{}"),
        ("/cases/7", "POST", "/visits/1", "{\"case_id\": 7.0}"),
        ("/cases/7", "POST", "/visits/1", "{\"case_id\": \" 07\"}"),
        ("/free/x", "PUT", "/free/x/", "{}"),
    ] {
        clinic.keep(kept).await;
        client.ask(method, written).header("x-status", "204").body(sent).send().await;
        assert!(!clinic.is_kept(kept).await, "{kept} after {method} {written} {sent}");
    }
    for host in ["clinic.example:8080", "clinic.example.", "other.example"] {
        clinic.keep("/free/x").await;
        client.ask("PUT", "/free/x").header("host", host).send().await;
        assert!(!clinic.is_kept("/free/x").await, "written by {host}");
    }
    for (kept, tag) in
        [("/tagged?case=7&case=8", "by:8"), ("/tagged?case=a%40b", "by:a@b"), ("/tagged?case=a+b", "by:a b")]
    {
        clinic.keep(kept).await;
        clinic.stent.purge(json!({"tags": [tag]})).await;
        assert!(!clinic.is_kept(kept).await, "{kept} by {tag}");
    }
    clinic.keep("/free/x/").await;
    clinic.stent.purge(json!({"urls": ["/free/x"]})).await;
    assert!(!clinic.is_kept("/free/x/").await);
    clinic.keep("/rewritten").await;
    clinic.stent.purge(json!({"urls": ["/rewritten"]})).await;
    assert!(!clinic.is_kept("/rewritten").await, "its route keys it as /rewritten?size=20, on another host's terms");
}

#[tokio::test]
async fn a_location_is_resolved() {
    let clinic = Clinic::open().await;
    for location in [
        "7/",
        "/free/7",
        "http://clinic.example:80/free/7",
        "https://clinic.example/free/7?a=1",
        "//clinic.example/free/7",
    ] {
        clinic.keep("/free/7").await;
        let asking =
            clinic.stent.client().ask("POST", "/free/").header("x-status", "201").header("x-location", location);
        asking.send().await;
        assert!(!clinic.is_kept("/free/7").await, "{location}");
    }
    clinic.keep("/free/7").await;
    let asking = clinic.stent.client().ask("POST", "/free/").header("x-status", "201");
    asking.header("x-location", "http://elsewhere.example/free/7").send().await;
    assert!(clinic.is_kept("/free/7").await, "another origin's");
}

#[tokio::test]
async fn a_write_that_was_sent_twice_purges_whatever_the_second_answer_says() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    // Answers a GET, takes a DELETE without a word, and says 404 to the second one.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let _origin = tokio::spawn(async move {
        let mut deletes = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            let mut byte = [0];
            while let Ok(1) = stream.read(&mut byte).await {
                head.push(byte[0]);
                if !head.ends_with(b"\r\n\r\n") {
                    continue;
                }
                let is_delete = head.starts_with(b"DELETE");
                head.clear();
                deletes += usize::from(is_delete);
                let answer: &[u8] = match (is_delete, deletes) {
                    (false, _) => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                    (true, 1) => break,
                    _ => b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
                };
                stream.write_all(answer).await.unwrap();
            }
        }
    });
    let yaml = "server: {listen: 127.0.0.1:0, workers: 1}\npolicies: {p: {share: public, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: p}]";
    let stent = Stent::start(address, yaml);
    stent.client().get("/gone/7").send().await;
    assert!(stent.client().get("/gone/7").send().await.is_hit());
    let deleted = stent.client().ask("DELETE", "/gone/7").send().await;
    assert_eq!(deleted.status, 404);
    let after = stent.client().get("/gone/7").send().await;
    assert!(!after.is_hit(), "{}", after.cache());
}

#[tokio::test]
async fn a_purge_finds_a_host_however_either_spells_it() {
    let clinic = Clinic::open().await;
    let get = async |host: &str| clinic.stent.client().get("/list/1").header("host", host).send().await;
    for (host, named) in [
        ("clinic.example:8080", "http://clinic.example.:8080/list/1"),
        ("Clinic.Example.", "https://clinic.example:9443/list/1"),
        ("[0:0::1]:81", "http://[::1]/list/1"),
        ("[::1]", "http://[0::0:1]:443/list/1"),
    ] {
        get(host).await;
        assert!(get(host).await.is_hit(), "{host}");
        clinic.stent.purge(json!({"urls": [named]})).await;
        assert!(!get(host).await.is_hit(), "{host} {named}");
    }
}

#[tokio::test]
async fn purges_that_name_nothing_are_refused() {
    let clinic = Clinic::open().await;
    let admin = crate::scenario::Client { address: clinic.stent.admin };
    for call in [
        json!({"tags": [""]}),
        json!({"tags": ["case*"]}),
        json!({"tags": ["*:a"]}),
        json!({"urls": ["http://u@h/"]}),
        // Whose host was not filled in: every host is named by a path alone.
        json!({"prefixes": ["http://:8080/"]}),
        json!({"urls": ["http:///a"]}),
        json!({"prefixes": ["https://.:443/"]}),
        json!({"urls": ["http://h h/a"]}),
        json!({"urls": ["/img/*"]}),
        json!({"urls": ["/img/*.jpg"]}),
        json!({"urls": ["/q?n=*"]}),
        json!({"prefixes": ["/img/*"]}),
        json!({"urls": ["http://*.example/a"]}),
        json!({"urls": ["ftp://clinic.example/a"]}),
        json!({"urls": ["clinic.example/a"]}),
        // Of what is right nothing is purged if something else is wrong.
        json!({"all": true, "urls": ["/img/*"]}),
    ] {
        assert_eq!(admin.ask("POST", "/api/v1/purge").body(call.to_string()).send().await.status, 400, "{call}");
    }
    for target in ["/img/*", "http://clinic.example/q?n=*"] {
        let host = "clinic.example";
        assert_eq!(admin.ask("PURGE", target).header("host", host).send().await.status, 400, "{target}");
    }
    assert_eq!(clinic.stent.cache().log.stamp().0, 1, "none of them is in the log");
}

#[tokio::test]
async fn a_url_is_found_as_a_browser_would_ask_for_it() {
    let clinic = Clinic::open().await;
    for (kept, named) in [
        ("/free/a%20b", "/free/a b"),
        ("/free/%C3%A9", "/free/\u{e9}"),
        ("/free/c", "/free/x/../c"),
        ("/free/d", "http://CLINIC.example/free/./d#top"),
        ("/free/e?q=a%20b", "/free/e?q=a b"),
        ("/free/f?q=a+b", "/free/f?q=a b"),
        ("/free/g?q=*", "/free/g?q=%2A"),
        ("/free/h%2Ai", "/free/h%2ai"),
        ("/free/j?a[]=1", "/free/j?a%5B%5D=1"),
    ] {
        clinic.keep(kept).await;
        let receipt = clinic.stent.purge(json!({"urls": [named]})).await;
        assert_eq!(receipt["met"], 1, "{named}: {receipt}");
        assert!(!clinic.is_kept(kept).await, "{named}");
    }
}

#[tokio::test]
async fn a_receipt_says_what_is_known() {
    let clinic = Clinic::open().await;
    for target in ["/cases/1", "/cases/2", "/cases", "/keyed", "/free/a"] {
        clinic.keep(target).await;
    }
    // Purged, so it is met by nothing.
    clinic.keep("/cases/3").await;
    clinic.stent.purge(json!({"tags": ["case:3"]})).await;
    let epoch = clinic.stent.cache().log.stamp();
    for (call, known, met, routes) in [
        (
            json!({"tags": ["case:1"]}),
            json!(true),
            1,
            json!([{"name": "batch", "met": 0}, {"name": "case", "met": 1}, {"name": "visit", "met": 0}]),
        ),
        (
            json!({"tags": ["case:3"]}),
            json!(true),
            0,
            json!([{"name": "batch", "met": 0}, {"name": "case", "met": 0}, {"name": "visit", "met": 0}]),
        ),
        (json!({"tags": ["caes:1"]}), json!(false), 0, json!([])),
        (json!({"tags": ["case:1:notes"]}), json!(false), 0, json!([])),
        (
            json!({"tags": ["case:1", "caes:1"]}),
            json!(false),
            1,
            json!([{"name": "batch", "met": 0}, {"name": "case", "met": 1}, {"name": "visit", "met": 0}]),
        ),
        // The origin alone named these.
        (json!({"tags": ["a:*"]}), json!(true), 1, json!([{"name": "all", "met": 1}])),
        (json!({"tags": ["e"]}), json!(false), 0, json!([])),
        (json!({"urls": ["/cases?*"]}), json!(true), 1, json!([{"name": "cases", "met": 1}])),
        (json!({"urls": ["/login"]}), json!(false), 0, json!([])),
        (json!({"urls": ["http://other.example/cases/2"]}), json!(true), 0, json!([{"name": "case", "met": 0}])),
        (
            json!({"prefixes": ["/cases"]}),
            json!(true),
            3,
            json!([{"name": "all", "met": 0}, {"name": "case", "met": 2}, {"name": "cases", "met": 1}]),
        ),
    ] {
        let mut dry = call.clone();
        dry["dry_run"] = json!(true);
        let told = clinic.stent.purge(dry).await;
        assert_eq!((&told["known"], &told["met"]), (&known, &json!(met)), "{call}: {told}");
        assert_eq!(told["routes"], routes, "{call}");
        assert_eq!((&told["dry_run"], &told["acknowledged"]), (&json!(true), &json!(false)), "{told}");
    }
    assert_eq!(clinic.stent.cache().log.stamp(), epoch, "nothing is in the log");
    for target in ["/cases/1", "/cases/2", "/cases", "/keyed", "/free/a"] {
        assert!(clinic.is_kept(target).await, "{target}");
    }
    let all = clinic.stent.purge(json!({"tags": ["case:1", "nothing"], "all": true})).await;
    assert_eq!(
        (&all["known"], &all["met"], &all["unknown"]),
        (&json!(false), &json!(5), &json!({"tags": [1]})),
        "{all}"
    );
    assert!(all.get("routes").is_none() && all["acknowledged"] == true, "{all}");
}

#[tokio::test]
async fn a_host_that_no_route_has_is_not_known() {
    let origin = clinic().await;
    let yaml = "policies: {all: {share: public, ttl: 60s}}\n\
        routes:\n  - {name: clinic, host: clinic.example, path: /**, policy: all}\n  \
        - {name: tenant, host: \"<tenant>.example\", path: /t/**, policy: all}";
    let stent = Stent::start(origin.address, yaml);
    for (call, known) in [
        (json!({"urls": ["http://clinic.example/a"]}), true),
        (json!({"urls": ["http://clinic.exmaple/a"]}), false),
        (json!({"urls": ["http://a.example/t/1"]}), true),
        (json!({"urls": ["http://a.example/u/1"]}), false),
        (json!({"prefixes": ["http://b.a.example/"]}), false),
        (json!({"prefixes": ["http://b.example/"]}), true),
        (json!({"prefixes": ["/t"]}), true),
    ] {
        assert_eq!(stent.purge(call.clone()).await["known"], known, "{call}");
    }
}

#[tokio::test]
async fn what_was_purged_leaves_memory_without_a_request() {
    let clinic = Clinic::open().await;
    let (cache, client) = (clinic.stent.cache(), clinic.stent.client());
    let status = async || {
        serde_json::from_slice::<serde_json::Value>(&clinic.stent.admin("GET", "/api/v1/status").send().await.body)
            .unwrap()
    };
    for n in 0..50 {
        client.get(&format!("/cases/{n}")).send().await;
    }
    clinic.keep("/free/a").await;
    clinic.stent.purge(json!({"tags": ["case:*"], "soft": true})).await;
    cache.memory.tend();
    let (entries, bytes) = cache.memory.size();
    assert_eq!(entries, 51, "a soft purge lets go of nothing");
    assert_eq!(status().await["sweep"], json!({"done": true, "dead_bytes": 0, "swept_bytes": 0}));
    clinic.stent.purge(json!({"tags": ["case:*"]})).await;
    crate::scenario::eventually(|| cache.swept.is_done(&cache.log)).await;
    cache.memory.tend();
    let left = cache.memory.size();
    assert_eq!(left.0, 1, "what was not named is there");
    assert!(clinic.is_kept("/free/a").await);
    assert_eq!(status().await["sweep"], json!({"done": true, "dead_bytes": 0, "swept_bytes": bytes - left.1}));
}

#[tokio::test]
async fn what_a_purge_overtook_on_its_way_leaves_memory_too() {
    let gate = crate::scenario::Gate::default();
    let origin = Origin::gated(&gate, || answer(200, &[], "a")).await;
    let stent = Stent::start(
        origin.address,
        "policies: {all: {share: public, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: all}]",
    );
    let cache = stent.cache();
    let client = stent.client();
    let slow = tokio::spawn(async move { client.get("/a").send().await.status });
    gate.arrived(1).await;
    stent.purge(json!({"all": true})).await;
    crate::scenario::eventually(|| cache.swept.is_done(&cache.log)).await;
    gate.open(1);
    assert_eq!(slow.await.unwrap(), 200);
    crate::scenario::eventually(|| cache.swept.bytes() > 0 && cache.swept.is_done(&cache.log)).await;
    cache.memory.tend();
    assert_eq!(cache.memory.size().0, 0);
}

#[tokio::test]
async fn the_command_line_says_what_a_purge_met() {
    let clinic = Clinic::open().await;
    clinic.keep("/cases/1").await;
    let admin = clinic.stent.admin.to_string();
    let purge = |arguments: &[&str]| {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_stent"));
        let output = command.args(["purge", "--admin", &admin]).args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let check = |arguments: &[&str], code: i32, out: &str, err: &str| {
        let (exited, stdout, stderr) = purge(arguments);
        let right =
            exited == Some(code) && stdout.contains(out) && stderr.contains(err) && stderr.is_empty() == err.is_empty();
        assert!(right, "{arguments:?}: {exited:?}\n{stdout}\n{stderr}");
    };
    check(
        &["--dry-run", "case:1"],
        0,
        "would purge 1 stored answer; nothing was purged\n  route batch: 0 stored answers\n  route case: 1 stored answer\n",
        "",
    );
    assert!(clinic.is_kept("/cases/1").await);
    check(
        &["--url", "/img/*"],
        2,
        "",
        "no request can match /img/*: write stent purge --prefix /img; a star itself is %2A",
    );
    check(&["--prefix", "/img/*.jpg"], 2, "", "by a tag");
    check(&["--url", "ftp://h/a"], 2, "", "write http://h/a or https://h/a");
    check(&["foo*"], 2, "", "not purged: 400");
    check(&["caes:1"], 0, ": 0 stored answers", "`caes:1` is not known");
    check(&["--must-match", "caes:1"], 3, ": 0 stored answers", "`caes:1` is not known");
    check(&["--must-match", "--dry-run", "caes:1"], 3, "would purge 0 stored answers", "`caes:1` is not known");
    check(&["--must-match", "case:2"], 0, ": 0 stored answers", "");
    check(&["--must-match", "--json", "case:1"], 0, "\"met\":1", "");
    assert!(!clinic.is_kept("/cases/1").await);
    check(&["--admin-is-not-an-option"], 1, "", "unexpected argument");
}

#[tokio::test]
async fn hosts_and_odd_targets_are_reached() {
    let origin = clinic().await;
    let yaml = "policies: {all: {share: public, ttl: 60s}}\n\
        routes:\n  - {name: tenant, host: \"<tenant>.clinic.example\", path: /t/**, policy: all}\n  \
        - {name: all, path: /**, policy: all, ambiguous_path: pass}";
    let stent = Stent::start(origin.address, yaml);
    let client = stent.client();
    let kept = async |target: &str, host: &str| client.get(target).header("host", host).send().await.is_hit();
    let write = async |target: &str, host: &str| client.ask("PUT", target).header("host", host).send().await;
    // A tenant's port is not another tenant; another tenant is.
    for host in ["a.clinic.example:8443", "b.clinic.example"] {
        kept("/t/1", host).await;
        assert!(kept("/t/1", host).await, "{host}");
    }
    write("/t/1", "a.clinic.example").await;
    assert!(!kept("/t/1", "a.clinic.example:8443").await);
    assert!(kept("/t/1", "b.clinic.example").await);
    // Which path an ambiguous one is taken for is not known, nor by which name of the host.
    kept("/q", "b.example").await;
    write("//q", "a.example").await;
    assert!(!kept("/q", "b.example").await);
    // A URL in a query is no host.
    kept("/q?next=http://h/a", "b.example").await;
    stent.purge(json!({"urls": ["/q?next=http://h/a"]})).await;
    assert!(!kept("/q?next=http://h/a", "b.example").await);
}

#[tokio::test]
async fn a_write_takes_every_batch_that_names_what_it_wrote() {
    let clinic = Clinic::open().await;
    let batches = ["1,2,3", "2", "3&NAME=2", "3%2C2", "2,3,2,", "02,3", "1,3", "22", "1;2", "1%7C2"];
    for (target, name, written) in [("/batch", "ids", &batches[..8]), ("/tagged", "case", &batches[..])] {
        let targets: Vec<String> =
            written.iter().map(|batch| format!("{target}?{name}={}", batch.replace("NAME", name))).collect();
        for target in &targets {
            clinic.keep(target).await;
        }
        match name {
            "ids" => drop(clinic.stent.client().ask("PUT", "/cases/2").send().await),
            _ => drop(clinic.stent.purge(json!({"tags": ["by:2"]})).await),
        }
        for (target, batch) in targets.iter().zip(written) {
            assert_eq!(clinic.is_kept(target).await, ["1,3", "22"].contains(batch), "{target}");
        }
    }
}

/// Of ten thousand batches that are read beside writes none shows a record as it was before, whatever stands between their names.
#[test]
fn no_batch_is_stale_beside_writes() {
    const RECORDS: u64 = 40;
    let yaml = "server: {listen: 127.0.0.1:0}
upstreams: {app: {servers: [http://127.0.0.1:9]}}
policies: {all: {share: public, ttl: 60s}}
routes:
  - {name: said, path: /said, policy: all, tags: [\"case:<query.ids:,>\"]}
  - {name: unsaid, path: /unsaid, policy: all, tags: [\"case:<query.ids>\"]}
  - {name: parts, path: /parts/<ids>, policy: all, tags: [\"case:<ids:,>\"]}
  - {name: case, path: /cases/<int:id>, policy: all, tags: [\"case:<id>\"]}
";
    let loaded = stent::config::parse("test.yaml", yaml, &|_| None);
    let routes = loaded.unwrap_or_else(|report| panic!("{}", report.render(false))).settings.routes;
    let place = |path: &str, query: &str| RequestPlace {
        plain: None,
        scheme: Scheme::Http,
        authority: "clinic.example".to_owned(),
        forwarded_host: None,
        path: path.to_owned(),
        query: query.to_owned(),
        principal: Vec::new(),
        facets: Vec::new(),
    };
    let log = PurgeLog::default();
    let mut state = 9u64;
    let mut random = |below: u64| {
        // xorshift64*
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % below
    };
    let mut versions: HashMap<u64, u64> = HashMap::new();
    let mut stored: HashMap<String, (Birth, TagSet, Vec<u64>)> = HashMap::new();
    let (mut hits, mut read) = (0, 0);
    while read < 10_000 {
        if random(6) == 0 {
            let id = random(RECORDS);
            *versions.entry(id).or_default() += 1;
            let mut tags = TagSet::default();
            let place = place(&format!("/cases/{id}"), "");
            place.purged(&routes[3], None, None).iter().for_each(|tag| tags.name(tag));
            log.apply(&tags, Strength::Hard);
            continue;
        }
        read += 1;
        let ids: Vec<u64> = (0..1 + random(4)).map(|_| random(RECORDS)).collect();
        let names: Vec<String> = ids.iter().map(u64::to_string).collect();
        let between = [",", "%2C", ",,", ", ", "%2c+"][random(5) as usize];
        let (route, path, query) = match random(4) {
            0 => (&routes[0], "/said".to_owned(), format!("a=1&ids={}", names.join(between))),
            1 => (&routes[1], "/unsaid".to_owned(), format!("ids={}&b", names.join(between))),
            2 => (&routes[0], "/said".to_owned(), format!("ids={}", names.join("&ids="))),
            _ => (&routes[2], format!("/parts/{}", names.join(",")), String::new()),
        };
        let now: Vec<u64> = ids.iter().map(|id| versions.get(id).copied().unwrap_or(0)).collect();
        let key = format!("{path}?{query}");
        if let Some((birth, tags, then)) = stored.get(&key)
            && log.check(birth, tags) == Standing::Good
        {
            assert_eq!(*then, now, "{key}");
            hits += 1;
            continue;
        }
        let place = place(&path, &query);
        let mut tags = place.carried(route);
        place.add_templates(route, None, &mut tags).unwrap();
        assert!(!tags.overflowed());
        stored.insert(key, (Birth::new(log.stamp(), log.stamp()), tags, now));
    }
    assert!(hits > 500, "{hits} hits show something");
}
