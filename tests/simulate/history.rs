//! One history: requests, flights, purges and mishaps in the order that chance gives, a step at a time, by the very steps
//! that the proxy calls. After each of them the oracle is asked.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use stent::coherence::cache::Cache;
use stent::entry::purge::Strength;
use stent::entry::tag::TagSet;
use stent::ground::clock::Now;

use crate::bringing::Bringing;
use crate::chance::Chance;
use crate::clinic::{Clinic, KINDS, PEOPLE, Resource, Rules};
use crate::oracle::{Asker, Broken, Given, Moment, Purge, Refusal, Way, What, ensure};
use crate::origin::{MANY_TAGS, Origin, Record};
use crate::request::{Own, Request};
use crate::shelf::Shelf;

pub struct History<'c> {
    pub clinic: &'c Clinic,
    pub cache: Arc<Cache<Shelf>>,
    pub origin: Origin,
    pub now: Now,
    /// Counts the steps: the order of all that happens.
    pub moment: Moment,
    pub rules: Rules,
    pub requests: Vec<Request>,
    /// What only a flight's leader gets, by request.
    pub own: Vec<Option<Own>>,
    pub flights: Vec<Option<Bringing>>,
    purges: Vec<Purge>,
    pub refusals: Vec<Refusal>,
    /// What this history is mostly about.
    favourites: [Resource; 2],
    /// What happened, in words, if somebody wants to read it.
    told: Option<Vec<String>>,
}

/// Says what happened, if somebody wants to read it.
macro_rules! tell {
    ($history:expr, $($words:tt)*) => {
        if $history.is_told() {
            let line = format!($($words)*);
            $history.tell(line);
        }
    };
}
pub(crate) use tell;

impl<'c> History<'c> {
    pub fn new(clinic: &'c Clinic, cache: Arc<Cache<Shelf>>, origin: Origin, start: Instant, seed: u64) -> Self {
        let mut chance = Chance(seed);
        let mut resource = || Resource { kind: KINDS[chance.below(KINDS.len())], id: chance.below(2) };
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        History {
            clinic,
            cache,
            origin,
            now: Now { instant: start, wall },
            moment: 0,
            rules: 0,
            requests: Vec::new(),
            own: Vec::new(),
            flights: Vec::new(),
            purges: Vec::new(),
            refusals: Vec::new(),
            favourites: [resource(), resource()],
            told: None,
        }
    }

    pub fn telling(mut self) -> Self {
        self.told = Some(Vec::new());
        self
    }

    pub fn is_told(&self) -> bool {
        self.told.is_some()
    }

    pub fn tell(&mut self, line: String) {
        let line = format!("{:3}  {line}", self.moment);
        self.told.iter_mut().for_each(|told| told.push(line.clone()));
    }

    pub fn told(self) -> Vec<String> {
        self.told.unwrap_or_default()
    }

    /// One step, whatever chance makes it.
    pub fn step(&mut self, seed: u64) -> Result<(), Broken> {
        let mut chance = Chance(seed);
        self.moment += 1;
        match chance.below(100) {
            0..22 => self.arrive(&mut chance)?,
            22..47 => self.some_request(&mut chance)?,
            47..76 => self.some_flight(&mut chance),
            76..78 => self.hang_up(&mut chance),
            78..86 => self.purge(&mut chance),
            86..90 => self.write(&mut chance),
            90..95 => self.pass_time(&mut chance),
            95 => self.cache.memory.evict(&mut chance),
            96 | 97 => self.reload(),
            98 => {
                let resource = self.resource(&mut chance);
                self.origin.toggle_varies(resource);
                tell!(self, "the origin begins or ends to tell languages apart at {}", resource.path());
            }
            _ => {
                let person = chance.below(2);
                self.origin.shut_out[person] ^= true;
                tell!(self, "the origin changes whether {} may see what is asked about", PEOPLE[person]);
            }
        }
        self.check_stored()
    }

    /// Lets everything that is under way come to its end.
    pub fn drain(&mut self) -> Result<(), Broken> {
        for seed in 0..500 {
            let mut chance = Chance(seed);
            self.moment += 1;
            if !self.requests.iter().any(Request::is_under_way) && self.flights.iter().all(Option::is_none) {
                return ensure(self.cache.flights.is_empty(), || "a flight is left behind".to_owned());
            }
            self.some_flight(&mut chance);
            self.check_stored()?;
            for number in 0..self.requests.len() {
                self.proceed(number, &mut chance)?;
            }
        }
        Err("somebody waits for ever".to_owned())
    }

    pub fn resource(&self, chance: &mut Chance) -> Resource {
        self.favourites[usize::from(chance.one_in(3))]
    }

    pub fn given(&self, asker: &Asker, way: Way, body: &Record, last: &Record) -> Result<(), Broken> {
        let given = Given { asker, way, body, last, now: self.now.instant };
        let whose = |broken| format!("request {} got record {} ({way:?}): {broken}", asker.number, body.number);
        given.check(&self.purges, &self.refusals, &self.origin).map_err(whose)
    }

    /// Until when a flight's head must be there.
    pub fn deadline(&self) -> Instant {
        self.now.instant + Duration::from_secs(10)
    }

