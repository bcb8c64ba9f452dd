//! Sessions that survive a sign-in, change with an answer, or slide: what is kept for whom ends when, and who is heard of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::coupling::{ask, before, clinic, detail, kept, plain, ways};
use crate::scenario::{Asking, Gate, Origin, Seen, Stent, answer, eventually};

/// The pages of principals: what they see at `/principal/home`.
fn home(stent: &Stent, session: &str) -> Asking {
    ask(stent, "principal", session, "/home")
}

/// Makes what is kept for each of these.
async fn settle(stent: &Stent, sessions: &[&str]) {
    for session in sessions {
        home(stent, session).send().await;
        assert!(home(stent, session).send().await.is_hit(), "{session}");
    }
}

async fn are_kept(stent: &Stent, sessions: &[&str]) -> Vec<bool> {
    let mut kept = Vec::new();
    for session in sessions {
        let asking = home(stent, session).header("cache-control", "only-if-cached");
        kept.push(asking.send().await.status == 200);
    }
    kept
}

#[tokio::test]
async fn whoever_signs_in_or_out_by_whatever_method_is_nobody_before() {
    let origin = clinic(|_, number| kept(&[], format!("#{number}"))).await;
    let yaml = plain().replace(
        "routes:\n",
        "routes:\n  - {name: sign-in, path: /accounts/<act>, purges: [principal]}\n\
         \x20 - {name: ward, path: /ward/<act>, policy: pass, purges: [principal]}\n",
    );
    let stent = before(origin.address, &yaml);
    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND", "BREW"] {
        for target in ["/accounts/login", "/accounts/logout", "/accounts/callback?next=/", "/ward/switch?to=7"] {
            settle(&stent, &["alice", "bob"]).await;
            let reply = stent.client().ask(method, target).cookie("sessionid=alice").send().await;
            assert_eq!(reply.status, 200, "{method} {target}");
            assert_eq!(are_kept(&stent, &["alice", "bob"]).await, [false, true], "{method} {target}");
        }
        // Where it reads elsewhere, nothing ends.
        settle(&stent, &["alice", "bob"]).await;
        stent.client().ask(method, "/elsewhere").cookie("sessionid=alice").send().await;
        assert_eq!(are_kept(&stent, &["alice", "bob"]).await, [true, true], "{method}");
    }
}

/// A session's cookie, as answers set it.
const CHANGES: [(&str, &str); 7] = [
    ("set", "sessionid=new; HttpOnly; Path=/"),
    ("changed beside others", "lang=en, theme; Path=/"),
    ("deleted", "sessionid=; Max-Age=0"),
    ("deleted by a word", "sessionid=deleted; expires=Thu, 01 Jan 1970 00:00:00 GMT"),
    ("set again", "sessionid=alice; HttpOnly"),
    ("in quotes", "sessionid=\"new\"; Secure"),
    ("set over another's", "sessionid=carol"),
];

#[tokio::test]
async fn an_answer_that_changes_a_session_ends_what_was_kept_for_it_before_and_after() {
    for (how, line) in CHANGES {
        let origin = clinic(move |seen, number| {
            let says_so = seen.path().ends_with("/change") || seen.method == "POST";
            match says_so {
                true => kept(&[("set-cookie", line), ("etag", "\"v1\"")], format!("#{number}")),
                false => kept(&[], format!("#{number}")),
            }
        })
        .await;
        let changes = line.starts_with("sessionid");
        for (method, target) in [
            ("GET", "/rest/change"),
            ("HEAD", "/rest/change"),
            ("POST", "/rest/write"),
            ("DELETE", "/rest/change"),
            ("GET", "/pass/change"),
            ("POST", "/principal/form"),
            ("GET", "/principal/change"),
            ("GET", "/path/change"),
            ("GET", "/facets/change"),
            ("GET", "/own/change"),
            ("GET", "/origin/change"),
            ("GET", "/rfc9111/change"),
        ] {
            let stent = before(origin.address, &plain());
            let everybody = ["alice", "new", "\"new\"", "carol", "bob"];
            settle(&stent, &everybody).await;
            stent.client().ask(method, target).cookie("sessionid=alice").send().await;
            let value = line.split(['=', ';']).nth(1).unwrap_or("");
            let want = everybody.map(|session| !changes || session != "alice" && session != value);
            assert_eq!(are_kept(&stent, &everybody).await, want, "{how}: {method} {target}");
        }
    }
}

