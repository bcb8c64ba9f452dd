//! Connections that the origin ends: what is known of that is used before a request is risked on one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::scenario::Stent;

const RULES: &str = "
server: {listen: 127.0.0.1:0, workers: 1}
routes: [{name: all, path: /**}]";

/// Answers each request on a connection with the number of the connection and this field; closes it where that is said.
async fn numbering(field: &'static str, closes: bool) -> (std::net::SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, closed) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let told = closed.clone();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let told = told.clone();
            tokio::spawn(async move {
                while read_request(&mut stream).await {
                    let answer = format!("HTTP/1.1 200 OK\r\n{field}Content-Length: 3\r\n\r\n{number:03}");
                    if stream.write_all(answer.as_bytes()).await.is_err() || closes {
                        break;
                    }
                }
                drop(stream);
                told.fetch_add(1, Ordering::SeqCst);
            });
        }
    });
    (address, closed)
}

/// With a body of one byte, or none.
async fn read_request(stream: &mut TcpStream) -> bool {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte).await {
            Ok(1) => read.push(byte[0]),
            _ => return false,
        }
    }
    !read.starts_with(b"POST") || stream.read_exact(&mut byte).await.is_ok()
}

#[tokio::test]
async fn a_post_is_not_sent_on_a_connection_that_was_just_closed() {
    let (address, closed) = numbering("", true).await;
    let stent = Stent::start(address, RULES);
    for turn in 1..=100 {
        let reply = stent.client().ask("POST", "/").body("x").send().await;
        assert_eq!(reply.status, 200, "the {turn}th");
        while closed.load(Ordering::SeqCst) < turn {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn an_idle_connection_is_used_only_as_long_as_its_origin_keeps_it() {
    let check = async |field: &'static str, again: bool| {
        let (address, _) = numbering(field, false).await;
        let stent = Stent::start(address, RULES);
        for method in ["GET", "POST"] {
            let ask = async || {
                stent.client().ask(method, "/").body(if method == "POST" { "x" } else { "" }).send().await.text()
            };
            assert_eq!(ask().await == ask().await, again, "{method} {field}");
        }
    };
    check("", true).await;
    check("Keep-Alive: timeout=60, max=100\r\n", true).await;
    check("Keep-Alive: max=100\r\n", true).await;
    check("Keep-Alive: timeout=1\r\n", false).await;
    check("Keep-Alive: max=9, Timeout = 0\r\n", false).await;
    check("Keep-Alive: timeout=60\r\nKeep-Alive: timeout=1\r\n", false).await;
}
