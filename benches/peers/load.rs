//! One sample: wrk for some seconds, and the server's CPU time before and after.

use std::time::Duration;

use crate::args::Kind;
use crate::children::{self, Core};
use crate::server::Server;
use crate::{Outcome, Row};

/// Requests under way at once.
pub const CONNECTIONS: usize = 32;

/// What one run of wrk showed.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Microseconds of the server's CPU time per request.
    pub cpu: f64,
    /// Requests per second.
    pub rate: f64,
}

impl Sample {
    /// From a number of requests, the CPU time that they cost, and the seconds that they took.
    pub fn new(requests: u64, cpu: Duration, seconds: u64) -> Sample {
        Sample { cpu: cpu.as_secs_f64() * 1e6 / requests as f64, rate: requests as f64 / seconds as f64 }
    }
}

pub fn sample(server: &Server, row: Row, seconds: u64) -> Outcome<Sample> {
    let before = server.process.cpu_time()?;
    let requests = ask(server, row, Core::Load, CONNECTIONS, seconds)?;
    Ok(Sample::new(requests, server.process.cpu_time()? - before, seconds))
}

/// Asks for some seconds, and answers how often.
pub fn ask(server: &Server, row: Row, core: Core, connections: usize, seconds: u64) -> Outcome<u64> {
    server.empty_log()?;
    let written = wrk(server, row, core, connections, seconds)?;
    finished(&written).map_err(|error| format!("{}, {}: {error}\n{written}", server.name, row.name()).into())
}

fn wrk(server: &Server, row: Row, core: Core, connections: usize, seconds: u64) -> Outcome<String> {
    let mut command = children::command(core, "wrk");
    command.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "--timeout", "10s"]);
    let url = format!("http://{}{}", server.address, row.path());
    match row.kind {
        Kind::Miss => command.arg("-s").arg(server.unique_script()).arg(url).args(["--", &server.next_run()]),
        Kind::Hit | Kind::Pass => command.arg(url),
    };
    children::output(command, Duration::from_secs(seconds + 15))
}

/// How many requests were answered, if all of them were answered well.
fn finished(written: &str) -> Outcome<u64> {
    if let Some(line) = written.lines().find(|line| line.contains("Socket errors") || line.contains("Non-2xx")) {
        return Err(line.trim().to_owned().into());
    }
    let count =
        written.lines().find_map(|line| line.trim().split_once(" requests in ")).ok_or("no count of requests")?;
    match count.0.parse()? {
        0 => Err("nothing was answered".into()),
        count => Ok(count),
    }
}