/// The purge is there before the answer's first byte is: whoever follows a sign-in at once sees nothing of before.
/// A sign-out that names no cookie (W3C Clear Site Data).
#[tokio::test]
async fn an_answer_that_clears_cookies_or_caches_ends_what_was_kept() {
    for (line, ends) in [
        ("\"cookies\"", true),
        ("\"storage\", \"cookies\"", true),
        ("\"cache\" ,\"storage\"", true),
        ("\"*\"", true),
        ("\"storage\"", false),
        ("\"executionContexts\"", false),
    ] {
        let origin = clinic(move |seen, number| match seen.path().ends_with("/bye") {
            true => answer(200, &[("clear-site-data", line)], "bye"),
            false => kept(&[], format!("#{number}")),
        })
        .await;
        let stent = before(origin.address, &plain());
        for target in ["/rest/bye", "/principal/bye"] {
            settle(&stent, &["alice", "bob"]).await;
            stent.client().get(target).cookie("sessionid=alice").send().await;
            assert_eq!(are_kept(&stent, &["alice", "bob"]).await, [!ends, true], "{line} {target}");
        }
    }
}

#[tokio::test]
async fn what_was_kept_is_gone_before_the_answer_is_out() {
    let (head, body) =
        crate::scenario::streaming(200, &[("set-cookie", "sessionid=new"), ("cache-control", "no-store")]);
    let head = std::sync::Mutex::new(Some(head));
    let origin = Origin::start(move |seen: Seen| {
        let streamed = (seen.path() == "/rest/callback").then(|| head.lock().unwrap().take()).flatten();
        async move { streamed.unwrap_or_else(|| kept(&[], "page".to_owned())) }
    })
    .await;
    let stent = before(origin.address, &plain());
    settle(&stent, &["alice", "new", "bob"]).await;
    let opened = stent.client().get("/rest/callback").cookie("sessionid=alice").open().await;
    assert_eq!(are_kept(&stent, &["alice", "new", "bob"]).await, [false, false, true]);
    drop(body);
    opened.rest().await;
}

/// What is asked on somebody's behalf without their waiting for it: an answer to a question, and a refresh.
#[tokio::test]
async fn what_is_asked_for_somebody_tells_of_their_session_too() {
    for path in ["/authz", "/refreshed"] {
        for (line, status) in [(Some("sessionid=new"), 200), (Some("sessionid=; Max-Age=0"), 200), (None, 401)] {
            let told = Arc::new(AtomicUsize::new(0));
            let counted = told.clone();
            let origin = Origin::start(move |seen: Seen| {
                let is_it = seen.path().ends_with(path) && seen.header("cookie") == Some("sessionid=alice");
                let count = if is_it { counted.fetch_add(1, Ordering::SeqCst) } else { 0 };
                async move {
                    // A refresh is the second.
                    let tells = is_it && (path == "/authz" || count > 0);
                    let cookie = line.filter(|_| tells).map(|line| ("set-cookie", line));
                    let status = if tells { status } else { 200 };
                    let body = if seen.path() == "/authz" { r#"{"tenant": "a"}"# } else { "page" };
                    let media = if seen.path() == "/authz" { "application/json" } else { "text/plain" };
                    let fields: Vec<_> = [("content-type", media)].into_iter().chain(cookie).collect();
                    answer(status, &fields, body)
                }
            })
            .await;
            let yaml = ways("", |way| if way == "principal" { ", stale_while_revalidate: 20h" } else { "" }, "");
            let yaml = yaml.replacen("share: principal, ttl: 1h", "share: principal, ttl: 20h", 1);
            let stent = before(origin.address, &yaml);
            let cell = format!("{path} {line:?} {status}");
            if path == "/refreshed" {
                ask(&stent, "principal", "alice", "/refreshed").send().await;
                stent.clock.advance(Duration::from_secs(21 * 3600));
            }
            settle(&stent, &["alice", "new", "bob"]).await;
            match path {
                "/authz" => drop(ask(&stent, "path", "alice", "/a").send().await),
                _ => {
                    let stale = ask(&stent, "principal", "alice", "/refreshed").send().await;
                    assert_eq!(detail(&stale), "stale-while-revalidate", "{cell}");
                    eventually(|| told.load(Ordering::SeqCst) == 2 && stent.cache().flights.is_empty()).await;
                }
            }
            let new = line != Some("sessionid=new");
            assert_eq!(are_kept(&stent, &["alice", "new", "bob"]).await, [false, new, true], "{cell}");
        }
    }
}

/// A page that was being made for the session as it was is not kept for the one that it has become.
#[tokio::test]
async fn what_is_under_way_for_a_session_that_changes_is_dead_on_arrival() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |seen: Seen| {
        let gate = held.clone();
        async move {
            if seen.path() == "/rest/sign-in" {
                return answer(200, &[("set-cookie", "sessionid=alice; Path=/")], "");
            }
            gate.pass().await;
            kept(&[], "page of whoever was there".to_owned())
        }
    })
    .await;
    let stent = before(origin.address, &plain());
    let early = tokio::spawn(home(&stent, "alice").send());
    gate.arrived(1).await;
    stent.client().ask("POST", "/rest/sign-in").cookie("sessionid=alice").send().await;
    gate.open(1);
    early.await.unwrap();
    assert_eq!(are_kept(&stent, &["alice"]).await, [false]);
    gate.open(1);
    assert!(!home(&stent, "alice").send().await.is_hit());
    assert!(home(&stent, "alice").send().await.is_hit());
}

