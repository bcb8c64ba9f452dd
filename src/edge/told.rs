//! What the origin is told of the client and of us: `Via`, `Forwarded`, `X-Forwarded-*`, `X-Request-Id`.

use std::net::IpAddr;

use http::Version;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::incoming::{Arrival, Peer};
use crate::fields::authority::hop_address;
use crate::hop::fields::X_REQUEST_ID;
use crate::upstream::settings::ToldBy;

impl Arrival {
    /// Adds it to a head, in place of what that says of it.
    pub fn tell_origin(&self, headers: &mut HeaderMap, peer: &Peer, by: ToldBy) {
        self.each_told(peer, by, |name, pieces| {
            // What came in fields, and words of ours, make a value.
            let Ok(value) = HeaderValue::from_bytes(&pieces.concat()) else { return };
            if name != header::VIA {
                headers.remove(&name);
            }
            headers.append(name, value);
        });
    }

    /// The same as lines, for a head that says nothing of it yet: most are only passed on, and a map is not needed for that.
    pub fn told(&self, peer: &Peer, by: ToldBy) -> Vec<u8> {
        let mut lines = Vec::with_capacity(256);
        self.each_told(peer, by, |name, pieces| {
            let line =
                [name.as_str().as_bytes(), b": "].into_iter().chain(pieces.iter().copied()).chain([&b"\r\n"[..]]);
            line.for_each(|piece| lines.extend_from_slice(piece));
        });
        lines
    }

    /// Each field with its value in pieces.
    fn each_told(&self, peer: &Peer, by: ToldBy, mut tell: impl FnMut(HeaderName, &[&[u8]])) {
        const BETWEEN: &[u8] = b", ";
        let scheme = self.scheme.as_str().as_bytes();
        if matches!(by, ToldBy::Both | ToldBy::XForwarded) {
            match &self.forwarded.chain {
                Some(chain) => tell(X_FORWARDED_FOR, &[chain.as_bytes(), BETWEEN, peer.text.as_bytes()]),
                None => tell(X_FORWARDED_FOR, &[peer.text.as_bytes()]),
            }
            tell(X_FORWARDED_PROTO, &[scheme]);
            // As it is keyed: in lower case, or another that is part of the key.
            tell(X_FORWARDED_HOST, &[self.other_host().unwrap_or(&self.authority).as_bytes()]);
        }
        if matches!(by, ToldBy::Both | ToldBy::Standard) {
            self.tell_standard(peer, &mut tell);
        }
        // RFC 9110 §7.6.3: by which protocol it came to us.
        let version: &[u8] = if self.version == Version::HTTP_10 { b"1.0" } else { b"1.1" };
        tell(header::VIA, &[version, b" stent"]);
        tell(X_REQUEST_ID, &[self.request_id.as_bytes()]);
    }

    /// RFC 7239. Quotes stand where its grammar wants them and nowhere else: some origins take them for a part of the name.
    fn tell_standard(&self, peer: &Peer, tell: &mut impl FnMut(HeaderName, &[&[u8]])) {
        const BETWEEN: &[u8] = b", ";
        let scheme = self.scheme.as_str().as_bytes();
        // Both fields name the same clients. A proxy that appends to `X-Forwarded-For` may hand on a `Forwarded` that its client
        // wrote, so that one counts only alone.
        let chain = self.forwarded.chain.as_ref().map(|chain| standard_chain(chain.as_bytes()));
        let standard = self.forwarded.standard.as_ref().map(HeaderValue::as_bytes);
        let before = chain.as_deref().or(standard).unwrap_or_default();
        let between = if before.is_empty() { &b""[..] } else { BETWEEN };
        let (open, close): (&[u8], &[u8]) = if peer.ip.is_ipv6() { (b"\"[", b"]\"") } else { (b"", b"") };
        let (client, host) = (peer.text.as_bytes(), self.authority.as_bytes());
        let quote: &[u8] = if host.iter().all(is_token) { b"" } else { b"\"" };
        let pieces = [before, between, b"for=", open, client, close, b";host=", quote, host, quote, b";proto=", scheme];
        tell(header::FORWARDED, &pieces);
    }
}

/// `X-Forwarded-For` as elements of `Forwarded` (RFC 7239 §7.4). Ports are left out; what is no address and no name that hides
/// one (§6.3) is `unknown`.
fn standard_chain(chain: &[u8]) -> Vec<u8> {
    let hops = chain.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|hop| !hop.is_empty());
    let hops = hops.map(|hop| match std::str::from_utf8(hop).ok().and_then(hop_address) {
        Some(IpAddr::V6(ip)) => format!("for=\"[{ip}]\""),
        Some(IpAddr::V4(ip)) => format!("for={ip}"),
        None if hop.starts_with(b"_") && hop.iter().all(is_token) => format!("for={}", String::from_utf8_lossy(hop)),
        None => "for=unknown".to_owned(),
    });
    hops.collect::<Vec<_>>().join(", ").into_bytes()
}

fn is_token(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b)
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
