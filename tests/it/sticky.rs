//! Servers that have sessions in their own memory: who is sent to which, by what cookie.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::scenario::{Client, Origin, Stent, answer};

/// A server that knows those who signed in at it, and nobody else. Its answers say who it is and whom it takes a client for.
async fn server(name: &'static str) -> Origin {
    let sessions = Arc::<Mutex<HashMap<String, String>>>::default();
    Origin::start(move |seen| {
        let mut sessions = sessions.lock().unwrap();
        let session = cookie(seen.header("cookie"), "JSESSIONID");
        let response = match seen.path().strip_prefix("/sign-in/") {
            Some(user) => {
                // As a servlet container makes them: nothing in them says where they were made.
                let id = format!("{:x}", sessions.len() * 7919 + usize::from(name.as_bytes()[0]));
                let set = format!("JSESSIONID={id}; Path=/; HttpOnly");
                sessions.insert(id, user.to_owned());
                answer(200, &[("set-cookie", &set)], name)
            }
            None => {
                let user = session.and_then(|id| sessions.get(&id).cloned());
                answer(
                    200,
                    &[("cache-control", "max-age=60")],
                    format!("{name} {}", user.as_deref().unwrap_or("nobody")),
                )
            }
        };
        std::future::ready(response)
    })
    .await
}

