//! What was once a way to see, or to learn of, what is another's.

use std::time::Duration;

use tokio::io::AsyncWriteExt;

use crate::scenario::{Counter, Origin, Seen, Stent, answer};

/// Lets ann and ben see everything, and eve nothing.
async fn charts(vary: &'static str) -> Origin {
    Origin::start(move |seen: Seen| async move {
        let role = seen.header("x-role").unwrap_or("-").to_owned();
        match (seen.header("authorization"), role.as_str()) {
            (Some("Bearer eve"), _) => answer(403, &[], "not yours"),
            // Whatever she says of herself.
            (Some("Bearer ann"), "head-of-department") => answer(403, &[], "not yours"),
            _ => {
                let fields = [("content-type", "text/plain"), ("vary", vary), ("etag", "\"v1\"")];
                answer(200, &fields, format!("chart for {role}"))
            }
        }
    })
    .await
}

const ASKED: &str = "
identity: {principal: [authorization], ignore_headers: [x-role]}
policies: {chart: {share: permitted, access: {ask: self, for: 60s}, ttl: 1h}}
routes: [{name: chart, path: /charts/<id>, policy: chart}]
";

#[tokio::test]
async fn who_is_refused_is_not_told_whether_others_have_looked() {
    let origin = charts("accept").await;
    let stent = Stent::start(origin.address, ASKED);
    let eve = async |path: &str| stent.client().get(path).bearer("eve").send().await;
    stent.client().get("/charts/7").bearer("ann").send().await;
    assert!(stent.client().get("/charts/7").bearer("ann").send().await.is_hit());
    let (looked_at, never) = (eve("/charts/7").await, eve("/charts/8").await);
    assert_eq!((looked_at.status, never.status), (403, 403));
    assert_eq!(looked_at.cache(), never.cache());
    let names =
        |reply: &crate::scenario::Reply| -> Vec<String> { reply.headers.keys().map(ToString::to_string).collect() };
    assert_eq!(names(&looked_at), names(&never));
}

#[tokio::test]
async fn a_no_by_a_success_is_kept_as_no_yes() {
    for tagged in [true, false] {
        let origin = Origin::start(move |seen: Seen| async move {
            let tag = |tag: &'static str| tagged.then_some(("etag", tag));
            let json = ("content-type", "application/json");
            let fields = |more: &[Option<(&'static str, &'static str)>]| -> Vec<_> {
                [Some(json)].iter().chain(more).flatten().copied().collect()
            };
            match seen.header("authorization") {
                Some("Bearer eve") => answer(200, &fields(&[tag("\"no\"")]), "{\"result\": false}"),
                _ => answer(200, &fields(&[tag("\"v1\"")]), "{\"chart\": 7}"),
            }
        })
        .await;
        let stent = Stent::start(origin.address, ASKED);
        let get = async |who: &str| stent.client().get("/charts/7").bearer(who).send().await;
        let mut seen = Vec::new();
        // Hers takes the place of what is like it, until somebody else asks.
        for who in ["ann", "eve", "ben", "eve", "ann", "eve"] {
            seen.push((who, get(who).await.text()));
        }
        let hers = seen.iter().filter(|(who, _)| *who == "eve");
        assert!(hers.clone().all(|(_, text)| text == "{\"result\": false}"), "tagged: {tagged}: {seen:?}");
    }
}

#[tokio::test]
async fn a_yes_to_one_variant_is_none_to_another() {
    let origin = charts("x-role").await;
    let stent = Stent::start(origin.address, ASKED);
    let ask =
        async |who: &str, role: &str| stent.client().get("/charts/7").bearer(who).header("x-role", role).send().await;
    assert_eq!(ask("ben", "head-of-department").await.text(), "chart for head-of-department");
    assert!(ask("ben", "head-of-department").await.is_hit());
    assert_eq!(ask("ann", "nurse").await.text(), "chart for nurse");
    assert!(ask("ann", "nurse").await.is_hit(), "her own repeat");
    let claimed = ask("ann", "head-of-department").await;
    assert_eq!((claimed.status, claimed.text().as_str()), (403, "not yours"), "{}", claimed.cache());
    stent.clock.advance(Duration::from_secs(61));
    assert!(!ask("ben", "head-of-department").await.is_hit(), "asked anew");
}

