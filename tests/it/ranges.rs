//! Parts of answers: what comes from the store, from what is still on its way there, or from the origin, is always the
//! origin's bytes.

use bytes::Bytes;

use crate::scenario::{Client, Origin, Reply, Stent, answer};

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
