//! One fetch, from take-off to the head of an answer: what is asked, and what is made of what comes.
//!
//! A hard-purged entry is never the base of a 304, checked again at the merge (purge rule 8). Whatever ends a fetch is told
//! to those who wait before the flight leaves, and so is what later ones learn from it: whoever finds none under way finds
//! that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode, header};

use super::backoff::RefreshEnd;
use super::errand::{Arrived, Asks, Conditions, Errand, StandingIn, storable};
use super::fill::Fill;
use super::flight::{Filling, Flight, Landing, TagsKnown, Takeoff};
use super::head::{as_came, as_said, build, http_date};
use crate::body::ending::Ending;
use crate::body::spool::Spool;
use crate::coherence::cache::{Cache, REMEMBER_ERROR, REMEMBER_UNCACHEABLE};
use crate::coherence::extent::{Beside, Extent};
use crate::entry::head::{Credentialed, Head};
use crate::entry::key::{self, Key};
use crate::entry::purge::{Birth, Stamp, Standing};
use crate::entry::slot::Slot;
use crate::entry::stored::Entry;
use crate::ground::clock::Now;
use crate::ground::failure::{Failure, FailureKind};
use crate::ground::mutants::{Rule, is_off};
use crate::hop::answer::{leave_hop, take_tags};
use crate::policy::admit::{Admit, Terms, admit, gives_lifetime};
use crate::policy::not_stored::NotStored;
use crate::policy::outcome::Stored;
use crate::policy::rescue::{Rescue, rescue};
use crate::policy::self_posting::is_self_posting;
use crate::policy::validate;
use crate::policy::yes::{Likeness, likeness};
use crate::rules::caching::{Caching, Share};
use crate::store::slots::Slots;

/// What is to be done with an answer.
#[derive(Debug)]
// It lives for a moment, on the way to one of its arms.
#[allow(clippy::large_enum_variant)]
pub enum Heard<S: Slots> {
    /// Nothing more: all are told.
    Over,
    /// Ask again; there is no condition any more.
    Again(Fetch<S>),
    /// Hand it to the leader.
    Private(Private<S>),
    /// Fill its body.
    Fill(Fill<S>),
}

/// An answer that is nobody's but the leader's.
#[derive(Debug)]
pub struct Private<S: Slots> {
    /// Its fields as they came.
    pub headers: HeaderMap,
    /// The fields that it was asked for with, less our own conditions.
    pub sent: HeaderMap,
    /// What is stored, where the origin confirmed it to the leader alone: the fields are those of both.
    pub confirmed: Option<Entry>,
    fetch: Fetch<S>,
    why: NotStored,
    unkept: RefreshEnd,
}

/// The origin lets nobody see it who asks as this request does: it is not there, not theirs, or somewhere else.
fn is_refusal(status: StatusCode) -> bool {
    matches!(status.as_u16(), 401 | 403 | 404 | 410) || status.is_redirection()
}

/// A fetch before there is a head.
#[derive(Debug)]
pub struct Fetch<S: Slots> {
    pub(super) cache: Arc<Cache<S>>,
    pub(super) takeoff: Takeoff,
    pub(super) errand: Errand,
    /// What a 304 would confirm.
    condition: Option<Entry>,
    /// Where the log stood before the last request left: what a confirmation is worth.
    pub(super) asked: Stamp,
    /// The serial number of the last request.
    pub(super) left: u64,
}

impl<S: Slots> Fetch<S> {
    /// Nothing was asked yet.
    pub fn new(cache: Arc<Cache<S>>, takeoff: Takeoff, errand: Errand) -> Fetch<S> {
        let has_condition = errand.asks == Asks::Whole && errand.conditions == Conditions::Sent;
        let condition = errand.base.clone().filter(|_| has_condition);
        let (asked, left) = (takeoff.flight.born, takeoff.flight.serial);
        Fetch { cache, takeoff, errand, condition, asked, left }
    }

    /// The flight that it flies.
    pub fn flight(&self) -> &Arc<Flight> {
        &self.takeoff.flight
    }

