//! Coherence under every order of things: seeded histories of requests, fetches, 304s, bodies that come in pieces or break
//! off, refusals, clients that hang up, purges, writes, refreshes, evictions, reloads and jumps of the clock. They drive the very steps
//! of `stent::coherence` that the proxy calls, and after each of them an oracle that knows only what truly happened is asked
//! whether invariants 1 to 4 hold.
//!
//! `STENT_HISTORIES` sets how many are run; `STENT_HISTORY` runs one again, by the seed that a failure names.

mod bringing;
mod chance;
mod clinic;
mod history;
mod oracle;
mod origin;
mod request;
mod run;
mod shelf;

use std::time::Instant;

use run::Runner;
#[cfg(feature = "mutants")]
use stent::ground::mutants::{Rule, switch_off};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn invariants_hold_in_every_history() {
    let mut runner = Runner::new();
    let seeds = match number("STENT_HISTORY") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STENT_HISTORIES").unwrap_or(5_000),
    };
    let (began, many) = (Instant::now(), seeds.clone().count());
    if let Some(violation) = runner.first_broken(seeds) {
        panic!("{}", runner.report(violation));
    }
    println!("{many} histories, {:.0} a second", many as f64 / began.elapsed().as_secs_f64());

    #[cfg(feature = "mutants")]
    RULES.iter().for_each(|rule| shows(&mut runner, *rule));
}

#[cfg(feature = "mutants")]
const RULES: [Rule; 23] = [
    Rule::AllPartitions,
    Rule::Birth,
    Rule::Checked,
    Rule::CheckedOnSoft,
    Rule::Columns,
    Rule::Followers,
    Rule::FollowersTags,
    Rule::FollowersTagsOfUnstored,
    Rule::Base,
    Rule::MergedTags,
    Rule::MergedBirth,
    Rule::MergedVariant,
    Rule::Fingerprint,
    Rule::Bound,
    Rule::Rescue,
    Rule::FlightPartition,
    Rule::Timely,
    Rule::Whole,
    Rule::SetCookie,
    Rule::RefusalAlone,
    Rule::AfterRefusal,
    Rule::Unlike,
    Rule::RefusalKept,
];

/// Without a rule, one of so many histories is broken.
#[cfg(feature = "mutants")]
fn shows(runner: &mut Runner, rule: Rule) {
    const MANY: u64 = 100_000;
    let began = Instant::now();
    switch_off(Some(rule));
    let violation = runner.first_broken(0..MANY);
    switch_off(None);
    let violation = violation.unwrap_or_else(|| panic!("{MANY} histories do not show that {rule:?} is off"));
    let run::Violation { seed, broken, .. } = &violation;
    println!("without {rule:?}: broken in history {seed}, after {:?}: {broken}", began.elapsed());
}
