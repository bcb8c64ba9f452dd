//! Requests that say more of their asker than the principal does: fields that narrow, credentials that nobody named, credentials in
//! URLs, signatures; and what only looks like one of these.

use crate::coupling::{NAMED, WAYS, ask, ask_by, before, clinic, detail, is_somebodys, kept, plain, ways};
use crate::scenario::{Asking, Origin, Seen, answer, eventually};

/// Fields by which gateways and applications narrow what somebody is to see.
const NARROWING: [&str; 16] = [
    "X-User",
    "X-Active-Role",
    "X-On-Behalf-Of",
    "X-Purpose-Of-Use",
    "X-Site",
    "X-Remote-User",
    "Remote-User",
    "Prefer",
    "X-Tenant-Id",
    "X-Ward",
    "X-Patient-Id",
    "X-Break-The-Glass",
    "From",
    "X-Api-Key",
    "HX-Request",
    "X-Never-Heard-Of",
];

/// What the answer was made for, by the field that its path ends in.
fn by_field(seen: &Seen, _: usize) -> hyper::Response<crate::scenario::OriginBody> {
    let field = seen.path().rsplit('/').next().unwrap_or("").to_ascii_lowercase();
    kept(&[], format!("for {}", seen.header(&field).unwrap_or("everybody")))
}

#[tokio::test]
async fn a_field_that_may_narrow_makes_a_pass_or_is_keyed() {
    let origin = clinic(by_field).await;
    let stent = before(origin.address, &plain());
    let ignoring = before(origin.address, &ways("  ignore_headers: [x-ward, x-never-*]\n", |_| "", ""));
    let keying = before(origin.address, &ways("", |_| ", vary: {headers: [x-ward, x-never-heard-of, prefer]}", ""));
    for way in WAYS.into_iter().filter(|way| !matches!(*way, "rfc9111" | "pass")) {
        let named = NAMED.contains(&way);
        for field in NARROWING {
            let path = format!("/{field}");
            let whole = ask(&stent, way, "alice", &path).send().await;
            assert_eq!(whole.text(), "for everybody", "{way} {field}");
            for value in ["nurse", "porter", "nurse"] {
                let reply = ask(&stent, way, "alice", &path).header(field, value).send().await;
                if named {
                    assert_eq!(reply.text(), format!("for {value}"), "{way} {field}: {}", reply.cache());
                    assert_eq!(detail(&reply), "unknown-header", "{way} {field}");
                }
                // Where the origin decides, its `Vary` says so of what is no credential.
                let credential = !matches!(
                    field,
                    "X-Purpose-Of-Use"
                        | "X-Site"
                        | "Prefer"
                        | "X-Ward"
                        | "X-Patient-Id"
                        | "X-Break-The-Glass"
                        | "HX-Request"
                        | "X-Never-Heard-Of"
                );
                if !named && credential {
                    // It was opened to everybody by `public`; see below for what was not.
                    assert_eq!(reply.text(), "for everybody", "{way} {field}");
                }
            }
            let again = ask(&stent, way, "alice", &path).send().await;
            assert_eq!(
                (again.is_hit(), again.text().as_str()),
                (true, "for everybody"),
                "{way} {field}: nothing took its place"
            );
        }
        if !named {
            continue;
        }
        for field in ["X-Ward", "X-Never-Heard-Of"] {
            let path = format!("/ignored/{field}");
            for (value, hit) in [("a", false), ("b", true)] {
                let reply = ask(&ignoring, way, "alice", &path).header(field, value).send().await;
                // It is not sent either.
                assert_eq!((reply.is_hit(), reply.text().as_str()), (hit, "for everybody"), "{way} {field}");
            }
        }
        for field in ["X-Ward", "X-Never-Heard-Of", "Prefer"] {
            let path = format!("/keyed/{field}");
            for (value, hit) in [("a", false), ("b", false), ("a", true), ("b", true)] {
                let reply = ask(&keying, way, "alice", &path).header(field, value).send().await;
                assert_eq!((reply.is_hit(), reply.text()), (hit, format!("for {value}")), "{way} {field} {value}");
            }
            let without = ask(&keying, way, "alice", &path).send().await;
            assert_eq!((without.is_hit(), without.text().as_str()), (false, "for everybody"), "{way} {field}");
        }
        let other = ask(&ignoring, way, "alice", "/X-Site").header("X-Site", "a").send().await;
        assert_eq!(detail(&other), "unknown-header", "{way}");
    }
}

