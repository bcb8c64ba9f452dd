//! Parts of answers: what comes from the store, from what is still on its way there, or from the origin, is always the
//! origin's bytes.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::scenario::{Client, Origin, Reply, Stent, answer, eventually, streaming};

const ORIGIN: &str = "routes: [{name: all, path: /**, policy: origin}]";

/// No two places in it look the same.
fn whole(length: usize) -> Bytes {
    (0..length).map(|i| b"0123456789abcdefghijklmnopqrstuvwxyz"[(i * 7 + i / 36 * 5) % 36]).collect()
}

fn fields<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("cache-control", "max-age=600"), ("etag", "\"a\""), ("content-type", "image/png")], more].concat()
}

/// An origin whose one answer is this long.
async fn origin(length: usize) -> Origin {
    Origin::start(move |_| async move { answer(200, &fields(&[]), whole(length)) }).await
}

async fn ask(client: Client, range: &str, more: &[(&str, &str)]) -> Reply {
    let asking = client.get("/image").header("range", range);
    more.iter().fold(asking, |asking, (name, value)| asking.header(name, value)).send().await
}

/// The parts of a body with several: the range that each says, and its bytes.
fn parts(reply: &Reply) -> Vec<(String, Bytes)> {
    let boundary = reply.header("content-type").strip_prefix("multipart/byteranges; boundary=").expect("several parts");
    let text = format!("\r\n{}", reply.text());
    let mut pieces = text.split(&format!("\r\n--{boundary}")).skip(1).collect::<Vec<_>>();
    assert_eq!(pieces.pop(), Some("--\r\n"), "it ends as it should");
    let part = |piece: &str| {
        let (head, body) = piece.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n").skip(1).map(|line| line.split_once(": ").unwrap());
        assert_eq!(lines.next(), Some(("content-type", "image/png")));
        let (name, range) = lines.next().unwrap();
        assert_eq!((name, lines.next()), ("content-range", None));
        (range.to_owned(), Bytes::copy_from_slice(body.as_bytes()))
    };
    pieces.into_iter().map(part).collect()
}

#[tokio::test]
async fn parts_of_what_is_stored() {
    for length in [100, 50_000] {
        let origin = origin(length).await;
        let stent = Stent::start(origin.address, ORIGIN);
        let (client, whole) = (stent.client(), whole(length));
        client.get("/image").send().await;
        for (range, first, last) in
            [("bytes=10-19", 10, 19), ("bytes=90-", 90, length - 1), ("bytes=-7", length - 7, length - 1)]
        {
            let reply = ask(client, range, &[]).await;
            assert_eq!((reply.status, &reply.body), (206, &whole.slice(first..=last)), "{range}");
            assert_eq!(reply.header("content-range"), format!("bytes {first}-{last}/{length}"));
            assert_eq!(reply.header("content-length"), (last - first + 1).to_string());
            assert_eq!((reply.header("etag"), reply.header("cache-control")), ("\"a\"", "max-age=600"));
            assert!(reply.is_hit() && reply.headers.contains_key("age"));
        }
        let reply = ask(client, "bytes=50-59,0-3,4-4,-2", &[]).await;
        assert_eq!((reply.status, reply.headers.contains_key("content-range")), (206, false));
        assert_eq!(reply.header("content-length"), reply.body.len().to_string());
        let part = |first, last| (format!("bytes {first}-{last}/{length}"), whole.slice(first..=last));
        assert_eq!(parts(&reply), [part(50, 59), part(0, 4), part(length - 2, length - 1)]);
        let none = ask(client, &format!("bytes={length}-"), &[]).await;
        assert_eq!((none.status, none.body.len()), (416, 0));
        assert_eq!(none.header("content-range"), format!("bytes */{length}"));
        assert_eq!(origin.count("/image"), 1);
    }
}