#[tokio::test]
async fn what_a_proxy_vouches_for_is_a_credential_to_the_origin_policy() {
    let origin = Origin::start(|seen: Seen| async move {
        let text = format!("for {}", seen.header("x-remote-user").unwrap_or("nobody"));
        match seen.path().ends_with("open") {
            true => answer(200, &[("cache-control", "public, max-age=60")], text),
            false => answer(200, &[("cache-control", "max-age=60")], text),
        }
    })
    .await;
    let stent = Stent::start(
        origin.address,
        "server: {listen: 127.0.0.1:0, trusted_proxies: [127.0.0.1]}\n\
         identity: {facets: {user: trusted.x-remote-user}}\n\
         routes: [{name: all, path: /**, policy: origin}]\n",
    );
    let ask = async |path: &str, user: &str| stent.client().get(path).header("x-remote-user", user).send().await.text();
    for (first, second) in [("ann", "ben"), ("ben", "ann")] {
        assert_eq!(ask("/page", first).await, format!("for {first}"));
        assert_eq!(ask("/page", second).await, format!("for {second}"));
    }
    assert_eq!(stent.client().get("/page").send().await.text(), "for nobody");
    assert!(stent.client().get("/page").send().await.is_hit());
    assert_eq!(ask("/open", "ann").await, "for ann");
    assert_eq!(ask("/open", "ben").await, "for ann", "the origin opened it");
}

#[tokio::test]
async fn an_ignored_cookie_makes_nobodys_answer() {
    let counter = Counter::default();
    let origin = Origin::start(move |seen: Seen| {
        let number = counter.next(seen.path());
        async move {
            let text = format!("{} #{number}", seen.header("cookie").unwrap_or("-"));
            let control = ("cache-control", "max-age=60, public");
            match seen.path() {
                "/varied" => answer(200, &[control, ("vary", "Cookie")], text),
                "/form" => answer(200, &[control, ("set-cookie", "csrftoken=new")], text),
                _ => answer(200, &[control], text),
            }
        }
    })
    .await;
    for policy in ["origin", "rfc9111"] {
        let yaml = format!(
            "identity: {{principal: [authorization], ignore_cookies: [theme, csrftoken]}}\n\
             routes: [{{name: all, path: /**, policy: {policy}}}]\n"
        );
        let stent = Stent::start(origin.address, &yaml);
        let ask = async |path: &str, cookie: &str| stent.client().get(path).cookie(cookie).send().await;
        let page = format!("/page-{policy}");
        assert_eq!(ask(&page, "theme=dark").await.text(), "- #1");
        assert!(ask(&page, "theme=light").await.is_hit());
        assert!(stent.client().get(&page).send().await.is_hit());
        // What is nobody's to keep is asked for with all that the client has.
        if policy == "origin" {
            for _ in 0..2 {
                assert!(ask("/form", "csrftoken=mine").await.text().starts_with("csrftoken=mine #"));
            }
            continue;
        }
        // Others travel, and tell variants apart.
        let first = ask("/varied", "theme=dark; lang=de").await;
        assert!(first.text().starts_with("lang=de #"), "{}", first.text());
        let again = ask("/varied", "lang=de; theme=light").await;
        assert!(again.is_hit() && again.text() == first.text(), "{}", again.cache());
        assert!(ask("/varied", "lang=en; theme=dark").await.text().starts_with("lang=en #"));
    }
}