/// What a proxy says of whom it let in means nothing from a stranger, and reaches no origin.
#[tokio::test]
async fn what_a_stranger_says_that_a_proxy_said_reaches_nobody() {
    let origin = clinic(by_field).await;
    let stent = before(origin.address, &plain());
    for way in WAYS {
        for field in ["X-Forwarded-User", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Access-Token"] {
            for who in ["alice", "bob"] {
                let reply = ask(&stent, way, "alice", &format!("/{field}")).header(field, who).send().await;
                assert_eq!(reply.text(), "for everybody", "{way} {field}: {}", reply.cache());
            }
        }
    }
}

/// What a route is chosen by may narrow as well: its answers are for what was said, and made by it.
#[tokio::test]
async fn a_field_that_a_route_is_chosen_by_is_keyed_and_sent() {
    let origin = clinic(by_field).await;
    for way in NAMED {
        let chosen = |name: &str, value: &str| {
            format!("  - {{name: {name}, path: /{way}/**, policy: {way}, headers: {{x-site: {value}}}}}\n")
        };
        let routes = format!("routes:\n{}{}", chosen("north", "north"), chosen("some", "any"));
        let stent = before(origin.address, &plain().replace("routes:\n", &routes));
        let at = |site: &str| ask(&stent, way, "alice", "/X-Site").header("x-site", site);
        for hit in [false, true, true] {
            for site in ["north", "south", "east"] {
                let reply = at(site).send().await;
                assert_eq!((reply.text(), reply.is_hit()), (format!("for {site}"), hit), "{way}: {}", reply.cache());
            }
            let nowhere = ask(&stent, way, "alice", "/X-Site").send().await;
            assert_eq!((nowhere.text().as_str(), nowhere.is_hit()), ("for everybody", hit), "{way}");
        }
        // Who says two things is given neither's.
        let both = at("north").header("x-site", "south").send().await;
        assert!(!both.is_hit(), "{way}: {}", both.cache());
        // Another field beside it has no place.
        let more = at("north").header("x-ward", "7").send().await;
        assert_eq!(detail(&more), "unknown-header", "{way}");
    }
}