#[tokio::test]
async fn conditions_come_before_ranges() {
    let origin = origin(100).await;
    let stent = Stent::start(origin.address, ORIGIN);
    let client = stent.client();
    client.get("/image").send().await;
    let status = async |more: &[(&str, &str)]| ask(client, "bytes=0-0", more).await.status;
    assert_eq!(status(&[("if-none-match", "\"a\"")]).await, 304);
    assert_eq!(status(&[("if-none-match", "\"a\""), ("if-range", "\"a\"")]).await, 304);
    assert_eq!(status(&[("if-none-match", "\"b\""), ("if-range", "\"a\"")]).await, 206);
    assert_eq!(status(&[("if-range", "\"b\"")]).await, 200);
    assert_eq!(status(&[("if-range", "W/\"a\"")]).await, 200);
    let alone = client.get("/image").header("if-range", "\"a\"").send().await;
    assert_eq!((alone.status, alone.body), (200, whole(100)));
    let head = client.ask("HEAD", "/image").header("range", "bytes=0-0").send().await;
    assert_eq!((head.status, head.header("content-length")), (200, "100"));
    assert_eq!(origin.count("/image"), 1);
}

#[tokio::test]
async fn absurd_lists_get_the_whole_at_most() {
    let origin = origin(50_000).await;
    let stent = Stent::start(origin.address, ORIGIN);
    let client = stent.client();
    client.get("/image").send().await;
    let many =
        |member: &dyn Fn(usize) -> String| format!("bytes={}", (0..900).map(member).collect::<Vec<_>>().join(","));
    for range in [many(&|_| "0-".to_owned()), many(&|i| format!("{i}-")), many(&|i| format!("{0}-{0}", i * 2))] {
        let reply = ask(client, &range, &[]).await;
        assert_eq!((reply.status, reply.body), (200, whole(50_000)));
    }
    let reply = ask(client, "bytes=0-,0-,1-,-49999,0-49999", &[]).await;
    assert_eq!((reply.status, reply.body), (206, whole(50_000)));
    let reply = ask(client, "bytes=0-1,5-2", &[]).await;
    assert_eq!((reply.status, reply.body), (200, whole(50_000)));
}

type Sender = mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// An origin whose bodies come as a test sends them.
struct Held {
    origin: Origin,
    senders: Arc<Mutex<Vec<Sender>>>,
}

impl Held {
    /// An origin that announces bodies of this length, or of none.
    async fn start(length: Option<usize>) -> Held {
        let senders = Arc::<Mutex<Vec<_>>>::default();
        let kept = senders.clone();
        let origin = Origin::start(move |_| {
            let length = length.map(|length| length.to_string());
            let length: Vec<_> = length.iter().map(|length| ("content-length", &**length)).collect();
            let (response, sender) = streaming(200, &fields(&length));
            kept.lock().unwrap().push(sender);
            async move { response }
        })
        .await;
        Held { origin, senders }
    }

    /// Where the body of the n-th answer goes, once it is asked for.
    async fn body(&self, number: usize) -> Sender {
        eventually(|| self.senders.lock().unwrap().len() >= number).await;
        self.senders.lock().unwrap()[number - 1].clone()
    }

    /// What is not kept by the test has ended.
    fn end(&self) {
        self.senders.lock().unwrap().clear();
    }
}

