//! Purges as callers of other caches word them, so that what speaks to those can speak to us with another base URL: Fastly's
//! API, Souin's API, and the methods by which PHP frameworks speak to Varnish and to Symfony's own cache.
//!
//! Each becomes a [`Purge`] and is answered, once that is acknowledged, as its caller expects. What would take a search by a
//! regular expression is refused with 501: there is no list of keys to search.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::body::Body;
use crate::control::admin::json_answer;
use crate::control::admin::problem::problem;
use crate::control::admin::purge::{Purge, Receipt};
use crate::edge::error::Problem;
use crate::entry::purge::Strength;
use crate::fields::percent::decode;
use crate::hop::answer::{TAG_FIELDS, listed_tags};
use crate::proxy::purging::strength_asked;
use crate::rules::route::PURGE;

/// A purge in another's words.
#[derive(Debug)]
pub(super) struct Foreign {
    /// What it means.
    pub(super) purge: Purge,
    answer: Answer,
}

/// What its caller expects to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// `{"status":"ok","id":"3"}`.
    Id,
    /// `{"status":"ok"}`.
    Ok,
    /// `{"a":"3","b":"3"}`.
    IdByTag,
    /// 204.
    Nothing,
}

const SOUIN: &str = "/souin-api/";

/// Whether a call is one of these.
pub(super) fn is_foreign(head: &Parts) -> bool {
    let path = head.uri.path();
    let posted = head.method == Method::POST && (path.starts_with("/service/") || path.starts_with("/purge/"));
    posted || path.starts_with(SOUIN) || matches!(head.method.as_str(), PURGE | "PURGEKEYS" | "PURGETAGS" | "BAN")
}

/// Reads a call; `port` is the admin's own.
pub(super) fn read(head: &Parts, body: &Bytes, port: u16) -> Result<Foreign, Problem> {
    let path = head.uri.path();
    let mut foreign = match (head.method.as_str(), path.strip_prefix(SOUIN)) {
        (method, Some(rest)) => souin(method, rest, head, body)?,
        ("POST", None) => fastly(path, head, body)?,
        ("PURGEKEYS", None) => xkey(head)?,
        ("BAN", None) => return Err(BY_EXPRESSION),
        _ => {
            // Some name tags, and whatever URL; others mean the URL.
            let tags: Vec<String> = TAG_FIELDS.iter().flat_map(|name| listed_tags(&head.headers, name)).collect();
            match tags.is_empty() {
                true => url(&site(head, port)),
                false => Foreign { purge: Purge { tags, ..Purge::default() }, answer: Answer::Ok },
            }
        }
    };
    foreign.purge.soft |= strength_asked(&head.headers) == Strength::Soft;
    Ok(foreign)
}

