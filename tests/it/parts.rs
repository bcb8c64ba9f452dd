//! Parts of answers that are stored by themselves: used for what lies in them, completed by what is missing, and put together
//! only with parts of the same.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use crate::scenario::{Client, Gate, Origin, OriginBody, Reply, Seen, Stent, answer};

/// Bodies of 16 KiB at most are stored.
const SMALL: &str = "cache: {memory: 4MiB, max_object: 16KiB}\nroutes: [{name: all, path: /**, policy: origin}]";

const STRONG: (&str, &str) = ("etag", "\"a\"");

/// No two places in it look the same.
fn whole(length: usize) -> Bytes {
    (0..length).flat_map(|i| format!("{i:05}").into_bytes()).take(length).collect()
}

/// What an origin has now: it keeps to `Range` and `If-Range`.
#[derive(Clone)]
struct Thing {
    body: Bytes,
    validator: (&'static str, &'static str),
    control: &'static str,
    date: Option<String>,
}

impl Thing {
    fn of(length: usize) -> Thing {
        Thing { body: whole(length), validator: STRONG, control: "max-age=600", date: None }
    }

    fn fields(&self) -> Vec<(&str, &str)> {
        let mut fields = vec![("cache-control", self.control), ("content-type", "image/png"), self.validator];
        fields.extend(self.date.as_deref().map(|date| ("date", date)));
        fields
    }

    fn answer(&self, seen: &Seen) -> http::Response<OriginBody> {
        let same = seen.header("if-range").is_none_or(|validator| validator == self.validator.1);
        let Some(range) = seen.header("range").filter(|_| same) else {
            return answer(200, &self.fields(), self.body.clone());
        };
        let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
        let first: usize = first.parse().unwrap();
        if first >= self.body.len() {
            return answer(416, &[("content-range", &format!("bytes */{}", self.body.len()))], "");
        }
        let last = last.parse().map_or(self.body.len() - 1, |last: usize| last.min(self.body.len() - 1));
        let range = format!("bytes {first}-{last}/{}", self.body.len());
        let fields = [self.fields(), vec![("content-range", &*range), ("x-newest", &*range)]].concat();
        answer(206, &fields, self.body.slice(first..=last))
    }
}

/// An origin with one thing, which may change.
async fn origin(thing: Thing) -> (Origin, Arc<Mutex<Thing>>) {
    let thing = Arc::new(Mutex::new(thing));
    let now = thing.clone();
    let origin = Origin::start(move |seen| {
        let response = now.lock().unwrap().answer(&seen);
        async move { response }
    })
    .await;
    (origin, thing)
}

async fn ask(client: Client, range: &str) -> Reply {
    client.get("/scan").header("range", range).send().await
}

fn span(range: &str) -> (usize, usize) {
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap())
}

/// Asks for a range and compares it with the origin's; what the origin was asked for, if it was, is what is told.
async fn compare(
    origin: &Origin,
    client: Client,
    thing: &Thing,
    range: &str,
) -> Option<(Option<String>, Option<String>)> {
    let before = origin.count("/scan");
    let (reply, (first, last)) = (ask(client, range).await, span(range));
    assert_eq!((reply.status, &reply.body), (206, &thing.body.slice(first..=last)), "{range}");
    assert_eq!(reply.header("content-range"), format!("bytes {first}-{last}/{}", thing.body.len()), "{range}");
    assert_eq!((reply.header("etag"), reply.header("content-type")), (thing.validator.1, "image/png"));
    assert_eq!(reply.is_hit(), origin.count("/scan") == before, "{range}: {}", reply.cache());
    let seen = origin.last("/scan");
    let header = |name| seen.header(name).map(str::to_owned);
    (!reply.is_hit()).then(|| (header("range"), header("if-range")))
}

/// Of what is known to be too long to be stored.
async fn long(thing: Thing) -> (Origin, Arc<Mutex<Thing>>, Stent) {
    let (origin, thing) = origin(thing).await;
    let stent = Stent::start(origin.address, SMALL);
    let whole = stent.client().get("/scan").send().await;
    assert_eq!((whole.status, &whole.body), (200, &thing.lock().unwrap().body));
    (origin, thing, stent)
}

fn asked(range: &str, beside: bool) -> Option<(Option<String>, Option<String>)> {
    Some((Some(range.to_owned()), beside.then(|| "\"a\"".to_owned())))
}

