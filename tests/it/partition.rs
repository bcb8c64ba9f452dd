//! Who shares with whom: principals, nobody, cookies, bearers, queries, and what is not sent.

use crate::scenario::{Asking, Client, Counter, Origin, Seen, Stent, answer};

const POLICIES: &str = "
identity: {principal: [authorization, cookie.sessionid], ignore_cookies: [csrftoken, _ga*]}
policies:
  own: {share: principal, ttl: 60s}
  page: {share: anonymous, signed_in: pass, ttl: 60s}
  all: {share: public, ttl: 60s}
  keyed: {share: public, ttl: 60s, vary: {headers: [x-tenant]}}
routes:
  - {name: own, path: /own/**, policy: own}
  - {name: page, path: /page/**, policy: page}
  - {name: listed, path: /listed, policy: all, query: {page: any, size: {default: 20, max: 100}, utm_*: drop, other: pass}}
  - {name: keyed, path: /keyed, policy: keyed}
  - {name: origin, path: /origin/**, policy: origin}
  - {name: rfc, path: /rfc/**, policy: rfc9111}
  - {name: all, path: /**, policy: all}
";

/// Answers with who asked, as the origin sees it, and the number of the request.
async fn mirror(control: &'static str) -> Origin {
    let counter = Counter::default();
    Origin::start(move |seen| {
        let number = counter.next(seen.path());
        async move {
            let show = |name| seen.header(name).unwrap_or("-").to_owned();
            let who = format!("{} {} #{number} {}", show("authorization"), show("cookie"), seen.target);
            // As Django says of pages that read the session.
            let personal = seen.path().starts_with("/own") || seen.path().starts_with("/page");
            let headers: &[(&str, &str)] = match (personal, control) {
                (true, _) => &[("vary", "Cookie")],
                (false, "") => &[],
                (false, control) => &[("cache-control", control)],
            };
            answer(200, headers, who)
        }
    })
    .await
}

/// Who asks, and whether the cache may keep an answer for them.
const ASKERS: [(&str, &str); 7] = [
    ("", ""),
    ("sessionid=a", ""),
    ("sessionid=b", ""),
    ("", "a"),
    ("", "b"),
    ("sessionid=a", "a"),
    ("sessionid=b", "a"),
];

fn by(client: &Client, path: &str, (cookie, bearer): (&str, &str)) -> Asking {
    let mut asking = client.get(path);
    if !cookie.is_empty() {
        asking = asking.cookie(&format!("_ga=x; {cookie}"));
    }
    if !bearer.is_empty() {
        asking = asking.bearer(bearer);
    }
    asking
}

#[tokio::test]
async fn nobody_sees_anothers_answer_in_any_order() {
    let origin = mirror("").await;
    let stent = Stent::start(origin.address, POLICIES);
    let client = stent.client();
    // Every ordered pair of askers on a path of its own, each asking twice, in turn.
    for (i, first) in ASKERS.into_iter().enumerate() {
        for (j, second) in ASKERS.into_iter().enumerate() {
            let path = format!("/own/{i}/{j}");
            let mut seen: Vec<((&str, &str), String)> = Vec::new();
            for asker in [first, second, first, second] {
                let reply = by(&client, &path, asker).send().await;
                let expected = format!(
                    "{} {} #",
                    if asker.1.is_empty() { "-".to_owned() } else { format!("Bearer {}", asker.1) },
                    if asker.0.is_empty() { "-" } else { asker.0 }
                );
                assert!(reply.text().starts_with(&expected), "{asker:?} got {}", reply.text());
                assert_eq!(reply.header("cache-control"), "private, no-cache");
                let repeat = seen.iter().any(|(before, _)| *before == asker);
                let nobody = asker == ("", "");
                assert_eq!(reply.is_hit(), repeat && !nobody, "{asker:?} on {path}: {}", reply.cache());
                seen.push((asker, reply.text()));
            }
        }
    }
}

#[tokio::test]
async fn anonymous_pages_are_for_those_who_show_nothing() {
    let origin = mirror("").await;
    let stent = Stent::start(origin.address, POLICIES);
    let client = stent.client();
    assert_eq!(client.get("/page/1").send().await.text(), "- - #1 /page/1");
    let ignored = client.get("/page/1").cookie("_gat=x; _ga_Z=1").send().await;
    assert!(ignored.is_hit(), "{}", ignored.cache());
    let signed_in = client.get("/page/1").cookie("sessionid=a").send().await;
    assert_eq!(
        (signed_in.text().as_str(), signed_in.cache()),
        ("- sessionid=a #2 /page/1", "stent; fwd=bypass; detail=signed-in; fwd-status=200")
    );
    let bearer = client.get("/page/1").bearer("a").send().await;
    assert_eq!(bearer.cache(), "stent; fwd=bypass; detail=signed-in; fwd-status=200");
    let unknown = client.get("/page/1").cookie("lang=de").send().await;
    assert_eq!(unknown.cache(), "stent; fwd=bypass; detail=unknown-cookie; fwd-status=200");
}

#[tokio::test]
async fn what_is_not_in_the_key_is_not_sent() {
    let origin = mirror("").await;
    let stent = Stent::start(origin.address, POLICIES);
    let reply = stent
        .client()
        .get("/page/2")
        .cookie("_ga=x")
        .header("user-agent", "curl")
        .header("referer", "http://elsewhere/")
        .header("x-forwarded-host", "evil.example")
        .header("x-original-url", "/admin")
        .header("accept", "Text/HTML , */*;q=0.1")
        .send()
        .await;
    assert_eq!(reply.status, 200);
    let seen = origin.last("/page/2");
    let names: Vec<&str> = seen.headers.keys().map(|name| name.as_str()).collect();
    let ours = [
        "accept",
        "host",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "via",
        "x-request-id",
    ];
    names.iter().for_each(|name| assert!(ours.contains(name), "{name} was sent"));
    assert_eq!(seen.header("accept"), Some("text/html,*/*;q=0.1"));
    assert_eq!(seen.header("x-forwarded-host"), Some("clinic.example"));
    // Public: credentials are neither keyed nor sent.
    let public = stent.client().get("/public").cookie("sessionid=a").bearer("a").send().await;
    assert_eq!(public.text(), "- - #1 /public");
    assert!(stent.client().get("/public").bearer("b").send().await.is_hit());
}

