//! What a caller names by a URL: put into the form that a request for it would have, or refused where no request could match.

use std::borrow::Cow;

use http::StatusCode;

use crate::control::admin::problem::problem;
use crate::edge::error::Problem;
use crate::entry::tag::TagSet;
use crate::fields::authority::{self, Scheme};
use crate::fields::percent::decode;
use crate::proxy::current::Proxy;
use crate::rules::path::RequestPath;

/// `http://host/path?query` or `/path?query`; the latter means every host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    /// In its usual form; empty for every one.
    pub(crate) host: String,
    /// In normal form.
    pub(crate) path: String,
    query: Option<String>,
}

/// Whether one URL is named, or all below a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum As {
    /// One, or one path with any query.
    Url,
    /// A path and all below it.
    Prefix,
}

/// Why nothing is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unread {
    /// Another scheme than those of the web.
    Scheme,
    /// A host that is none.
    Host,
    /// A path that no request is kept by.
    Path,
    /// A star that would have to be a pattern.
    Pattern,
}

impl Named {
    /// Reads it as a browser reads what is typed.
    pub(crate) fn read(text: &str, meant: As) -> Result<Named, Unread> {
        let text = text.trim_matches(|c: char| c <= ' ').replace(['\t', '\n', '\r'], "");
        let (host, rest) = match text.split_once("://").filter(|_| !text.starts_with('/')) {
            None => (String::new(), &*text),
            Some((scheme, rest)) => {
                let scheme = match scheme.to_ascii_lowercase().as_str() {
                    "http" => Scheme::Http,
                    "https" => Scheme::Https,
                    _ => return Err(Unread::Scheme),
                };
                let end = rest.find(['/', '\\', '?', '#']).unwrap_or(rest.len());
                // Whoever names a host that is none means some host, not every one.
                (authority::normal(&decode(&rest[..end]), scheme).ok_or(Unread::Host)?, &rest[end..])
            }
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let path = if path.is_empty() && !host.is_empty() { "/" } else { path };
        let path = encoded(&path.replace('\\', "/")).into_owned();
        let normal = RequestPath::new(&path);
        let is_path = path.starts_with('/') && normal.ambiguity.is_none();
        if !is_path && !path.contains('*') {
            return Err(Unread::Path);
        }
        if path.contains('*') || meant == As::Url && query.is_some_and(|query| query != "*" && query.contains('*')) {
            return Err(Unread::Pattern);
        }
        Ok(Named { host, path: normal.text.into_owned(), query: query.map(|query| encoded(query).into_owned()) })
    }

    /// All variants and partitions of the URL; with `?*` any query.
    pub(super) fn url(&self, proxy: &Proxy, record: &mut TagSet) {
        proxy.name_url(&self.host, &self.path, self.query.as_deref(), record);
    }
}

/// What cannot stand in a request's target, percent-encoded (<https://url.spec.whatwg.org/#path-percent-encode-set>).
fn encoded(text: &str) -> Cow<'_, str> {
    let is_bad = |byte: u8| byte <= b' ' || byte >= 0x7f || b"\"<>`{}^".contains(&byte);
    if !text.bytes().any(is_bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        match is_bad(byte) {
            true => out.push_str(&format!("%{byte:02X}")),
            false => out.push(byte as char),
        }
    }
    Cow::Owned(out)
}

impl Unread {
    /// What a caller is told.
    pub(super) fn problem(self) -> Problem {
        match self {
            Unread::Scheme => NOT_OF_THE_WEB,
            Unread::Host => NOT_A_HOST,
            Unread::Path => NOT_A_URL,
            Unread::Pattern => A_PATTERN,
        }
    }

    /// What to write in place of that, on the command line.
    pub(crate) fn hint(self, text: &str) -> String {
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        match self {
            Unread::Scheme => format!("write http://{rest} or https://{rest}"),
            Unread::Host if !text.is_ascii() => "write the host as it is sent, in ASCII: xn--…".to_owned(),
            Unread::Host => "write http://host/path, or /path for every host".to_owned(),
            Unread::Path if !text.contains("://") && !text.starts_with('/') && !text.is_empty() => {
                format!("write http://{text}, or /{text} for every host")
            }
            Unread::Path => {
                "no answer is kept by a path with encoded slashes, empty segments or broken escapes".to_owned()
            }
            Unread::Pattern if !path.contains('*') => {
                debug_assert!(query.is_some());
                format!("write stent purge --url '{path}?*' for any query; a star itself is %2A")
            }
            Unread::Pattern => {
                let before = path.split('*').next().unwrap_or("");
                let folder = before.rsplit_once('/').map_or("", |(folder, _)| folder);
                let folder =
                    if folder.is_empty() || folder.ends_with('/') || folder.ends_with(':') { "/" } else { folder };
                match path.trim_end_matches('*') == before && before.ends_with('/') {
                    true => format!("write stent purge --prefix {folder}; a star itself is %2A"),
                    false => format!(
                        "purge by a tag that those answers carry, or all of stent purge --prefix {folder}; a star itself is %2A"
                    ),
                }
            }
        }
    }
}

