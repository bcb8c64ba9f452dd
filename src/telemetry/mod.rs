//! What can be seen from outside: counters and histograms, the access log, and times in headers.
//!
//! Every exchange ends in one [`event::Event`], which [`Telemetry`] counts and writes down. Handles are made when the
//! configuration is loaded and incremented by reference after that; nothing here makes a worker wait.

pub mod event;
pub mod histogram;
pub mod line;
pub mod log;
mod meters;
pub mod settings;
pub mod stamp;
mod watch;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

pub use self::meters::{Meters, UpstreamMeters};
pub use self::watch::Telemetry;

use self::histogram::Histogram;

/// Every metric, with what it tells; README's table is checked against it.
pub const METRICS: [(&str, &str); 22] = [
    ("stent_requests_total", "Requests by route and outcome"),
    ("stent_refused_total", "Requests refused before any route took them"),
    ("stent_request_seconds", "From a request to the end of its answer, by route and by where the answer came from"),
    ("stent_slow_requests_total", "Requests that took longer than log.slow, by route"),
    ("stent_purges_total", "Purges applied, those that follow writes included"),
    ("stent_entries", "Entries in the memory store"),
    ("stent_bytes", "Bytes in the memory store, heads and keys included"),
    ("stent_flights", "Fetches under way"),
    ("stent_waiting", "Requests that wait for a fetch, their own or another's"),
    ("stent_fill_bytes", "Bytes that answers take while they are being fetched"),
    ("stent_connections", "Client connections that are open"),
    (
        "stent_connections_shed_total",
        "Client connections that had sent nothing, had asked for nothing or were idle, and were closed to make room",
    ),
    (
        "stent_tls_handshakes_refused_total",
        "Connections that ended before a TLS session was agreed on, for what the client said",
    ),
    ("stent_accept_failures_total", "Failures to accept a connection for want of descriptors or memory"),
    ("stent_upstream_connections", "Connections to an upstream, by state"),
    ("stent_upstream_in_flight", "Requests in flight at an upstream"),
    ("stent_upstream_waiting", "Requests that wait for a connection to an upstream"),
    (
        "stent_upstream_made_room_total",
        "Connections to an upstream that were taken from clients who were too slow, since others waited",
    ),
    ("stent_upstream_seconds", "From sending a request to the head of the answer, by upstream"),
    ("stent_upstream_failures_total", "Attempts that brought no answer, by upstream and reason"),
    ("stent_log_dropped_total", "Lines that the access log could not take in time"),
    ("stent_notices_dropped_total", "Lines that standard error could not take, since its reader is gone or hangs"),
];

/// Where metrics are kept and rendered.
pub struct Registry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    /// The exporter's own cost a lock and memory for each value until somebody looks.
    histograms: Mutex<BTreeMap<(&'static str, Labels), Arc<Histogram>>>,
}

type Labels = Vec<(&'static str, String)>;

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
        Registry { recorder, handle, histograms: Mutex::default() }
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

    /// A histogram's handle.
    pub fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Arc<Histogram> {
        let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        let mut histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        histograms.entry((name, labels)).or_default().clone()
    }

    /// Everything, in Prometheus's text format.
    pub fn render(&self) -> String {
        let mut text = self.handle.render();
        let histograms = self.histograms.lock().unwrap_or_else(PoisonError::into_inner);
        let mut described = None;
        for ((name, labels), histogram) in histograms.iter() {
            if described.replace(name) != Some(name) {
                let tells = METRICS.iter().find(|(metric, _)| metric == name).map_or("", |(_, tells)| tells);
                text.push_str(&format!("# HELP {name} {tells}\n# TYPE {name} histogram\n"));
            }
            histogram.render(name, labels, &mut text);
        }
        text
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels.iter().map(|(key, value)| Label::new(*key, (*value).to_owned())).collect();
    Key::from_parts(name, labels)
}
