//! What the store has for a request.

use std::time::Instant;

use http::HeaderName;

use super::moment::When;
use crate::asker::facet::Worth;
use crate::entry::head::Lifetime;
use crate::entry::slot::Slot;
use crate::entry::stored::Entry;
use crate::entry::tag::TagSet;
use crate::policy::plan::Lookup;
use crate::policy::rescue::{Rescue, rescue};
use crate::policy::reuse::{Freshness, Reuse, reuse};
use crate::proxy::current::Proxy;
use crate::proxy::exchange::Exchange;
use crate::proxy::explanation::{AnswerTold, FoundEntry, StoredTold};
use crate::rules::caching::Caching;

impl Proxy {
    pub(super) fn stored(
        &self,
        exchange: &Exchange<'_>,
        lookup: &Lookup,
        vary: &[HeaderName],
        slot: Option<Slot>,
        when: When,
    ) -> StoredTold {
        let now = when.now.instant;
        let (found, answer) = match slot {
            Some(Slot::Entry(entry)) => (FoundEntry::Answer, Some(self.answer_told(exchange, lookup, &entry, now))),
            Some(Slot::Incomplete(part)) => {
                (FoundEntry::Part, Some(self.answer_told(exchange, lookup, part.entry(), now)))
            }
            Some(Slot::Uncacheable(until) | Slot::TooLong(until)) if now < until => (FoundEntry::Uncacheable, None),
            Some(Slot::Uncacheable(_) | Slot::TooLong(_) | Slot::Variants(_)) | None => (FoundEntry::Nothing, None),
        };
        let varies_by = vary.iter().map(ToString::to_string).collect();
        StoredTold { found, varies_by, epoch: self.cache.log.stamp().0, answer }
    }

    fn answer_told(&self, exchange: &Exchange<'_>, lookup: &Lookup, entry: &Entry, now: Instant) -> AnswerTold {
        let (vital, tags) = (entry.vital(), entry.tags());
        let later = vital.received.checked_duration_since(now).filter(|later| !later.is_zero());
        let standing = self.cache.log.check(entry.birth(), entry);
        let usable = match reuse(&vital, standing, &lookup.directives, lookup.credentialed, now) {
            _ if later.is_some() => "not-yet-stored",
            Reuse::Fresh(_) => "fresh",
            Reuse::StaleWhileRevalidate(_) => "stale-while-revalidate",
            Reuse::Revalidate(why) => why.as_str(),
            Reuse::Unusable(why) => why.as_str(),
        };
        let life = &vital.lifetime;
        let Freshness { age, ttl } = Freshness::of(vital.age(now), life.fresh_for);
        let place = self.place_told(exchange, lookup.query.as_deref().unwrap_or(""), Worth::Claimed);
        let own = place.known_tags(exchange.route).into_iter();
        let carried = own.filter(|tag| {
            let mut set = TagSet::default();
            set.name(tag);
            tags.contains(&set)
        });
        let asked = lookup.directives.stale_if_error.filter(|_| matches!(exchange.route.caching, Caching::Http(_)));
        AnswerTold {
            usable: usable.to_owned(),
            stored_later: later.map(|later| later.as_secs()),
            status: entry.status().as_u16(),
            bytes: entry.body().len(),
            age,
            ttl,
            stale_while_revalidate: life.stale_while_revalidate.as_secs(),
            stale_if_error: life.stale_if_error.as_secs(),
            stands_in: later.is_none() && rescue(&vital, standing, asked, now) != Rescue::Fail,
            ceiling: (life.ceiling != Lifetime::NO_CEILING).then_some(life.ceiling.as_secs()),
            fetched_at: entry.birth().born.0,
            confirmed_at: entry.birth().validated.0,
            tags: tags.hashes().len(),
            named: carried.collect(),
        }
    }
}
