//! What is stored, and a newer answer that speaks of it: a 304, a 200 to HEAD, or a part.
//!
//! A hard-purged entry is not renewed (purge rule 8), and what is made of two has the birth of the older and the tags of both.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, header};

use super::errand::storable;
use super::fetch::Fetch;
use super::head::{Delivery, as_said, build, http_date};
use crate::entry::head::{Credentialed, Head};
use crate::entry::key;
use crate::entry::purge::{Birth, Standing};
use crate::entry::stored::Entry;
use crate::entry::tag::TagSet;
use crate::ground::clock::Now;
use crate::ground::mutants::{Rule, is_off};
use crate::hop::answer::{leave_hop, take_tags};
use crate::http1::bounds::{MAX_FIELDS, MAX_HEAD};
use crate::policy::admit::{Admit, admit, openness};
use crate::policy::validate;
use crate::store::slots::Slots;

impl<S: Slots> Fetch<S> {
    /// What is stored, with the fields of a newer answer that speaks of it (RFC 9111 §3.2), and by which fields of requests
    /// it is selected. `None`: it is dead, or not to be kept any more.
    pub(super) fn merged(
        &self,
        base: &Entry,
        fields: HeaderMap,
        delay: Duration,
        now: Now,
    ) -> Option<(Entry, Arc<[HeaderName]>)> {
        let (head, vary) = self.merged_head(base, fields, delay, now)?;
        Some((Entry::new(&head, base.body().clone()), vary))
    }

    /// The same, less the body.
    pub(super) fn merged_head(
        &self,
        base: &Entry,
        mut fields: HeaderMap,
        delay: Duration,
        now: Now,
    ) -> Option<(Head, Arc<[HeaderName]>)> {
        let Fetch { cache, errand, .. } = self;
        if cache.log.check(base.birth(), base) == Standing::Dead && !is_off(Rule::Base) {
            return None;
        }
        if errand.credentialed != Credentialed::No && !openness(&fields, now.wall).is_for(errand.credentialed) {
            return None;
        }
        leave_hop(&mut fields, &errand.route.tag_fields);
        fields.remove(header::VIA);
        let mut tags = if is_off(Rule::MergedTags) { TagSet::default() } else { base.tags() };
        tags = tags.bounded(cache.filing.bounds.tags);
        // A 304 that names no tags drops none: the union.
        take_tags(&mut fields, &errand.route.tag_fields, &errand.place.origin(), &mut tags);
        let said = as_said(base);
        let mut merged = validate::merge(&said, &fields, &errand.route.caching);
        if !fields.contains_key(header::DATE) {
            merged.insert(header::DATE, http_date(now));
        }
        if !is_of_usual_size(&merged) && size(&merged) > size(&said) {
            return None;
        }
        let answered = errand.answered(base.status(), &merged, delay, now);
        let Admit::Store(terms) = admit(&answered, &errand.route.caching) else {
            // It may be used for those who asked, but not kept: the whole is fetched and judged.
            return None;
        };
        storable(&terms, &tags, &cache.filing.bounds).ok()?;
        let vary = errand.unkeyed(&terms.vary);
        let variant = key::variant(&errand.primary, &vary, &errand.headers);
        if !vary.is_empty() && variant.as_slice() != &*errand.spot && !is_off(Rule::MergedVariant) {
            return None;
        }
        let born = if is_off(Rule::Base) || is_off(Rule::MergedBirth) { cache.log.stamp() } else { base.birth().born };
        let birth = Birth::new(born, self.asked);
        let delivery = Delivery { owners: base.owners(), ..errand.delivery() };
        Some((build(merged, base.status(), &terms, delivery, now, birth, tags), vary))
    }
}

/// No update brings more into an answer than one usually has that comes whole: each of them may have other fields.
fn is_of_usual_size(fields: &HeaderMap) -> bool {
    fields.len() <= MAX_FIELDS && size(fields) <= MAX_HEAD
}

fn size(fields: &HeaderMap) -> usize {
    fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum()
}
