//! Fields of one hop stay on it, and none of them takes away what the request is (RFC 9110 §7.6.1).

use crate::case::{Case, get, post};

pub fn cases() -> Vec<Case> {
    let section = "9110 §7.6.1";
    let persistence = "9112 §9.3";
    let open = |name: &str, lines: &str| get(name, section, lines).passed("GET", "/one", "").without("connection");
    let close = |name: &str, lines: &str| get(name, persistence, lines).passed_last("GET", "/one", "");
    let hello = |name: &str, lines: &str| post(name, section, lines, "hello").passed("POST", "/one", "hello");
    vec![
        open("keep-alive", "Connection: keep-alive\r\nKeep-Alive: timeout=300\r\n").without("keep-alive"),
        open("what Connection names", "Connection: X-Private\r\nX-Private: 1\r\nX-Kept: 1\r\n")
            .without("x-private")
            .with("x-kept: 1"),
        open("what several Connections name", "Connection: x-one\r\nX-One: 1\r\nConnection: , x-two ,\r\nX-Two: 2\r\n")
            .without("x-one")
            .without("x-two"),
        open("what Connection names comes before it", "X-Private: 1\r\nConnection: x-PRIVATE\r\n").without("x-private"),
        open("a field that is named and not there", "Connection: x-private\r\n"),
        open("an empty Connection", "Connection:\r\n"),
        open("Proxy-Connection", "Proxy-Connection: keep-alive\r\n").without("proxy-connection"),
        open("Proxy-Authorization", "Proxy-Authorization: Basic eDp5\r\n").without("proxy-authorization"),
        open("codings that the client takes", "TE: gzip;q=0.5\r\nConnection: TE\r\n").without("te"),
        get("trailers that the client takes", section, "TE: trailers\r\nConnection: TE\r\n").passed("GET", "/one", ""),
        open("Connection names Host", "Connection: Host\r\n").with("host: h"),
        close("Connection names close and Host", "Connection: close, Host\r\n").with("host: h"),
        open("Connection names X-Forwarded-For", "Connection: X-Forwarded-For\r\n"),
        hello("Connection names Content-Length", "Connection: Content-Length\r\nContent-Length: 5\r\n"),
        post(
            "Connection names Transfer-Encoding",
            section,
            "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
        )
        .passed_once("POST", "/one", "hello"),
        close("close", "Connection: close\r\n"),
        close("Close", "Connection: Close\r\n"),
        close("CLOSE among others", "Connection: x-one, CLOSE ,x-two\r\n"),
        close("close in a second line", "Connection: keep-alive\r\nConnection: close\r\n"),
        close("close beside keep-alive", "Connection: keep-alive, close\r\n"),
        open("a word that begins with close", "Connection: closed\r\n"),
    ]
}
