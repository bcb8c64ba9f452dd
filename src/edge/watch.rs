//! The connections of one worker, looked at now and then: who is too slow or too idle is ended.
//!
//! One look costs a few loads per connection, and a connection pays for it only with the counters of its [`Line`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::line::{Line, LinePhase};
use super::settings::ServerLimits;
use crate::body::upload::RATE_TIME;
use crate::ground::clock::monotonic;

/// The open connections of a worker.
#[derive(Debug, Default)]
pub struct Lines {
    book: Mutex<Book>,
    /// Somebody wants a place that one of these has.
    asked: Notify,
}

#[derive(Debug, Default)]
struct Book {
    next: u64,
    open: HashMap<u64, Watched>,
    /// Connections that others have asked for.
    asked: Vec<u64>,
}

/// Who makes room, in this order; of the same rank who has been so longest.
///
/// Whoever has asked for nothing holds nothing: it costs a client nothing to connect, so thousands of silent connections are
/// no reason to let one wait that asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rank {
    /// It has sent nothing, for longer than its first bytes take on their way.
    Silent,
    /// It has just come, is in its handshake or in a head, or has had its last answer; and a call of the admin that is not whole.
    Begun,
    /// Between two requests.
    Idle,
}

/// A connection that might make room: its rank, since when, and its number on the list.
pub type Candidate = (Rank, Instant, u64);

/// Whether requests whose bodies have not come whole make room too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HalfBodies {
    /// They do: calls are short.
    MakeRoom,
    /// An upload goes on.
    Stay,
}

/// How long the first bytes of a new connection may be on their way: until then it is not called silent, and older half heads
/// make room before it.
const FIRST_BYTES: Duration = Duration::from_millis(500);

/// How much longer a head that is not whole, or a client that still sends, is waited for once idle connections are closed.
const LAST_HEADS: Duration = Duration::from_millis(800);