#[tokio::test]
async fn what_was_withheld_is_noticed_on_a_second_line_too() {
    let origin = Origin::start(|seen: Seen| async move {
        let all: Vec<&str> = seen.headers.get_all("cookie").iter().filter_map(|line| line.to_str().ok()).collect();
        answer(200, &[("cache-control", "no-store")], all.join("; "))
    })
    .await;
    let stent = Stent::start(
        origin.address,
        "identity: {principal: [cookie.sessionid], ignore_cookies: [csrftoken]}\n\
         policies: {own: {share: principal, ttl: 60s}}\n\
         routes: [{name: all, path: /**, policy: own}]\n",
    );
    let asked = stent.client().get("/form").cookie("sessionid=a").cookie("csrftoken=b").send().await;
    assert_eq!(asked.text(), "sessionid=a; csrftoken=b");
}

#[tokio::test]
async fn a_page_whose_name_leads_here_reads_nothing_from_the_admin() {
    let origin = Origin::start(|_| async move { answer(200, &[], "x") }).await;
    let stent = Stent::start(origin.address, "routes: [{name: all, path: /**}]\n");
    let port = stent.admin.port();
    for call in ["/metrics", "/api/v1/status", "/api/v1/routes", "/api/v1/upstreams", "/api/v1/explain?url=/a"] {
        // As a browser asks for a page's own: without Origin, and over plain HTTP without Sec-Fetch-Site.
        let ask = async |host: &str| stent.admin("GET", call).header("host", host).send().await;
        for host in
            [format!("evil.example:{port}"), "localhost.evil.example".to_owned(), "127.0.0.1.evil.example".to_owned()]
        {
            let reply = ask(&host).await;
            assert_eq!(reply.status, 403, "{call} by {host}: {}", reply.text());
        }
        for host in
            [format!("127.0.0.1:{port}"), format!("localhost:{port}"), format!("[::1]:{port}"), "LOCALHOST".to_owned()]
        {
            assert_eq!(ask(&host).await.status, 200, "{call} by {host}");
        }
    }
    assert_eq!(stent.admin("GET", "/livez").header("host", "pod.example").send().await.status, 200);
}

#[tokio::test]
async fn a_body_of_nothing_changes_nothing_about_who_asks() {
    let origin = charts("accept").await;
    let stent = Stent::start(origin.address, ASKED);
    let ask = async |who: &str| stent.client().get("/charts/7").bearer(who).header("content-length", "0").send().await;
    assert_eq!(ask("ann").await.text(), "chart for -");
    assert!(ask("ann").await.is_hit());
    assert_eq!(ask("eve").await.status, 403);
}

/// One word for which host is meant, or none of what is asked for is done.
#[tokio::test]
async fn the_admin_hears_of_one_host() {
    let origin = charts("accept").await;
    let stent = Stent::start(origin.address, "routes: [{name: rest, path: /**}]");
    let address = stent.admin;
    for (head, want) in [
        (format!("GET /api/v1/status HTTP/1.1\r\nHost: {address}\r\n"), "200"),
        (format!("GET http://{address}/api/v1/status HTTP/1.1\r\nHost: {address}\r\n"), "200"),
        ("GET /livez HTTP/1.0\r\n".to_owned(), "200"),
        (format!("GET /api/v1/status HTTP/1.1\r\nHost: {address}\r\nHost: evil.example\r\n"), "400"),
        (format!("GET /api/v1/status HTTP/1.1\r\nHost: {address}\r\nHost: {address}\r\n"), "400"),
        (format!("GET http://{address}/api/v1/status HTTP/1.1\r\nHost: evil.example\r\n"), "400"),
        (format!("GET http://evil.example/livez HTTP/1.1\r\nHost: {address}\r\n"), "400"),
        (format!("PURGE http://clinic.example/a HTTP/1.1\r\nHost: {address}\r\n"), "400"),
        ("GET /livez HTTP/1.1\r\n".to_owned(), "400"),
    ] {
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
        let line = crate::raw::until(&mut stream, "\r\n").await;
        assert_eq!(line.split(' ').nth(1), Some(want), "{head}");
    }
}
