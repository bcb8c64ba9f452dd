//! Answers that hand something to their asker: by a field, by a word against keeping them, by where they lead.

use crate::coupling::{WAYS, ask, ask_by, before, clinic, detail, is_shared, kept, plain, ways};
use crate::scenario::{Counter, Gate, Origin, Seen, answer, eventually};

/// Fields by which backends hand out credentials.
const SECRET: [&str; 19] = [
    "X-Auth-Token",
    "Authorization",
    "X-CSRF-Token",
    "X-XSRF-Token",
    "CSRF-Token",
    "Authentication-Info",
    "Set-Cookie2",
    "X-Access-Token",
    "Access-Token",
    "X-Refresh-Token",
    "Refresh-Token",
    "X-Session-Id",
    "X-Session-Token",
    "X-Subject-Token",
    "X-JWT",
    "X-Api-Key-Secret",
    "X-Amzn-Remapped-Authorization",
    "X-Set-Cookie",
    "Token",
];

/// Fields that hand out nothing, though some sound so.
const PUBLIC: [&str; 6] = [
    "WWW-Authenticate",
    "X-Request-Id",
    "Access-Control-Allow-Credentials",
    "X-Frame-Options",
    "X-Powered-By",
    "Content-Security-Policy",
];

#[tokio::test]
async fn a_credential_in_a_field_is_its_askers_alone() {
    let fields: Vec<&str> = SECRET.into_iter().chain(PUBLIC).chain(["X-Visit", "X-Visit-Key"]).collect();
    let origin = clinic(move |seen, number| {
        let field = fields.iter().find(|field| seen.path().ends_with(&format!("/{field}"))).expect("a field");
        kept(&[(field, &format!("for-{number}"))], "page".to_owned())
    })
    .await;
    let stent = before(origin.address, &plain());
    let extended = before(origin.address, &ways("  secret_fields: [x-visit*]\n", |_| "", ""));
    for way in WAYS {
        for field in SECRET {
            let path = format!("/{field}");
            let mut tokens = Vec::new();
            for who in ["alice", "bob", "alice", "bob"] {
                let reply = ask(&stent, way, who, &path).send().await;
                assert_eq!(reply.is_hit(), way == "rfc9111" && !tokens.is_empty(), "{way} {field}: {}", reply.cache());
                tokens.push(reply.header(&field.to_ascii_lowercase()).to_owned());
            }
            let given = tokens.len();
            tokens.sort();
            tokens.dedup();
            // By the letter it is a field like any other.
            let want = if way == "rfc9111" { 1 } else { given };
            assert_eq!(tokens.len(), want, "{way} {field}: {tokens:?}");
        }
        for field in PUBLIC {
            ask(&stent, way, "alice", &format!("/{field}")).send().await;
            let again = ask(&stent, way, "alice", &format!("/{field}")).send().await;
            assert_eq!(again.is_hit(), way != "pass", "{way} {field}: {}", again.cache());
        }
        for (number, field) in ["X-Visit", "X-Visit-Key"].into_iter().enumerate() {
            let path = format!("/{number}/{field}");
            for (stent, kept) in [(&stent, true), (&extended, way == "rfc9111")] {
                ask(stent, way, "alice", &path).send().await;
                let again = ask(stent, way, "alice", &path).send().await;
                assert_eq!(again.is_hit(), kept && way != "pass", "{way} {field}: {}", again.cache());
            }
        }
    }
}

