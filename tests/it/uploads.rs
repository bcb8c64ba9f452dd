//! Uploads: as they come, and slow ones beside others.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::raw::until;
use crate::scenario::{Client, LIMIT, Stent};

const UPLOADS: &str = "
server: {listen: 127.0.0.1:0, workers: 2}
routes: [{name: all, path: /**}]";

const BEGUN: &[u8] = b"POST /stream HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n7\r\nevent00\r\n";

#[tokio::test]
async fn an_upload_reaches_the_origin_as_it_comes_and_may_be_answered_before_its_end() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stent = Stent::start(listener.local_addr().unwrap(), UPLOADS);
    let mut client = TcpStream::connect(stent.address).await.unwrap();
    client.write_all(BEGUN).await.unwrap();
    let mut origin = tokio::time::timeout(LIMIT, listener.accept()).await.expect("it is asked").unwrap().0;
    until(&mut origin, "event00\r\n").await;
    client.write_all(b"7\r\nevent01\r\n").await.unwrap();
    until(&mut origin, "event01\r\n").await;
    origin.write_all(b"HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    assert!(until(&mut client, "no").await.starts_with("HTTP/1.1 401 "));
}

/// A server that answers GET at once and never hears the end of an upload.
async fn answer_what_is_whole(mut stream: TcpStream) {
    let mut read = Vec::new();
    while let Ok(1..) = stream.read_buf(&mut read).await {
        if read.starts_with(b"GET ") && read.ends_with(b"\r\n\r\n") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
            read.clear();
        }
    }
}

#[tokio::test]
async fn slow_uploads_leave_half_of_the_places_to_others() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer_what_is_whole(stream));
        }
    });
    let stent = Stent::start_with(address, ", pool: {max: 4}", UPLOADS);
    let mut slow = Vec::new();
    for _ in 0..20 {
        let mut client = TcpStream::connect(stent.address).await.unwrap();
        client.write_all(BEGUN).await.unwrap();
        slow.push(client);
    }
    // As many as may have their places.
    let open = async || {
        let status = Client { address: stent.admin }.get("/api/v1/upstreams").send().await;
        let status: serde_json::Value = serde_json::from_slice(&status.body).unwrap();
        status[0]["connections"]["in_flight"].as_u64().unwrap_or_else(|| panic!("{status}"))
    };
    let until = Instant::now() + LIMIT;
    while open().await < 2 {
        assert!(Instant::now() < until, "they never stream");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for turn in 0..40 {
        let asked = Instant::now();
        assert_eq!(stent.client().get("/").send().await.status, 200, "the {turn}th");
        assert!(asked.elapsed() < Duration::from_secs(2));
    }
    assert_eq!(open().await, 2);
}
