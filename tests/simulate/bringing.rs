//! A flight on its way, as `fetch::fill` and `fetch::pump` take it, less the sockets.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use stent::body::spool::Passed;
use stent::coherence::errand::Asks;
use stent::coherence::fetch::{Fetch, Heard};
use stent::coherence::fill::Fill;
use stent::coherence::flight::Flight;
use stent::ground::failure::{Failure, FailureKind};
use tokio::sync::OwnedSemaphorePermit;

use crate::chance::Chance;
use crate::clinic::Resource;
use crate::history::{History, tell};
use crate::oracle::Refusal;
use crate::origin::{Copy, Left};
use crate::request::Own;
use crate::shelf::Shelf;

pub struct Bringing {
    resource: Resource,
    leader: Option<usize>,
    /// What is stored and may be used for its passengers whatever comes.
    base: Base,
    stage: Stage,
    _permit: Option<OwnedSemaphorePermit>,
}

/// What is stored of what is asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Base {
    pub copy: Option<Copy>,
    /// Who asks is let see it already, by nothing but what it is keyed by.
    pub is_theirs: bool,
}

enum Stage {
    /// Nothing has left yet.
    Boarded(Fetch<Shelf>),
    /// The origin is asked.
    Left(Fetch<Shelf>, Left),
    /// The body is coming; these pieces are to come.
    Coming(Fill<Shelf>, Vec<Bytes>, bool),
}

impl Bringing {
    pub fn new(
        fetch: Fetch<Shelf>,
        resource: Resource,
        leader: Option<usize>,
        base: Base,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Bringing {
        Bringing { resource, leader, base, stage: Stage::Boarded(fetch), _permit: permit }
    }
}

impl Bringing {
    /// The number by which its flight is told.
    pub fn told(&self) -> String {
        told(match &self.stage {
            Stage::Boarded(fetch) | Stage::Left(fetch, _) => fetch.flight(),
            Stage::Coming(fill, ..) => fill.flight(),
        })
    }
}

pub fn told(flight: &Flight) -> String {
    format!("flight {}", flight.serial)
}

impl History<'_> {
    /// The next thing that happens to it; `None` once it is over.
    pub fn bring(&mut self, bringing: Bringing, chance: &mut Chance) -> Option<Bringing> {
        let Bringing { resource, leader, base, stage, _permit } = bringing;
        let stage = match stage {
            Stage::Boarded(fetch) => Some(self.leave(fetch, resource, leader, base)),
            Stage::Left(fetch, left) => self.hear(fetch, left, base, chance),
            Stage::Coming(fill, pieces, whole) => self.fill(fill, pieces, whole, chance),
        };
        stage.map(|stage| Bringing { resource, leader, base, stage, _permit })
    }

    fn leave(
        &mut self,
        mut fetch: Fetch<Shelf>,
        resource: Resource,
        asked_by: Option<usize>,
        Base { copy, .. }: Base,
    ) -> Stage {
        tell!(self, "{} leaves for the origin", told(fetch.flight()));
        let headers = fetch.ask();
        let head = fetch.asks() == Asks::Head;
        let (left, left_at) = (self.moment, self.now.instant);
        let left = Left { head, resource, asked_by, base: copy, headers, left, left_at };
        Stage::Left(fetch, left)
    }

