//! What a request that may change something makes invalid (RFC 9111 §4.4): which methods may, which ends of it count, and where
//! its answer points.

use http::StatusCode;

use crate::fields::authority::Scheme;
use crate::rules::caching::Caching;
use crate::rules::path::RequestPath;

/// How §4.4 is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocationReading {
    /// To the letter: successes and redirections, and URIs of the same origin.
    Letter,
    /// Rather too much: also the origin's own errors, before which it may have acted, and its host by whatever scheme and
    /// port, since origins behind other proxies often do not know theirs.
    Wide,
}

impl LocationReading {
    /// By the letter where the origin's headers alone decide.
    pub fn of(caching: &Caching) -> LocationReading {
        match caching {
            Caching::Http(_) => LocationReading::Letter,
            Caching::Named(_) | Caching::Pass => LocationReading::Wide,
        }
    }
}

/// Whether the origin says that it has not done it, or, read widely, that it may have.
pub fn is_undone(status: StatusCode, reading: LocationReading) -> bool {
    match reading {
        LocationReading::Letter => !is_done(status),
        LocationReading::Wide => status.is_client_error(),
    }
}

/// Whether a refused write says that what is there is not what its client had seen: it is gone, or another has changed it.
pub fn contradicts(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 409 | 410 | 412)
}

/// Whether it sends its client to another page: by 301, 302, 303, 307 or 308.
pub fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// A non-error answer is one with a status of the 2xx or 3xx classes.
pub fn is_done(status: StatusCode) -> bool {
    status.is_success() || status.is_redirection()
}

/// The URI of a request, as the client means it.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// Its scheme.
    pub scheme: Scheme,
    /// Host and port in lower case, without a default port.
    pub authority: &'a str,
    /// Another name of the same, by a trusted proxy's word.
    pub forwarded_host: Option<&'a str>,
    /// In normal form.
    pub path: &'a str,
}

/// The path that a `Location` or `Content-Location` names (RFC 3986 §5.2), in normal form, if it is of the same origin
/// (RFC 9110 §4.3.1). `None` for one that could be read in two ways.
pub fn same_origin_path(reference: &str, base: &Base<'_>, reading: LocationReading) -> Option<String> {
    let reference = reference.split(['?', '#']).next()?;
    let (scheme, rest) = split_scheme(reference);
    let path = match rest.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !base.is_at(scheme.unwrap_or(base.scheme.as_str()), authority, reading) {
                return None;
            }
            if path.is_empty() { "/".to_owned() } else { path.to_owned() }
        }
        None if scheme.is_some() => return None,
        None if rest.is_empty() => base.path.to_owned(),
        None if rest.starts_with('/') => rest.to_owned(),
        None => {
            let folder = base.path.rfind('/').map_or("/", |slash| &base.path[..=slash]);
            format!("{folder}{rest}")
        }
    };
    let path = RequestPath::new(&path);
    (path.text.starts_with('/') && path.ambiguity.is_none()).then(|| path.text.into_owned())
}

/// RFC 3986 §3.1.
fn split_scheme(reference: &str) -> (Option<&str>, &str) {
    let is_scheme = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    };
    match reference.split_once(':') {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, reference),
    }
}

impl Base<'_> {
    fn is_at(&self, scheme: &str, authority: &str, reading: LocationReading) -> bool {
        let (host, port) = split_port(authority);
        let host = host.strip_suffix('.').unwrap_or(host);
        let same_scheme = scheme.eq_ignore_ascii_case(self.scheme.as_str());
        let default_port = if self.scheme == Scheme::Https { "443" } else { "80" };
        let port = Some(port).filter(|port| !port.is_empty() && *port != default_port);
        [Some(self.authority), self.forwarded_host].into_iter().flatten().any(|own| {
            let (own_host, own_port) = split_port(own);
            let same_port = port.unwrap_or("") == own_port;
            host.eq_ignore_ascii_case(own_host) && (reading == LocationReading::Wide || same_scheme && same_port)
        })
    }
}

/// A colon inside of brackets belongs to an address.
fn split_port(authority: &str) -> (&str, &str) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_ends_count() {
        for (status, letter, wide) in [
            (200, true, true),
            (201, true, true),
            (204, true, true),
            (303, true, true),
            (304, true, true),
            (400, false, false),
            (404, false, false),
            (412, false, false),
            (500, false, true),
            (503, false, true),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(!is_undone(status, LocationReading::Letter), letter, "{status}");
            assert_eq!(!is_undone(status, LocationReading::Wide), wide, "{status}");
        }
    }

    #[test]
    fn where_an_answer_points() {
        let base = Base { scheme: Scheme::Https, authority: "a.example", forwarded_host: None, path: "/x/y" };
        let check = |reference: &str, letter: Option<&str>, wide: Option<&str>| {
            assert_eq!(same_origin_path(reference, &base, LocationReading::Letter).as_deref(), letter, "{reference}");
            assert_eq!(same_origin_path(reference, &base, LocationReading::Wide).as_deref(), wide, "{reference}");
        };
        let both = |reference: &str, want: Option<&str>| check(reference, want, want);
        // RFC 3986 §5.2
        both("/z", Some("/z"));
        both("/z?q=1#f", Some("/z"));
        both("z", Some("/x/z"));
        both("z/", Some("/x/z/"));
        both("./z", Some("/x/z"));
        both("../z", Some("/z"));
        both("../../../z", Some("/z"));
        both("", Some("/x/y"));
        both("?q=1", Some("/x/y"));
        both("#f", Some("/x/y"));
        both("z/a:b", Some("/x/z/a:b"));
        both("//a.example/z", Some("/z"));
        both("/%7Ez", Some("/~z"));
        // RFC 9110 §4.3.1: the same scheme, host and port
        both("https://a.example/z", Some("/z"));
        both("HTTPS://A.Example./z", Some("/z"));
        both("https://a.example:443/z", Some("/z"));
        both("https://a.example:/z", Some("/z"));
        both("https://a.example", Some("/"));
        both("https://a.example?q", Some("/"));
        check("http://a.example/z", None, Some("/z"));
        check("https://a.example:8443/z", None, Some("/z"));
        check("https://a.example:80/z", None, Some("/z"));
        check("//a.example:8443/z", None, Some("/z"));
        both("https://b.example/z", None);
        both("//b.example/z", None);
        both("https://a.example.b/z", None);
        both("https://user@a.example/z", None);
        both("https://[::1]/z", None);
        both("urn:isbn:1", None);
        both("https:z", None);
        // what could be read in two ways names nothing
        both("/a%2Fb", None);
        both("/a//b", None);
    }

    #[test]
    fn other_ports_and_names_of_the_same() {
        let base =
            Base { scheme: Scheme::Http, authority: "[::1]:8080", forwarded_host: Some("front.example"), path: "/" };
        let at = |reference: &str| same_origin_path(reference, &base, LocationReading::Letter).is_some();
        assert!(at("http://[::1]:8080/z") && at("http://front.example/z") && at("http://front.example:80/z"));
        assert!(!at("http://[::1]/z") && !at("http://front.example:8080/z") && !at("https://front.example/z"));
    }
}
