//! What each step of a hit costs, in nanoseconds and in allocations, without sockets: the head on its way in, the route, the
//! four questions, the key, the store, the purge log, the head on its way out, and all of them in a row.
//!
//! `cargo bench --bench questions` measures, with a filter behind `--` if wanted; `cargo test --bench questions` runs each
//! once. The whole way of a request, sockets and kernel included, is what `peers` measures.

mod hit;
mod judging;
mod keeping;
mod messages;
mod routing;
mod stage;

/// Counts beside what it does: nothing on the way of a hit is to ask the heap for what could have been kept.
#[global_allocator]
static ALLOCATOR: divan::AllocProfiler<mimalloc::MiMalloc> = divan::AllocProfiler::new(mimalloc::MiMalloc);

fn main() {
    // So many that what disturbs a few of them does not reach the median.
    divan::Divan::default().sample_count(1000).config_with_args().main();
}
