//! What one person's request, answer or session does to another's: a stage with a route for every way of sharing.

use std::net::SocketAddr;

use crate::scenario::{Asking, Origin, OriginBody, Reply, Seen, Stent, answer};

/// Every way of sharing, by the first segment of the path that leads to it.
pub const WAYS: [&str; 9] = ["public", "anonymous", "principal", "facets", "path", "own", "origin", "rfc9111", "pass"];

/// Those by which answers are kept under an operator's policy.
pub const NAMED: [&str; 6] = ["public", "anonymous", "principal", "facets", "path", "own"];

/// Those whose answers belong to somebody: whoever asks shows who they are.
pub fn is_somebodys(way: &str) -> bool {
    matches!(way, "principal" | "facets" | "path" | "own")
}

/// Those in which one person's answer may be another's: all that keep anything for more than one.
pub fn is_shared(way: &str) -> bool {
    !matches!(way, "principal" | "pass")
}

/// A route for each way. `identity` is added to the `identity:`, `policy` to each policy by its name, `route` to each route.
pub fn ways(identity: &str, policy: impl Fn(&str) -> &'static str, route: &str) -> String {
    let shares = [
        ("public", "share: public"),
        ("anonymous", "share: anonymous"),
        ("principal", "share: principal"),
        ("facets", "share: [tenant], access: {ask: /authz, for: 10h}"),
        ("path", "share: permitted, access: {ask: /authz, for: 10h}"),
        ("own", "share: permitted, access: {ask: self, for: 10h}"),
    ];
    let policies = shares.map(|(name, share)| format!("  {name}: {{{share}, ttl: 1h{}}}\n", policy(name))).concat();
    let routes = WAYS.map(|way| {
        let policy = if way == "pass" { String::new() } else { format!(", policy: {way}") };
        format!("  - {{name: {way}, path: /{way}/**{policy}{route}}}\n")
    });
    format!(
        "identity:\n  principal: [authorization, cookie.sessionid]\n  facets: {{tenant: access.tenant}}\n{identity}\
         policies:\n{policies}routes:\n{}  - {{name: rest, path: /**}}\n",
        routes.concat()
    )
}

/// The usual one.
pub fn plain() -> String {
    ways("", |_| "", "")
}

/// Stent before `origin`, by this configuration.
pub fn before(origin: SocketAddr, yaml: &str) -> Stent {
    Stent::start(origin, yaml)
}

/// An origin that says to `/authz` that everybody is of one tenant, and answers the rest by `script`, which is told how often
/// the path was asked for. What says nothing else lives for an hour and is everybody's, where the origin decides.
pub async fn clinic<F>(script: F) -> Origin
where
    F: Fn(&Seen, usize) -> hyper::Response<OriginBody> + Send + Sync + 'static,
{
    let counter = crate::scenario::Counter::default();
    Origin::start(move |seen: Seen| {
        let answer = match seen.path() {
            "/authz" => answer(200, &[("content-type", "application/json")], r#"{"tenant": "a"}"#),
            path => script(&seen, counter.next(path)),
        };
        async move { answer }
    })
    .await
}

/// Asks for `path` by one way; `who` shows a session where that is needed.
pub fn ask(stent: &Stent, way: &str, who: &str, path: &str) -> Asking {
    ask_by(stent, "GET", way, who, path)
}

pub fn ask_by(stent: &Stent, method: &str, way: &str, who: &str, path: &str) -> Asking {
    let asking = stent.client().ask(method, &format!("/{way}{path}"));
    if is_somebodys(way) { asking.cookie(&format!("sessionid={who}")) } else { asking }
}

/// `detail=…` of what the cache had to do with an answer.
pub fn detail(reply: &Reply) -> &str {
    let details = reply.cache().split("; ").filter_map(|part| part.strip_prefix("detail="));
    details.last().unwrap_or("")
}

/// An answer that is kept wherever anything is: plain text with this body, and a tag made of it.
pub fn kept(fields: &[(&str, &str)], body: String) -> hyper::Response<OriginBody> {
    let tag = format!("\"{}\"", blake3::hash(body.as_bytes()).to_hex());
    let usual = [("content-type", "text/plain"), ("cache-control", "public, max-age=3600"), ("etag", &*tag)];
    let is_said = |name: &str| fields.iter().any(|(said, _)| *said == name);
    let usual = usual.into_iter().filter(|(name, _)| !is_said(name));
    answer(200, &usual.chain(fields.iter().copied()).collect::<Vec<_>>(), body)
}

#[tokio::test]
async fn every_way_keeps_what_nothing_speaks_against() {
    let origin = clinic(|_, number| kept(&[], format!("#{number}"))).await;
    let stent = before(origin.address, &plain());
    for way in WAYS {
        let first = ask(&stent, way, "alice", "/a").send().await;
        assert_eq!((first.status, first.text().as_str()), (200, "#1"), "{way}");
        let again = ask(&stent, way, "alice", "/a").send().await;
        assert_eq!(again.is_hit(), way != "pass", "{way}: {}", again.cache());
        let mut others = ask(&stent, way, "bob", "/a").send().await;
        if way == "own" {
            // Bob's first is asked about on his own behalf.
            others = ask(&stent, way, "bob", "/a").send().await;
        }
        assert_eq!(others.is_hit(), is_shared(way), "{way}: {}", others.cache());
    }
}