#[tokio::test]
async fn an_unlisted_query_parameter_never_shares_an_entry() {
    let origin = mirror("").await;
    let stent = Stent::start(origin.address, POLICIES);
    let client = stent.client();
    assert_eq!(client.get("/listed?size=20&utm_source=x").send().await.text(), "- - #1 /listed?size=20");
    assert!(client.get("/listed").send().await.is_hit());
    let evil = client.get("/listed?evil=1").send().await;
    assert_eq!(
        (evil.text().as_str(), evil.cache()),
        ("- - #2 /listed?evil=1", "stent; fwd=bypass; detail=unlisted-query-parameter; fwd-status=200")
    );
    assert_eq!(client.get("/listed").send().await.text(), "- - #1 /listed?size=20");
    assert_eq!(client.get("/listed?size=500").send().await.text(), "- - #3 /listed?size=100");
    // Without rules the origin is asked what the client asks, byte for byte, and only the same shares.
    for query in
        ["?b=2&a=1", "?a=1&b=2", "?a=1&b=2&c=3", "?", "", "?a=%7e&&b", "?a=~&&b", "?f[][x]=1&f[][y]=2&f[][x]=3"]
    {
        let target = format!("/free{query}");
        assert!(client.get(&target).send().await.text().ends_with(&format!(" {target}")), "{target}");
        assert!(client.get(&target).send().await.is_hit(), "{target}");
    }
    // A purge by URL takes them in whatever order.
    stent.purge(serde_json::json!({"urls": ["http://clinic.example/free?a=1&b=2"]})).await;
    assert!(!client.get("/free?b=2&a=1").send().await.is_hit() && client.get("/free?").send().await.is_hit());
}

#[tokio::test]
async fn a_keyed_header_cannot_be_taken_off_by_connection() {
    let origin = mirror("").await;
    let stent = Stent::start(origin.address, POLICIES);
    let client = stent.client();
    client.get("/keyed").header("x-tenant", "a").send().await;
    let poisoned = client.get("/keyed").header("x-tenant", "b").header("connection", "x-tenant").send().await;
    assert!(!poisoned.is_hit());
    let honest = client.get("/keyed").header("x-tenant", "b").send().await;
    assert_eq!(
        honest.cache(),
        "stent; fwd=uri-miss; fwd-status=200; stored; ttl=60",
        "b's own answer was not made without b"
    );
}

