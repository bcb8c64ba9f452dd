//! Entity tags of one principal's answers, which are that principal's: nobody else is told by a 304 that what they have is theirs.

use crate::coupling::{WAYS, ask, ask_by, before, clinic, detail, plain};
use crate::scenario::{Origin, Reply, Seen, answer};

const MODIFIED: &str = "Sun, 09 Sep 2001 01:46:40 GMT";

/// An origin whose pages have one tag for all, as many make them of what a page shows: it says so of every condition on it.
async fn tagged(tag: &'static str) -> Origin {
    clinic(move |seen, _| {
        let fields = [
            ("etag", tag),
            ("last-modified", MODIFIED),
            ("content-type", "text/plain"),
            ("cache-control", "public, max-age=60"),
        ];
        let wants = |name: &str| seen.header(name).map(str::to_owned);
        if seen.method == "PUT" {
            let holds = wants("if-match").is_none_or(|line| line.split(", ").any(|one| one == tag));
            return answer(if holds { 204 } else { 412 }, &[], "");
        }
        let not_modified = match (wants("if-none-match"), wants("if-modified-since")) {
            (Some(line), _) => line.split(", ").any(|one| one == tag),
            (None, since) => since.as_deref() == Some(MODIFIED),
        };
        if not_modified {
            return answer(304, &fields[..2], "");
        }
        answer(200, &fields, whose(seen))
    })
    .await
}

fn whose(seen: &Seen) -> String {
    format!("page of {}", seen.header("cookie").unwrap_or("nobody"))
}

/// Tells which tag a reply has; there is one.
fn tag(reply: &Reply) -> String {
    assert!(!reply.header("etag").is_empty(), "{reply:?}");
    reply.header("etag").to_owned()
}

#[tokio::test]
async fn anothers_tag_is_answered_by_the_whole_and_ones_own_by_a_304() {
    for said in ["\"v1\"", "W/\"v1\"", "\"a,b\"", "\"\"", "v1"] {
        let origin = tagged(said).await;
        let stent = before(origin.address, &plain());
        for way in WAYS {
            let (alices, bobs) =
                (ask(&stent, way, "alice", "/a").send().await, ask(&stent, way, "bob", "/a").send().await);
            let (hers, his) = (tag(&alices), tag(&bobs));
            let cell = format!("{way} {said}");
            let bound = way == "principal";
            assert_eq!(hers == his, !bound, "{cell}: {hers} {his}");
            assert_eq!(hers == said, !bound, "{cell}: {hers}");
            let conditional = |who: &str, line: &str| ask(&stent, way, who, "/a").header("if-none-match", line);
            for (who, line, want) in [
                ("alice", hers.clone(), 304),
                ("bob", his.clone(), 304),
                ("bob", hers.clone(), if bound { 200 } else { 304 }),
                ("alice", his.clone(), if bound { 200 } else { 304 }),
                ("bob", format!("{hers}, \"other\""), if bound { 200 } else { 304 }),
                ("bob", format!("{hers}, {his}"), 304),
                ("alice", "\"none\"".to_owned(), 200),
                // What the origin itself would say: nobody was told it here.
                ("alice", said.to_owned(), if bound { 200 } else { 304 }),
                ("alice", "*".to_owned(), 304),
            ] {
                if line == "*" && way == "pass" {
                    continue;
                }
                let reply = conditional(who, &line).send().await;
                assert_eq!(reply.status, want, "{cell}: {who} with {line}: {}", reply.cache());
                let own = if crate::coupling::is_somebodys(way) && bound {
                    format!("sessionid={who}")
                } else {
                    String::new()
                };
                assert!(reply.status == 304 || reply.text().contains(&own), "{cell}: {}", reply.text());
                if reply.status == 304 && bound {
                    assert_eq!(tag(&reply), if who == "alice" { &*hers } else { &*his }, "{cell}");
                }
                let head = ask_by(&stent, "HEAD", way, who, "/a").header("if-none-match", &line).send().await;
                assert_eq!(head.status, want, "{cell}: HEAD, {who} with {line}");
            }
        }
    }
}

/// A date says when an answer was made, and not for whom.
#[tokio::test]
async fn a_date_confirms_no_principals_copy() {
    let origin = tagged("\"v1\"").await;
    let stent = before(origin.address, &plain());
    for way in WAYS {
        ask(&stent, way, "alice", "/a").send().await;
        ask(&stent, way, "bob", "/a").send().await;
        for who in ["alice", "bob"] {
            let reply = ask(&stent, way, who, "/a").header("if-modified-since", MODIFIED).send().await;
            let want = if way == "principal" { 200 } else { 304 };
            assert_eq!(reply.status, want, "{way} {who}: {}", reply.cache());
            let ranged =
                ask(&stent, way, who, "/a").header("range", "bytes=0-3").header("if-range", MODIFIED).send().await;
            assert_eq!(
                ranged.status == 200 && ranged.text().starts_with("page of "),
                way == "principal" || way == "pass",
                "{way} {who}: {} {}",
                ranged.status,
                ranged.text()
            );
        }
    }
}

