//! What must hold, told once more without the code under test: by the log of what truly happened.

use std::time::{Duration, Instant};

use http::header;
use stent::coherence::flight::FlightTurn;
use stent::entry::stored::Entry;

use crate::clinic::{Clinic, Kind, Person, Resource, Rules};
use crate::origin::{Copy, MAX_AGE, Origin, Record, Said, number_in, number_in_lines};

/// A position in the order of all that happens.
pub type Moment = usize;

/// A violation, in words.
pub type Broken = String;

/// What was purged, and when that was acknowledged.
#[derive(Debug)]
pub struct Purge {
    pub at: Moment,
    pub what: What,
    pub hard: bool,
}

#[derive(Debug, Clone)]
pub enum What {
    /// A tag, or all below one that ends in `:*`.
    Tag(String),
    Url(Resource),
    Prefix(Kind),
    Principal(Person),
    All,
}

/// A request, as far as it decides what it may get.
#[derive(Debug)]
pub struct Asker {
    pub number: usize,
    pub at: Moment,
    pub resource: Resource,
    pub rules: Rules,
    pub who: Option<Person>,
    pub language: Option<&'static str>,
    pub no_cache: bool,
    /// It asks by HEAD.
    pub head: bool,
}

/// How an answer came to be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the store, fresh.
    Hit,
    /// From the store, stale, and fetched anew behind.
    StaleMeanwhile,
    /// Stale, since the origin failed.
    Rescued,
    /// Confirmed by the origin.
    Confirmed,
    /// By a flight that was joined, the first or the one that was begun in its place.
    Followed(FlightTurn),
    /// By the hand of the flight's own leader.
    Own,
}

/// The origin refused what is stored to those who may have it, and they were told.
#[derive(Debug)]
pub struct Refusal {
    pub at: Moment,
    pub copy: Copy,
}

/// What was given, and what is true of it.
pub struct Given<'a> {
    pub asker: &'a Asker,
    pub way: Way,
    /// Whose body it is.
    pub body: &'a Record,
    /// The last answer of the origin about it: itself, or a 304.
    pub last: &'a Record,
    pub now: Instant,
}

/// The policies' ceiling and lifetime.
const CEILING: Duration = Duration::from_secs(150);
const TTL: Duration = Duration::from_secs(60);

impl Given<'_> {
    pub fn check(&self, purges: &[Purge], refusals: &[Refusal], origin: &Origin) -> Result<(), Broken> {
        let Given { asker, body, last, .. } = self;
        self.check_purges(purges)?;
        self.check_refusals(refusals)?;
        self.check_whose(origin)?;
        for record in [body, last] {
            ensure(record.resource == asker.resource, || format!("record {} is of something else", record.number))?;
            let language = !record.varies || record.language == asker.language;
            ensure(language, || format!("record {} is in another language", record.number))?;
            let who = record.said != Said::VariesByWho || record.who == asker.who;
            ensure(who, || format!("record {} is for another", record.number))?;
        }
        let same = last.number == body.number || last.etag == body.etag;
        ensure(same, || format!("record {} confirms something else", last.number))?;
        self.check_age()
    }

    fn check_purges(&self, purges: &[Purge]) -> Result<(), Broken> {
        for purge in purges.iter().filter(|purge| purge.at < self.asker.at && self.is_meant(&purge.what)) {
            let Purge { at, what, hard } = purge;
            if *hard {
                ensure(self.body.left > *at, || format!("{what:?} was purged at {at}, but its fetch had left before"))?;
            } else if self.is_given_as_fresh() {
                ensure(self.last.left > *at, || {
                    format!("{what:?} was softly purged at {at}, and it is given as fresh")
                })?;
            }
        }
        Ok(())
    }

    /// A refusal is its asker's alone, unless it says for the second time in a row that the origin is ill; and after it nothing lives
    /// on.
    fn check_refusals(&self, refusals: &[Refusal]) -> Result<(), Broken> {
        let Given { asker, way, body, last, .. } = self;
        let is_ill = body.status >= 500 && *way == Way::Followed(FlightTurn::Second);
        let is_another = matches!(way, Way::Followed(_)) && !body.is_a_success() && !is_ill;
        ensure(!is_another, || format!("another was answered {}", body.status))?;
        let copy = (body.number, last.number);
        let refusal = refusals.iter().find(|refusal| refusal.at < asker.at && refusal.copy == copy);
        match refusal {
            Some(Refusal { at, .. }) => Err(format!("the origin had refused it at {at}")),
            None => Ok(()),
        }
    }

    /// It was there before it was asked for, and is given as if it were what the origin says now.
    fn is_given_as_fresh(&self) -> bool {
        match self.way {
            Way::Hit => true,
            Way::Followed(_) => self.body.answered < self.asker.at,
            Way::StaleMeanwhile | Way::Rescued | Way::Confirmed | Way::Own => false,
        }
    }

    fn is_meant(&self, what: &What) -> bool {
        let resource = self.asker.resource;
        match what {
            What::All => true,
            What::Url(url) => *url == resource,
            What::Prefix(kind) => *kind == resource.kind,
            What::Principal(person) => resource.kind == Kind::Own && self.body.who == Some(*person),
            What::Tag(tag) => {
                let by_rules = Clinic::tags(self.asker.rules, resource);
                let mut all = by_rules.iter().chain(&self.body.tags).chain(&self.last.tags);
                all.any(|own| own == tag || tag.strip_suffix('*').is_some_and(|stem| own.starts_with(stem)))
            }
        }
    }

    fn check_whose(&self, origin: &Origin) -> Result<(), Broken> {
        let Given { asker, body, last, .. } = self;
        for record in [body, last] {
            let own = record.asked_by == Some(asker.number);
            ensure(own || !record.is_one_persons(), || format!("record {} is somebody's own", record.number))?;
        }
        match asker.resource.kind {
            Kind::Own => ensure(body.who == asker.who, || "it is another's".to_owned()),
            Kind::Asked => {
                let lets_see = |record: &&Record| {
                    let same = record.resource == asker.resource && record.who == asker.who;
                    same && record.said != Said::LoginPage
                        && record.answered > asker.at
                        && matches!(record.status, 200 | 304)
                };
                // The page that stands in their way is their own.
                let in_the_way = body.said == Said::LoginPage && body.who == asker.who && body.answered > asker.at;
                let own = body.asked_by == Some(asker.number) || in_the_way;
                let allowed = own || origin.records.iter().rev().any(|r| lets_see(&r));
                ensure(allowed, || "the origin was not asked whether this one may see it".to_owned())
            }
            Kind::Public | Kind::Body | Kind::Http => Ok(()),
        }
    }

    fn check_age(&self) -> Result<(), Broken> {
        let Given { asker, last, now, .. } = self;
        let age = now.saturating_duration_since(last.answered_at);
        let too_old = |limit| format!("it is {} s old, of {limit:?}", age.as_secs());
        if asker.resource.kind != Kind::Http && last.answered < asker.at {
            ensure(age < CEILING, || too_old("the ceiling"))?;
        }
        if self.is_given_as_fresh() {
            ensure(age < last.fresh_for(), || too_old("its lifetime"))?;
        }
        let stored = matches!(self.way, Way::Hit | Way::StaleMeanwhile | Way::Followed(_));
        ensure(!(asker.no_cache && stored) || last.left > asker.at, || "it said no-cache".to_owned())
    }
}