const NOT_A_URL: Problem = problem(
    StatusCode::BAD_REQUEST,
    "not-a-url",
    "URLs and prefixes are http://host/path or /path, without encoded slashes or empty segments; add ?* for any query.",
);
const NOT_OF_THE_WEB: Problem = problem(
    StatusCode::BAD_REQUEST,
    "not-a-url",
    "URLs and prefixes begin with http:// or https://, or with a slash for every host.",
);
const NOT_A_HOST: Problem = problem(
    StatusCode::BAD_REQUEST,
    "not-a-url",
    "This host is none; write it as it is sent (xn--… where it is not ASCII), or a path alone for every host.",
);
pub(crate) const A_PATTERN: Problem = problem(
    StatusCode::BAD_REQUEST,
    "a-pattern",
    "A star is no pattern in a URL: /path?* takes any query, the prefix /img all below it, and what ends in .jpg is purged by a tag; a star itself is %2A.",
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_a_browser_reads_it() {
        let check = |text: &str, host: &str, path: &str, query: Option<&str>| {
            let query = query.map(str::to_owned);
            let want = Named { host: host.to_owned(), path: path.to_owned(), query };
            assert_eq!(Named::read(text, As::Url), Ok(want), "{text}");
        };
        check("/a b", "", "/a%20b", None);
        check(" /a/./b/../c\n", "", "/a/c", None);
        check("/a/%2e%2E/c", "", "/c", None);
        check("/é?q=ü \"", "", "/%C3%A9", Some("q=%C3%BC%20%22"));
        check("/%7ejo{x}", "", "/~jo%7Bx%7D", None);
        check("HTTPS://Clinic.Example:443\\a\\b#c", "clinic.example", "/a/b", None);
        check("http://cl%69nic.example?*", "clinic.example", "/", Some("*"));
        check("/a?*", "", "/a", Some("*"));
        check("/a%2Ab?q=%2a", "", "/a%2Ab", Some("q=%2a"));
    }

    #[test]
    fn what_no_request_can_match_is_refused_with_what_to_write() {
        let check = |text: &str, meant: As, want: Unread, hint: &str| {
            let unread = Named::read(text, meant).unwrap_err();
            assert_eq!(unread, want, "{text}");
            assert!(unread.hint(text).contains(hint), "{text}: {}", unread.hint(text));
        };
        check("/img/*", As::Url, Unread::Pattern, "stent purge --prefix /img;");
        check("/img/**", As::Prefix, Unread::Pattern, "stent purge --prefix /img;");
        check("/*", As::Prefix, Unread::Pattern, "stent purge --prefix /;");
        check("http://h/img/*", As::Url, Unread::Pattern, "--prefix http://h/img;");
        check("/img/*.jpg", As::Url, Unread::Pattern, "by a tag");
        check("*.jpg", As::Url, Unread::Pattern, "by a tag");
        check("/q*", As::Prefix, Unread::Pattern, "by a tag");
        check("/q*?*", As::Url, Unread::Pattern, "by a tag");
        check("/q?n=*", As::Url, Unread::Pattern, "--url '/q?*'");
        check("/q?n=5*", As::Url, Unread::Pattern, "--url '/q?*'");
        check("ftp://h/a", As::Url, Unread::Scheme, "http://h/a or https://h/a");
        check("http://*.h/a", As::Url, Unread::Host, "/path for every host");
        check("http://kliník.example/a", As::Url, Unread::Host, "xn--");
        check("clinic.example/a", As::Prefix, Unread::Path, "http://clinic.example/a");
        check("/a//b", As::Url, Unread::Path, "empty segments");
        check("/a%2Fb", As::Url, Unread::Path, "encoded slashes");
        check("/50%", As::Url, Unread::Path, "broken escapes");
        check("", As::Url, Unread::Path, "no answer");
    }
}
