//! A request that is asked about.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request, Uri, header};

use crate::asker::facet::certificate::{Authorities, Certificate, SubjectField};
use crate::edge::incoming::Peer;
use crate::fields::authority::Scheme;
use crate::ground::clock::wall;
use crate::hop::trust::Trust;

/// A request that is asked about, as people write it. It may hold credentials, so it cannot be printed.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuestion {
    /// Its method.
    pub method: String,
    /// `http://clinic.example/path?query`, or a path on `localhost`.
    pub url: String,
    /// Its headers.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Fields of the certificate that its client shows, and that holds: `o` and the like, with their values.
    #[serde(default)]
    pub certificate: Vec<(String, String)>,
    /// Whether it comes from one of `trusted_proxies`.
    #[serde(default)]
    pub from_trusted_proxy: bool,
    /// When it is asked: `2026-11-21T14:00:00Z`, `+10m`, `-5m`; otherwise now.
    #[serde(default)]
    pub at: Option<String>,
}

impl ExplainQuestion {
    /// The head as it would arrive, and the client that would send it.
    pub(super) fn read(
        &self,
        authorities: Option<Authorities>,
    ) -> Result<(http::request::Parts, Peer, Trust), &'static str> {
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| "the method cannot be one")?;
        if self.url.bytes().any(|b| b == b'#' || b >= 0x80) {
            return Err(NOT_SENT_SO);
        }
        let uri: Uri = self.url.parse().map_err(|_| NO_URL)?;
        let scheme = match uri.scheme_str() {
            None if self.url.starts_with('/') => Scheme::Http,
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            _ => return Err(NO_URL),
        };
        let authority = uri.authority().map_or("localhost", |authority| authority.as_str());
        if authority.contains('@') {
            return Err("the URL holds a user; send `Authorization` as a header");
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let mut head = Request::builder().method(method).uri(target).body(()).map_err(|_| NO_URL)?.into_parts().0;
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| "a header's name cannot be one")?;
            let value = HeaderValue::from_str(value.trim()).map_err(|_| "a header's value cannot be one")?;
            head.headers.append(name, value);
        }
        if !head.headers.contains_key(header::HOST) {
            let host = HeaderValue::from_str(authority).map_err(|_| NO_URL)?;
            head.headers.insert(header::HOST, host);
        }
        let trust = if self.from_trusted_proxy { Trust::Proxy } else { Trust::Stranger };
        let mut peer = Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), scheme);
        if !self.certificate.is_empty() {
            peer.certificate = Some(Arc::new(self.certificate(authorities)?));
        }
        Ok((head, peer, trust))
    }

    fn certificate(&self, authorities: Option<Authorities>) -> Result<Certificate, &'static str> {
        let verified_by = authorities.ok_or("there is no `server.tls.client_ca` to verify a certificate by")?;
        let field = |(name, value): &(String, String)| Some((SubjectField::named(name)?, Some(value.clone())));
        let fields = self.certificate.iter().map(field).collect::<Option<_>>();
        let fields = fields.ok_or("a field of the certificate cannot be one; `o`, `ou` and `cn` can")?;
        // For as long as the question takes.
        let expires = wall() + Duration::from_secs(3600);
        Ok(Certificate { fields, expires, verified_by })
    }
}

const NOT_SENT_SO: &str =
    "a request with such a URL is refused (`target`): browsers send it percent-encoded, and without what follows `#`";
const NO_URL: &str = "the URL is http://host/path, https://host/path or /path";
