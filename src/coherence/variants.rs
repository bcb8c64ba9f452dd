//! Where whole answers are put: at their primary key, or as variants that its slot leads to.
//!
//! What is kept of one primary key changes in one place at a time, so that two fills of different variants do not forget each
//! other's, and what is not led to any more is taken out of the store at once.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderName, header};

use super::errand::Errand;
use crate::coherence::cache::Cache;
use crate::coherence::selected::{RefusedSince, SelectedBy};
use crate::entry::incomplete::Incomplete;
use crate::entry::key::{self, Key};
use crate::entry::purge::Standing;
use crate::entry::slot::Slot;
use crate::entry::stored::Entry;
use crate::entry::variants::{Variant, Variants};
use crate::ground::mutants::{Rule, is_off};
use crate::store::slots::Slots;

impl<S: Slots> Cache<S> {
    /// An answer is coming: whoever wants another variant finds its own way from now on.
    pub(super) fn expect(&self, selected: SelectedBy<'_>, now: Instant) {
        if selected.names.is_empty() {
            return;
        }
        let _turn = self.filing.turn(selected.primary);
        let (known, gone) = self.known(selected, now);
        let known = known.followed_by(selected.names.clone());
        self.memory.put(selected.primary.clone(), Slot::Variants(Arc::new(known)));
        gone.iter().for_each(|key| self.memory.remove(key));
    }

    /// Puts a whole answer where the requests that it is for find it, unless that was refused since it was asked for by the request
    /// of the serial number `left`.
    pub(super) fn keep(
        &self,
        selected: SelectedBy<'_>,
        left: u64,
        entry: Entry,
        now: Instant,
    ) -> Result<(), RefusedSince> {
        let _turn = self.filing.turn(selected.primary);
        self.may_be_kept(selected, left)?;
        self.place(selected, Slot::Entry(entry), now);
        Ok(())
    }

    fn may_be_kept(&self, selected: SelectedBy<'_>, left: u64) -> Result<(), RefusedSince> {
        match self.refused.since(selected.primary, left) && !is_off(Rule::AfterRefusal) {
            true => Err(RefusedSince),
            false => Ok(()),
        }
    }

    /// The same with a part, unless the whole is there by now.
    pub(super) fn keep_part(
        &self,
        selected: SelectedBy<'_>,
        left: u64,
        part: Incomplete,
        now: Instant,
    ) -> Result<(), RefusedSince> {
        let _turn = self.filing.turn(selected.primary);
        self.may_be_kept(selected, left)?;
        let is_whole = |slot: Option<Slot>| matches!(slot, Some(Slot::Entry(entry)) if self.log.check(entry.birth(), &entry) != Standing::Dead);
        let whole_here = selected.names.is_empty() && is_whole(self.memory.peek(selected.primary));
        if !whole_here && !is_whole(self.memory.peek(&selected.key())) {
            self.place(selected, Slot::Incomplete(part), now);
        }
        Ok(())
    }

    /// The same with what was made from another, unless something else has taken that one's place meanwhile.
    pub(super) fn keep_over(
        &self,
        errand: &Errand,
        names: &Arc<[HeaderName]>,
        base: &Entry,
        entry: Entry,
        now: Instant,
    ) {
        let _turn = self.filing.turn(&errand.primary);
        if self.is_there(&errand.spot, base) {
            self.place(errand.selected(names), Slot::Entry(entry), now);
        }
    }

    /// What was stored is stale from now on.
    pub(super) fn outdate(&self, errand: &Errand, base: &Entry) {
        let _turn = self.filing.turn(&errand.primary);
        if self.is_there(&errand.spot, base) {
            self.memory.put(errand.spot.clone(), Slot::Entry(base.outdated()));
        }
    }

    /// What was stored is fetched whole next. It stays, so that what comes can be compared with it.
    pub(super) fn ask_whole(&self, errand: &Errand, base: &Entry) {
        let _turn = self.filing.turn(&errand.primary);
        if self.is_there(&errand.spot, base) {
            self.memory.put(errand.spot.clone(), Slot::Entry(base.asked_whole()));
        }
    }

