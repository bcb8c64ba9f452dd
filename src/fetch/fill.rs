//! One flight, from take-off to landing: ask the origin and judge its head; what is then made of the body is its pump's.
//!
//! It runs as a task of its own. Nobody's hanging up touches it; a panic or a lost task lands it as failed. A hard-purged
//! entry is never the base of a 304, checked again at the merge (purge rule 8).

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode, Uri, header};
use tokio::sync::{Semaphore, oneshot};

use super::backoff::{Backoff, Ended};
use super::budget::Budget;
use super::flight::{Filling, Flights, Landing, TagsKnown, Takeoff};
use super::head::{as_said, build, http_date};
use super::pump::pump;
use super::spool::{Reader, Spool};
use super::tags::Place;
use crate::clock::{Clock, Now};
use crate::edge::deliver;
use crate::entry::{Entry, Slot};
use crate::failure::{Failure, FailureKind};
use crate::key::{self, Key};
use crate::outcome::Stored;
use crate::policy::admit::{Admit, Answered, Downstream, NotStored, Terms, admit, is_alike_for_all};
use crate::policy::plan::Credentialed;
use crate::policy::rescue::{Rescue, rescue};
use crate::policy::validate;
use crate::route::Route;
use crate::store::memory::Memory;
use crate::store::mutants::{Rule, is_off};
use crate::store::purge::{Birth, PurgeLog, Stamp, Standing};
use crate::tag::TagSet;
use crate::upstream::exchange::{Exchanged, Framing};
use crate::upstream::{Outgoing, Upstream, WorkerId};

/// What all flights share.
#[derive(Debug)]
pub struct Cache {
    /// Stored answers.
    pub memory: Memory,
    /// What of them is still true.
    pub log: PurgeLog,
    /// Fetches under way.
    pub flights: Arc<Flights>,
    /// The time.
    pub clock: Clock,
    /// What bodies take while they are being filled.
    pub budget: Arc<Budget>,
    /// Refreshes that nobody waits for, at once.
    pub refreshes: Arc<Semaphore>,
    /// When to refresh after failures.
    pub backoff: Backoff,
}

/// The most refreshes that nobody waits for, at once.
pub const MAX_REFRESHES: usize = 64;

/// How long it is remembered that the answers to a key cannot be stored.
pub const REMEMBER_UNCACHEABLE: Duration = Duration::from_secs(120);

/// The most request headers that an answer's `Vary` may add to a key.
pub const MAX_VARY_NAMES: usize = 8;

/// What a flight is to bring, and for whom.
#[derive(Debug)]
pub struct Errand {
    /// The service to ask, and the worker whose connections it uses.
    pub upstream: Arc<Upstream>,
    /// See above.
    pub worker: WorkerId,
    /// The route.
    pub route: Arc<Route>,
    /// The key before any `Vary`.
    pub primary: Key,
    /// The key under which the answer was looked for: the primary one, or a variant's.
    pub spot: Key,
    /// What to ask for.
    pub target: Uri,
    /// The fields to send: what is keyed, and ours.
    pub headers: HeaderMap,
    /// Whether credentials were shown that are no part of the key.
    pub credentialed: Credentialed,
    /// The longest body that is stored, in bytes.
    pub max_object: u64,
    /// For its tags.
    pub place: Place,
    /// What is stored and may be confirmed or stand in.
    pub base: Option<Entry>,
    /// Whether it may stand in.
    pub standing_in: StandingIn,
    /// The leader's own hand: an answer that is nobody else's goes there.
    pub own: Option<oneshot::Sender<Own>>,
}

/// Whether a stored answer may stand in when the origin fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StandingIn {
    /// As its windows allow.
    Allowed,
    /// Not for somebody of whom the origin has not said that they may have it.
    Forbidden,
}

/// What only the leader gets.
#[derive(Debug)]
pub enum Own {
    /// An answer that is nobody else's.
    Answer(Box<Exchanged>),
    /// A reader from the beginning, made before the first byte: a window never moves on without it.
    Reader(Reader),
}

/// Flies. The landing tells what came of it.
pub async fn fly(cache: Arc<Cache>, takeoff: Takeoff, errand: Errand) {
    let upstream = errand.route.upstream;
    let ended = bring(&cache, &takeoff, errand).await;
    // Before the flight leaves: whoever finds none under way finds what it learnt.
    cache.backoff.note(&takeoff.flight.key, upstream, ended, cache.clock.now().instant);
}