/// A question is asked as the page would be: what narrows the one narrows the other, and a yes to a nurse is none to the head of
/// the department whom she says she is.
#[tokio::test]
async fn a_yes_is_to_whoever_somebody_said_they_are() {
    let origin = Origin::start(|seen: Seen| async move {
        let role = seen.header("x-active-role").unwrap_or("none").to_owned();
        // Alice is a nurse, and nothing else.
        let may = seen.header("cookie") != Some("sessionid=alice") || role == "nurse";
        match (may, seen.path().starts_with("/authz")) {
            (false, _) => answer(403, &[], "not yours"),
            (true, true) => answer(200, &[("content-type", "application/json")], r#"{"tenant": "a"}"#),
            (true, false) => kept(&[], format!("for {role}")),
        }
    })
    .await;
    let keying =
        |way: &str| if matches!(way, "facets" | "path" | "own") { ", vary: {headers: [x-active-role]}" } else { "" };
    let stent = before(origin.address, &ways("", keying, ""));
    for way in ["facets", "path", "own"] {
        let as_role = |who: &str, role: &str| ask(&stent, way, who, "/a").header("x-active-role", role);
        for _ in 0..2 {
            assert_eq!(as_role("bob", "head").send().await.text(), "for head", "{way}");
            assert_eq!(as_role("alice", "nurse").send().await.text(), "for nurse", "{way}");
            let claimed = as_role("alice", "head").send().await;
            assert_eq!((claimed.status, claimed.text().as_str()), (403, "not yours"), "{way}: {}", claimed.cache());
        }
        assert!(as_role("alice", "nurse").send().await.is_hit(), "{way}");
    }
}

#[tokio::test]
async fn what_a_trusted_proxy_says_passes_where_a_policy_does_not_use_it() {
    let origin = clinic(by_field).await;
    let yaml = format!(
        "server: {{listen: 127.0.0.1:0, workers: 2, trusted_proxies: [127.0.0.1]}}\n{}",
        plain()
            .replace("facets: {tenant: access.tenant}", "facets: {tenant: access.tenant, user: trusted.x-remote-user}")
    );
    let stent = before(origin.address, &yaml);
    for way in NAMED {
        let by = |user: &str| ask(&stent, way, "alice", "/X-Remote-User").header("x-remote-user", user);
        for user in ["alice", "bob", "alice"] {
            let reply = by(user).send().await;
            match is_somebodys(way) {
                true => {
                    assert_eq!((detail(&reply), reply.text()), ("unknown-header", format!("for {user}")), "{way}");
                }
                // What is everybody's is made without it.
                false => assert_eq!(reply.text(), "for everybody", "{way}"),
            }
        }
        assert_eq!(by("alice").send().await.is_hit(), !is_somebodys(way), "{way}");
    }
}

/// What browsers, HTTP libraries, CDNs and tracing usually send.
const USUAL: [(&str, &str); 56] = [
    ("accept", "*/*"),
    ("accept-encoding", "gzip"),
    ("accept-language", "en"),
    ("accept-charset", "utf-8"),
    ("user-agent", "Mozilla/5.0"),
    ("referer", "http://clinic.example/"),
    ("origin", "http://clinic.example"),
    ("dnt", "1"),
    ("sec-gpc", "1"),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "cors"),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-user", "?1"),
    ("sec-ch-ua", "\"Chromium\""),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", "\"Linux\""),
    ("sec-ch-prefers-color-scheme", "dark"),
    ("upgrade-insecure-requests", "1"),
    ("save-data", "on"),
    ("device-memory", "8"),
    ("downlink", "10"),
    ("ect", "4g"),
    ("rtt", "50"),
    ("dpr", "2"),
    ("viewport-width", "800"),
    ("priority", "u=1, i"),
    ("purpose", "prefetch"),
    ("sec-purpose", "prefetch"),
    ("x-moz", "prefetch"),
    ("x-client-data", "abc"),
    ("x-csrftoken", "abc"),
    ("x-csrf-token", "abc"),
    ("x-xsrf-token", "abc"),
    ("content-type", "application/json"),
    ("postman-token", "abc"),
    ("request-id", "|a.b"),
    ("x-request-id", "abc"),
    ("x-correlation-id", "abc"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("tracestate", "a=b"),
    ("baggage", "a=b"),
    ("b3", "0"),
    ("x-b3-traceid", "80f198ee56343ba864fe8b2a57d3eff7"),
    ("sentry-trace", "abc"),
    ("x-datadog-trace-id", "1"),
    ("uber-trace-id", "1:2:3:4"),
    ("x-amzn-trace-id", "Root=1"),
    ("x-cloud-trace-context", "1/2"),
    ("via", "1.1 cdn"),
    ("cdn-loop", "cloudflare"),
    ("cf-ray", "1"),
    ("cf-ipcountry", "NO"),
    ("x-amz-cf-id", "abc"),
    ("cloudfront-viewer-country", "NO"),
    ("x-azure-ref", "abc"),
    ("x-real-ip", "192.0.2.1"),
];

