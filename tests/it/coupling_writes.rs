//! What a write says back, and when what it did can be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use crate::coupling::{NAMED, WAYS, ask, ask_by, before, clinic, kept, plain, ways};
use crate::scenario::{LIMIT, Origin, Stent, answer};

/// Reads are kept; writes are answered with this status.
async fn writing(status: &Arc<AtomicU16>) -> Origin {
    let status = status.clone();
    clinic(move |seen, number| match seen.method.as_str() {
        "GET" | "HEAD" => kept(&[("etag", &format!("\"{number}\""))], format!("#{number}")),
        _ => answer(status.load(Ordering::SeqCst), &[], ""),
    })
    .await
}

/// Whether it is kept and fresh; `own` still asks for whoever is not known to be let see it.
async fn is_kept(stent: &Stent, way: &str, path: &str) -> bool {
    ask(stent, way, "alice", path).header("cache-control", "only-if-cached").send().await.status == 200
}

async fn keep(stent: &Stent, way: &str, path: &str) {
    for _ in 0..3 {
        ask(stent, way, "alice", path).send().await;
    }
    assert!(is_kept(stent, way, path).await, "{way}{path}");
}

#[tokio::test]
async fn a_write_that_is_contradicted_makes_its_path_be_asked_about() {
    let status = Arc::new(AtomicU16::new(200));
    let origin = writing(&status).await;
    let stent = before(origin.address, &plain());
    for way in WAYS.into_iter().filter(|way| *way != "pass") {
        let wide = NAMED.contains(&way);
        for (code, method, gone) in [
            (404, "PUT", wide),
            (409, "POST", wide),
            (409, "PATCH", wide),
            (410, "DELETE", wide),
            (412, "PUT", wide),
            (403, "PUT", false),
            (400, "POST", false),
            (422, "POST", false),
            (429, "POST", false),
            (200, "PUT", true),
            (204, "DELETE", true),
        ] {
            keep(&stent, way, "/p/7").await;
            keep(&stent, way, "/p/8").await;
            status.store(code, Ordering::SeqCst);
            let written = ask_by(&stent, method, way, "alice", "/p/7").send().await;
            assert_eq!(written.status, code, "{way}");
            let cell = format!("{way} {method} {code}");
            assert_eq!(is_kept(&stent, way, "/p/7").await, !gone, "{cell}");
            assert!(is_kept(&stent, way, "/p/8").await, "{cell}: its neighbour");
        }
        // A 401 is of whoever writes: what is theirs ends, a yes to them included, and nothing that others share.
        keep(&stent, way, "/p/7").await;
        status.store(401, Ordering::SeqCst);
        let asked = origin.count("/authz");
        ask_by(&stent, "PUT", way, "alice", "/p/7").send().await;
        assert_eq!(is_kept(&stent, way, "/p/7").await, !matches!(way, "principal" | "own"), "{way} 401");
        let asks_again = usize::from(matches!(way, "facets" | "path"));
        assert_eq!(origin.count("/authz") - asked, asks_again, "{way} 401");
    }
}

/// The copy that caused a conflict is asked about and not thrown away: the origin may confirm it.
#[tokio::test]
async fn what_caused_a_conflict_may_be_confirmed() {
    let origin = clinic(|seen, _| match (seen.method.as_str(), seen.header("if-none-match")) {
        ("GET", Some("\"v1\"")) => answer(304, &[("etag", "\"v1\"")], ""),
        ("GET", _) => kept(&[("etag", "\"v1\"")], "page".to_owned()),
        _ => answer(412, &[], ""),
    })
    .await;
    let stent = before(origin.address, &plain());
    for way in ["public", "anonymous", "principal", "facets", "path"] {
        keep(&stent, way, "/p/7").await;
        ask_by(&stent, "PUT", way, "alice", "/p/7").header("if-match", "\"v0\"").send().await;
        let asked = ask(&stent, way, "alice", "/p/7").send().await;
        assert!(asked.cache().contains("fwd-status=304"), "{way}: {}", asked.cache());
        assert_eq!(asked.text(), "page", "{way}");
        assert!(is_kept(&stent, way, "/p/7").await, "{way}");
    }
}

/// Where what is stale may be served while it is revalidated, the copy goes: whoever tries again would be shown it once more.
#[tokio::test]
async fn what_caused_a_conflict_is_not_shown_while_it_is_revalidated() {
    let version = Arc::new(AtomicU16::new(1));
    let now = version.clone();
    let origin = clinic(move |seen, _| match seen.method.as_str() {
        "GET" => kept(&[], format!("page {}", now.load(Ordering::SeqCst))),
        _ => answer(409, &[], ""),
    })
    .await;
    let yaml = ways("", |_| ", stale_while_revalidate: 1h", "");
    let stent = before(origin.address, &yaml);
    for way in ["public", "anonymous", "principal", "facets", "path"] {
        keep(&stent, way, "/p/7").await;
        let next = version.fetch_add(1, Ordering::SeqCst) + 1;
        ask_by(&stent, "PUT", way, "alice", "/p/7").send().await;
        let asked = ask(&stent, way, "alice", "/p/7").send().await;
        assert_eq!(asked.text(), format!("page {next}"), "{way}: {}", asked.cache());
    }
}