    fn hear(&mut self, fetch: Fetch<Shelf>, left: Left, base: Base, chance: &mut Chance) -> Option<Stage> {
        let (flight, leader, resource, head) = (told(fetch.flight()), left.asked_by, left.resource, left.head);
        if chance.one_in(8) {
            let kinds = [FailureKind::Reset, FailureKind::Connect, FailureKind::Timeout];
            let failure = Failure::sent(kinds[chance.below(kinds.len())]);
            tell!(self, "{flight} fails: {failure:?}");
            fetch.failed(failure, self.now.instant);
            return None;
        }
        let answer = self.origin.answer(left, self.moment, self.now, chance);
        let record = &self.origin.records[answer.number];
        if let Some(copy) = base.copy.filter(|_| base.is_theirs && record.refuses(head)) {
            self.refusals.push(Refusal { at: self.moment, copy });
        }
        let said = (record.number, record.status, record.said, record.varies, record.etag.clone(), record.tags.clone());
        tell!(
            self,
            "{flight} hears record {}: {}, {:?}, varies: {}, {} {:?}",
            said.0,
            said.1,
            said.2,
            said.3,
            said.4,
            said.5
        );
        match fetch.answered(answer.arrived, self.now) {
            Heard::Over => None,
            // It leaves again at once.
            Heard::Again(fetch) => {
                // What has ended meanwhile is compared with nothing any more.
                let base = if fetch.has_base() { base } else { Base { copy: None, ..base } };
                Some(self.leave(fetch, resource, leader, base))
            }
            Heard::Private(mut private) => {
                let (fields, sent) = (std::mem::take(&mut private.headers), std::mem::take(&mut private.sent));
                self.give_own(leader, Own::Answer(answer.number, fields, sent));
                private.handed_on(self.now.instant);
                None
            }
            Heard::Fill(fill) => {
                if let Some(reader) = fill.filling().spool.reader() {
                    self.give_own(leader, Own::Reader(reader));
                }
                match chance.one_in(3) {
                    // All of it came with the head.
                    true => self.pour(fill, answer.pieces, answer.whole),
                    false => {
                        fill.announce();
                        Some(Stage::Coming(fill, answer.pieces, answer.whole))
                    }
                }
            }
        }
    }

    /// The leader may have gone; then nobody wants it.
    fn give_own(&mut self, leader: Option<usize>, own: Own) {
        if let Some(leader) = leader.filter(|&leader| self.requests[leader].is_under_way()) {
            self.own[leader] = Some(own);
        }
    }

    fn pour(&mut self, fill: Fill<Shelf>, mut pieces: Vec<Bytes>, whole: bool) -> Option<Stage> {
        let mut fill = fill;
        loop {
            match self.piece(fill, &mut pieces, whole) {
                Some(more) => fill = more,
                None => return None,
            }
        }
    }

    fn fill(&mut self, fill: Fill<Shelf>, mut pieces: Vec<Bytes>, whole: bool, chance: &mut Chance) -> Option<Stage> {
        let may_end = !fill.is_storable() || self.now.instant >= fill.flight().deadline;
        if may_end && chance.one_in(2) && self.cache.flights.desert(fill.flight(), &fill.filling().spool) {
            tell!(self, "{} ends: nobody is left", told(fill.flight()));
            fill.abandon(self.now.instant);
            return None;
        }
        self.piece(fill, &mut pieces, whole).map(|fill| Stage::Coming(fill, pieces, whole))
    }

    /// The next piece of the body, the end, or a cut.
    fn piece(&mut self, fill: Fill<Shelf>, pieces: &mut Vec<Bytes>, whole: bool) -> Option<Fill<Shelf>> {
        let (flight, now) = (told(fill.flight()), self.now.instant);
        match pieces.pop() {
            None => {
                tell!(self, "{flight} breaks off");
                fill.break_off(now);
                None
            }
            Some(last) if whole && pieces.is_empty() => {
                tell!(self, "{flight} is whole");
                let mut fill = fill.complete(&last, now)?;
                if !last.is_empty() && put(&mut fill, last, now) == Passed::Unread {
                    fill.abandon(now);
                } else {
                    fill.finish(now);
                }
                None
            }
            Some(piece) => {
                fill.announce();
                tell!(self, "{flight}: a piece of the body");
                let mut fill = fill;
                match put(&mut fill, piece, now) {
                    Passed::On => Some(fill),
                    Passed::Unread => {
                        fill.abandon(now);
                        None
                    }
                }
            }
        }
    }
}

/// Bodies are shorter than a window: it never waits for those who read.
fn put(fill: &mut Fill<Shelf>, piece: Bytes, now: std::time::Instant) -> Passed {
    let Err(piece) = fill.keep(piece, now) else { return Passed::On };
    let passing = pin!(fill.filling().spool.pass_on(piece));
    match passing.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(passed) => passed,
        Poll::Pending => panic!("a short body fills a window"),
    }
}
