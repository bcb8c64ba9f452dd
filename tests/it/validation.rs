//! What the origin is asked about what is stored, and what clients are told (RFC 9111 §4.3): conditions, 304, HEAD, hints.

use std::time::Duration;

use crate::proxying::{bytes_origin, raw};
use crate::scenario::{Counter, Origin, Reply, Stent, answer};

const LETTER: &str = "routes: [{name: all, path: /**, policy: rfc9111}]";

const ORIGIN: &str = "routes: [{name: all, path: /**, policy: origin}]";

const NAMED: &str = "policies: {p: {share: public, ttl: 10s}}\nroutes: [{name: all, path: /**, policy: p}]";

/// A status, fields and a body for each request.
type Script = &'static [(u16, Fields, &'static str)];
type Fields = &'static [(&'static str, &'static str)];

/// Answers the nth request for a path with the nth of these, and later ones with the last.
async fn scripted(script: Script) -> Origin {
    let counter = Counter::default();
    Origin::start(move |seen| {
        let number = counter.next(seen.path());
        async move {
            let (status, headers, body) = script[number.min(script.len()) - 1];
            answer(status, headers, body)
        }
    })
    .await
}

struct Stage {
    origin: Origin,
    stent: Stent,
}

impl Stage {
    async fn with(yaml: &str, script: Script) -> Stage {
        let origin = scripted(script).await;
        Stage { stent: Stent::start(origin.address, yaml), origin }
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Reply {
        self.ask("GET", headers).await
    }

    async fn ask(&self, method: &str, headers: &[(&str, &str)]) -> Reply {
        let asking = self.stent.client().ask(method, "/a");
        headers.iter().fold(asking, |asking, (name, value)| asking.header(name, value)).send().await
    }

    fn pass(&self, seconds: u64) {
        self.stent.clock.advance(Duration::from_secs(seconds));
    }

    fn asked(&self) -> Vec<(String, Option<String>)> {
        let seen = self.origin.seen().into_iter();
        seen.map(|seen| (seen.method.to_string(), seen.header("if-none-match").map(str::to_owned))).collect()
    }
}

const A: Fields = &[("etag", "\"a\""), ("cache-control", "max-age=10")];
const B: Fields = &[("etag", "\"b\""), ("cache-control", "max-age=10")];

/// RFC 9111 §4.3.1, §4.3.2: ours go to the origin, the client's are judged by what comes of it.
#[tokio::test]
async fn the_clients_validators_and_ours() {
    for yaml in [LETTER, NAMED] {
        let stage = Stage::with(yaml, &[(200, A, "one"), (304, A, ""), (304, A, ""), (200, B, "two")]).await;
        stage.get(&[]).await;
        stage.pass(11);
        let other = stage.get(&[("if-none-match", "\"old\"")]).await;
        assert_eq!((other.status, other.text().as_str()), (200, "one"), "confirmed, and not what the client has");
        let same = stage.get(&[("if-none-match", "\"old\", \"a\""), ("cache-control", "no-cache")]).await;
        assert_eq!((same.status, same.header("etag"), same.body.len()), (304, "\"a\"", 0));
        assert_eq!(same.cache(), "stent; fwd=request; fwd-status=304; ttl=10; detail=request-no-cache");
        stage.pass(11);
        let new = stage.get(&[("if-none-match", "\"b\"")]).await;
        assert_eq!(new.status, 304, "a full answer replaced it, and it is what the client has");
        assert_eq!(stage.get(&[]).await.text(), "two");
        let ours = || ("GET".to_owned(), Some("\"a\"".to_owned()));
        assert_eq!(stage.asked(), [("GET".to_owned(), None), ours(), ours(), ours()]);
    }
}

/// RFC 9111 §4.3.1: both validators, where both are stored.
#[tokio::test]
async fn all_stored_validators_are_sent() {
    const BOTH: Fields =
        &[("etag", "W/\"a\""), ("last-modified", "Sun, 09 Sep 2001 01:46:40 GMT"), ("cache-control", "no-cache")];
    let stage = Stage::with(LETTER, &[(200, BOTH, "one"), (304, &[], "")]).await;
    stage.get(&[]).await;
    assert_eq!(stage.get(&[]).await.text(), "one");
    let asked = stage.origin.last("/a");
    assert_eq!(asked.header("if-none-match"), Some("W/\"a\""));
    assert_eq!(asked.header("if-modified-since"), Some("Sun, 09 Sep 2001 01:46:40 GMT"));
}

/// RFC 9111 §4.3.4: a 304 that speaks of something else updates nothing; it is asked once more, without a condition.
#[tokio::test]
async fn a_304_of_something_else_is_asked_again_whole() {
    let stage = Stage::with(LETTER, &[(200, A, "one"), (304, B, ""), (200, B, "two")]).await;
    stage.get(&[]).await;
    stage.pass(11);
    assert_eq!(stage.get(&[]).await.text(), "two");
    let conditions: Vec<_> = stage.asked().into_iter().map(|(_, condition)| condition).collect();
    assert_eq!(conditions, [None, Some("\"a\"".to_owned()), None]);
    assert!(stage.get(&[]).await.is_hit());

    let stage = Stage::with(LETTER, &[(200, A, "one"), (304, B, "")]).await;
    stage.get(&[]).await;
    stage.pass(11);
    assert_eq!(stage.get(&[]).await.status, 502, "nobody asked on a condition any more");
    assert_eq!(stage.asked().len(), 3);
}

/// RFC 9111 §4.3.3.
#[tokio::test]
async fn an_error_while_it_is_asked_about_is_handed_on_and_replaces_nothing() {
    let stage = Stage::with(LETTER, &[(200, A, "one"), (500, &[], "ill"), (304, A, "")]).await;
    stage.get(&[]).await;
    stage.pass(11);
    let ill = stage.get(&[("if-none-match", "\"a\"")]).await;
    assert_eq!((ill.status, ill.text().as_str()), (500, "ill"), "a condition is for successes only");
    assert_eq!(stage.get(&[]).await.text(), "one");
}

/// RFC 9110 §13.2.1: conditions are for successes.
#[tokio::test]
async fn no_condition_is_judged_on_a_stored_error() {
    let stage = Stage::with(LETTER, &[(404, A, "gone")]).await;
    for _ in 0..2 {
        for condition in [("if-none-match", "\"a\""), ("if-none-match", "*")] {
            let reply = stage.get(&[condition]).await;
            assert_eq!((reply.status, reply.text().as_str()), (404, "gone"));
        }
    }
    assert_eq!(stage.asked().len(), 1);
}

/// RFC 9111 §3.2, §4.3.4, §3.1.
#[tokio::test]
async fn a_304_updates_what_is_stored() {
    const FIRST: Fields = &[
        ("etag", "\"a\""),
        ("cache-control", "max-age=10"),
        ("content-type", "text/css"),
        ("x-old", "1"),
        ("x-many", "1"),
        ("x-many", "2"),
    ];
    const UPDATE: Fields = &[
        ("etag", "\"a\""),
        ("cache-control", "max-age=99"),
        ("content-type", "text/html"),
        ("content-length", "77"),
        ("x-many", "3"),
        ("x-new", "1"),
        ("connection", "x-named"),
        ("x-named", "1"),
        ("proxy-authenticate", "Basic"),
        ("proxy-authentication-info", "x=1"),
        ("keep-alive", "timeout=5"),
    ];
    for (yaml, media) in [(LETTER, "text/html"), (NAMED, "text/css")] {
        let (address, _origin) = bytes_origin(|number, head| {
            let (status, fields) = if number == 1 { ("200 OK", FIRST) } else { ("304 Not Modified", UPDATE) };
            assert!(number == 1 || head.contains("if-none-match: \"a\"\r\n"), "{head}");
            let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let body = if number == 1 { "content-length: 3\r\n\r\none" } else { "\r\n" };
            Some(format!("HTTP/1.1 {status}\r\n{fields}{body}"))
        })
        .await;
        let stent = Stent::start(address, yaml);
        let client = stent.client();
        client.get("/a").send().await;
        stent.clock.advance(Duration::from_secs(11));
        for _ in 0..2 {
            let reply = client.get("/a").send().await;
            assert_eq!((reply.status, reply.text().as_str(), reply.header("content-length")), (200, "one", "3"));
            assert_eq!(reply.header("content-type"), media, "{yaml}");
            assert_eq!(reply.headers.get_all("x-many").iter().collect::<Vec<_>>(), ["3"]);
            assert_eq!((reply.header("x-old"), reply.header("x-new")), ("1", "1"));
            for name in ["x-named", "proxy-authenticate", "proxy-authentication-info", "keep-alive"] {
                assert!(!reply.headers.contains_key(name), "{name}");
            }
        }
        assert!(client.get("/a").send().await.is_hit());
    }
}

/// RFC 9111 §5.4.
#[tokio::test]
async fn pragma_speaks_where_cache_control_is_silent() {
    let stage = Stage::with(LETTER, &[(200, &[("cache-control", "max-age=100")], "x")]).await;
    for (number, pragma, control) in
        [(1, "", ""), (1, "x", ""), (2, "No-Cache", ""), (3, "x, no-cache", ""), (3, "no-cache", "max-age=100")]
    {
        let fields = [("pragma", pragma), ("cache-control", control)];
        let fields: Vec<_> = fields.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        stage.get(&fields).await;
        assert_eq!(stage.asked().len(), number, "{fields:?}");
    }
}

/// RFC 9111 §4.3.5, RFC 9110 §9.3.2.
#[tokio::test]
async fn head_updates_what_is_stored_or_ends_it() {
    const NEWS: Fields = &[("etag", "\"a\""), ("cache-control", "max-age=50"), ("x-new", "1")];
    const LONGER: Fields = &[("etag", "\"a\""), ("cache-control", "max-age=50")];
    for yaml in [LETTER, "policies: {p: {share: public}}\nroutes: [{name: all, path: /**, policy: p}]"] {
        let stage = Stage::with(yaml, &[(200, A, "one"), (200, NEWS, "one"), (200, B, "two")]).await;
        stage.get(&[]).await;
        stage.pass(11);
        let head = stage.ask("HEAD", &[]).await;
        assert_eq!((head.status, head.header("content-length"), head.header("x-new")), (200, "3", "1"));
        assert_eq!(head.cache(), "stent; fwd=stale; fwd-status=200; ttl=50; detail=stale");
        assert_eq!(stage.asked()[1], ("HEAD".to_owned(), None));
        let fresh = stage.get(&[]).await;
        assert_eq!((fresh.text().as_str(), fresh.header("x-new"), fresh.cache()), ("one", "1", "stent; hit; ttl=50"));
        let asked = stage.ask("HEAD", &[("cache-control", "no-cache"), ("if-none-match", "\"b\"")]).await;
        assert_eq!((asked.status, asked.header("etag")), (304, "\"b\""), "it is judged by the origin's own answer");
        assert_eq!(stage.get(&[]).await.text(), "two", "what was stored is not what there is");
        assert_eq!(stage.asked().last().unwrap(), &("GET".to_owned(), Some("\"a\"".to_owned())));

        let stage = Stage::with(yaml, &[(200, A, "one"), (200, LONGER, "four"), (200, B, "two")]).await;
        stage.get(&[]).await;
        stage.ask("HEAD", &[("cache-control", "no-cache")]).await;
        assert_eq!(stage.get(&[]).await.text(), "two", "of another length, though it would still be fresh");
    }
}

#[tokio::test]
async fn head_makes_no_entry_and_errors_change_none() {
    for yaml in [LETTER, NAMED] {
        let stage = Stage::with(yaml, &[(200, A, "one"), (200, A, "one"), (404, B, "gone"), (503, &[], "ill")]).await;
        let nothing = stage.ask("HEAD", &[]).await;
        assert_eq!(nothing.cache(), "stent; fwd=miss; detail=head-not-stored; fwd-status=200");
        assert_eq!(stage.get(&[]).await.text(), "one");
        for status in [404, 503] {
            let head = stage.ask("HEAD", &[("cache-control", "no-cache")]).await;
            assert_eq!((head.status, head.body.len()), (status, 0), "{}", head.cache());
            let fresh = stage.get(&[]).await;
            assert!(fresh.is_hit() && fresh.text() == "one", "{}", fresh.cache());
        }
        let conditional = stage.ask("HEAD", &[("if-none-match", "\"a\"")]).await;
        assert_eq!((conditional.status, conditional.header("etag")), (304, "\"a\""));
    }
}

/// Purge rule 8: what a purge has overtaken is not brought back by HEAD.
#[tokio::test]
async fn head_does_not_revive_what_was_purged() {
    let stage = Stage::with(LETTER, &[(200, A, "one"), (200, A, "one"), (200, B, "two")]).await;
    stage.get(&[]).await;
    stage.pass(11);
    stage.stent.purge(serde_json::json!({"all": true})).await;
    assert_eq!(stage.ask("HEAD", &[]).await.status, 200);
    assert_eq!(stage.get(&[]).await.text(), "two");
}

/// RFC 9110 §15.2: whoever caused a fetch has its hints, and nobody later.
#[tokio::test]
async fn hints_reach_whoever_caused_a_fetch_and_are_not_stored() {
    for yaml in [LETTER, NAMED] {
        let (address, _origin) = bytes_origin(|_, _| {
            Some(
                "HTTP/1.1 102 Processing\r\n\r\n\
                 HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\nset-cookie: a=b\r\n\
                 connection: x-hop\r\nx-hop: 1\r\nproxy-authenticate: Basic\r\nx-early: 1\r\n\r\n\
                 HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\ncontent-length: 2\r\n\r\nok"
                    .to_owned(),
            )
        })
        .await;
        let stent = Stent::start(address, yaml);
        let ask = async |version: &str, target: &str| {
            raw(stent.address, &format!("GET {target} HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n")).await
        };
        let got = ask("1.1", "/a").await;
        let hints = got.split_once("HTTP/1.1 200 OK\r\n").expect("an answer behind them").0;
        assert!(hints.starts_with("HTTP/1.1 102 Processing\r\n"), "{got}");
        assert!(hints.contains("HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n"), "{got}");
        for secret in ["set-cookie", "x-hop", "proxy-authenticate"] {
            assert!(!got.contains(secret), "{secret}: {got}");
        }
        let hit = ask("1.1", "/a").await;
        assert!(hit.starts_with("HTTP/1.1 200 OK\r\n") && hit.ends_with("ok"), "{hit}");
        assert!(!hit.contains("x-early") && !hit.contains("a.css"), "{hit}");
        let old = ask("1.0", "/b").await;
        assert!(old.starts_with("HTTP/1.1 200 OK\r\n") && !old.contains("x-early"), "{old}");
    }
}

/// RFC 9111 §3.5: what is said to somebody's credentials is for others only where that very answer is opened to them.
#[tokio::test]
async fn an_update_for_somebodys_credentials_is_not_for_others() {
    const OPEN: Fields = &[("etag", "\"a\""), ("cache-control", "public, max-age=10")];
    const SAME: Fields = &[("etag", "\"a\"")];
    const ALICES: Fields = &[("etag", "\"a\""), ("x-greeting", "alice")];
    const OPENED: Fields = &[("etag", "\"a\""), ("x-news", "1"), ("cache-control", "public, max-age=10")];
    const OWN: Fields = &[("cache-control", "private"), ("x-greeting", "alice")];
    const ORIGIN: &str = "routes: [{name: all, path: /**, policy: origin}]";
    let bearer = ("authorization", "Bearer alice");
    for (yaml, alice) in [(LETTER, bearer), (ORIGIN, bearer), (ORIGIN, ("cookie", "session=alice"))] {
        let stage =
            Stage::with(yaml, &[(200, OPEN, "one"), (304, ALICES, ""), (200, OWN, "hers"), (304, SAME, "")]).await;
        stage.get(&[]).await;
        stage.pass(11);
        let hers = stage.get(&[alice]).await;
        assert_eq!((hers.text().as_str(), hers.header("x-greeting")), ("hers", "alice"));
        let others = stage.get(&[]).await;
        assert_eq!((others.text().as_str(), others.headers.get("x-greeting")), ("one", None), "{yaml}");

        let stage = Stage::with(yaml, &[(200, OPEN, "one"), (200, ALICES, ""), (304, SAME, "")]).await;
        stage.get(&[]).await;
        stage.pass(11);
        assert_eq!(stage.ask("HEAD", &[alice]).await.header("x-greeting"), "alice");
        let others = stage.get(&[]).await;
        assert_eq!((others.text().as_str(), others.headers.get("x-greeting")), ("one", None), "{yaml}");

        let stage = Stage::with(yaml, &[(200, OPEN, "one"), (304, OPENED, "")]).await;
        stage.get(&[]).await;
        stage.pass(11);
        stage.get(&[alice]).await;
        let others = stage.get(&[]).await;
        assert!(others.is_hit() && others.header("x-news") == "1", "{}", others.cache());
    }
}

/// Each confirmation may bring new fields: an answer does not grow without end.
#[tokio::test]
async fn confirmations_do_not_heap_up_fields() {
    for yaml in [LETTER, NAMED] {
        let (address, _origin) = bytes_origin(|number, head| {
            let fields: String = (0..100).map(|field| format!("x-{number}-{field}: 1\r\n")).collect();
            let said = format!("connection: close\r\netag: \"a\"\r\ncache-control: max-age=10\r\n{fields}");
            Some(match head.to_ascii_lowercase().contains("if-none-match") {
                true => format!("HTTP/1.1 304 Not Modified\r\n{said}\r\n"),
                false => format!("HTTP/1.1 200 OK\r\n{said}content-length: 5\r\n\r\nwhole"),
            })
        })
        .await;
        let stent = Stent::start(address, yaml);
        for _ in 0..8 {
            let got = raw(stent.address, "GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
            assert!(got.ends_with("\r\n\r\nwhole"), "{got}");
            assert!(got.lines().count() < 300, "{} lines", got.lines().count());
            stent.clock.advance(Duration::from_secs(11));
        }
    }
}

/// A 304 that may not be kept, or that names the stored tag by another strength, is asked for once: what is stored is whoever asked's.
#[tokio::test]
async fn a_304_that_is_one_clients_is_not_asked_for_again() {
    const SETS: Fields = &[("etag", "\"a\""), ("set-cookie", "theme=dark")];
    const STRONG: Fields = &[("etag", "\"w\"")];
    const WEAK: Fields = &[("etag", "W/\"w\""), ("cache-control", "max-age=10")];
    let stage = Stage::with(ORIGIN, &[(200, A, "one"), (304, SETS, ""), (200, B, "two")]).await;
    stage.get(&[]).await;
    stage.pass(20);
    let reply = stage.get(&[]).await;
    let told = (reply.status, reply.text(), reply.header("set-cookie").to_owned(), reply.header("etag").to_owned());
    assert_eq!(told, (200, "one".to_owned(), "theme=dark".to_owned(), "\"a\"".to_owned()), "{}", reply.cache());
    assert!(reply.cache().contains("fwd-status=304; detail=set-cookie"), "{}", reply.cache());
    assert_eq!(stage.asked().len(), 2);
    let next = stage.get(&[]).await;
    assert_eq!((next.text().as_str(), next.header("set-cookie")), ("two", ""), "it was one client's");
    assert!(stage.get(&[]).await.is_hit(), "it is not asked about for ever");

    for yaml in [LETTER, NAMED] {
        let stage = Stage::with(yaml, &[(200, WEAK, "one"), (304, STRONG, ""), (200, B, "two")]).await;
        stage.get(&[]).await;
        stage.pass(20);
        let reply = stage.get(&[]).await;
        assert_eq!((reply.status, reply.text().as_str()), (200, "one"), "{}", reply.cache());
        assert!(reply.cache().contains("fwd-status=304; detail=validator-strength"), "{}", reply.cache());
        assert_eq!(stage.asked().len(), 2);
        // Nothing was made fresh by it (RFC 9111 §4.3.4), and it is not asked about for ever.
        let reply = stage.get(&[]).await;
        assert_eq!((reply.text().as_str(), stage.asked().last().unwrap().1.as_deref()), ("two", None));
        assert!(stage.get(&[]).await.is_hit());
    }
}

/// What the client has is told apart from what was asked about on its behalf.
#[tokio::test]
async fn a_304_that_is_one_clients_answers_its_own_condition() {
    const SETS: Fields = &[("etag", "\"a\""), ("set-cookie", "theme=dark")];
    let stage = Stage::with(ORIGIN, &[(200, A, "one"), (304, SETS, "")]).await;
    stage.get(&[]).await;
    stage.pass(20);
    let reply = stage.get(&[("if-none-match", "\"a\"")]).await;
    assert_eq!((reply.status, reply.header("set-cookie"), reply.text().as_str()), (304, "theme=dark", ""));
}

/// A page in several languages, kept or not, known or not, is one request each; and where languages make no difference they are soon
/// not told apart.
#[tokio::test]
async fn pages_in_several_languages_are_asked_for_once() {
    for (status, kept) in [(200, true), (404, false), (401, false)] {
        let origin = Origin::start(move |seen| {
            let language = seen.header("accept-language").unwrap_or("none").to_owned();
            let (plain, says) = (seen.path().starts_with("/plain"), [("vary", "Accept-Language")]);
            async move { if plain { answer(200, &[], "page") } else { answer(status, &says, language) } }
        })
        .await;
        let stent = Stent::start(origin.address, NAMED);
        let ask = |path: &str, language: &str| stent.client().get(path).header("accept-language", language).send();
        for path in ["/a", "/b", "/c"] {
            for (number, language) in ["fr", "de", "fr"].into_iter().enumerate() {
                let reply = ask(path, language).await;
                assert_eq!((reply.status, reply.text().as_str()), (status, language), "{path}: {}", reply.cache());
                let asked = if kept { 2.min(number + 1) } else { number + 1 };
                assert_eq!(origin.count(path), asked, "{path} {language}: {}", reply.cache());
            }
        }
        let stent = Stent::start(origin.address, NAMED);
        for number in 0..10 {
            stent.client().get(&format!("/plain/{number}")).header("accept-language", "fr").send().await;
        }
        stent.client().get("/plain/last").header("accept-language", "fr").send().await;
        assert!(stent.client().get("/plain/last").header("accept-language", "de").send().await.is_hit());
    }
}
