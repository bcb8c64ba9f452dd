//! An answer to HEAD, and what it makes of what is stored (RFC 9111 §4.3.5): renewed where it speaks of the same, else stale.
//!
//! HEAD goes out as HEAD and without a condition: every origin answers that, and its 200 says as much as a 304 would. It
//! makes no entry. A hard-purged one is not renewed (purge rule 8).

use http::{StatusCode, header};

use super::backoff::RefreshEnd;
use super::errand::Arrived;
use super::fetch::{Fetch, Heard};
use super::flight::Landing;
use crate::entry::stored::Entry;
use crate::ground::clock::Now;
use crate::policy::not_stored::NotStored;
use crate::policy::types::media_type;
use crate::policy::validate;
use crate::store::slots::Slots;

impl<S: Slots> Fetch<S> {
    /// The head of an answer to HEAD is there.
    pub(super) fn heard_head(self, arrived: Arrived, unkept: RefreshEnd, now: Now) -> Heard<S> {
        if arrived.status == StatusCode::OK
            && let Some(base) = self.errand.base.clone()
        {
            if let Some(entry) = self.renew(&base, &arrived, now) {
                return self.over(Landing::Revalidated(entry), RefreshEnd::Kept, now.instant);
            }
            self.cache.outdate(&self.errand, &base);
        } else if arrived.status != StatusCode::NOT_FOUND {
            // Many origins know no HEAD, and say so by a 404.
            self.end_if_refused(arrived.status);
        }
        self.private(arrived, NotStored::Head, unkept)
    }

    /// `None`: it speaks of something else, or what it speaks of is dead or not to be kept.
    fn renew(&self, base: &Entry, arrived: &Arrived, now: Now) -> Option<Entry> {
        let (validators, length) = (base.said_validators(), base.body().len());
        // A page that stands in the way has another media type, and often no validator that could tell.
        let is_of_its_kind = !arrived.headers.contains_key(header::CONTENT_TYPE)
            || media_type(&arrived.headers) == media_type(&base.fields());
        let describes = base.status() == StatusCode::OK
            && is_of_its_kind
            && validate::describes(&arrived.headers, &validators, length, &self.errand.route.caching);
        if !describes {
            return None;
        }
        let (entry, vary) = self.merged(base, arrived.headers.clone(), arrived.delay, now)?;
        self.cache.keep_over(&self.errand, &vary, base, entry.clone(), now.instant);
        Some(entry)
    }
}