async fn bring(cache: &Arc<Cache>, takeoff: &Takeoff, errand: Errand) -> Ended {
    let mut base = errand.base.clone();
    // Twice at most: with the condition and, should the base be purged meanwhile or not be what was meant, without it.
    let exchanged = loop {
        let mut headers = errand.headers.clone();
        if let Some(entry) = &base {
            validate::add_conditions(&mut headers, &entry.validators());
        }
        let outgoing = Outgoing::get(errand.target.clone(), headers);
        // Where the log stands before this very request leaves: what a confirmation is worth.
        let asked = cache.log.stamp();
        let sent = errand.upstream.send_by(takeoff.flight.deadline, errand.worker, outgoing).await;
        if let Ok(exchanged) = &sent {
            takeoff.flight.add_origin_delay(exchanged.delay);
        }
        match sent {
            Err(failure) => return land_failure(cache, takeoff, &errand, failure),
            Ok(exchanged) if exchanged.head.status != StatusCode::NOT_MODIFIED => break exchanged,
            Ok(exchanged) => match base.take() {
                None => return land_failure(cache, takeoff, &errand, Failure::sent(FailureKind::Protocol)),
                Some(entry) => {
                    if let Some(landing) = confirm(cache, &errand, &entry, exchanged, asked) {
                        takeoff.flight.land(landing);
                        return Ended::Kept;
                    }
                }
            },
        }
    };
    let ill = is_ill(exchanged.head.status);
    if ill && let Some(landing) = stand_in(cache, &errand, Failure::sent(FailureKind::Protocol)) {
        takeoff.flight.land(landing);
        return Ended::Failed;
    }
    match receive(cache, takeoff, errand, exchanged).await {
        Ended::NotKept if ill => Ended::Failed,
        ended => ended,
    }
}

