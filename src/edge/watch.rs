//! The connections of one worker, looked at now and then: who is too slow or too idle is ended.
//!
//! One look costs a few loads per connection, and a connection pays for it only with the counters of its [`Line`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::line::{Line, Phase};
use super::settings::ServerLimits;

/// The open connections of a worker.
#[derive(Debug, Default)]
pub struct Lines(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    next: u64,
    open: HashMap<u64, Watched>,
}

#[derive(Debug)]
struct Watched {
    line: Arc<Line>,
    task: AbortHandle,
    /// What it was doing at the last look, since when, and when something last moved.
    doing: (Phase, u32),
    since: Instant,
    moves: u32,
    moved: Instant,
}

/// Takes a connection off the list when it ends.
#[derive(Debug)]
pub struct Listed {
    lines: Arc<Lines>,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.lines.book().open.remove(&self.number);
    }
}

/// How far a stop has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Not begun.
    Serving,
    /// Announced: all goes on as before, and whoever asks whether we are ready hears that we are not.
    Leaving,
    /// Nothing is accepted any more, and each answer is the last one on its connection.
    Closed,
    /// What is idle is closed; the rest ends with what is in flight.
    Ending,
}

impl Lines {
    /// How often they are looked at.
    pub fn every(limits: &ServerLimits) -> Duration {
        let least = limits.idle_timeout.min(limits.header_timeout);
        (least / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }

    /// A place on the list; to be held by the connection's task.
    pub fn place(self: &Arc<Self>) -> Listed {
        let mut book = self.book();
        book.next += 1;
        Listed { lines: self.clone(), number: book.next }
    }

    /// Puts a connection on the list. Before its task has run.
    pub fn list(&self, number: u64, line: Arc<Line>, task: AbortHandle) {
        let now = Instant::now();
        let (doing, moves) = ((line.phase(), line.requests()), line.moves());
        self.book().open.insert(number, Watched { line, task, doing, since: now, moves, moved: now });
    }

    /// Looks at all of them, and ends those whose time is over.
    pub fn look(&self, now: Instant, limits: &ServerLimits, stage: Stage) {
        for watched in self.book().open.values_mut() {
            if watched.look(now, limits, stage) == Verdict::End {
                watched.end();
            }
        }
    }

    /// Ends the connection that has been idle longest, of those that have had an answer. Answers whether there was one.
    pub fn close_idlest(&self, now: Instant) -> bool {
        let mut book = self.book();
        book.open.values_mut().for_each(|watched| watched.note(now));
        let idle = |watched: &Watched| matches!(watched.doing, (Phase::Idle, 1..)) && !has_sent(&watched.line);
        let idlest = book.open.iter().filter(|(_, watched)| idle(watched)).min_by_key(|(_, watched)| watched.since);
        let Some(number) = idlest.map(|(number, _)| *number) else { return false };
        // Off the list: it is not to be found again before it has ended.
        book.open.remove(&number).inspect(Watched::end).is_some()
    }

    fn book(&self) -> std::sync::MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listed {
    /// Its number on the list.
    pub fn number(&self) -> u64 {
        self.number
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Fine,
    End,
}

impl Watched {
    /// Notes what it does now.
    fn note(&mut self, now: Instant) {
        let doing = (self.line.phase(), self.line.requests());
        if doing != self.doing {
            (self.doing, self.since) = (doing, now);
        }
        if self.line.moves() != self.moves {
            (self.moves, self.moved) = (self.line.moves(), now);
        }
    }

    fn end(&self) {
        // Between two requests nothing is cut off.
        if self.doing.0 == Phase::Idle {
            self.line.write_side().say_goodbye();
        }
        self.task.abort();
    }

    fn look(&mut self, now: Instant, limits: &ServerLimits, stage: Stage) -> Verdict {
        self.note(now);
        let (line, doing) = (&self.line, self.doing);
        if stage >= Stage::Closed {
            line.close_soon();
        }
        let (in_phase, still) = (now - self.since, now - self.moved);
        let over = match doing {
            // Its first head is due from the beginning.
            (Phase::Idle, _) if stage == Stage::Ending && !has_sent(line) => true,
            (Phase::Idle, 0) => in_phase >= limits.header_timeout,
            (Phase::Idle, _) => still >= limits.idle_timeout,
            (Phase::Head, _) => in_phase >= limits.header_timeout,
            (Phase::Busy, _) if line.is_blocked() => still >= limits.idle_timeout,
            // It may be waiting for the end of its answer, or gone.
            (Phase::Busy, _) if line.is_half_closed() => still >= limits.header_timeout,
            (Phase::Busy, _) => false,
            (Phase::Tunnel, _) => still >= limits.idle_timeout || stage == Stage::Ending,
        };
        if over { Verdict::End } else { Verdict::Fine }
    }
}

/// Whether a request has come that was not read yet.
fn has_sent(line: &Line) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    socket2::SockRef::from(line.socket()).peek(&mut byte).is_ok_and(|came| came > 0)
}
