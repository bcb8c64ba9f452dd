//! What a flight is to bring, for whom, and how an answer to it is judged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, StatusCode, header};

use super::flight::TagsKnown;
use super::head::Delivery;
use super::tags::RequestPlace;
use crate::body::ending::Ending;
use crate::coherence::cache::Cache;
use crate::coherence::extent::Extent;
use crate::coherence::selected::SelectedBy;
use crate::entry::head::{Credentialed, Lifetime, Openness, OriginClock};
use crate::entry::key::Key;
use crate::entry::owner::Owners;
use crate::entry::stored::Entry;
use crate::entry::tag::TagSet;
use crate::fields::range::Span;
use crate::ground::clock::Now;
use crate::ground::mutants::{Rule, is_off};
use crate::policy::admit::{Admit, Terms, admit, is_alike_for_all, withheld};
use crate::policy::answered::{Answered, Downstream};
use crate::policy::bound::Binding;
use crate::policy::not_stored::NotStored;
use crate::rules::caching::Caching;
use crate::rules::canonical;
use crate::rules::route::Route;
use crate::store::settings::Bounds;
use crate::store::slots::Slots;

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
    /// The longest body that is stored, in bytes.
    pub max_object: u64,
    /// For its tags.
    pub place: RequestPlace,
    /// What is stored and may be confirmed or stand in.
    pub base: Option<Entry>,
    /// Whether it may stand in.
    pub standing_in: StandingIn,
    /// Whether the origin is asked on the condition that it is not what is stored.
    pub conditions: Conditions,
    /// The cookies that protect forms, as pairs, where they are sent and keyed.
    pub form_cookies: Vec<Vec<u8>>,
    /// Fields by which the answers of the route were seen to differ: sent, so that its answer is kept by them, whatever it says.
    pub selecting: Arc<[HeaderName]>,
    /// What binds the tags of the answer to its principal, where it is one principal's.
    pub binding: Option<Binding>,
    /// For whom it is, as far as the store needs to know.
    pub owners: Owners,
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

/// Whether the origin is asked on the condition that its answer is not what is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conditions {
    /// It is, where something is stored that has a validator.
    Sent,
    /// It is asked for the whole: of its 304 it is not known whether it looks at who asks.
    Withheld,
}

/// The head of an answer, as it came.
#[derive(Debug)]
pub struct Arrived {
    /// The status.
    pub status: StatusCode,
    /// The fields.
    pub headers: HeaderMap,
    /// How the end of its body is known.
    pub ending: Ending,
    /// From sending the request to receiving the head.
    pub delay: Duration,
}

impl Errand {
    /// For which requests its answer is, by the fields that tell them apart.
    pub(super) fn selected<'a>(&'a self, names: &'a Arc<[HeaderName]>) -> SelectedBy<'a> {
        SelectedBy { primary: &self.primary, names, sent: &self.headers }
    }