#[tokio::test]
async fn parts_of_what_is_too_long_are_stored_and_grow() {
    let thing = Thing::of(100_000);
    let (origin, _, stent) = long(thing.clone()).await;
    let client = stent.client();
    for (range, want) in [
        ("bytes=1000-1999", asked("bytes=1000-1999", false)),
        ("bytes=1000-1999", None),
        ("bytes=1200-1300", None),
        // Some of it is there: only the rest is asked for.
        ("bytes=1500-2499", asked("bytes=2000-2499", true)),
        ("bytes=1000-2499", None),
        ("bytes=500-1099", asked("bytes=500-999", true)),
        // It touches.
        ("bytes=2500-2999", asked("bytes=2500-2999", false)),
        ("bytes=500-2999", None),
        // More on both sides: one range, which holds what is there once more.
        ("bytes=400-3099", asked("bytes=400-3099", false)),
        ("bytes=400-3099", None),
        // Somewhere else: the newer part is kept.
        ("bytes=50000-50999", asked("bytes=50000-50999", false)),
        ("bytes=50500-50599", None),
        ("bytes=400-499", asked("bytes=400-499", false)),
        // Together they would be too long.
        ("bytes=500-15999", asked("bytes=500-15999", false)),
        ("bytes=10000-17999", asked("bytes=16000-17999", true)),
        ("bytes=10000-17999", None),
        ("bytes=9999-10000", asked("bytes=9999-9999", true)),
        ("bytes=99000-99999", asked("bytes=99000-", false)),
    ] {
        assert_eq!(compare(&origin, client, &thing, range).await, want, "{range}");
    }
    let several = ask(client, "bytes=99100-99199,99000-99009").await;
    assert!(several.is_hit() && several.header("content-type").starts_with("multipart/byteranges"));
    assert!(several.text().contains(std::str::from_utf8(&thing.body[99100..99200]).unwrap()));
}

#[tokio::test]
async fn what_a_part_does_not_answer_is_the_origins() {
    let thing = Thing::of(100_000);
    let (origin, _, stent) = long(thing.clone()).await;
    let client = stent.client();
    compare(&origin, client, &thing, "bytes=0-999").await;
    let before = origin.count("/scan");
    let all = client.get("/scan").send().await;
    assert_eq!((all.status, &all.body), (200, &thing.body));
    assert_eq!(origin.last("/scan").header("range"), None);
    let head = client.ask("HEAD", "/scan").send().await;
    assert_eq!((head.status, origin.last("/scan").method.as_str()), (200, "HEAD"));
    let long = ask(client, "bytes=0-90000").await;
    assert_eq!((long.status, long.body.len()), (206, 90_001));
    let beyond = ask(client, "bytes=100000-").await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */100000"));
    let other = client.get("/scan").header("range", "bytes=0-9").header("if-range", "\"b\"").send().await;
    assert_eq!((other.status, &other.body), (200, &thing.body));
    assert_eq!(origin.last("/scan").header("if-range"), Some("\"b\""));
    assert_eq!(origin.count("/scan"), before + 5);
    let same = client.get("/scan").header("range", "bytes=0-9").header("if-range", "\"a\"").send().await;
    assert!(same.is_hit());
    assert_eq!((same.status, &same.body), (206, &thing.body.slice(..10)));
    let stored =
        client.get("/scan").header("range", "bytes=0-9").header("cache-control", "only-if-cached").send().await;
    assert_eq!(stored.status, 206);
    let missing = client.get("/scan").header("cache-control", "only-if-cached").send().await;
    assert_eq!(missing.status, 504);
}

#[tokio::test]
async fn parts_of_something_else_are_not_put_together() {
    let first = Thing::of(100_000);
    let (origin, now, stent) = long(first.clone()).await;
    let client = stent.client();
    compare(&origin, client, &first, "bytes=0-999").await;
    let other = Thing { body: Bytes::from(vec![b'x'; 100_000]), validator: ("etag", "\"b\""), ..first };
    *now.lock().unwrap() = other.clone();
    // If-Range fails: the whole comes, which is too long, and what the client asked for is cut from it.
    let asked = origin.count("/scan");
    assert_eq!(ask(client, "bytes=500-1499").await.body, other.body.slice(500..1500));
    assert_eq!(origin.count("/scan"), asked + 1);
    assert_eq!(origin.last("/scan").header("if-range"), Some("\"a\""));
    // Without any overlap nothing is compared before, and what comes replaces what was there.
    compare(&origin, client, &other, "bytes=1000-1999").await;
    assert_eq!(
        compare(&origin, client, &other, "bytes=500-1499").await,
        Some((Some("bytes=500-999".to_owned()), Some("\"b\"".to_owned())))
    );
    assert_eq!(compare(&origin, client, &other, "bytes=500-1999").await, None);
}

