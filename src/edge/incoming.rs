//! A request's head on arrival: what belongs to this hop is taken off, what strangers may not say is dropped, and what is
//! known about the client is written down. Everything after works on end-to-end fields only.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::{self, HeaderName, HeaderValue};
use http::{Method, Uri, Version, request};
use smallvec::SmallVec;

use crate::asker::facet::certificate::Certificate;
use crate::body::upload::Expects;
use crate::fields::authority::{Scheme, normal, without_port};
use crate::fields::method::is_safe;
use crate::hop::fields::{
    is_certificate, is_forwarding, is_framing, is_method_override, is_override, same_field, tells_of_client,
};
use crate::hop::trust::Trust;
use crate::http1::head::HeadFault;

/// The client's end of a connection.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its address.
    pub ip: IpAddr,
    /// The same as text, made once for all requests on a connection.
    pub text: HeaderValue,
    /// The scheme of the connection itself.
    pub scheme: Scheme,
    /// The certificate that it showed, if it did; verified.
    pub certificate: Option<Arc<Certificate>>,
}

impl Peer {
    /// A client at this address.
    pub fn new(ip: IpAddr, scheme: Scheme) -> Peer {
        // The text of an address is a header's value.
        let text = HeaderValue::from_str(&ip.to_string()).unwrap_or(HeaderValue::from_static("unknown"));
        Peer { ip, text, scheme, certificate: None }
    }
}

/// What a head said about its own hop and its way here.
#[derive(Debug)]
pub struct Arrival {
    /// Host and port in lower case, without a default port; of an absolute-form target, its authority.
    pub authority: String,
    /// The client's scheme: the connection's, or what a trusted proxy says.
    pub scheme: Scheme,
    /// What a trusted proxy forwards for.
    pub forwarded: Forwarded,
    /// Whether the peer's word on forwarding is believed.
    pub trust: Trust,
    /// Whether a stranger says that it forwards for somebody.
    pub hearsay: Hearsay,
    /// A field is there that proxies add, whatever it says.
    pub through_proxy: bool,
    /// The id of this request, from a trusted proxy or new.
    pub request_id: HeaderValue,
    /// The protocol that it came by.
    pub version: Version,
    /// `TE: trailers`.
    pub trailers: Trailers,
    /// `Expect: 100-continue`.
    pub expects: Expects,
    /// `Upgrade`.
    pub upgrade: Upgrade,
    /// `Authorization`, as far as it is about the connection.
    pub signs_in: SignsIn,
}

/// Fields by which proxies in front tell of the client; empty for strangers.
#[derive(Debug, Default)]
pub struct Forwarded {
    /// `X-Forwarded-For` so far.
    pub chain: Option<HeaderValue>,
    /// `Forwarded` so far.
    pub standard: Option<HeaderValue>,
    /// `X-Forwarded-Host`.
    pub host: Option<HeaderValue>,
    /// `X-Forwarded-Proto`.
    scheme: Option<Scheme>,
    /// What the nearest proxy says in `Forwarded`.
    standard_scheme: Option<Scheme>,
}

/// Whether a peer that is not believed says whom it speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearsay {
    /// It does: it may be a proxy that hands on what others send.
    Told,
    /// It does not.
    None,
}

/// Whether the client takes trailers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trailers {
    /// `TE: trailers`.
    Accepted,
    /// Not said.
    Unsaid,
}

/// Whether the client asks for another protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upgrade {
    /// For WebSocket (RFC 6455).
    WebSocket,
    /// For something else.
    Other,
    /// It does not.
    No,
}

/// What a request signs in to the origin, beside itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignsIn {
    /// The connection that it goes out on, and with it whoever else's requests go out on that: NTLM, Negotiate (RFC 4559).
    Connection,
    /// Nothing.
    Nothing,
}