    /// What it is part of.
    pub fn cache(&self) -> &Arc<Cache<S>> {
        &self.cache
    }

    /// What it asks for.
    pub fn asks(&self) -> Asks {
        self.errand.asks
    }

    /// Whether something is stored that its answer would take the place of, as far as it knows.
    pub fn has_base(&self) -> bool {
        self.errand.base.is_some()
    }

    /// The fields of the request, which is to leave at once.
    pub fn ask(&mut self) -> HeaderMap {
        let mut headers = self.errand.headers.clone();
        if let Some(entry) = &self.condition {
            validate::add_conditions(&mut headers, &entry.said_validators());
        }
        self.errand.extent.ask(&mut headers);
        self.asked = self.cache.log.stamp();
        self.left = self.cache.flights.draw();
        headers
    }

    /// No answer came: what is stale stands in, or everybody is told.
    pub fn failed(self, failure: Failure, now: Instant) {
        self.land_failure(failure, now);
        self.end(RefreshEnd::Failed, now);
    }

    /// The head of an answer is there.
    pub fn answered(self, arrived: Arrived, now: Now) -> Heard<S> {
        self.takeoff.flight.add_origin_delay(arrived.delay);
        if arrived.status == StatusCode::NOT_MODIFIED {
            return self.not_modified(arrived, now);
        }
        if !is_ill(arrived.status) {
            return self.receive(arrived, RefreshEnd::NotKept, now);
        }
        match self.stand_in(Failure::sent(FailureKind::Protocol), now.instant) {
            Some(landing) => self.over(landing, RefreshEnd::Failed, now.instant),
            None => self.receive(arrived, RefreshEnd::Failed, now),
        }
    }

    /// Whether an answer for several is a page that posts itself, and its origin does not say itself how long it lives.
    pub(super) fn posts_itself(&self, head: &Head, body: &[u8]) -> bool {
        let shared = matches!(&self.errand.route.caching, Caching::Named(policy) if policy.share != Share::Principal);
        shared && is_self_posting(&head.headers, body) && !gives_lifetime(&as_came(head), self.cache.clock.now().wall)
    }

    pub(super) fn end(self, ended: RefreshEnd, now: Instant) {
        // Before the flight leaves with `self`.
        self.cache.backoff.note(&self.takeoff.flight.key, self.errand.route.upstream_mark, ended, now);
    }

    pub(super) fn over(self, landing: Landing, ended: RefreshEnd, now: Instant) -> Heard<S> {
        self.takeoff.flight.land(landing);
        self.end(ended, now);
        Heard::Over
    }

    pub(super) fn land_failure(&self, failure: Failure, now: Instant) {
        let landing = self.stand_in(failure, now).unwrap_or(Landing::Failed(failure));
        self.takeoff.flight.land(landing);
    }

    fn stand_in(&self, failure: Failure, now: Instant) -> Option<Landing> {
        let allowed = self.errand.standing_in == StandingIn::Allowed;
        let entry = self.errand.base.as_ref().filter(|base| allowed && !base.is_ended())?;
        let standing = self.cache.log.check(entry.birth(), entry);
        match rescue(&entry.vital(), standing, None, now) {
            Rescue::ServeStale(freshness) => Some(Landing::Rescued(entry.clone(), freshness, failure)),
            Rescue::Fail => None,
        }
    }