#[tokio::test]
async fn usual_fields_make_no_pass() {
    let origin = clinic(|_, number| kept(&[], format!("#{number}"))).await;
    let stent = before(origin.address, &plain());
    for way in WAYS.into_iter().filter(|way| *way != "pass") {
        // What is accepted is keyed.
        let path = "/alone";
        ask(&stent, way, "alice", path).header("accept", "*/*").send().await;
        let (mut all, mut missed) = (ask(&stent, way, "alice", "/together"), Vec::new());
        for (field, value) in USUAL {
            let asking = ask(&stent, way, "alice", path);
            let asking = if field == "accept" { asking } else { asking.header("accept", "*/*") };
            let reply = asking.header(field, value).send().await;
            // `Origin` is keyed where it is sent: a miss of its own, and no pass.
            let is_keyed = field == "origin" && reply.cache().contains("stored");
            if !reply.is_hit() && !is_keyed {
                missed.push(format!("{field}: {}", reply.cache()));
            }
            all = all.header(field, value);
        }
        assert!(missed.is_empty(), "{way}: {missed:?}");
        all.send().await;
        let again = USUAL
            .iter()
            .fold(ask(&stent, way, "alice", "/together"), |asking, (field, value)| asking.header(field, value));
        let again = again.send().await;
        assert!(again.is_hit(), "{way}: {}", again.cache());
    }
}

#[tokio::test]
async fn scripts_are_told_apart_from_people() {
    let origin =
        clinic(|seen, number| kept(&[], format!("{} #{number}", seen.header("x-requested-with").unwrap_or("page"))))
            .await;
    let stent = before(origin.address, &plain());
    for way in NAMED {
        let script = || ask(&stent, way, "alice", "/a").header("x-requested-with", "XMLHttpRequest");
        let page = || ask(&stent, way, "alice", "/a");
        assert_eq!(page().send().await.text(), "page #1", "{way}");
        assert_eq!(script().send().await.text(), "XMLHttpRequest #2", "{way}");
        for _ in 0..2 {
            let (by_page, by_script) = (page().send().await, script().send().await);
            assert_eq!((by_page.is_hit(), by_page.text().as_str()), (true, "page #1"), "{way}");
            assert_eq!((by_script.is_hit(), by_script.text().as_str()), (true, "XMLHttpRequest #2"), "{way}");
        }
    }
}

/// Fields by which an origin may know somebody, though no configuration names them.
const CREDENTIALS: [&str; 34] = [
    "X-API-Key",
    "Api-Key",
    "ApiKey",
    "X-Auth-Token",
    "X-Access-Token",
    "Private-Token",
    "X-Gitlab-Token",
    "X-Vault-Token",
    "X-Session-Id",
    "X-Session",
    "X-Amz-Security-Token",
    "X-Goog-Iap-Jwt-Assertion",
    "X-Ms-Client-Principal",
    "X-Ms-Token-Aad-Id-Token",
    "X-Amzn-Oidc-Data",
    "X-Amzn-Oidc-Identity",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Remote-User",
    "Remote-User",
    "X-User",
    "X-User-Id",
    "X-Authenticated-Userid",
    "Cf-Access-Jwt-Assertion",
    "Cf-Access-Client-Secret",
    "Ocp-Apim-Subscription-Key",
    "X-RapidAPI-Key",
    "X-Functions-Key",
    "X-JWT",
    "X-Client-Cert",
    "X-SSL-Client-S-DN",
    "Iv-User",
    "DPoP",
    "X-Authorization",
];

/// Made for whoever the field says, and opened to everybody under `/open`.
async fn knowing(fields: &'static [&'static str]) -> Origin {
    clinic(move |seen, number| {
        let who = fields.iter().find_map(|field| seen.header(&field.to_ascii_lowercase()));
        let text = format!("for {} #{number}", who.unwrap_or("nobody"));
        let control = if seen.path().contains("/open") { "public, max-age=60" } else { "max-age=60" };
        answer(200, &[("cache-control", control)], text)
    })
    .await
}

