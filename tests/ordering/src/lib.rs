//! The memory ordering of the purge log (rule 6 of `src/store/purge.rs`): loom runs small stories of purges, checks and fills
//! in every order of their steps, and lets every load see each value that the memory model allows it to see.
//!
//! The log is the one that is used, with loom's atomics and small tables. Beside it stand copies with single rules broken
//! (`build.rs` makes them), which the same stories have to tell from it: most processors are kinder than the memory model,
//! so no race on them would show some of those.

#![cfg(test)]
// The same stories for every log.
#![allow(clippy::duplicate_mod)]
// A table of one bucket.
#![allow(clippy::modulo_one)]

mod models;
// None of its switches is there without its feature.
#[allow(dead_code, missing_docs)]
#[path = "../../../src/ground/mutants.rs"]
mod mutants;
mod tag;

include!(concat!(env!("OUT_DIR"), "/variants.rs"));

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A story with a name, and how often one thread may interrupt another in it if that is bounded: three threads have too many orders.
type Model = (&'static str, Option<usize>, fn());

/// A log that is not as it should be.
struct Variant {
    name: &'static str,
    /// Whether some order has to show it.
    seen: bool,
    models: &'static [Model],
}

#[test]
fn the_log_keeps_its_rules_in_every_order() {
    for &(name, bound, model) in models::MODELS {
        let orders = explore(bound, model).unwrap_or_else(|orders| panic!("{name}: broken in order {orders}"));
        println!("{name}: {orders} orders");
    }
}

#[test]
fn broken_rules_show() {
    for variant in VARIANTS {
        let shown = variant.models.iter().find_map(|&(name, bound, model)| Some((name, explore(bound, model).err()?)));
        match shown {
            Some((name, orders)) => println!("{}: shown by {name:?} in order {orders}", variant.name),
            None => println!("{}: not seen", variant.name),
        }
        assert_eq!(shown.is_some(), variant.seen, "{}", variant.name);
    }
}

/// Runs it in all orders within the bound and counts them; the number of the first that failed is an error.
fn explore(bound: Option<usize>, model: fn()) -> Result<u64, u64> {
    let orders = Arc::new(AtomicU64::new(0));
    let counted = orders.clone();
    let exploring = std::thread::spawn(move || {
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = bound;
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            model();
        });
    });
    let ended = exploring.join();
    let orders = orders.load(Ordering::Relaxed);
    ended.map(|()| orders).map_err(|_| orders)
}