    /// What of its answer is delivered otherwise than the origin said it.
    pub(super) fn delivery(&self) -> Delivery<'_> {
        Delivery { targeted: self.route.targeted, binding: self.binding.as_ref(), owners: self.owners }
    }

    /// By which fields an answer is kept that names these: those of them that are no part of the primary key, what was sent beyond that,
    /// and `Accept` where it is none of the usual ones, which have keys of their own.
    pub(super) fn unkeyed(&self, names: &[HeaderName]) -> Arc<[HeaderName]> {
        let named = names.iter().filter(|name| !self.route.serves.reduces(name));
        let mut unkeyed: Vec<HeaderName> = named.chain(self.selecting.iter()).cloned().collect();
        let keys = matches!(&self.route.caching, Caching::Named(policy) if policy.keys_accept());
        let accept = self.headers.get(header::ACCEPT).map_or(&b"*/*"[..], |accept| accept.as_bytes());
        if keys && !canonical::is_usual_accept(accept) {
            unkeyed.push(header::ACCEPT);
        }
        unkeyed.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
        unkeyed.dedup();
        unkeyed.into()
    }

    /// Whether the route's tags are known before the body.
    pub(super) fn tags_known(&self) -> TagsKnown {
        match self.route.tags.iter().any(|template| template.needs_answer()) {
            true => TagsKnown::NotAll,
            false => TagsKnown::All,
        }
    }

    /// The third question, and what only the transfer tells.
    pub(super) fn judge(&self, arrived: &Arrived, now: Now) -> Admit {
        let answered = self.answered(arrived.status, &arrived.headers, arrived.delay, now);
        judge(&answered, arrived.ending, self.max_object, &self.route.caching)
    }

    pub(super) fn answered<'a>(
        &'a self,
        status: StatusCode,
        headers: &'a HeaderMap,
        delay: Duration,
        now: Now,
    ) -> Answered<'a> {
        let (path, credentialed) = (&self.place.path, self.credentialed);
        let form_cookies = &self.form_cookies;
        Answered { status, headers, path, credentialed, form_cookies, arrived: now.wall, delay }
    }

    pub(super) fn is_everybodys(&self, arrived: &Arrived, now: Now) -> bool {
        let answered = self.answered(arrived.status, &arrived.headers, arrived.delay, now);
        self.credentialed == Credentialed::No && is_alike_for_all(&answered, &self.route.caching)
    }

    /// For those who wait, and nobody later.
    pub(super) fn passing_terms(&self, arrived: &Arrived, now: Now) -> Terms {
        let downstream = if self.route.caching.is_sensitive() { Downstream::Private } else { Downstream::AsOrigin };
        let answered = self.answered(arrived.status, &arrived.headers, arrived.delay, now);
        let withheld = withheld(&answered, &self.route.caching);
        let (lifetime, openness) = (Lifetime::NOTHING, Openness::Closed);
        let (initial_age, vary, clock) = (Duration::ZERO, Vec::new(), OriginClock::Right);
        Terms { lifetime, initial_age, openness, clock, vary, withheld, downstream }
    }
}

impl<S: Slots> Cache<S> {
    /// A request was passed because nothing could be kept under this key, and this came. If it could have been kept after all,
    /// the next one flies. What is not known before the body, its length or tags in it, decides nothing.
    pub fn passed(
        &self,
        key: &[u8],
        answered: &Answered<'_>,
        ending: Ending,
        max_object: u64,
        route: &Route,
        now: Instant,
    ) {
        let is_known = matches!(ending, Ending::Length(_)) && !route.tags.iter().any(|tag| tag.needs_answer());
        let keeps = |terms: &Terms| terms.vary.len() <= self.filing.bounds.vary;
        let verdict = judge(answered, ending, max_object, &route.caching);
        if is_known && matches!(verdict, Admit::Store(terms) if keeps(&terms)) {
            self.keep_again(&key.into(), now);
        }
    }
}

/// What of the judgement takes the tags.
pub(super) fn storable(terms: &Terms, tags: &TagSet, bounds: &Bounds) -> Result<(), NotStored> {
    if tags.overflowed() && !is_off(Rule::Bound) {
        return Err(NotStored::TooManyTags);
    }
    if terms.vary.len() > bounds.vary {
        return Err(NotStored::VaryNames);
    }
    Ok(())
}

fn judge(answered: &Answered<'_>, ending: Ending, max_object: u64, caching: &Caching) -> Admit {
    let verdict = admit(answered, caching);
    // How its body comes matters for nothing else.
    if !matches!(verdict, Admit::Store(_)) {
        return verdict;
    }
    match ending {
        Ending::Length(length) if length > max_object => Admit::RememberUncacheable(NotStored::TooLarge),
        // A cut could not be told from the end.
        Ending::Unmarked => Admit::RememberUncacheable(NotStored::Incomplete),
        // Trailers are not kept, so what has them is not the whole without them. Only behind chunks can there be any.
        Ending::Marked if answered.headers.contains_key(header::TRAILER) => {
            Admit::RememberUncacheable(NotStored::Trailers)
        }
        _ => verdict,
    }
}
