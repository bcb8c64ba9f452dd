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
  - {name: visit, path: /visits/<int:id>, policy: all, tags: [visit:<id>, case:<answer.case_id>], purges: [case:<sent.case_id>]}
  - {name: tagged, path: /tagged, policy: all, tags: [by:<query.case>]}
  - {name: rewritten, host: clinic.example, path: /rewritten, policy: all, query: {size: {default: 20}, other: pass}}
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
    ] {
        assert_eq!(admin.ask("POST", "/api/v1/purge").body(call.to_string()).send().await.status, 400, "{call}");
    }
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