    /// Twice asked at most: with the condition and, should the base be purged meanwhile or not be what was meant, without it.
    fn not_modified(mut self, arrived: Arrived, now: Now) -> Heard<S> {
        let Some(base) = self.condition.take() else {
            self.failed(Failure::sent(FailureKind::Protocol), now.instant);
            return Heard::Over;
        };
        let fields = arrived.headers.clone();
        if let Some(entry) = self.confirm(&base, arrived, now) {
            return self.over(Landing::Revalidated(entry), RefreshEnd::Kept, now.instant);
        }
        if let Some((mut headers, why)) = self.confirmed_to_one(&base, &fields, now) {
            match why {
                // It would be confirmed like this for ever, and never be fresh.
                NotStored::SetCookie | NotStored::SecretField | NotStored::OtherStrength => {
                    self.cache.ask_whole(&self.errand, &base);
                }
                // It is not to be kept any more.
                _ => self.cache.end(&self.errand, &base),
            }
            headers.insert(header::CONTENT_LENGTH, base.body().len().into());
            headers.remove(header::VIA);
            for via in fields.get_all(header::VIA) {
                headers.append(header::VIA, via.clone());
            }
            let arrived = Arrived { status: base.status(), headers, ending: Ending::Unmarked, delay: Duration::ZERO };
            return match self.private(arrived, why, RefreshEnd::NotKept) {
                Heard::Private(private) => Heard::Private(Private { confirmed: Some(base), ..private }),
                heard => heard,
            };
        }
        // What comes now was asked for after that.
        self.errand.base.take_if(|base| base.is_ended());
        Heard::Again(self)
    }

    /// What a 304 makes of what is stored, where that is its asker's alone and not to be kept: it sets a cookie, say. Asking once more
    /// would bring the same.
    fn confirmed_to_one(&self, base: &Entry, fields: &HeaderMap, now: Now) -> Option<(HeaderMap, NotStored)> {
        let Fetch { cache, errand, .. } = self;
        let validators = base.said_validators();
        let stands =
            !base.is_ended() && !self.is_refused_since() && cache.log.check(base.birth(), base) != Standing::Dead;
        let updates = validators.any() && validate::confirms(fields, &validators);
        if !stands || !updates && !validate::confirms_weakly(fields, &validators) {
            return None;
        }
        if !updates {
            return Some((as_said(base), NotStored::OtherStrength));
        }
        let merged = validate::merge(&as_said(base), fields, &errand.route.caching);
        let answered = errand.answered(base.status(), &merged, Duration::ZERO, now);
        let why = match admit(&answered, &errand.route.caching) {
            Admit::Store(_) => return None,
            Admit::Discard(why) | Admit::RememberUncacheable(why) => why,
        };
        Some((merged, why))
    }

    /// Merges a 304 (RFC 9111 §4.3.4). `None`: the base is dead or not what was confirmed; fetch again without the condition.
    fn confirm(&self, base: &Entry, confirmed: Arrived, now: Now) -> Option<Entry> {
        let validators = base.said_validators();
        // What was refused meanwhile is confirmed by nothing that left before.
        if base.is_ended()
            || self.is_refused_since()
            || !validators.any()
            || !validate::confirms(&confirmed.headers, &validators)
        {
            return None;
        }
        let (entry, vary) = self.merged(base, confirmed.headers, confirmed.delay, now)?;
        let kept = self.cache.keep(self.errand.selected(&vary), self.left, entry.clone(), now.instant);
        kept.is_ok().then_some(entry)
    }

    /// Judges a whole answer and acts on the judgement. `unkept`: what later ones learn from it if it is not kept.
    fn receive(self, arrived: Arrived, unkept: RefreshEnd, now: Now) -> Heard<S> {
        if self.errand.asks == Asks::Head {
            return self.heard_head(arrived, unkept, now);
        }
        if matches!(arrived.status, StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) {
            return self.heard_part(arrived, unkept, now);
        }
        let verdict = self.errand.judge(&arrived, now);
        let is_stored = matches!(verdict, Admit::Store(_));
        if !is_stored {
            self.end_if_refused(arrived.status);
        } else if self.keeps_apart(&arrived, now) {
            return self.private(arrived, NotStored::Unlike, unkept);
        }
        if is_stored && is_refusal(arrived.status) && self.errand.credentialed == Credentialed::No {
            // It takes the place of what is there, and what left before it brings that back no more than after any other.
            self.cache.refused.mark(&self.errand.primary, self.left);
        }
        let was_ended = self.errand.base.as_ref().is_some_and(Entry::is_ended);
        let was_refused = (was_ended || self.is_refused_since()) && !is_off(Rule::AfterRefusal);
        let (terms, storing) = match verdict {
            // It left before the copy in whose place it would be was refused.
            Admit::Store(_) if was_refused => return self.private(arrived, NotStored::RefusedSince, unkept),
            Admit::Store(terms) => (terms, Ok(())),
            // It is its asker's alone, and a 5xx of the second flight in a row everybody's who waits; nobody's later.
            Admit::Discard(why) if self.errand.is_everybodys(&arrived, now) => {
                (self.errand.passing_terms(&arrived, now), Err(why))
            }
            Admit::Discard(why) | Admit::RememberUncacheable(why) => {
                if matches!(verdict, Admit::RememberUncacheable(_)) {
                    self.remember_uncacheable(why, arrived.status, now.instant);
                }
                return self.private(arrived, why, unkept);
            }
        };
        let (filling, withheld) = self.filling(arrived, terms, storing, now);
        Heard::Fill(Fill::new(self, filling, withheld, unkept, Beside::default()))
    }

