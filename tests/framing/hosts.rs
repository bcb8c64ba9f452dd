//! Exactly one `Host`, and a target that agrees with it (RFC 9112 §3.2, RFC 9110 §4.2 and §7.2).

use crate::case::{Case, EVIL, case};

fn host(name: &str, section: &'static str, lines: &str) -> Case {
    case(name, section, format!("GET /one HTTP/1.1\r\n{lines}\r\n"))
}

fn absolute(name: &str, section: &'static str, target: &str, host: &str) -> Case {
    case(name, section, format!("GET {target} HTTP/1.1\r\n{host}\r\n"))
}

pub fn cases() -> Vec<Case> {
    let one_host = "9112 §3.2";
    let form = "9112 §3.2.2";
    let uri = "9110 §4.2";
    let good = |name: &str, lines: &str| host(name, one_host, lines).passed("GET", "/one", "");
    let bad = |name: &str, lines: &str| host(name, one_host, lines).refused(&[400]);
    let unclear = |name: &str, lines: &str| bad(name, lines).passed("GET", "/one", "");
    let mut cases = vec![
        good("one Host", "Host: h\r\n"),
        good("a Host in upper case", "HOST: H\r\n"),
        good("a Host with whitespace around it", "Host: \t h \t \r\n"),
        good("a Host right behind the colon", "Host:h\r\n"),
        good("a Host with a port", "Host: h:8080\r\n"),
        good("a Host that is an IPv6 address", "Host: [::1]:80\r\n"),
        good("a Host that comes last", "X-A: 1\r\nX-B: 2\r\nHost: h\r\n"),
        bad("no Host", ""),
        bad("no Host, and a request behind it", &format!("\r\n{EVIL}")),
        bad("two equal Hosts", "Host: h\r\nHost: h\r\n"),
        bad("two different Hosts", "Host: h\r\nHost: other\r\n"),
        bad("two Hosts in different case", "Host: h\r\nhOST: other\r\n"),
        bad("two Hosts, one of them empty", "Host: h\r\nHost:\r\n"),
        bad("an empty Host", "Host:\r\n"),
        bad("a Host of whitespace", "Host: \t \r\n"),
        bad("a Host with a space in it", "Host: h other\r\n"),
        bad("a Host with a tab in it", "Host: h\tother\r\n"),
        bad("a list of Hosts", "Host: h, other\r\n"),
        bad("a Host with a path", "Host: h/one\r\n"),
        bad("a Host with a query", "Host: h?x\r\n"),
        bad("a Host with a fragment", "Host: h#x\r\n"),
        bad("a Host with a user", "Host: user@h\r\n"),
        bad("a Host with a user and a password", "Host: user:secret@h\r\n"),
        bad("a Host with a backslash", "Host: h\\other\r\n"),
        bad("a Host with a NUL", "Host: h\0\r\n"),
        bad("a Host with a control character", "Host: h\x01\r\n"),
        bad("a Host in 8 bits", "Host: h\u{e9}\r\n"),
        bad("a Host with quotes", "Host: \"h\"\r\n"),
        bad("a Host with angle brackets", "Host: <h>\r\n"),
        bad("a Host that is a URI", "Host: http://h\r\n"),
        bad("a port that is no number", "Host: h:port\r\n"),
        bad("a negative port", "Host: h:-1\r\n"),
        bad("a port with a sign", "Host: h:+80\r\n"),
        bad("a port beyond 65535", "Host: h:65536\r\n"),
        bad("two ports", "Host: h:80:81\r\n"),
        bad("a port alone", "Host: :80\r\n"),
        bad("an IPv6 address without brackets", "Host: ::1\r\n"),
        bad("an IPv6 address without its end", "Host: [::1\r\n"),
        bad("an IPv6 address and more", "Host: [::1]h\r\n"),
        bad("a Host folded into the next line", "Host:\r\n h\r\n"),
        unclear("an empty port", "Host: h:\r\n"),
        unclear("a Host that ends in a dot", "Host: h.\r\n"),
        unclear("a Host with an underscore", "Host: a_b\r\n"),
    ];
    cases.extend([
        absolute("an absolute target that agrees", form, "http://h/one", "Host: h\r\n").passed("GET", "/one", ""),
        absolute("an absolute target that agrees in another case", form, "HTTP://H/one", "Host: h\r\n")
            .passed("GET", "/one", ""),
        absolute("an absolute target with a query", form, "http://h/one?a=b", "Host: h\r\n")
            .passed("GET", "/one?a=b", ""),
        absolute("an absolute target without a path", form, "http://h", "Host: h\r\n").passed("GET", "/", ""),
        absolute("an absolute target without a path, but with a query", form, "http://h?a=b", "Host: h\r\n")
            .passed("GET", "/?a=b", "")
            .refused(&[400]),
        absolute("an absolute target with a default port that Host leaves out", form, "http://h:80/one", "Host: h\r\n")
            .passed("GET", "/one", "")
            .refused(&[400]),
        absolute("an absolute target of another host", form, "http://other/one", "Host: h\r\n").refused(&[400]),
        absolute("an absolute target of another port", form, "http://h:81/one", "Host: h:82\r\n").refused(&[400]),
        absolute("an absolute target without a Host", one_host, "http://h/one", "").refused(&[400]),
        absolute("an absolute target with two Hosts", one_host, "http://h/one", "Host: h\r\nHost: h\r\n")
            .refused(&[400]),
        absolute("an absolute target with an empty Host", one_host, "http://h/one", "Host:\r\n").refused(&[400]),
        absolute("an absolute target with a user", uri, "http://user@h/one", "Host: h\r\n").refused(&[400]),
        absolute("an absolute target without a host", uri, "http:///one", "Host: h\r\n").refused(&[400]),
        absolute("an absolute target with a scheme that is not spoken here", uri, "https://h/one", "Host: h\r\n")
            .refused(&[400, 421]),
        absolute("an absolute target with a scheme that nobody speaks", uri, "gopher://h/one", "Host: h\r\n")
            .refused(&[400]),
        case("HTTP/1.0 with a Host", "9112 §3.2", "GET /one HTTP/1.0\r\nHost: h\r\n\r\n")
            .passed_last("GET", "/one", ""),
        case("HTTP/1.0 without a Host", "9112 §3.2", "GET /one HTTP/1.0\r\n\r\n")
            .refused(&[400])
            .passed_last("GET", "/one", ""),
        case("HTTP/1.0 with two Hosts", "9112 §3.2", "GET /one HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n").refused(&[400]),
    ]);
    cases
}
