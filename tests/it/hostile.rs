//! What was once a way to see, or to learn of, what is another's.

use std::time::Duration;

use crate::scenario::{Origin, Seen, Stent, answer};

/// Lets ann and ben see everything, and eve nothing.
async fn charts(vary: &'static str) -> Origin {
    Origin::start(move |seen: Seen| async move {
        let role = seen.header("x-role").unwrap_or("-").to_owned();
        match (seen.header("authorization"), role.as_str()) {
            (Some("Bearer eve"), _) => answer(403, &[], "not yours"),
            // Whatever she says of herself.
            (Some("Bearer ann"), "head-of-department") => answer(403, &[], "not yours"),
            _ => answer(200, &[("vary", vary), ("etag", "\"v1\"")], format!("chart for {role}")),
        }
    })
    .await
}

const ASKED: &str = "
identity: {principal: [authorization]}
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