/// Why a head is refused; the connection closes with the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// RFC 9112 §3.2.
    Host,
    /// `Host` and an absolute-form target disagree.
    HostMismatch,
    /// Framing that two parties could read differently (RFC 9112 §6).
    Framing,
    /// Lines that two parties could read differently (RFC 9112 §2.2, §5).
    Syntax,
    /// A coding other than `chunked`.
    TransferCoding,
    /// HTTP, but neither 1.0 nor 1.1.
    Version,
    /// More bytes or more fields than are allowed.
    TooLong,
    /// An expectation other than `100-continue`.
    Expectation,
    /// CONNECT, or a target in a form that makes no sense here.
    Target,
    /// Passed through here several times already.
    Loop,
}

impl From<HeadFault> for Refusal {
    fn from(fault: HeadFault) -> Refusal {
        match fault {
            HeadFault::Coding => Refusal::TransferCoding,
            HeadFault::Syntax => Refusal::Syntax,
            HeadFault::Length | HeadFault::Both => Refusal::Framing,
            HeadFault::Version => Refusal::Version,
            HeadFault::Target => Refusal::Target,
            HeadFault::TooLong => Refusal::TooLong,
        }
    }
}

impl Arrival {
    /// Reads a head and leaves only its end-to-end fields, less those that strangers may not send.
    pub fn read(
        head: &mut request::Parts,
        peer: &Peer,
        trust: Trust,
        new_id: impl FnOnce() -> HeaderValue,
    ) -> Result<Arrival, Refusal> {
        let host = host(head)?;
        if head.version < Version::HTTP_11 && !head.headers.contains_key(header::HOST) {
            // The origin is asked in HTTP/1.1, which wants one.
            head.headers.insert(header::HOST, host.clone());
        }
        let mut arrival = Arrival {
            authority: String::new(),
            scheme: peer.scheme,
            forwarded: Forwarded::default(),
            trust,
            hearsay: Hearsay::None,
            through_proxy: false,
            request_id: HeaderValue::from_static(""),
            version: head.version,
            trailers: Trailers::Unsaid,
            expects: Expects::Nothing,
            upgrade: Upgrade::No,
            signs_in: SignsIn::Nothing,
        };
        let mut id = None;
        let mut hops = 0;
        let mut upgrade_named = false;
        let mut dropped: SmallVec<[HeaderName; 8]> = SmallVec::new();
        for (name, value) in &head.headers {
            match name.as_str() {
                "connection" => {
                    upgrade_named |= names_upgrade(value);
                    named_by_connection(value, &mut dropped);
                    dropped.push(header::CONNECTION);
                }
                "authorization" if signs_in_connection(value) => arrival.signs_in = SignsIn::Connection,
                "te" => {
                    if value.to_str().is_ok_and(|te| te.split(',').any(|t| t.trim().eq_ignore_ascii_case("trailers"))) {
                        arrival.trailers = Trailers::Accepted;
                    }
                    dropped.push(header::TE);
                }
                "upgrade" => {
                    arrival.upgrade = match value.as_bytes().eq_ignore_ascii_case(b"websocket") {
                        true if arrival.upgrade == Upgrade::No => Upgrade::WebSocket,
                        _ => Upgrade::Other,
                    };
                    dropped.push(header::UPGRADE);
                }
                "expect" => {
                    if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                        return Err(Refusal::Expectation);
                    }
                    if head.version >= Version::HTTP_11 {
                        arrival.expects = Expects::Continue;
                    }
                    dropped.push(header::EXPECT);
                }
                "cdn-loop" => arrival.through_proxy = true,
                "via" => {
                    arrival.through_proxy = true;
                    hops += value.to_str().map_or(0, |via| via.matches(" stent").count());
                }
                "keep-alive" | "proxy-connection" | "transfer-encoding" | "proxy-authorization" | "proxy" => {
                    dropped.push(name.clone());
                }
                "x-request-id" => {
                    id = (trust == Trust::Proxy && is_id(value)).then(|| value.clone());
                    dropped.push(name.clone());
                }
                text if same_field(text, "x-request-id") => dropped.push(name.clone()),
                text if is_forwarding(text) => {
                    arrival.through_proxy = true;
                    match trust {
                        Trust::Proxy => arrival.believe(text, value),
                        Trust::Stranger if tells_of_client(text) => arrival.hearsay = Hearsay::Told,
                        Trust::Stranger => {}
                    }
                    dropped.push(name.clone());
                }
                // RFC 9440 §4: who ends TLS for others says it, and nobody else.
                text if trust == Trust::Stranger && is_certificate(text) => dropped.push(name.clone()),
                // To WSGI these are the real ones.
                text if is_framing(text) => dropped.push(name.clone()),
                // Clients that know only POST name the method that they mean; it changes something either way.
                text if is_method_override(text) && !is_safe(&head.method) => {}
                // Proxies hand on what their clients say: nobody's word makes a GET a DELETE.
                text if is_override(text) => dropped.push(name.clone()),
                _ => {}
            }
        }
        // RFC 9110 §7.8: nobody asks for another protocol without naming it, or in HTTP/1.0.
        if !upgrade_named || head.version < Version::HTTP_11 {
            arrival.upgrade = Upgrade::No;
        }
        if hops >= MAX_HOPS {
            return Err(Refusal::Loop);
        }
        dropped.iter().filter(|name| !never_dropped(name)).for_each(|name| drop(head.headers.remove(name)));
        arrival.settle_scheme();
        // By the client's scheme, which a trusted proxy may have told just now.
        let host = host.to_str().ok().and_then(|host| normal(host, arrival.scheme));
        arrival.authority = host.ok_or(Refusal::Host)?;
        // Last: what is wrong with it besides is known by then.
        check_target(&head.method, &head.uri, peer.scheme)?;
        arrival.request_id = id.unwrap_or_else(new_id);
        Ok(arrival)
    }

    /// The forwarded host where it is another than the request's own: part of the key.
    pub fn other_host(&self) -> Option<&str> {
        let host = self.forwarded.host.as_ref()?.to_str().ok()?;
        (!host.eq_ignore_ascii_case(&self.authority)).then_some(host)
    }

    /// The same, as purges name it.
    pub fn other_host_named(&self) -> Option<String> {
        self.other_host()?;
        normal(self.forwarded.host.as_ref()?.to_str().ok()?, self.scheme)
    }

    /// The host without its port, as routes match it.
    pub fn host_name(&self) -> &str {
        without_port(&self.authority)
    }

    /// `X-Forwarded-Proto` goes first: a proxy that sets one of the two and hands on the other mostly sets that one.
    fn settle_scheme(&mut self) {
        let Forwarded { scheme, standard_scheme, .. } = &self.forwarded;
        self.scheme = scheme.or(*standard_scheme).unwrap_or(self.scheme);
    }

    fn believe(&mut self, name: &str, value: &HeaderValue) {
        match name {
            "x-forwarded-for" => self.forwarded.chain = Some(joined(self.forwarded.chain.take(), value)),
            "forwarded" => {
                // Whom it was for is handed on, and the scheme is believed. The host is not: proxies that know nothing of this field
                // hand on what their clients write into it, and origins make links of it.
                self.forwarded.standard_scheme = nearest_scheme(value);
                let Some(value) = only_for(value) else { return };
                self.forwarded.standard = Some(joined(self.forwarded.standard.take(), &value));
            }
            "x-forwarded-host" => self.forwarded.host = Some(value.clone()),
            "x-forwarded-proto" => {
                // The proxy nearest to us speaks last.
                let last = value.as_bytes().rsplit(|&b| b == b',').next().unwrap_or_default().trim_ascii();
                self.forwarded.scheme = Some(scheme(last));
            }
            _ => {}
        }
    }
}