    /// After a refusal nothing lives on: not the copy that was asked about. What the origin refuses one of those who ask it each
    /// time says nothing about the others.
    pub(super) fn end_if_refused(&self, status: StatusCode) {
        let refused = is_refusal(status) && !is_off(Rule::AfterRefusal);
        // Nor does what it refuses to credentials that are in no key: what is stored is for those without, or opened to all.
        let says_something =
            self.errand.standing_in == StandingIn::Allowed && self.errand.credentialed == Credentialed::No;
        if refused && says_something {
            self.cache.refuse(&self.errand);
        }
    }

    /// It left before a refusal of the same came.
    pub(super) fn is_refused_since(&self) -> bool {
        self.cache.refused.since(&self.errand.primary, self.left) && !is_off(Rule::AfterRefusal)
    }

    /// An answer that is unlike what is stored for several people may be a page that stands in its asker's way. It takes
    /// nothing's place; what it is unlike ends only where it is stale, so that an origin may change its mind.
    fn keeps_apart(&self, arrived: &Arrived, now: Now) -> bool {
        let is_shared =
            matches!(&self.errand.route.caching, Caching::Named(policy) if policy.share.is_between_people());
        let Some(base) = self.errand.base.as_ref().filter(|_| is_shared) else { return false };
        if likeness(&as_said(base), &arrived.headers) != Likeness::Unlike || is_off(Rule::Unlike) {
            return false;
        }
        let vital = base.vital();
        if vital.age(now.instant) >= vital.lifetime.fresh_for {
            self.cache.end(&self.errand, base);
        }
        true
    }

    pub(super) fn private(mut self, arrived: Arrived, why: NotStored, unkept: RefreshEnd) -> Heard<S> {
        self.cache.flights.leave(&self.takeoff.flight);
        let sent = std::mem::take(&mut self.errand.headers);
        Heard::Private(Private { headers: arrived.headers, sent, confirmed: None, fetch: self, why, unkept })
    }

