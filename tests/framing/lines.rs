//! Lines that end in CRLF, names that are tokens, values without CR, LF and NUL (RFC 9112 §2.2 and §5, RFC 9110 §5.5).

use crate::case::{Case, HOST, case, get};

pub fn cases() -> Vec<Case> {
    let ends = "9112 §2.2";
    let fields = "9112 §5";
    let folding = "9112 §5.2";
    let values = "9110 §5.5";
    let names = "9110 §5.1";
    let large = "9110 §5.4";
    let good = |case: Case| case.passed("GET", "/one", "");
    let bad = |case: Case| case.refused(&[400]);
    let unclear = |case: Case| good(bad(case));
    let before = |name: &str, text: &str| case(name, ends, format!("{text}GET /one HTTP/1.1\r\n{HOST}\r\n"));
    let mut cases = vec![
        good(get("a field", fields, "X-A: b\r\n")),
        good(get("a field without whitespace", fields, "X-A:b\r\n")),
        good(get("a field without a value", values, "X-A:\r\n")),
        good(get("a value of whitespace", values, "X-A: \t \r\n")),
        good(get("a value with a colon", values, "X-A: b:c\r\n").with("x-a: b:c")),
        good(get("a value with a tab in it", values, "X-A: b\tc\r\n").with("x-a: b\tc")),
        good(get("a name of all that a token may have", names, "!#$%&'*+-.^_`|~09azAZ: b\r\n")),
        good(get("a name of 300 characters", names, &format!("X-{}: b\r\n", "a".repeat(300)))),
        good(get("ninety fields", large, &"X-A: b\r\n".repeat(90))),
        good(get("six KiB of fields", large, &format!("X-A: {}\r\n", "b".repeat(6 << 10)))),
        bad(case("bare LFs only", ends, "GET /one HTTP/1.1\nHost: h\n\n")),
        bad(case("a bare LF behind the request line", ends, "GET /one HTTP/1.1\nHost: h\r\n\r\n")),
        bad(get("a bare LF behind a field", ends, "X-A: b\n")),
        bad(case("a bare LF at the end", ends, "GET /one HTTP/1.1\r\nHost: h\r\n\n")),
        bad(case("two bare LFs at the end", ends, "GET /one HTTP/1.1\r\nHost: h\n\n")),
        bad(get("a bare LF in a value, and a field behind it", ends, "X-A: b\nX-B: c\r\n")),
        bad(case("a bare CR in the request line", ends, "GET /one\r HTTP/1.1\r\nHost: h\r\n\r\n")),
        bad(case("a bare CR behind the request line", ends, "GET /one HTTP/1.1\rHost: h\r\n\r\n")),
        bad(get("a bare CR in a value", ends, "X-A: b\rc\r\n")),
        bad(get("a bare CR before a value", ends, "X-A:\rb\r\n")),
        bad(get("a bare CR behind a value", ends, "X-A: b\r\r\n")),
        bad(get("a bare CR in a name", ends, "X\rA: b\r\n")),
        bad(get("a bare CR for a field", ends, "\r\r\n")),
        bad(case("two CRs at the end", ends, "GET /one HTTP/1.1\r\nHost: h\r\n\r\r\n\r\n")),
        bad(get("a NUL in a value", values, "X-A: b\0c\r\n")),
        bad(get("a NUL alone for a value", values, "X-A: \0\r\n")),
        bad(get("a NUL in a name", names, "X\0A: b\r\n")),
        unclear(get("a control character in a value", values, "X-A: b\x01c\r\n")),
        unclear(get("a backspace in a value", values, "X-A: b\x08\r\n")),
        unclear(get("a vertical tab in a value", values, "X-A: \x0bb\r\n")),
        unclear(get("a form feed in a value", values, "X-A: b\x0c\r\n")),
        unclear(get("an escape in a value", values, "X-A: \x1b[2J\r\n")),
        unclear(get("a DEL in a value", values, "X-A: b\x7f\r\n")),
        unclear(get("8 bits in a value", values, "X-A: \u{e9}\u{ff}\r\n")),
        unclear(get("UTF-8 in a value", values, "X-A: ü€\r\n")),
        bad(get("folded with a space", folding, "X-A: b\r\n c\r\n")),
        bad(get("folded with a tab", folding, "X-A: b\r\n\tc\r\n")),
        bad(get("folded with nothing but whitespace", folding, "X-A: b\r\n \r\n")),
        bad(get("folded so that the next line looks like a field", folding, "X-A: b\r\n Content-Length: 5\r\n")),
        bad(case("a space before the first field", ends, "GET /one HTTP/1.1\r\n Host: h\r\n\r\n")),
        bad(case("a tab before the first field", ends, "GET /one HTTP/1.1\r\n\tHost: h\r\n\r\n")),
        bad(case("whitespace for the first field", ends, "GET /one HTTP/1.1\r\n \r\nHost: h\r\n\r\n")),
        bad(get("a space before the colon", "9112 §5.1", "X-A : b\r\n")),
        bad(get("a tab before the colon", "9112 §5.1", "X-A\t: b\r\n")),
        bad(case("a space before the colon of Host", "9112 §5.1", "GET /one HTTP/1.1\r\nHost : h\r\n\r\n")),
        bad(get("a field without a name", fields, ": b\r\n")),
        bad(get("a colon alone", fields, ":\r\n")),
        bad(get("a field without a colon", fields, "X-A\r\n")),
        bad(get("a field of several words without a colon", fields, "X-A b c\r\n")),
    ];
    for wrong in
        [" ", "(", ")", ",", "/", ";", "<", "=", ">", "?", "@", "[", "\\", "]", "{", "}", "\"", "\x7f", "\u{e9}"]
    {
        cases.push(bad(get(format!("{wrong:?} in a name"), names, &format!("X{wrong}A: b\r\n"))));
    }
    cases.extend([
        good(before("one empty line before a request", "\r\n")),
        unclear(before("two empty lines before a request", "\r\n\r\n")),
        unclear(before("ten empty lines before a request", &"\r\n".repeat(10))),
        bad(before("ten thousand empty lines before a request", &"\r\n".repeat(10_000))).refused(&[431]).closed(),
        unclear(before("a bare LF before a request", "\n")),
        bad(before("a bare CR before a request", "\r")),
        bad(before("a space before a request", " ")),
        bad(before("a NUL before a request", "\0")),
        bad(before("an empty line with a space before a request", " \r\n")),
        bad(before("a byte order mark before a request", "\u{ef}\u{bb}\u{bf}")),
        get("a field of 16 KiB", large, &format!("X-A: {}\r\n", "b".repeat(16 << 10))).refused(&[400, 431]),
        get("a name of 16 KiB", large, &format!("X-{}: b\r\n", "a".repeat(16 << 10))).refused(&[400, 431]),
        get("a field of a MiB", large, &format!("X-A: {}\r\n", "b".repeat(1 << 20))).refused(&[400, 431]),
        get("16 KiB of fields", large, &format!("X-A: {}\r\n", "b".repeat(300)).repeat(54)).refused(&[400, 431]),
        get("a hundred and one fields", large, &"X-A: b\r\n".repeat(101)).refused(&[400, 431]),
        get("a thousand fields", large, &"X-A: b\r\n".repeat(1000)).refused(&[400, 431]),
        get("a head that does not end", large, &"X-A: b\r\n".repeat(20_000)).refused(&[400, 431]),
        case("cut in the request line", ends, "GET /one HT").half_closed().refused(&[400, 408]).closed(),
        case("cut in a field", ends, "GET /one HTTP/1.1\r\nHost: h\r\nX-A: b")
            .half_closed()
            .refused(&[400, 408])
            .closed(),
        case("cut before the end of a head", ends, "GET /one HTTP/1.1\r\nHost: h\r\n")
            .half_closed()
            .refused(&[400, 408])
            .closed(),
        case("nothing at all", ends, "").half_closed().closed(),
        case("an empty line and nothing else", ends, "\r\n").half_closed().refused(&[400]).closed(),
        bad(case("an answer", "9112 §2.1", "HTTP/1.1 200 OK\r\nHost: h\r\n\r\n")).refused(&[505]),
        bad(case("a TLS hello", "9112 §3", "\x16\x03\x01\0\u{a5}\x01\0\0\u{a1}\x03\x03\r\n\r\n")).closed(),
        bad(case("the preface of HTTP/2", "9112 §2.3", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")).refused(&[505]).closed(),
    ]);
    cases
}
