//! What an origin refuses one of those who ask: it is nobody else's, and after it nothing lives on that was asked about.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use crate::coupling::{WAYS, ask, before, clinic, kept, plain, ways};
use crate::scenario::{Gate, Origin, OriginBody, Reply, Seen, answer, eventually, streaming};

/// A refusal of this status, as origins give it: nothing in it says that it is to be kept.
fn refusal(status: u16, number: usize) -> hyper::Response<OriginBody> {
    let fields: &[_] = match status {
        302 => &[("location", "/sign-in"), ("content-type", "text/html")],
        401 => &[("www-authenticate", "Basic"), ("content-type", "text/html")],
        _ => &[("content-type", "text/html")],
    };
    answer(status, fields, format!("refused #{number}"))
}

/// The first `refused` requests for a path are refused by `status`, the others are answered. All wait at the gate.
async fn refusing(gate: &Gate, status: u16, refused: usize) -> Origin {
    let (gate, counter) = (gate.clone(), crate::scenario::Counter::default());
    Origin::start(move |seen: Seen| {
        let gate = gate.clone();
        let number = if seen.path() == "/authz" { 0 } else { counter.next(seen.path()) };
        async move {
            if number == 0 {
                return answer(200, &[("content-type", "application/json")], r#"{"tenant": "a"}"#);
            }
            gate.pass().await;
            if number <= refused { refusal(status, number) } else { kept(&[], format!("page #{number}")) }
        }
    })
    .await
}

/// Those ways in which some wait for another's fetch.
fn waits(way: &str) -> bool {
    way != "pass"
}

/// Where the origin decides, what says nothing of its lifetime makes all who wait ask for themselves at once, as any answer does
/// that cannot be kept there.
fn asks_at_once(way: &str, status: u16) -> bool {
    matches!(way, "origin" | "rfc9111") && matches!(status, 401 | 403 | 404 | 410 | 302)
}

#[tokio::test]
async fn a_refusal_of_the_first_is_nobody_elses() {
    const CROWD: usize = 6;
    for way in WAYS.into_iter().filter(|way| waits(way)) {
        for status in [401, 403, 404, 410, 429, 302, 503] {
            // Whoever waited is answered as if the first had never asked: one more request.
            let gate = Gate::default();
            let origin = refusing(&gate, status, 1).await;
            let stent = before(origin.address, &plain());
            // By `own` only those who show the same wait for each other.
            let asking: Vec<_> = (0..CROWD).map(|_| tokio::spawn(ask(&stent, way, "alice", "/a").send())).collect();
            eventually(|| stent.cache().flights.waiting() == CROWD).await;
            gate.open(100);
            let (mut refused, mut given) = (0, 0);
            for one in asking {
                let reply = one.await.unwrap();
                refused += usize::from(reply.status == status);
                given += usize::from(reply.status == 200 && reply.text().starts_with("page"));
            }
            assert_eq!((refused, given), (1, CROWD - 1), "{way} {status}");
            let want = if asks_at_once(way, status) { CROWD } else { 2 };
            assert_eq!(origin.count(&format!("/{way}/a")), want, "{way} {status}: one asked for all the others");
            // Where each asked for themselves it was learnt that answers can be kept after all.
            ask(&stent, way, "alice", "/a").send().await;
            assert!(ask(&stent, way, "alice", "/a").send().await.is_hit(), "{way} {status}: and what came is kept");
        }
    }
}

#[tokio::test]
async fn after_a_second_refusal_each_asks_for_themselves() {
    const CROWD: usize = 6;
    for way in WAYS.into_iter().filter(|way| waits(way)) {
        for status in [401, 403, 404, 429, 302, 503] {
            let gate = Gate::default();
            let origin = refusing(&gate, status, usize::MAX).await;
            let stent = before(origin.address, &plain());
            let asking: Vec<_> = (0..CROWD).map(|_| tokio::spawn(ask(&stent, way, "alice", "/a").send())).collect();
            eventually(|| stent.cache().flights.waiting() == CROWD).await;
            gate.open(100);
            let mut told: Vec<String> = Vec::new();
            for one in asking {
                let reply = one.await.unwrap();
                assert_eq!(reply.status, status, "{way}");
                told.push(reply.text());
            }
            let asked = origin.count(&format!("/{way}/a"));
            told.sort();
            told.dedup();
            // Two 5xx in a row say that the origin is ill, which is everybody's affair where answers are: in a team one member's
            // trouble is not the others'.
            let is_told_to_all = status == 503 && !matches!(way, "facets" | "path" | "own");
            let want = if is_told_to_all { 2 } else { CROWD };
            assert_eq!((asked, told.len()), (want, want), "{way} {status}: {told:?}");
        }
    }
}

/// What is refused one member of those who share says nothing of the next, who asks at once and is given the page.
#[tokio::test]
async fn a_ban_is_over_for_whoever_is_not_banned() {
    for way in WAYS {
        for status in [401, 403, 404, 429, 302] {
            let origin =
                clinic(
                    move |_, number| {
                        if number == 1 { refusal(status, number) } else { kept(&[], format!("page #{number}")) }
                    },
                )
                .await;
            let stent = before(origin.address, &plain());
            assert_eq!(ask(&stent, way, "alice", "/a").send().await.status, status, "{way}");
            let next = ask(&stent, way, "bob", "/a").send().await;
            assert_eq!((next.status, next.text().as_str()), (200, "page #2"), "{way} {status}");
        }
    }
}

/// An origin whose next answers are of this status, but to those of whom a condition is not judged.
struct Turning {
    origin: Origin,
    status: Arc<AtomicU16>,
    refused: Arc<AtomicUsize>,
}

impl Turning {
    async fn open() -> Turning {
        let (status, refused) = (Arc::new(AtomicU16::new(200)), Arc::<AtomicUsize>::default());
        let (now, counted) = (status.clone(), refused.clone());
        let origin = clinic(move |_, number| match now.load(Ordering::SeqCst) {
            200 => kept(&[("etag", "\"v1\""), ("cache-control", "public, max-age=10")], format!("page #{number}")),
            status => {
                counted.fetch_add(1, Ordering::SeqCst);
                refusal(status, number)
            }
        })
        .await;
        Turning { origin, status, refused }
    }

    fn turn(&self, status: u16) {
        self.status.store(status, Ordering::SeqCst);
    }
}

fn is_page(reply: &Reply) -> bool {
    reply.status == 200 && reply.text().starts_with("page")
}

#[tokio::test]
async fn a_refused_refresh_ends_the_copy_and_an_ill_origin_does_not() {
    let windows = [", stale_while_revalidate: 2h", ", stale_if_error: 2h"];
    for way in ["public", "anonymous", "principal", "facets", "path"] {
        for window in windows {
            for (status, ends) in [
                (401, true),
                (403, true),
                (404, true),
                (410, true),
                (302, true),
                (500, false),
                (503, false),
                (429, false),
            ] {
                let turning = Turning::open().await;
                let yaml = ways("", |_| window, "").replace("ttl: 1h", "ttl: 10s");
                let stent = before(turning.origin.address, &yaml);
                let cell = format!("{way}{window} {status}");
                for who in ["alice", "bob"] {
                    assert!(is_page(&ask(&stent, way, who, "/a").send().await), "{cell}");
                }
                stent.clock.advance(Duration::from_secs(11));
                turning.turn(status);
                // Whoever asks first is given what is stale where that is allowed, and it is refreshed behind them.
                let first = ask(&stent, way, "alice", "/a").send().await;
                eventually(|| turning.refused.load(Ordering::SeqCst) > 0 && stent.cache().flights.is_empty()).await;
                match window.contains("revalidate") {
                    true => assert!(is_page(&first), "{cell}: {}", first.cache()),
                    false => assert_eq!(is_page(&first), status >= 500, "{cell}: {}", first.cache()),
                }
                // The next is given it only where the origin was ill.
                let next = ask(&stent, way, "alice", "/a").send().await;
                let lives = !ends && (window.contains("revalidate") || status >= 500);
                assert_eq!(is_page(&next), lives, "{cell}: {} {}", next.status, next.cache());
                assert!(lives || next.status == status, "{cell}: {}", next.status);
                // Even if the origin falls ill after its refusal, which a stale copy might stand in for.
                turning.turn(503);
                let ill = ask(&stent, way, "alice", "/a").send().await;
                let stands_in = !ends;
                assert_eq!(is_page(&ill), stands_in, "{cell}: {} {}", ill.status, ill.cache());
                turning.turn(200);
            }
        }
    }
}

/// Under `origin` it is the origin that gives the windows.
#[tokio::test]
async fn a_refused_refresh_ends_the_copy_where_the_origin_decides_too() {
    for way in ["origin", "rfc9111"] {
        for window in ["stale-while-revalidate=7200", "stale-if-error=7200"] {
            for (status, ends) in [(401, true), (403, true), (404, true), (410, true), (302, true), (503, false)] {
                let now = Arc::new(AtomicU16::new(200));
                let (turn, asked) = (now.clone(), Arc::<AtomicUsize>::default());
                let counted = asked.clone();
                let origin = clinic(move |_, number| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let control = format!("public, max-age=10, {window}");
                    match turn.load(Ordering::SeqCst) {
                        200 => kept(&[("cache-control", &control)], format!("page #{number}")),
                        status => refusal(status, number),
                    }
                })
                .await;
                let stent = before(origin.address, &plain());
                let cell = format!("{way} {window} {status}");
                assert!(is_page(&ask(&stent, way, "", "/a").send().await), "{cell}");
                stent.clock.advance(Duration::from_secs(11));
                now.store(status, Ordering::SeqCst);
                ask(&stent, way, "", "/a").send().await;
                eventually(|| asked.load(Ordering::SeqCst) == 2 && stent.cache().flights.is_empty()).await;
                now.store(503, Ordering::SeqCst);
                let next = ask(&stent, way, "", "/a").send().await;
                assert_eq!(is_page(&next), !ends, "{cell}: {} {}", next.status, next.cache());
            }
        }
    }
}

