//! One fetch, from take-off to the head of an answer: what is asked, and what is made of what comes.
//!
//! A hard-purged entry is never the base of a 304, checked again at the merge (purge rule 8). Whatever ends a fetch is told
//! to those who wait before the flight leaves, and so is what later ones learn from it: whoever finds none under way finds
//! that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, StatusCode, header};

use super::backoff::Ended;
use super::fill::Fill;
use super::flight::{Filling, Flight, Landing, TagsKnown, Takeoff};
use super::head::{as_said, build, http_date};
use super::parts::{Beside, Extent};
use super::tags::Place;
use super::variants::Selected;
use super::{Cache, MAX_VARY_NAMES, REMEMBER_UNCACHEABLE, Slots};
use crate::clock::Now;
use crate::edge::deliver;
use crate::entry::{Entry, Head, Slot};
use crate::failure::{Failure, FailureKind};
use crate::http1::Framing;
use crate::key::{self, Key};
use crate::outcome::Stored;
use crate::policy::admit::{Admit, Answered, Downstream, NotStored, Terms, admit, is_alike_for_all, is_open, withheld};
use crate::policy::plan::Credentialed;
use crate::policy::range::Span;
use crate::policy::rescue::{Rescue, rescue};
use crate::policy::validate;
use crate::route::Route;
use crate::spool::Spool;
use crate::store::mutants::{Rule, is_off};
use crate::store::purge::{Birth, Stamp, Standing};
use crate::tag::TagSet;
use crate::upstream::exchange::{MAX_FIELDS, MAX_HEAD};

/// What a flight is to bring, and for whom.
#[derive(Debug)]
pub struct Errand {
    /// What is asked of the origin.
    pub asks: Asks,
    /// How much of it, and what of that is there.
    pub extent: Extent,
    /// The route.
    pub route: Arc<Route>,
    /// The key before any `Vary`.
    pub primary: Key,
    /// The key under which the answer was looked for: the primary one, or a variant's.
    pub spot: Key,
    /// The fields to send: what is keyed, and ours.
    pub headers: HeaderMap,
    /// Whether credentials were shown that are no part of the key.
    pub credentialed: Credentialed,
    /// Fields of requests that hold credentials and are neither keyed nor sent: what differs by them is not for all.
    pub unsent: Vec<HeaderName>,
    /// The longest body that is stored, in bytes.
    pub max_object: u64,
    /// For its tags.
    pub place: Place,
    /// What is stored and may be confirmed or stand in.
    pub base: Option<Entry>,
    /// Whether it may stand in.
    pub standing_in: StandingIn,
}

/// What is asked of the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// GET: the answer, or that what is stored still is it.
    Whole,
    /// GET for these bytes of it.
    Span(Span),
    /// HEAD: what may be said of it.
    Head,
}

/// Whether a stored answer may stand in when the origin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandingIn {
    /// As its windows allow.
    Allowed,
    /// Not for somebody of whom the origin has not said that they may have it.
    Forbidden,
}

/// The head of an answer, as it came.
#[derive(Debug)]
pub struct Arrived {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// How the end of its body is known.
    pub framing: Framing,
    /// From sending the request to receiving the head.
    pub delay: Duration,
}

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
    fetch: Fetch<S>,
    why: NotStored,
    unkept: Ended,
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
    asked: Stamp,
}