/// Only what is the principal's own cookie is its session.
#[tokio::test]
async fn other_cookies_end_nothing() {
    for line in ["csrftoken=x", "lang=en", "xsessionid=1", "Sessionid=1", "sessionid2=1", "other=sessionid=1"] {
        let origin = clinic(move |seen, number| match seen.path().starts_with("/rest") {
            true => kept(&[("set-cookie", line)], format!("#{number}")),
            false => kept(&[], format!("#{number}")),
        })
        .await;
        let stent = before(origin.address, &plain());
        settle(&stent, &["alice", "bob"]).await;
        for method in ["GET", "POST"] {
            stent.client().ask(method, "/rest/a").cookie("sessionid=alice").send().await;
            assert_eq!(are_kept(&stent, &["alice", "bob"]).await, [true, true], "{line} by {method}");
        }
    }
}

const EVERY: Duration = Duration::from_secs(300);

/// `touch: 5m` beside a `ttl` of hours.
fn touching() -> String {
    ways("", |way| if way == "principal" { ", touch: 5m" } else { "" }, "").replace("ttl: 1h", "ttl: 10h")
}

#[tokio::test]
async fn one_request_of_a_principal_goes_through_in_each_span() {
    let origin = clinic(|_, number| kept(&[], format!("#{number}"))).await;
    let stent = before(origin.address, &touching());
    let mut heard = 0;
    for session in ["alice", "bob"] {
        home(&stent, session).send().await;
        heard += 1;
    }
    for span in 0..4 {
        for session in ["alice", "bob"] {
            for asked in 0..10 {
                let path = if asked % 2 == 0 { "/home" } else { "/other" };
                let reply = ask(&stent, "principal", session, path).send().await;
                let first_of_other = span == 0 && asked == 1;
                match (span, asked) {
                    _ if first_of_other => heard += 1,
                    (0, _) => assert!(reply.is_hit(), "{session} {span} {asked}: {}", reply.cache()),
                    (_, 0) => {
                        heard += 1;
                        assert_eq!(
                            reply.cache(),
                            "stent; fwd=request; fwd-status=200; stored; ttl=36000; detail=touch",
                            "{session} {span}"
                        );
                    }
                    _ => assert!(reply.is_hit(), "{session} {span} {asked}: {}", reply.cache()),
                }
            }
        }
        // Just before the span is over nobody is due.
        stent.clock.advance(EVERY - Duration::from_secs(1));
        for session in ["alice", "bob"] {
            assert!(home(&stent, session).send().await.is_hit(), "{session} {span}");
        }
        stent.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(origin.seen().len(), heard);
}

/// Whoever wants it from the store alone is no touch.
#[tokio::test]
async fn what_is_to_reach_no_origin_reaches_none() {
    let origin = clinic(|_, number| kept(&[], format!("#{number}"))).await;
    let stent = before(origin.address, &touching());
    home(&stent, "alice").send().await;
    stent.clock.advance(EVERY);
    let stored = home(&stent, "alice").header("cache-control", "only-if-cached").send().await;
    assert!(stored.is_hit(), "{}", stored.cache());
    assert_eq!(origin.seen().len(), 1);
    assert_eq!(detail(&home(&stent, "alice").send().await), "touch", "it is due all the same");
}

#[tokio::test]
async fn of_many_at_once_one_goes_through() {
    let origin = clinic(|_, number| kept(&[], format!("#{number}"))).await;
    let stent = before(origin.address, &touching());
    for _ in 0..5 {
        home(&stent, "alice").send().await;
        stent.clock.advance(EVERY);
        let before = origin.seen().len();
        let asking: Vec<_> = (0..20).map(|_| tokio::spawn(home(&stent, "alice").send())).collect();
        let mut hits = 0;
        for one in asking {
            let reply = one.await.unwrap();
            hits += usize::from(reply.is_hit());
        }
        assert_eq!((hits, origin.seen().len() - before), (19, 1));
        stent.clock.advance(EVERY);
    }
}

/// Whatever the origin hears of somebody lets their session slide.
#[tokio::test]
async fn whatever_reaches_the_origin_counts() {
    let origin = clinic(|_, number| kept(&[], format!("#{number}"))).await;
    let stent = before(origin.address, &touching());
    home(&stent, "alice").send().await;
    for (method, target, counts) in [
        ("GET", "/rest/a", true),
        ("POST", "/rest/a", true),
        ("GET", "/pass/a", true),
        ("HEAD", "/pass/a", true),
        ("PUT", "/pass/a", true),
        ("GET", "/principal/never-before", true),
        ("GET", "/origin/never-before", true),
        ("GET", "/own/never-before", true),
        ("GET", "/path/never-before", true),
        // Neither tells the origin who asks.
        ("GET", "/public/never-before", false),
        ("GET", "/anonymous/nothing", true),
    ] {
        stent.clock.advance(EVERY - Duration::from_secs(1));
        stent.client().ask(method, target).cookie("sessionid=alice").send().await;
        stent.clock.advance(Duration::from_secs(2));
        let reply = home(&stent, "alice").send().await;
        assert_eq!(detail(&reply) == "touch", !counts, "{method} {target}: {}", reply.cache());
        // Somebody else's does not count for her.
        stent.clock.advance(EVERY - Duration::from_secs(3));
        stent.client().ask(method, target).cookie("sessionid=bob").send().await;
        stent.clock.advance(Duration::from_secs(4));
        let reply = home(&stent, "alice").send().await;
        if counts {
            assert_eq!(detail(&reply), "touch", "{method} {target}: {}", reply.cache());
        }
    }
}

/// What is said to the one that goes through is heeded: a session that is over shows nothing more.
#[tokio::test]
async fn a_touch_that_is_refused_ends_what_is_kept() {
    for status in [401, 403, 404, 410, 302] {
        let over = Arc::new(AtomicUsize::new(0));
        let now = over.clone();
        let origin = clinic(move |seen, number| match now.load(Ordering::SeqCst) {
            1 if seen.header("cookie") == Some("sessionid=alice") => answer(status, &[], "over"),
            _ => kept(&[], format!("#{number}")),
        })
        .await;
        let stent = before(origin.address, &touching());
        home(&stent, "alice").send().await;
        home(&stent, "bob").send().await;
        over.store(1, Ordering::SeqCst);
        stent.clock.advance(EVERY);
        assert_eq!(home(&stent, "alice").send().await.status, status);
        let kept = are_kept(&stent, &["alice", "bob"]).await;
        assert_eq!(kept, [false, true], "{status}");
    }
}

/// A touch is a question whether what is stored still holds: a newer version takes its place.
#[tokio::test]
async fn a_touch_brings_the_version_of_now_and_an_outage_nothing() {
    let ill = Arc::new(AtomicUsize::new(0));
    let now = ill.clone();
    let origin = clinic(move |seen, number| match (now.load(Ordering::SeqCst), seen.header("if-none-match")) {
        (1, _) => answer(503, &[], "ill"),
        (2, Some(tag)) => answer(304, &[("etag", tag)], ""),
        _ => kept(&[("etag", &format!("\"{number}\""))], format!("#{number}")),
    })
    .await;
    let stent = before(origin.address, &touching());
    assert_eq!(home(&stent, "alice").send().await.text(), "#1");
    stent.clock.advance(EVERY);
    assert_eq!(home(&stent, "alice").send().await.text(), "#2");
    let hit = home(&stent, "alice").send().await;
    assert_eq!((hit.text().as_str(), hit.is_hit()), ("#2", true), "no older one comes back");
    now_is(&ill, 2);
    stent.clock.advance(EVERY);
    let confirmed = home(&stent, "alice").send().await;
    assert_eq!((confirmed.text().as_str(), detail(&confirmed)), ("#2", "touch"));
    assert!(confirmed.cache().contains("fwd-status=304"), "{}", confirmed.cache());
    // The origin fails: it would have been a hit without the touch.
    now_is(&ill, 1);
    stent.clock.advance(EVERY);
    let reply = home(&stent, "alice").send().await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "#2"), "{}", reply.cache());
    assert!(home(&stent, "alice").send().await.is_hit());
}