    fn some_request(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        let ready: Vec<usize> = (0..self.requests.len()).filter(|&number| self.requests[number].is_ready()).collect();
        match chance.pick(&ready) {
            Some(number) => self.proceed(number, chance),
            None => Ok(()),
        }
    }

    fn some_flight(&mut self, chance: &mut Chance) {
        let under_way: Vec<usize> = (0..self.flights.len()).filter(|&at| self.flights[at].is_some()).collect();
        if let Some(at) = chance.pick(&under_way)
            && let Some(bringing) = self.flights[at].take()
        {
            if chance.one_in(80) {
                tell!(self, "the task of {} is lost", bringing.told());
                return;
            }
            self.flights[at] = self.bring(bringing, chance);
        }
    }

    fn hang_up(&mut self, chance: &mut Chance) {
        let under_way = self.requests.iter().filter(|request| request.is_under_way());
        let numbers: Vec<usize> = under_way.map(|request| request.asker.number).collect();
        if let Some(number) = chance.pick(&numbers) {
            self.requests[number].hang_up();
            self.own[number] = None;
            tell!(self, "request {number} hangs up");
        }
    }

    fn purge(&mut self, chance: &mut Chance) {
        let (resource, hard) = (self.resource(chance), !chance.one_in(3));
        let mut tags = TagSet::default();
        let what = match chance.below(16) {
            0..4 => What::Url(resource),
            4..7 => What::Tag(chance.pick(&Clinic::tags(self.rules, resource)).expect("it has one")),
            7 => What::Tag("thing:*".to_owned()),
            8 | 9 => What::Tag(format!("extra:{}", chance.below(2))),
            10 => What::Tag(format!("m{}", MANY_TAGS - 1)),
            11 => What::Prefix(resource.kind),
            12 => What::Principal(PEOPLE[chance.below(2)]),
            13 | 14 => What::Tag("wide".to_owned()),
            _ => What::All,
        };
        match &what {
            What::Url(resource) => tags.url("", &resource.path(), ""),
            What::Tag(tag) => tags.name(tag),
            What::Prefix(kind) => tags.prefix("", &format!("/{}", kind.name())),
            What::Principal(person) => tags.principal(&self.clinic.principal(person)),
            What::All => match chance.below(3) {
                0 => tags.all(),
                // More than a record holds: whatever it says, all of it is forgotten.
                1 => (0..MANY_TAGS).for_each(|number| tags.name(&format!("n{number}"))),
                _ => {
                    self.cache.log.raise_floor();
                    return self.acknowledge(what, true);
                }
            },
        }
        let strength = if hard { Strength::Hard } else { Strength::Soft };
        self.cache.log.apply(&tags, strength);
        self.acknowledge(what, hard || tags.overflowed());
    }

    fn acknowledge(&mut self, what: What, hard: bool) {
        tell!(self, "{} purge of {what:?}", if hard { "hard" } else { "soft" });
        self.purges.push(Purge { at: self.moment, what, hard });
    }

    /// Purge rule 14: what it touched is purged before it is answered.
    fn write(&mut self, chance: &mut Chance) {
        let resource = self.resource(chance);
        self.origin.change(resource);
        if chance.one_in(3) {
            tell!(self, "{} changes, and nobody is told", resource.path());
            return;
        }
        let mut tags = TagSet::default();
        tags.path("", &resource.path());
        Clinic::tags(self.rules, resource).iter().filter(|tag| tag.contains(':')).for_each(|tag| tags.name(tag));
        self.cache.log.apply(&tags, Strength::Hard);
        tell!(self, "{} is written", resource.path());
        self.acknowledge(What::Url(resource), true);
    }

    /// Not while somebody is to be told: they are told at once.
    fn pass_time(&mut self, chance: &mut Chance) {
        if self.requests.iter().any(Request::is_told) {
            return;
        }
        let millis = match chance.below(8) {
            0..3 => 50 + chance.below(2000),
            3..7 => 1000 * (20 + chance.below(80)),
            _ => 1000 * chance.below(4000),
        };
        let by = Duration::from_millis(millis as u64);
        self.now.instant += by;
        self.now.wall += by;
        tell!(self, "{by:?} pass");
        if chance.one_in(6) {
            let jump = Duration::from_secs(chance.below(4000) as u64);
            let back = chance.one_in(2);
            self.now.wall = if back { self.now.wall - jump } else { self.now.wall + jump };
            tell!(self, "the wall clock is set {} by {jump:?}", if back { "back" } else { "forward" });
        }
    }

    /// Purge rule 15: what is other is purged before it is in force.
    fn reload(&mut self) {
        self.rules = 1 - self.rules;
        for kind in KINDS {
            let (old, new) = (self.clinic.route(1 - self.rules, kind), self.clinic.route(self.rules, kind));
            if old.fingerprint != new.fingerprint {
                let mut tags = TagSet::default();
                tags.route(&new.name);
                self.cache.log.apply(&tags, Strength::Hard);
            }
        }
        tell!(self, "other rules come into force: {}", if self.rules == 0 { "the first" } else { "with the tag wide" });
    }

    fn check_stored(&self) -> Result<(), Broken> {
        self.cache.memory.take_put().iter().try_for_each(|entry| Record::check_stored(entry, &self.origin))
    }
}
