//! Host and port of a request in one spelling, which keys and purges go by.

use http::HeaderValue;

use super::incoming::Refusal;
use crate::key::Scheme;

/// Lower case, without the scheme's default port and a dot at the end, which name the same host; only what a host may be.
pub(super) fn authority(host: &HeaderValue, scheme: Scheme) -> Result<String, Refusal> {
    let text = host.to_str().map_err(|_| Refusal::Host)?;
    let name = without_port(text);
    let port = text.strip_prefix(name).and_then(|port| port.strip_prefix(':'));
    // Numbers are read with a sign, which no port has.
    let port = port.map(|port| port.parse::<u16>().ok().filter(|_| port.bytes().all(|b| b.is_ascii_digit())));
    let port = port.map(|port| port.ok_or(Refusal::Host)).transpose()?;
    let name = name.strip_suffix('.').unwrap_or(name);
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let is_host = match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)),
    };
    if !is_host {
        return Err(Refusal::Host);
    }
    let default_port = if scheme == Scheme::Https { 443 } else { 80 };
    let mut authority = String::with_capacity(text.len());
    authority.push_str(name);
    authority.make_ascii_lowercase();
    if let Some(port) = port.filter(|&port| port != default_port) {
        authority.push(':');
        authority.push_str(itoa::Buffer::new().format(port));
    }
    Ok(authority)
}

/// The host of an authority, without the port.
pub fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority[colon..].contains(']') => &authority[..colon],
        _ => authority,
    }
}
