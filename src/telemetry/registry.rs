//! Where metrics are kept, and how they are written.
//!
//! The exporter writes them; it cannot forget a label set, so it keeps nothing: it is made anew for each page. A counter or a
//! histogram lives here for as long as somebody holds its handle. So what a reload leaves behind is gone from the page once its
//! last request is over, and what goes on over a reload goes on counting.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metrics::{Counter, Key, KeyName, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};

use super::histogram::Histogram;
use crate::telemetry::catalogue::METRICS;

/// The counters and histograms of a process.
#[derive(Debug, Default)]
pub struct Registry {
    counters: Mutex<Held<AtomicU64>>,
    /// The exporter's own cost a lock and memory for each value until somebody looks.
    histograms: Mutex<Held<Histogram>>,
}

type Held<M> = BTreeMap<(&'static str, Labels), Arc<M>>;
type Labels = Vec<(&'static str, String)>;

/// One page of metrics that is being written.
pub struct MetricsPage(PrometheusRecorder);

impl std::fmt::Debug for MetricsPage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MetricsPage")
    }
}

const METADATA: Metadata<'static> = Metadata::new("stent", Level::INFO, None);

impl Registry {
    /// A counter's handle.
    pub fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        Counter::from_arc(handle(&self.counters, name, labels))
    }

    /// A histogram's handle.
    pub fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Arc<Histogram> {
        handle(&self.histograms, name, labels)
    }

    /// Everything, in Prometheus's text format, with what `add` knows only now.
    pub fn render(&self, add: impl FnOnce(&MetricsPage)) -> String {
        let page = MetricsPage(PrometheusBuilder::new().build_recorder());
        for (name, text) in METRICS {
            page.0.describe_counter(KeyName::from_const_str(name), None, text.into());
        }
        for ((name, labels), counter) in lock(&self.counters).iter() {
            let labels: Vec<_> = labels.iter().map(|(label, value)| (*label, value.as_str())).collect();
            page.counter(name, &labels, counter.load(Ordering::Relaxed));
        }
        add(&page);
        let mut text = page.0.handle().render();
        let mut described = None;
        for ((name, labels), histogram) in lock(&self.histograms).iter() {
            if described.replace(*name) != Some(*name) {
                let tells = METRICS.iter().find(|(metric, _)| metric == name).map_or("", |(_, tells)| tells);
                text.push_str(&format!("# HELP {name} {tells}\n# TYPE {name} histogram\n"));
            }
            histogram.render(name, labels, &mut text);
        }
        text
    }
}

impl MetricsPage {
    /// Writes a counter that stands at this value.
    pub fn counter(&self, name: &'static str, labels: &[(&'static str, &str)], value: u64) {
        self.0.register_counter(&key(name, labels), &METADATA).absolute(value);
    }

    /// Writes a gauge.
    pub fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)], value: u64) {
        self.0.register_gauge(&key(name, labels), &METADATA).set(value as f64);
    }
}

/// The one that is held under this name, or a new one.
fn handle<M: Default>(all: &Mutex<Held<M>>, name: &'static str, labels: &[(&'static str, &str)]) -> Arc<M> {
    let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
    lock(all).entry((name, labels)).or_default().clone()
}

/// All that somebody still holds; the rest is forgotten.
fn lock<M>(all: &Mutex<Held<M>>) -> MutexGuard<'_, Held<M>> {
    let mut all = all.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|_, metric| Arc::strong_count(metric) > 1);
    all
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<Label> = labels.iter().map(|(key, value)| Label::new(*key, (*value).to_owned())).collect();
    Key::from_parts(name, labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_any_more_is_not_written_and_the_rest_goes_on() {
        let registry = Registry::default();
        let of = |route: &str| registry.counter("stent_slow_requests_total", &[("route", route)]);
        let times = |route: &str| registry.histogram("stent_request_seconds", &[("route", route)]);
        let (stays, _times) = (of("stays"), times("stays"));
        stays.increment(2);
        for number in 0..500 {
            let name = format!("route{number}");
            let (goes, again, seconds) = (of(&name), of("stays"), times(&name));
            goes.increment(1);
            again.increment(1);
            seconds.record(0, std::time::Duration::from_micros(1));
            let text = registry.render(|_| ());
            assert!(text.contains(&format!("stent_slow_requests_total{{route=\"{name}\"}} 1\n")), "{text}");
            assert!(text.contains(&format!("stent_request_seconds_count{{route=\"{name}\"}} 1\n")), "{text}");
        }
        let text = registry.render(|page| page.gauge("stent_entries", &[], 7));
        assert!(!text.contains("route499"), "{text}");
        assert!(text.contains("stent_slow_requests_total{route=\"stays\"} 502\n"), "{text}");
        assert!(text.contains("stent_request_seconds_count{route=\"stays\"} 0\n"), "{text}");
        assert!(text.contains("stent_entries 7\n") && text.len() < 4_000, "{text}");
        assert_eq!((lock(&registry.counters).len(), lock(&registry.histograms).len()), (1, 1));
    }
}