#[tokio::test]
async fn a_range_on_a_miss_is_there_before_the_whole_which_is_stored() {
    let held = Held::start(Some(1000)).await;
    let stent = Stent::start(held.origin.address, ORIGIN);
    let (client, whole) = (stent.client(), whole(1000));
    let first = tokio::spawn(ask(client, "bytes=100-199", &[]));
    let body = held.body(1).await;
    let late = client.get("/image").header("range", "bytes=450-549,-100").open().await;
    assert_eq!((late.status, late.headers.get("content-range")), (206, None));
    body.send(Ok(whole.slice(..500))).unwrap();
    let first = first.await.unwrap();
    assert_eq!((first.status, &first.body), (206, &whole.slice(100..200)));
    assert_eq!((first.header("content-range"), first.header("content-length")), ("bytes 100-199/1000", "100"));
    assert_eq!(first.cache(), "stent; fwd=uri-miss; fwd-status=200; stored; ttl=600");
    let begun = ask(client, "bytes=0-0", &[]).await;
    assert_eq!((begun.status, &begun.body), (206, &whole.slice(..1)));
    assert!(begun.cache().contains("; collapsed"));
    let beyond = ask(client, "bytes=1000-", &[]).await;
    assert_eq!((beyond.status, beyond.header("content-range")), (416, "bytes */1000"));
    let unchanged = ask(client, "bytes=0-0", &[("if-none-match", "\"a\"")]).await;
    assert_eq!(unchanged.status, 304);
    // What the client has parts of is something else: it gets the whole, as it comes.
    let other = client.get("/image").header("range", "bytes=0-0").header("if-range", "\"b\"").open().await;
    assert_eq!(other.status, 200);
    body.send(Ok(whole.slice(500..))).unwrap();
    assert_eq!(other.rest().await.body, whole);
    let late = late.rest().await;
    let part = |first, last| (format!("bytes {first}-{last}/1000"), whole.slice(first..=last));
    assert_eq!(parts(&late), [part(450, 549), part(900, 999)]);
    let stored = client.get("/image").send().await;
    assert!(stored.is_hit());
    assert_eq!(stored.body, whole);
    assert_eq!(held.origin.count("/image"), 1);
    assert!(
        ["range", "if-range", "if-none-match"].iter().all(|name| held.origin.last("/image").header(name).is_none())
    );
}

#[tokio::test]
async fn a_range_of_what_breaks_off_is_whole_or_visibly_cut() {
    let held = Held::start(Some(1000)).await;
    let stent = Stent::start(held.origin.address, ORIGIN);
    let (client, whole) = (stent.client(), whole(1000));
    let behind = tokio::spawn(ask(client, "bytes=400-599", &[]));
    let body = held.body(1).await;
    body.send(Ok(whole.slice(..500))).unwrap();
    let before = ask(client, "bytes=0-99", &[]).await;
    assert_eq!((before.status, before.body), (206, whole.slice(..100)));
    let flights = stent.cache().flights.clone();
    body.send(Err(std::io::Error::other("gone"))).unwrap();
    let behind = behind.await.unwrap();
    assert_eq!((behind.status, behind.broken), (206, true));
    assert!(whole.slice(400..).starts_with(&behind.body));
    eventually(|| flights.is_empty()).await;
    let again = tokio::spawn(ask(client, "bytes=0-0", &[]));
    held.body(2).await.send(Ok(whole.clone())).unwrap();
    assert_eq!(again.await.unwrap().body, whole.slice(..1), "nothing of the first was kept");
}

#[tokio::test]
async fn a_range_never_follows_what_was_purged() {
    let held = Held::start(Some(1000)).await;
    let stent = Stent::start(held.origin.address, ORIGIN);
    let (client, whole) = (stent.client(), whole(1000));
    let before = tokio::spawn(ask(client, "bytes=0-599", &[]));
    let first = held.body(1).await;
    first.send(Ok(whole.slice(..500))).unwrap();
    stent.purge(serde_json::json!({"urls": ["http://clinic.example/image"]})).await;
    let after = tokio::spawn(ask(client, "bytes=0-9", &[]));
    let second = held.body(2).await;
    first.send(Ok(whole.slice(500..))).unwrap();
    assert_eq!(before.await.unwrap().body, whole.slice(..600), "it asked before the purge");
    second.send(Ok(vec![b'!'; 1000].into())).unwrap();
    assert_eq!(after.await.unwrap().text(), "!!!!!!!!!!");
    assert_eq!(ask(client, "bytes=5-5", &[]).await.text(), "!");
}

