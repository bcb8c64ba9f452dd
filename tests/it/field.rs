//! What was met in the field, in front of servers and behind clients that nobody here wrote: each with its neighbours.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{HeaderMap, HeaderName};

use crate::scenario::{Gate, Origin, Seen, Stent, answer, eventually};

const POLICIES: &str = "
identity: {principal: [authorization]}
policies:
  own: {share: principal, ttl: 60s}
  page: {share: anonymous, ttl: 60s}
  all: {share: public, ttl: 60s}
routes:
  - {name: own, path: /own/**, policy: own}
  - {name: page, path: /page/**, policy: page}
  - {name: all, path: /all/**, policy: all}
  - {name: origin, path: /origin/**, policy: origin}
";

const SHARES: [&str; 3] = ["/own/1", "/page/1", "/all/1"];

/// Starlette and others answer `Access-Control-Allow-Origin` where `Origin` came, and say nothing of it in `Vary`.
#[tokio::test]
async fn each_origin_gets_its_own_permission_first_and_later() {
    let origin = Origin::start(|seen: Seen| async move {
        match seen.header("origin").map(str::to_owned) {
            Some(asked) => answer(200, &[("access-control-allow-origin", &asked)], "x"),
            None => answer(200, &[], "x"),
        }
    })
    .await;
    let stent = Stent::start(origin.address, POLICIES);
    for path in SHARES {
        for round in 0..2 {
            for from in [None, Some("https://a.example"), Some("https://b.example"), Some("null")] {
                let asking = stent.client().get(path);
                let asking = if path == "/own/1" { asking.bearer("a") } else { asking };
                let reply = from.iter().fold(asking, |asking, from| asking.header("origin", from)).send().await;
                let allowed = reply.headers.get("access-control-allow-origin").map(|value| value.to_str().unwrap());
                assert_eq!((allowed, reply.is_hit()), (from, round == 1), "{path} {from:?}: {}", reply.cache());
            }
        }
    }
}

/// RFC 9110 §7.8: a wish that is not granted is ignored, so it is no way past the cache either.
#[tokio::test]
async fn a_protocol_that_is_not_granted_makes_no_pass() {
    let origin = Origin::start(|seen: Seen| async move {
        let upgrade = seen.header("upgrade").unwrap_or("-").to_owned();
        answer(200, &[("cache-control", "max-age=60")], upgrade)
    })
    .await;
    let stent = Stent::start(origin.address, POLICIES);
    for path in ["/page/1", "/all/1", "/origin/1"] {
        for (round, protocol) in ["h2c", "TLS/1.2", "websocket"].into_iter().enumerate() {
            let asking = stent.client().get(path).header("connection", "upgrade, http2-settings");
            let asking = asking.header("upgrade", protocol).header("http2-settings", "AAMAAABk");
            let reply = asking.send().await;
            assert_eq!(
                (reply.text().as_str(), reply.is_hit()),
                ("-", round > 0),
                "{path} {protocol}: {}",
                reply.cache()
            );
        }
    }
}

/// A time of the operator's counts from the arrival.
#[tokio::test]
async fn a_ttl_does_not_hang_on_the_origins_clock() {
    for (date, age, hit) in [
        ("Sun, 09 Sep 2001 01:46:40 GMT", None, true),
        ("Tue, 09 Sep 2098 01:46:40 GMT", None, true),
        ("nonsense", None, true),
        ("Sun, 09 Sep 2001 01:46:40 GMT", Some("61"), false),
    ] {
        let origin = Origin::start(move |_| async move {
            let fields: Vec<(&str, &str)> = [("date", date)].into_iter().chain(age.map(|age| ("age", age))).collect();
            answer(200, &fields, "x")
        })
        .await;
        let stent = Stent::start(origin.address, POLICIES);
        let ask = async || stent.client().get("/page/1").send().await;
        ask().await;
        assert_eq!(ask().await.is_hit(), hit, "{date} {age:?}");
        stent.clock.advance(Duration::from_secs(61));
        assert!(!ask().await.is_hit(), "{date} {age:?}");
    }
}

/// Where the origin alone decides, its clock counts (RFC 9111 §4.2.3): that it is wrong is told, and by how much.
#[tokio::test]
async fn a_clock_that_is_behind_is_told_by_how_much() {
    let at = Arc::new(Mutex::new(HeaderMap::new()));
    let said = at.clone();
    let origin = Origin::start(move |seen: Seen| {
        let mut response = answer(if seen.header("if-none-match").is_some() { 304 } else { 200 }, &[], "x");
        response.headers_mut().extend(said.lock().unwrap().clone());
        async move { response }
    })
    .await;
    let stent = Stent::start(origin.address, POLICIES);
    let second = async |path: &str, fields: &[(&str, &str)]| {
        let fields = fields.iter().map(|(name, value)| (HeaderName::try_from(*name).unwrap(), value.parse().unwrap()));
        *at.lock().unwrap() = fields.collect();
        stent.client().get(path).send().await;
        stent.client().get(path).send().await.cache().to_owned()
    };
    let before = |seconds| {
        httpdate::fmt_http_date(
            stent::ground::clock::Clock::Manual(stent.clock.clone()).now().wall - Duration::from_secs(seconds),
        )
    };
    let (hour, minutes) = (before(3600), before(90));
    let fresh = ("cache-control", "max-age=60");
    let told = second("/origin/1", &[fresh, ("date", &hour)]).await;
    assert!(told.starts_with("stent; fwd=stale; fwd-status=200; stored; ttl=-35"), "{told}");
    assert!(told.ends_with("detail=\"origin-clock 3600\""), "{told}");
    let told = second("/origin/2", &[fresh, ("date", &minutes), ("etag", "\"a\"")]).await;
    assert!(told.starts_with("stent; fwd=stale; fwd-status=304"), "{told}");
    assert!(told.ends_with("detail=\"origin-clock 90\""), "{told}");
    // It is old, and a cache in between says so.
    let told = second("/origin/3", &[fresh, ("date", &hour), ("age", "3600")]).await;
    assert!(told.ends_with("detail=stale"), "{told}");
    assert!(second("/page/1", &[("date", &hour)]).await.starts_with("stent; hit"), "a time of the operator's");
    let told = second("/origin/4", &[fresh, ("date", &before(20))]).await;
    assert!(told.starts_with("stent; hit; ttl=4"), "{told}");
    // Once its time would be over by any clock, that is why.
    stent.clock.advance(Duration::from_secs(61));
    let told = stent.client().get("/origin/4").send().await.cache().to_owned();
    assert!(told.ends_with("detail=stale"), "{told}");
}

/// RFC 9111 §5.2.2.10: what closes the window is told.
#[tokio::test]
async fn that_s_maxage_closes_a_stale_window_is_told() {
    for (control, cdn, want) in [
        (
            "s-maxage=1, stale-while-revalidate=600",
            None,
            "stent; fwd=stale; fwd-status=200; stored; ttl=1; detail=s-maxage",
        ),
        ("s-maxage=1", None, "stent; fwd=stale; fwd-status=200; stored; ttl=1; detail=stale"),
        ("s-maxage=1, stale-while-revalidate=1", None, "stent; fwd=stale; fwd-status=200; stored; ttl=1; detail=stale"),
        (
            "max-age=1, must-revalidate, stale-while-revalidate=600",
            None,
            "stent; fwd=stale; fwd-status=200; stored; ttl=1; detail=stale",
        ),
        ("max-age=1, stale-while-revalidate=600", None, "stent; hit; ttl=-1; detail=stale-while-revalidate"),
        (
            "s-maxage=1",
            Some("max-age=1, stale-while-revalidate=600"),
            "stent; hit; ttl=-1; detail=stale-while-revalidate",
        ),
    ] {
        let origin = Origin::start(move |_| async move {
            let cdn = cdn.map(|cdn| ("cdn-cache-control", cdn));
            answer(200, &[("cache-control", control)].into_iter().chain(cdn).collect::<Vec<_>>(), "x")
        })
        .await;
        let stent = Stent::start(origin.address, POLICIES);
        stent.client().get("/origin/1").send().await;
        stent.clock.advance(Duration::from_secs(2));
        let question = r#"{"method": "GET", "url": "http://clinic.example/origin/1"}"#;
        let explained = stent.admin("POST", "/api/v1/explain").body(question).send().await.text();
        assert_eq!(explained.contains("s-maxage"), want.ends_with("s-maxage"), "{control}: {explained}");
        assert_eq!(stent.client().get("/origin/1").send().await.cache(), want, "{control}");
    }
}

/// RFC 5861: what is never fresh may be stale.
#[tokio::test]
async fn stale_windows_are_of_use_without_freshness() {
    for control in [
        "max-age=0, stale-while-revalidate=60",
        "max-age=0, stale-if-error=60",
        "s-maxage=0, stale-while-revalidate=60",
    ] {
        for field in ["cache-control", "cdn-cache-control"] {
            let ill = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
            let is_ill = ill.clone();
            let origin = Origin::start(move |_| {
                let status = if is_ill.load(std::sync::atomic::Ordering::SeqCst) { 503 } else { 200 };
                async move { answer(status, &[(field, control)], "x") }
            })
            .await;
            let stent = Stent::start(origin.address, POLICIES);
            assert_eq!(stent.client().get("/origin/1").send().await.status, 200);
            ill.store(true, std::sync::atomic::Ordering::SeqCst);
            let reply = stent.client().get("/origin/1").send().await;
            // §5.2.2.10: a shared cache serves nothing stale beside `s-maxage`.
            let want = if control.starts_with("s-maxage") { 503 } else { 200 };
            assert_eq!(reply.status, want, "{field}: {control}: {}", reply.cache());
        }
    }
}

/// Clients that know only POST name the method that they mean.
#[tokio::test]
async fn a_method_that_a_client_means_reaches_the_origin_and_purges_by_its_route() {
    let origin = Origin::start(|seen: Seen| async move {
        let meant = ["x-http-method-override", "x-http-method", "x-method-override"];
        answer(200, &[], meant.iter().find_map(|name| seen.header(name)).unwrap_or("-").to_owned())
    })
    .await;
    let stent = Stent::start(
        origin.address,
        "policies: {page: {share: anonymous, ttl: 60s}}\n\
         routes:\n\
         \x20 - {name: removes, path: /files/<id>, methods: [DELETE], purges: [list]}\n\
         \x20 - {name: search, path: /search, methods: [POST], read_only: true}\n\
         \x20 - {name: list, path: /list, policy: page, tags: [list]}\n\
         \x20 - {name: rest, path: /**}\n",
    );
    let hit = async || stent.client().get("/list").send().await.is_hit();
    for name in ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"] {
        hit().await;
        assert!(hit().await);
        let ask = async |method: &str, path: &str| {
            stent.client().ask(method, path).header(name, "DELETE").send().await.text()
        };
        assert_eq!(ask("POST", "/search").await, "-", "what only reads is not to be made a write");
        assert_eq!(ask("GET", "/files/7").await, "-");
        assert!(hit().await);
        assert_eq!(ask("POST", "/files/7").await, "DELETE");
        assert!(!hit().await, "{name}");
    }
}

/// An origin is told what it can read.
#[tokio::test]
async fn what_an_origin_is_told_of_the_client_can_be_chosen() {
    let told = ["forwarded", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"];
    for (choice, standard, others) in
        [("both", true, true), ("rfc7239", true, false), ("x-forwarded", false, true), ("off", false, false)]
    {
        let origin = Origin::start(|_| async move { answer(200, &[], "x") }).await;
        let stent = Stent::start_with(origin.address, &format!(", forwarded: {choice}"), POLICIES);
        for path in ["/page/1", "/origin/1", "/own/1"] {
            stent.client().get(path).send().await;
            let seen = origin.last(path);
            let want = |name: &str| if name == "forwarded" { standard } else { others };
            told.iter().for_each(|name| assert_eq!(seen.header(name).is_some(), want(name), "{choice} {path} {name}"));
            assert!(seen.header("via").is_some() && seen.header("x-request-id").is_some());
            if standard {
                assert_eq!(seen.header("forwarded"), Some("for=127.0.0.1;host=clinic.example;proto=http"));
            }
        }
    }
}

/// One request with something wrong in it shuts nobody else out (CPDoS), be it first, or waited for by others.
#[tokio::test]
async fn an_error_about_a_request_is_its_senders_alone() {
    let gate = Gate::default();
    let gated = gate.clone();
    let origin = Origin::start(move |seen: Seen| {
        let (gate, status) = (gated.clone(), seen.header("user-agent").and_then(|status| status.parse().ok()));
        async move {
            gate.pass().await;
            answer(status.unwrap_or(200), &[("cache-control", "public, max-age=60")], "x")
        }
    })
    .await;
    let stent = Stent::start_with(origin.address, ", timeout: 60s, deadline: 60s", POLICIES);
    for status in ["400", "405", "406", "413", "414", "415", "422", "431"] {
        let path = format!("/origin/{status}");
        let wrong = tokio::spawn(stent.client().get(&path).header("user-agent", status).send());
        eventually(|| origin.count(&path) == 1).await;
        let others: Vec<_> = (0..3).map(|_| tokio::spawn(stent.client().get(&path).send())).collect();
        eventually(|| stent.cache().flights.waiting() == 4).await;
        gate.open(100);
        assert_eq!(wrong.await.unwrap().status.to_string(), status);
        for one in others {
            assert_eq!(one.await.unwrap().status, 200, "{status}: who waited");
        }
        assert!(stent.client().get(&path).send().await.is_hit(), "{status}: what came after it is kept");
        gate.close();
    }
    // What is gone for one is gone for all.
    gate.open(100);
    stent.client().get("/origin/gone").header("user-agent", "404").send().await;
    let reply = stent.client().get("/origin/gone").send().await;
    assert_eq!((reply.status, reply.is_hit()), (404, true));
}
