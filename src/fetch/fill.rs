//! One flight, from take-off to landing: ask the origin, judge its head, fill the body, store the whole.
//!
//! It runs as a task of its own. Nobody's hanging up touches it; a panic or a lost task lands it as failed. A hard-purged
//! entry is never the base of a 304, checked again at the merge (purge rule 8). The entry is stored before the last piece
//! of its body is handed out, so whoever has read all of it finds it stored.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use http_body_util::BodyExt;
use tokio::sync::{Semaphore, oneshot};

use super::flight::{Filling, Flights, Landing, TagsKnown, Takeoff};
use super::head::{as_said, build, http_date};
use super::spool::{Appended, Reader, Spool};
use super::tags::Place;
use crate::body::Body;
use crate::clock::{Clock, Now};
use crate::edge::deliver;
use crate::entry::{Entry, Head, Slot};
use crate::failure::{Failure, FailureKind};
use crate::key::{self, Key};
use crate::policy::admit::{Admit, Answered, Downstream, NotStored, Terms, admit, is_alike_for_all};
use crate::policy::plan::Credentialed;
use crate::policy::rescue::{Rescue, rescue};
use crate::policy::validate;
use crate::route::Route;
use crate::store::memory::Memory;
use crate::store::mutants::{Rule, is_off};
use crate::store::purge::{Birth, PurgeLog, Stamp, Standing};
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
    /// Refreshes that nobody waits for, at once.
    pub refreshes: Arc<Semaphore>,
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
    /// The leader's own hand: an answer that is nobody else's goes there.
    pub own: Option<oneshot::Sender<Own>>,
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
    let mut base = errand.base.clone();
    // Twice at most: with the condition and, should the base be purged meanwhile or not be what was meant, without it.
    let exchanged = loop {
        let mut headers = errand.headers.clone();
        if let Some(entry) = &base {
            validate::add_conditions(&mut headers, &entry.head.validators);
        }
        let outgoing = Outgoing {
            upgrades: false,
            method: Method::GET,
            target: errand.target.clone(),
            headers,
            body: Body::Empty,
            interim: None,
            upload: None,
        };
        // Where the log stands before this very request leaves: what a confirmation is worth.
        let asked = cache.log.stamp();
        match errand.upstream.send(errand.worker, outgoing).await {
            Err(failure) => return land_failure(&cache, &takeoff, &errand, failure),
            Ok(exchanged) if exchanged.head.status != StatusCode::NOT_MODIFIED => break exchanged,
            Ok(exchanged) => match base.take() {
                None => return land_failure(&cache, &takeoff, &errand, Failure::sent(FailureKind::Protocol)),
                Some(entry) => {
                    if let Some(landing) = confirm(&cache, &errand, &entry, exchanged, asked) {
                        return takeoff.flight.land(landing);
                    }
                }
            },
        }
    };
    if is_ill(exchanged.head.status)
        && let Some(landing) = stand_in(&cache, &errand, Failure::sent(FailureKind::Protocol))
    {
        return takeoff.flight.land(landing);
    }
    receive(&cache, takeoff, errand, exchanged).await;
}

/// RFC 5861 §4 names these.
fn is_ill(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}

fn land_failure(cache: &Cache, takeoff: &Takeoff, errand: &Errand, failure: Failure) {
    let landing = stand_in(cache, errand, failure).unwrap_or(Landing::Failed(failure));
    takeoff.flight.land(landing);
}

fn stand_in(cache: &Cache, errand: &Errand, failure: Failure) -> Option<Landing> {
    let entry = errand.base.as_ref()?;
    let standing = cache.log.check(&entry.head.birth, &entry.head.tags);
    match rescue(&entry.head, standing, cache.clock.now()) {
        Rescue::ServeStale(freshness) => Some(Landing::Rescued(entry.clone(), freshness, failure)),
        Rescue::Fail => None,
    }
}