#[tokio::test]
async fn who_waits_is_handed_nobodys_credential() {
    for way in WAYS.into_iter().filter(|way| *way != "rfc9111") {
        let (gate, counter) = (Gate::default(), Counter::default());
        let held = gate.clone();
        let origin = Origin::start(move |seen: Seen| {
            let (gate, number) = (held.clone(), counter.next(seen.path()));
            async move {
                if seen.path() == "/authz" {
                    return answer(200, &[("content-type", "application/json")], r#"{"tenant": "a"}"#);
                }
                gate.pass().await;
                kept(&[("x-auth-token", &format!("for-{number}"))], "page".to_owned())
            }
        })
        .await;
        let stent = before(origin.address, &plain());
        let asking: Vec<_> = (0..4).map(|_| tokio::spawn(ask(&stent, way, "alice", "/a").send())).collect();
        match way {
            "pass" => gate.arrived(4).await,
            _ => eventually(|| stent.cache().flights.waiting() == 4).await,
        }
        gate.open(100);
        let mut tokens = Vec::new();
        for one in asking {
            tokens.push(one.await.unwrap().header("x-auth-token").to_owned());
        }
        tokens.sort();
        tokens.dedup();
        assert_eq!(tokens.len(), 4, "{way}: {tokens:?}");
        assert_eq!(origin.count(&format!("/{way}/a")), 4, "{way}");
    }
}

/// What is stored is confirmed by a 304, or told of by HEAD, with a credential for whoever asked.
#[tokio::test]
async fn an_update_that_hands_out_a_credential_brings_it_to_nobody_else() {
    let origin = clinic(|seen, number| {
        let token = format!("for-{number}");
        let etag = ("etag", "\"v1\"");
        let short = ("cache-control", "public, max-age=10");
        let asked_about = number > 1 && (seen.method == "HEAD" || seen.header("if-none-match").is_some());
        match asked_about {
            true if seen.method == "GET" => answer(304, &[etag, ("x-auth-token", &token)], ""),
            true => kept(&[etag, short, ("x-auth-token", &token)], "page".to_owned()),
            false => kept(&[etag, short], "page".to_owned()),
        }
    })
    .await;
    let stent = before(origin.address, &plain().replace("ttl: 1h", "ttl: 10s"));
    for way in WAYS.into_iter().filter(|way| !matches!(*way, "rfc9111" | "pass")) {
        for method in ["GET", "HEAD"] {
            let path = format!("/{method}");
            ask(&stent, way, "alice", &path).send().await;
            assert!(ask(&stent, way, "alice", &path).send().await.is_hit(), "{way} {method}");
            stent.clock.advance(std::time::Duration::from_secs(11));
            let own = ask_by(&stent, method, way, "alice", &path).send().await;
            assert_eq!(own.status, 200, "{way} {method}");
            let given = own.header("x-auth-token").to_owned();
            for who in ["alice", "bob", "alice"] {
                let reply = ask(&stent, way, who, &path).send().await;
                let token = reply.header("x-auth-token");
                assert!(token.is_empty() || token != given, "{way} {method}: {who} is given {token}");
                assert!(!reply.is_hit() || token.is_empty(), "{way} {method}: {token} by a hit");
            }
        }
    }
}

#[tokio::test]
async fn what_the_origin_withholds_itself_reaches_its_asker_and_is_not_kept() {
    let origin = clinic(|_, number| {
        let fields =
            [("cache-control", "max-age=3600, private=\"x-auth-token\""), ("x-auth-token", &*format!("for-{number}"))];
        kept(&fields, "page".to_owned())
    })
    .await;
    let stent = before(origin.address, &plain());
    for way in WAYS {
        let first = ask(&stent, way, "alice", "/a").send().await;
        assert_eq!(first.header("x-auth-token"), "for-1", "{way}");
        let again = ask(&stent, way, "alice", "/a").send().await;
        let want = if way == "pass" { "for-2" } else { "" };
        assert_eq!((again.is_hit(), again.header("x-auth-token")), (way != "pass", want), "{way}: {}", again.cache());
        let bobs = ask(&stent, way, "bob", "/a").send().await;
        let own = ["", "for-2", "for-3"];
        assert!(own.contains(&bobs.header("x-auth-token")), "{way}: {}", bobs.header("x-auth-token"));
    }
}

#[tokio::test]
async fn what_is_to_be_replaced_soon_is_not_kept() {
    let origin = clinic(|seen, number| {
        let field = if seen.path().ends_with("retry") { ("retry-after", "1") } else { ("refresh", "1; url=/next") };
        kept(&[field], format!("#{number}"))
    })
    .await;
    let stent = before(origin.address, &plain());
    for way in WAYS {
        for path in ["/retry", "/refresh"] {
            for number in 1..=3 {
                let reply = ask(&stent, way, "alice", path).send().await;
                let by_the_letter = way == "rfc9111";
                assert_eq!(reply.is_hit(), by_the_letter && number > 1, "{way} {path}: {}", reply.cache());
                let want = if by_the_letter { "#1".to_owned() } else { format!("#{number}") };
                assert_eq!(reply.text(), want, "{way} {path}");
            }
        }
    }
}

/// Stands for the time at which the answer is made.
const NOW: &str = "now";

/// The old ways to say that nobody is to keep an answer.
const EXPIRED: [&[(&str, &str)]; 9] = [
    &[("pragma", "no-cache"), ("cache-control", "max-age=3600")],
    &[("pragma", "No-Cache, x")],
    &[("expires", "0")],
    &[("expires", "-1")],
    &[("expires", "Thu, 01 Jan 1970 00:00:00 GMT")],
    &[("date", NOW), ("expires", NOW)],
    &[("cache-control", "max-age=0")],
    &[("cache-control", "max-age=3600, s-maxage=0")],
    &[("cache-control", "public, max-age=0")],
];

#[tokio::test]
async fn an_answer_that_is_over_on_arrival_is_not_shared() {
    let origin = clinic(|seen, number| {
        let at: usize = seen.path().rsplit('/').next().unwrap().parse().unwrap();
        let now = httpdate::fmt_http_date(std::time::SystemTime::now());
        let said = EXPIRED[at].iter().map(|(name, value)| (*name, if *value == NOW { now.as_str() } else { *value }));
        let tag = format!("\"{number}\"");
        let fields: Vec<_> = [("content-type", "text/plain"), ("etag", &*tag)].into_iter().chain(said).collect();
        answer(200, &fields, format!("#{number}"))
    })
    .await;
    let stent = before(origin.address, &plain());
    let habits = |way: &str| if is_shared(way) { ", override: true" } else { "" };
    let overridden = before(origin.address, &ways("", habits, ""));
    for (at, fields) in EXPIRED.iter().enumerate() {
        for way in WAYS {
            for (stent, is_overridden) in [(&stent, false), (&overridden, true)] {
                let path = format!("/{is_overridden}/{at}");
                let first = ask(stent, way, "alice", &path).send().await;
                let again = ask(stent, way, "alice", &path).send().await;
                let want = match way {
                    // Nothing is shared; the operator's lifetime holds.
                    "principal" => true,
                    "pass" => false,
                    // The origin alone decides: `Pragma` of an answer means nothing beside `Cache-Control`.
                    "origin" | "rfc9111" => at == 0,
                    _ => is_overridden,
                };
                assert_eq!(again.is_hit(), want, "{way} {fields:?} {is_overridden}: {}", again.cache());
                assert_eq!(again.text() == first.text(), want, "{way} {fields:?} {is_overridden}");
                let bobs = ask(stent, way, "bob", &path).send().await;
                assert_eq!(bobs.text() == first.text(), want && is_shared(way) && way != "own", "{way} {fields:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_redirect_for_ever_that_carries_parameters_needs_the_origins_own_lifetime() {
    let origin = clinic(|seen, number| {
        let status = if seen.path().contains("301") { 301 } else { 308 };
        let to = if seen.path().contains("query") { "/in?for=alice" } else { "/in" };
        let location =
            ("location", &*format!("{to}{}", if to.contains('?') { format!("&n={number}") } else { String::new() }));
        match seen.path().contains("lives") {
            true => answer(status, &[location, ("cache-control", "public, max-age=60")], ""),
            false => answer(status, &[location], ""),
        }
    })
    .await;
    let stent = before(origin.address, &plain());
    for way in WAYS {
        for status in [301, 308] {
            for (kind, lives) in [("query", false), ("query", true), ("plain", false), ("plain", true)] {
                let path = format!("/{status}/{kind}/{}", if lives { "lives" } else { "says-nothing" });
                let first = ask(&stent, way, "alice", &path).send().await;
                let again = ask(&stent, way, "alice", &path).send().await;
                assert_eq!((first.status, again.status), (status, status), "{way} {path}");
                let want = match way {
                    "public" | "anonymous" | "principal" => lives || kind == "plain",
                    "origin" | "rfc9111" => lives,
                    // A redirect may be its asker's way to sign in.
                    _ => false,
                };
                assert_eq!(again.is_hit(), want, "{way} {path}: {}", again.cache());
                let same = again.header("location") == first.header("location");
                assert_eq!(same, want || kind == "plain", "{way} {path}");
            }
        }
    }
}

const POSTS_ITSELF: &str = "<html><body onload=\"document.forms[0].submit()\">\
     <form method=\"POST\" action=\"https://idp.example/\"><input name=SAMLResponse value=alice></form></body></html>";

#[tokio::test]
async fn a_page_that_posts_itself_needs_the_origins_own_lifetime() {
    let origin = clinic(|seen, number| {
        let etag = format!("\"{}\"", if seen.path().contains("same") { 0 } else { number });
        let body = if seen.path().contains("form") { POSTS_ITSELF } else { "<form method=post></form>" };
        let body = format!("{body}<!-- {number} -->");
        let html = ("content-type", "text/html; charset=utf-8");
        match seen.path().contains("lives") {
            true => answer(200, &[html, ("etag", &etag), ("cache-control", "public, max-age=3600")], body),
            false => answer(200, &[html, ("etag", &etag)], body),
        }
    })
    .await;
    let stent = before(origin.address, &plain());
    for way in WAYS {
        for (path, lives, posts) in
            [("/form", false, true), ("/form/lives", true, true), ("/page", false, false), ("/page/lives", true, false)]
        {
            let first = ask(&stent, way, "alice", path).send().await;
            eventually(|| stent.cache().flights.is_empty()).await;
            let again = ask(&stent, way, "alice", path).send().await;
            let want = match way {
                "pass" => false,
                "principal" => true,
                "origin" | "rfc9111" => lives,
                // HTML is no yes of its own.
                "own" => false,
                _ => lives || !posts,
            };
            assert_eq!(again.is_hit(), want, "{way} {path}: {}", again.cache());
            assert_eq!(again.text() == first.text(), want, "{way} {path}");
        }
    }
    assert_eq!(detail(&ask(&stent, "public", "alice", "/form").send().await), "remembered-uncacheable");
}