#[tokio::test]
async fn credentials_that_nobody_named_are_credentials_where_the_origin_decides() {
    let origin = knowing(&CREDENTIALS).await;
    let stent = before(origin.address, &plain());
    for field in CREDENTIALS {
        let by = |way: &str, path: &str, who: Option<&str>| {
            let asking = ask(&stent, way, "", &format!("{path}/{field}"));
            who.into_iter().fold(asking, |asking, who| asking.header(field, who))
        };
        for (who, want) in
            [(Some("alice"), "for alice"), (Some("bob"), "for bob"), (None, "for nobody"), (Some("alice"), "for alice")]
        {
            let reply = by("origin", "/own", who).send().await;
            assert!(reply.text().starts_with(want) && !reply.is_hit(), "{field}: {} {}", reply.text(), reply.cache());
        }
        assert!(by("origin", "/own", None).send().await.is_hit(), "{field}: nobody's is nobody's");
        let opened = by("origin", "/open", Some("alice")).send().await.text();
        for who in [Some("bob"), None] {
            assert_eq!(by("origin", "/open", who).send().await.text(), opened, "{field}: opened by the origin");
        }
        // RFC 9111 knows one credential.
        let first = by("rfc9111", "/own", Some("alice")).send().await.text();
        assert_eq!(by("rfc9111", "/own", Some("bob")).send().await.text(), first, "{field}");
        for way in NAMED {
            for who in ["alice", "bob"] {
                let asking = ask(&stent, way, "alice", &format!("/own/{field}")).header(field, who);
                let reply = asking.send().await;
                assert_eq!(detail(&reply), "unknown-header", "{way} {field}");
                assert!(reply.text().starts_with(&format!("for {who}")), "{way} {field}");
            }
        }
    }
}

/// What scripts and browsers send where there is no credential, as a field and its value.
const NOTHING: [(&str, &str); 18] = [
    ("cookie", "sessionid=deleted"),
    ("cookie", "sessionid=null"),
    ("cookie", "sessionid=undefined"),
    ("cookie", "sessionid="),
    ("cookie", "sessionid=\"\""),
    ("cookie", "sessionid=None"),
    ("authorization", "Bearer null"),
    ("authorization", "Bearer undefined"),
    ("authorization", "bearer"),
    ("authorization", "Bearer "),
    ("authorization", "Basic Og=="),
    ("authorization", "basic  Og=="),
    ("authorization", "Token null"),
    ("authorization", "null"),
    ("authorization", ""),
    ("authorization", "JWT undefined"),
    ("authorization", "Digest"),
    ("authorization", "Bearer [object Object]"),
];

#[tokio::test]
async fn empty_credentials_show_nobody() {
    let origin = clinic(|seen, number| {
        let who = seen.header("cookie").or(seen.header("authorization")).unwrap_or("nobody");
        kept(&[("cache-control", "max-age=60")], format!("for {who} #{number}"))
    })
    .await;
    let stent = before(origin.address, &plain());
    for (number, (field, value)) in NOTHING.into_iter().enumerate() {
        for way in WAYS {
            let path = format!("/{way}/{number}");
            let empty = || stent.client().get(&path).header(field, value);
            let (first, again) = (empty().send().await, empty().send().await);
            let cell = format!("{way} {field}: {value}: {}", again.cache());
            if field == "authorization" && value == "Digest" && way != "rfc9111" {
                // It begins as a signature does.
                assert!(!again.is_hit(), "{cell}");
                continue;
            }
            match way {
                "public" | "anonymous" => {
                    assert!(again.is_hit(), "{cell}");
                    assert_eq!(first.text(), "for nobody #1", "{cell}: what shows nobody is not sent");
                }
                // Nobody is let see, or known to be the same as, anybody.
                way if is_somebodys(way) => assert_eq!(detail(&again), "no-principal", "{cell}"),
                "origin" => {
                    assert!(again.is_hit(), "{cell}");
                    assert!(first.text().starts_with("for nobody"), "{cell}: {}: it is nobody's name", first.text());
                    assert!(stent.client().get(&path).send().await.is_hit(), "{cell}: as for those who show nothing");
                }
                // `Authorization` is a credential by the letter, whatever it says; a cookie never is.
                "rfc9111" => assert_eq!(again.is_hit(), field == "cookie", "{cell}"),
                _ => assert!(!again.is_hit(), "{cell}"),
            }
            // Beside nothing, somebody is who they are.
            if is_somebodys(way) && field == "authorization" {
                let mut hers = stent.client().get(&path).header(field, value).cookie("sessionid=alice").send().await;
                assert_ne!(detail(&hers), "no-principal", "{cell}");
                hers = stent.client().get(&path).header(field, value).cookie("sessionid=alice").send().await;
                assert!(hers.is_hit(), "{way} {value}: {}", hers.cache());
            }
        }
    }
}

