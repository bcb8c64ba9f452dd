//! What was once a way to see, or to learn of, what is another's.

use crate::scenario::{Origin, Seen, Stent, answer};

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