/// One whom the origin does not let see it says nothing of those whom it does.
#[tokio::test]
async fn one_strangers_refusal_ends_nothing_for_those_who_are_let_see() {
    for status in [401, 403, 404, 410, 302, 429] {
        for access in ["{ask: /authz/<id>}", "{ask: /authz/<id>, for: 10m}", "{ask: self}", "{ask: self, for: 10m}"] {
            let origin = Origin::start(move |seen: Seen| async move {
                if seen.header("cookie") != Some("sessionid=alice") {
                    return refusal(status, 0);
                }
                if seen.path().starts_with("/authz") {
                    return answer(204, &[], "");
                }
                match seen.header("if-none-match") {
                    Some("\"v1\"") => answer(304, &[("etag", "\"v1\"")], ""),
                    _ => answer(200, &[("etag", "\"v1\""), ("content-type", "text/plain")], "chart"),
                }
            })
            .await;
            let yaml = format!(
                "identity: {{principal: [cookie.sessionid]}}\n\
                 policies: {{chart: {{share: permitted, access: {access}, ttl: 1h, stale_if_error: 2h, stale_while_revalidate: 2h}}}}\n\
                 routes: [{{name: chart, path: /charts/<id>, policy: chart}}, {{name: rest, path: /**}}]\n"
            );
            let stent = before(origin.address, &yaml);
            let chart = |who: &str| stent.client().get("/charts/7").cookie(&format!("sessionid={who}"));
            let fetched = |origin: &Origin| {
                let seen = origin.seen();
                let whole = seen.iter().filter(|seen| {
                    seen.path() == "/charts/7"
                        && seen.header("cookie") == Some("sessionid=alice")
                        && seen.header("if-none-match").is_none()
                });
                whole.count()
            };
            assert_eq!(chart("alice").send().await.text(), "chart");
            for _ in 0..3 {
                assert_eq!(chart("eve").send().await.status, status, "{access}");
                assert_eq!(chart("eve").header("cache-control", "no-cache").send().await.status, status, "{access}");
            }
            let hers = chart("alice").send().await;
            assert_eq!(hers.text(), "chart", "{status} {access}: {}", hers.cache());
            // A yes that is not kept is asked for anew, here as a whole: it is not known yet whether a 304 may count.
            let wholes = if access == "{ask: self}" { 2 } else { 1 };
            assert_eq!(fetched(&origin), wholes, "{status} {access}: what she shares is still there");
        }
    }
}