/// Others know the path without the session that one's URL has in it.
#[tokio::test]
async fn a_write_by_a_url_with_a_session_in_it_purges_what_others_ask_for() {
    let status = Arc::new(AtomicU16::new(200));
    let origin = writing(&status).await;
    let stent = before(origin.address, &plain());
    for way in WAYS.into_iter().filter(|way| *way != "pass") {
        for (method, target, code) in [
            ("POST", "/p/7;jsessionid=A1", 200),
            ("PUT", "/p/7;JSESSIONID=A1?a=1", 204),
            ("DELETE", "/p/7?access_token=x", 204),
            ("POST", "/p/7?PHPSESSID=A1", 302),
            ("PATCH", "/p;sid=x/7", 200),
        ] {
            keep(&stent, way, "/p/7").await;
            keep(&stent, way, "/p/70").await;
            status.store(code, Ordering::SeqCst);
            ask_by(&stent, method, way, "alice", target).send().await;
            assert!(!is_kept(&stent, way, "/p/7").await, "{way} {method} {target}");
            assert!(is_kept(&stent, way, "/p/70").await, "{way} {method} {target}");
        }
        for code in [409, 412] {
            keep(&stent, way, "/p/7").await;
            status.store(code, Ordering::SeqCst);
            ask_by(&stent, "PUT", way, "alice", "/p/7;jsessionid=A1").send().await;
            assert_eq!(is_kept(&stent, way, "/p/7").await, !NAMED.contains(&way), "{way} {code}");
        }
    }
    // ASP.NET's segment is no part of the path that others ask for.
    keep(&stent, "public", "/p/7").await;
    status.store(200, Ordering::SeqCst);
    stent.client().ask("POST", "/public/(S(A1))/p/7").send().await;
    assert!(!is_kept(&stent, "public", "/p/7").await);
}

/// Waits until it is kept no more.
async fn goes(stent: &Stent, way: &str, path: &str) -> bool {
    let until = Instant::now() + LIMIT;
    while is_kept(stent, way, path).await {
        if Instant::now() > until {
            return false;
        }
    }
    true
}

/// Writes, and fetches what was written to before that has settled. On a machine that is busy it may settle too early; then once
/// more, elsewhere.
async fn fetched_meanwhile(stent: &Stent, way: &str, stem: &str, settle: Duration) -> String {
    for attempt in 0.. {
        let path = format!("/{stem}/{attempt}");
        keep(stent, way, &path).await;
        let began = Instant::now();
        ask_by(stent, "POST", way, "alice", &path).send().await;
        assert!(!is_kept(stent, way, &path).await, "{way}{path}: at once");
        for _ in 0..3 {
            ask(stent, way, "alice", &path).send().await;
        }
        let was_kept = is_kept(stent, way, &path).await;
        if began.elapsed() < settle {
            assert!(was_kept, "{way}{path}");
            return path;
        }
    }
    unreachable!("it is tried until it is in time")
}

/// What was fetched between a write and the time at which it can be read is what was there before.
#[tokio::test]
async fn what_is_fetched_before_a_write_has_settled_goes_again() {
    const SETTLE: Duration = Duration::from_millis(300);
    let status = Arc::new(AtomicU16::new(200));
    let origin = writing(&status).await;
    let stent = before(origin.address, &ways("", |_| "", ", settle: 300ms"));
    for way in WAYS.into_iter().filter(|way| *way != "pass") {
        for code in [200, 202, 500] {
            // Under `origin` an error of the origin's is no write that was done.
            if code == 500 && !NAMED.contains(&way) {
                continue;
            }
            status.store(code, Ordering::SeqCst);
            let path = fetched_meanwhile(&stent, way, &code.to_string(), SETTLE).await;
            assert!(goes(&stent, way, &path).await, "{way} {code}: it stays");
        }
        // A refused one has done nothing that could settle, and reading does nothing.
        keep(&stent, way, "/other").await;
        status.store(403, Ordering::SeqCst);
        ask_by(&stent, "POST", way, "alice", "/other").send().await;
        assert!(is_kept(&stent, way, "/other").await, "{way}");
    }
}

/// Without a word of the operator's, what was merely accepted settles in five seconds; what is said to be done, at once.
#[tokio::test]
async fn what_was_merely_accepted_is_purged_again_later() {
    let status = Arc::new(AtomicU16::new(202));
    let origin = writing(&status).await;
    let stent = before(origin.address, &plain());
    let accepted = fetched_meanwhile(&stent, "public", "accepted", Duration::from_secs(5)).await;
    status.store(200, Ordering::SeqCst);
    let done = fetched_meanwhile(&stent, "public", "done", Duration::from_secs(5)).await;
    assert!(goes(&stent, "public", &accepted).await, "it stays");
    assert!(is_kept(&stent, "public", &done).await, "it was done");
}
