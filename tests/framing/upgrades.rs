//! Upgrades that are not granted: the request is passed without them, and what the client sent in the hope of another protocol
//! is never taken for a request (RFC 9110 §7.8). Granted ones are stories in `tests/it`.

use crate::case::{After, Case, EVIL, HOST, case};

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const H2C: &str = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n";

pub fn cases() -> Vec<Case> {
    let section = "9110 §7.8";
    let ask = |name: &str, lines: &str, behind: &str| {
        case(name, section, format!("GET /one HTTP/1.1\r\n{HOST}{lines}\r\n{behind}"))
    };
    let ignored = |name: &str, lines: &str| {
        ask(name, lines, "")
            .passed_once("GET", "/one", "")
            .refused(&[400, 426, 501])
            .without("upgrade")
            .without("connection")
    };
    // Whether the bytes are of the other protocol or a request cannot be told: they are neither.
    let early = |name: &str, lines: &str, behind: &str| {
        ask(name, lines, behind)
            .passed_last("GET", "/one", "")
            .wanting(&[&[200], &[400, 505]], After::Closed, &[("GET", "/one", "")])
            .refused(&[400, 426, 501])
    };
    let frame = "\u{81}\u{85}\u{37}\u{fa}\u{21}\u{3d}\u{7f}\u{9f}\u{4d}\u{51}\u{58}";
    vec![
        ignored("a WebSocket", WEBSOCKET),
        ignored("a WebSocket among other options", "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"),
        ignored("HTTP/2", H2C).without("http2-settings"),
        ignored("TLS", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n"),
        ignored("several protocols", "Connection: upgrade\r\nUpgrade: h2c, websocket, irc/6.9\r\n"),
        ignored("two lines of protocols", "Connection: upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n"),
        ignored("no protocol", "Connection: upgrade\r\nUpgrade:\r\n"),
        ask("an upgrade that Connection does not name", "Upgrade: websocket\r\n", "")
            .passed_once("GET", "/one", "")
            .without("upgrade"),
        ask("a Connection that names an upgrade which is not there", "Connection: upgrade\r\n", "")
            .passed_once("GET", "/one", "")
            .without("connection"),
        case("an upgrade in HTTP/1.0 is ignored", section, format!("GET /one HTTP/1.0\r\n{HOST}{WEBSOCKET}\r\n"))
            .passed_last("GET", "/one", "")
            .refused(&[400])
            .without("upgrade"),
        case(
            "an upgrade with a body",
            section,
            format!("POST /one HTTP/1.1\r\n{HOST}{H2C}Content-Length: 5\r\n\r\nhello"),
        )
        .passed_once("POST", "/one", "hello")
        .refused(&[400, 426, 501]),
        case(
            "an upgrade with a body, and a request behind it",
            section,
            format!("POST /one HTTP/1.1\r\n{HOST}{H2C}Content-Length: 5\r\n\r\nhello{EVIL}"),
        )
        .passed_last("POST", "/one", "hello")
        .wanting(&[&[200], &[400]], After::Closed, &[("POST", "/one", "hello")])
        .refused(&[400, 426, 501]),
        early("a WebSocket, and a frame at once", WEBSOCKET, frame).half_closed(),
        early("a WebSocket, and a request at once", WEBSOCKET, EVIL),
        early("HTTP/2, and its preface at once", H2C, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        early("HTTP/2, and a request at once", H2C, EVIL),
        early("TLS, and a request at once", "Connection: Upgrade\r\nUpgrade: TLS/1.0\r\n", EVIL),
        case(
            "CONNECT, and a request at once",
            "9110 §9.3.6",
            format!("CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n{EVIL}"),
        )
        .refused(&[400, 405, 501]),
    ]
}