/// A 401, to whatever somebody asks, ends all that is kept for them, and nothing that is kept for others.
#[tokio::test]
async fn a_401_ends_all_that_is_kept_for_whoever_it_is_said_to() {
    for (method, target, status) in [
        ("GET", "/rest/a", 401),
        ("POST", "/rest/a", 401),
        ("POST", "/principal/c", 401),
        ("DELETE", "/pass/a", 401),
        ("GET", "/principal/c", 401),
        ("GET", "/path/c", 401),
        ("GET", "/facets/c", 401),
        ("GET", "/own/c", 401),
        ("GET", "/origin/c", 401),
        ("GET", "/rfc9111/c", 401),
        ("HEAD", "/principal/c", 401),
        ("HEAD", "/pass/a", 401),
        ("POST", "/rest/a", 403),
        ("GET", "/rest/a", 403),
        ("GET", "/principal/c", 404),
        ("POST", "/rest/a", 500),
        ("GET", "/rest/a", 302),
    ] {
        let origin = clinic(move |seen, number| {
            let refuses = seen.header("cookie") == Some("sessionid=alice");
            match seen.path().ends_with("/b") || !refuses || !target.ends_with(&seen.path()[1..]) {
                true => kept(&[], format!("page #{number}")),
                false => refusal(status, number),
            }
        })
        .await;
        let stent = before(origin.address, &plain());
        let hers = |path: &str| ask(&stent, "principal", "alice", path);
        for who in ["alice", "bob"] {
            for _ in 0..2 {
                ask(&stent, "principal", who, "/b").send().await;
            }
        }
        assert!(hers("/b").send().await.is_hit());
        let told = stent.client().ask(method, target).cookie("sessionid=alice").send().await;
        assert_eq!(told.status, status, "{method} {target}");
        let after = hers("/b").send().await;
        assert_eq!(after.is_hit(), status != 401, "{method} {target} {status}: {}", after.cache());
        assert!(ask(&stent, "principal", "bob", "/b").send().await.is_hit(), "{method} {target}: others keep theirs");
    }
}

