//! Two workers of one process beside two processes with one worker each.
//!
//! With two cores there is none left for the load, so what two workers do cannot be set beside what one does: the load
//! would cost another share of the time. Two processes share nothing but the machine, and together do twice what one does.
//! Two workers have the same two cores and the same load, and whatever they spend on each other, or wait for each other,
//! shows as less than that. All ask for one entry, which is the worst case: both touch the same memory with every request.
//!
//! From each core half of the load goes to each process, as it does to each worker: a load and a server that have only each
//! other would keep to one core, and that is cheaper.

use std::time::Duration;

use crate::args::{Kind, Options};
use crate::children::Core;
use crate::load::{self, Sample};
use crate::server::{Place, Server};
use crate::table::{cells, median, shown};
use crate::{Outcome, Row, start};

const ROW: Row = Row { kind: Kind::Hit, kib: 1 };

pub fn measure(place: &Place, options: &Options) -> Outcome<String> {
    let processes = [
        start::stent(place, "stent, one process", 1, Core::Server)?.0,
        start::stent(place, "stent, another process", 1, Core::Load)?.0,
    ];
    let workers = [start::stent(place, "stent, two workers", 2, Core::Both)?.0];
    processes.iter().chain(&workers).try_for_each(|server| server.check(ROW))?;
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        eprintln!("workers: round {} of {}", round + 1, options.rounds);
        rounds.push((sample(&processes, options.seconds)?, sample(&workers, options.seconds)?));
    }
    Ok(report(&rounds, options))
}

/// Of these servers together, under twice the load of one.
fn sample(servers: &[Server], seconds: u64) -> Outcome<Sample> {
    const EACH: usize = load::CONNECTIONS / 2;
    let cpu = || servers.iter().map(|server| server.process.cpu_time()).sum::<Outcome<Duration>>();
    let before = cpu()?;
    let requests = std::thread::scope(|scope| {
        let ask = |(server, core)| {
            scope.spawn(move || load::ask(server, ROW, core, EACH, seconds).map_err(|error| error.to_string()))
        };
        let cores = [Core::Server, Core::Server, Core::Load, Core::Load];
        let loads: Vec<_> = servers.iter().cycle().zip(cores).map(ask).collect();
        loads.into_iter().map(|load| load.join().map_err(|_| "a thread that asks panicked")?).sum::<Result<u64, _>>()
    })?;
    Ok(Sample::new(requests, cpu()? - before, seconds))
}

fn report(rounds: &[(Sample, Sample)], options: &Options) -> String {
    let row = |name: &str, decimals, value: fn(&Sample) -> f64| {
        let of = |pick: fn(f64, f64) -> f64| {
            median(rounds.iter().map(|(processes, workers)| pick(value(processes), value(workers))).collect())
        };
        let columns = [(of(|one, _| one), decimals), (of(|_, two| two), decimals), (of(|one, two| two / one), 2)];
        let columns = columns.map(|(value, decimals)| shown(value, decimals));
        std::iter::once(name.to_owned()).chain(columns).collect()
    };
    let header = ["", "two processes", "two workers", "workers to processes"].map(str::to_owned).into();
    let rows = [
        header,
        row("requests per second", 0, |sample| sample.rate),
        row("CPU time per request in µs", 1, |sample| sample.cpu),
    ];
    format!(
        "\nTwo workers of Stent: {}, medians of {} rounds of {} s\n\n  \
         Beside two processes with one worker each, which share nothing and do twice what one does.\n  \
         0.90 of their requests per second means that two workers do 1.8 times what one does.\n\n{}",
        ROW.name(),
        options.rounds,
        options.seconds,
        cells(&rows),
    )
}
