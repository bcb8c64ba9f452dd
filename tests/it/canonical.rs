//! What a cached fetch sends, and so what is keyed: requests that mean the same are alike, and what is unkeyed reaches no origin.

use http::HeaderMap;

use crate::scenario::{Origin, Stent, answer};

pub const ORIGIN: &str = "routes: [{name: all, path: /**, policy: origin}]";
pub const RFC9111: &str = "routes: [{name: all, path: /**, policy: rfc9111}]";
pub const PUBLIC: &str = "identity: {ignore_headers: [x-*]}\npolicies: {p: {share: public, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: p}]";

pub fn told(headers: &HeaderMap, name: &str) -> String {
    let lines: Vec<&str> = headers.get_all(name).iter().map(|line| line.to_str().unwrap()).collect();
    if lines.is_empty() { "-".to_owned() } else { lines.join(" | ") }
}

/// An origin that says what it was told of `name`, with these headers.
pub async fn echo(name: &'static str, headers: &'static [(&'static str, &'static str)]) -> Origin {
    Origin::start(move |seen| async move { answer(200, headers, told(&seen.headers, name)) }).await
}

#[tokio::test]
async fn requests_that_mean_the_same_share_an_answer() {
    for (name, same, other) in [
        // RFC 9111 §4.1: whitespace, lines and what the field's own specification says to be the same.
        (
            "accept-language",
            &[&["en;q=0.5, no"][..], &["NO,en;q=0.50"], &["no;q=1", "en ;q=0.5"], &["no,,en; Q=0.500"]][..],
            "en, no",
        ),
        ("accept-encoding", &[&["gzip, br"], &["Gzip,br"], &["GZIP;q=1.0", "br"]], "br, gzip"),
        (
            "accept",
            &[&["text/html, a/b;q=0.1"], &["Text/HTML,A/B; q=0.1"], &["text/html", "a/b;q=0.1"]],
            "a/b;q=0.1, text/html",
        ),
        ("accept-charset", &[&["UTF-8, x"], &["utf-8,x"]], "x"),
        ("x-any", &[&["a, b"], &["a", "b"], &["  a, b  "]], "a,b"),
        ("cookie", &[&["a=1; b=2"], &["a=1", "b=2"]], "b=2; a=1"),
    ] {
        let origin = Origin::start(move |seen| async move {
            answer(200, &[("cache-control", "max-age=60"), ("vary", name)], told(&seen.headers, name))
        })
        .await;
        let stent = Stent::start(origin.address, RFC9111);
        let ask = |lines: &[&str]| {
            lines.iter().fold(stent.client().get("/a"), |asking, line| asking.header(name, line)).send()
        };
        let first = ask(same[0]).await;
        for lines in &same[1..] {
            let reply = ask(lines).await;
            assert!(reply.is_hit(), "{name} {lines:?}: {}", reply.cache());
            assert_eq!(reply.text(), first.text());
        }
        let reply = ask(&[other]).await;
        assert!(!reply.is_hit(), "{name}: {other}");
        assert_eq!(origin.count("/a"), 2);
        assert!(!stent.client().get("/a").send().await.is_hit(), "{name}: absence matches absence only");
        assert!(stent.client().get("/a").send().await.is_hit(), "{name}");
    }
}

#[tokio::test]
async fn what_is_keyed_is_what_is_sent() {
    for yaml in [ORIGIN, RFC9111] {
        for (name, lines, want) in [
            ("accept-language", &["EN;q=0.50", "no"][..], "no, en;q=0.5"),
            ("accept", &["Text/HTML ; Level=A"], "text/html;level=A"),
            ("x-any", &["b", "\"a,  B\""], "b, \"a,  B\""),
            ("user-agent", &["a (b, c)", "d"], "a (b, c) | d"),
        ] {
            let origin = echo(name, &[("cache-control", "no-store")]).await;
            let stent = Stent::start(origin.address, yaml);
            let asking = lines.iter().fold(stent.client().get("/a"), |asking, line| asking.header(name, line));
            assert_eq!(asking.send().await.text(), want, "{name}");
        }
    }
}

const SHARES: &str = "
identity: {principal: [authorization, cookie.sessionid], ignore_cookies: [theme], facets: {tenant: trusted.x-tenant}}
policies:
  public: {share: public, ttl: 60s}
  anonymous: {share: anonymous, ttl: 60s}
  own: {share: principal, ttl: 60s}
  team: {share: [tenant], ttl: 60s}
  chart: {share: permitted, access: {ask: /may, for: 60s}, ttl: 60s}