/// What left before a refusal and comes after it brings nothing back, as it is, by the rest of its body or by a 304; nor where nothing
/// was stored before.
#[tokio::test]
async fn what_left_before_a_refusal_brings_nothing_back() {
    for share in ["public", "principal"] {
        for status in [403, 404, 410, 302] {
            for (late, is_first) in [("whole", false), ("rest", false), ("304", false), ("rest", true)] {
                // Many origins know no HEAD and say so by a 404.
                if status == 404 && late != "rest" {
                    continue;
                }
                let (gate, sent) = (Gate::default(), Arc::new(AtomicUsize::new(usize::from(is_first))));
                let (held, number) = (gate.clone(), sent.clone());
                let origin = Origin::start(move |_: Seen| {
                    let (held, number) = (held.clone(), number.fetch_add(1, Ordering::SeqCst));
                    async move {
                        match number {
                            0 => answer(200, &[("etag", "\"v1\"")], "chart"),
                            1 if late == "rest" => {
                                let (head, body) = streaming(200, &[("etag", "\"v1\""), ("content-length", "5")]);
                                tokio::spawn(async move {
                                    held.pass().await;
                                    let _ = body.send(Ok("chart".into()));
                                });
                                head
                            }
                            1 => {
                                held.pass().await;
                                let (status, body) = if late == "304" { (304, "") } else { (200, "chart") };
                                answer(status, &[("etag", "\"v1\"")], body)
                            }
                            _ => refusal(status, number),
                        }
                    }
                })
                .await;
                let yaml = format!(
                    "identity: {{principal: [cookie.sessionid]}}\npolicies: {{p: {{share: {share}, ttl: 1h}}}}\n\
                     routes: [{{name: all, path: /**, policy: p}}]"
                );
                let stent = crate::scenario::Stent::start(origin.address, &yaml);
                let cell = format!("{share} {status} {late} {is_first}");
                let ask = |method: &str| {
                    let asking = stent.client().ask(method, "/a");
                    if share == "principal" { asking.cookie("sessionid=a") } else { asking }
                };
                let get = || ask("GET");
                if !is_first {
                    assert_eq!(get().send().await.text(), "chart", "{cell}");
                }
                let older = get().header("cache-control", "no-cache");
                let older = tokio::spawn(async move { older.open().await });
                eventually(|| sent.load(Ordering::SeqCst) == 2).await;
                // Nobody who asks for the same overtakes one whose head is not there yet; HEAD does.
                let newer = if late == "rest" { "GET" } else { "HEAD" };
                if late == "rest" {
                    eventually(|| older.is_finished()).await;
                }
                assert_eq!(ask(newer).header("cache-control", "no-cache").send().await.status, status, "{cell}");
                // Whoever comes now waits for nothing that left before.
                if late == "rest" {
                    assert_eq!(get().send().await.status, status, "{cell}");
                }
                gate.open(1);
                older.await.unwrap().rest().await;
                eventually(|| stent.cache().flights.is_empty()).await;
                for _ in 0..2 {
                    let reply = get().send().await;
                    assert_eq!(reply.status, status, "{cell}: {}", reply.cache());
                }
            }
        }
    }
}

