//! Names and counters. Handles are made when the configuration is loaded and incremented by reference after that.

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

use crate::outcome::{LABELS, Outcome};

/// Every metric, with what it tells; README's table is checked against it.
pub const METRICS: [(&str, &str); 13] = [
    ("stent_requests_total", "Requests by route and outcome"),
    ("stent_refused_total", "Requests refused before any route took them"),
    ("stent_purges_total", "Purges applied, those that follow writes included"),
    ("stent_entries", "Entries in the memory store"),
    ("stent_bytes", "Bytes in the memory store, heads and keys included"),
    ("stent_flights", "Fetches under way"),
    ("stent_waiting", "Requests that wait for a fetch, their own or another's"),
    ("stent_fill_bytes", "Bytes that answers take while they are being fetched"),
    ("stent_connections", "Client connections that are open"),
    ("stent_connections_shed_total", "Idle client connections that were closed to make room"),
    ("stent_accept_failures_total", "Failures to accept a connection for want of descriptors or memory"),
    ("stent_upstream_connections", "Connections to an upstream, by state"),
    ("stent_upstream_in_flight", "Requests in flight at an upstream"),
];

/// Where metrics are kept and rendered.
pub struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Registry")
    }
}

impl Default for Registry {
    fn default() -> Registry {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        for (name, text) in METRICS {
            recorder.describe_counter(KeyName::from_const_str(name), None, text.into());
        }
        Registry { recorder, handle }
    }
}

const METADATA: Metadata<'static> = Metadata::new("stent", Level::INFO, None);

impl Registry {
    /// A counter's handle.
    pub fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.recorder.register_counter(&key(name, labels), &METADATA)
    }

    /// A gauge's handle.
    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    /// Everything, in Prometheus's text format.
    pub fn render(&self) -> String {
        self.handle.render()
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels.iter().map(|(key, value)| Label::new(*key, (*value).to_owned())).collect();
    Key::from_parts(name, labels)
}

/// The counters that requests increment.
#[derive(Debug)]
pub struct Meters {
    routes: Vec<[Counter; LABELS.len()]>,
    refused: Counter,
    purges: Counter,
}

impl Meters {
    /// For these routes, in order.
    pub fn new<'a>(registry: &Registry, routes: impl Iterator<Item = &'a str>) -> Meters {
        let of_route = |route: &'a str| {
            LABELS.map(|outcome| registry.counter("stent_requests_total", &[("route", route), ("outcome", outcome)]))
        };
        Meters {
            routes: routes.map(of_route).collect(),
            refused: registry.counter("stent_refused_total", &[]),
            purges: registry.counter("stent_purges_total", &[]),
        }
    }

    /// Counts a request of the route with this index.
    pub fn count(&self, route: usize, outcome: &Outcome) {
        if let Some(counters) = self.routes.get(route) {
            counters[outcome.index()].increment(1);
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