routes:
  - {name: may, path: /may}
  - {name: public, path: /public, policy: public}
  - {name: anonymous, path: /anonymous, policy: anonymous}
  - {name: own, path: /own, policy: own}
  - {name: team, path: /team, policy: team}
  - {name: chart, path: /chart, policy: chart}
  - {name: origin, path: /origin, policy: origin}
  - {name: rfc, path: /rfc, policy: rfc9111}
";

/// Ann and ben ask for the same with credentials of their own: neither ever sees what was made for the other.
#[tokio::test]
async fn vary_on_a_credential_never_widens() {
    let yaml = format!("server: {{listen: 127.0.0.1:0, workers: 2, trusted_proxies: [127.0.0.1]}}{SHARES}");
    for vary in ["Cookie", "Authorization", "Cookie, Authorization", "*", "x-a", "Accept"] {
        for control in ["public, max-age=60", "max-age=60"] {
            let origin = Origin::start(move |seen| async move {
                let who = format!("{} {}", told(&seen.headers, "authorization"), told(&seen.headers, "cookie"));
                answer(200, &[("cache-control", control), ("vary", vary)], who)
            })
            .await;
            let stent = Stent::start(origin.address, &yaml);
            for path in ["/public", "/anonymous", "/own", "/team", "/chart", "/origin", "/rfc"] {
                let narrowed = !matches!(vary, "x-a" | "Accept");
                for (name, ann, ben) in
                    [("authorization", "Bearer ann", "Bearer ben"), ("cookie", "sessionid=ann", "sessionid=ben")]
                {
                    let ask = async |who: &str| {
                        let asking = stent.client().get(path).header(name, who).header("x-tenant", "t");
                        asking.send().await
                    };
                    for (who, other) in [(ann, "ben"), (ben, "ann"), (ann, "ben")] {
                        let reply = ask(who).await;
                        let opened = control.starts_with("public") && matches!(path, "/origin" | "/rfc");
                        let shared = match narrowed {
                            // By the letter of the RFC a cookie is none.
                            true => path == "/rfc" && name == "cookie" && vary == "Authorization",
                            false => opened || matches!(path, "/team" | "/chart") || path == "/rfc" && name == "cookie",
                        };
                        if !shared {
                            assert!(!reply.text().contains(other), "{path} {vary} {control} {who}: {}", reply.text());
                        }
                        if vary == "*" {
                            assert!(!reply.is_hit(), "{path} {who}: {}", reply.cache());
                        }
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn the_whole_cookie_line_selects_less_what_is_not_sent() {
    let origin = echo("cookie", &[("cache-control", "max-age=60"), ("vary", "Cookie")]).await;
    let yaml = format!("identity: {{ignore_cookies: [theme]}}\n{RFC9111}");
    let stent = Stent::start(origin.address, &yaml);
    let ask = async |cookie: &str| stent.client().get("/a").cookie(cookie).send().await;
    assert_eq!(ask("lang=no; theme=dark").await.text(), "lang=no");
    assert!(ask("lang=no").await.is_hit());
    assert!(ask("theme=light; lang=no").await.is_hit());
    for other in ["lang=no; x=1", "LANG=no", "lang=NO", "lang=no;x=1", "lang=en"] {
        assert!(!ask(other).await.is_hit(), "{other}");
    }
    assert_eq!(ask("theme=dark").await.text(), "-");
    assert!(stent.client().get("/a").send().await.is_hit(), "whoever shows none is like whoever shows ignored ones");
}

/// A header that no key holds changes nothing for anybody else.
#[tokio::test]
async fn what_poisons_other_caches_reaches_no_origin() {
    let names = [
        "forwarded",
        "front-end-https",
        "script-name",
        "true-client-ip",
        "x-forwarded",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-prefix",
        "x-forwarded-proto",
        "x-forwarded-scheme",
        "x-forwarded-server",
        "x-forwarded-ssl",
        "x-host",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-middleware-subrequest",
        "x-original-host",
        "x-original-uri",
        "x-original-url",
        "x-rewrite-url",
        "x-sendfile-type",
        "x_forwarded_host",
        "x_original_url",
    ];
    let origin = Origin::start(|seen| async move {
        let evil = seen.headers.iter().filter(|(_, value)| value.as_bytes().windows(4).any(|word| word == b"evil"));
        let evil: Vec<&str> = evil.map(|(name, _)| name.as_str()).collect();
        answer(
            200,
            &[("cache-control", "max-age=60"), ("vary", "X-Original-URL, X-Host")],
            format!("[{}]", evil.join(" ")),
        )
    })
    .await;
    for yaml in [ORIGIN, RFC9111, PUBLIC] {
        let stent = Stent::start(origin.address, yaml);
        let poisoned = names.iter().fold(stent.client().get("/a"), |asking, name| asking.header(name, "evil.example"));
        assert_eq!(poisoned.send().await.text(), "[]");
        let after = names.iter().fold(stent.client().get("/a"), |asking, name| asking.header(name, "evil2.example"));
        let after = after.send().await;
        assert!(after.is_hit() && after.text() == "[]", "{}", after.cache());
    }
}

const SERVED: &str = "
policies:
  page: {share: public, ttl: 60s, vary: {language: [en, nb-NO], encoding: [br, gzip]}}
routes:
  - {name: pages, path: /pages/**, policy: page}
  - {name: files, path: /files/**, policy: origin, vary: {language: [en, nb-NO], encoding: [br, gzip]}}
";

#[tokio::test]
async fn requests_are_reduced_to_what_is_served() {
    for vary in [&[][..], &[("vary", "Accept-Language, Accept-Encoding")]] {
        let origin = Origin::start(move |seen| async move {
            let text =
                format!("{} / {}", told(&seen.headers, "accept-language"), told(&seen.headers, "accept-encoding"));
            let headers: Vec<_> = [("cache-control", "max-age=60")].iter().chain(vary).copied().collect();
            answer(200, &headers, text)
        })
        .await;
        let stent = Stent::start(origin.address, SERVED);
        for path in ["/pages/a", "/files/a"] {
            let ask = async |language: &str, encoding: &str| {
                let asking = stent.client().get(path).header("accept-language", language);
                asking.header("accept-encoding", encoding).send().await
            };
            for (language, encoding, want, hit) in [
                ("de, en;q=0.5", "gzip, deflate, br", "en / br, gzip", false),
                ("fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "br;q=0.9, gzip, zstd", "en / br, gzip", true),
                ("ja", "gzip, br", "en / br, gzip", true), // RFC 4647 §3.4: the default
                ("nb-no, en;q=0.1", "gzip", "nb-NO / gzip", false),
                ("NB-NO-x-private", "x-gzip, br;q=0", "nb-NO / gzip", true),
                ("en;q=0", "zstd", "nb-NO / identity", false),
            ] {
                let reply = ask(language, encoding).await;
                assert_eq!((reply.text().as_str(), reply.is_hit()), (want, hit), "{path} {language} {encoding}");
            }
            let nobodys = stent.client().get(path).send().await;
            assert_eq!(nobodys.text(), "en / identity", "{path}: whoever says nothing");
            assert_eq!(origin.count(path), 4, "{path}");
        }
    }
}

#[tokio::test]
async fn explain_tells_the_key_as_it_is_sent() {
    let origin = echo("accept-language", &[("cache-control", "max-age=60")]).await;
    let yaml = format!("{SERVED}  - {{name: rest, path: /**, policy: origin}}\n");
    let stent = Stent::start(origin.address, &yaml);
    for (path, key, why) in [
        ("/pages/a", Some("nb-NO"), "keyed, reduced to what `vary` lists"),
        ("/files/a", Some("nb-NO"), "keyed, reduced to what the route's `vary` lists"),
        ("/rest", None, "in canonical form"),
    ] {
        let question =
            serde_json::json!({"method": "GET", "url": path, "headers": [["accept-language", "NB-no, en;q=0.50"]]});
        let told = stent.admin("POST", "/api/v1/explain").body(question.to_string()).send().await;
        let told: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
        let named = |list: &serde_json::Value| -> Option<serde_json::Value> {
            list.as_array()?.iter().find(|part| part["name"] == "accept-language").cloned()
        };
        assert_eq!(named(&told["key"]).map(|part| part["value"].clone()), key.map(Into::into), "{path}: {told}");
        assert_eq!(named(&told["origin"]["headers"]).unwrap()["why"], why, "{path}: {told}");
    }
}