fn now_is(ill: &AtomicUsize, what: usize) {
    ill.store(what, Ordering::SeqCst);
}

/// What somebody is refused beside the store is not shown to them from the store.
#[tokio::test]
async fn a_refusal_beside_the_store_ends_what_is_kept_for_whoever_it_is_said_to() {
    for status in [401, 403, 404, 410, 302] {
        for (field, value) in [("cache-control", "no-store"), ("if-match", "\"v1\""), ("cookie", "ward=icu")] {
            let over = Arc::new(AtomicUsize::new(0));
            let now = over.clone();
            let origin = clinic(move |_, number| match now.load(Ordering::SeqCst) {
                1 => answer(status, &[("location", "/sign-in")], "over"),
                _ => kept(&[], format!("#{number}")),
            })
            .await;
            let stent = before(origin.address, &plain());
            settle(&stent, &["alice", "bob"]).await;
            // A success says nothing of the kind.
            home(&stent, "alice").header(field, value).send().await;
            assert_eq!(are_kept(&stent, &["alice", "bob"]).await, [true, true], "{field}");
            now_is(&over, 1);
            let refused = home(&stent, "alice").header(field, value).send().await;
            assert_eq!(refused.status, status, "{field}: {}", refused.cache());
            assert_eq!(are_kept(&stent, &["alice", "bob"]).await, [false, true], "{status} {field}");
        }
    }
}

