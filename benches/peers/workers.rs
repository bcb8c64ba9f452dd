//! Two workers beside one.
//!
//! With two cores, two workers leave none for the load. So one worker shares its core with one thread of load, and two
//! workers share two cores with two threads: twice the cores for twice the load, and what a request costs the load is the
//! same on both sides. Whatever two workers spend on each other, or wait for each other, shows as less than twice.
//! All ask for one entry, which is the worst case: two workers touch the same memory with every request.

use crate::args::{Kind, Options};
use crate::children::Core;
use crate::load::{self, Load, Sample};
use crate::server::Place;
use crate::start::{self, Workers};
use crate::table::{cells, median, shown};
use crate::{Outcome, Row};

const ROW: Row = Row { kind: Kind::Hit, kib: 1 };

pub fn measure(place: &Place, options: &Options) -> Outcome<String> {
    let (one, _) = start::stent(place, Workers::One)?;
    let (two, _) = start::stent(place, Workers::Two)?;
    let mut rounds = Vec::new();
    one.check(ROW)?;
    two.check(ROW)?;
    for round in 0..options.rounds {
        eprintln!("workers: round {} of {}", round + 1, options.rounds);
        let one = load::sample(&one, ROW, Load { threads: 1, core: Core::Server }, options.seconds)?;
        let two = load::sample(&two, ROW, Load { threads: 2, core: Core::Both }, options.seconds)?;
        rounds.push((one, two));
    }
    Ok(report(&rounds, options))
}

fn report(rounds: &[(Sample, Sample)], options: &Options) -> String {
    let row = |name: &str, decimals, value: fn(Sample, f64) -> f64| {
        let of = |pick: fn(f64, f64) -> f64| {
            median(rounds.iter().map(|(one, two)| pick(value(*one, 1.0), value(*two, 2.0))).collect())
        };
        let columns = [(of(|one, _| one), decimals), (of(|_, two| two), decimals), (of(|one, two| two / one), 2)];
        let columns = columns.map(|(value, decimals)| shown(value, decimals));
        std::iter::once(name.to_owned()).chain(columns).collect()
    };
    let header = ["", "one worker", "two workers", "two to one"].map(str::to_owned).into();
    let rows = [
        header,
        row("requests per second, the load on the same cores", 0, |sample, _| sample.rate),
        row("CPU time of the server per request in µs", 1, |sample, _| sample.cpu),
        row("requests per second that so much CPU time is enough for", 0, |sample, workers| workers * 1e6 / sample.cpu),
    ];
    format!(
        "\nWorkers of Stent: {}, medians of {} rounds of {} s\n\n  \
         One worker shares a core with one thread of load, two workers share two cores with two threads: 2.00 is perfect.\n  \
         The last line is computed: workers that have their cores to themselves, and never wait.\n\n{}",
        ROW.name(),
        options.rounds,
        options.seconds,
        cells(&rows),
    )
}