/// RFC 5861 §4 names these.
fn is_ill(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

/// The end of a flight that brought nothing: what is stale stands in, or everybody is told.
pub(super) fn land_failure(cache: &Cache, takeoff: &Takeoff, errand: &Errand, failure: Failure) -> Ended {
    let landing = stand_in(cache, errand, failure).unwrap_or(Landing::Failed(failure));
    takeoff.flight.land(landing);
    Ended::Failed
}

fn stand_in(cache: &Cache, errand: &Errand, failure: Failure) -> Option<Landing> {
    let entry = errand.base.as_ref().filter(|_| errand.standing_in == StandingIn::Allowed)?;
    let standing = cache.log.check(entry.birth(), entry);
    match rescue(&entry.vital(), standing, cache.clock.instant()) {
        Rescue::ServeStale(freshness) => Some(Landing::Rescued(entry.clone(), freshness, failure)),
        Rescue::Fail => None,
    }
}

/// Merges a 304 (RFC 9111 §4.3.4). `None`: the base is dead or not what was confirmed; fetch again without the condition.
fn confirm(cache: &Cache, errand: &Errand, base: &Entry, confirmed: Exchanged, asked: Stamp) -> Option<Landing> {
    let validators = base.validators();
    let dead = cache.log.check(base.birth(), base) == Standing::Dead && !is_off(Rule::Base);
    if !validators.any() || dead || !validate::confirms(&confirmed.head.headers, &validators) {
        return None;
    }
    let now = cache.clock.now();
    let mut fields = confirmed.head.headers;
    deliver::leave_hop(&mut fields);
    fields.remove(header::VIA);
    let mut tags = base.tags();
    // A 304 that names no tags drops none: the union.
    deliver::take_tags(&mut fields, &errand.place.authority, &mut tags);
    let mut merged = validate::merge(&as_said(base), &fields);
    if !fields.contains_key(header::DATE) {
        merged.insert(header::DATE, http_date(now));
    }
    let answered = Answered {
        status: base.status(),
        headers: &merged,
        path: &errand.place.path,
        credentialed: errand.credentialed,
        arrived: now.wall,
        delay: confirmed.delay,
    };
    let Admit::Store(terms) = admit(&answered, &errand.route.caching) else {
        // It may be used for those who asked, but not kept: the whole is fetched and judged.
        return None;
    };
    let variant = key::variant(&errand.primary, &terms.vary, &errand.headers);
    if !terms.vary.is_empty() && variant.as_slice() != &*errand.spot {
        return None;
    }
    let born = if is_off(Rule::Base) { cache.log.stamp() } else { base.birth().born };
    let birth = Birth::new(born, asked);
    let head = build(merged, base.status(), &terms, now, birth, tags);
    let entry = Entry::new(&head, base.body().clone());
    cache.memory.put(errand.spot.clone(), Slot::Entry(entry.clone()));
    Some(Landing::Revalidated(entry))
}

/// Judges a whole answer and acts on the judgement.
async fn receive(cache: &Arc<Cache>, takeoff: &Takeoff, mut errand: Errand, exchanged: Exchanged) -> Ended {
    let now = cache.clock.now();
    let verdict = judge(&errand, &exchanged, now);
    let (terms, mut storing) = match verdict {
        Admit::Store(terms) => (terms, Ok(())),
        // Those who wait may have it, nobody later: a lifetime of nothing. Not when they differ in their credentials.
        Admit::Discard(why) if is_everybodys(&errand, &exchanged) => (passing_terms(&errand), Err(why)),
        Admit::Discard(why) | Admit::RememberUncacheable(why) => {
            if matches!(verdict, Admit::RememberUncacheable(_)) {
                remember_uncacheable(cache, takeoff);
            }
            cache.flights.leave(&takeoff.flight);
            if let Some(own) = errand.own.take() {
                // The leader may have gone; then nobody wants it.
                let _ = own.send(Own::Answer(Box::new(exchanged)));
            }
            takeoff.flight.land(Landing::Uncacheable(why));
            return Ended::NotKept;
        }
    };
    let Exchanged { head, body, framing, .. } = exchanged;
    let mut fields = head.headers;
    deliver::leave_hop(&mut fields);
    if !fields.contains_key(header::DATE) {
        fields.insert(header::DATE, http_date(now));
    }
    let mut tags = errand.place.carried(&errand.route);
    deliver::take_tags(&mut fields, &errand.place.authority, &mut tags);
    if storing.is_ok() {
        storing = storable(&errand, &terms, &mut tags);
        if storing.is_err() {
            remember_uncacheable(cache, takeoff);
        }
    }
    let known = match errand.route.tags.iter().any(|template| template.needs_answer()) {
        true => TagsKnown::NotBodys,
        false => TagsKnown::All,
    };
    let length = match framing {
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::Close => None,
    };
    let (spool, stored) = match (Spool::kept(length, &cache.budget, errand.max_object), storing) {
        (Ok(spool), Ok(())) if length.is_some() => (spool, Stored::Yes),
        (Ok(spool), Ok(())) => (spool, Stored::IfItFits),
        (Ok(spool), Err(why)) => (spool, Stored::No(why)),
        (Err(no_room), storing) => {
            (Spool::window(length, &cache.budget), Stored::No(storing.err().unwrap_or(no_room.into())))
        }
    };
    let born = if is_off(Rule::Birth) { cache.log.stamp() } else { takeoff.flight.born };
    let vary: Arc<[http::HeaderName]> = terms.vary.clone().into();
    let variant = match vary.is_empty() {
        true => errand.primary.clone(),
        false => Key::from(key::variant(&errand.primary, &vary, &errand.headers).as_slice()),
    };
    if !vary.is_empty() && !matches!(stored, Stored::No(_)) {
        // At once, so that whoever wants another variant finds its own way while this one is still coming.
        cache.memory.put(errand.primary.clone(), Slot::Vary(vary.clone()));
    }
    let head = Arc::new(build(fields, head.status, &terms, now, Birth::new(born, born), tags));
    let filling = Filling { head, spool, variant, vary, tags: known, stored };
    if let Some((own, reader)) = errand.own.take().zip(filling.spool.reader()) {
        let _ = own.send(Own::Reader(reader));
    }
    pump(cache, takeoff, &errand, filling, body).await
}

/// What of the judgement takes the route's tags; adds those that are known with the head.
fn storable(errand: &Errand, terms: &Terms, tags: &mut TagSet) -> Result<(), NotStored> {
    errand.place.add_known_templates(&errand.route, tags).map_err(|_| NotStored::TagUnknown)?;
    if tags.overflowed() {
        return Err(NotStored::TooManyTags);
    }
    if terms.vary.len() > MAX_VARY_NAMES {
        return Err(NotStored::VaryAll);
    }
    Ok(())
}

/// For a while nobody waits for another's fetch here.
pub(super) fn remember_uncacheable(cache: &Cache, takeoff: &Takeoff) {
    let until = cache.clock.now().instant + REMEMBER_UNCACHEABLE;
    cache.memory.put(takeoff.flight.key.clone(), Slot::Uncacheable(until));
}

fn is_everybodys(errand: &Errand, exchanged: &Exchanged) -> bool {
    errand.credentialed == Credentialed::No && is_alike_for_all(&exchanged.head.headers, &errand.route.caching)
}

/// The third question, and what only the transfer tells.
fn judge(errand: &Errand, exchanged: &Exchanged, now: Now) -> Admit {
    let headers = &exchanged.head.headers;
    let answered = Answered {
        status: exchanged.head.status,
        headers,
        path: &errand.place.path,
        credentialed: errand.credentialed,
        arrived: now.wall,
        delay: exchanged.delay,
    };
    let verdict = admit(&answered, &errand.route.caching);
    if matches!(verdict, Admit::RememberUncacheable(_)) {
        return verdict;
    }
    match exchanged.framing {
        Framing::Length(length) if length > errand.max_object => Admit::RememberUncacheable(NotStored::TooLarge),
        // A cut could not be told from the end.
        Framing::Close => Admit::RememberUncacheable(NotStored::Incomplete),
        // Trailers are not kept, so what has them is not the whole without them.
        _ if headers.contains_key(header::TRAILER) => Admit::RememberUncacheable(NotStored::Trailers),
        _ => verdict,
    }
}

fn passing_terms(errand: &Errand) -> Terms {
    use crate::entry::{Lifetime, Openness, Staleness};
    let lifetime = Lifetime {
        fresh_for: Duration::ZERO,
        stale_while_revalidate: Duration::ZERO,
        stale_if_error: Duration::ZERO,
        ceiling: Lifetime::NO_CEILING,
        staleness: Staleness::Forbidden,
    };
    let downstream = if errand.route.caching.is_sensitive() { Downstream::Private } else { Downstream::AsOrigin };
    Terms { lifetime, initial_age: Duration::ZERO, openness: Openness::Closed, vary: Vec::new(), downstream }
}