/// Targets with a credential in them, and the secret that nobody may find.
const IN_THE_URL: [(&str, &str); 33] = [
    ("/p/7;jsessionid=SECRET1", "SECRET1"),
    ("/p/7;JSESSIONID=SECRET1?a=1", "SECRET1"),
    ("/p;sid=SECRET1/7", "SECRET1"),
    ("/(S(SECRET1))/p/7", "SECRET1"),
    ("/(A(SECRET1)F(SECRET2))/p/7", "SECRET1"),
    ("/p/7?PHPSESSID=SECRET1", "SECRET1"),
    ("/p/7?ticket=ST-SECRET1", "SECRET1"),
    ("/p/7?access_token=SECRET1", "SECRET1"),
    ("/p/7?a=1&access_token=SECRET1&b=2", "SECRET1"),
    ("/p/7?id_token=SECRET1", "SECRET1"),
    ("/p/7?X-Amz-Signature=SECRET1", "SECRET1"),
    ("/p/7?X-Goog-Signature=SECRET1", "SECRET1"),
    ("/p/7?sig=SECRET1&se=1", "SECRET1"),
    ("/p/7?token=SECRET1", "SECRET1"),
    ("/p/7?reset_token=SECRET1", "SECRET1"),
    ("/p/7?api_key=SECRET1", "SECRET1"),
    ("/p/7?api%5Fkey=SECRET1", "SECRET1"),
    ("/p/7?apikey=SECRET1", "SECRET1"),
    ("/p/7?SAMLResponse=SECRET1", "SECRET1"),
    ("/p/7?code=SECRET1&state=x", "SECRET1"),
    ("/p/7?oauth_verifier=SECRET1", "SECRET1"),
    ("/p/7?password=SECRET1", "SECRET1"),
    ("/p/7?a=1;sid=SECRET1", "SECRET1"),
    ("/p/7?Signature=SECRET1&Key-Pair-Id=k", "SECRET1"),
    ("/p/7?visit_key=SECRET1", "SECRET1"),
    ("/p/7;visit_key=SECRET1", "SECRET1"),
    ("/q/7;jsession%69d=SECRET1", "SECRET1"),
    ("/q/8%3Bjsessionid=SECRET1", "SECRET1"),
    ("/(%53(SECRET1))/q/7", "SECRET1"),
    ("/p/7?access%5Ftoken=SECRET1;b=2", "SECRET1"),
    ("/p/7?user[token]=SECRET1", "SECRET1"),
    ("/p/7?session-id=SECRET1", "SECRET1"),
    ("/p/7?page_access_token=SECRET1", "SECRET1"),
];

const OWN_NAMES: &str = "  url_credentials: [visit_*]\n";

#[tokio::test]
async fn a_credential_in_a_url_is_passed_and_nothing_of_it_is_kept() {
    let origin = clinic(|_, number| kept(&[], format!("#{number}"))).await;
    let stent = before(origin.address, &ways(OWN_NAMES, |_| "", ""));
    for way in WAYS {
        for (target, _) in IN_THE_URL {
            for number in 1..=3 {
                let reply = ask(&stent, way, "alice", target).send().await;
                let cell = format!("{way} {target}: {}", reply.cache());
                if way == "rfc9111" {
                    // By the letter a URL is a URL.
                    assert_eq!(reply.is_hit(), number > 1, "{cell}");
                    continue;
                }
                let want = if way == "pass" { "no-policy" } else { "url-credential" };
                assert_eq!((detail(&reply), reply.is_hit()), (want, false), "{cell}");
            }
            if target.contains("%69") || target.contains("%53") {
                // A pass goes out in normal form.
                continue;
            }
            assert_eq!(
                origin.seen().iter().filter(|seen| seen.target == format!("/{way}{target}")).count(),
                if way == "rfc9111" { 1 } else { 3 },
                "{way} {target}: as it came"
            );
        }
    }
    // Nothing is stored beside what RFC 9111 keeps.
    let size = || {
        stent.cache().memory.tend();
        stent.cache().memory.size().0
    };
    assert_eq!(size(), IN_THE_URL.len() as u64);
    // Without a name of the operator's, it is a parameter as any.
    let unnamed = before(origin.address, &plain());
    for way in NAMED {
        ask(&unnamed, way, "alice", "/q?visit_key=1").send().await;
        let again = ask(&unnamed, way, "alice", "/q?visit_key=1").send().await;
        assert_ne!(detail(&again), "url-credential", "{way}");
    }
}