#[derive(Debug)]
struct Watched {
    line: Arc<Line>,
    task: AbortHandle,
    /// What it was doing at the last look, since when, and when something last moved.
    doing: (LinePhase, u32),
    since: Instant,
    moves: u32,
    moved: Instant,
    /// Since when its client takes too little of an answer, and what it had taken then.
    slow: Option<(Instant, u32)>,
    /// It was asked to make room.
    asked: bool,
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
        let now = monotonic();
        let (doing, moves) = ((line.phase(), line.requests()), line.moves());
        let watched = Watched { line, task, doing, since: now, moves, moved: now, slow: None, asked: false };
        self.book().open.insert(number, watched);
    }

    /// Looks at all of them, and ends those whose time is over.
    pub fn look(&self, now: Instant, limits: &ServerLimits, stage: Stage) {
        for watched in self.book().open.values_mut() {
            if watched.look(now, limits, stage) == Verdict::End {
                watched.end();
            }
        }
    }

    /// Those that might make room.
    pub fn candidates(&self, now: Instant, bodies: HalfBodies) -> Vec<Candidate> {
        let mut book = self.book();
        book.open.values_mut().for_each(|watched| watched.note(now));
        let candidate =
            |(number, watched): (&u64, &Watched)| Some((watched.rank(now, bodies)?, watched.since, *number));
        book.open.iter().filter_map(candidate).collect()
    }

    /// Ends this connection, unless it is no candidate of this rank or an earlier one any more, or has sent something that
    /// was not read yet. Answers whether it did. Only on the thread that serves it: elsewhere it might take up a request at the same moment.
    pub fn close(&self, number: u64, rank: Rank, now: Instant, bodies: HalfBodies) -> bool {
        let mut book = self.book();
        let Some(watched) = book.open.get_mut(&number) else { return false };
        watched.note(now);
        watched.asked = false;
        let closes = watched.rank(now, bodies).is_some_and(|now| now <= rank)
            && (watched.doing.0 == LinePhase::Leaving || !has_sent(&watched.line));
        // Off the list: it is not to be found again before it has ended.
        closes && book.open.remove(&number).inspect(Watched::end).is_some()
    }

    /// Asks the thread that serves this connection to close it. Answers whether it is there still.
    pub fn ask(&self, number: u64) -> bool {
        let mut book = self.book();
        let Some(watched) = book.open.get_mut(&number).filter(|watched| !watched.asked) else { return false };
        watched.asked = true;
        book.asked.push(number);
        drop(book);
        self.asked.notify_one();
        true
    }

    /// Waits until somebody asks for connections of these. Answers which.
    pub async fn asked(&self) -> Vec<u64> {
        loop {
            let asked = std::mem::take(&mut self.book().asked);
            if !asked.is_empty() {
                return asked;
            }
            self.asked.notified().await;
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn rank(&self, now: Instant, bodies: HalfBodies) -> Option<Rank> {
        match self.doing {
            _ if self.asked => None,
            (LinePhase::Idle, 0) if now - self.since >= FIRST_BYTES && !self.line.has_begun() => Some(Rank::Silent),
            (LinePhase::Idle, 0) | (LinePhase::Head | LinePhase::Leaving, _) => Some(Rank::Begun),
            (LinePhase::Idle, _) => Some(Rank::Idle),
            (LinePhase::Busy, _) => (bodies == HalfBodies::MakeRoom && self.line.awaits_body()).then_some(Rank::Begun),
            (LinePhase::Tunnel, _) => None,
        }
    }

    fn end(&self) {
        // Between two requests nothing is cut off.
        if self.doing.0 == LinePhase::Idle {
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
        let too_slow = is_too_slow(&mut self.slow, line, now, limits.min_rate);
        let over = match doing {
            // Its first head is due from the beginning.
            (LinePhase::Idle, _) if stage == Stage::Ending && !has_sent(line) => true,
            (LinePhase::Idle, 0) => in_phase >= limits.header_timeout,
            (LinePhase::Idle, _) => still >= limits.idle_timeout,
            (LinePhase::Head | LinePhase::Leaving, _) if stage == Stage::Ending && in_phase >= LAST_HEADS => true,
            (LinePhase::Head, _) => in_phase >= limits.header_timeout,
            // It has its own deadline.
            (LinePhase::Leaving, _) => false,
            (LinePhase::Busy, _) if line.is_blocked() => too_slow || still >= limits.idle_timeout,
            // It may be waiting for the end of its answer, or gone.
            (LinePhase::Busy, _) if line.is_half_closed() => still >= limits.header_timeout,
            (LinePhase::Busy, _) => false,
            (LinePhase::Tunnel, _) => still >= limits.idle_timeout || stage == Stage::Ending,
        };
        if over { Verdict::End } else { Verdict::Fine }
    }
}

/// Whether a client takes less of its answer than it is to, for as long as that is an average over. Time in which nothing waits
/// to be taken does not count.
fn is_too_slow(slow: &mut Option<(Instant, u32)>, line: &Line, now: Instant, least_rate: u64) -> bool {
    let taken = line.taken();
    let (since, before) = *slow.get_or_insert((now, taken));
    let waited = now - since;
    let is_slow = f64::from(taken.wrapping_sub(before)) < least_rate as f64 * waited.as_secs_f64();
    if !line.is_blocked() || !is_slow {
        *slow = Some((now, taken));
        return false;
    }
    waited >= RATE_TIME
}

/// Whether a request has come that was not read yet.
fn has_sent(line: &Line) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    socket2::SockRef::from(line.socket()).peek(&mut byte).is_ok_and(|came| came > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edge::sides;
    use http::Version;
    use tokio::net::{TcpListener, TcpStream};

    /// A connection that is listed, and its other end.
    async fn listed(lines: &Arc<Lines>) -> (Listed, Arc<Line>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (_, write) = sides::plain(listener.accept().await.unwrap().0);
        let (line, listed) = (Arc::new(Line::new(write)), lines.place());
        let task = tokio::spawn(std::future::pending::<()>()).abort_handle();
        lines.list(listed.number(), line.clone(), task);
        (listed, line, client)
    }

    #[tokio::test]
    async fn who_has_sent_nothing_makes_room_first() {
        let lines = Arc::<Lines>::default();
        // The other way round than they are to end.
        let (idle, half, silent, new) =
            (listed(&lines).await, listed(&lines).await, listed(&lines).await, listed(&lines).await);
        let (upload, tunnel) = (listed(&lines).await, listed(&lines).await);
        idle.1.busy(Version::HTTP_11);
        idle.1.idle();
        half.1.in_head();
        upload.1.busy(Version::HTTP_11);
        upload.1.set_awaits_body(true);
        tunnel.1.in_tunnel();
        let begun = Instant::now();
        let order = |now: Instant, bodies| {
            let mut candidates = lines.candidates(now, bodies);
            candidates.sort();
            candidates.into_iter().map(|(rank, _, number)| (rank, number)).collect::<Vec<_>>()
        };
        let [idle, half, silent, new, upload] = [&idle, &half, &silent, &new, &upload].map(|one| one.0.number());
        let early = order(begun, HalfBodies::Stay);
        assert!(
            early.iter().all(|(rank, _)| *rank != Rank::Silent),
            "their first bytes may be on their way: {early:?}"
        );
        let late = begun + FIRST_BYTES;
        let all = [(Rank::Silent, silent), (Rank::Silent, new), (Rank::Begun, half), (Rank::Idle, idle)];
        assert_eq!(order(late, HalfBodies::Stay), all);
        let with_calls = order(late, HalfBodies::MakeRoom);
        assert_eq!(with_calls.len(), 5);
        assert!(with_calls.contains(&(Rank::Begun, upload)));
        assert!(lines.ask(silent) && !lines.ask(silent));
        assert_eq!(order(late, HalfBodies::Stay)[0].1, new, "nobody is asked for twice");
        assert_eq!(lines.asked().await, [silent]);
        assert!(!lines.close(half, Rank::Silent, late, HalfBodies::Stay), "it has begun meanwhile");
        assert!(lines.close(silent, Rank::Silent, late, HalfBodies::Stay));
        assert!(!lines.close(silent, Rank::Idle, late, HalfBodies::Stay), "it has gone");
        assert!(!lines.close(upload, Rank::Idle, late, HalfBodies::Stay), "it goes on");
    }

    #[tokio::test]
    async fn who_takes_less_than_the_least_rate_is_ended() {
        const SECOND: Duration = Duration::from_secs(1);
        // What it takes in each of 31 seconds, and whether anything waits to be taken.
        let check = |taken: usize, waits: bool| async move {
            let (_listed, line, _client) = listed(&Arc::default()).await;
            line.blocked(waits);
            let (begun, mut slow) = (Instant::now(), None);
            let looks = (0..=31).map(|second| {
                line.took(taken);
                is_too_slow(&mut slow, &line, begun + SECOND * second, 1 << 10)
            });
            looks.collect::<Vec<_>>().into_iter().position(|is_slow| is_slow)
        };
        assert_eq!(check(0, true).await, Some(30));
        assert_eq!(check(1000, true).await, Some(30));
        assert_eq!(check(1025, true).await, None);
        assert_eq!(check(0, false).await, None, "the origin is slow");
    }

    #[tokio::test]
    async fn what_has_come_and_was_not_read_keeps_its_connection() {
        let lines = Arc::<Lines>::default();
        let (listed, line, client) = listed(&lines).await;
        client.try_write(b"GET").unwrap();
        line.socket().readable().await.unwrap();
        let late = Instant::now() + FIRST_BYTES;
        assert!(!lines.close(listed.number(), Rank::Idle, late, HalfBodies::Stay));
        assert_eq!(lines.candidates(late, HalfBodies::Stay).len(), 1, "it may make room later");
    }
}
