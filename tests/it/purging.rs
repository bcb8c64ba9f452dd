//! What purges take, and what writes take with them.

use serde_json::json;

use crate::scenario::{Counter, Origin, Stent, answer};

const CLINIC: &str = "
identity: {principal: [authorization]}
policies:
  own: {share: principal, ttl: 60s}
  all: {share: public, ttl: 60s, stale_while_revalidate: 60s}
routes:
  - {name: case, path: /cases/<int:id>, policy: all, tags: [case:<id>], purges: [cases]}
  - {name: cases, path: /cases, policy: all, tags: [cases]}
  - {name: visit, path: /visits/<int:id>, policy: all, tags: [visit:<id>, case:<answer.patient_id>], purges: [case:<sent.patient_id>]}
  - {name: search, path: /search, methods: [POST], read_only: true}
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
                    "200" => answer(200, &[("content-type", "application/json")], "{\"patient_id\": 3}"),
                    "201" => answer(201, &[("location", "/cases/9")], ""),
                    status => answer(status.parse().unwrap(), &[], ""),
                };
            }
            let number = counter.next(seen.path());
            let headers: &[(&str, &str)] = match seen.path() {
                "/keyed" => &[("surrogate-key", "a:1 b"), ("cache-tag", "c"), ("xkey", "d"), ("cache-groups", "\"g\"")],
                _ => &[("content-type", "application/json")],
            };
            answer(200, headers, json!({"n": number, "patient_id": 3}).to_string())
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
            "{\"patient_id\": 4}",
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
    let app = stent::app::App::start(loaded.settings, stent::clock::Clock::System).unwrap();
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