#[tokio::test]
async fn a_credential_in_a_url_is_written_down_nowhere() {
    let origin = clinic(|seen, number| match seen.path().contains("/fails") {
        true => answer(500, &[], "ill"),
        false => kept(&[], format!("#{number}")),
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("access.log");
    let log = format!("log: {{access: {{file: {}}}, include: [client, host, path, query]}}\n", file.display());
    let stent = before(origin.address, &format!("{log}{}", ways(OWN_NAMES, |_| "", "")));
    let mut asked = 0;
    for way in WAYS {
        for (target, _) in IN_THE_URL {
            for method in ["GET", "HEAD", "POST"] {
                ask_by(&stent, method, way, "alice", target).send().await;
                asked += 1;
            }
        }
    }
    let read = || std::fs::read_to_string(&file).unwrap_or_default();
    eventually(|| read().lines().count() >= asked).await;
    let text = read();
    assert_eq!(text.lines().count(), asked);
    let told: Vec<_> = text.lines().filter(|line| line.contains("SECRET")).collect();
    assert!(told.is_empty(), "{} lines, the first: {:?}", told.len(), told.first());
    assert!(
        text.contains("jsessionid=*") && text.contains("access_token=*") && text.contains("a=1"),
        "and the rest is"
    );
    for page in ["/metrics", "/api/v1/status", "/api/v1/routes"] {
        assert!(!stent.admin("GET", page).send().await.text().contains("SECRET"), "{page}");
    }
}

/// Signed by Digest, by AWS and by RFC 9421: the target is part of what is signed.
#[tokio::test]
async fn a_signed_request_arrives_byte_for_byte() {
    let origin = clinic(|_, number| kept(&[], format!("#{number}"))).await;
    let stent = before(origin.address, &plain());
    let signed: [fn(Asking) -> Asking; 6] = [
        |asking| asking.header("authorization", "Digest username=\"alice\", uri=\"/a\", response=\"b\""),
        |asking| asking.header("authorization", "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=host, Signature=b"),
        |asking| {
            asking.header("authorization", "AWS4-HMAC-SHA256 Credential=a").header("x-amz-date", "20260101T000000Z")
        },
        |asking| asking.header("authorization", "OAuth oauth_consumer_key=\"a\""),
        |asking| asking.header("signature", "sig1=:YQ==:").header("signature-input", "sig1=(\"@path\")"),
        |asking| asking.header("authorization", "Hawk id=\"a\", mac=\"b\""),
    ];
    for way in WAYS {
        for (number, sign) in signed.iter().enumerate() {
            for target in [
                "/a/%7Ex?b=%41&a=1".to_owned(),
                "/a/./%7ex?b&&a=1&b=2".to_owned(),
                "/%41/x?a=%2f".to_owned(),
                "/a//x?z=1&y=2&z=1".to_owned(),
            ] {
                if way == "rfc9111" {
                    continue;
                }
                let target = format!("/{way}/{number}{target}");
                let mut seen = 0;
                for _ in 0..2 {
                    let reply = sign(stent.client().get(&target)).send().await;
                    if reply.status == 400 {
                        // A path that can be read in two ways is refused, signed or not.
                        continue;
                    }
                    let want = if way == "pass" { "no-policy" } else { "signed-request" };
                    assert_eq!((detail(&reply), reply.is_hit()), (want, false), "{way} {target}");
                    assert_eq!(origin.seen().last().unwrap().target, target, "{way}");
                    seen += 1;
                }
                assert!(seen == 2 || target.contains("//") || target.contains("/./"), "{way} {target}");
            }
        }
    }
}
