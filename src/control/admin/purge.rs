//! `POST /api/v1/purge`: what is named becomes one record of the purge log.

use std::sync::Arc;
use std::time::Instant;

use http::StatusCode;
use serde_json::{Value, json};

use crate::control::admin::known::{KnownTags, PurgeItem, What};
use crate::control::admin::named::{As, Named, Unread};
use crate::control::admin::problem::problem;
use crate::edge::error::Problem;
use crate::entry::purge::{Stamp, Strength};
use crate::entry::tag::{MAX_TAGS, TagSet};
use crate::ground::clock::monotonic;
use crate::proxy::current::{Current, Proxy};
use crate::store::sweep::{COUNTED_UNASKED, MOST_COUNTED};

/// What is to be purged; something must be named.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Purge {
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
    /// Says what would go, and purges nothing.
    pub dry_run: bool,
    /// Counts what it meets in a large store too. A stream of purges that counted there would keep a core busy.
    pub count: bool,
}

/// What came of it: the answer goes out after every worker can see the record, since there is one log for all of them.
pub(crate) struct Receipt {
    /// Where the purge stands in the log; where the log stands, if nothing was purged.
    pub epoch: Stamp,
    dry_run: bool,
    took_ms: f64,
    known: Option<KnownTags>,
}

impl Receipt {
    /// As callers read it.
    pub(crate) fn json(&self) -> Value {
        let mut receipt = json!({"epoch": self.epoch.0, "acknowledged": !self.dry_run, "took_ms": self.took_ms});
        if let Some(known) = &self.known {
            receipt["known"] = json!(known.known());
            receipt["met"] = json!(known.met);
            receipt["unknown"] = json!(known.unknown);
            if self.dry_run {
                receipt["dry_run"] = json!(true);
                let routes = known.routes.iter();
                let met = |met: &u64| known.met.map(|_| *met);
                receipt["routes"] = routes.map(|(name, stored)| json!({"name": name, "met": met(stored)})).collect();
            }
        }
        receipt
    }
}

impl Purge {
    /// Reads a call.
    pub(crate) fn read(body: &[u8]) -> Result<Purge, Problem> {
        serde_json::from_slice(body).map_err(|_| NOT_UNDERSTOOD)
    }

    /// As [`Purge::apply`], and says what is known of what is named; or says only that. Blocks for a moment.
    pub(crate) fn apply_and_tell(&self, current: &Current) -> Result<Receipt, Problem> {
        let began = monotonic();
        let proxy = current.load_full();
        let most = if self.count || self.dry_run { MOST_COUNTED } else { COUNTED_UNASKED };
        let known = Some(KnownTags::of(&proxy, &self.items(&proxy)?, most));
        let receipt = match self.dry_run {
            true => Receipt { epoch: proxy.cache.log.stamp(), dry_run: true, took_ms: 0.0, known },
            false => Receipt { known, ..self.apply(current)? },
        };
        Ok(Receipt { took_ms: since(began), ..receipt })
    }

    /// Carries it out by the rules in force; once more, should others have come into force meanwhile.
    pub(crate) fn apply(&self, current: &Current) -> Result<Receipt, Problem> {
        let began = monotonic();
        loop {
            let proxy = current.load_full();
            let epoch = self.apply_to(&proxy)?;
            if Arc::ptr_eq(&proxy, &current.load()) {
                return Ok(Receipt { epoch, dry_run: false, took_ms: since(began), known: None });
            }
        }
    }

    fn apply_to(&self, proxy: &Proxy) -> Result<Stamp, Problem> {
        let strength = if self.soft { Strength::Soft } else { Strength::Hard };
        let mut records = vec![TagSet::default()];
        for item in self.items(proxy)? {
            // One record holds so many tags; a longer call makes several, and is acknowledged once the last is applied.
            if records.last().is_none_or(|record| record.hashes().len() + item.tags.hashes().len() > MAX_TAGS) {
                records.push(TagSet::default());
            }
            if let Some(record) = records.last_mut() {
                record.union(&item.tags);
            }
        }
        let mut epoch = proxy.cache.log.stamp();
        for record in &records {
            epoch = proxy.cache.log.apply(record, strength);
            proxy.telemetry.meters.count_purge();
        }
        Ok(epoch)
    }

    /// What is named, each with its tags.
    fn items(&self, proxy: &Proxy) -> Result<Vec<PurgeItem>, Problem> {
        if self.tags.is_empty() && self.urls.is_empty() && self.prefixes.is_empty() && !self.all {
            return Err(NOTHING);
        }
        let mut items = Vec::new();
        for (at, tag) in self.tags.iter().enumerate() {
            if !is_tag(tag) {
                return Err(NOT_A_TAG);
            }
            items.push(PurgeItem::new(("tags", at), What::Tag(tag.clone()), |tags| tags.name(tag)));
        }
        for (at, url) in self.urls.iter().enumerate() {
            let named = Named::read(url, As::Url).map_err(Unread::problem)?;
            items.push(PurgeItem::new(("urls", at), What::Url(named.clone()), |tags| named.url(proxy, tags)));
        }
        for (at, prefix) in self.prefixes.iter().enumerate() {
            let named = Named::read(prefix, As::Prefix).map_err(Unread::problem)?;
            let (host, path) = (named.host.clone(), named.path.clone());
            items.push(PurgeItem::new(("prefixes", at), What::Prefix(named), |tags| tags.prefix(&host, &path)));
        }
        if self.all {
            items.push(PurgeItem::new(("all", 0), What::All, TagSet::all));
        }
        Ok(items)
    }
}

fn since(began: Instant) -> f64 {
    began.elapsed().as_micros() as f64 / 1000.0
}

/// `a`, `a:b`, `a:*`, `*`: a star stands alone or for all after a colon.
pub(crate) fn is_tag(tag: &str) -> bool {
    let stem = if tag == "*" { "all" } else { tag.strip_suffix(":*").unwrap_or(tag) };
    !stem.trim().is_empty() && !stem.contains('*')
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

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;
    use crate::entry::slot::Slot;
    use crate::entry::stored::Entry;
    use crate::store::slots::Slots;

    #[test]
    fn of_a_store_that_is_too_large_nothing_is_counted_and_what_only_it_could_tell_is_not_told() {
        let yaml = "upstreams: {app: {servers: [http://127.0.0.1:9]}}\npolicies: {all: {share: public, ttl: 60s}}\n\
            routes: [{name: case, path: /cases/<int:id>, policy: all, tags: [case:<id>]}]";
        let loaded = crate::config::parse("test.yaml", yaml, &|_| None);
        let settings = loaded.unwrap_or_else(|report| panic!("{}", report.render(false))).settings;
        let proxy = crate::app::unserved(settings).unwrap();
        let mut head = crate::entry::stored::tests::head(HeaderMap::new());
        head.tags.carry("named-by-the-origin");
        proxy.cache.memory.put(b"a"[..].into(), Slot::Entry(Entry::new(&head, Bytes::new())));
        for (tag, most, met, known) in [
            ("case:1", 1, Some(0), Some(true)),
            ("case:1", 0, None, Some(true)),
            ("named-by-the-origin", 1, Some(1), Some(true)),
            ("named-by-the-origin", 0, None, None),
            ("named-by-nobody", 1, Some(0), Some(false)),
            ("named-by-nobody", 0, None, None),
        ] {
            let call = Purge { tags: vec![tag.to_owned()], ..Purge::default() };
            let told = KnownTags::of(&proxy, &call.items(&proxy).unwrap(), most);
            assert_eq!((told.met, told.known()), (met, known), "{tag} {most}");
        }
    }
}