impl Record {
    /// Whether it is for nobody but the request that brought it.
    fn is_one_persons(&self) -> bool {
        match (self.said, self.resource.kind) {
            (Said::NoStore | Said::SetCookie, _) => true,
            (_, Kind::Own) => false,
            (Said::Private, _) => true,
            (Said::Public | Said::PrivateCookie, Kind::Http) => false,
            (_, Kind::Http) => self.who.is_some(),
            (_, Kind::Asked) => !matches!(self.status, 200 | 304),
            (_, Kind::Public | Kind::Body) => false,
        }
    }

    fn is_a_success(&self) -> bool {
        matches!(self.status, 200 | 304)
    }

    /// The origin refuses what is stored. Many know no HEAD, and say so by a 404.
    pub fn refuses(&self, head: bool) -> bool {
        match self.status {
            401 | 403 => true,
            404 | 410 | 302 => !head,
            _ => false,
        }
    }

    fn fresh_for(&self) -> Duration {
        match (self.said, self.resource.kind) {
            (Said::NoCache, _) => Duration::ZERO,
            (_, Kind::Http) => MAX_AGE,
            _ => TTL,
        }
    }

    /// What is put into the store is whole, and somebody may come back for it.
    pub fn check_stored(entry: &Entry, origin: &Origin) -> Result<(), Broken> {
        let (body, last) = records(entry, origin)?;
        ensure(!entry.fields().contains_key(header::SET_COOKIE), || format!("a cookie of {} is stored", last.number))?;
        ensure(*entry.body() == body.body, || format!("a part of record {} is stored", body.number))?;
        let is_in_the_way = body.said == Said::LoginPage && body.resource.kind == Kind::Asked;
        let in_place_of = body.base.map(|(base, _)| &origin.records[base]).filter(|base| base.said != Said::LoginPage);
        ensure(!is_in_the_way || in_place_of.is_none(), || format!("record {} takes another's place", body.number))?;
        for record in [body, last] {
            ensure(!record.is_one_persons(), || format!("record {} is stored, and is somebody's own", record.number))?;
        }
        Ok(())
    }
}

/// Of what an entry is made.
pub fn records<'o>(entry: &Entry, origin: &'o Origin) -> Result<(&'o Record, &'o Record), Broken> {
    let body = number_in(entry.body()).and_then(|number| origin.records.get(number));
    let last = number_in_lines(entry.lines()[0]).and_then(|number| origin.records.get(number));
    body.zip(last).ok_or_else(|| "an entry that no answer was".to_owned())
}

pub fn ensure(holds: bool, broken: impl FnOnce() -> Broken) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(broken()) }
}