/// How often a request may pass here before it is a loop.
const MAX_HOPS: usize = 4;

/// The `for` parameters of a `Forwarded` field (RFC 7239 §4).
fn only_for(value: &HeaderValue) -> Option<HeaderValue> {
    let pairs = value.to_str().ok()?.split([',', ';']).map(str::trim);
    let own = pairs.filter(|pair| pair.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("for=")));
    HeaderValue::from_str(&own.collect::<Vec<_>>().join(", ")).ok().filter(|value| !value.is_empty())
}

fn scheme(name: &[u8]) -> Scheme {
    if name.eq_ignore_ascii_case(b"https") { Scheme::Https } else { Scheme::Http }
}

/// The scheme that the last element of a `Forwarded` field names (RFC 7239 §5.4).
fn nearest_scheme(value: &HeaderValue) -> Option<Scheme> {
    let mut quoted = false;
    let outside = |separator: u8| {
        move |b: &u8| {
            quoted ^= *b == b'"';
            *b == separator && !quoted
        }
    };
    let last = value.as_bytes().split(outside(b',')).next_back().unwrap_or_default();
    let pairs = last.split(outside(b';')).map(<[u8]>::trim_ascii);
    let named = pairs.filter_map(|pair| Some(pair.split_at(pair.iter().position(|&b| b == b'=')?)));
    let value =
        named.filter(|(name, _)| name.eq_ignore_ascii_case(b"proto")).map(|(_, value)| &value[1..]).next_back()?;
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
    Some(scheme(bare))
}