#[tokio::test]
async fn a_range_of_an_unknown_length_is_the_whole_and_stored() {
    let held = Held::start(None).await;
    let stent = Stent::start(held.origin.address, ORIGIN);
    let (client, whole) = (stent.client(), whole(1000));
    let asked = tokio::spawn(client.get("/image").header("range", "bytes=100-199").open());
    let body = held.body(1).await;
    body.send(Ok(whole.slice(..500))).unwrap();
    let asked = asked.await.unwrap();
    body.send(Ok(whole.slice(500..))).unwrap();
    drop(body);
    held.end();
    // Whoever caused it gets all of it (RFC 9110 §14.2) rather than asking twice.
    let asked = asked.rest().await;
    assert_eq!((asked.status, &asked.body, held.origin.count("/image")), (200, &whole, 1), "{}", asked.cache());
    let flights = stent.cache().flights.clone();
    eventually(|| flights.is_empty()).await;
    let part = ask(client, "bytes=100-199", &[]).await;
    assert!(part.is_hit());
    assert_eq!((part.status, part.body), (206, whole.slice(100..200)));
}

/// An origin that keeps to ranges of one body of this length.
async fn ranging(length: usize, more: &[(&'static str, &'static str)]) -> Origin {
    let more = more.to_owned();
    Origin::start(move |seen| {
        let (whole, range) = (whole(length), seen.header("range").map(str::to_owned));
        let applies =
            seen.header("if-range").is_none_or(|tag| more.iter().any(|(name, value)| (*name, *value) == ("etag", tag)));
        let span = range.filter(|_| applies).map(|range| span(&range, length));
        let response = match span {
            None => answer(200, &fields(&more), whole),
            Some((first, last)) => {
                let range = format!("bytes {first}-{last}/{length}");
                answer(206, &fields(&[&[("content-range", &*range)], &more[..]].concat()), whole.slice(first..=last))
            }
        };
        async move { response }
    })
    .await
}

fn span(range: &str, length: usize) -> (usize, usize) {
    let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
    (first.parse().unwrap(), last.parse().unwrap_or(length - 1))
}

const SMALL: &str = "cache: {memory: 4MiB, max_object: 16KiB}\nroutes: [{name: all, path: /**, policy: origin}]";

#[tokio::test]
async fn ranges_of_what_is_too_long_or_not_to_be_stored_are_asked_for_once() {
    let uncacheable = (1000, &[("cache-control", "no-store")][..], "detail=no-store", "remembered-uncacheable");
    for (length, more, first_why, then) in
        [(100_000, &[][..], "detail=too-large", "fwd-status=206; stored"), uncacheable]
    {
        let origin = ranging(length, more).await;
        let stent = Stent::start(origin.address, SMALL);
        let (client, whole) = (stent.client(), whole(length));
        // The first is cut from the whole; of the next it is known that there is no whole to wait for.
        for (range, requests, asked, why) in
            [("bytes=100-199", 1, None, first_why), ("bytes=0-99", 2, Some("bytes=0-99"), then)]
        {
            let part = ask(client, range, &[]).await;
            let (first, last) = span(range, length);
            assert_eq!((part.status, &part.body), (206, &whole.slice(first..=last)));
            assert_eq!(origin.count("/image"), requests);
            assert_eq!(origin.last("/image").header("range"), asked);
            assert!(part.cache().contains(why), "{}", part.cache());
        }
    }
}

#[tokio::test]
async fn a_range_of_what_is_stale_is_of_what_was_confirmed() {
    let origin = Origin::start(|seen| async move {
        match seen.header("if-none-match") {
            Some("\"a\"") => answer(304, &fields(&[]), ""),
            _ => answer(200, &fields(&[]), whole(1000)),
        }
    })
    .await;
    let stent = Stent::start(origin.address, ORIGIN);
    let client = stent.client();
    client.get("/image").send().await;
    stent.clock.advance(std::time::Duration::from_secs(700));
    let part = ask(client, "bytes=100-199", &[]).await;
    assert_eq!((part.status, part.body), (206, whole(1000).slice(100..200)));
    assert_eq!(part.headers["cache-status"], "stent; fwd=stale; fwd-status=304; ttl=600; detail=stale");
    assert_eq!(origin.last("/image").header("range"), None);
    assert!(ask(client, "bytes=0-0", &[]).await.is_hit());
}
