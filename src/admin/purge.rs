//! `POST /api/v1/purge`: what is named becomes one record of the purge log.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use serde_json::{Value, json};

use super::problem;
use crate::authority;
use crate::edge::error::Problem;
use crate::key::Scheme;
use crate::path::RequestPath;
use crate::proxy::Proxy;
use crate::proxy::current::Current;
use crate::store::purge::{Stamp, Strength};
use crate::tag::{MAX_TAGS, TagSet};

/// What is to be purged; something must be named.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Purge {
    /// Tags; `a:*` takes all that begin with `a:`.
    pub tags: Vec<String>,
    /// URLs or paths, `?*` for any query.
    pub urls: Vec<String>,
    /// Paths or URLs, with all below them.
    pub prefixes: Vec<String>,
    /// Everything.
    pub all: bool,
    /// No longer fresh instead of gone.
    pub soft: bool,
}

/// What came of it: the answer goes out after every worker can see the record, since there is one log for all of them.
pub struct Receipt {
    /// Where the purge stands in the log.
    pub epoch: Stamp,
    took_ms: f64,
}

impl Receipt {
    /// As callers read it.
    pub fn json(&self) -> Value {
        json!({"epoch": self.epoch.0, "acknowledged": true, "took_ms": self.took_ms})
    }
}

impl Purge {
    /// Reads a call.
    pub fn read(body: &[u8]) -> Result<Purge, Problem> {
        serde_json::from_slice(body).map_err(|_| NOT_UNDERSTOOD)
    }

    /// Carries it out by the rules in force; once more, should others have come into force meanwhile.
    pub fn apply(&self, current: &Current) -> Result<Receipt, Problem> {
        let began = Instant::now();
        loop {
            let proxy = current.load_full();
            let epoch = self.apply_to(&proxy)?;
            if Arc::ptr_eq(&proxy, &current.load()) {
                return Ok(Receipt { epoch, took_ms: began.elapsed().as_micros() as f64 / 1000.0 });
            }
        }
    }

    fn apply_to(&self, proxy: &Proxy) -> Result<Stamp, Problem> {
        if self.tags.is_empty() && self.urls.is_empty() && self.prefixes.is_empty() && !self.all {
            return Err(NOTHING);
        }
        let strength = if self.soft { Strength::Soft } else { Strength::Hard };
        let mut records = vec![TagSet::default()];
        // One record holds so many tags; a longer call makes several, and is acknowledged once the last is applied.
        let mut add = |name: &mut dyn FnMut(&mut TagSet)| {
            if records.last().is_none_or(|record| record.hashes().len() + 4 > MAX_TAGS) {
                records.push(TagSet::default());
            }
            if let Some(record) = records.last_mut() {
                name(record);
            }
        };
        for tag in &self.tags {
            if !is_tag(tag) {
                return Err(NOT_A_TAG);
            }
            add(&mut |record| record.name(tag));
        }
        for url in &self.urls {
            let named = Named::read(url)?;
            add(&mut |record| named.url(proxy, record));
        }
        for prefix in &self.prefixes {
            let named = Named::read(prefix)?;
            add(&mut |record| record.prefix(&named.host, &named.path));
        }
        if self.all {
            add(&mut |record| record.all());
        }
        let mut epoch = proxy.cache.log.stamp();
        for record in &records {
            epoch = proxy.cache.log.apply(record, strength);
            proxy.telemetry.meters.count_purge();
        }
        Ok(epoch)
    }
}

/// `a`, `a:b`, `a:*`, `*`: a star stands alone or for all after a colon.
fn is_tag(tag: &str) -> bool {
    let stem = if tag == "*" { "all" } else { tag.strip_suffix(":*").unwrap_or(tag) };
    !stem.trim().is_empty() && !stem.contains('*')
}

/// `http://host/path?query` or `/path?query`; the latter means every host.
struct Named {
    host: String,
    path: String,
    query: Option<String>,
}

impl Named {
    fn read(text: &str) -> Result<Named, Problem> {
        let (host, rest) = match text.split_once("://").filter(|_| !text.starts_with('/')) {
            None => (String::new(), text),
            Some((scheme, rest)) => {
                let scheme = if scheme.eq_ignore_ascii_case("https") { Scheme::Https } else { Scheme::Http };
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                // Whoever names a host that is none means some host, not every one.
                (authority::normal(&rest[..end], scheme).ok_or(NOT_A_URL)?, &rest[end..])
            }
        };
        let rest = rest.split('#').next().unwrap_or(rest);
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let path = if path.is_empty() && !host.is_empty() { "/" } else { path };
        let normal = RequestPath::new(path);
        if !path.starts_with('/') || normal.ambiguity.is_some() {
            return Err(NOT_A_URL);
        }
        Ok(Named { host, path: normal.text.into_owned(), query: query.map(str::to_owned) })
    }

    /// All variants and partitions of the URL; with `?*` any query.
    fn url(&self, proxy: &Proxy, record: &mut TagSet) {
        if self.query.as_deref() == Some("*") {
            return record.path(&self.host, &self.path);
        }
        proxy.name_url(&self.host, &self.path, self.query.as_deref(), record);
    }
}

const NOT_UNDERSTOOD: Problem = problem(
    StatusCode::BAD_REQUEST,
    "not-understood",
    "Send JSON such as {\"tags\":[\"patient:7\"],\"urls\":[\"/api/patients/7/\"],\"prefixes\":[\"/api\"],\"all\":false,\"soft\":false}.",
);
const NOTHING: Problem =
    problem(StatusCode::BAD_REQUEST, "nothing-named", "Name at least one tag, URL or prefix, or say \"all\":true.");
const NOT_A_TAG: Problem = problem(
    StatusCode::BAD_REQUEST,
    "not-a-tag",
    "A tag is not empty, and a star in it stands alone or after the last colon: patients, patient:7, patient:*, *.",
);
const NOT_A_URL: Problem = problem(
    StatusCode::BAD_REQUEST,
    "not-a-url",
    "URLs and prefixes are http://host/path or /path, without encoded slashes or empty segments; add ?* for any query.",
);
