//! When an exchange is over, and what happens then.
//!
//! An answer that is in one buffer is over when it is handed over: only the client can delay it then. One that streams is over
//! with the last of its body, or when the connection lets go of it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Response, header};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::event::{Cut, Event, ExchangeEnd};
use super::line::{self, Level, RouteText};
use super::log::Log;
use super::meters::Meters;
use super::settings::{AccessLines, Included, LogSettings};
use crate::body::{Body, BodyError};
use crate::ground::clock::Clock;
use crate::rules::route::{AccessLog, Route};

/// Counts and writes down what happens.
#[derive(Debug)]
pub struct Telemetry {
    /// Counters and histograms.
    pub meters: Meters,
    /// The access log.
    pub log: Arc<Log>,
    every: Every,
    slow: Duration,
    include: Vec<Included>,
    routes: Vec<Option<RouteText>>,
    clock: Clock,
}

/// Which exchanges have a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Every {
    /// All.
    Exchange,
    /// The slow ones.
    Slow,
}

impl Telemetry {
    /// For these routes, in order.
    pub fn new<'a>(
        settings: &LogSettings,
        routes: impl Iterator<Item = &'a Route>,
        meters: Meters,
        log: Arc<Log>,
        clock: Clock,
    ) -> Telemetry {
        let text = |route: &Route| (route.access_log == AccessLog::Written).then(|| RouteText::new(route));
        Telemetry {
            meters,
            log,
            every: if settings.access == AccessLines::Off { Every::Slow } else { Every::Exchange },
            slow: settings.slow.unwrap_or(Duration::MAX),
            include: settings.include.clone(),
            routes: routes.map(text).collect(),
            clock,
        }
    }

    /// What lines tell besides.
    pub fn include(&self) -> &[Included] {
        &self.include
    }

    /// Takes an answer on its way out; the event is told when it is over.
    pub fn watch(self: &Arc<Self>, event: Event, response: Response<Body>) -> Response<Body> {
        self.count(&event);
        let bytes = match response.body() {
            // A body stays behind.
            _ if event.method == Some("HEAD") => 0,
            // What goes through a tunnel is no answer of ours.
            Body::Tunnel(_) => 0,
            whole @ (Body::Empty | Body::Full(_) | Body::Stored(..)) => whole.length().unwrap_or(0),
            Body::Stream(_) => {
                let pace = match response.headers().get(header::CONTENT_TYPE).map(|media| media.as_bytes()) {
                    Some(media) if media.starts_with(b"text/event-stream") => Pace::Events,
                    _ => Pace::Steady,
                };
                let telemetry = self.clone();
                return response.map(|body| {
                    let (bytes, stalled) = (0, Duration::ZERO);
                    let cut = Some(Cut::Client);
                    Body::stream(Watched { body, event, telemetry, bytes, cut, pace, stalled, still_since: None })
                });
            }
        };
        self.over(&event, &ExchangeEnd { at: event.began + event.head, bytes, stalled: Duration::ZERO, cut: None });
        response
    }

    /// Takes an event that will have no answer.
    pub fn note(&self, event: &Event) {
        self.count(event);
        let (at, cut) = (event.began + event.head, Some(Cut::Client));
        self.over(event, &ExchangeEnd { at, bytes: 0, stalled: Duration::ZERO, cut });
    }

    fn count(&self, event: &Event) {
        match event.route {
            Some(route) => self.meters.count(route, &event.outcome),
            None => self.meters.count_refused(),
        }
    }

    fn over(&self, event: &Event, end: &ExchangeEnd) {
        let took = end.at.saturating_duration_since(event.began);
        // A client that reads slowly makes nobody else slow.
        let is_slow = event.head + end.stalled >= self.slow;
        if let Some(route) = event.route {
            self.meters.time(route, event.worker, &event.outcome, took);
            if is_slow {
                self.meters.count_slow(route);
            }
        }
        let level = match (is_slow, self.every) {
            (true, _) => Level::Warn,
            (false, Every::Exchange) => Level::Info,
            (false, Every::Slow) => return,
        };
        let route = match event.route.and_then(|route| self.routes.get(route)) {
            Some(None) => return,
            Some(Some(text)) => Some(text),
            None => None,
        };
        self.log.append(event.worker, |out, stamp| line::write(out, stamp, level, event, end, route));
    }
}

/// A body that tells when it is over.
struct Watched {
    body: Body,
    event: Event,
    telemetry: Arc<Telemetry>,
    bytes: u64,
    /// Whose fault it would be, if this were dropped now.
    cut: Option<Cut>,
    pace: Pace,
    /// How long the next piece was waited for, all together, and since when one is.
    stalled: Duration,
    still_since: Option<Instant>,
}

/// Whether a body that stands still is a slow one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// It is.
    Steady,
    /// It has nothing to tell at the moment.
    Events,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) else {
            if this.pace == Pace::Steady && this.still_since.is_none() {
                this.still_since = Some(this.telemetry.clock.instant());
            }
            return Poll::Pending;
        };
        if let Some(since) = this.still_since.take() {
            this.stalled += this.telemetry.clock.instant().saturating_duration_since(since);
        }
        match &frame {
            None => this.cut = None,
            Some(Err(_)) => this.cut = Some(Cut::Origin),
            Some(Ok(frame)) => this.bytes += frame.data_ref().map_or(0, |data| data.len() as u64),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Whoever knows the length does not ask for the end.
        let is_whole = self.cut == Some(Cut::Client) && self.body.is_end_stream();
        let cut = self.cut.filter(|_| !is_whole);
        let at = self.telemetry.clock.instant();
        let still = self.still_since.map_or(Duration::ZERO, |since| at.saturating_duration_since(since));
        let stalled = self.stalled + still;
        self.telemetry.over(&self.event, &ExchangeEnd { at, bytes: self.bytes, stalled, cut });
    }
}