#[tokio::test]
async fn without_a_strong_validator_no_part_is_stored() {
    for validator in [("etag", "W/\"a\""), ("last-modified", "Sun, 09 Sep 2001 01:46:41 GMT"), ("x-none", "x")] {
        let thing = Thing { validator, ..Thing::of(100_000) };
        let (origin, _, stent) = long(thing.clone()).await;
        for asked in 2..5 {
            let part = ask(stent.client(), "bytes=0-99").await;
            assert_eq!((part.status, &part.body), (206, &thing.body.slice(..100)), "{validator:?}");
            assert_eq!(origin.count("/scan"), asked, "{validator:?}");
        }
    }
    let date = Some(httpdate::fmt_http_date(std::time::SystemTime::now()));
    let dated = Thing { validator: ("last-modified", "Sun, 09 Sep 2001 01:46:40 GMT"), date, ..Thing::of(100_000) };
    let (origin, _, stent) = long(dated.clone()).await;
    ask(stent.client(), "bytes=0-99").await;
    assert!(ask(stent.client(), "bytes=0-99").await.is_hit(), "a date may be strong: RFC 9110 §8.8.2.2");
    let more = ask(stent.client(), "bytes=0-199").await;
    assert_eq!(more.body, dated.body.slice(..200));
    assert_eq!(origin.last("/scan").header("if-range"), Some(dated.validator.1));
}

#[tokio::test]
async fn what_may_not_be_stored_is_not_stored_in_parts() {
    for control in ["no-store", "private", "max-age=0, no-store"] {
        let thing = Thing { control, ..Thing::of(100_000) };
        let (origin, _, stent) = long(thing.clone()).await;
        for asked in 2..5 {
            assert_eq!(ask(stent.client(), "bytes=0-99").await.body, thing.body.slice(..100));
            assert_eq!(origin.count("/scan"), asked, "{control}");
        }
    }
}

#[tokio::test]
async fn a_purge_ends_parts_and_what_is_put_together_of_them() {
    let thing = Thing::of(100_000);
    let (origin, now, stent) = long(thing.clone()).await;
    let client = stent.client();
    let purge = json!({"urls": ["http://clinic.example/scan"]});
    compare(&origin, client, &thing, "bytes=0-999").await;
    stent.purge(purge.clone()).await;
    // The same tag on other bytes: nothing of before is used, not even beside what is new.
    let other = Thing { body: Bytes::from(vec![b'x'; 100_000]), ..thing };
    *now.lock().unwrap() = other.clone();
    assert_eq!(compare(&origin, client, &other, "bytes=500-1499").await, Some((None, None)), "cut from the whole");
    assert_eq!(compare(&origin, client, &other, "bytes=1000-1999").await, asked("bytes=1000-1999", false));
    assert_eq!(compare(&origin, client, &other, "bytes=1500-2499").await, asked("bytes=2000-2499", true));
    stent.purge(purge).await;
    assert_eq!(compare(&origin, client, &other, "bytes=500-1499").await, Some((None, None)));
}

#[tokio::test]
async fn a_purge_while_the_rest_is_fetched_ends_what_was_held() {
    let gate = Gate::default();
    let thing = Thing::of(100_000);
    let (held, old) = (gate.clone(), thing.clone());
    let new = Thing { body: Bytes::from(vec![b'x'; 100_000]), ..thing.clone() };
    let fresh = new.clone();
    let origin = Origin::start(move |seen| {
        let (gate, old, new) = (held.clone(), old.clone(), fresh.clone());
        async move {
            if seen.header("if-range").is_some() {
                gate.pass().await;
                return new.answer(&seen);
            }
            old.answer(&seen)
        }
    })
    .await;
    let stent = Stent::start(origin.address, SMALL);
    let client = stent.client();
    client.get("/scan").send().await;
    compare(&origin, client, &thing, "bytes=0-999").await;
    let asking = tokio::spawn(ask(client, "bytes=500-1499"));
    gate.arrived(1).await;
    stent.purge(json!({"urls": ["http://clinic.example/scan"]})).await;
    gate.open(10);
    // Nothing of what was held is put beside what came: its own range is asked for once more.
    let got = asking.await.unwrap();
    assert_eq!((got.status, &got.body), (206, &thing.body.slice(500..1500)));
    assert_eq!(origin.last("/scan").header("if-range"), None);
}