/// A part of the principal that others show as well ends nothing by itself, however it is shown: by a session that is made up, in a
/// sign-out, or in what an answer sets.
#[tokio::test]
async fn a_part_that_others_share_ends_nothing_of_theirs() {
    let origin = clinic(|seen, number| {
        let made_up = seen.header("cookie").is_some_and(|cookie| cookie.contains("madeup"));
        match seen.path().rsplit('/').next() {
            _ if made_up => answer(401, &[("set-cookie", "tenant=north")], "who?"),
            Some("bye") => answer(200, &[("clear-site-data", "\"cookies\"")], "bye"),
            _ => kept(&[], format!("#{number}")),
        }
    })
    .await;
    let yaml = plain().replace("cookie.sessionid]", "cookie.sessionid, cookie.tenant]");
    let stent = before(origin.address, &yaml);
    let home = |cookies: &str| stent.client().get("/principal/home").cookie(cookies);
    let long = "sessionid=0123456789abcdef0123456789abcdef";
    let (alice, bob) = (format!("{long}; tenant=north"), "sessionid=bob; tenant=north".to_owned());
    for target in ["/principal/home", "/rest/any", "/pass/any"] {
        for cookies in [&alice, &bob] {
            home(cookies).send().await;
            assert!(home(cookies).send().await.is_hit(), "{target}");
        }
        stent.client().get(target).cookie("sessionid=madeup; tenant=north").send().await;
        assert!(home(&alice).send().await.is_hit() && home(&bob).send().await.is_hit(), "{target}");
    }
    // All parts together end what is theirs, and a part that is nobody else's ends it beside whatever.
    stent.client().get("/rest/bye").cookie(&bob).send().await;
    assert!(home(&alice).send().await.is_hit() && !home(&bob).send().await.is_hit());
    stent.client().get("/rest/bye").cookie(&format!("tenant=south; {long}")).send().await;
    assert!(!home(&alice).send().await.is_hit() && home(&bob).send().await.is_hit());
}
