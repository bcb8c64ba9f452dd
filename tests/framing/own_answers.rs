//! Bodies on requests that we answer ourselves: drained within bounds, or the connection closes; the next request is not
//! confused (RFC 9112 §9.3 and §9.6).

use crate::case::{After, Case, EVIL, HOST, case};

pub const CONFIG: &str = "
server: {listen: 127.0.0.1:0, workers: 1, limits: {header_bytes: 8KiB, body: 100KiB}}
policies: {kept: {share: public, ttl: 60s}}
routes:
  - {name: kept, path: /kept/**, policy: kept}
  - {name: small, path: /small, body: 1KiB}
  - {name: one, path: /one}
  - {name: two, path: /two}
  - {name: evil, path: /evil}
  - {name: marker, path: /marker/**}
";

const HELLO: &str = "Content-Length: 5\r\n\r\nhello";
const CHUNKS: &str = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

pub fn cases() -> Vec<Case> {
    let section = "9112 §9.3";
    let none: &[(&str, &str, &str)] = &[];
    let kept = |name: &str, rest: &str| case(name, section, format!("GET /kept/a HTTP/1.1\r\n{HOST}{rest}"));
    let lost = |name: &str, rest: &str| {
        case(name, section, format!("POST /nowhere HTTP/1.1\r\n{HOST}{rest}")).wanting(&[&[404]], After::Either, none)
    };
    let small = |name: &str, rest: &str| case(name, section, format!("POST /small HTTP/1.1\r\n{HOST}{rest}"));
    // A request with a body may also be passed to the origin: it then arrives there as one.
    let hit = |name: &str, rest: &str, body: &str| {
        kept(name, rest).wanting(&[&[200]], After::Either, none).wanting(
            &[&[200]],
            After::Either,
            &[("GET", "/kept/a", body)],
        )
    };
    let unchanged = |name: &str, rest: &str, body: &str| {
        kept(name, &format!("If-None-Match: \"k\"\r\n{rest}")).wanting(&[&[304]], After::Either, none).wanting(
            &[&[200]],
            After::Either,
            &[("GET", "/kept/a", body)],
        )
    };
    let nested = format!("Content-Length: {}\r\n\r\n{EVIL}", EVIL.len());
    let nested_chunk = format!("Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{EVIL}\r\n0\r\n\r\n", EVIL.len());
    let large = format!("Content-Length: 90000\r\n\r\n{}", EVIL.repeat(3000).get(..90_000).unwrap_or(""));
    let next = format!("GET /two HTTP/1.1\r\n{HOST}\r\n");
    vec![
        hit("the first to ask", "\r\n", ""),
        kept("a hit", "\r\n").wanting(&[&[200]], After::Open, none),
        case("a hit of HEAD", section, format!("HEAD /kept/a HTTP/1.1\r\n{HOST}\r\n")).wanting(
            &[&[200]],
            After::Open,
            none,
        ),
        kept("two hits in one piece", &format!("\r\nGET /kept/a HTTP/1.1\r\n{HOST}\r\n")).wanting(
            &[&[200], &[200]],
            After::Open,
            none,
        ),
        hit("a hit with a body", HELLO, "hello"),
        hit("a hit with chunks", CHUNKS, "hello"),
        hit("a hit with a body that looks like a request", &nested, EVIL),
        hit("a hit with a chunk that looks like a request", &nested_chunk, EVIL),
        kept("a hit with a body and a request behind it", &format!("{HELLO}{next}"))
            .wanting(&[&[200], &[200]], After::Open, &[("GET", "/two", "")])
            .wanting(&[&[200], &[200]], After::Open, &[("GET", "/kept/a", "hello"), ("GET", "/two", "")])
            .wanting(&[&[200]], After::Closed, none)
            .wanting(&[&[200]], After::Closed, &[("GET", "/kept/a", "hello")]),
        kept("a 304", "If-None-Match: \"k\"\r\n\r\n").wanting(&[&[304]], After::Open, none),
        unchanged("a 304 with a body", HELLO, "hello"),
        unchanged("a 304 with a body that looks like a request", &nested, EVIL),
        unchanged("a 304 with chunks", CHUNKS, "hello"),
        kept("a hit with a body that is not clear", "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello")
            .refused(&[400]),
        kept("a hit with two framings", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            .refused(&[400]),
        kept("a hit whose chunks are broken", "Transfer-Encoding: chunked\r\n\r\n5 \r\nhello\n0\r\n\r\n")
            .broken_off(&[400])
            .wanting(&[&[200]], After::Closed, none),
        lost("no route", "\r\n"),
        case("no route, and HEAD", section, format!("HEAD /nowhere HTTP/1.1\r\n{HOST}\r\n")).wanting(
            &[&[404]],
            After::Open,
            none,
        ),
        lost("no route, and a body", HELLO),
        lost("no route, and chunks", CHUNKS),
        lost("no route, and a body that looks like a request", &nested),
        lost("no route, and a chunk that looks like a request", &nested_chunk),
        lost("no route, and a large body", &large),
        lost("no route, and a body without end", "Content-Length: 1000000000\r\n\r\nhello").half_closed(),
        lost("no route, and a body that does not come", "Content-Length: 5\r\n\r\n").half_closed(),
        lost("no route, and chunks that do not end", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").half_closed(),
        lost(
            "no route, and broken chunks with a request behind them",
            &format!("Transfer-Encoding: chunked\r\n\r\nx\r\n{EVIL}"),
        )
        .wanting(&[&[404], &[400]], After::Closed, none)
        .refused(&[400]),
        case(
            "no route, a body, and a request behind it",
            section,
            format!("POST /nowhere HTTP/1.1\r\n{HOST}{HELLO}{next}"),
        )
        .wanting(&[&[404], &[200]], After::Open, &[("GET", "/two", "")])
        .wanting(&[&[404]], After::Closed, none),
        small("a body as long as its route allows", &format!("Content-Length: 1024\r\n\r\n{}", "x".repeat(1024)))
            .passed("POST", "/small", &"x".repeat(1024)),
        small("a body beyond its route's bound", &format!("Content-Length: 1025\r\n\r\n{}", "x".repeat(1025)))
            .refused(&[413]),
        small("a body beyond its route's bound that looks like requests", &large).refused(&[413]),
        small("a body beyond its route's bound that does not come", "Content-Length: 1025\r\n\r\n").refused(&[413]),
        small(
            "chunks beyond their route's bound",
            &format!("Transfer-Encoding: chunked\r\n\r\n401\r\n{}\r\n0\r\n\r\n", "x".repeat(1025)),
        )
        .broken_off(&[413]),
        case(
            "a path that is read in two ways, and a body",
            section,
            format!("POST /one/%2e%2e%2ftwo HTTP/1.1\r\n{HOST}{nested}"),
        )
        .wanting(&[&[400, 404]], After::Either, none),
    ]
}