fn joined(before: Option<HeaderValue>, value: &HeaderValue) -> HeaderValue {
    let Some(before) = before else { return value.clone() };
    HeaderValue::from_bytes(&[before.as_bytes(), b", ", value.as_bytes()].concat()).unwrap_or(before)
}

/// Exactly one `Host` (RFC 9112 §3.2). HTTP/1.0 may do without: the health checks of some load balancers do.
pub(crate) fn host(head: &request::Parts) -> Result<HeaderValue, Refusal> {
    let mut hosts = head.headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next(), head.uri.authority()) {
        (Some(host), None, None) => Ok(host.clone()),
        // §3.2.2: the target's authority counts, and the two must not disagree.
        (Some(host), None, Some(authority)) => {
            match host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes()) {
                true => Ok(host.clone()),
                false => Err(Refusal::HostMismatch),
            }
        }
        (None, None, None) if head.version < Version::HTTP_11 => Ok(HeaderValue::from_static("localhost")),
        (None, None, Some(authority)) if head.version < Version::HTTP_11 => {
            HeaderValue::from_str(authority.as_str()).map_err(|_| Refusal::Host)
        }
        _ => Err(Refusal::Host),
    }
}

/// Whether a head asks about the server as a whole, and about no resource (RFC 9110 §9.3.7).
pub fn is_of_the_server(head: &request::Parts) -> bool {
    head.method == Method::OPTIONS && head.uri.path() == "*"
}

fn check_target(method: &Method, uri: &Uri, scheme: Scheme) -> Result<(), Refusal> {
    if method == Method::CONNECT || !uri.path().starts_with('/') {
        return Err(Refusal::Target);
    }
    match uri.scheme_str() {
        None => Ok(()),
        // A stranger's absolute form cannot change what the connection is.
        Some(named) if named.eq_ignore_ascii_case(scheme.as_str()) => Ok(()),
        Some(_) => Err(Refusal::Target),
    }
}

fn named_by_connection(value: &HeaderValue, dropped: &mut SmallVec<[HeaderName; 8]>) {
    let Ok(text) = value.to_str() else { return };
    for option in text.split(',').map(str::trim).filter(|option| !option.is_empty()) {
        if !option.eq_ignore_ascii_case("close") && !option.eq_ignore_ascii_case("keep-alive") {
            dropped.extend(HeaderName::from_bytes(option.as_bytes()).ok());
        }
    }
}

