//! Services behind the proxy: their servers, their connections, and sending one request within its deadlines.
//!
//! [`Upstream::send`] is the only way out. [`pool`] keeps connections per worker and counts them over all; [`exchange`]
//! carries one attempt and gives the connection back when the answer's body has been read.

mod answer;
mod crowds;
pub mod exchange;
mod full;
mod held;
mod names;
pub mod outgoing;
mod places;
pub mod pool;
mod request;
pub mod seat;
pub mod settings;
mod sticky;
mod tallies;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use tokio::sync::Semaphore;

use self::exchange::{Exchanged, Sending};
use self::full::Full;
pub use self::held::Asker;
use self::pool::Pool;
use self::settings::{Balance, UpstreamSettings};
use self::sticky::Sticky;
use crate::ground::failure::{Failure, FailureKind, Phase};
use crate::telemetry::UpstreamMeters;
use crate::upstream::seat::{By, Reused};

/// One named service.
#[derive(Debug)]
pub struct Upstream {
    /// As configured.
    pub settings: UpstreamSettings,
    pool: Pool,
    /// Where there is a choice.
    sticky: Option<Sticky>,
    next: AtomicUsize,
    meters: UpstreamMeters,
    /// Places for clients that are slow with their bodies: half of all.
    pub slow: Arc<Semaphore>,
    full: Full,
}

impl Upstream {
    /// For this many workers.
    pub fn new(settings: UpstreamSettings, workers: usize, meters: UpstreamMeters) -> Upstream {
        let pool = Pool::new(&settings, workers);
        let sticky = settings.sticky.clone().filter(|_| settings.servers.len() > 1).map(Sticky::new);
        let slow = Arc::new(Semaphore::new(settings.max_connections / 2));
        Upstream { settings, pool, sticky, next: AtomicUsize::new(0), meters, slow, full: Full::default() }
    }

    /// Sends a request and answers the response's head with its body still streaming.
    ///
    /// Everything until the head shares one deadline. An attempt that failed before anything left is tried again on a fresh
    /// connection; one that died on a reused connection before the first byte of an answer is tried once more if it is
    /// repeatable; beyond that `retries` counts, for what failed before anything left and for what is repeatable.
    pub fn send(
        &self,
        worker: WorkerId,
        request: &mut Outgoing,
    ) -> impl Future<Output = Result<Exchanged, Failure>> + Send {
        let now = monotonic();
        self.send_within(Within { now, deadline: now + self.settings.deadline }, worker, request)
    }

    /// As [`Upstream::send`], with what is left of an earlier deadline.
    pub fn send_by(
        &self,
        deadline: Instant,
        worker: WorkerId,
        request: &mut Outgoing,
    ) -> impl Future<Output = Result<Exchanged, Failure>> + Send {
        self.send_within(Within { now: monotonic(), deadline }, worker, request)
    }