    /// The origin has refused it to those who may have it: what is stored for them is no more, and what is on its way is not kept.
    pub(super) fn refuse(&self, errand: &Errand) {
        self.refused.mark(&errand.primary, self.flights.draw());
        if let Some(base) = &errand.base {
            self.end(errand, base);
        }
        // What has come meanwhile left before this came.
        let _turn = self.filing.turn(&errand.primary);
        let end = |key: &[u8]| match self.memory.peek(key) {
            Some(Slot::Entry(entry)) => {
                entry.end();
                self.memory.remove(key);
            }
            Some(Slot::Incomplete(_)) => self.memory.remove(key),
            Some(Slot::Variants(_) | Slot::Uncacheable(_) | Slot::TooLong(_)) | None => {}
        };
        end(&errand.spot);
        if let Some(Slot::Variants(variants)) = self.memory.peek(&errand.primary) {
            let key = |names: &[HeaderName]| key::variant(&errand.primary, names, &errand.headers);
            variants.matching(key).for_each(|variant| end(&variant.key));
        }
    }

    /// What was stored is no more.
    pub(super) fn end(&self, errand: &Errand, base: &Entry) {
        let _turn = self.filing.turn(&errand.primary);
        // Other flights may hold it yet, for when the origin fails.
        base.end();
        let end = |key: &[u8]| {
            if matches!(self.memory.peek(key), Some(Slot::Entry(current)) if current.is_of(base)) {
                self.memory.remove(key);
            }
        };
        end(&errand.spot);
        // It may have been put aside since, for an answer that varies.
        if let Some(Slot::Variants(variants)) = self.memory.peek(&errand.primary) {
            variants.keys().for_each(|key| end(key));
        }
    }

    fn is_there(&self, spot: &[u8], entry: &Entry) -> bool {
        matches!(self.memory.peek(spot), Some(Slot::Entry(current)) if current.is(entry))
    }

    fn place(&self, selected: SelectedBy<'_>, slot: Slot, now: Instant) {
        let entry = slot.entry().cloned();
        self.put(selected, slot, now);
        // Looked at once it is there: whoever takes out what is dead comes later, or is told.
        if entry.is_some_and(|entry| self.log.check(entry.birth(), &entry) == Standing::Dead) {
            self.swept.came_late();
        }
    }

    fn put(&self, selected: SelectedBy<'_>, slot: Slot, now: Instant) {
        let SelectedBy { primary, names, .. } = selected;
        if names.is_empty() && !matches!(self.memory.peek(primary), Some(Slot::Variants(_))) {
            return self.memory.put(primary.clone(), slot);
        }
        let own = selected.key();
        let (known, mut gone) = self.known(selected, now);
        let variant = Variant { names: names.clone(), key: own.clone(), dated: slot.entry().map_or(0, dated) };
        let (variants, hidden) = known.with(variant, self.filing.bounds.variants);
        gone.extend(hidden);
        if names.is_empty() && variants.is_everybodys() {
            // There is nothing beside it that anybody would be given.
            self.memory.put(primary.clone(), slot);
            gone.push(own);
        } else {
            self.memory.put(own, slot);
            self.memory.put(primary.clone(), Slot::Variants(Arc::new(variants)));
        }
        gone.iter().for_each(|key| self.memory.remove(key));
    }

    /// For a while nobody waits for another's fetch here.
    pub(super) fn keep_nothing(&self, key: &Key, instead: Slot) {
        let _turn = self.filing.turn(key);
        let before = self.memory.peek(key);
        self.memory.put(key.clone(), instead);
        if let Some(Slot::Variants(variants)) = before {
            variants.keys().for_each(|key| self.memory.remove(key));
        }
    }

    /// What is remembered so no longer holds.
    pub(super) fn keep_again(&self, key: &Key, now: Instant) {
        let _turn = self.filing.turn(key);
        if matches!(self.memory.peek(key), Some(Slot::Uncacheable(until) | Slot::TooLong(until)) if now < until) {
            self.memory.put(key.clone(), Slot::Uncacheable(now));
        }
    }

    /// What is kept at a primary key; and of that, what the same request would have been given and is fresh no more: it
    /// gives way to what comes after it, whatever their dates say.
    fn known(&self, selected: SelectedBy<'_>, now: Instant) -> (Variants, Vec<Key>) {
        let SelectedBy { primary, names, sent } = selected;
        let key = |names: &[HeaderName]| key::variant(primary, names, sent);
        let all = match self.memory.peek(primary) {
            Some(Slot::Variants(variants)) => variants,
            Some(everybodys @ (Slot::Entry(_) | Slot::Incomplete(_))) => {
                let aside = Key::from(key(&[]).as_slice());
                let dated = everybodys.entry().map_or(0, dated);
                let variant = Variant { names: Arc::default(), key: aside.clone(), dated };
                self.memory.put(aside, everybodys);
                Arc::new(Variants::coming(names.clone()).with(variant, self.filing.bounds.variants).0)
            }
            Some(Slot::Uncacheable(_) | Slot::TooLong(_)) | None => Arc::new(Variants::coming(names.clone())),
        };
        let own = selected.key();
        let others = all.matching(key).filter(|variant| variant.key != own);
        let gone: Vec<Key> =
            others.filter(|variant| !self.is_fresh(&variant.key, now)).map(|it| it.key.clone()).collect();
        (all.without(&gone), gone)
    }

