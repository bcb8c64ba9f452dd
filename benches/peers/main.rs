//! What a request costs here and elsewhere: Stent, other proxies where installed, and a bare hyper server under the same
//! load.
//!
//! Every server runs on one core; the load and the origin share another. What is compared is the CPU time of a server's
//! processes per answered request: unlike requests per second it hardly moves when something else runs on the machine.
//! Servers take turns within a round, and ratios are taken within a round too, so that a slow minute hits all of them.
//!
//! Before anything is measured, every server shows that it answers the right bytes, and from its cache where it should.
//! Latency is not measured: on two cores it would be the scheduler's.

mod args;
mod children;
mod client;
mod load;
mod memory;
mod server;
mod servers;
mod smoke;
mod start;
mod table;
mod workers;

use std::error::Error;
use std::process::ExitCode;

use args::{Args, Kind, Options, Part};
use load::Sample;
use server::{Place, Server};
use table::Report;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match Args::of_process() {
        Ok(Args::Bench(options)) => bench(&options),
        Ok(Args::Smoke(options)) => smoke(&options),
        Ok(Args::Serve(role)) => servers::run(role),
        Ok(Args::Nothing) => Ok(()),
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// One line of the report: what is asked for, by how many bytes.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    kind: Kind,
    kib: usize,
}

impl Row {
    fn bytes(self) -> usize {
        self.kib * 1024
    }

    fn path(self) -> String {
        match self.kind {
            Kind::Pass => format!("/pass/{}", self.bytes()),
            Kind::Hit | Kind::Miss => format!("/bytes/{}", self.bytes()),
        }
    }

    fn name(self) -> String {
        format!("{} {} KiB", self.kind.as_str(), self.kib)
    }
}

fn bench(options: &Options) -> Outcome<()> {
    children::check_tools()?;
    children::check_load()?;
    let folder = server::folder()?;
    let place = Place::new(folder.path())?;
    let _origin = start::origin(&place)?;
    let rows = rows(options);
    if !rows.is_empty() {
        let servers = start::all(&place, &options.peers, &options.also)?;
        let mut report = Report::new(options, servers.iter().map(|server| server.name.clone()).collect());
        for row in rows {
            report.add(row, measure(row, &servers, options)?);
        }
        print!("{report}");
        if let Some(file) = &options.json {
            std::fs::write(file, format!("{:#}\n", report.json()))?;
        }
    }
    if options.only.contains(&Part::Memory) {
        print!("{}", memory::measure(&place, options)?);
    }
    if options.only.contains(&Part::Workers) {
        print!("{}", workers::measure(&place, options)?);
    }
    Ok(())
}

fn smoke(options: &Options) -> Outcome<()> {
    children::check_tools()?;
    let folder = server::folder()?;
    let place = Place::new(folder.path())?;
    let _origin = start::origin(&place)?;
    smoke::run(&place, options)
}

fn rows(options: &Options) -> Vec<Row> {
    let mut rows = Vec::new();
    for part in &options.only {
        let (kind, sizes) = match part {
            Part::Load(Kind::Hit) => (Kind::Hit, &*options.sizes),
            Part::Load(kind) => (*kind, &[1][..]),
            Part::Memory | Part::Workers => continue,
        };
        rows.extend(sizes.iter().map(|&kib| Row { kind, kib }));
    }
    rows
}

/// A round is one sample of each server; `None` where a server has no such row.
fn measure(row: Row, servers: &[Server], options: &Options) -> Outcome<Vec<Vec<Option<Sample>>>> {
    for server in servers.iter().filter(|server| server.takes(row.kind)) {
        server.check(row).map_err(|error| format!("{}, {}: {error}", server.name, row.name()))?;
    }
    let mut rounds = Vec::new();
    for round in 0..options.rounds {
        eprintln!("{}: round {} of {}", row.name(), round + 1, options.rounds);
        let sample = |server: &Server| match server.takes(row.kind) {
            true => load::sample(server, row, options.seconds).map(Some),
            false => Ok(None),
        };
        rounds.push(servers.iter().map(sample).collect::<Outcome<Vec<_>>>()?);
    }
    Ok(rounds)
}
