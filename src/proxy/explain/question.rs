//! A request that is asked about.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderName, HeaderValue, Method, Request, Uri, header};

use crate::edge::incoming::{Peer, Trust};
use crate::key::Scheme;

/// A request that is asked about, as people write it. It may hold credentials, so it cannot be printed.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// Its method.
    pub method: String,
    /// `http://clinic.example/path?query`, or a path on `localhost`.
    pub url: String,
    /// Its headers.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// Whether it comes from one of `trusted_proxies`.
    #[serde(default)]
    pub from_trusted_proxy: bool,
}

impl Question {
    /// The head as it would arrive, and the client that would send it.
    pub(super) fn read(&self) -> Result<(http::request::Parts, Peer, Trust), &'static str> {
        let method = Method::from_bytes(self.method.as_bytes()).map_err(|_| "the method cannot be one")?;
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
        Ok((head, Peer::new(IpAddr::V4(Ipv4Addr::LOCALHOST), scheme), trust))
    }
}

const NO_URL: &str = "the URL is http://host/path, https://host/path or /path";
