//! One `Content-Length`, in digits (RFC 9110 §8.6, RFC 9112 §6.2 and §6.3).

use crate::case::{After, Case, EVIL, HOST, case, post};

pub fn cases() -> Vec<Case> {
    let one_number = "9110 §8.6";
    let length = "9112 §6.3";
    let hello = |name: &str, lines: &str| post(name, one_number, lines, "hello").passed("POST", "/one", "hello");
    let bad = |name: &str, lines: &str| post(name, one_number, lines, "hello").refused(&[400]);
    let unclear = |name: &str, lines: &str| hello(name, lines).refused(&[400]);
    let huge = |name: &str, number: &str| {
        post(name, length, &format!("Content-Length: {number}\r\n"), "hello").refused(&[400, 413])
    };
    let nested = EVIL.len();
    vec![
        hello("a length", "Content-Length: 5\r\n"),
        hello("a length right behind the colon", "Content-Length:5\r\n"),
        hello("a length with whitespace around it", "Content-Length: \t5 \t\r\n"),
        hello("a length whose name is in another case", "cOnTeNt-LeNgTh: 5\r\n"),
        post("a length of nothing", length, "Content-Length: 0\r\n", "").passed("POST", "/one", ""),
        unclear("leading zeros", "Content-Length: 0005\r\n"),
        unclear("so many leading zeros that they overflow something", "Content-Length: 000000000000000000000005\r\n"),
        unclear("two equal lengths", "Content-Length: 5\r\nContent-Length: 5\r\n"),
        unclear("a list of equal lengths", "Content-Length: 5, 5\r\n"),
        bad("two different lengths", "Content-Length: 5\r\nContent-Length: 6\r\n"),
        bad("two different lengths, the shorter one last", "Content-Length: 6\r\nContent-Length: 5\r\n"),
        bad("two lengths, one of nothing", "Content-Length: 0\r\nContent-Length: 5\r\n"),
        bad("two lengths with another field between", "Content-Length: 5\r\nX: y\r\ncontent-length: 4\r\n"),
        bad("two lengths, one empty", "Content-Length: 5\r\nContent-Length:\r\n"),
        bad("two lengths, one no number", "Content-Length: 5\r\nContent-Length: five\r\n"),
        bad("two lengths of the same value written differently", "Content-Length: 5\r\nContent-Length: +5\r\n"),
        bad("a list of different lengths", "Content-Length: 5, 6\r\n"),
        bad("a list with nothing behind its comma", "Content-Length: 5,\r\n"),
        bad("a list with nothing before its comma", "Content-Length: ,5\r\n"),
        bad("no number at all", "Content-Length:\r\n"),
        bad("whitespace for a number", "Content-Length:  \t\r\n"),
        bad("a plus sign", "Content-Length: +5\r\n"),
        bad("a minus sign", "Content-Length: -5\r\n"),
        bad("minus nothing", "Content-Length: -0\r\n"),
        bad("hexadecimal", "Content-Length: 0x5\r\n"),
        bad("a hexadecimal digit", "Content-Length: a\r\n"),
        bad("a fraction", "Content-Length: 5.0\r\n"),
        bad("an exponent", "Content-Length: 5e0\r\n"),
        bad("an underscore in a number", "Content-Length: 0_5\r\n"),
        bad("a space in a number", "Content-Length: 0 5\r\n"),
        bad("a tab in a number", "Content-Length: 0\t5\r\n"),
        bad("quotes around a number", "Content-Length: \"5\"\r\n"),
        bad("a parameter behind a number", "Content-Length: 5;q=1\r\n"),
        bad("a word behind a number", "Content-Length: 5 bytes\r\n"),
        bad("a number in words", "Content-Length: five\r\n"),
        bad("a digit of another script", "Content-Length: ５\r\n"),
        bad("a vertical tab before a number", "Content-Length: \x0b5\r\n"),
        bad("a form feed behind a number", "Content-Length: 5\x0c\r\n"),
        bad("a NUL behind a number", "Content-Length: 5\0\r\n"),
        bad("a bare CR behind a number", "Content-Length: 5\rX\r\n"),
        bad("a space before the colon of a length", "Content-Length : 5\r\n"),
        bad("a tab before the colon of a length", "Content-Length\t: 5\r\n"),
        bad("a folded length", "Content-Length:\r\n 5\r\n"),
        bad("a length that goes on in the next line", "Content-Length: 0\r\n 5\r\n"),
        huge("2^63", "9223372036854775808"),
        huge("2^64", "18446744073709551616"),
        huge("2^64 + 5", "18446744073709551621"),
        huge("2^32 + 5, beyond the bound", "4294967301"),
        huge("thirty nines", "999999999999999999999999999999"),
        huge("one more than the bound", "102401"),
        post("an underscore for the hyphen: to some this is a length", one_number, "Content_Length: 5\r\n", "")
            .passed("POST", "/one", "")
            .refused(&[400]),
        case("a GET with a body", "9110 §9.3.1", format!("GET /one HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhello"))
            .passed("GET", "/one", "hello")
            .refused(&[400]),
        case(
            "a GET whose body looks like a request",
            "9112 §6.3",
            format!("GET /one HTTP/1.1\r\n{HOST}Content-Length: {nested}\r\n\r\n{EVIL}"),
        )
        .passed("GET", "/one", EVIL)
        .refused(&[400]),
        case(
            "a HEAD with a body",
            "9110 §9.3.2",
            format!("HEAD /one HTTP/1.1\r\n{HOST}Content-Length: 5\r\n\r\nhello"),
        )
        .passed("HEAD", "/one", "hello")
        .refused(&[400]),
        case(
            "an OPTIONS whose body looks like a request",
            "9112 §6.3",
            format!("OPTIONS /one HTTP/1.1\r\n{HOST}Content-Length: {nested}\r\n\r\n{EVIL}"),
        )
        .passed("OPTIONS", "/one", EVIL)
        .refused(&[400]),
        post("a body that looks like a request", length, &format!("Content-Length: {nested}\r\n"), EVIL)
            .passed("POST", "/one", EVIL),
        case("a body in HTTP/1.0", length, "POST /one HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
            .passed_last("POST", "/one", "hello"),
        post("a body without a length", length, "", "hello\r\n\r\n")
            .wanting(&[&[200], &[400]], After::Closed, &[("POST", "/one", "")])
            .refused(&[400, 411]),
        post("a body longer than its length", length, "Content-Length: 3\r\n", "hello\r\n\r\n").wanting(
            &[&[200], &[400]],
            After::Closed,
            &[("POST", "/one", "hel")],
        ),
        post("a body shorter than its length", length, "Content-Length: 6\r\n", "hello")
            .half_closed()
            .broken_off(&[400, 408])
            .closed(),
        post("a length and no body", length, "Content-Length: 5\r\n", "")
            .half_closed()
            .broken_off(&[400, 408])
            .closed(),
        post("a body as long as is allowed", length, "Content-Length: 102400\r\n", &"x".repeat(102_400)).passed(
            "POST",
            "/one",
            &"x".repeat(102_400),
        ),
    ]
}
