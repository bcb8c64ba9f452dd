//! Every exchange is told once: in the log, in metrics and, where that is wanted, in its own headers.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;

use crate::scenario::{Client, Gate, LIMIT, Origin, Stent, answer, eventually, streaming};

/// A stage with an access log.
struct Stage {
    stent: Stent,
    file: PathBuf,
    _folder: tempfile::TempDir,
}

impl Stage {
    fn start(origin: &Origin, log: &str, rest: &str) -> Stage {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("access.log");
        let yaml = format!("log: {{access: {{file: {}}}{log}}}\n{rest}", file.display());
        Stage { stent: Stent::start(origin.address, &yaml), file, _folder: folder }
    }

    /// So many lines, once they are there.
    async fn lines(&self, many: usize) -> Vec<Value> {
        let read = || std::fs::read_to_string(&self.file).unwrap_or_default();
        eventually(|| read().lines().count() >= many).await;
        let text = read();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        assert_eq!(lines.len(), many, "{text}");
        lines
    }
}

/// What the metric of this name and labels counts.
async fn metric(stent: &Stent, name: &str) -> f64 {
    let text = Client { address: stent.admin }.get("/metrics").send().await.text();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("no {name} in {text}"))
}

const ROUTES: &str = "
policies: {own: {share: principal, ttl: 5m}}
identity: {principal: [authorization]}
routes:
  - {name: quiet, path: /quiet, log: false}
  - {name: patient, path: /patients/<int:id>, policy: own, host: clinic.example}
  - {name: rest, path: /all/**}
";

#[tokio::test]
async fn one_line_an_exchange() {
    let origin = Origin::start(|seen| async move {
        match seen.path() {
            "/patients/8" => answer(200, &[("set-cookie", "a=b")], "eight"),
            _ => answer(200, &[], "a body"),
        }
    })
    .await;
    let stage = Stage::start(&origin, "", ROUTES);
    let client = stage.stent.client();
    let mut ids = Vec::new();
    for (method, target) in [
        ("GET", "/patients/7"),
        ("GET", "/patients/7"),
        ("GET", "/patients/8"),
        ("PUT", "/patients/7"),
        ("BREW", "/all/secrets?a=b"),
        ("GET", "/quiet"),
        ("GET", "/nowhere"),
        ("GET", "/all/a%2Fb"),
    ] {
        let reply = client.ask(method, target).bearer("hers").send().await;
        if target != "/quiet" {
            ids.push(reply.header("x-request-id").to_owned());
        }
    }
    let lines = stage.lines(7).await;
    let by_id = |id: &String| lines.iter().find(|line| line["id"] == *id).expect("a line");
    let told = ids.iter().map(by_id).map(|line| {
        let word = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
        format!("{} {} {} {} {}", word("method"), word("route"), line["status"], word("outcome"), word("reason"))
    });
    assert_eq!(
        told.collect::<Vec<_>>(),
        [
            "GET patient 200 miss -",
            "GET patient 200 hit -",
            "GET patient 200 miss -",
            "PUT patient 200 pass method",
            "other rest 200 pass no-policy",
            "- - 404 refused no-route",
            "GET rest 400 refused encoded-slash",
        ]
    );
    let [miss, hit, cookie] = [0, 1, 2].map(|at| by_id(&ids[at]));
    assert_eq!((&miss["stored"], &cookie["not_stored"]), (&Value::from("yes"), &Value::from("set-cookie")));
    assert_eq!((&hit["bytes"], &hit["ttl"], &hit["level"]), (&6.into(), &300.into(), &"info".into()));
    assert_eq!((&hit["path"], &hit["host"]), (&"/patients/<int:id>".into(), &"clinic.example".into()));
    assert!(hit.get("origin_ms").is_none() && miss["origin_ms"].is_f64() && miss["wait_ms"].is_f64(), "{miss}");
    let asked: Vec<_> = lines[0].as_object().unwrap().keys().filter(|key| key.starts_with("asked")).collect();
    assert_eq!(asked, Vec::<&String>::new());
    assert_eq!(metric(&stage.stent, "stent_log_dropped_total ").await, 0.0);
}

#[tokio::test]
async fn more_is_told_to_who_asks_for_it() {
    let origin = Origin::start(|_| async { answer(200, &[], "") }).await;
    let stage = Stage::start(&origin, ", include: [client, host, path, query]", ROUTES);
    stage.stent.client().get("/all/a?b='c").header("host", "other.example").send().await;
    let line = &stage.lines(1).await[0];
    let asked = ["asked_by", "asked_host", "asked_path", "asked_query"].map(|field| line[field].as_str().unwrap());
    assert_eq!(asked, ["127.0.0.1", "other.example", "/all/a", "b='c"]);
    assert!(line.get("host").is_none(), "its route names none");
}

/// The fields of the origin and the line of the log agree on who it is.
#[tokio::test]
async fn behind_a_trusted_proxy_the_log_and_the_origin_learn_of_the_client() {
    let origin = Origin::start(|_| async { answer(200, &[], "") }).await;
    let server = "server: {listen: 127.0.0.1:0, trusted_proxies: [\"::ffff:127.0.0.0/104\", 10.0.0.0/8]}\n";
    let stage = Stage::start(&origin, ", include: [client]", &format!("{server}{ROUTES}"));
    for (at, (chain, log, told)) in [
        ("203.0.113.9:4711", "203.0.113.9", "for=203.0.113.9"),
        ("[2001:db8::1]:4711", "2001:db8::1", "for=\"[2001:db8::1]\""),
        ("::ffff:203.0.113.9", "203.0.113.9", "for=203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 10.0.0.1:80", "203.0.113.9", "for=1.1.1.1, for=203.0.113.9, for=10.0.0.1"),
        ("203.0.113.9, unknown", "127.0.0.1", "for=203.0.113.9, for=unknown"),
    ]
    .into_iter()
    .enumerate()
    {
        stage.stent.client().get(&format!("/all/{at}")).header("x-forwarded-for", chain).send().await;
        assert_eq!(stage.lines(at + 1).await[at]["asked_by"], log, "{chain}");
        let seen = origin.seen();
        let forwarded = seen[at].header("forwarded").unwrap();
        assert!(forwarded.starts_with(&format!("{told}, for=127.0.0.1;host=")), "{forwarded}");
    }
}

#[tokio::test]
async fn what_is_slow_is_a_warning() {
    let gate = Gate::default();
    let origin = Origin::gated(&gate, || answer(200, &[], "late")).await;
    let stage = Stage::start(&origin, ", slow: 3s", ROUTES);
    for (passed, level) in [(2_999, "info"), (3_000, "warn")] {
        let asking = tokio::spawn(stage.stent.client().get("/all/a").send());
        let already = if level == "info" { 1 } else { 2 };
        gate.arrived(already).await;
        stage.stent.clock.advance(Duration::from_millis(passed));
        gate.open(1);
        asking.await.unwrap();
        let line = &stage.lines(already).await[already - 1];
        assert_eq!(line["level"], level, "{line}");
        assert_eq!(line["total_ms"], passed as f64, "{line}");
    }
    assert_eq!(metric(&stage.stent, "stent_slow_requests_total{route=\"rest\"}").await, 1.0);
    assert_eq!(
        metric(&stage.stent, "stent_request_seconds_bucket{route=\"rest\",from=\"origin\",le=\"2.5\"}").await,
        0.0
    );
    assert_eq!(metric(&stage.stent, "stent_request_seconds_count{route=\"rest\",from=\"origin\"}").await, 2.0);
    assert_eq!(metric(&stage.stent, "stent_upstream_seconds_count{upstream=\"origin\"}").await, 2.0);
}

#[tokio::test]
async fn a_stream_is_over_with_its_body() {
    let (first, body) = streaming(200, &[]);
    let first = std::sync::Mutex::new(Some(first));
    let (cut, broken) = streaming(200, &[]);
    let cut = std::sync::Mutex::new(Some(cut));
    let origin = Origin::start(move |seen| {
        let answer = match seen.path() {
            "/all/whole" => first.lock().unwrap().take(),
            _ => cut.lock().unwrap().take(),
        };
        async move { answer.expect("asked once") }
    })
    .await;
    let stage = Stage::start(&origin, "", ROUTES);
    let client = stage.stent.client();
    let mut whole = client.get("/all/whole").open().await;
    body.send(Ok("half ".into())).unwrap();
    assert_eq!(whole.next().await.unwrap().unwrap(), "half ");
    // Nothing is told of it yet: the one that began later is told first.
    let failing = client.get("/all/cut").open().await;
    broken.send(Ok("x".into())).unwrap();
    broken.send(Err(std::io::Error::other("gone"))).unwrap();
    assert!(failing.rest().await.broken);
    assert_eq!(stage.lines(1).await[0]["cut"], "origin");
    stage.stent.clock.advance(Duration::from_secs(7));
    body.send(Ok("and half".into())).unwrap();
    drop(body);
    assert_eq!(whole.rest().await.body, "and half");
    let line = &stage.lines(2).await[1];
    assert_eq!((&line["bytes"], line.get("cut")), (&13.into(), None), "{line}");
    assert!(line["head_ms"].as_f64() < Some(1_000.0) && line["total_ms"].as_f64() >= Some(7_000.0), "{line}");
    assert!(line["stalled_ms"].as_f64() >= Some(7_000.0) && line["level"] == "warn", "{line}");
}

#[tokio::test]
async fn who_goes_away_is_told_apart() {
    let (slow, body) = streaming(200, &[("content-type", "text/event-stream")]);
    let slow = std::sync::Mutex::new(Some(slow));
    let origin = Origin::start(move |_| {
        let answer = slow.lock().unwrap().take();
        async move { answer.expect("asked once") }
    })
    .await;
    let stage = Stage::start(&origin, "", ROUTES);
    let mut events = stage.stent.client().get("/all/events").open().await;
    body.send(Ok("data: 1\n\n".into())).unwrap();
    events.next().await.unwrap().unwrap();
    stage.stent.clock.advance(Duration::from_secs(60));
    events.hang_up();
    let line = &stage.lines(1).await[0];
    // Events that do not come are no slowness.
    assert_eq!((&line["cut"], &line["level"], &line["bytes"]), (&"client".into(), &"info".into(), &9.into()), "{line}");
}

#[tokio::test]
async fn who_does_not_wait_is_told_of_too() {
    let gate = Gate::default();
    let origin = Origin::gated(&gate, || answer(200, &[], "late")).await;
    let stage = Stage::start(&origin, "", ROUTES);
    for (number, target) in ["/all/a", "/patients/7"].into_iter().enumerate() {
        let mut asking = tokio::net::TcpStream::connect(stage.stent.address).await.unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nHost: clinic.example\r\nAuthorization: Bearer hers\r\n\r\n");
        asking.write_all(head.as_bytes()).await.unwrap();
        gate.arrived(number + 1).await;
        stage.stent.clock.advance(Duration::from_secs(3));
        // A reset: one that only closes its side may still want its answer.
        socket2::SockRef::from(&asking).set_linger(Some(Duration::ZERO)).unwrap();
        drop(asking);
        let line = &stage.lines(number + 1).await[number];
        assert_eq!(
            (&line["outcome"], &line["cut"], &line["level"]),
            (&"abandoned".into(), &"client".into(), &"warn".into())
        );
        assert_eq!(
            (line.get("status"), &line["total_ms"], &line["bytes"]),
            (None, &3000.0.into(), &0.into()),
            "{line}"
        );
    }
    gate.open(2);
    assert_eq!(metric(&stage.stent, "stent_requests_total{route=\"rest\",outcome=\"abandoned\"}").await, 1.0);
}

#[tokio::test]
async fn times_are_in_headers_where_that_is_wanted() {
    let script = |_| async { answer(200, &[("server-timing", "db;dur=53"), ("x-process-time", "9")], "") };
    let origin = Origin::start(script).await;
    let listen = "listen: 127.0.0.1:0, workers: 1";
    let untold = Stent::start(origin.address, &format!("server: {{{listen}}}\n{ROUTES}"));
    let reply = untold.client().get("/all/a").send().await;
    assert_eq!((reply.header("server-timing"), reply.header("x-process-time")), ("db;dur=53", "9"));
    let told = Stent::start(origin.address, &format!("server: {{{listen}, timing: true}}\n{ROUTES}"));
    for outcome in ["miss", "hit"] {
        let reply = told.client().get("/patients/7").bearer("a").send().await;
        let timings: Vec<_> =
            reply.headers.get_all("server-timing").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(timings[0], "db;dur=53");
        let names: Vec<_> = timings[1].split(", ").map(|timing| timing.split(";dur=").next().unwrap()).collect();
        let cache = format!("cache;desc={outcome}");
        let want = if outcome == "hit" { vec![&cache, "total"] } else { vec![&cache, "wait", "origin", "total"] };
        assert_eq!(names, want, "{timings:?}");
        let seconds: f64 = reply.header("x-process-time").parse().unwrap();
        assert!(seconds < LIMIT.as_secs_f64(), "{seconds}");
    }
}

#[tokio::test]
async fn failures_are_counted_by_their_kind() {
    let origin = Origin::start(|_| async { answer(200, &[], "") }).await;
    let gone = origin.address;
    drop(origin);
    let stent = Stent::start(gone, ROUTES);
    eventually(|| std::net::TcpStream::connect(gone).is_err()).await;
    assert_eq!(stent.client().get("/all/a").send().await.status, 502);
    let failures = "stent_upstream_failures_total{upstream=\"origin\",reason=\"connect-failed\"}";
    assert_eq!(metric(&stent, failures).await, 1.0);
}

#[tokio::test]
async fn whoever_moves_the_file_away_gets_a_new_one_with_a_reload() {
    let origin = Origin::start(|_| async { answer(200, &[], "") }).await;
    let stage = Stage::start(&origin, "", ROUTES);
    stage.stent.client().get("/all/a").send().await;
    stage.lines(1).await;
    std::fs::rename(&stage.file, stage.file.with_extension("log.1")).unwrap();
    // There is no file to read the configuration from: nothing else is changed by it.
    assert!(stage.stent.app.as_ref().unwrap().configuration.reload().is_err());
    eventually(|| stage.file.exists()).await;
    stage.stent.client().get("/all/b").send().await;
    stage.lines(1).await;
}