    async fn send_within(
        &self,
        mut within: Within,
        worker: WorkerId,
        request: &mut Outgoing,
    ) -> Result<Exchanged, Failure> {
        let mut retries = self.settings.retries;
        // What cannot be repeated is not risked on a connection that the origin has just closed.
        let repeats = request.is_repeatable();
        let mut freshness = if repeats { ConnectionChoice::AnyConnection } else { ConnectionChoice::LookedAt };
        let mut avoid = None;
        let mut sending = Sending::First;
        let by = By { worker, asker: request.asker };
        loop {
            let server = self.server_for(request, avoid);
            let lease = match &request.own {
                // It would be refused with its answer; nobody need hear of it.
                _ if request.wants_stream() && self.pool.has_no_stream_left() => {
                    Err(Failure::before(FailureKind::Streams))
                }
                None => self.pool.lease(server, by, within, freshness).await,
                Some(own) => self.pool.lease_own(own, server, by, within, freshness).await,
            };
            let repeatable = request.is_repeatable();
            let (reused, failure) = match lease {
                Ok(lease) => {
                    let (reused, limits) = (lease.reused, self.limits(within.deadline, lease.taken));
                    match exchange::attempt(lease, request, limits).await {
                        Ok(exchanged) => {
                            self.meters.answered(worker, exchanged.delay);
                            if let Some(sticky) = &self.sticky {
                                sticky.answered(server, &exchanged.head.headers);
                            }
                            return Ok(Exchanged { sending, ..exchanged });
                        }
                        Err(failure) => (reused, failure),
                    }
                }
                Err(failure) => (Reused::No, failure),
            };
            // Without a descriptor it is busy, too.
            if failure.kind != FailureKind::Busy || self.pool.is_full() {
                self.full.say(failure.kind, &self.settings, within.now);
            }
            if failure.phase == Phase::Sent {
                sending = Sending::Again;
            }
            // What an earlier attempt may have done stays unknown, even if this one did not get as far.
            let last = match sending {
                Sending::First => failure,
                Sending::Again => Failure { phase: Phase::Sent, ..failure },
            };
            let can_repeat = failure.phase == Phase::Before || repeatable;
            let died_idle = can_repeat && reused == Reused::Yes && failure.kind == FailureKind::Reset;
            if !died_idle {
                self.meters.failed(failure);
            }
            let may_retry = can_repeat && is_worth_another(failure.kind);
            if died_idle && freshness != ConnectionChoice::FreshConnection {
                // Other idle connections of that server are likely dead as well.
                freshness = ConnectionChoice::FreshConnection;
            } else if may_retry && retries > 0 {
                retries -= 1;
                // A server that fails at once has the fewest requests in flight: it would be picked again.
                avoid = Some(server);
            } else {
                return Err(last);
            }
            within.now = monotonic();
            if within.now >= within.deadline {
                return Err(last);
            }
        }
    }

    /// Connections that are open now, those that idle, and requests in flight, for the admin.
    pub fn counts(&self) -> pool::Counts {
        self.pool.counts()
    }

    /// Closes idle connections whose time is over.
    pub fn tend(&self, now: Instant) {
        self.pool.tend(now);
    }

    fn limits(&self, deadline: Instant, now: Instant) -> exchange::Limits {
        let left = deadline.saturating_duration_since(now);
        let UpstreamSettings { timeout, head: size, .. } = self.settings;
        exchange::Limits { head: timeout.min(left), idle: timeout, size }
    }

    /// Which server a request goes to: where its client has a connection of its own, where its session is, or any; another
    /// than `avoid` where there is one.
    fn server_for(&self, request: &Outgoing, avoid: Option<usize>) -> usize {
        let own = request.own.as_deref().filter(|_| avoid.is_none());
        let by_cookie = |sticky: &Sticky| sticky.server(&request.headers, &self.settings.servers, avoid);
        let known = own.and_then(|own| self.pool.own_server(own));
        known.or_else(|| self.sticky.as_ref().and_then(by_cookie)).unwrap_or_else(|| self.pick(avoid))
    }

    /// The next in turn, or the least busy; another than `avoid` where there is one.
    fn pick(&self, avoid: Option<usize>) -> usize {
        let servers = self.settings.servers.len();
        if servers == 1 {
            return 0;
        }
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let choice = |index: usize| match avoid {
            Some(avoid) => (avoid + 1 + index % (servers - 1)) % servers,
            None => index % servers,
        };
        match self.settings.balance {
            Balance::RoundRobin => choice(turn),
            Balance::LeastConnections => {
                // Starting at a different server each time, equals take turns.
                let all = (0..servers).map(|index| choice(turn + index));
                all.min_by_key(|&server| self.pool.in_flight(server)).unwrap_or(0)
            }
            Balance::P2c => {
                let mix = (turn as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let (a, b) = (choice((mix >> 33) as usize), choice((mix >> 13) as usize));
                if self.pool.in_flight(a) <= self.pool.in_flight(b) { a } else { b }
            }
        }
    }
}

use crate::ground::clock::monotonic;
use crate::ground::worker::WorkerId;
use crate::upstream::outgoing::{Outgoing, Within};
use crate::upstream::seat::ConnectionChoice;
pub use pool::Counts;

/// Nothing came of it, and the next attempt may fare better.
fn is_worth_another(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Connect | FailureKind::NameLookup | FailureKind::Reset | FailureKind::Timeout)
}