#[tokio::test]
async fn the_built_in_policies_take_the_origins_word_about_credentials() {
    let origin = mirror("max-age=60").await;
    let stent = Stent::start(origin.address, POLICIES);
    let client = stent.client();
    for path in ["/origin/1", "/rfc/1"] {
        let first = client.get(path).bearer("a").send().await;
        assert!(!client.get(path).bearer("a").send().await.is_hit(), "RFC 9111 §3.5");
        let nobody = client.get(path).send().await;
        assert_ne!(nobody.text(), first.text());
        assert!(nobody.text().starts_with("- - #"), "{}", nobody.text());
        assert!(client.get(path).send().await.is_hit(), "those with credentials do not keep the others from the store");
    }
    assert!(!client.get("/origin/1").cookie("sessionid=a").send().await.is_hit(), "cookies are credentials");
    let other = client.get("/origin/1").cookie("anything=a").send().await;
    assert!(other.text().starts_with("- anything=a"), "{}", other.text());

    let open = mirror("public, max-age=60").await;
    let stent = Stent::start(open.address, POLICIES);
    let client = stent.client();
    client.get("/rfc/2").bearer("a").send().await;
    assert!(client.get("/rfc/2").bearer("b").send().await.is_hit(), "the origin said public");
}

#[tokio::test]
async fn an_error_that_varies_is_nobody_elses() {
    let gate = crate::scenario::Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |seen| {
        let gate = held.clone();
        async move {
            gate.pass().await;
            let who = format!("{} {}", seen.header("cookie").unwrap_or("-"), seen.header("x-tenant").unwrap_or("-"));
            answer(500, &[("vary", "Cookie, X-Tenant")], who)
        }
    })
    .await;
    let stent = Stent::start(origin.address, POLICIES);
    let client = stent.client();
    let asking = [
        tokio::spawn(client.get("/rfc/x").cookie("sessionid=a").send()),
        tokio::spawn(client.get("/rfc/x").cookie("sessionid=b").send()),
        tokio::spawn(client.get("/rfc/x").send()),
        tokio::spawn(client.get("/rfc/x").header("x-tenant", "t").send()),
    ];
    gate.arrived(1).await;
    gate.open(100);
    let mut got = Vec::new();
    for one in asking {
        got.push(one.await.unwrap().text());
    }
    assert_eq!(got, ["sessionid=a -", "sessionid=b -", "- -", "- t"]);
}

#[tokio::test]
async fn what_a_trusted_proxy_hands_on_cannot_poison() {
    let origin = Origin::start(|seen| async move {
        answer(
            200,
            &[],
            format!("{} {}", seen.header("forwarded").unwrap_or("-"), seen.header("x-original-url").unwrap_or("-")),
        )
    })
    .await;
    let yaml = format!("server: {{listen: 127.0.0.1:0, trusted_proxies: [127.0.0.1]}}{POLICIES}");
    let stent = Stent::start(origin.address, &yaml);
    let asking = stent.client().get("/public").header("forwarded", "host=evil.example;proto=https;for=1.2.3.4");
    let got = asking.header("x-original-url", "/admin").send().await.text();
    assert_eq!(got, "for=1.2.3.4, for=127.0.0.1;host=clinic.example;proto=https -");
}

#[tokio::test]
async fn an_answer_that_varies_on_what_is_always_keyed_is_kept() {
    for (vary, kept) in [("Host, X-Forwarded-Proto", true), ("X-Forwarded-For", false), ("X-Request-Id", false)] {
        let origin =
            Origin::start(move |_| async move { answer(200, &[("vary", vary), ("cache-control", "max-age=60")], "x") })
                .await;
        let stent = Stent::start(origin.address, POLICIES);
        for path in ["/origin/1", "/public"] {
            stent.client().get(path).send().await;
            assert_eq!(stent.client().get(path).send().await.is_hit(), kept, "{vary} {path}");
            assert!(origin.count(path) <= 2, "{vary} {path}");
        }
    }
}

