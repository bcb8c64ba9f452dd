//! A request on its way down the line, as `proxy::lookup` and `proxy::flying` take it, less the sockets.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, HeaderName, Method, header};
use http_body::Body;
use stent::body::spool::SpoolReader;
use stent::coherence::errand::{Asks, Errand, StandingIn};
use stent::coherence::fetch::Fetch;
use stent::coherence::find::{Found, Refresh};
use stent::coherence::flight::{Demand, Flight, FlightTurn, Joined, Landing};
use stent::coherence::head::arriving;
use stent::coherence::waiter::{Instead, Waiter, is_its_leaders, leaves_out, varies_by};
use stent::coherence::{Passenger, Waits};
use stent::entry::head::Credentialed;
use stent::entry::key;
use stent::entry::key::KeyBuf;
use stent::entry::purge::Stamp;
use stent::entry::stored::Entry;
use stent::ground::failure::{Failure, FailureKind};
use stent::policy::answered::Answered;
use stent::policy::pass::PassReason;
use stent::policy::plan::{Lookup, Permission};
use stent::proxy::lookup::MAX_ROUNDS;
use stent::rules::canonical;
use stent::rules::canonical::Serves;
use tokio::sync::watch;

use crate::bringing::{Base, Bringing, told};
use crate::chance::Chance;
use crate::clinic::{LANGUAGES, MAX_OBJECT, PEOPLE, headers};
use crate::history::{History, tell};
use crate::oracle::{Asker, Broken, Way, ensure, records};
use crate::origin::{Left, number_in_lines};

pub struct Request {
    pub asker: Asker,
    headers: HeaderMap,
    /// Where the purge log stood when it was complete.
    arrived: Stamp,
    /// `None`: it is passed.
    lookup: Option<Lookup>,
    rounds: usize,
    demand: Demand,
    state: State,
}

enum State {
    /// It is to look what is stored; it may have seen a flight fail.
    Looking(Option<Arc<Flight>>),
    Waiting(Waiting),
    Reading(Reading),
    Over,
}

struct Waiting {
    flight: Arc<Flight>,
    landing: watch::Receiver<Landing>,
    leads: bool,
    /// It has seen one fail before.
    has_seen_failure: bool,
    /// It waits for the next one to begin.
    behind: bool,
}

struct Reading {
    reader: SpoolReader,
    read: Vec<u8>,
    record: usize,
}

/// What only the leader of a flight gets.
pub enum Own {
    /// An answer that is nobody else's: its record, its fields, and those that it was asked for with.
    Answer(usize, HeaderMap, HeaderMap),
    Reader(SpoolReader),
}

impl Request {
    pub fn is_under_way(&self) -> bool {
        !matches!(self.state, State::Over)
    }

    /// Something has happened that it is to be told.
    pub fn is_told(&self) -> bool {
        match &self.state {
            State::Waiting(waiting) => waiting.has_landed(),
            State::Looking(failed) => failed.is_some(),
            State::Reading(_) | State::Over => false,
        }
    }

    /// It can go on.
    pub fn is_ready(&self) -> bool {
        self.is_told() || matches!(self.state, State::Looking(_) | State::Reading(_))
    }

    pub fn hang_up(&mut self) {
        self.state = State::Over;
    }

    /// Whether nothing was left out that the answer may depend on.
    fn is_asked_for(&self, sent: &HeaderMap, answer: &HeaderMap) -> bool {
        let mut names = varies_by(&self.headers, answer);
        names.push(header::AUTHORIZATION);
        !leaves_out(&self.headers, sent, &names, &Serves::default())
    }

    fn variant(&self, lookup: &Lookup) -> impl Fn(&[HeaderName]) -> KeyBuf {
        |names| key::variant_of(&lookup.key, names, |name| canonical::field(&self.headers, name, &Serves::default()))
    }
}

impl Waiting {
    fn has_landed(&self) -> bool {
        self.landing.has_changed().is_err() || !matches!(*self.landing.borrow(), Landing::Waiting)
    }

    fn landed(&self) -> Landing {
        match &*self.landing.borrow() {
            Landing::Waiting => Landing::Failed(Failure::sent(FailureKind::Internal)),
            landed => landed.clone(),
        }
    }
}

