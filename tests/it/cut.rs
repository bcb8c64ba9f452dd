//! Bodies that end by closing, as HTTP/1.0 has them: where one broke, its end is a reset (RFC 9112 §8).

use std::io::ErrorKind;
use std::sync::Mutex;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::raw::until;
use crate::scenario::{LIMIT, Origin, Stent, no_answer, streaming};

const RULES: &str = "
cache: {max_object: 64KiB}
policies: {p: {share: public, ttl: 1h}}
routes: [{name: kept, path: /kept/**, policy: p}, {name: rest, path: /**}]";

type Body = tokio::sync::mpsc::UnboundedSender<Result<Bytes, std::io::Error>>;

/// An origin whose first answer comes as it is told, before a proxy.
async fn stage(upstream: &str) -> (Origin, Stent, Body) {
    let (head, body) = streaming(200, &[("content-type", "text/plain")]);
    let head = Mutex::new(Some(head));
    let origin =
        Origin::start(move |_| std::future::ready(head.lock().unwrap().take().unwrap_or_else(no_answer))).await;
    let stent = Stent::start_with(origin.address, upstream, RULES);
    (origin, stent, body)
}

async fn ask(stent: &Stent, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(stent.address).await.unwrap();
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: h\r\n\r\n").as_bytes()).await.unwrap();
    stream
}

/// How it ends, once all that comes has come.
async fn end(mut stream: TcpStream) -> std::io::Result<Vec<u8>> {
    let mut rest = Vec::new();
    tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await.expect("an end in time").map(|_| rest)
}

async fn is_reset(stream: TcpStream) {
    let end = end(stream).await.map(|rest| rest.len());
    assert_eq!(end.expect_err("a cut that looks like the end").kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_breaks_at_the_origin_is_reset_and_what_is_whole_ends() {
    for path in ["/passed", "/kept/a"] {
        let (_origin, stent, body) = stage("").await;
        let mut stream = ask(&stent, path).await;
        body.send(Ok("first".into())).unwrap();
        assert!(!until(&mut stream, "first").await.to_lowercase().contains("content-length"));
        body.send(Err(std::io::Error::other("gone"))).unwrap();
        is_reset(stream).await;

        let (_origin, stent, body) = stage("").await;
        let mut stream = ask(&stent, path).await;
        body.send(Ok("first".into())).unwrap();
        until(&mut stream, "first").await;
        body.send(Ok("last".into())).unwrap();
        drop(body);
        assert_eq!(end(stream).await.expect("an end in order"), b"last");
    }
}

#[tokio::test]
async fn what_an_origin_does_not_go_on_with_is_reset() {
    let (_origin, stent, body) = stage(", timeout: 300ms").await;
    let mut stream = ask(&stent, "/passed").await;
    body.send(Ok("first".into())).unwrap();
    until(&mut stream, "first").await;
    is_reset(stream).await;
}

/// One that shares a fetch with others, is too slow for them, and is let go.
#[tokio::test]
async fn a_reader_that_a_spool_cuts_off_is_reset() {
    let (_origin, stent, body) = stage("").await;
    let (mut quick, mut slow) = (ask(&stent, "/kept/long").await, ask(&stent, "/kept/long").await);
    body.send(Ok("first".into())).unwrap();
    until(&mut quick, "first").await;
    until(&mut slow, "first").await;
    // More than is kept, and more than the system holds for one that does not read.
    let piece = Bytes::from(vec![b'x'; 1 << 20]);
    (0..32).for_each(|_| body.send(Ok(piece.clone())).unwrap());
    drop(body);
    assert_eq!(end(quick).await.expect("all of it").len(), 32 << 20);
    is_reset(slow).await;
}
