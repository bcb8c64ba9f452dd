//! Chunks: a size in hexadecimal digits, CRLF, so many bytes, CRLF; trailers that change nothing (RFC 9112 §7.1).
//!
//! When a body turns out to be broken its beginning may have left for the origin: what counts is that the request never becomes
//! whole there, and that the connection ends.

use crate::case::{Case, EVIL, post};

fn chunks(name: &str, body: &str) -> Case {
    post(name, "9112 §7.1", "Transfer-Encoding: chunked\r\n", body)
}

/// One chunk that starts with this line, and nothing else wrong with it.
fn line(name: &str, line: &str) -> Case {
    chunks(name, &format!("{line}\r\nhello\r\n0\r\n\r\n"))
}

fn trailers(name: &str, lines: &str) -> Case {
    chunks(name, &format!("5\r\nhello\r\n0\r\n{lines}\r\n"))
}

pub fn cases() -> Vec<Case> {
    let good = |case: Case| case.passed_once("POST", "/one", "hello");
    let bad = |case: Case| case.broken_off(&[400]);
    let unclear = |case: Case| good(bad(case));
    let too_large = |case: Case| case.broken_off(&[400, 413, 431]);
    // Refused at once or once the client is known to send no more of it.
    let unfinished = |case: Case| case.half_closed().broken_off(&[400, 408, 413, 431]).closed();
    let cut = |case: Case| case.half_closed().broken_off(&[400, 408]).closed();
    let mut cases = vec![
        good(line("a chunk", "5")),
        chunks("no chunk", "0\r\n\r\n").passed_once("POST", "/one", ""),
        good(chunks("several chunks", "1\r\nh\r\n3\r\nell\r\n1\r\no\r\n0\r\n\r\n")),
        chunks("a size in lower case", "a\r\n0123456789\r\n0\r\n\r\n").passed_once("POST", "/one", "0123456789"),
        chunks("a size in upper case", "A\r\n0123456789\r\n0\r\n\r\n").passed_once("POST", "/one", "0123456789"),
        good(line("a size with a leading zero", "05")),
        unclear(line("a size with many leading zeros", &format!("{}5", "0".repeat(20)))),
        good(chunks("a last chunk of several zeros", "5\r\nhello\r\n000\r\n\r\n")),
        chunks("a chunk that looks like a request", &format!("{:x}\r\n{EVIL}\r\n0\r\n\r\n", EVIL.len()))
            .passed_once("POST", "/one", EVIL),
        chunks("a chunk that looks like chunks", "7\r\n0\r\n\r\nGE\r\n0\r\n\r\n").passed_once(
            "POST",
            "/one",
            "0\r\n\r\nGE",
        ),
        good(line("an extension", "5;a")),
        good(line("an extension with a value", "5;a=b")),
        good(line("an extension with a quoted value", "5;a=\"b c\"")),
        good(line("an extension with a quoted semicolon", "5;a=\"b;\\\"c\"")),
        good(line("two extensions", "5;a=b;c=d")),
        good(chunks("an extension of the last chunk", "5\r\nhello\r\n0;a=b\r\n\r\n")),
        unclear(line("whitespace before an extension", "5 ;a=b")),
        unclear(line("whitespace in an extension", "5; a = b")),
        unclear(line("an extension without a name", "5;")),
        unclear(line("an extension that is not a token", "5;=[]")),
        unclear(line("an extension whose quote never closes", "5;a=\"b")),
        too_large(good(line("an extension of 4 KiB", &format!("5;a={}", "x".repeat(4 << 10))))),
        too_large(line("an extension of 64 KiB", &format!("5;a={}", "x".repeat(64 << 10)))),
        too_large(chunks("an extension that does not end", &format!("5;a={}", "x".repeat(64 << 10)))).half_closed(),
    ];
    let padded = format!("1;{}\r\na\r\n", "x".repeat(1 << 10));
    cases.push(
        too_large(chunks("200 small chunks with large extensions", &format!("{}0\r\n\r\n", padded.repeat(200))))
            .passed_once("POST", "/one", &"a".repeat(200)),
    );
    cases.extend([
        bad(line("a bare LF in an extension", "5;a\nb")),
        bad(chunks("a bare LF that ends an extension", "5;\nhello\r\n0\r\n\r\n")),
        bad(line("a bare CR in an extension", "5;a\rb")),
        bad(line("a CRLF in a quoted extension", "5;a=\"b\r\nc\"")),
        bad(line("a NUL in an extension", "5;a=\0")),
        bad(line("a space before a size", " 5")),
        bad(line("a tab before a size", "\t5")),
        bad(line("a space behind a size", "5 ")),
        bad(line("a tab behind a size", "5\t")),
        bad(line("a vertical tab behind a size", "5\x0b")),
        bad(line("a space in a size", "0 5")),
        bad(line("a NUL behind a size", "5\0")),
        bad(line("a plus sign", "+5")),
        bad(line("a minus sign", "-5")),
        bad(line("a 0x prefix", "0x5")),
        bad(line("a 0X prefix", "0X5")),
        bad(line("an underscore in a size", "0_5")),
        bad(line("an h behind a size", "5h")),
        bad(line("a size in words", "five")),
        bad(line("a letter beyond f", "g")),
        bad(line("a comma behind a size", "5,5")),
        bad(line("a size in quotes", "\"5\"")),
        bad(line("a digit of another script", "５")),
        bad(line("no size", "")),
        bad(line("an extension without a size", ";a=b")),
        bad(line("a bare CR behind a size", "5\rX")),
        bad(line("two CRs behind a size", "5\r")),
        bad(chunks("a bare LF behind a size", "5\nhello\r\n0\r\n\r\n")),
        bad(chunks("a bare CR for a line end", "5\rhello\r\n0\r\n\r\n")),
        bad(chunks("a bare LF behind a chunk", "5\r\nhello\n0\r\n\r\n")),
        bad(chunks("a bare CR behind a chunk", "5\r\nhello\r0\r\n\r\n")),
        bad(chunks("nothing behind a chunk", "5\r\nhello0\r\n\r\n")),
        bad(chunks("two bytes that are no CRLF behind a chunk", "5\r\nhelloXX0\r\n\r\n")),
        bad(chunks("an empty line before a chunk", "\r\n5\r\nhello\r\n0\r\n\r\n")),
        bad(chunks("a bare LF behind the last size", "5\r\nhello\r\n0\n\r\n")),
        bad(chunks("a bare LF at the end", &format!("5\r\nhello\r\n0\r\n\n{EVIL}"))),
        bad(chunks("a bare CR and more at the end", "5\r\nhello\r\n0\r\n\rX")),
        bad(chunks("a chunk longer than its size", "5\r\nhello!\r\n0\r\n\r\n")),
        bad(chunks("a chunk shorter than its size", "6\r\nhello\r\n0\r\n\r\n")),
        bad(chunks("a request instead of a size", EVIL)),
        bad(chunks("a request instead of trailers", &format!("5\r\nhello\r\n0\r\n{EVIL}"))),
        unfinished(line("2^63 - 1", "7fffffffffffffff")),
        unfinished(line("2^64 - 1", "ffffffffffffffff")),
        too_large(line("2^64 + 5", "10000000000000005")),
        too_large(line("seventeen digits", "fffffffffffffffff")),
        unfinished(line("2^32 + 5, beyond the bound", "100000005")),
        unfinished(chunks("more than the bound in one chunk", &format!("{:x}\r\n", 102_401))),
        too_large(chunks(
            "more than the bound in many chunks",
            &format!("800\r\n{}\r\n", "x".repeat(0x800)).repeat(51),
        )),
        cut(chunks("cut before the first size", "")),
        cut(chunks("cut in a size", "5")),
        cut(chunks("cut behind a CR", "5\r")),
        cut(chunks("cut behind a size", "5\r\n")),
        cut(chunks("cut in a chunk", "5\r\nhel")),
        cut(chunks("cut behind a chunk", "5\r\nhello")),
        cut(chunks("cut before the last chunk", "5\r\nhello\r\n")),
        cut(chunks("cut in the last chunk", "5\r\nhello\r\n0")),
        cut(chunks("cut before the trailers", "5\r\nhello\r\n0\r\n")),
        cut(chunks("cut in the last line end", "5\r\nhello\r\n0\r\n\r")),
        cut(chunks("cut in the trailers", "5\r\nhello\r\n0\r\nX-Sum: 7\r\n")),
    ]);
    cases.extend([
        good(trailers("a trailer", "X-Sum: 7\r\n")),
        good(trailers("two trailers", "X-Sum: 7\r\nX-Other: 8\r\n")),
        good(trailers("an empty trailer", "X-Sum:\r\n")),
        // RFC 9110 §6.5.1: they are not merged, whatever else happens to them.
        unclear(trailers("a length in the trailers", "Content-Length: 50\r\n")),
        unclear(trailers("a coding in the trailers", "Transfer-Encoding: gzip\r\n")),
        unclear(trailers("a Host in the trailers", "Host: other\r\n")),
        unclear(trailers("credentials in the trailers", "Authorization: Bearer other\r\n")),
        good(trailers("another client in the trailers", "X-Forwarded-For: 10.0.0.1\r\nX-Sum: 7\r\n")),
        good(trailers("another target in the trailers", "X_Original_Url: /evil\r\nX-Sum: 7\r\n")),
        unclear(trailers("connection options in the trailers", "Connection: x-sum\r\n")),
        bad(trailers("a trailer that ends in a bare LF", "X-Sum: 7\n")).half_closed(),
        bad(trailers("a bare LF and a field in a trailer", "X-Sum: 7\nX-Other: 8\r\n")),
        bad(trailers("a bare LF and a request in the trailers", &format!("X-Sum: 7\n\n{EVIL}"))),
        bad(trailers("a bare CR in a trailer", "X-Sum: 7\r8\r\n")),
        bad(trailers("a NUL in a trailer", "X-Sum: 7\0\r\n")),
        bad(trailers("a folded trailer", "X-Sum: 7\r\n 8\r\n")),
        bad(trailers("a trailer behind a space", " X-Sum: 7\r\n")),
        bad(trailers("a trailer without a colon", "X-Sum\r\n")),
        bad(trailers("a trailer without a name", ": 7\r\n")),
        bad(trailers("a space before a trailer's colon", "X-Sum : 7\r\n")),
        too_large(trailers("one trailer of 64 KiB", &format!("X-Sum: {}\r\n", "7".repeat(64 << 10)))),
        too_large(trailers("ten thousand trailers", &"X-Sum: 7\r\n".repeat(10_000))),
    ]);
    cases
}