impl History<'_> {
    pub fn arrive(&mut self, chance: &mut Chance) -> Result<(), Broken> {
        let (resource, number, rules) = (self.resource(chance), self.requests.len(), self.rules);
        let who = if chance.one_in(3) { None } else { chance.pick(&PEOPLE) };
        let language = if chance.one_in(2) { None } else { chance.pick(&LANGUAGES) };
        let (no_cache, head) = (chance.one_in(10), chance.one_in(12));
        let headers = headers(who, language, no_cache);
        let method = if head { Method::HEAD } else { Method::GET };
        let lookup = self.clinic.plan(&method, rules, resource, &headers);
        let demand = match no_cache {
            true => Demand { serial: Some(self.cache.flights.draw()), ..Demand::ANY },
            false => Demand::ANY,
        };
        let asker = Asker { number, at: self.moment, resource, rules, who, language, no_cache, head };
        let state = if lookup.is_some() { State::Looking(None) } else { State::Over };
        tell!(
            self,
            "request {number}: {method} {}, {}{}{}{}",
            resource.path(),
            who.unwrap_or("nobody"),
            language.map(|language| format!(", {language}")).unwrap_or_default(),
            if no_cache { ", no-cache" } else { "" },
            if lookup.is_some() { "" } else { ": passed" },
        );
        let arrived = self.cache.log.stamp();
        self.requests.push(Request { asker, headers, arrived, lookup, rounds: 0, demand, state });
        self.own.push(None);
        // Something may come in between.
        if chance.one_in(2) { self.proceed(number, chance) } else { Ok(()) }
    }

    /// What comes next for a request.
    pub fn proceed(&mut self, number: usize, chance: &mut Chance) -> Result<(), Broken> {
        match std::mem::replace(&mut self.requests[number].state, State::Over) {
            State::Looking(failed) => self.look(number, failed, chance),
            State::Waiting(waiting) if waiting.has_landed() => self.land(number, waiting),
            State::Reading(reading) => self.read(number, reading, chance),
            state => {
                self.requests[number].state = state;
                Ok(())
            }
        }
    }

    /// One round of the line.
    fn look(&mut self, number: usize, failed: Option<Arc<Flight>>, chance: &mut Chance) -> Result<(), Broken> {
        let request = &mut self.requests[number];
        request.state = State::Over;
        request.rounds += 1;
        if request.rounds > MAX_ROUNDS {
            tell!(self, "request {number} has gone round too often and is passed");
            return Ok(());
        }
        let (cache, now) = (self.cache.clone(), self.now.instant);
        let request = &self.requests[number];
        let Some(lookup) = &request.lookup else { return Ok(()) };
        let (spot, slot) = cache.find(lookup, request.variant(lookup));
        let mut found = match cache.judge(slot, &spot, now) {
            Ok(found) => found,
            Err(reason) => {
                let key = (reason == PassReason::Uncacheable).then(|| spot.flight_key(Asks::Whole, None));
                self.pass(number, key, chance);
                return Ok(());
            }
        };
        let asking = match spot.permission() {
            Permission::ByOwnAnswer { digest, .. } => Some(*digest),
            Permission::Given => None,
        };
        if asking.is_some() {
            found = found.once_let_see();
        }
        let asker = &request.asker;
        let errand = |asks| self.clinic.errand(asker, asks, &request.headers, lookup, &spot);
        // What is refused to credentials that nothing is keyed by says nothing of what is open to all.
        let is_keyed = spot.lookup().credentialed == Credentialed::No;
        let base = match found {
            Found::Usable(entry, _, _, Refresh::No) => return self.serve(number, &entry, Way::Hit),
            Found::Usable(entry, _, _, Refresh::Behind) => {
                let (asks, demand) = (Asks::Whole, Demand::ANY);
                let passenger =
                    Passenger { spot: &spot, asks, asking: None, demand, failed: None, waits: Waits::NoMore, now };
                if let Some((takeoff, permit)) = cache.board_refresh(&passenger, 0, || self.deadline()) {
                    let errand = Errand { base: Some(entry.clone()), ..errand(Asks::Whole) };
                    tell!(self, "request {number} finds it stale; {} refreshes", told(&takeoff.flight));
                    let resource = self.requests[number].asker.resource;
                    let base = self.base(Some(&entry), is_keyed)?;
                    let fetch = Fetch::new(cache, takeoff, errand);
                    self.flights.push(Some(Bringing::new(fetch, resource, None, base, Some(permit))));
                }
                return self.serve(number, &entry, Way::StaleMeanwhile);
            }
            Found::TooLong => {
                let key = Some(spot.flight_key(Asks::Whole, None));
                self.pass(number, key, chance);
                return Ok(());
            }
            // Nobody here asks for a part.
            Found::Part(..) => None,
            Found::Ask(base, _) => base,
        };
        let asks = if asker.head { Asks::Head } else { Asks::Whole };
        if asks == Asks::Head && base.is_none() {
            tell!(self, "request {number} is passed");
            return Ok(());
        }
        let (asking, demand) = (asking.as_ref(), request.demand);
        let passenger =
            Passenger { spot: &spot, asks, asking, demand, failed: failed.as_deref(), waits: Waits::Behind, now };
        let joined = cache.board(&passenger, || self.deadline());
        let has_base = if base.is_some() { " with a condition" } else { "" };
        let behind = matches!(joined, Joined::Behind(..));
        let (flight, landing, leads) = match joined {
            Joined::Follower(flight, landing) | Joined::Behind(flight, landing) => (flight, landing, false),
            Joined::Leader(takeoff) => {
                let standing_in = if asking.is_some() { StandingIn::Forbidden } else { StandingIn::Allowed };
                let told = self.base(base.as_ref(), asking.is_none() && is_keyed)?;
                let errand = Errand { base, standing_in, ..errand(asks) };
                let (flight, landing) = (takeoff.flight.clone(), takeoff.flight.subscribe());
                let fetch = Fetch::new(cache.clone(), takeoff, errand);
                self.flights.push(Some(Bringing::new(fetch, asker.resource, Some(number), told, None)));
                (flight, landing, true)
            }
        };
        let did = match (leads, behind) {
            (true, _) => "begins",
            (_, true) => "waits behind",
            _ => "joins",
        };
        tell!(self, "request {number} {did} {}{}", told(&flight), if leads { has_base } else { "" });
        let has_seen_failure = failed.is_some();
        let waiting = Waiting { flight, landing, leads, has_seen_failure, behind };
        self.requests[number].state = State::Waiting(waiting);
        Ok(())
    }

    /// It asks for itself; and where answers to this key could not be kept, whether that is still so is learnt.
    fn pass(&mut self, number: usize, key: Option<KeyBuf>, chance: &mut Chance) {
        let request = &self.requests[number];
        let Asker { head, resource, rules, .. } = request.asker;
        let (headers, left, left_at) = (request.headers.clone(), self.moment, self.now.instant);
        let left = Left { head, resource, asked_by: Some(number), base: None, headers, left, left_at };
        let answer = self.origin.answer(left, self.moment, self.now, chance);
        tell!(self, "request {number} is passed and gets record {}", answer.number);
        let Some(lookup) = &self.requests[number].lookup else { return };
        if let Some(key) = key.filter(|_| !head) {
            let answered = Answered {
                status: answer.arrived.status,
                headers: &answer.arrived.headers,
                path: &resource.path(),
                credentialed: lookup.credentialed,
                form_cookies: &[],
                arrived: self.now.wall,
                delay: answer.arrived.delay,
            };
            let (ending, route) = (answer.arrived.ending, self.clinic.route(rules, resource.kind));
            self.cache.passed(&key, &answered, ending, MAX_OBJECT, route, self.now.instant);
        }
    }

    /// What its flight brought.
    fn land(&mut self, number: usize, waiting: Waiting) -> Result<(), Broken> {
        let (cache, now, own) = (self.cache.clone(), self.now.instant, self.own[number].take());
        let request = &self.requests[number];
        let Some(lookup) = &request.lookup else { return Ok(()) };
        let waiter = Waiter { arrived: request.arrived, credentialed: lookup.credentialed, demand: request.demand };
        let whole = |entry: &Entry| cache.may_have(&waiter, entry, now);
        if waiting.behind && !matches!(waiting.landed(), Landing::Failed(failure) if !failure.is_mishap()) {
            return self.instead(number, Instead::Again(request.demand));
        }
        match waiting.landed() {
            Landing::Filling(filling) => {
                let due = cache.may_follow(&waiter, waiting.flight.born, &filling, request.variant(lookup));
                if let Err(instead) = due {
                    return self.instead(number, instead);
                }
                if !waiting.leads && is_its_leaders(&filling, waiting.flight.turn) {
                    self.not_shared(number, waiting);
                    return Ok(());
                }
                let reader = match own {
                    Some(Own::Reader(reader)) => Some(reader),
                    _ => filling.spool.reader(),
                };
                let Some(reader) = reader else { return Ok(()) };
                let lines = [b"x-record: ", filling.head.headers["x-record"].as_bytes(), b"\r\n"].concat();
                let record = number_in_lines(&lines).unwrap_or(usize::MAX);
                let cookie = filling.head.headers.contains_key(header::SET_COOKIE);
                ensure(!cookie, || format!("request {number} is told a cookie of record {record}"))?;
                tell!(self, "request {number} reads record {record}");
                let turn = waiting.flight.turn;
                let (asker, record) = (&self.requests[number].asker, &self.origin.records[record]);
                self.given(asker, if waiting.leads { Way::Own } else { Way::Followed(turn) }, record, record)?;
                let reading = Reading { reader, read: Vec::new(), record: record.number };
                self.requests[number].state = State::Reading(reading);
                Ok(())
            }
            Landing::Revalidated(entry) => match whole(&entry) {
                Ok(()) => self.serve(number, &entry, Way::Confirmed),
                Err(instead) => self.instead(number, instead),
            },
            Landing::Rescued(entry, ..) => match whole(&entry) {
                Ok(()) => self.serve(number, &entry, Way::Rescued),
                Err(instead) => self.instead(number, instead),
            },
            Landing::Uncacheable(why) if !waiting.leads && why.is_its_askers() => {
                self.not_shared(number, waiting);
                Ok(())
            }
            Landing::Uncacheable(_) => match own {
                Some(Own::Answer(record, fields, sent)) if request.is_asked_for(&sent, &fields) => {
                    tell!(self, "request {number} gets record {record}, which is its own");
                    let (asker, record) = (&self.requests[number].asker, &self.origin.records[record]);
                    self.given(asker, Way::Own, record, record)
                }
                _ => Ok(()),
            },
            Landing::Failed(failure) => {
                let may_elect = !waiting.leads && !waiting.has_seen_failure && failure.is_mishap();
                if may_elect && now < waiting.flight.deadline {
                    self.requests[number].state = State::Looking(Some(waiting.flight));
                }
                Ok(())
            }
            Landing::Waiting => Ok(()),
        }
    }

    /// What came was another's alone: one of those who waited asks first, and if that one is refused too, each for itself.
    fn not_shared(&mut self, number: usize, waiting: Waiting) {
        if waiting.flight.turn == FlightTurn::First && self.now.instant < waiting.flight.deadline {
            tell!(self, "that is not for request {number}, which looks for another to lead");
            self.requests[number].state = State::Looking(Some(waiting.flight));
        } else {
            tell!(self, "that is not for request {number}, which asks for itself");
        }
    }

    fn base(&self, entry: Option<&Entry>, is_theirs: bool) -> Result<Base, Broken> {
        let copy = entry.map(|entry| records(entry, &self.origin)).transpose()?;
        Ok(Base { copy: copy.map(|(body, last)| (body.number, last.number)), is_theirs })
    }

    fn instead(&mut self, number: usize, instead: Instead) -> Result<(), Broken> {
        if let Instead::Again(demand) = instead {
            tell!(self, "that is not for request {number}, which looks again");
            self.requests[number].demand = demand;
            self.requests[number].state = State::Looking(None);
        }
        Ok(())
    }

    fn serve(&mut self, number: usize, entry: &Entry, way: Way) -> Result<(), Broken> {
        let (body, last) = records(entry, &self.origin)?;
        let (body, last) = (body.number, last.number);
        tell!(self, "request {number} gets record {body}, last said of by {last}: {way:?}");
        let (body, last) = (&self.origin.records[body], &self.origin.records[last]);
        ensure(*entry.body() == body.body, || format!("request {number} gets a part of it"))?;
        let (said, age) = (arriving(&entry.vital(), self.now.instant).age, self.now.instant - last.answered_at);
        ensure(said >= age.as_secs(), || format!("request {number} is told an age of {said} s after {age:?}"))?;
        self.given(&self.requests[number].asker, way, body, last)
    }

    /// The next piece of a body that is coming.
    fn read(&mut self, number: usize, mut reading: Reading, chance: &mut Chance) -> Result<(), Broken> {
        loop {
            let polled = Pin::new(&mut reading.reader).poll_frame(&mut Context::from_waker(Waker::noop()));
            let body = &self.origin.records[reading.record].body;
            match polled {
                Poll::Ready(Some(Ok(frame))) => {
                    reading.read.extend_from_slice(&frame.into_data().unwrap_or_default());
                    ensure(body.starts_with(&reading.read), || format!("request {number} reads another body"))?;
                }
                // Cut off, visibly.
                Poll::Ready(Some(Err(_))) => return Ok(()),
                Poll::Ready(None) => {
                    return ensure(reading.read == *body, || format!("request {number} reads a part to its end"));
                }
                Poll::Pending => {
                    self.requests[number].state = State::Reading(reading);
                    return Ok(());
                }
            }
            if chance.one_in(2) {
                self.requests[number].state = State::Reading(reading);
                return Ok(());
            }
        }
    }
}