#[tokio::test]
async fn a_part_is_put_beside_ones_own_alone() {
    let origin = tagged("\"v1\"").await;
    let stent = before(origin.address, &plain());
    let hers = tag(&ask(&stent, "principal", "alice", "/a").send().await);
    let his = tag(&ask(&stent, "principal", "bob", "/a").send().await);
    for (who, line, want) in [("alice", &hers, 206), ("bob", &his, 206), ("bob", &hers, 200), ("alice", &his, 200)] {
        let asking = ask(&stent, "principal", who, "/a").header("range", "bytes=8-").header("if-range", line);
        let reply = asking.send().await;
        assert_eq!(reply.status, want, "{who} with {line}: {}", reply.cache());
        let own = format!("sessionid={who}");
        assert!(reply.text().ends_with(&own), "{who}: {}", reply.text());
    }
    // Of what is not stored, and of what is passed, too.
    for path in ["/never", "/a?access_token=x"] {
        for (who, line, want) in [("alice", &hers, Some("\"v1\"")), ("bob", &hers, None)] {
            ask(&stent, "principal", who, path).header("range", "bytes=8-").header("if-range", line).send().await;
            let seen = origin.seen().into_iter().rev().find(|seen| seen.target.starts_with("/principal")).unwrap();
            let asked = (seen.header("if-range"), seen.header("range"));
            assert!(asked == (None, None) || asked == (want, Some("bytes=8-")), "{path} {who}: {asked:?}");
        }
    }
}

/// The origin is asked by the tag that it gave.
#[tokio::test]
async fn the_origin_never_sees_what_tags_are_bound_by() {
    let origin = tagged("\"v1\"").await;
    let stent = before(origin.address, &plain());
    let hers = tag(&ask(&stent, "principal", "alice", "/a").send().await);
    let his = tag(&ask(&stent, "principal", "bob", "/a").send().await);
    // Revalidated once it is stale.
    stent.clock.advance(std::time::Duration::from_secs(2 * 3600));
    let again = ask(&stent, "principal", "alice", "/a").header("if-none-match", &hers).send().await;
    assert_eq!((again.status, tag(&again)), (304, hers.clone()), "{}", again.cache());
    assert_eq!(origin.last("/principal/a").header("if-none-match"), Some("\"v1\""));
    stent.clock.advance(std::time::Duration::from_secs(2 * 3600));
    let other = ask(&stent, "principal", "bob", "/a").header("if-none-match", &hers).send().await;
    assert_eq!((other.status, other.text().as_str()), (200, "page of sessionid=bob"), "{}", other.cache());
    // A write is guarded by what its client has seen, whoever's it was then.
    for (who, line, want) in
        [("alice", &hers, 204), ("bob", &his, 204), ("bob", &hers, 204), ("alice", &"\"v0\"".to_owned(), 412)]
    {
        let written = ask_by(&stent, "PUT", "principal", who, "/a").header("if-match", line).send().await;
        assert_eq!(written.status, want, "{who} with {line}");
    }
    // On routes that pass, where a client may say back what it was told elsewhere.
    for (who, line, want) in [("alice", &hers, 304), ("bob", &hers, 200), ("alice", &"\"v1\"".to_owned(), 304)] {
        for path in ["/pass/a", "/principal/a?access_token=x", "/principal/b?ticket=x"] {
            let asking = stent.client().get(path).cookie(&format!("sessionid={who}")).header("if-none-match", line);
            let reply = asking.send().await;
            assert_eq!(reply.status, want, "{who} on {path} with {line}: {}", detail(&reply));
        }
    }
    let bound = origin.seen().into_iter().filter(|seen| {
        let mut values = seen.headers.values();
        values.any(|value| value.as_bytes().windows(3).any(|part| part == b";s="))
    });
    assert_eq!(bound.count(), 0);
}

/// Without a principal of one's own there is nothing to tell apart: a reload, another worker, or a hit later give the same tag.
#[tokio::test]
async fn ones_own_tag_stays_ones_own() {
    let origin = tagged("\"v1\"").await;
    let stent = before(origin.address, &plain());
    let first = tag(&ask(&stent, "principal", "alice", "/a").send().await);
    for number in 0..4 {
        assert_eq!(tag(&ask(&stent, "principal", "alice", "/a").send().await), first, "{number}");
        assert_eq!(tag(&ask(&stent, "principal", "alice", &format!("/{number}")).send().await), first, "{number}");
    }
    stent.purge(serde_json::json!({"tags": ["everything"]})).await;
    assert_eq!(tag(&ask(&stent, "principal", "alice", "/a").send().await), first);
    stent.reload(origin.address, &plain().replace("ttl: 1h", "ttl: 2h"));
    assert_eq!(tag(&ask(&stent, "principal", "alice", "/a").send().await), first);
}