/// Merges a 304 (RFC 9111 §4.3.4). `None`: the base is dead or not what was confirmed; fetch again without the condition.
fn confirm(cache: &Cache, errand: &Errand, base: &Entry, confirmed: Exchanged, asked: Stamp) -> Option<Landing> {
    let old = &base.head;
    let dead = cache.log.check(&old.birth, &old.tags) == Standing::Dead && !is_off(Rule::Base);
    if !old.validators.any() || dead || !validate::confirms(&confirmed.head.headers, &old.validators) {
        return None;
    }
    let now = cache.clock.now();
    let mut fields = confirmed.head.headers;
    deliver::leave_hop(&mut fields);
    fields.remove(header::VIA);
    let mut tags = old.tags.clone();
    // A 304 that names no tags drops none: the union.
    deliver::take_tags(&mut fields, &errand.place.authority, &mut tags);
    let mut merged = validate::merge(&as_said(old), &fields);
    if !fields.contains_key(header::DATE) {
        merged.insert(header::DATE, http_date(now));
    }
    let answered = Answered {
        status: old.status,
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
    let born = if is_off(Rule::Base) { cache.log.stamp() } else { old.birth.born };
    let birth = Birth::new(born, asked);
    let head = build(merged, old.status, &terms, now, birth, tags);
    let entry = Entry { head: Arc::new(head), body: base.body.clone() };
    cache.memory.put(errand.spot.clone(), Slot::Entry(entry.clone()));
    Some(Landing::Revalidated(entry))
}

/// Judges a whole answer and acts on the judgement.
async fn receive(cache: &Arc<Cache>, takeoff: Takeoff, mut errand: Errand, exchanged: Exchanged) {
    let now = cache.clock.now();
    let verdict = judge(&errand, &exchanged, now);
    let (terms, storing) = match verdict {
        Admit::Store(terms) => (terms, Ok(())),
        // Those who wait may have it, nobody later: a lifetime of nothing. Not when they differ in their credentials.
        Admit::Discard(why) if is_everybodys(&errand, &exchanged) => (passing_terms(&errand), Err(why)),
        Admit::Discard(why) | Admit::RememberUncacheable(why) => {
            if matches!(verdict, Admit::RememberUncacheable(_)) {
                let until = now.instant + REMEMBER_UNCACHEABLE;
                cache.memory.put(takeoff.flight.key.clone(), Slot::Uncacheable(until));
            }
            cache.flights.leave(&takeoff.flight);
            if let Some(own) = errand.own.take() {
                // The leader may have gone; then nobody wants it.
                let _ = own.send(Own::Answer(Box::new(exchanged)));
            }
            return takeoff.flight.land(Landing::Uncacheable(why));
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
    let mut storing = storing;
    if errand.place.add_known_templates(&errand.route, &mut tags).is_err() {
        storing = storing.and(Err(NotStored::TagUnknown));
    }
    if tags.overflowed() {
        storing = storing.and(Err(NotStored::TooManyTags));
    }
    if terms.vary.len() > MAX_VARY_NAMES {
        storing = storing.and(Err(NotStored::VaryAll));
    }
    let known = match errand.route.tags.iter().any(|template| template.needs_answer()) {
        true => TagsKnown::NotBodys,
        false => TagsKnown::All,
    };
    let length = match framing {
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::Close => None,
    };
    let born = if is_off(Rule::Birth) { cache.log.stamp() } else { takeoff.flight.born };
    let vary: Arc<[http::HeaderName]> = terms.vary.clone().into();
    let variant = match vary.is_empty() {
        true => errand.primary.clone(),
        false => Key::from(key::variant(&errand.primary, &vary, &errand.headers).as_slice()),
    };
    if !vary.is_empty() && storing.is_ok() {
        // At once, so that whoever wants another variant finds its own way while this one is still coming.
        cache.memory.put(errand.primary.clone(), Slot::Vary(vary.clone()));
    }
    let head = Arc::new(build(fields, head.status, &terms, now, Birth::new(born, born), tags));
    let filling = Filling { head, spool: Spool::new(length, errand.max_object), variant, vary, tags: known, storing };
    if let Some((own, reader)) = errand.own.take().zip(filling.spool.reader()) {
        let _ = own.send(Own::Reader(reader));
    }
    pump(cache, takeoff, errand, filling, body).await;
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

/// Reads the body into the spool and stores it once it is whole.
async fn pump(cache: &Arc<Cache>, takeoff: Takeoff, errand: Errand, filling: Filling, mut body: Body) {
    let spool = filling.spool.clone();
    let flight = takeoff.flight.clone();
    let mut filling = Some(filling);
    // A head whose body is here already is stored before anybody hears of it.
    loop {
        if http_body::Body::is_end_stream(&body) {
            break;
        }
        let next = std::future::poll_fn(|cx| std::task::Poll::Ready(poll_once(&mut body, cx))).await;
        let frame = match next {
            Some(frame) => frame,
            None => {
                if flight.is_waiting()
                    && let Some(filling) = &filling
                {
                    flight.land(Landing::Filling(filling.clone()));
                }
                body.frame().await
            }
        };
        match frame {
            None => break,
            Some(Err(_)) => {
                cache.flights.leave(&flight);
                spool.fail();
                land_once(&flight, filling.take());
                return;
            }
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else { continue };
                let last = http_body::Body::is_end_stream(&body);
                if last {
                    // Nobody is woken before it is stored.
                    spool.append_quietly(data);
                    break;
                }
                if let Some(filling) = filling.as_ref().filter(|_| flight.is_waiting()) {
                    flight.land(Landing::Filling(filling.clone()));
                }
                match spool.append(data).await {
                    Appended::Kept => {}
                    Appended::Window => {
                        if filling.take().is_some() {
                            outgrown(cache, &flight);
                        }
                    }
                    Appended::Abandoned => {
                        outgrown(cache, &flight);
                        return spool.fail();
                    }
                }
            }
        }
    }
    if let Some(filling) = &filling {
        store(cache, &flight.key, &errand, filling, &spool);
    }
    cache.flights.leave(&flight);
    spool.finish();
    land_once(&flight, filling.take());
}

/// A frame if one is there without waiting.
fn poll_once(
    body: &mut Body,
    cx: &mut std::task::Context<'_>,
) -> Option<Option<Result<http_body::Frame<Bytes>, crate::body::BodyError>>> {
    match http_body::Body::poll_frame(std::pin::Pin::new(body), cx) {
        std::task::Poll::Ready(frame) => Some(frame),
        std::task::Poll::Pending => None,
    }
}

fn land_once(flight: &super::flight::Flight, filling: Option<Filling>) {
    if flight.is_waiting()
        && let Some(filling) = filling
    {
        flight.land(Landing::Filling(filling));
    }
}

fn outgrown(cache: &Cache, flight: &Arc<super::flight::Flight>) {
    let until = cache.clock.now().instant + REMEMBER_UNCACHEABLE;
    cache.memory.put(flight.key.clone(), Slot::Uncacheable(until));
    cache.flights.leave(flight);
}

/// Puts a whole answer into the store, under its variant's key.
fn store(cache: &Cache, asked: &Key, errand: &Errand, filling: &Filling, spool: &Spool) {
    let Some(body) = spool.whole() else { return };
    if filling.storing.is_err() {
        return;
    }
    let head = match with_body_tags(errand, filling, &body) {
        Ok(head) => head,
        Err(_) => {
            let until = cache.clock.now().instant + REMEMBER_UNCACHEABLE;
            return cache.memory.put(asked.clone(), Slot::Uncacheable(until));
        }
    };
    cache.memory.put(filling.variant.clone(), Slot::Entry(Entry { head, body }));
}

/// The head as it is stored: with the body's length, and with the tags that its body gives.
fn with_body_tags(errand: &Errand, filling: &Filling, body: &Bytes) -> Result<Arc<Head>, NotStored> {
    let head = &filling.head;
    let mut tags = head.tags.clone();
    if filling.tags == TagsKnown::NotBodys {
        if head.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(NotStored::TagUnknown);
        }
        let json = serde_json::from_slice(body).map_err(|_| NotStored::TagUnknown)?;
        errand.place.add_templates(&errand.route, Some(&json), &mut tags).map_err(|_| NotStored::TagUnknown)?;
        if tags.overflowed() {
            return Err(NotStored::TooManyTags);
        }
    } else if head.headers.get(header::CONTENT_LENGTH) == Some(&HeaderValue::from(body.len())) {
        return Ok(head.clone());
    }
    let mut headers = head.headers.clone();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    Ok(Arc::new(Head {
        status: head.status,
        headers,
        replaced: head.replaced.clone(),
        validators: head.validators.clone(),
        lifetime: head.lifetime,
        received: head.received,
        initial_age: head.initial_age,
        birth: Birth::new(head.birth.born, head.birth.validated),
        tags,
        openness: head.openness,
    }))
}