/// Parts of what is too long to be kept whole, and what a refusal of HEAD is about.
#[tokio::test]
async fn a_refusal_ends_parts_and_one_of_head_ends_the_whole() {
    for status in [401, 403, 404, 410, 302] {
        let now = Arc::new(AtomicU16::new(200));
        let turn = now.clone();
        let origin = Origin::start(move |seen: Seen| {
            let status = turn.load(Ordering::SeqCst);
            async move {
                match (status, seen.header("range")) {
                    (200, Some("bytes=0-9")) => {
                        answer(206, &[("etag", "\"v1\""), ("content-range", "bytes 0-9/5000")], "0123456789")
                    }
                    (200, _) if seen.path() == "/short" => answer(200, &[("etag", "\"v1\"")], "chart"),
                    (200, _) => answer(200, &[("etag", "\"v1\"")], "0".repeat(5000)),
                    _ => refusal(status, 0),
                }
            }
        })
        .await;
        let yaml = "cache: {max_object: 1KiB}\npolicies: {p: {share: public, ttl: 1h}}\n\
                    routes: [{name: all, path: /**, policy: p}]";
        let stent = crate::scenario::Stent::start(origin.address, yaml);
        let part = || stent.client().get("/long").header("range", "bytes=0-9");
        stent.client().get("/long").send().await;
        assert_eq!(part().send().await.status, 206);
        assert!(part().send().await.is_hit(), "a part is kept");
        stent.client().get("/short").send().await;
        now.store(status, Ordering::SeqCst);
        // More than what is there has to be asked for.
        let more = stent.client().get("/long").header("range", "bytes=0-19").send().await;
        assert_eq!(more.status, status);
        let reply = part().send().await;
        assert_eq!(reply.status, status, "{}", reply.cache());
        stent.client().ask("HEAD", "/short").header("cache-control", "no-cache").send().await;
        let reply = stent.client().get("/short").send().await;
        // Many origins know no HEAD, and say so by a 404.
        assert_eq!(reply.status, if status == 404 { 200 } else { status }, "{}", reply.cache());
    }
}

/// What the origin refuses to credentials that nothing is keyed by says nothing of what is open to all, or kept for those without.
#[tokio::test]
async fn made_up_credentials_end_nothing_that_is_open_to_all() {
    let origin = clinic(|seen, number| match seen.header("authorization") {
        Some("Basic bWFkZTp1cA==") => answer(401, &[("www-authenticate", "Basic")], "who?"),
        _ => kept(&[], format!("#{number}")),
    })
    .await;
    let stent = before(origin.address, &plain());
    for way in ["origin", "rfc9111"] {
        let page = || stent.client().get(&format!("/{way}/a"));
        page().send().await;
        for control in ["no-cache", "max-age=0"] {
            assert!(page().send().await.is_hit(), "{way}");
            let refused = page().header("authorization", "Basic bWFkZTp1cA==").header("cache-control", control).send();
            assert_eq!(refused.await.status, 401, "{way}");
            assert!(page().send().await.is_hit(), "{way} {control}");
        }
    }
}
