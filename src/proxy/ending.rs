//! The end of the line: what every answer carries, and the one event that tells of the exchange.

use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Response, StatusCode, Version};

use crate::body::Body;
use crate::deliver;
use crate::edge::settings::Timing;
use crate::fields::url::{path_told, query_told};
use crate::ground::worker::WorkerId;
use crate::policy::outcome::Outcome;
use crate::proxy::current::Proxy;
use crate::proxy::exchange::{Answer, Exchange};
use crate::telemetry::event::{Event, Spent};
use crate::telemetry::line;
use crate::telemetry::settings::Included;

/// An exchange under way, as it is told of even if it never comes to an answer.
pub(super) struct Begun {
    pub at: Instant,
    /// The index of its route.
    pub route: usize,
    pub worker: WorkerId,
    pub id: HeaderValue,
    pub method: &'static str,
    pub version: Version,
}

/// Waits for an answer. Dropped before: the client's connection broke.
pub(super) struct Unanswered<'p> {
    proxy: &'p Proxy,
    begun: Option<Begun>,
}

impl<'p> Unanswered<'p> {
    pub(super) fn new(proxy: &'p Proxy, begun: Begun) -> Unanswered<'p> {
        Unanswered { proxy, begun: Some(begun) }
    }

    /// It has come.
    pub(super) fn answered(mut self) -> Option<Begun> {
        self.begun.take()
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        let Some(begun) = self.begun.take() else { return };
        let head = self.proxy.cache.clock.instant().saturating_duration_since(begun.at);
        let event = begun.event(None, Outcome::Abandoned, head, Spent::default(), None);
        self.proxy.telemetry.note(&event);
    }
}

impl Begun {
    fn event(
        self,
        status: Option<StatusCode>,
        outcome: Outcome,
        head: Duration,
        spent: Spent,
        included: Option<Box<[u8]>>,
    ) -> Event {
        Event {
            began: self.at,
            route: Some(self.route),
            worker: self.worker,
            id: self.id,
            method: Some(self.method),
            version: Some(self.version),
            status,
            outcome,
            head,
            spent,
            included,
        }
    }
}

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");
const X_PROCESS_TIME: HeaderName = HeaderName::from_static("x-process-time");

impl Proxy {
    /// The end of one with an answer.
    pub(super) fn end(
        &self,
        exchange: &Exchange<'_>,
        begun: impl Into<Option<Begun>>,
        (mut response, outcome): Answer,
    ) -> Response<Body> {
        let Some(begun) = begun.into() else { return response };
        deliver::finish(response.headers_mut(), &outcome, begun.id.clone());
        let head = self.cache.clock.instant().saturating_duration_since(begun.at);
        let spent = exchange.spending.sum();
        if self.timing == Timing::Told {
            deliver::unpack(&mut response);
            tell(&mut response, &outcome, head, spent);
        }
        let included = self.included(exchange);
        let event = begun.event(Some(response.status()), outcome, head, spent, included);
        self.telemetry.watch(event, response)
    }

    /// The end of one that no route took. Of a head that cannot be trusted nothing is repeated.
    pub(super) fn end_refused(
        &self,
        worker: WorkerId,
        id: HeaderValue,
        response: Response<Body>,
        outcome: Outcome,
    ) -> Response<Body> {
        let event = Event {
            began: self.cache.clock.instant(),
            route: None,
            worker,
            id,
            method: None,
            version: None,
            status: Some(response.status()),
            outcome,
            head: Duration::ZERO,
            spent: Spent::default(),
            included: None,
        };
        self.telemetry.watch(event, response)
    }

    /// The fields that the configuration asks for, if it does.
    fn included(&self, exchange: &Exchange<'_>) -> Option<Box<[u8]>> {
        let include = self.telemetry.include();
        if include.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        for included in include {
            match included {
                Included::Client => {
                    let client = self.speaks_for(exchange).unwrap_or(exchange.client.peer.ip);
                    line::text_field(&mut out, "asked_by", client.to_string().as_bytes());
                }
                Included::Host => line::text_field(&mut out, "asked_host", exchange.arrival.authority.as_bytes()),
                // Credentials in a URL are written down nowhere.
                Included::Path => {
                    let told = path_told(exchange.uri.path(), &self.identity.url_credentials);
                    line::text_field(&mut out, "asked_path", told.as_bytes());
                }
                Included::Query => {
                    let query = exchange.uri.query().unwrap_or("");
                    let told = query_told(query, &self.identity.url_credentials);
                    line::text_field(&mut out, "asked_query", told.as_bytes());
                }
            }
        }
        Some(out.into())
    }
}

/// `Server-Timing` (W3C), after what the origin said, and `X-Process-Time` in seconds, up to the answer's head.
fn tell(response: &mut Response<Body>, outcome: &Outcome, head: Duration, spent: Spent) {
    let mut timing = Vec::with_capacity(96);
    timing.extend_from_slice(b"cache;desc=");
    timing.extend_from_slice(outcome.label().as_bytes());
    for (name, time) in [("wait", spent.wait), ("origin", spent.origin), ("total", Some(head))] {
        let Some(time) = time else { continue };
        timing.extend_from_slice(b", ");
        timing.extend_from_slice(name.as_bytes());
        timing.extend_from_slice(b";dur=");
        line::write_millis(&mut timing, time);
    }
    let headers = response.headers_mut();
    // Words of ours and digits make values.
    if let Ok(timing) = HeaderValue::from_bytes(&timing) {
        headers.append(SERVER_TIMING, timing);
    }
    if let Ok(seconds) = HeaderValue::from_str(&format!("{:.6}", head.as_secs_f64())) {
        headers.insert(X_PROCESS_TIME, seconds);
    }
}
