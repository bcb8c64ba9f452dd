//! A method, a space, a target, a space, a version (RFC 9112 §3).

use crate::case::{After, Case, HOST, case};

/// A request line with CRLF, `Host`, and the end.
fn line(name: &str, section: &'static str, line: &str) -> Case {
    case(name, section, format!("{line}\r\n{HOST}\r\n"))
}

pub fn cases() -> Vec<Case> {
    let shape = "9112 §3";
    let version = "9112 §2.3";
    let target = "9112 §3.2";
    let methods = "9110 §9.1";
    let good = |case: Case| case.passed("GET", "/one", "");
    let bad = |name: &str, text: &str| line(name, shape, text).refused(&[400]);
    let other_version = |name: &str, text: &str| line(name, version, &format!("GET /one {text}")).refused(&[400, 505]);
    let unclear = |name: &str, path: &str| {
        line(name, target, &format!("GET {path} HTTP/1.1")).refused(&[400]).passed("GET", path, "")
    };
    vec![
        good(line("a request line", shape, "GET /one HTTP/1.1")),
        line("a target with a query", target, "GET /one?a=b&c=/%20? HTTP/1.1").passed("GET", "/one?a=b&c=/%20?", ""),
        line("an empty query", target, "GET /one? HTTP/1.1").passed("GET", "/one?", "").passed("GET", "/one", ""),
        bad("two spaces behind the method", "GET  /one HTTP/1.1"),
        bad("two spaces before the version", "GET /one  HTTP/1.1"),
        bad("a tab behind the method", "GET\t/one HTTP/1.1"),
        bad("a tab before the version", "GET /one\tHTTP/1.1"),
        bad("a vertical tab before the version", "GET /one\x0bHTTP/1.1"),
        bad("a space at the end", "GET /one HTTP/1.1 "),
        bad("a tab at the end", "GET /one HTTP/1.1\t"),
        bad("a word at the end", "GET /one HTTP/1.1 HTTP/1.1"),
        bad("a space in the target", "GET /one two HTTP/1.1"),
        bad("a version in the target", "GET /one HTTP/1.1 /two HTTP/1.1"),
        bad("no target", "GET HTTP/1.1"),
        bad("an empty target", "GET  HTTP/1.1"),
        bad("no method", "/one HTTP/1.1"),
        bad("an empty method", " /one HTTP/1.1"),
        bad("a method alone", "GET"),
        bad("a method and a space", "GET "),
        bad("no version", "GET /one").closed(),
        bad("no version, but a space", "GET /one ").closed(),
        case("HTTP/0.9", version, "GET /one\r\n\r\n").refused(&[400, 505]).closed(),
        bad("a NUL in the target", "GET /o\0ne HTTP/1.1"),
        bad("a control character in the target", "GET /o\x01ne HTTP/1.1"),
        bad("a DEL in the target", "GET /o\x7fne HTTP/1.1"),
        bad("a NUL in the method", "G\0ET /one HTTP/1.1"),
        bad("8 bits in the method", "G\u{c9}T /one HTTP/1.1"),
        bad("a colon in the method", "GET: /one HTTP/1.1"),
        bad("a parenthesis in the method", "GE(T /one HTTP/1.1"),
        bad("quotes in the method", "\"GET\" /one HTTP/1.1"),
        other_version("HTTP/0.9 in words", "HTTP/0.9"),
        other_version("HTTP/2.0", "HTTP/2.0"),
        other_version("HTTP/2", "HTTP/2"),
        other_version("HTTP/3.0", "HTTP/3.0"),
        other_version("HTTP/9.9", "HTTP/9.9"),
        other_version("HTTP/1.10", "HTTP/1.10"),
        other_version("HTTP/01.1", "HTTP/01.1"),
        other_version("HTTP/1.1.1", "HTTP/1.1.1"),
        other_version("HTTP/1.", "HTTP/1."),
        other_version("HTTP/1", "HTTP/1"),
        other_version("HTTP/11", "HTTP/11"),
        other_version("HTTP/+1.1", "HTTP/+1.1"),
        other_version("HTTP/1,1", "HTTP/1,1"),
        other_version("HTTP/1.x", "HTTP/1.x"),
        other_version("http/1.1 in lower case", "http/1.1"),
        other_version("HTTPS/1.1", "HTTPS/1.1"),
        other_version("ICY/1.1", "ICY/1.1"),
        other_version("no name of a protocol", "1.1"),
        // RFC 9110 §2.5: a higher minor version is to be treated as the highest that is known.
        good(other_version("HTTP/1.2", "HTTP/1.2")),
        good(other_version("HTTP/1.9", "HTTP/1.9")),
        line("a method in lower case is another method", methods, "get /one HTTP/1.1")
            .passed("get", "/one", "")
            .refused(&[400, 405, 501]),
        line("a method that nobody knows", methods, "BREW /one HTTP/1.1")
            .passed("BREW", "/one", "")
            .refused(&[400, 405, 501]),
        line("a method of all that a token may have", methods, "!#$%&'*+-.^_`|~09aZ /one HTTP/1.1")
            .passed("!#$%&'*+-.^_`|~09aZ", "/one", "")
            .refused(&[400, 405, 501]),
        line("a method of 16 KiB", shape, &format!("{} /one HTTP/1.1", "A".repeat(16 << 10)))
            .refused(&[400, 414, 431, 501]),
        line("DELETE", methods, "DELETE /one HTTP/1.1").passed("DELETE", "/one", ""),
        line("TRACE", "9110 §9.3.8", "TRACE /one HTTP/1.1").passed("TRACE", "/one", "").refused(&[400, 405, 501]),
        // It is about this server: nothing of it need reach the one behind.
        line("OPTIONS of the server", "9112 §3.2.4", "OPTIONS * HTTP/1.1")
            .passed("OPTIONS", "*", "")
            .wanting(&[&[200, 204]], After::Open, &[])
            .refused(&[400, 404, 405, 501]),
        line("a GET of the server", "9112 §3.2.4", "GET * HTTP/1.1").refused(&[400]),
        line("CONNECT", "9112 §3.2.3", "CONNECT h:80 HTTP/1.1").refused(&[400, 405, 501]),
        line("CONNECT to a path", "9112 §3.2.3", "CONNECT /one HTTP/1.1").refused(&[400, 405, 501]),
        line("CONNECT to a URI", "9112 §3.2.3", "CONNECT http://h/one HTTP/1.1").refused(&[400, 405, 501]),
        line("a GET of an authority", "9112 §3.2.3", "GET h:80 HTTP/1.1").refused(&[400]),
        line("a GET of a host", "9112 §3.2.3", "GET h HTTP/1.1").refused(&[400]),
        line("a target without its slash", target, "GET one/two HTTP/1.1").refused(&[400]),
        line("a query alone", target, "GET ?a=b HTTP/1.1").refused(&[400]),
        line("a fragment alone", target, "GET #a HTTP/1.1").refused(&[400]),
        unclear("a fragment", "/one#two").passed("GET", "/one", ""),
        unclear("8 bits in the target", "/\u{fc}"),
        unclear("UTF-8 in the target", "/ü"),
        unclear("quotes in the target", "/\"one\""),
        unclear("angle brackets in the target", "/<one>"),
        unclear("a backslash in the target", "/one\\two"),
        unclear("braces in the target", "/{one}"),
        unclear("a caret in the target", "/^one"),
        unclear("two slashes at the start of the target", "//two"),
        unclear("a percent sign that escapes nothing", "/%zz"),
        line("a target of 6 KiB", shape, &format!("GET /{} HTTP/1.1", "a".repeat(6 << 10))).passed(
            "GET",
            &format!("/{}", "a".repeat(6 << 10)),
            "",
        ),
        line("a target of 16 KiB", shape, &format!("GET /{} HTTP/1.1", "a".repeat(16 << 10))).refused(&[400, 414, 431]),
        line("a target of a MiB", shape, &format!("GET /{} HTTP/1.1", "a".repeat(1 << 20))).refused(&[400, 414, 431]),
        line(
            "a target of 70 KiB, longer than sixteen bits count",
            shape,
            &format!("GET /{} HTTP/1.1", "a".repeat(70 << 10)),
        )
        .refused(&[400, 414, 431]),
        line("HTTP/1.0 is the last on its connection", version, "GET /one HTTP/1.0").passed_last("GET", "/one", ""),
        case(
            "HTTP/1.0 that asks to be kept alive",
            version,
            format!("GET /one HTTP/1.0\r\n{HOST}Connection: keep-alive\r\n\r\n"),
        )
        .passed_once("GET", "/one", ""),
    ]
}
