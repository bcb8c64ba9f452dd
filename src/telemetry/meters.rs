//! What requests increment, by handles.

use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;

use super::histogram::Histogram;
use super::registry::Registry;
use crate::ground::failure::{Failure, FailureKind};
use crate::ground::worker::WorkerId;
use crate::policy::outcome::{LABELS, Outcome};

/// The meters of routes, and of all that no route took.
#[derive(Debug)]
pub struct Meters {
    routes: Vec<RouteMeters>,
    refused: Counter,
    purges: Counter,
}

#[derive(Debug)]
struct RouteMeters {
    outcomes: [Counter; LABELS.len()],
    from_store: Arc<Histogram>,
    from_origin: Arc<Histogram>,
    slow: Counter,
}

impl Meters {
    /// For these routes, in order.
    pub fn new<'a>(registry: &Registry, routes: impl Iterator<Item = &'a str>) -> Meters {
        let of_route = |route: &'a str| RouteMeters {
            outcomes: LABELS
                .map(|outcome| registry.counter("stent_requests_total", &[("route", route), ("outcome", outcome)])),
            from_store: registry.histogram("stent_request_seconds", &[("route", route), ("from", "store")]),
            from_origin: registry.histogram("stent_request_seconds", &[("route", route), ("from", "origin")]),
            slow: registry.counter("stent_slow_requests_total", &[("route", route)]),
        };
        Meters {
            routes: routes.map(of_route).collect(),
            refused: registry.counter("stent_refused_total", &[]),
            purges: registry.counter("stent_purges_total", &[]),
        }
    }

    /// Counts a request of the route with this index.
    pub fn count(&self, route: usize, outcome: &Outcome) {
        if let Some(route) = self.routes.get(route) {
            route.outcomes[outcome.index()].increment(1);
        }
    }

    /// Notes how long it took. Refusals take no time worth knowing.
    pub fn time(&self, route: usize, worker: WorkerId, outcome: &Outcome, took: Duration) {
        let Some(route) = self.routes.get(route) else { return };
        match outcome {
            Outcome::Hit(_) | Outcome::Stale(..) => route.from_store.record(worker, took),
            Outcome::Refused(_) | Outcome::OnlyIfCached | Outcome::Purged => {}
            _ => route.from_origin.record(worker, took),
        }
    }

    /// Counts one that was slow.
    pub fn count_slow(&self, route: usize) {
        if let Some(route) = self.routes.get(route) {
            route.slow.increment(1);
        }
    }

    /// Counts a request that no route took.
    pub fn count_refused(&self) {
        self.refused.increment(1);
    }

    /// Counts an applied purge.
    pub fn count_purge(&self) {
        self.purges.increment(1);
    }
}

/// The meters of one upstream.
#[derive(Debug)]
pub struct UpstreamMeters {
    seconds: Arc<Histogram>,
    failures: [(FailureKind, Counter); KINDS.len()],
}

/// What is an upstream's own failure, as far as can be told.
const KINDS: [FailureKind; 9] = [
    FailureKind::Connect,
    FailureKind::NameLookup,
    FailureKind::Timeout,
    FailureKind::Busy,
    FailureKind::Streams,
    FailureKind::Reset,
    FailureKind::Protocol,
    FailureKind::Coding,
    FailureKind::HeadTooLong,
];

impl UpstreamMeters {
    /// For the upstream of this name.
    pub fn new(registry: &Registry, upstream: &str) -> UpstreamMeters {
        let failures = KINDS.map(|kind| {
            let labels = [("upstream", upstream), ("reason", Failure::sent(kind).as_str())];
            (kind, registry.counter("stent_upstream_failures_total", &labels))
        });
        UpstreamMeters { seconds: registry.histogram("stent_upstream_seconds", &[("upstream", upstream)]), failures }
    }

    /// An answer's head came after so long.
    pub fn answered(&self, worker: WorkerId, delay: Duration) {
        self.seconds.record(worker, delay);
    }

    /// An attempt brought no answer.
    pub fn failed(&self, failure: Failure) {
        if let Some((_, counter)) = self.failures.iter().find(|(kind, _)| *kind == failure.kind) {
            counter.increment(1);
        }
    }
}
