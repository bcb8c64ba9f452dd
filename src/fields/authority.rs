//! Host and port of a URL in one spelling, which requests, keys, tags and purges go by.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// In lower case, an address in its usual form, without the scheme's default port and a dot at the end, which name the same
/// host. `None` for what no host may be (RFC 3986 §3.2.2, §3.2.3).
pub fn normal(text: &str, scheme: Scheme) -> Option<String> {
    let name = without_port(text);
    let port = match text[name.len()..].strip_prefix(':') {
        // Numbers are read with a sign, which no port has.
        Some(port) => Some(port.parse::<u16>().ok().filter(|_| port.bytes().all(|b| b.is_ascii_digit()))?),
        None => None,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    let mut authority = String::with_capacity(text.len());
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => authority = format!("[{}]", address.parse::<Ipv6Addr>().ok()?),
        None if name.is_empty() || !name.bytes().all(is_of_a_name) => return None,
        None => authority.push_str(name),
    }
    authority.make_ascii_lowercase();
    let default_port = if scheme == Scheme::Https { 443 } else { 80 };
    if let Some(port) = port.filter(|&port| port != default_port) {
        authority.push(':');
        authority.push_str(itoa::Buffer::new().format(port));
    }
    Some(authority)
}

/// The host of an authority, without the port.
pub fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}

/// The address in an element of `X-Forwarded-For`: bare, in brackets, or with a port, as some proxies write it. An IPv4 address
/// in IPv6's form is the IPv4 address.
pub fn hop_address(text: &str) -> Option<IpAddr> {
    let bracketed = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || text.parse::<SocketAddr>().ok().map(|address| address.ip());
    text.parse::<IpAddr>().ok().or_else(bracketed).or_else(with_port).map(|ip| ip.to_canonical())
}

fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)
}

/// The scheme of the client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// TLS, here or at a trusted proxy.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_host_has_one_spelling_and_what_is_none_has_none() {
        let check = |text: &str, want: Option<&str>| assert_eq!(normal(text, Scheme::Http).as_deref(), want, "{text}");
        check("Clinic.Example", Some("clinic.example"));
        check("clinic.example.", Some("clinic.example"));
        check("clinic.example.:8080", Some("clinic.example:8080"));
        check("clinic.example:80", Some("clinic.example"));
        check("clinic.example:080", Some("clinic.example"));
        check("clinic.example.:80", Some("clinic.example"));
        check("clinic.example:443", Some("clinic.example:443"));
        check("[0:0::1]:81", Some("[::1]:81"));
        check("[2001:DB8::A]", Some("[2001:db8::a]"));
        for text in
            ["", ".", ":8080", ".:80", "h:", "h:+1", "h:65536", "h:x", "u@h", "h h", "h/a", "[::g]", "::1", "[::1"]
        {
            check(text, None);
        }
    }

    #[test]
    fn a_hop_is_an_address_however_it_is_written() {
        let check = |text: &str, want: &str| assert_eq!(hop_address(text), want.parse().ok(), "{text}");
        for text in ["1.2.3.4", "1.2.3.4:5678", "::ffff:1.2.3.4", "[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]:5678"] {
            check(text, "1.2.3.4");
        }
        for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:5678", "2001:DB8:0::1"] {
            check(text, "2001:db8::1");
        }
        for text in [
            "",
            "unknown",
            "_hidden",
            "1.2.3",
            "1.2.3.4:",
            "1.2.3.4:99999",
            "1.2.3.4:x",
            "[1.2.3.4]",
            "[::1",
            "::1]",
            "h:80",
        ] {
            assert_eq!(hop_address(text), None, "{text}");
        }
    }
}
