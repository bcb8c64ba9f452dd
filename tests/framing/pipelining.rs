//! Several requests in one piece: answered in their order, and what follows the last one on a connection is nobody's
//! (RFC 9112 §9.3.2 and §9.6).

use crate::case::{After, Case, EVIL, HOST, case};

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{HOST}\r\n")
}

fn post(path: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\n{HOST}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn chunked(path: &str, body: &str, trailers: &str) -> String {
    let size = body.len();
    format!("POST {path} HTTP/1.1\r\n{HOST}Transfer-Encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n{trailers}\r\n")
}

pub fn cases() -> Vec<Case> {
    let order = "9112 §9.3.2";
    let last = "9112 §9.6";
    let paths: Vec<String> = (0..50).map(|number| format!("/{number}")).collect();
    let many = |count: usize| -> Vec<(&str, &str, &str)> {
        paths[..count].iter().map(|path| ("GET", path.as_str(), "")).collect()
    };
    let pieces = |count: usize| -> String { paths[..count].iter().map(|path| get(path)).collect() };
    let bad = "GET /bad HTTP/1.1\r\nHost : h\r\n\r\n";
    let both = "POST /bad HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    vec![
        case("two", order, pieces(2)).all(&many(2)),
        case("ten", order, pieces(10)).all(&many(10)),
        case("fifty", order, pieces(50)).all(&many(50)),
        case("behind a body", order, format!("{}{}", post("/one", "hello"), get("/two")))
            .all(&[("POST", "/one", "hello"), ("GET", "/two", "")]),
        case("a body behind a request", order, format!("{}{}", get("/one"), post("/two", "hello")))
            .all(&[("GET", "/one", ""), ("POST", "/two", "hello")]),
        case(
            "bodies behind bodies",
            order,
            format!("{}{}{}", post("/one", "1"), post("/two", "22"), post("/three", "333")),
        )
        .all(&[("POST", "/one", "1"), ("POST", "/two", "22"), ("POST", "/three", "333")]),
        case("behind a body of nothing", order, format!("{}{}", post("/one", ""), get("/two")))
            .all(&[("POST", "/one", ""), ("GET", "/two", "")]),
        case("behind a body that looks like a request", order, format!("{}{}", post("/one", EVIL), get("/two")))
            .all(&[("POST", "/one", EVIL), ("GET", "/two", "")]),
        case("behind chunks", order, format!("{}{}", chunked("/one", "hello", ""), get("/two")))
            .all(&[("POST", "/one", "hello"), ("GET", "/two", "")])
            .passed_last("POST", "/one", "hello"),
        case("behind chunks that look like a request", order, format!("{}{}", chunked("/one", EVIL, ""), get("/two")))
            .all(&[("POST", "/one", EVIL), ("GET", "/two", "")])
            .passed_last("POST", "/one", EVIL),
        case("behind trailers", order, format!("{}{}", chunked("/one", "hello", "X-Sum: 7\r\n"), get("/two")))
            .all(&[("POST", "/one", "hello"), ("GET", "/two", "")])
            .passed_last("POST", "/one", "hello"),
        case("chunks behind chunks", order, format!("{}{}", chunked("/one", "1", ""), chunked("/two", "22", "")))
            .all(&[("POST", "/one", "1"), ("POST", "/two", "22")])
            .passed_last("POST", "/one", "1"),
        case("chunks behind a request", order, format!("{}{}", get("/one"), chunked("/two", "22", ""))).wanting(
            &[&[200], &[200]],
            After::Either,
            &[("GET", "/one", ""), ("POST", "/two", "22")],
        ),
        case("behind a HEAD", order, format!("HEAD /one HTTP/1.1\r\n{HOST}\r\n{}", get("/two")))
            .all(&[("HEAD", "/one", ""), ("GET", "/two", "")]),
        case("an empty line behind a body", "9112 §2.2", format!("{}\r\n{}", post("/one", "hello"), get("/two")))
            .all(&[("POST", "/one", "hello"), ("GET", "/two", "")]),
        case("something bad behind something good", order, format!("{}{bad}", get("/one"))).wanting(
            &[&[200], &[400]],
            After::Closed,
            &[("GET", "/one", "")],
        ),
        case("something bad behind a body", order, format!("{}{both}{EVIL}", post("/one", "hello"))).wanting(
            &[&[200], &[400]],
            After::Closed,
            &[("POST", "/one", "hello")],
        ),
        case("something bad behind chunks", order, format!("{}{bad}{EVIL}", chunked("/one", "hello", "")))
            .wanting(&[&[200], &[400]], After::Closed, &[("POST", "/one", "hello")])
            .passed_last("POST", "/one", "hello"),
        case("something good behind something bad", order, format!("{bad}{EVIL}")).refused(&[400]),
        case("something good behind two lengths", order, format!("{both}{EVIL}")).refused(&[400]),
        case("behind Connection: close", last, format!("GET /one HTTP/1.1\r\n{HOST}Connection: close\r\n\r\n{EVIL}"))
            .passed_last("GET", "/one", ""),
        case(
            "behind Connection: close and a body",
            last,
            format!("POST /one HTTP/1.1\r\n{HOST}Connection: close\r\nContent-Length: 5\r\n\r\nhello{EVIL}"),
        )
        .passed_last("POST", "/one", "hello"),
        case("behind HTTP/1.0", "9112 §9.3", format!("GET /one HTTP/1.0\r\n{HOST}\r\n{EVIL}"))
            .passed_last("GET", "/one", ""),
        case(
            "behind an HTTP/1.0 request with a body",
            "9112 §9.3",
            format!("POST /one HTTP/1.0\r\n{HOST}Content-Length: 5\r\n\r\nhello{EVIL}"),
        )
        .passed_last("POST", "/one", "hello"),
        case("garbage behind a request", order, format!("{}hello\r\n\r\n", get("/one"))).wanting(
            &[&[200], &[400]],
            After::Closed,
            &[("GET", "/one", "")],
        ),
        case("half a request behind a request", order, format!("{}GET /ev", get("/one")))
            .half_closed()
            .wanting(&[&[200]], After::Closed, &[("GET", "/one", "")])
            .wanting(&[&[200], &[400, 408]], After::Closed, &[("GET", "/one", "")]),
    ]
}
