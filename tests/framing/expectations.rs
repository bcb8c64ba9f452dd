//! `Expect: 100-continue`, and what is not understood (RFC 9110 §10.1.1). The body is sent late, or never, in stories of their own.

use crate::case::{After, Case, EVIL, HOST, case, post};
use crate::stage::{PASS_ALL, Stage};
use crate::wire::{Got, Wire};

pub fn cases() -> Vec<Case> {
    let section = "9110 §10.1.1";
    let unknown = |name: &str, value: &str| {
        post(name, section, &format!("Expect: {value}\r\n"), "").wanting(&[&[417]], After::Either, &[])
    };
    let hello = |name: &str, lines: &str| {
        post(name, section, &format!("{lines}Content-Length: 5\r\n"), "hello").passed("POST", "/one", "hello")
    };
    let behind = format!("hello{}", EVIL.replace("/evil", "/two"));
    vec![
        unknown("an expectation that nobody knows", "magic"),
        unknown("an expectation beside the known one", "100-continue, magic"),
        unknown("an expectation with a value", "magic=1"),
        unknown("200-ok", "200-ok"),
        post(
            "an expectation that nobody knows, and a body",
            section,
            "Expect: magic\r\nContent-Length: 5\r\n",
            "hello",
        )
        .wanting(&[&[417]], After::Either, &[]),
        hello("a body that does not wait", "Expect: 100-continue\r\n"),
        hello("in another case", "EXPECT: 100-Continue\r\n"),
        post(
            "chunks that do not wait",
            section,
            "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
        )
        .passed_once("POST", "/one", "hello"),
        post("a body of nothing", section, "Expect: 100-continue\r\nContent-Length: 0\r\n", "")
            .passed("POST", "/one", ""),
        post("no body", section, "Expect: 100-continue\r\n", "").passed("POST", "/one", ""),
        case("a GET", section, format!("GET /one HTTP/1.1\r\n{HOST}Expect: 100-continue\r\n\r\n"))
            .passed("GET", "/one", ""),
        case(
            "HTTP/1.0 cannot expect",
            section,
            "POST /one HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        )
        .passed_last("POST", "/one", "hello")
        .without("expect"),
        post(
            "a body beyond the bound is not asked for",
            section,
            "Expect: 100-continue\r\nContent-Length: 999999\r\n",
            "",
        )
        .refused(&[413]),
        post(
            "a body with two lengths is not asked for",
            section,
            "Expect: 100-continue\r\nContent-Length: 1\r\nContent-Length: 2\r\n",
            "",
        )
        .refused(&[400]),
        post(
            "a request behind a body that does not wait",
            section,
            "Expect: 100-continue\r\nContent-Length: 5\r\n",
            &behind,
        )
        .all(&[("POST", "/one", "hello"), ("GET", "/two", "")]),
    ]
}

const WAITING: &str = "Host: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";

#[tokio::test]
async fn a_body_is_sent_once_it_is_asked_for() {
    let stage = Stage::start(PASS_ALL).await;
    let mut wire = Wire::connect(stage.address()).await;
    wire.send(format!("POST /one HTTP/1.1\r\n{WAITING}").as_bytes()).await;
    assert_eq!(wire.until("\r\n\r\n").await.split("\r\n").next(), Some("HTTP/1.1 100 Continue"));
    wire.send(b"hello").await;
    let Got::Answer(answer) = wire.answer().await else { panic!("no answer") };
    assert_eq!((answer.status, answer.text().as_str()), (200, "POST /one hello"));
    wire.marker("behind").await.expect("the connection goes on");
}

/// The client then sends another request, or the body after all: nobody can tell which, so nothing more is read.
#[tokio::test]
async fn a_connection_whose_body_was_refused_takes_no_other_request() {
    let stage = Stage::start(PASS_ALL).await;
    for refused in ["/refused-at-once", "*"] {
        let mut wire = Wire::connect(stage.address()).await;
        wire.send(format!("POST {refused} HTTP/1.1\r\n{WAITING}").as_bytes()).await;
        let Got::Answer(answer) = wire.answer().await else { panic!("no answer to {refused}") };
        assert!([400, 403, 404].contains(&answer.status), "{answer:?}");
        assert!(wire.interim.is_empty(), "the body was asked for and refused: {:?}", wire.interim);
        wire.send(EVIL.as_bytes()).await;
        match wire.answer().await {
            Got::End => {}
            // Its beginning was taken for the body, and the rest for what it is.
            Got::Answer(answer) if answer.status == 400 => wire.is_over().await.unwrap(),
            got => panic!("after {refused} came {got:?}"),
        }
        assert!(stage.never_saw("/evil"), "what may be a body was taken for a request");
        Wire::connect(stage.address()).await.marker("other").await.expect("others are answered");
    }
}