#[tokio::test]
async fn a_part_that_nobody_asked_for_is_completed_to_the_whole() {
    // It answers the first request with a part, whatever it is.
    let thing = Thing::of(1000);
    for (first, rest) in [("bytes 0-399/1000", "bytes=400-"), ("bytes 600-999/1000", "bytes=0-599")] {
        let (given, all) = (first.to_owned(), thing.clone());
        let count = crate::scenario::Counter::default();
        let origin = Origin::start(move |seen| {
            let (range, thing, n) = (given.clone(), all.clone(), count.next("/scan"));
            async move {
                if n > 1 {
                    return thing.answer(&seen);
                }
                let (a, b) = span(&range.replace("bytes ", "bytes=").replace("/1000", ""));
                let fields = [thing.fields(), vec![("content-range", &*range), ("x-first", "1")]].concat();
                answer(206, &fields, thing.body.slice(a..=b))
            }
        })
        .await;
        let stent = Stent::start(origin.address, SMALL);
        let client = stent.client();
        let part = client.get("/scan").send().await;
        assert_eq!((part.status, part.header("content-range")), (206, first), "it is what the origin says");
        let (a, b) = span(&first.replace("bytes ", "bytes=").replace("/1000", ""));
        let inner = ask(client, &format!("bytes={}-{}", a + 1, b - 1)).await;
        assert!(inner.is_hit());
        assert_eq!(inner.body, thing.body.slice(a + 1..b));
        let completed = client.get("/scan").send().await;
        assert_eq!((completed.status, &completed.body), (200, &thing.body));
        assert_eq!(completed.cache(), "stent; fwd=partial; fwd-status=206; stored; ttl=600");
        let seen = origin.last("/scan");
        assert_eq!((seen.header("range"), seen.header("if-range")), (Some(rest), Some("\"a\"")));
        assert_eq!((completed.header("x-first"), completed.headers.contains_key("x-newest")), ("1", true), "§3.4");
        assert!(!completed.headers.contains_key("content-range"));
        let hit = client.get("/scan").send().await;
        assert!(hit.is_hit());
        assert_eq!((hit.status, &hit.body), (200, &thing.body));
        assert_eq!(origin.count("/scan"), 2);
    }
}

#[tokio::test]
async fn what_is_stale_is_completed_by_what_is_fresh() {
    let thing = Thing::of(100_000);
    let (origin, _, stent) = long(thing.clone()).await;
    let client = stent.client();
    compare(&origin, client, &thing, "bytes=0-999").await;
    stent.clock.advance(Duration::from_secs(700));
    assert_eq!(compare(&origin, client, &thing, "bytes=500-1499").await, asked("bytes=1000-1499", true));
    assert_eq!(compare(&origin, client, &thing, "bytes=0-1499").await, None, "§3.4: its fields are the newer ones");
    stent.clock.advance(Duration::from_secs(700));
    assert_eq!(compare(&origin, client, &thing, "bytes=0-1499").await, asked("bytes=0-1499", false));
}

#[tokio::test]
async fn who_may_not_have_the_whole_has_no_part() {
    const PERSONAL: &str = "cache: {memory: 4MiB, max_object: 16KiB}\nidentity: {principal: [authorization]}\npolicies: {own: {share: principal, ttl: 60s}}\nroutes: [{name: all, path: /**, policy: own}]";
    let thing = Thing::of(100_000);
    let (origin, _) = origin(thing.clone()).await;
    let stent = Stent::start(origin.address, PERSONAL);
    let ask = |who: &'static str, range: &'static str| {
        stent.client().get("/scan").bearer(who).header("range", range).header("user-agent", "x").send()
    };
    ask("ann", "bytes=0-99").await;
    ask("ann", "bytes=0-99").await;
    assert!(ask("ann", "bytes=0-99").await.is_hit());
    let seen = origin.last("/scan");
    assert_eq!(
        (seen.header("user-agent"), seen.header("authorization")),
        (None, Some("Bearer ann")),
        "what is not keyed"
    );
    let before = origin.count("/scan");
    let other = ask("ben", "bytes=0-99").await;
    assert!(!other.is_hit() && origin.count("/scan") > before);
    assert_eq!(origin.last("/scan").header("authorization"), Some("Bearer ben"));
}
