//! Paths that `server.refuse` takes: nobody gets them, and no origin hears of them.

use serde_json::{Value, json};

use crate::scenario::{Origin, Reply, Stent, answer};

const REFUSING: &str = "
server: {listen: 127.0.0.1:0, trusted_proxies: [127.0.0.1], refuse: [loopback-pages, /internal/**]}
policies: {page: {share: public, ttl: 60s}}
routes:
  - {name: status, path: /server-status, policy: page, purge: {from: [127.0.0.0/8]}}
  - {name: archive, path: /archive/**, ambiguous_path: pass}
  - {name: live, path: /internal/live, websocket: true}
  - {name: rest, path: /**, policy: page, ambiguous_path: pass}
";

async fn status_page() -> Origin {
    Origin::start(|_| async { answer(200, &[], "requests currently being processed: GET /patients/7") }).await
}

fn is_refused(reply: &Reply) -> bool {
    reply.status == 404 && reply.cache() == "stent; detail=refused-path" && !reply.text().contains("patients")
}

#[tokio::test]
async fn nobody_gets_what_is_refused_by_any_method_or_spelling() {
    let origin = status_page().await;
    let stent = Stent::start(origin.address, REFUSING);
    let client = stent.client();
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PURGE", "PROPFIND"] {
        let reply = client.ask(method, "/server-status").send().await;
        assert!(is_refused(&reply), "{method}: {} {}", reply.status, reply.cache());
    }
    for target in [
        "/server-status?auto",
        "/server-status/",
        "/Server-Status/x/y",
        "/server-status;a=b",
        "/%73erver-status",
        "/x/../server-status",
        "/archive/..%2fserver-status",
        "/archive/..;/manager/html",
        "/archive//..//..//MANAGER",
        "/internal",
        "/internal/live",
    ] {
        let reply = client.get(target).send().await;
        assert!(is_refused(&reply), "{target}: {} {}", reply.status, reply.cache());
    }
    let claimed = [("x-forwarded-for", "127.0.0.1"), ("x-original-url", "/x"), ("authorization", "Bearer root")];
    let asking =
        claimed.into_iter().fold(client.get("/server-status"), |asking, (name, value)| asking.header(name, value));
    assert!(is_refused(&asking.send().await));
    let upgrade = client.get("/internal/live").header("connection", "upgrade").header("upgrade", "websocket");
    assert!(is_refused(&upgrade.send().await));
    assert_eq!(origin.seen().len(), 0);
    assert_eq!(client.get("/server-status.html").send().await.status, 200);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn the_problem_names_no_rule() {
    let origin = status_page().await;
    let stent = Stent::start(origin.address, REFUSING);
    let reply = stent.client().get("/internal/x").send().await;
    let told: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!((&told["code"], &told["status"]), (&json!("refused-path"), &json!(404)));
    assert!(!reply.text().contains("internal") && !reply.text().contains("loopback"), "{}", reply.text());
}

#[tokio::test]
async fn bypassing_everything_changes_nothing_and_a_reload_holds_for_the_next_request() {
    let origin = status_page().await;
    let bypass = format!("cache: {{mode: bypass}}{REFUSING}");
    let stent = Stent::start(origin.address, &bypass);
    assert!(is_refused(&stent.client().get("/server-status").send().await));
    let open = REFUSING.replace("loopback-pages, ", "");
    stent.reload(origin.address, &open);
    assert_eq!(stent.client().get("/server-status").send().await.status, 200);
    assert!(stent.client().get("/server-status").send().await.is_hit());
    stent.reload(origin.address, REFUSING);
    assert!(is_refused(&stent.client().get("/server-status").send().await), "also what is stored");
}

#[tokio::test]
async fn a_running_process_explains_it() {
    let origin = status_page().await;
    let stent = Stent::start(origin.address, REFUSING);
    let question = json!({"method": "GET", "url": "http://clinic.example/server-status"});
    let reply = stent.admin("POST", "/api/v1/explain").body(question.to_string()).send().await;
    let told: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!((&told["decision"]["way"], &told["decision"]["reason"]), (&json!("refuse"), &json!("refused-path")));
    assert_eq!(told["route"], Value::Null);
}