/// Under `public` no credential is sent, whatever the origin's `Vary` names: an answer to one would be kept for all.
#[tokio::test]
async fn no_vary_brings_a_credential_into_what_is_for_all() {
    const YAML: &str = "
server: {listen: 127.0.0.1:0, trusted_proxies: [127.0.0.1]}
identity: {principal: [header.x-session], facets: {user: trusted.x-user}}
policies:
  all: {share: public, ttl: 60s}
  nobodys: {share: anonymous, signed_in: pass, ttl: 60s}
routes:
  - {name: nobodys, path: /nobodys/**, policy: nobodys}
  - {name: all, path: /**, policy: all}
";
    let counter = Counter::default();
    let origin = Origin::start(move |seen| {
        let number = counter.next(seen.path());
        async move {
            let who =
                ["x-session", "x-user"].into_iter().find_map(|name| seen.header(name)).unwrap_or("nobody").to_owned();
            // Its page about somebody forgets what it depends on.
            let vary: &[(&str, &str)] = if who == "nobody" { &[("vary", "x-session, x-user")] } else { &[] };
            answer(200, vary, format!("{who} #{number}"))
        }
    })
    .await;
    let stent = Stent::start(origin.address, YAML);
    for path in ["/a", "/nobodys/a"] {
        for header in ["x-session", "x-user"] {
            let target = format!("{path}/{header}");
            assert!(stent.client().get(&target).send().await.text().starts_with("nobody"));
            stent.client().get(&target).header(header, "alice").send().await;
            let others = stent.client().get(&target).send().await;
            assert!(others.text().starts_with("nobody"), "{target}: {} {}", others.text(), others.cache());
        }
    }
}

/// A page with a form is of use to one browser: its cookie is keyed and sent, and that the origin says it again hinders nothing.
#[tokio::test]
async fn a_page_with_a_form_is_kept_for_the_browser_that_it_was_made_for() {
    let origin = Origin::start(|seen: Seen| async move {
        let shown = seen.header("cookie").unwrap_or("").to_owned();
        let token = shown.split("; ").find_map(|pair| pair.strip_prefix("csrftoken=")).unwrap_or("new").to_owned();
        let set = format!("csrftoken={token}; Path=/; SameSite=Lax");
        answer(200, &[("vary", "Cookie"), ("set-cookie", &set)], format!("form of {token} for {shown}"))
    })
    .await;
    let stent = Stent::start(origin.address, &POLICIES.replace("csrftoken, ", ""));
    let ask = async |path: &str, cookies: &str| stent.client().get(path).cookie(cookies).send().await;
    for (path, mine, yours) in [
        ("/page/1", "csrftoken=a", "csrftoken=b"),
        ("/own/1", "csrftoken=a; sessionid=s", "csrftoken=b; sessionid=s"),
        ("/own/2", "csrftoken=a; sessionid=s", "csrftoken=a; sessionid=t"),
    ] {
        let first = ask(path, mine).await;
        assert_eq!(first.text(), format!("form of {} for {mine}", &mine[10..11]), "{path}");
        assert_eq!(first.header("set-cookie"), format!("csrftoken={}; Path=/; SameSite=Lax", &mine[10..11]));
        let again = ask(path, mine).await;
        assert!(again.is_hit() && again.text() == first.text(), "{path}: {}", again.cache());
        assert!(!again.headers.contains_key("set-cookie"));
        assert_eq!(ask(path, yours).await.text(), format!("form of {} for {yours}", &yours[10..11]), "{path}");
        assert_eq!(origin.count(path), 2, "{path}: each is asked for once");
    }
    // Who has none is given one, and nothing of it is kept.
    for _ in 0..2 {
        let nobody = stent.client().get("/page/3").send().await;
        assert_eq!((nobody.text().as_str(), nobody.is_hit()), ("form of new for ", false));
    }
    assert_eq!(origin.count("/page/3"), 2);
    // What everybody shares is asked for without it. An answer that would take this browser's cookie away is not given to it: the
    // forms that are open in its other tabs would be void.
    assert_eq!(ask("/public", "csrftoken=a").await.text(), "form of a for csrftoken=a");
}

/// One request in, one request out, whatever of it the fetch left out and the answer speaks of.
#[tokio::test]
async fn what_cannot_be_kept_is_asked_for_once() {
    for (field, value) in
        [("vary", "Accept-Encoding"), ("vary", "Cookie"), ("vary", "Cookie, Accept-Encoding"), ("x-y", "z")]
    {
        for extra in [("cache-control", "no-store"), ("set-cookie", "seen=1"), ("retry-after", "1")] {
            let origin = Origin::start(move |_| async move { answer(200, &[(field, value), extra], "x") }).await;
            let stent = Stent::start(origin.address, POLICIES);
            for (path, cookies) in [
                ("/page/1", "_ga=1"),
                ("/page/2", "csrftoken=1"),
                ("/own/1", "_ga=1; sessionid=a"),
                ("/public", "_ga=1"),
            ] {
                let asked = stent.client().get(path).cookie(cookies).header("accept-encoding", "gzip, br").send().await;
                assert_eq!((asked.status, origin.count(path)), (200, 1), "{field}: {value}, {extra:?}, {path}");
            }
        }
    }
}