impl Foreign {
    pub(super) fn answer(&self, receipt: &Receipt) -> Response<Body> {
        let id = receipt.epoch.0.to_string();
        match self.answer {
            Answer::Id => json_answer(&json!({"status": "ok", "id": id})),
            Answer::Ok => json_answer(&json!({"status": "ok"})),
            Answer::IdByTag => {
                let tags = self.purge.tags.iter().map(|tag| (tag.clone(), Value::String(id.clone())));
                json_answer(&Value::Object(tags.collect()))
            }
            Answer::Nothing => {
                let mut response = Response::new(Body::Empty);
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
        }
    }
}

fn url(url: &str) -> Foreign {
    Foreign { purge: Purge { urls: vec![url.to_owned()], ..Purge::default() }, answer: Answer::Id }
}

/// The URL that a `PURGE` names; of every host where it is addressed to ourselves.
fn site(head: &Parts, port: u16) -> String {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let host = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
    let host = head.uri.authority().map(|authority| authority.as_str()).or(host).unwrap_or("");
    let to_ourselves = host.rsplit_once(':').is_some_and(|(_, to)| to == port.to_string());
    if host.is_empty() || to_ourselves { target.to_owned() } else { format!("http://{host}{target}") }
}

/// `POST /service/ID/purge/KEY`, `/service/ID/purge`, `/service/ID/purge_all` and `/purge/URL`. The service is whatever they say.
fn fastly(path: &str, head: &Parts, body: &Bytes) -> Result<Foreign, Problem> {
    #[derive(serde::Deserialize)]
    struct Batch {
        surrogate_keys: Vec<String>,
    }
    if let Some(named) = path.strip_prefix("/purge/") {
        let query = head.uri.query().map_or(String::new(), |query| format!("?{query}"));
        let named = if named.contains('/') { named.into() } else { decode(named) };
        let named = named.split_once("://").map_or(&*named, |(_, rest)| rest);
        return Ok(url(&format!("http://{named}{query}")));
    }
    let (_, call) = path.strip_prefix("/service/").and_then(|rest| rest.split_once('/')).ok_or(UNKNOWN)?;
    let (purge, answer) = match call {
        "purge_all" => (Purge { all: true, ..Purge::default() }, Answer::Ok),
        "purge" => {
            let mut tags = listed_tags(&head.headers, "surrogate-key");
            if !body.is_empty() {
                let batch: Batch = serde_json::from_slice(body).map_err(|_| NOT_A_BATCH)?;
                tags.extend(batch.surrogate_keys);
            }
            (Purge { tags, ..Purge::default() }, Answer::IdByTag)
        }
        _ => {
            let key = call.strip_prefix("purge/").ok_or(UNKNOWN)?;
            (Purge { tags: vec![decode(key).into_owned()], ..Purge::default() }, Answer::Id)
        }
    };
    Ok(Foreign { purge, answer })
}

/// `PURGE /souin-api/souin` with `Surrogate-Key`, `…/flush`, `…/GET-http-HOST-/PATH`; `POST /souin-api/souin` with JSON.
fn souin(method: &str, rest: &str, head: &Parts, body: &Bytes) -> Result<Foreign, Problem> {
    let item = rest.strip_prefix("souin").ok_or(NOT_OFFERED)?;
    let purge = match (method, item.strip_prefix('/').unwrap_or(item)) {
        (PURGE, "") => Purge { tags: listed_tags(&head.headers, "surrogate-key"), ..Purge::default() },
        (PURGE, "flush") => Purge { all: true, ..Purge::default() },
        (PURGE, key) => {
            let query = head.uri.query().map_or(String::new(), |query| format!("?{query}"));
            Purge { urls: vec![souin_key(&decode(key)).ok_or(BY_EXPRESSION)? + &query], ..Purge::default() }
        }
        ("POST", "") => souin_call(body)?,
        _ => return Err(NOT_OFFERED),
    };
    let answer = if method == PURGE { Answer::Nothing } else { Answer::Ok };
    Ok(Foreign { purge, answer })
}

/// The URL of a key such as `GET-https-clinic.example-/news`, unless it is an expression.
fn souin_key(key: &str) -> Option<String> {
    let rest = key.strip_prefix("GET-").or_else(|| key.strip_prefix("HEAD-"))?;
    let (scheme, rest) = rest.split_once('-').filter(|(scheme, _)| matches!(*scheme, "http" | "https"))?;
    let (host, path) = rest.split_once("-/")?;
    (!key.contains(['*', '+', '(', ')', '[', ']', '{', '}', '|', '^', '$', '\\']))
        .then(|| format!("{scheme}://{host}/{path}"))
}

fn souin_call(body: &Bytes) -> Result<Purge, Problem> {
    #[derive(Default, serde::Deserialize)]
    #[serde(default)]
    struct Call {
        #[serde(rename = "type")]
        kind: String,
        selectors: Vec<String>,
        groups: Vec<String>,
        purge: bool,
    }
    let call: Call = serde_json::from_slice(body).map_err(|_| NOT_A_CALL)?;
    // Hosts without a scheme, as they have them; a path alone is of every host.
    let urls = || {
        call.selectors.iter().map(|named| {
            if named.starts_with('/') || named.contains("://") { named.clone() } else { format!("http://{named}") }
        })
    };
    let soft = !call.purge;
    Ok(match call.kind.as_str() {
        "group" => Purge { tags: call.groups, soft, ..Purge::default() },
        "uri" => Purge { urls: urls().collect(), soft, ..Purge::default() },
        "uri-prefix" | "origin" => Purge { prefixes: urls().collect(), soft, ..Purge::default() },
        _ => return Err(NOT_A_CALL),
    })
}

/// `PURGEKEYS` with `xkey-purge` or `xkey-softpurge`.
fn xkey(head: &Parts) -> Result<Foreign, Problem> {
    let named = |name: &str| listed_tags(&head.headers, name);
    let (hard, soft) = (named("xkey-purge"), named("xkey-softpurge"));
    let purge = match (hard.is_empty(), soft.is_empty()) {
        (_, true) => Purge { tags: hard, ..Purge::default() },
        (true, false) => Purge { tags: soft, soft: true, ..Purge::default() },
        // The stronger holds for all.
        (false, false) => Purge { tags: [hard, soft].concat(), ..Purge::default() },
    };
    Ok(Foreign { purge, answer: Answer::Ok })
}

const UNKNOWN: Problem = problem(
    StatusCode::NOT_FOUND,
    "unknown-call",
    "There are POST /service/ID/purge/KEY, /service/ID/purge, /service/ID/purge_all and /purge/URL.",
);
const NOT_A_BATCH: Problem = problem(
    StatusCode::BAD_REQUEST,
    "not-understood",
    "Send JSON such as {\"surrogate_keys\":[\"patient:7\"]}, or a Surrogate-Key field.",
);
const NOT_A_CALL: Problem = problem(
    StatusCode::BAD_REQUEST,
    "not-understood",
    "Send JSON such as {\"type\":\"uri\",\"selectors\":[\"clinic.example/news\"],\"purge\":true}; types are group, uri, uri-prefix and origin.",
);
const BY_EXPRESSION: Problem = problem(
    StatusCode::NOT_IMPLEMENTED,
    "by-expression",
    "Nothing is purged by a regular expression here: purge by tag, URL or prefix.",
);
const NOT_OFFERED: Problem = problem(
    StatusCode::NOT_IMPLEMENTED,
    "not-offered",
    "Of this API there are PURGE /souin-api/souin with Surrogate-Key, /souin-api/souin/flush and /souin-api/souin/KEY, and POST /souin-api/souin.",
);

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn check(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &'static str,
    ) -> Result<Foreign, &'static str> {
        let request = Request::builder().method(method).uri(target);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert!(is_foreign(&head), "{method} {target}");
        read(&head, &Bytes::from_static(body.as_bytes()), 9090).map_err(|problem| problem.code)
    }

    #[test]
    fn each_means_a_purge_of_ours() {
        let none: &[&str] = &[];
        for (method, target, headers, body, tags, urls) in [
            ("POST", "/service/x/purge/patient%3A7", &[][..], "", &["patient:7"][..], none),
            ("POST", "/service/x/purge/a/b", &[], "", &["a/b"], none),
            ("POST", "/service/x/purge", &[("surrogate-key", "a b")], "", &["a", "b"], none),
            ("POST", "/service/x/purge", &[], "{\"surrogate_keys\": [\"a\", \"b\"]}", &["a", "b"], none),
            ("POST", "/purge/www.example/a?b=1", &[], "", none, &["http://www.example/a?b=1"]),
            ("POST", "/purge/www.example%2Fa", &[], "", none, &["http://www.example/a"]),
            ("PURGE", "/a?b", &[("host", "www.example")], "", none, &["http://www.example/a?b"]),
            ("PURGE", "http://www.example/a", &[("host", "www.example")], "", none, &["http://www.example/a"]),
            ("PURGE", "/a", &[("host", "127.0.0.1:9090")], "", none, &["/a"]),
            ("PURGE", "/", &[("host", "x"), ("xkey", "/books /books/1")], "", &["/books", "/books/1"], none),
            ("PURGETAGS", "/", &[("x-cache-tags", "a,b")], "", &["a", "b"], none),
            ("POST", "/service/x/purge", &[("surrogate-key", "a,b\tc")], "", &["a", "b", "a,b", "c"], none),
            ("PURGEKEYS", "/", &[("xkey-purge", "a b")], "", &["a", "b"], none),
            ("PURGE", "/souin-api/souin", &[("surrogate-key", "/books, /books/1")], "", &["/books", "/books/1"], none),
            ("PURGE", "/souin-api/souin/GET-https-a-b.example-/x?y=1", &[], "", none, &["https://a-b.example/x?y=1"]),
            ("POST", "/souin-api/souin", &[], "{\"type\": \"group\", \"groups\": [\"a\"]}", &["a"], none),
            (
                "POST",
                "/souin-api/souin",
                &[],
                "{\"type\": \"uri\", \"selectors\": [\"h/a\", \"/b\"]}",
                none,
                &["http://h/a", "/b"],
            ),
        ] {
            let purge = check(method, target, headers, body).unwrap().purge;
            assert_eq!(
                (purge.tags.as_slice(), purge.urls.as_slice()),
                (&*owned(tags), &*owned(urls)),
                "{method} {target}"
            );
            assert!(!purge.all && purge.prefixes.is_empty());
        }
        assert!(check("POST", "/service/x/purge_all", &[], "").unwrap().purge.all);
        assert!(check("PURGE", "/souin-api/souin/flush", &[], "").unwrap().purge.all);
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn soft_is_soft_and_a_no_is_not() {
        let soft =
            |method, target, headers: &[(&str, &str)], body| check(method, target, headers, body).unwrap().purge.soft;
        assert!(soft("POST", "/service/x/purge/a", &[("fastly-soft-purge", "1")], ""));
        assert!(!soft("POST", "/service/x/purge/a", &[("fastly-soft-purge", "0")], ""));
        assert!(soft("PURGE", "/a", &[("host", "h"), ("soft-purge", "1")], ""));
        assert!(soft("PURGEKEYS", "/", &[("xkey-softpurge", "a")], ""));
        assert!(!soft("PURGEKEYS", "/", &[("xkey-softpurge", "a"), ("xkey-purge", "b")], ""));
        assert!(soft("POST", "/souin-api/souin", &[], "{\"type\": \"group\", \"groups\": [\"a\"]}"));
        assert!(!soft("POST", "/souin-api/souin", &[], "{\"type\": \"group\", \"groups\": [\"a\"], \"purge\": true}"));
    }

    #[test]
    fn expressions_and_the_rest_are_refused() {
        for (method, target, body, code) in [
            ("BAN", "/", "", "by-expression"),
            ("PURGE", "/souin-api/souin/.+", "", "by-expression"),
            ("PURGE", "/souin-api/souin/GET-http-h-/a.*", "", "by-expression"),
            ("GET", "/souin-api/souin/surrogate_keys", "", "not-offered"),
            ("GET", "/souin-api/souin", "", "not-offered"),
            ("GET", "/souin-api/metrics", "", "not-offered"),
            ("POST", "/souin-api/souin", "{\"type\": \"other\"}", "not-understood"),
            ("POST", "/service/x/purge", "a", "not-understood"),
            ("POST", "/service/x/version", "", "unknown-call"),
            ("POST", "/service/", "", "unknown-call"),
        ] {
            assert_eq!(check(method, target, &[], body).map(drop), Err(code), "{method} {target}");
        }
    }
}