impl<S: Slots> Fetch<S> {
    /// Nothing was asked yet.
    pub fn new(cache: Arc<Cache<S>>, takeoff: Takeoff, errand: Errand) -> Fetch<S> {
        let (condition, asked) = (errand.base.clone().filter(|_| errand.asks == Asks::Whole), takeoff.flight.born);
        Fetch { cache, takeoff, errand, condition, asked }
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

    /// The fields of the request, which is to leave at once.
    pub fn ask(&mut self) -> HeaderMap {
        let mut headers = self.errand.headers.clone();
        if let Some(entry) = &self.condition {
            validate::add_conditions(&mut headers, &entry.validators());
        }
        self.errand.extent.ask(&mut headers);
        self.asked = self.cache.log.stamp();
        headers
    }

    /// No answer came: what is stale stands in, or everybody is told.
    pub fn failed(self, failure: Failure, now: Instant) {
        self.land_failure(failure, now);
        self.end(Ended::Failed, now);
    }

    /// The head of an answer is there.
    pub fn answered(self, arrived: Arrived, now: Now) -> Heard<S> {
        self.takeoff.flight.add_origin_delay(arrived.delay);
        if arrived.status == StatusCode::NOT_MODIFIED {
            return self.not_modified(arrived, now);
        }
        if !is_ill(arrived.status) {
            return self.receive(arrived, Ended::NotKept, now);
        }
        match self.stand_in(Failure::sent(FailureKind::Protocol), now.instant) {
            Some(landing) => self.over(landing, Ended::Failed, now.instant),
            None => self.receive(arrived, Ended::Failed, now),
        }
    }

    pub(super) fn end(self, ended: Ended, now: Instant) {
        // Before the flight leaves with `self`.
        self.cache.backoff.note(&self.takeoff.flight.key, self.errand.route.upstream, ended, now);
    }

    pub(super) fn over(self, landing: Landing, ended: Ended, now: Instant) -> Heard<S> {
        self.takeoff.flight.land(landing);
        self.end(ended, now);
        Heard::Over
    }

    pub(super) fn land_failure(&self, failure: Failure, now: Instant) {
        let landing = self.stand_in(failure, now).unwrap_or(Landing::Failed(failure));
        self.takeoff.flight.land(landing);
    }

    fn stand_in(&self, failure: Failure, now: Instant) -> Option<Landing> {
        let entry = self.errand.base.as_ref().filter(|_| self.errand.standing_in == StandingIn::Allowed)?;
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
        match self.confirm(&base, arrived, now) {
            Some(entry) => self.over(Landing::Revalidated(entry), Ended::Kept, now.instant),
            None => Heard::Again(self),
        }
    }

    /// Merges a 304 (RFC 9111 §4.3.4). `None`: the base is dead or not what was confirmed; fetch again without the condition.
    fn confirm(&self, base: &Entry, confirmed: Arrived, now: Now) -> Option<Entry> {
        let validators = base.validators();
        if !validators.any() || !validate::confirms(&confirmed.headers, &validators) {
            return None;
        }
        let (entry, vary) = self.merged(base, confirmed.headers, confirmed.delay, now)?;
        self.cache.keep(self.errand.selected(&vary), entry.clone(), now.instant);
        Some(entry)
    }

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
        if errand.credentialed == Credentialed::Yes && !is_open(&fields, now.wall) {
            return None;
        }
        deliver::leave_hop(&mut fields);
        fields.remove(header::VIA);
        let mut tags = if is_off(Rule::MergedTags) { TagSet::default() } else { base.tags() };
        // A 304 that names no tags drops none: the union.
        deliver::take_tags(&mut fields, &errand.place.origin(), &mut tags);
        let mut merged = validate::merge(&as_said(base), &fields, &errand.route.caching);
        if !fields.contains_key(header::DATE) {
            merged.insert(header::DATE, http_date(now));
        }
        if !is_of_usual_size(&merged) {
            return None;
        }
        let answered = errand.answered(base.status(), &merged, delay, now);
        let Admit::Store(terms) = errand.admit(&answered) else {
            // It may be used for those who asked, but not kept: the whole is fetched and judged.
            return None;
        };
        storable(&terms, &tags).ok()?;
        let vary = errand.unkeyed(&terms.vary);
        let variant = key::variant(&errand.primary, &vary, &errand.headers);
        if !vary.is_empty() && variant.as_slice() != &*errand.spot && !is_off(Rule::MergedVariant) {
            return None;
        }
        let born = if is_off(Rule::Base) || is_off(Rule::MergedBirth) { cache.log.stamp() } else { base.birth().born };
        let birth = Birth::new(born, self.asked);
        Some((build(merged, base.status(), &terms, errand.route.targeted, now, birth, tags), vary))
    }

