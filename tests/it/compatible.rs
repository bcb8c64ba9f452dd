//! Purges in the words of other caches: what their callers send, as they send it, takes what it should and is answered as they
//! expect.

use serde_json::{Value, json};

use crate::scenario::{Asking, Counter, Origin, Reply, Stent, answer};

/// Numbers its answers by path, and names tags as the frameworks do.
async fn tagged() -> Origin {
    let counter = Counter::default();
    Origin::start(move |seen| {
        let counter = counter.clone();
        async move {
            if seen.method == "PURGE" {
                return answer(200, &[], "the origin's own");
            }
            let headers: &[(&str, &str)] = match seen.path() {
                "/souin" => &[("surrogate-key", "/books, /books/1")],
                "/fos" => &[("x-cache-tags", "a,b")],
                "/fastly" => &[("surrogate-key", "patient:7 ward")],
                "/varnish" => &[("xkey", "a b")],
                _ => &[],
            };
            answer(200, headers, format!("{}", counter.next(seen.path())))
        }
    })
    .await
}

const RULES: &str = "
identity: {principal: [authorization]}
policies: {all: {share: public, ttl: 60s}, own: {share: principal, ttl: 60s}}
routes:
  - {name: own, path: /own/**, policy: own, purge: {from: 127.0.0.1}}
  - {name: sized, path: /sized, methods: [GET], policy: all, query: {size: {default: 20}}, purge: {from: [127.0.0.0/8, \"::1\"]}}
  - {name: elsewhere, path: /elsewhere, policy: all, purge: {from: [10.0.0.0/8]}}
  - {name: open, path: /open/**, policy: all, purge: {from: [127.0.0.0/8]}}
  - {name: all, path: /**, policy: all}
";

const KEY: &str = "0123456789abcdef";

fn with_tokens() -> String {
    format!(
        "admin: {{listen: 127.0.0.1:0, tokens: {{app: {{token: {KEY}, may: [purge]}}, eye: {{token: {KEY}x, may: [read]}}}}}}\n{RULES}"
    )
}

/// Keeps what a target answers, lets `purge` be sent, and tells what it was answered and whether the target is still kept.
async fn after(stent: &Stent, target: &str, purge: Asking) -> (Reply, bool) {
    stent.client().get(target).send().await;
    assert!(stent.client().get(target).send().await.is_hit(), "{target}");
    let reply = purge.send().await;
    (reply, stent.client().get(target).send().await.is_hit())
}

#[tokio::test]
async fn a_listed_address_purges_a_url_for_everybody() {
    let origin = tagged().await;
    let stent = Stent::start(origin.address, RULES);
    let client = stent.client();
    let own =
        async |token: &str, accept: &str| client.get("/own/7").bearer(token).header("accept", accept).send().await;
    let all = [("a", "text/html"), ("a", "application/json"), ("b", "text/html")];
    for _ in 0..2 {
        for (token, accept) in all {
            own(token, accept).await;
        }
    }
    let purged = client.ask("PURGE", "/own/7/").send().await;
    let receipt: Value = serde_json::from_slice(&purged.body).unwrap();
    assert_eq!((purged.status, &receipt["status"], purged.cache()), (200, &json!("ok"), "stent; detail=purged"));
    for (token, accept) in all {
        assert!(!own(token, accept).await.is_hit(), "{token} {accept}");
    }
    // A route that rewrites queries; and one that lists GET, which is what is purged.
    assert!(!after(&stent, "/sized?size=20", client.ask("PURGE", "/sized?size=5")).await.1);
    assert!(after(&stent, "/open/1?a=1", client.ask("PURGE", "/open/1?a=2")).await.1, "another query");
    assert!(after(&stent, "/open/1?a=1", client.ask("PURGE", "/open/1?a=1").header("host", "other.example")).await.1);
    assert!(!after(&stent, "/open/1?a=1", client.ask("PURGE", "/open/1?a=1")).await.1);
    for target in ["/open/*", "/open/1?a=*"] {
        let (refused, kept) = after(&stent, "/open/1?a=1", client.ask("PURGE", target)).await;
        assert!(refused.status == 400 && kept, "{target} is no pattern");
    }
    assert!(!after(&stent, "/open/1?a=1", client.ask("PURGE", "/open/1?*")).await.1, "with any query");
    let soft = client.ask("PURGE", "/open/2").header("soft-purge", "1");
    client.get("/open/2").send().await;
    soft.send().await;
    let asked = client.get("/open/2").send().await;
    assert!(asked.cache().contains("detail=soft-purged"), "{}", asked.cache());
    assert_eq!(origin.seen().iter().filter(|seen| seen.method == "PURGE").count(), 0, "the origin hears nothing of it");
}

#[tokio::test]
async fn others_are_refused_and_where_nothing_is_said_the_origin_decides() {
    let origin = tagged().await;
    let stent = Stent::start(origin.address, RULES);
    let client = stent.client();
    let (refused, kept) = after(&stent, "/elsewhere", client.ask("PURGE", "/elsewhere")).await;
    assert_eq!((refused.status, kept), (403, true));
    assert!(refused.text().contains("purge-not-allowed"), "{}", refused.text());
    assert_eq!(origin.seen().iter().filter(|seen| seen.method == "PURGE").count(), 0);
    // Nor does a proxy that nobody has listed, once it says that it is one.
    for (name, status) in [
        ("x-forwarded-for", 403),
        ("forwarded", 403),
        ("x_forwarded_for", 403),
        ("x-real-ip", 403),
        ("x-forwarded-proto", 200),
    ] {
        let purge = client.ask("PURGE", "/open/1").header(name, "203.0.113.9");
        assert_eq!(purge.send().await.status, status, "{name}");
    }
    // Without a word on it, it is a method that may change something.
    let (passed, kept) = after(&stent, "/plain", client.ask("PURGE", "/plain")).await;
    assert_eq!((passed.text().as_str(), kept), ("the origin's own", false));
    // A trusted proxy does not lend its address to those it speaks for.
    let trusting = format!("server: {{listen: 127.0.0.1:0, trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]}}\n{RULES}");
    let stent = Stent::start(origin.address, &trusting);
    let purge = |chain: &str| stent.client().ask("PURGE", "/open/1").header("x-forwarded-for", chain);
    for (chain, status) in [
        ("203.0.113.9", 403),
        ("127.0.0.1, 203.0.113.9", 403),
        ("203.0.113.9, 10.0.0.1", 403),
        ("unknown", 403),
        ("_hidden", 403),
        ("127.0.0.1:80:80", 403),
        ("127.0.0.1, 203.0.113.9:4711, [::ffff:10.0.0.1]:80", 403),
        ("127.0.0.1", 200),
        ("127.0.0.1:4711", 200),
        ("[::ffff:127.0.0.1]:4711", 200),
        ("203.0.113.9, ::ffff:127.0.0.1, 10.0.0.1:80", 403),
        ("127.0.0.1, 10.0.0.1", 200),
    ] {
        assert_eq!(purge(chain).send().await.status, status, "{chain}");
    }
    let standard = stent.client().ask("PURGE", "/open/1").header("forwarded", "for=127.0.0.1");
    assert_eq!(standard.send().await.status, 403, "it is not looked into");
    assert_eq!(stent.client().ask("PURGE", "/open/1").send().await.status, 200, "the proxy itself");
}

#[tokio::test]
async fn what_speaks_to_fastly_can_speak_to_the_admin() {
    let origin = tagged().await;
    let stent = Stent::start(origin.address, &with_tokens());
    let call = |method: &str, target: &str| {
        stent.admin(method, target).header("fastly-key", KEY).header("accept", "application/json")
    };
    let json = |reply: &Reply| serde_json::from_slice::<Value>(&reply.body).unwrap();
    let (reply, kept) = after(&stent, "/fastly", call("POST", "/service/x/purge/patient:7")).await;
    assert_eq!((reply.status, json(&reply)["status"].as_str(), kept), (200, Some("ok"), false));
    assert!(json(&reply)["id"].is_string(), "{}", reply.text());
    let (reply, kept) =
        after(&stent, "/fastly", call("POST", "/service/x/purge").header("surrogate-key", "a ward")).await;
    let body = json(&reply);
    assert_eq!((body["a"].is_string(), body["ward"].is_string(), kept), (true, true, false), "{body}");
    let batch = call("POST", "/service/x/purge").body("{\"surrogate_keys\":[\"patient:*\"]}");
    assert!(!after(&stent, "/fastly", batch).await.1);
    let (reply, kept) = after(&stent, "/fastly", call("POST", "/service/x/purge_all")).await;
    assert_eq!((json(&reply), kept), (json!({"status": "ok"}), false));
    let url = call("PURGE", "/fastly").header("host", "clinic.example");
    assert!(!after(&stent, "/fastly", url).await.1);
    assert!(!after(&stent, "/fastly?a=1", call("POST", "/purge/clinic.example/fastly?a=1")).await.1);
    let of_every_host = call("PURGE", "/fastly").header("host", &stent.admin.to_string());
    assert!(!after(&stent, "/fastly", of_every_host).await.1);
    let soft = call("POST", "/service/x/purge/ward").header("fastly-soft-purge", "1");
    stent.client().get("/fastly").send().await;
    soft.send().await;
    let asked = stent.client().get("/fastly").send().await;
    assert!(asked.cache().contains("detail=soft-purged"), "{}", asked.cache());
    // The same scopes as everywhere.
    for (token, status) in [(format!("{KEY}x"), 403), ("guess".to_owned(), 401)] {
        let (reply, kept) =
            after(&stent, "/fastly", stent.admin("POST", "/service/x/purge_all").header("fastly-key", &token)).await;
        assert_eq!((reply.status, kept), (status, true));
    }
    assert_eq!(stent.admin("PURGE", "/fastly").send().await.status, 401);
    assert_eq!(call("POST", "/service/x/purge").send().await.status, 400, "nothing is named");
}

#[tokio::test]
async fn what_speaks_to_souin_or_varnish_can_speak_to_the_admin() {
    let origin = tagged().await;
    let stent = Stent::start(origin.address, RULES);
    let call = |method: &str, target: &str| stent.admin(method, target);
    for (kept_there, purge, status) in [
        ("/souin", call("PURGE", "/souin-api/souin").header("surrogate-key", "/pens, /books"), 204),
        ("/souin", call("PURGE", "/souin-api/souin/flush"), 204),
        ("/souin", call("PURGE", "/souin-api/souin/GET-http-clinic.example-/souin"), 204),
        (
            "/souin",
            call("POST", "/souin-api/souin").body("{\"type\":\"group\",\"groups\":[\"/books/1\"],\"purge\":true}"),
            200,
        ),
        (
            "/souin/a/b",
            call("POST", "/souin-api/souin")
                .body("{\"type\":\"uri-prefix\",\"selectors\":[\"clinic.example/souin/a\"],\"purge\":true}"),
            200,
        ),
        ("/fos", call("PURGETAGS", "/").header("x-cache-tags", "b,c"), 200),
        ("/varnish", call("PURGEKEYS", "/").header("xkey-purge", "b c"), 200),
        ("/varnish", call("PURGE", "/").header("xkey", "a"), 200),
        ("/varnish", call("PURGE", "/varnish").header("host", "clinic.example"), 200),
    ] {
        let (reply, kept) = after(&stent, kept_there, purge).await;
        assert_eq!((reply.status, kept), (status, false), "{kept_there}: {}", reply.text());
    }
    for refused in
        [call("BAN", "/").header("x-url", "/.*"), call("PURGE", "/souin-api/souin/.+"), call("GET", "/souin-api/souin")]
    {
        let (reply, kept) = after(&stent, "/souin", refused).await;
        assert_eq!((reply.status, reply.header("content-type"), kept), (501, "application/problem+json", true));
    }
    let reply = stent.client().get("/fos").send().await;
    assert_eq!(reply.header("x-cache-tags"), "", "tags are not for clients");
}