    /// What is told to all, and the fields that only the leader gets.
    pub(super) fn filling(
        &self,
        arrived: Arrived,
        terms: Terms,
        mut storing: Result<(), NotStored>,
        now: Now,
    ) -> (Filling, HeaderMap) {
        let Fetch { cache, errand, .. } = self;
        let mut fields = arrived.headers;
        leave_hop(&mut fields, &errand.route.tag_fields);
        if !fields.contains_key(header::DATE) {
            fields.insert(header::DATE, http_date(now));
        }
        let mut tags = errand.place.carried(&errand.route).bounded(cache.filing.bounds.tags);
        take_tags(&mut fields, &errand.route.tag_fields, &errand.place.origin(), &mut tags);
        // Of what is not stored too: it may be given to those who wait.
        let told = errand.place.add_known_templates(&errand.route, &mut tags);
        if storing.is_err() && is_off(Rule::FollowersTagsOfUnstored) {
            tags = errand.place.carried(&errand.route);
        }
        let known = match errand.tags_known() == TagsKnown::NotAll || told.is_err() || tags.overflowed() {
            true => TagsKnown::NotAll,
            false => TagsKnown::All,
        };
        if storing.is_ok() {
            storing =
                told.map_err(|_| NotStored::TagUnknown).and_then(|()| storable(&terms, &tags, &cache.filing.bounds));
            if let Err(why) = storing {
                self.remember_uncacheable(why, arrived.status, now.instant);
            }
        }
        let born = if is_off(Rule::Birth) { cache.log.stamp() } else { self.takeoff.flight.born };
        let vary = errand.unkeyed(&terms.vary);
        let variant = match vary.is_empty() {
            true => errand.primary.clone(),
            false => Key::from(key::variant(&errand.primary, &vary, &errand.headers).as_slice()),
        };
        if storing.is_ok() && !cache.memory.admits(&variant, errand.owners, length(arrived.ending)) {
            storing = Err(NotStored::StoreFull);
        }
        let (spool, stored) = self.spool(arrived.ending, storing);
        if !vary.is_empty() && !matches!(stored, Stored::No(_)) {
            // At once, while this one is still coming.
            cache.expect(errand.selected(&vary), now.instant);
            if let Some(rest) = self.takeoff.flight.key.strip_prefix(&*errand.spot) {
                cache.flights.brings(&self.takeoff.flight, Key::from(&*[&*variant, rest].concat()));
            }
        }
        let withheld = of_names(&fields, &terms.withheld);
        let (status, part) = (arrived.status, None);
        let head = Arc::new(build(fields, status, &terms, errand.delivery(), now, Birth::new(born, born), tags));
        (Filling { head, spool, variant, vary, tags: known, stored, part, status }, withheld)
    }

    /// Room for a body: all of it where it is to be stored and there is so much, else a window.
    pub(super) fn spool(&self, ending: Ending, storing: Result<(), NotStored>) -> (Arc<Spool>, Stored) {
        let length = length(ending);
        let budget = &self.cache.budget;
        match (Spool::kept(length, budget, self.errand.max_object), storing) {
            (Ok(spool), Ok(())) if length.is_some() => (spool, Stored::Yes),
            (Ok(spool), Ok(())) => (spool, Stored::IfItFits),
            (Ok(spool), Err(why)) => (spool, Stored::No(why)),
            (Err(no_room), storing) => {
                (Spool::window(length, budget), Stored::No(storing.err().unwrap_or(no_room.into())))
            }
        }
    }

    /// For a while nobody waits for another's fetch here. Of what came for one range nothing is known that holds for others; and
    /// what an origin says while it is ill says little of what it will say.
    pub(super) fn remember_uncacheable(&self, why: NotStored, status: StatusCode, now: Instant) {
        let until = now + if status.is_server_error() { REMEMBER_ERROR } else { REMEMBER_UNCACHEABLE };
        let slot = if why == NotStored::TooLarge { Slot::TooLong(until) } else { Slot::Uncacheable(until) };
        let Extent { span, held } = &self.errand.extent;
        match (span, held) {
            (None, _) => self.cache.keep_nothing(&self.takeoff.flight.key, slot),
            // In place of a part of something else.
            (Some(_), Some(_)) if why == NotStored::TooLarge => self.cache.keep_nothing(&self.errand.spot, slot),
            (Some(_), _) => {}
        }
    }
}

impl<S: Slots> Private<S> {
    /// The leader has it; the others are told to ask for themselves.
    pub fn handed_on(self, now: Instant) {
        self.fetch.takeoff.flight.land(Landing::Uncacheable(self.why));
        self.fetch.end(self.unkept, now);
    }
}

/// How long a body is, where that is known, in bytes.
fn length(ending: Ending) -> Option<u64> {
    match ending {
        Ending::Length(length) => Some(length),
        Ending::Marked | Ending::Unmarked => None,
    }
}

/// The fields of these names.
fn of_names(fields: &HeaderMap, names: &[http::HeaderName]) -> HeaderMap {
    let all = names.iter().flat_map(|name| fields.get_all(name).iter().map(move |value| (name.clone(), value.clone())));
    all.collect()
}

/// Whether a status is an error that a stale answer may stand in for: RFC 5861 §4 names these.
pub fn is_ill(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
