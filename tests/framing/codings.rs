//! One `Transfer-Encoding`, and that is `chunked` (RFC 9112 §6.1, §6.3 and §7). What is odd is sent with a length as well where
//! that makes it dangerous, and with a request in its body that one of two readers would find.

use crate::case::{Case, EVIL, HOST, case, post};

const HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";

pub fn cases() -> Vec<Case> {
    let coding = "9112 §6.1";
    let final_coding = "9112 §6.3";
    let syntax = "9112 §5.1";
    let hello = |name: &str, lines: &str| post(name, coding, lines, HELLO).passed_once("POST", "/one", "hello");
    let bad = |name: &str, lines: &str| post(name, coding, lines, HELLO).refused(&[400, 501]);
    let odd = |name: &str, value: &str| bad(name, &format!("Transfer-Encoding: {value}\r\n"));
    let broken = |name: &str, lines: &str| post(name, syntax, lines, HELLO).refused(&[400]);
    let unclear = |name: &str, lines: &str| hello(name, lines).refused(&[400, 501]);
    // A reader of lengths takes these nine bytes for the body, and the request for a request.
    let smuggling = |name: &str, lines: &str| {
        let text = format!("{lines}Content-Length: 5\r\n");
        post(name, coding, &text, &format!("0\r\n\r\n{EVIL}")).refused(&[400, 501])
    };
    let mut cases = vec![
        hello("chunked", "Transfer-Encoding: chunked\r\n"),
        hello("Chunked", "Transfer-Encoding: Chunked\r\n"),
        hello("CHUNKED", "TRANSFER-ENCODING: CHUNKED\r\n"),
        hello("chunked right behind the colon", "Transfer-Encoding:chunked\r\n"),
        hello("chunked with whitespace around it", "Transfer-Encoding: \t chunked \t\r\n"),
        hello("chunked behind a tab", "Transfer-Encoding:\tchunked\r\n"),
        unclear("chunked and a comma", "Transfer-Encoding: chunked,\r\n"),
        unclear("a comma and chunked", "Transfer-Encoding: , chunked\r\n"),
        unclear("chunked and an empty line of codings", "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n"),
        odd("gzip", "gzip"),
        odd("gzip, then chunked", "gzip, chunked"),
        odd("chunked, then gzip", "chunked, gzip"),
        odd("identity", "identity"),
        odd("identity, then chunked", "identity, chunked"),
        odd("chunked, then identity", "chunked, identity"),
        odd("chunked twice", "chunked, chunked"),
        odd("xchunked", "xchunked"),
        odd("chunkedx", "chunkedx"),
        odd("chunk", "chunk"),
        odd("no coding", ""),
        odd("cow", "cow"),
        odd("trailers", "trailers"),
        odd("chunked with a parameter", "chunked;ext=val"),
        odd("chunked with a weight", "chunked;q=0.5"),
        odd("chunked in quotes", "\"chunked\""),
        odd("chunked in single quotes", "'chunked'"),
        odd("chunked and a word", "chunked chunked"),
        odd("chunked with a space in it", "chun ked"),
        odd("chunked behind a semicolon", ";chunked"),
        odd("a Kelvin sign for the k", "chun\u{212a}ed"),
        odd("a non-breaking space behind chunked", "chunked\u{a0}"),
        odd("chunked and an 8-bit character", "chunked\u{ff}"),
        odd("a vertical tab before chunked", "\x0bchunked"),
        odd("a vertical tab behind chunked", "chunked\x0b"),
        odd("a form feed before chunked", "\x0cchunked"),
        odd("a NUL behind chunked", "chunked\0"),
        odd("a backspace behind chunked", "chunkedx\x08"),
        odd("a bare CR behind chunked", "chunked\r"),
        odd("a bare CR before chunked", "\rchunked"),
        bad("two lines of chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        bad("a line of gzip, a line of chunked", "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"),
        bad("a line of chunked, a line of cow", "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n"),
        bad("a line of cow, a line of chunked", "Transfer-Encoding: cow\r\nTransfer-encoding: chunked\r\n"),
        bad(
            "a line of chunked, a line of identity",
            "Transfer-Encoding: chunked\r\nX: y\r\nTransfer-Encoding: identity\r\n",
        ),
        broken("a space before the colon of a coding", "Transfer-Encoding : chunked\r\n"),
        broken("a tab before the colon of a coding", "Transfer-Encoding\t: chunked\r\n"),
        broken("a vertical tab before the colon of a coding", "Transfer-Encoding\x0b: chunked\r\n"),
        broken("a NUL before the colon of a coding", "Transfer-Encoding\0: chunked\r\n"),
        broken("a coding behind a space", " Transfer-Encoding: chunked\r\n"),
        broken("a coding behind a tab", "\tTransfer-Encoding: chunked\r\n"),
        broken("a folded coding", "Transfer-Encoding:\r\n chunked\r\n"),
        broken("a coding folded with a tab", "Transfer-Encoding:\r\n\tchunked\r\n"),
        broken("a coding that goes on in the next line", "Transfer-Encoding: chunked\r\n , identity\r\n"),
        broken("a colon in the next line", "Transfer-Encoding\r\n: chunked\r\n"),
        broken("a coding behind a bare LF", "X: y\nTransfer-Encoding: chunked\r\n"),
        broken("a coding behind a bare CR", "X: y\rTransfer-Encoding: chunked\r\n"),
        broken("a coding that ends in a bare LF", "Transfer-Encoding: chunked\n"),
        broken("a coding without a colon", "Transfer-Encoding chunked\r\n"),
        broken("a quote before a coding's name", "\"Transfer-Encoding: chunked\r\n"),
        post("an underscore for the hyphen: to some this is a coding", coding, "Transfer_Encoding: chunked\r\n", "")
            .passed("POST", "/one", "")
            .refused(&[400, 501]),
    ];
    cases.extend([
        post("a length, then chunked", final_coding, "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", HELLO)
            .refused(&[400]),
        post("chunked, then a length", final_coding, "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", HELLO)
            .refused(&[400]),
        post(
            "a length of nothing beside chunked",
            final_coding,
            "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
            HELLO,
        )
        .refused(&[400]),
        post(
            "a length that is none beside chunked",
            final_coding,
            "Transfer-Encoding: chunked\r\nContent-Length: x\r\n",
            HELLO,
        )
        .refused(&[400]),
        post(
            "a request behind the length's body",
            final_coding,
            "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
            &format!("{:x}\r\n{EVIL}\r\n0\r\n\r\n", EVIL.len()),
        )
        .refused(&[400]),
        smuggling("a request behind the last chunk", "Transfer-Encoding: chunked\r\n"),
        smuggling("a request behind xchunked", "Transfer-Encoding: xchunked\r\n"),
        smuggling("a request behind identity", "Transfer-Encoding: identity\r\n"),
        smuggling("a request behind a vertical tab and chunked", "Transfer-Encoding: \x0bchunked\r\n"),
        smuggling("a request behind chunked and cow", "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n"),
        smuggling("a request behind a coding with a space before its colon", "Transfer-Encoding : chunked\r\n"),
        smuggling("a request behind a folded coding", "Transfer-Encoding:\r\n chunked\r\n"),
        smuggling("a request behind an empty coding", "Transfer-Encoding:\r\n"),
        case(
            "a GET with chunks",
            coding,
            format!("GET /one HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{HELLO}"),
        )
        .passed_once("GET", "/one", "hello")
        .refused(&[400]),
        case(
            "a GET whose only chunk looks like a request",
            coding,
            format!(
                "GET /one HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{EVIL}\r\n0\r\n\r\n",
                EVIL.len()
            ),
        )
        .passed_once("GET", "/one", EVIL)
        .refused(&[400]),
        case(
            "chunked in HTTP/1.0",
            coding,
            format!("POST /one HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{HELLO}"),
        )
        .refused(&[400]),
        case(
            "chunked in HTTP/1.0 that asks to be kept alive",
            coding,
            format!(
                "POST /one HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n{HELLO}"
            ),
        )
        .refused(&[400]),
    ]);
    cases
}
