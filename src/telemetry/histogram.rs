//! How often something took how long, in fixed buckets.
//!
//! Workers count apart from each other, so that they do not fight over a cache line; rendering adds up.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The upper bounds of the buckets in microseconds, with their spelling in seconds; what is longer goes into `+Inf`.
const BOUNDS: [(u64, &str); 16] = [
    (100, "0.0001"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
    (30_000_000, "30"),
];

/// Workers beyond this many share.
const SHARDS: usize = 8;

/// Durations, counted by bucket.
#[derive(Debug, Default)]
pub struct Histogram {
    shards: [Shard; SHARDS],
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts one, seen by this worker.
    pub fn record(&self, worker: usize, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|(bound, _)| micros <= *bound).unwrap_or(BOUNDS.len());
        let shard = &self.shards[worker % SHARDS];
        shard.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        shard.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// In Prometheus's text format, without the lines that describe it.
    pub fn render(&self, name: &str, labels: &[(&'static str, String)], text: &mut String) {
        let mut shown = String::new();
        labels.iter().for_each(|(key, value)| {
            let _ = write!(shown, "{key}=\"{value}\",");
        });
        let mut count = 0;
        let bounds = BOUNDS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        for (bucket, bound) in bounds.enumerate() {
            count += self.sum(|shard| &shard.buckets[bucket]);
            let _ = writeln!(text, "{name}_bucket{{{shown}le=\"{bound}\"}} {count}");
        }
        let labels = shown.trim_end_matches(',');
        let seconds = self.sum(|shard| &shard.sum_micros) as f64 / 1e6;
        let _ = writeln!(text, "{name}_sum{{{labels}}} {seconds}\n{name}_count{{{labels}}} {count}");
    }

    fn sum(&self, of: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards.iter().map(|shard| of(shard).load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_as_long_as_a_bound_is_in_its_bucket() {
        let histogram = Histogram::default();
        let took = [(0, 100), (1, 101), (9, 1_000_000), (3, 40_000_000)];
        took.iter().for_each(|&(worker, micros)| histogram.record(worker, Duration::from_micros(micros)));
        let mut text = String::new();
        histogram.render("x_seconds", &[("route", "a".to_owned())], &mut text);
        let line = |bound: &str| format!("x_seconds_bucket{{route=\"a\",le=\"{bound}\"}} ");
        for (bound, count) in [("0.0001", 1), ("0.0005", 2), ("0.5", 2), ("1", 3), ("30", 3), ("+Inf", 4)] {
            assert!(text.contains(&format!("{}{count}\n", line(bound))), "{bound}: {text}");
        }
        assert!(text.ends_with("x_seconds_sum{route=\"a\"} 41.000201\nx_seconds_count{route=\"a\"} 4\n"), "{text}");
    }
}