    /// Judges a whole answer and acts on the judgement. `unkept`: what later ones learn from it if it is not kept.
    fn receive(self, arrived: Arrived, unkept: Ended, now: Now) -> Heard<S> {
        if self.errand.asks == Asks::Head {
            return self.heard_head(arrived, unkept, now);
        }
        if matches!(arrived.status, StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE) {
            return self.heard_part(arrived, unkept, now);
        }
        let verdict = self.errand.judge(&arrived, now);
        let (terms, storing) = match verdict {
            Admit::Store(terms) => (terms, Ok(())),
            // Those who wait may have it, nobody later: a lifetime of nothing. Not when they differ in their credentials.
            Admit::Discard(why) if self.errand.is_everybodys(&arrived, now) => {
                (self.errand.passing_terms(&arrived, now), Err(why))
            }
            Admit::Discard(why) | Admit::RememberUncacheable(why) => {
                if matches!(verdict, Admit::RememberUncacheable(_)) {
                    self.remember_uncacheable(why, now.instant);
                }
                return self.private(arrived, why, unkept);
            }
        };
        let (filling, withheld) = self.filling(arrived, terms, storing, now);
        Heard::Fill(Fill::new(self, filling, withheld, unkept, Beside::default()))
    }

    pub(super) fn private(mut self, arrived: Arrived, why: NotStored, unkept: Ended) -> Heard<S> {
        self.cache.flights.leave(&self.takeoff.flight);
        let sent = std::mem::take(&mut self.errand.headers);
        Heard::Private(Private { headers: arrived.headers, sent, fetch: self, why, unkept })
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
        deliver::leave_hop(&mut fields);
        if !fields.contains_key(header::DATE) {
            fields.insert(header::DATE, http_date(now));
        }
        let mut tags = errand.place.carried(&errand.route);
        deliver::take_tags(&mut fields, &errand.place.origin(), &mut tags);
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
            storing = told.map_err(|_| NotStored::TagUnknown).and_then(|()| storable(&terms, &tags));
            if let Err(why) = storing {
                self.remember_uncacheable(why, now.instant);
            }
        }
        let (spool, stored) = self.spool(arrived.framing, storing);
        let born = if is_off(Rule::Birth) { cache.log.stamp() } else { self.takeoff.flight.born };
        let vary = errand.unkeyed(&terms.vary);
        let variant = match vary.is_empty() {
            true => errand.primary.clone(),
            false => Key::from(key::variant(&errand.primary, &vary, &errand.headers).as_slice()),
        };
        if !vary.is_empty() && !matches!(stored, Stored::No(_)) {
            // At once, while this one is still coming.
            cache.expect(errand.selected(&vary), now.instant);
        }
        let withheld = of_names(&fields, &terms.withheld);
        let (status, part) = (arrived.status, None);
        let head = Arc::new(build(fields, status, &terms, errand.route.targeted, now, Birth::new(born, born), tags));
        (Filling { head, spool, variant, vary, tags: known, stored, part, status }, withheld)
    }

    /// Room for a body: all of it where it is to be stored and there is so much, else a window.
    pub(super) fn spool(&self, framing: Framing, storing: Result<(), NotStored>) -> (Arc<Spool>, Stored) {
        let length = match framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::Close => None,
        };
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

    /// For a while nobody waits for another's fetch here. Of what came for one range nothing is known that holds for others.
    pub(super) fn remember_uncacheable(&self, why: NotStored, now: Instant) {
        let until = now + REMEMBER_UNCACHEABLE;
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

impl<S: Slots> Cache<S> {
    /// A request was passed because nothing could be kept under this key, and this came. If it could have been kept after all,
    /// the next one flies. What is not known before the body, its length or tags in it, decides nothing.
    pub fn passed(
        &self,
        key: &[u8],
        answered: &Answered<'_>,
        framing: Framing,
        max_object: u64,
        route: &Route,
        now: Instant,
    ) {
        let is_known = matches!(framing, Framing::Length(_)) && !route.tags.iter().any(|tag| tag.needs_answer());
        let keeps = |terms: &Terms| terms.vary.len() <= MAX_VARY_NAMES;
        let verdict = admit(answered, &route.caching);
        if is_known && matches!(judge(answered, framing, max_object, verdict), Admit::Store(terms) if keeps(&terms)) {
            self.keep_again(&key.into(), now);
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

impl Errand {
    /// For which requests its answer is, by the fields that tell them apart.
    pub(super) fn selected<'a>(&'a self, names: &'a Arc<[HeaderName]>) -> Selected<'a> {
        Selected { primary: &self.primary, names, sent: &self.headers }
    }

    /// Those of the fields that are no part of the primary key.
    fn unkeyed(&self, names: &[HeaderName]) -> Arc<[HeaderName]> {
        names.iter().filter(|name| !self.route.serves.reduces(name)).cloned().collect()
    }

    /// Whether the route's tags are known before the body.
    pub(super) fn tags_known(&self) -> TagsKnown {
        match self.route.tags.iter().any(|template| template.needs_answer()) {
            true => TagsKnown::NotAll,
            false => TagsKnown::All,
        }
    }

    pub(super) fn judge(&self, arrived: &Arrived, now: Now) -> Admit {
        let answered = self.answered(arrived.status, &arrived.headers, arrived.delay, now);
        judge(&answered, arrived.framing, self.max_object, self.admit(&answered))
    }

    fn admit(&self, answered: &Answered<'_>) -> Admit {
        match admit(answered, &self.route.caching) {
            Admit::Store(terms) if terms.vary.iter().any(|name| self.unsent.contains(name)) => {
                Admit::RememberUncacheable(NotStored::VaryCredential)
            }
            verdict => verdict,
        }
    }

    fn answered<'a>(&'a self, status: StatusCode, headers: &'a HeaderMap, delay: Duration, now: Now) -> Answered<'a> {
        let (path, credentialed) = (&self.place.path, self.credentialed);
        Answered { status, headers, path, credentialed, arrived: now.wall, delay }
    }

    fn is_everybodys(&self, arrived: &Arrived, now: Now) -> bool {
        let answered = self.answered(arrived.status, &arrived.headers, arrived.delay, now);
        self.credentialed == Credentialed::No && is_alike_for_all(&answered, &self.route.caching)
    }

    fn passing_terms(&self, arrived: &Arrived, now: Now) -> Terms {
        use crate::entry::{Lifetime, Openness, Staleness};
        let lifetime = Lifetime {
            fresh_for: Duration::ZERO,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            ceiling: Lifetime::NO_CEILING,
            staleness: Staleness::Forbidden,
        };
        let downstream = if self.route.caching.is_sensitive() { Downstream::Private } else { Downstream::AsOrigin };
        let answered = self.answered(arrived.status, &arrived.headers, arrived.delay, now);
        let withheld = withheld(&answered, &self.route.caching);
        let (initial_age, openness, vary) = (Duration::ZERO, Openness::Closed, Vec::new());
        Terms { lifetime, initial_age, openness, vary, withheld, downstream }
    }
}

/// What of the judgement takes the tags.
fn storable(terms: &Terms, tags: &TagSet) -> Result<(), NotStored> {
    if tags.overflowed() && !is_off(Rule::Bound) {
        return Err(NotStored::TooManyTags);
    }
    if terms.vary.len() > MAX_VARY_NAMES {
        return Err(NotStored::VaryAll);
    }
    Ok(())
}

/// The third question, and what only the transfer tells.
fn judge(answered: &Answered<'_>, framing: Framing, max_object: u64, verdict: Admit) -> Admit {
    if matches!(verdict, Admit::RememberUncacheable(_)) {
        return verdict;
    }
    match framing {
        Framing::Length(length) if length > max_object => Admit::RememberUncacheable(NotStored::TooLarge),
        // A cut could not be told from the end.
        Framing::Close => Admit::RememberUncacheable(NotStored::Incomplete),
        // Trailers are not kept, so what has them is not the whole without them. Only behind chunks can there be any.
        Framing::Chunked if answered.headers.contains_key(header::TRAILER) => {
            Admit::RememberUncacheable(NotStored::Trailers)
        }
        _ => verdict,
    }
}

/// No update brings more into an answer than one may have that comes whole: each of them may have other fields.
fn is_of_usual_size(fields: &HeaderMap) -> bool {
    let length: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    fields.len() <= MAX_FIELDS && length <= MAX_HEAD
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
