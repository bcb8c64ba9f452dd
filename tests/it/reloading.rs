//! Another configuration while requests are under way: who gets what by which rules, and what is never mixed.

use serde_json::{Value, json};

use crate::scenario::{Counter, Gate, KeptOpen, Origin, Stent, answer, configuration};

const SHARED: &str = "
identity: {principal: [authorization]}
policies: {p: {share: public, ttl: 60s, stale_while_revalidate: 60s}}
routes: [{name: slow, path: /slow/**, policy: p}, {name: list, path: /list, policy: p, tags: [list]}, {name: all, path: /**, policy: p}]";

const OWN: &str = "
identity: {principal: [authorization]}
policies: {p: {share: principal, ttl: 60s}, q: {share: public, ttl: 60s, stale_while_revalidate: 60s}}
routes: [{name: slow, path: /slow/**, policy: p}, {name: list, path: /list, policy: q, tags: [list]}, {name: all, path: /**, policy: p}]";

/// Numbers its answers by path; those below `/slow` wait at the gate.
async fn numbered() -> (Origin, Gate) {
    let (counter, gate) = (Counter::default(), Gate::default());
    let at = gate.clone();
    let origin = Origin::start(move |seen| {
        let (counter, gate) = (counter.clone(), at.clone());
        async move {
            let number = counter.next(seen.path());
            if seen.path().starts_with("/slow") {
                gate.pass().await;
            }
            answer(200, &[], format!("{number}"))
        }
    })
    .await;
    (origin, gate)
}

#[tokio::test]
async fn a_request_ends_by_the_rules_it_began_with_and_the_next_goes_by_the_new_ones() {
    let (origin, gate) = numbered().await;
    let stent = Stent::start(origin.address, OWN);
    let mut open = KeptOpen::to(stent.address).await.unwrap();
    assert_eq!(open.get("/a").await.unwrap().cache(), "stent; fwd=bypass; detail=no-principal; fwd-status=200");
    let slow = tokio::spawn(stent.client().get("/slow/1").bearer("a").send());
    gate.arrived(1).await;
    assert!(stent.reload(origin.address, SHARED).is_empty());
    gate.open(1);
    let slow = slow.await.unwrap();
    assert_eq!((slow.status, slow.header("cache-control")), (200, "private, no-cache"), "as it began");
    // On the connection that was open before.
    let next = open.get("/a").await.unwrap();
    assert_eq!(
        (next.cache(), next.header("cache-control")),
        ("stent; fwd=uri-miss; fwd-status=200; stored; ttl=60", "")
    );
    assert!(open.get("/a").await.unwrap().is_hit());
}

#[tokio::test]
async fn what_all_shared_is_nobodys_once_it_is_each_ones_own() {
    let (origin, _) = numbered().await;
    let stent = Stent::start(origin.address, SHARED);
    let get = async |token: &str| stent.client().get("/a").bearer(token).send().await.text();
    assert_eq!((get("a").await.as_str(), get("b").await.as_str()), ("1", "1"));
    stent.reload(origin.address, OWN);
    assert_eq!((get("a").await.as_str(), get("b").await.as_str()), ("2", "3"));
    assert_eq!(get("a").await, "2");
    // The rules that come back do not bring back what was stored by them: writes in between did not name it.
    stent.reload(origin.address, SHARED);
    assert_eq!((get("a").await.as_str(), get("b").await.as_str()), ("4", "4"));
}

#[tokio::test]
async fn what_stays_as_it_is_stays_stored_and_goes_on_counting() {
    let (origin, _) = numbered().await;
    let stent = Stent::start(origin.address, SHARED);
    let before = stent.app.as_ref().unwrap().proxy();
    stent.client().get("/list").send().await;
    let number = "stent_requests_total{route=\"list\",outcome=\"hit\"} ";
    for hits in 1..4 {
        // The other routes have changed twice meanwhile.
        stent.reload(origin.address, if hits == 2 { OWN } else { SHARED });
        let list = stent.client().get("/list").send().await;
        assert!(list.is_hit(), "{}", list.cache());
        let metrics = stent.admin("GET", "/metrics").send().await.text();
        assert!(metrics.contains(&format!("{number}{hits}")), "{metrics}");
    }
    let after = stent.app.as_ref().unwrap().proxy();
    assert!(!std::sync::Arc::ptr_eq(&before, &after));
    assert!(std::sync::Arc::ptr_eq(&before.upstreams[0], &after.upstreams[0]), "its connections go on");
    assert!(std::sync::Arc::ptr_eq(&before.cache, &after.cache));
}

#[tokio::test]
async fn what_a_reload_leaves_behind_is_gone_from_the_metrics() {
    let (origin, _) = numbered().await;
    let rules = |number: usize| {
        format!(
            "policies: {{p: {{share: public, ttl: 60s}}}}\n\
             routes: [{{name: stays, path: /stays, policy: p}}, {{name: route{number:03}, path: /**, policy: p}}]"
        )
    };
    let stent = Stent::start(origin.address, &rules(0));
    let mut first = 0;
    for number in 0..500 {
        stent.reload(origin.address, &rules(number));
        if number % 50 != 0 && number != 499 {
            continue;
        }
        stent.client().get("/stays").send().await;
        stent.client().get("/other").send().await;
        let metrics = stent.admin("GET", "/metrics").send().await.text();
        assert!(metrics.contains(&format!("route=\"route{number:03}\",outcome=\"")), "{metrics}");
        let routes = metrics.lines().filter(|line| line.starts_with("stent_slow_requests_total{")).count();
        assert_eq!(routes, 2, "{metrics}");
        first = if first == 0 { metrics.len() } else { first };
        assert!(metrics.len() < first + first / 10, "{} after {first}", metrics.len());
    }
    let metrics = stent.admin("GET", "/metrics").send().await.text();
    assert!(metrics.contains("stent_requests_total{route=\"stays\",outcome=\"hit\"} 10\n"), "{metrics}");
}

#[tokio::test]
async fn a_shorter_life_holds_at_once() {
    let (origin, _) = numbered().await;
    let rules = |ttl: &str| {
        format!("policies: {{p: {{share: public, ttl: {ttl}}}}}\nroutes: [{{name: all, path: /**, policy: p}}]")
    };
    let stent = Stent::start(origin.address, &rules("1h"));
    assert_eq!(stent.client().get("/a").send().await.text(), "1");
    stent.reload(origin.address, &rules("1m"));
    stent.clock.advance(std::time::Duration::from_secs(90));
    assert_eq!(stent.client().get("/a").send().await.text(), "2");
}

#[tokio::test]
async fn a_fill_that_began_before_stores_for_nobody() {
    let (origin, gate) = numbered().await;
    let stent = Stent::start(origin.address, SHARED);
    gate.open(1);
    assert_eq!(stent.client().get("/slow/1").send().await.text(), "1");
    stent.clock.advance(std::time::Duration::from_secs(61));
    // Served stale, and fetched anew behind, by the old rules.
    assert_eq!(stent.client().get("/slow/1").send().await.text(), "1");
    gate.arrived(2).await;
    stent.reload(origin.address, OWN);
    gate.open(1);
    let flights = stent.app.as_ref().unwrap().proxy().cache.flights.clone();
    crate::scenario::eventually(|| flights.is_empty()).await;
    gate.open(2);
    let get = async |token: &str| stent.client().get("/slow/1").bearer(token).send().await;
    let (a, b) = (get("a").await, get("b").await);
    assert_eq!((a.text().as_str(), b.text().as_str()), ("3", "4"), "{} {}", a.cache(), b.cache());
}

#[tokio::test]
async fn a_write_that_ends_under_other_rules_purges_what_it_could_not_name() {
    let (origin, gate) = numbered().await;
    let with = |tag: &str| {
        format!(
            "policies: {{p: {{share: public, ttl: 60s}}}}\nroutes:\n  \
             - {{name: list, path: /list, policy: p, tags: [{tag}]}}\n  \
             - {{name: write, path: /slow/write, purges: [{tag}]}}\n  - {{name: other, path: /other, policy: p}}"
        )
    };
    let stent = Stent::start(origin.address, &with("old"));
    stent.client().get("/other").send().await;
    let write = tokio::spawn(stent.client().ask("POST", "/slow/write").send());
    gate.arrived(1).await;
    stent.reload(origin.address, &with("new"));
    // Fetched by the new rules, before the origin has done what was asked of it.
    assert_eq!(stent.client().get("/list").send().await.text(), "1");
    assert!(stent.client().get("/list").send().await.is_hit());
    gate.open(1);
    assert_eq!(write.await.unwrap().status, 200);
    assert_eq!(stent.client().get("/list").send().await.text(), "2");
    assert!(stent.client().get("/other").send().await.is_hit(), "its rules are as they were");
}

/// Stent from a file of its own.
fn from_file(origin: &Origin, yaml: &str) -> (Stent, tempfile::TempDir, impl Fn(&str) + use<>) {
    let folder = tempfile::tempdir().unwrap();
    let (file, address) = (folder.path().join("proxy.yaml"), origin.address);
    let at = file.clone();
    let write = move |yaml: &str| std::fs::write(&at, configuration(address, "", yaml)).unwrap();
    write(yaml);
    (Stent::start_from(&file), folder, write)
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing_and_all_of_them_are_named() {
    let (origin, _) = numbered().await;
    let (stent, _folder, write) = from_file(&origin, SHARED);
    stent.client().get("/a").send().await;
    write(
        "policies: {p: {share: public, ttl: 60}}\nroutes:\n  - {name: all, path: /**, policy: q}\n  - {name: all, path: /a}",
    );
    let told = stent.admin("POST", "/api/v1/reload").send().await;
    assert_eq!((told.status, told.header("content-type")), (422, "application/problem+json"));
    let told: Value = serde_json::from_slice(&told.body).unwrap();
    let lines: Vec<u64> = told["problems"].as_array().unwrap().iter().map(|p| p["line"].as_u64().unwrap()).collect();
    assert_eq!((told["code"].as_str(), lines.as_slice()), (Some("mistakes"), &[4, 6, 7, 7][..]), "{told}");
    assert!(stent.client().get("/a").send().await.is_hit());
    // And once it is mended, it holds.
    write(&OWN.replace("all,", "everything,"));
    let told = stent.admin("POST", "/api/v1/reload").send().await;
    assert_eq!(
        (told.status, told.text().as_str()),
        (200, "{\"reloaded\":true,\"restart_needed\":[],\"warnings\":[]}\n")
    );
    assert_eq!(stent.client().get("/a").send().await.cache(), "stent; fwd=bypass; detail=no-principal; fwd-status=200");
}

#[tokio::test]
async fn what_takes_a_restart_is_named_and_the_rest_holds() {
    let (origin, _) = numbered().await;
    let tokens = "admin:\n  listen: 127.0.0.1:0\n  tokens: {ops: {token: 0123456789abcdef, may: [reload, read]}, eye: {token: 0123456789abcdeg, may: [read]}}\n";
    let (stent, _folder, write) = from_file(&origin, &format!("{tokens}{SHARED}"));
    let reload = async |token: &str| stent.admin("POST", "/api/v1/reload").bearer(token).send().await;
    assert_eq!((reload("0123456789abcdeg").await.status, reload("x").await.status), (403, 401));
    let first = stent.client().get("/a").send().await;
    assert_eq!(first.header("via"), "1.1 stent");
    let server = "server: {listen: 127.0.0.1:1, workers: 3, limits: {connections: 7, body: 1B}}\ncache: {memory: 1GiB, mode: bypass}\n";
    write(&format!("{server}{tokens}{SHARED}"));
    for _ in 0..2 {
        let told: Value = serde_json::from_slice(&reload("0123456789abcdef").await.body).unwrap();
        let keys = ["server.listen", "server.workers", "server.limits.connections", "cache.memory"];
        assert_eq!(told["restart_needed"], json!(keys), "also when it is said again");
    }
    assert_eq!(
        stent.client().get("/a").send().await.cache(),
        "stent; fwd=bypass; detail=cache-bypassed; fwd-status=200"
    );
    assert_eq!(stent.client().ask("POST", "/a").body("two").send().await.status, 413);
    // Tokens hold from the next call on; but an address that is not there keeps its own.
    write(&format!("{}{SHARED}", tokens.replace("[reload, read]", "[reload]")));
    assert_eq!(reload("0123456789abcdef").await.status, 200);
    assert_eq!(stent.admin("GET", "/api/v1/status").bearer("0123456789abcdef").send().await.status, 403);
    write(&format!("admin: {{listen: 127.0.0.1:1}}\n{SHARED}"));
    let told: Value = serde_json::from_slice(&reload("0123456789abcdef").await.body).unwrap();
    assert_eq!(told["restart_needed"], json!(["admin"]));
    assert_eq!(reload("x").await.status, 401, "the one that is there still wants its tokens");
}

#[tokio::test]
async fn whom_to_believe_is_asked_with_every_request() {
    let (origin, _) = numbered().await;
    let rules = |trusted: &str| {
        format!("server: {{listen: 127.0.0.1:0, trusted_proxies: [{trusted}]}}\nroutes: [{{name: all, path: /**}}]")
    };
    let stent = Stent::start(origin.address, &rules(""));
    let mut open = KeptOpen::to(stent.address).await.unwrap();
    let mut told = async |trusted: &str| {
        stent.reload(origin.address, &rules(trusted));
        let id = open.get_with("/a", &[("x-request-id", "from-the-proxy")]).await.unwrap();
        id.header("x-request-id").to_owned()
    };
    assert_ne!(told("").await, "from-the-proxy");
    assert_eq!(told("127.0.0.0/8").await, "from-the-proxy");
    assert_ne!(told("10.0.0.0/8").await, "from-the-proxy");
}

#[tokio::test]
async fn a_bypassed_route_passes_until_its_time_is_over() {
    let (origin, _) = numbered().await;
    let stent = Stent::start(origin.address, SHARED);
    let call =
        async |method: &str, call: Value| stent.admin(method, "/api/v1/bypass").body(call.to_string()).send().await;
    let list = async || stent.client().get("/list").send().await;
    list().await;
    assert!(list().await.is_hit());
    let on = call("POST", json!({"route": "list", "for": "1h"})).await;
    assert_eq!((on.status, on.text().as_str()), (200, "{\"bypasses\":[{\"route\":\"list\",\"seconds_left\":3600}]}\n"));
    assert_eq!(list().await.cache(), "stent; fwd=bypass; detail=operator-bypass; fwd-status=200");
    assert!(stent.client().get("/a").send().await.cache().contains("uri-miss"), "no other route");
    // It outlasts a reload, ends where its route does, and is listed.
    stent.reload(origin.address, OWN);
    assert_eq!(list().await.cache(), "stent; fwd=bypass; detail=operator-bypass; fwd-status=200");
    let status: Value = serde_json::from_slice(&stent.admin("GET", "/api/v1/status").send().await.body).unwrap();
    assert_eq!(status["bypasses"][0]["route"], "list");
    assert_eq!(call("DELETE", json!({"route": "list"})).await.status, 200);
    assert!(list().await.is_hit(), "what was stored is still true");
    // Writes purge meanwhile.
    call("POST", json!({"route": "list", "for": "1h"})).await;
    stent.client().ask("POST", "/list").send().await;
    stent.clock.advance(std::time::Duration::from_secs(3599));
    assert_eq!(list().await.cache(), "stent; fwd=bypass; detail=operator-bypass; fwd-status=200");
    stent.clock.advance(std::time::Duration::from_secs(1));
    let app = stent.app.as_ref().unwrap();
    crate::scenario::eventually(|| app.configuration.current.bypasses().is_empty()).await;
    let after = list().await;
    assert!(!after.is_hit() && !after.cache().contains("bypass"), "{}", after.cache());
    for (method, wrong, status) in [
        ("POST", json!({"route": "nowhere", "for": "1h"}), 404),
        ("POST", json!({"route": "list", "for": "25h"}), 400),
        ("POST", json!({"route": "list", "for": "0s"}), 400),
        ("POST", json!({"route": "list"}), 400),
        ("DELETE", json!({"route": "list", "for": "1h"}), 400),
    ] {
        assert_eq!(call(method, wrong.clone()).await.status, status, "{method} {wrong}");
    }
}

#[tokio::test]
async fn at_the_limit_the_connection_that_idles_longest_makes_room() {
    let (origin, gate) = numbered().await;
    let limits = "server: {listen: 127.0.0.1:0, workers: 2, limits: {connections: 3}}\n";
    let stent = Stent::start(origin.address, &format!("{limits}{SHARED}"));
    let [mut busy, mut first, mut second] =
        [KeptOpen::to(stent.address).await, KeptOpen::to(stent.address).await, KeptOpen::to(stent.address).await]
            .map(|connection| connection.unwrap());
    for connection in [&mut busy, &mut first, &mut second] {
        assert_eq!(connection.get("/list").await.unwrap().status, 200);
    }
    let busy = tokio::spawn(async move { busy.get("/slow/1").await });
    gate.arrived(1).await;
    // One after the other, as many as come; whoever has a request under way is left alone.
    for _ in 0..3 {
        assert_eq!(stent.client().get("/list").send().await.status, 200);
    }
    let (first, second) = (first.closed(), second.closed());
    tokio::select! {
        () = first => {}
        () = second => {}
    }
    gate.open(1);
    assert_eq!(busy.await.unwrap().unwrap().status, 200);
    let metrics = stent.admin("GET", "/metrics").send().await.text();
    assert!(metrics.lines().any(|line| line.starts_with("stent_connections_shed_total ") && !line.ends_with(" 0")));
}