fn names_upgrade(value: &HeaderValue) -> bool {
    value.as_bytes().split(|&b| b == b',').any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Whether the scheme of an `Authorization` is one that signs in a connection.
fn signs_in_connection(value: &HeaderValue) -> bool {
    let scheme = value.as_bytes().split(|b| matches!(b, b' ' | b'\t' | b',')).next().unwrap_or_default();
    [b"ntlm".as_slice(), b"negotiate"].iter().any(|named| scheme.eq_ignore_ascii_case(named))
}

/// What `Connection` cannot take away: the request would mean something else.
fn never_dropped(name: &HeaderName) -> bool {
    name == header::HOST || name == header::CONTENT_LENGTH
}

/// Visible ASCII, not too long: it goes into logs and headers.
fn is_id(value: &HeaderValue) -> bool {
    (1..=128).contains(&value.len())
        && value.as_bytes().iter().all(|b| b.is_ascii_alphanumeric() || b"-_.:+/=".contains(b))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::upstream::settings::ToldBy;

    fn read(trust: Trust, lines: &[(&'static str, &'static str)]) -> Result<(Arrival, HeaderMap), Refusal> {
        read_at("/", trust, lines)
    }

    fn read_at(
        uri: &'static str,
        trust: Trust,
        lines: &[(&'static str, &'static str)],
    ) -> Result<(Arrival, HeaderMap), Refusal> {
        let mut request = http::Request::builder().uri(uri).body(()).unwrap();
        for (name, value) in lines {
            request.headers_mut().append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let (mut head, ()) = request.into_parts();
        let peer = Peer::new("192.0.2.7".parse().unwrap(), Scheme::Http);
        let arrival = Arrival::read(&mut head, &peer, trust, || HeaderValue::from_static("new"))?;
        let mut told = head.headers.clone();
        arrival.tell_origin(&mut told, &peer, ToldBy::Both);
        Ok((arrival, told))
    }

    #[test]
    fn fields_of_this_hop_stay_here() {
        let lines = [
            ("host", "h"),
            ("connection", "close, X-Private, cache-control, Upgrade"),
            ("x-private", "1"),
            ("cache-control", "no-store"),
            ("keep-alive", "5"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("proxy-authorization", "x"),
            ("x-kept", "1"),
        ];
        let (arrival, told) = read(Trust::Stranger, &lines).unwrap();
        assert_eq!((arrival.trailers, arrival.upgrade), (Trailers::Accepted, Upgrade::WebSocket));
        let gone = ["connection", "x-private", "cache-control", "keep-alive", "te", "upgrade", "proxy-authorization"];
        gone.iter().for_each(|name| assert!(!told.contains_key(*name), "{name}"));
        assert_eq!(told["x-kept"], "1");
        assert_eq!(told["via"], "1.1 stent");
    }

    #[test]
    fn schemes_that_sign_in_a_connection_are_known_in_any_case() {
        let check = |value: &'static str, want: SignsIn| {
            let (arrival, told) = read(Trust::Stranger, &[("host", "h"), ("authorization", value)]).unwrap();
            assert_eq!((arrival.signs_in, told["authorization"].to_str().unwrap()), (want, value));
        };
        for value in ["NTLM TlRM", "ntlm TlRM", "Negotiate YII=", "NEGOTIATE\tYII=", "negotiate"] {
            check(value, SignsIn::Connection);
        }
        for value in ["Bearer NTLM", "Basic TlRM", "NTLMv2 x", "Digest username=\"ntlm\"", ""] {
            check(value, SignsIn::Nothing);
        }
        let two = [("host", "h"), ("authorization", "NTLM a"), ("authorization", "Basic b")];
        assert_eq!(read(Trust::Stranger, &two).unwrap().0.signs_in, SignsIn::Connection);
    }

    /// RFC 9110 §7.6.3.
    #[test]
    fn via_names_the_protocol_that_a_request_came_by() {
        for (version, via) in [(Version::HTTP_10, "1.0 stent"), (Version::HTTP_11, "1.1 stent")] {
            let request = http::Request::builder().uri("/").version(version).header("host", "h").body(()).unwrap();
            let peer = Peer::new("192.0.2.7".parse().unwrap(), Scheme::Http);
            let id = || HeaderValue::from_static("new");
            let arrival = Arrival::read(&mut request.into_parts().0, &peer, Trust::Stranger, id).unwrap();
            let mut told = HeaderMap::new();
            arrival.tell_origin(&mut told, &peer, ToldBy::Both);
            assert_eq!(told["via"], via);
        }
    }

    #[test]
    fn strangers_cannot_speak_for_others() {
        let lines = [
            ("host", "H.example:80"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x_forwarded_host", "evil"),
            ("forwarded", "for=1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-original-url", "/admin"),
            ("x-http-method-override", "DELETE"),
            ("x-request-id", "theirs"),
        ];
        let (arrival, told) = read(Trust::Stranger, &lines).unwrap();
        assert_eq!((arrival.authority.as_str(), arrival.scheme), ("h.example", Scheme::Http));
        assert_eq!(told["x-forwarded-for"], "192.0.2.7");
        assert_eq!(told["x-forwarded-host"], "h.example");
        assert_eq!(told["forwarded"], "for=192.0.2.7;host=h.example;proto=http");
        assert_eq!(told["x-request-id"], "new");
        assert!(!told.contains_key("x-original-url") && !told.contains_key("x-http-method-override"));
        assert!(!told.contains_key("x_forwarded_host"));
    }

    #[test]
    fn trusted_proxies_are_believed_and_added_to() {
        let lines = [
            ("host", "h"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-host", "www.example"),
            ("x-forwarded-proto", "http, https"),
            ("forwarded", "host=inner.example;for=1.1.1.1;proto=http"),
            ("x-http-method-override", "DELETE"),
            ("x-request-id", "theirs-1"),
        ];
        let (arrival, told) = read(Trust::Proxy, &lines).unwrap();
        assert_eq!((arrival.scheme, arrival.other_host()), (Scheme::Https, Some("www.example")));
        assert_eq!(told["x-forwarded-for"], "1.1.1.1, 192.0.2.7");
        assert_eq!(told["x-forwarded-host"], "www.example");
        assert_eq!(told["forwarded"], "for=1.1.1.1, for=192.0.2.7;host=h;proto=https");
        assert_eq!(told["x-request-id"], "theirs-1");
        assert!(!told.contains_key("x-http-method-override"));
    }

    #[test]
    fn both_fields_name_the_client_that_a_trusted_proxy_speaks_for() {
        for (chain, want) in [
            ("1.2.3.4", "for=1.2.3.4, "),
            ("1.2.3.4:5678", "for=1.2.3.4, "),
            ("2001:db8::1", "for=\"[2001:db8::1]\", "),
            ("[2001:db8::1]", "for=\"[2001:db8::1]\", "),
            ("[2001:db8::1]:5678", "for=\"[2001:db8::1]\", "),
            ("::ffff:1.2.3.4", "for=1.2.3.4, "),
            ("9.9.9.9, 1.2.3.4:1,10.0.0.1", "for=9.9.9.9, for=1.2.3.4, for=10.0.0.1, "),
            ("unknown, _hidden", "for=unknown, for=_hidden, "),
            ("1.2.3.4;host=evil", "for=unknown, "),
            ("_a\";host=evil", "for=unknown, "),
            ("\", for=127.0.0.1", "for=unknown, for=unknown, "),
            (" , ,", ""),
        ] {
            // The proxy may hand on what its client wrote into the field that it does not know.
            for more in [&[][..], &[("forwarded", "proto=http")], &[("forwarded", "for=127.0.0.1")]] {
                let lines = [&[("host", "h"), ("x-forwarded-for", chain)], more].concat();
                let told = read(Trust::Proxy, &lines).unwrap().1;
                assert_eq!(told["forwarded"], format!("{want}for=192.0.2.7;host=h;proto=http"), "{chain} {more:?}");
                assert_eq!(told["x-forwarded-for"], format!("{chain}, 192.0.2.7"), "{chain}");
            }
            let told = read(Trust::Stranger, &[("host", "h"), ("x-forwarded-for", chain)]).unwrap().1;
            assert_eq!(told["forwarded"], "for=192.0.2.7;host=h;proto=http", "{chain}");
        }
        let two = [("host", "h"), ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "[::2]:80")];
        assert_eq!(
            read(Trust::Proxy, &two).unwrap().1["forwarded"],
            "for=1.1.1.1, for=\"[::2]\", for=192.0.2.7;host=h;proto=http"
        );
        let alone = [("host", "h"), ("forwarded", "for=1.1.1.1;proto=http")];
        assert_eq!(read(Trust::Proxy, &alone).unwrap().1["forwarded"], "for=1.1.1.1, for=192.0.2.7;host=h;proto=http");
    }

    #[test]
    fn the_standard_field_of_a_trusted_proxy_tells_the_scheme_and_no_host() {
        for (field, scheme) in [
            ("for=9.9.9.9;proto=https;host=www.example", Scheme::Https),
            ("proto=https", Scheme::Https),
            ("for=\"[2001:db8::1]:4711\";Proto=\"HTTPS\";host=\"www.example:8443\"", Scheme::Https),
            ("for=a;proto=https, for=b;proto=http", Scheme::Http),
            ("for=\"a,b;proto=https\"", Scheme::Http),
        ] {
            let arrival =
                |trust, more: &[_]| read(trust, &[&[("host", "h"), ("forwarded", field)], more].concat()).unwrap().0;
            let told = arrival(Trust::Proxy, &[]);
            assert_eq!((told.other_host(), told.scheme), (None, scheme), "{field}");
            assert_eq!(arrival(Trust::Stranger, &[]).scheme, Scheme::Http, "{field}");
            assert_eq!(arrival(Trust::Proxy, &[("x-forwarded-proto", "http")]).scheme, Scheme::Http, "{field}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let refused = |lines: &[(&'static str, &'static str)]| read(Trust::Stranger, lines).err();
        assert_eq!(refused(&[]), Some(Refusal::Host));
        let older = |lines: &[(&'static str, &'static str)]| {
            let mut request = http::Request::builder().version(Version::HTTP_10).body(()).unwrap();
            for (name, value) in lines {
                request.headers_mut().append(*name, HeaderValue::from_static(value));
            }
            let (mut head, peer) = (request.into_parts().0, Peer::new("192.0.2.7".parse().unwrap(), Scheme::Http));
            Arrival::read(&mut head, &peer, Trust::Stranger, || HeaderValue::from_static("new")).map(|it| it.authority)
        };
        assert_eq!(older(&[]), Ok("localhost".to_owned()), "health checks in HTTP/1.0");
        assert_eq!(older(&[("host", "a"), ("host", "a")]), Err(Refusal::Host));
        assert_eq!(refused(&[("host", "a"), ("host", "a")]), Some(Refusal::Host));
        assert_eq!(refused(&[("host", "a b")]), Some(Refusal::Host));
        assert_eq!(refused(&[("host", "a/b")]), Some(Refusal::Host));
        assert_eq!(refused(&[("host", "a:")]), Some(Refusal::Host));
        for host in ["a:b", "[::1", "a]b:1", "::1", "[", "a..:x", "a:80:80", "a:99999", ":80"] {
            assert_eq!(refused(&[("host", host)]), Some(Refusal::Host), "{host}");
        }
        assert_eq!(read(Trust::Stranger, &[("host", "[::1]:080")]).unwrap().0.authority, "[::1]");
        assert_eq!(read(Trust::Stranger, &[("host", "A.:81")]).unwrap().0.authority, "a:81");
        let tls = [("host", "a:443"), ("x-forwarded-proto", "https")];
        assert_eq!(read(Trust::Proxy, &tls).unwrap().0.authority, "a");
        assert_eq!(refused(&[("host", "a"), ("expect", "magic")]), Some(Refusal::Expectation));
        assert_eq!(
            refused(&[("host", "a"), ("via", "1.1 stent, 1.1 stent, 1.1 stent, 1.1 stent")]),
            Some(Refusal::Loop)
        );
        let other = read_at("http://b/", Trust::Stranger, &[("host", "a")]).err();
        assert_eq!(other, Some(Refusal::HostMismatch));
        assert!(read_at("http://a/", Trust::Stranger, &[("host", "a")]).is_ok());
    }
}