    fn is_fresh(&self, key: &[u8], now: Instant) -> bool {
        let slot = self.memory.peek(key);
        let Some(entry) = slot.as_ref().and_then(Slot::entry) else { return false };
        let vital = entry.vital();
        vital.age(now) < vital.lifetime.fresh_for && self.log.check(entry.birth(), entry) == Standing::Good
    }
}

/// The second of an answer's `Date`; what is not dated is older than anything.
fn dated(entry: &Entry) -> u64 {
    let fields = entry.fields();
    let date = fields.get(header::DATE).and_then(|value| httpdate::parse_http_date(value.to_str().ok()?).ok());
    let since = date.and_then(|date| date.duration_since(std::time::UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::time::Duration;

    use bytes::Bytes;
    use http::HeaderValue;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::body::spool::budget::Budget;
    use crate::coherence::backoff::Backoff;
    use crate::coherence::cache::Filing;
    use crate::entry::stored::tests::head;
    use crate::ground::clock::Clock;
    use crate::store::memory::Memory;
    use crate::store::settings::Bounds;
    use http::HeaderMap;

    fn cache(most: usize) -> Cache<Memory> {
        Cache {
            memory: Memory::new(64 << 20, None),
            filing: Filing::of(Bounds { variants: most, ..Bounds::default() }),
            log: Default::default(),
            refused: Default::default(),
            swept: Default::default(),
            flights: Arc::default(),
            clock: Clock::System,
            budget: Arc::new(Budget::beside(0, 0)),
            refreshes: Arc::new(Semaphore::new(0)),
            backoff: Backoff::new(1, Instant::now()),
        }
    }

    /// Keeps a variant by `x-a`, or an answer for everybody.
    fn keep(cache: &Cache<Memory>, primary: &Key, a: Option<&str>) {
        let sent: HeaderMap = a.map(|a| (NAME, HeaderValue::from_str(a).unwrap())).into_iter().collect();
        let names: Arc<[HeaderName]> = a.map(|_| NAME).into_iter().collect();
        let entry = Entry::new(&head(HeaderMap::new()), Bytes::new());
        cache.keep(SelectedBy { primary, names: &names, sent: &sent }, 0, entry, Instant::now()).unwrap();
    }

    const NAME: HeaderName = HeaderName::from_static("x-a");

    fn kept(cache: &Cache<Memory>, primary: &Key) -> usize {
        let Some(Slot::Variants(variants)) = cache.memory.get(primary) else { return 0 };
        variants.keys().filter(|key| cache.memory.get(key).is_some()).count()
    }

    #[test]
    fn who_fills_at_once_forgets_nobody_elses() {
        const FILLS: usize = 8;
        let cache = cache(FILLS);
        for round in 0..200_u32 {
            let (primary, barrier) = (Key::from(&round.to_le_bytes()[..]), Barrier::new(FILLS));
            std::thread::scope(|scope| {
                for number in 0..FILLS {
                    let (cache, primary, barrier) = (&cache, &primary, &barrier);
                    scope.spawn(move || {
                        barrier.wait();
                        keep(cache, primary, Some(&number.to_string()));
                    });
                }
            });
            assert_eq!(kept(&cache, &primary), FILLS, "round {round}");
        }
    }

    #[test]
    fn what_is_not_led_to_takes_no_room() {
        let (cache, primary) = (cache(4), Key::from(&b"primary"[..]));
        let entries = || {
            cache.memory.tend();
            cache.memory.size().0
        };
        (0..20).for_each(|a| keep(&cache, &primary, Some(&a.to_string())));
        assert_eq!((kept(&cache, &primary), entries()), (4, 5));
        keep(&cache, &primary, None);
        assert_eq!((kept(&cache, &primary), entries()), (0, 1), "it hides them all");
        assert!(matches!(cache.memory.get(&primary), Some(Slot::Entry(_))), "a hit looks once");
        (0..3).for_each(|a| keep(&cache, &primary, Some(&a.to_string())));
        assert_eq!((kept(&cache, &primary), entries()), (4, 5), "with the one for everybody");
        cache.keep_nothing(&primary, Slot::Uncacheable(Instant::now() + Duration::from_secs(1)));
        assert_eq!(entries(), 1);
    }
}