fn cookie(line: Option<&str>, name: &str) -> Option<String> {
    let mut pairs = line?.split("; ").filter_map(|pair| pair.split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
}

const OWN: &str = "identity: {principal: [cookie.JSESSIONID]}\n\
     policies: {own: {share: principal, ttl: 10m}}\n\
     routes: [{name: kept, path: /kept/**, policy: own}, {name: rest, path: /**}]";

#[tokio::test]
async fn each_session_always_reaches_its_server() {
    let (first, second) = (server("A").await, server("B").await);
    let stent = Stent::start_before(&[first.address, second.address], ", sticky: cookie.JSESSIONID", OWN);
    let mut people = Vec::new();
    for number in 0..12 {
        let user = format!("user{number}");
        let signed_in = stent.client().ask("POST", &format!("/sign-in/{user}")).send().await;
        let session =
            cookie(Some(signed_in.header("set-cookie")).map(|set| set.split(';').next().unwrap()), "JSESSIONID");
        people.push((user, signed_in.text(), session.unwrap()));
    }
    assert_eq!(people.iter().filter(|(_, server, _)| server == "A").count(), 6, "who has no session is for any");
    for round in 0..3 {
        for (user, server, session) in &people {
            let want = format!("{server} {user}");
            let shown = format!("theme=dark; JSESSIONID={session}");
            let kept = stent.client().get(&format!("/kept/{round}")).cookie(&format!("JSESSIONID={session}"));
            let (kept, again) = (kept.send().await, stent.client().get(&format!("/kept/{round}")));
            assert_eq!((kept.text(), kept.is_hit()), (want.clone(), false));
            assert!(again.cookie(&format!("JSESSIONID={session}")).send().await.is_hit());
            assert_eq!(stent.client().get("/pass").cookie(&shown).send().await.text(), want);
            assert_eq!(stent.client().ask("POST", "/kept/form").cookie(&shown).body("x").send().await.text(), want);
        }
    }
}

/// What leads to a session may be what proves it: unless the file says otherwise, it is a credential like any other.
#[tokio::test]
async fn that_a_cookie_is_sticky_does_not_make_its_owners_answers_everybodys() {
    let (first, second) = (server("A").await, server("B").await);
    let yaml = "policies: {page: {share: anonymous, ttl: 10m}}\n\
         routes: [{name: p, path: /page, policy: page}, {name: all, path: /**, policy: origin}]";
    let stent = Stent::start_before(&[first.address, second.address], ", sticky: cookie.JSESSIONID", yaml);
    let signed_in = stent.client().ask("POST", "/sign-in/alice").send().await;
    let session = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    for path in ["/page", "/home"] {
        assert!(stent.client().get(path).cookie(&session).send().await.text().ends_with(" alice"), "{path}");
        assert!(stent.client().get(path).send().await.text().ends_with(" nobody"), "{path}");
        assert!(stent.client().get(path).cookie(&session).send().await.text().ends_with(" alice"), "{path}");
    }
}

#[tokio::test]
async fn what_nobody_here_has_given_goes_by_its_value() {
    let (first, second) = (server("A").await, server("B").await);
    let stent = Stent::start_before(&[first.address, second.address], ", sticky: cookie.SERVERID", OWN);
    let mut chosen = HashMap::new();
    for _ in 0..3 {
        for number in 0..32 {
            let reply = stent.client().get("/pass").cookie(&format!("SERVERID=s{number}")).send().await.text();
            assert_eq!(chosen.entry(number).or_insert(reply.clone()), &reply, "SERVERID=s{number}");
        }
    }
    assert!(chosen.values().any(|it| it == "A nobody") && chosen.values().any(|it| it == "B nobody"), "{chosen:?}");
}

#[tokio::test]
async fn a_session_whose_server_is_gone_goes_to_another() {
    let (first, closed) = (server("A").await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let gone = closed.local_addr().unwrap();
    drop(closed);
    let stent = Stent::start_before(&[first.address, gone], ", sticky: cookie.SERVERID, retries: 1", OWN);
    for number in 0..16 {
        let reply = stent.client().get("/pass").cookie(&format!("SERVERID=s{number}")).send().await;
        assert_eq!(reply.text(), "A nobody");
    }
}

const SHARES: &str = "identity:\n\
     \x20 principal: [authorization, cookie.sessionid]\n\
     \x20 ignore_cookies: [theme, SERVERID]\n\
     \x20 affinity_cookies: [lb-*]\n\
     \x20 facets: {unit: access.unit}\n\
     policies:\n\
     \x20 open: {share: public, ttl: 10m}\n\
     \x20 page: {share: anonymous, ttl: 10m}\n\
     \x20 own: {share: principal, ttl: 10m}\n\
     \x20 chart: {share: permitted, access: {ask: /may, for: 60s}, ttl: 10m}\n\
     \x20 unit: {share: [unit], access: {ask: /me, for: 60s}, ttl: 10m}\n\
     routes:\n\
     - {name: p, path: /public, policy: open}\n\
     - {name: a, path: /anonymous, policy: page}\n\
     - {name: i, path: /principal, policy: own}\n\
     - {name: c, path: /permitted, policy: chart}\n\
     - {name: u, path: /facets, policy: unit}\n\
     - {name: o, path: /origin, policy: origin}\n\
     - {name: r, path: /rfc9111, policy: rfc9111}\n\
     - {name: rest, path: /**}";

/// An origin that says `max-age` of everything, and that everybody is of unit `b`.
async fn origin() -> Origin {
    Origin::start(|seen| {
        let kind = if seen.path() == "/me" { "application/json" } else { "text/plain" };
        let headers = [("cache-control", "max-age=60"), ("content-type", kind)];
        std::future::ready(answer(200, &headers, r#"{"unit": "b"}"#))
    })
    .await
}

#[tokio::test]
async fn a_cookie_that_says_where_to_go_is_sent_with_the_callers_own_and_keyed_nowhere() {
    let origin = origin().await;
    let stent = Stent::start(origin.address, SHARES);
    let check = async |path: &str, own: &str, reached: Option<&str>| {
        let ask =
            |server: &str| stent.client().get(path).cookie(&format!("{own}theme=x; SERVERID={server}; lb-1={server}"));
        let fetched = ask("a").send().await;
        assert!(fetched.cache().contains("stored"), "{path}: {}", fetched.cache());
        assert_eq!(origin.last(path).header("cookie"), reached, "{path}");
        assert!(ask("b").send().await.is_hit(), "{path}: another server is no other key");
    };
    check("/public", "sessionid=s; ", None).await;
    check("/anonymous", "", None).await;
    let own = Some("sessionid=s; SERVERID=a; lb-1=a");
    check("/principal", "sessionid=s; ", own).await;
    check("/permitted", "sessionid=s; ", own).await;
    check("/facets", "sessionid=s; ", own).await;
    assert_eq!((origin.last("/may").header("cookie"), origin.last("/me").header("cookie")), (own, own));
    // No credential: what is fetched so is for everybody.
    check("/origin", "", Some("SERVERID=a; lb-1=a")).await;
    assert!(stent.client().get("/origin").send().await.is_hit());
    check("/rfc9111", "", Some("SERVERID=a; lb-1=a")).await;
    stent.client().get("/pass").cookie("theme=x; SERVERID=a").send().await;
    assert_eq!(origin.last("/pass").header("cookie"), Some("theme=x; SERVERID=a"));
    // It proves nothing either.
    let alone = stent.client().get("/principal").cookie("SERVERID=a").send().await;
    assert_eq!(alone.cache(), "stent; fwd=bypass; detail=no-principal; fwd-status=200");
}

#[tokio::test]
async fn who_signs_in_by_a_header_takes_the_cookie_along() {
    let origin = origin().await;
    let stent = Stent::start(origin.address, SHARES);
    stent.client().get("/principal").bearer("a").cookie("SERVERID=a").send().await;
    assert_eq!(origin.last("/principal").header("cookie"), Some("SERVERID=a"));
    assert!(stent.client().get("/principal").bearer("a").send().await.is_hit());
    assert!(!stent.client().get("/principal").bearer("b").cookie("SERVERID=a").send().await.is_hit());
}

#[tokio::test]
async fn explain_tells_that_it_is_sent_and_not_keyed() {
    let origin = origin().await;
    let stent = Stent::start(origin.address, SHARES);
    let explain = async |path: &str, headers: Value| -> Value {
        let question = json!({"method": "GET", "url": format!("http://clinic.example{path}"), "headers": headers});
        let reply =
            Client { address: stent.admin }.ask("POST", "/api/v1/explain").body(question.to_string()).send().await;
        serde_json::from_slice(&reply.body).expect("JSON")
    };
    let why = |told: &Value, name: &str| {
        let sent = told["origin"]["headers"].as_array().unwrap().clone();
        let mut why = sent.into_iter().filter(|sent| sent["name"] == name).map(|sent| sent["why"].clone());
        why.next().unwrap_or_default()
    };
    let told = explain("/principal", json!([["cookie", "sessionid=s; SERVERID=a"]])).await;
    assert_eq!(why(&told, "cookie"), "keyed, as a part of the principal");
    assert_eq!(why(&told, "cookie SERVERID"), "for affinity: sent, not keyed");
    assert_eq!(told["partition"]["shown"], json!(["cookie.sessionid"]));
    let told = explain("/principal", json!([["authorization", "Bearer a"], ["cookie", "SERVERID=a"]])).await;
    assert_eq!(why(&told, "cookie"), "for affinity: sent, not keyed");
    let told = explain("/public", json!([["cookie", "SERVERID=a"]])).await;
    assert_eq!(why(&told, "cookie"), Value::Null);
    assert_eq!(told["dropped"][0]["name"], "SERVERID");
    assert_eq!(told["dropped"][0]["why"], "for affinity: neither keyed nor sent for what others share");
}

/// By RFC 2965 a comma ends a pair, and some servers still read a value so.
#[tokio::test]
async fn another_cookie_that_hides_in_its_value_is_seen() {
    let origin = origin().await;
    let stent = Stent::start(origin.address, SHARES);
    for line in ["SERVERID=a,sessionid=s", "SERVERID=\"a\"", "SERVERID=a sessionid=s"] {
        for path in ["/origin", "/anonymous"] {
            let asked = stent.client().get(path).cookie(line).send().await;
            assert!(!asked.cache().contains("stored") && !asked.is_hit(), "{path} {line}: {}", asked.cache());
        }
    }
}
