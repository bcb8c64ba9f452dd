//! What a stored answer takes of Stent's memory, and an idle connection of everybody's: the growth of the resident set over
//! their number. What the kernel has for a connection is not in it; it is the same for all.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::args::Options;
use crate::children::Core;
use crate::client::Connection;
use crate::server::{Place, Server};
use crate::table::cells;
use crate::{Outcome, children, start};

const ENTRIES: usize = 100_000;
const ENTRY_BYTES: usize = 1024;
const CONNECTIONS: usize = 4_000;

/// Fetches and connections that happen before the first look: what they bring about happens once.
const WARM_UP: usize = 200;

/// Between two connections. A server that has a thread wait a moment for a second request then gets by with few threads.
const PAUSE: Duration = Duration::from_millis(1);

pub fn measure(place: &Place, options: &Options) -> Outcome<String> {
    // Both ends of a server's connections, and what it has open besides.
    children::allow_files(2 * (CONNECTIONS + WARM_UP) + 1000)?;
    let entry = entry(place)?;
    let mut rows = Vec::new();
    for server in start::all(place, &options.peers, &options.also)? {
        eprintln!("idle connections: {}", server.name);
        let bytes = bytes_per_connection(&server).map_err(|error| format!("{}: {error}", server.name))?;
        rows.push(vec![server.name.clone(), bytes.to_string()]);
    }
    Ok(format!(
        "{entry}\nResident memory by {CONNECTIONS} connections that idle after one request, bytes for each\n\n{}",
        cells(&rows)
    ))
}

/// As the process grows by it, and as the store counts it.
fn entry(place: &Place) -> Outcome<String> {
    let (stent, admin) = start::stent(place, "stent alone", 1, Core::Server)?;
    store(&stent, 0..WARM_UP)?;
    let counted_before = wait_for_entries(admin, WARM_UP)?;
    let before = stent.process.resident_bytes()?;
    store(&stent, WARM_UP..WARM_UP + ENTRIES)?;
    let counted = (wait_for_entries(admin, WARM_UP + ENTRIES)? - counted_before) / ENTRIES as u64;
    let grown = stent.process.resident_bytes()?.saturating_sub(before) / ENTRIES as u64;
    let over = |bytes: u64| bytes.saturating_sub(ENTRY_BYTES as u64).to_string();
    let rows = [
        ["", "bytes for each", "over the body"].map(str::to_owned).into(),
        vec!["resident".to_owned(), grown.to_string(), over(grown)],
        vec!["as the store counts".to_owned(), counted.to_string(), over(counted)],
    ];
    Ok(format!("\nMemory of Stent by {ENTRIES} entries with a body of {ENTRY_BYTES} bytes\n\n{}", cells(&rows)))
}

/// Fetches entries over a few connections.
fn store(stent: &Server, numbers: std::ops::Range<usize>) -> Outcome<()> {
    const THREADS: usize = 4;
    std::thread::scope(|scope| {
        let fetch = |thread: usize| {
            let numbers = numbers.clone();
            scope.spawn(move || {
                let mut connection = Connection::open(stent.address).map_err(|error| error.to_string())?;
                for number in numbers.skip(thread).step_by(THREADS) {
                    let answer = connection.get(&format!("/bytes/{ENTRY_BYTES}/entry{number}"));
                    let answer = answer.map_err(|error| error.to_string())?;
                    if answer.status != 200 || answer.body.len() != ENTRY_BYTES {
                        return Err(format!("entry {number} was answered by {}", answer.status));
                    }
                }
                Ok(())
            })
        };
        let threads: Vec<_> = (0..THREADS).map(fetch).collect();
        for thread in threads {
            thread.join().map_err(|_| "a thread that stores entries panicked")??;
        }
        Ok(())
    })
}

/// Until the store says that it holds all of them. Answers how many bytes it counts.
fn wait_for_entries(admin: SocketAddr, count: usize) -> Outcome<u64> {
    let until = Instant::now() + Duration::from_secs(5);
    while Instant::now() < until {
        let metrics = Connection::open(admin)?.get("/metrics")?.body;
        let metrics = String::from_utf8_lossy(&metrics);
        let gauge = |name| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
        if gauge("stent_entries ") == Some(count as u64) {
            return gauge("stent_bytes ").ok_or("the store does not count its bytes".into());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err(format!("the store never held {count} entries").into())
}

fn bytes_per_connection(server: &Server) -> Outcome<u64> {
    let mut idle = Vec::new();
    open(server, &mut idle, WARM_UP)?;
    let before = server.process.resident_bytes()?;
    open(server, &mut idle, CONNECTIONS)?;
    let after = server.process.resident_bytes()?;
    // A server that had closed some of them would look better than it is.
    idle.iter_mut().try_for_each(ask)?;
    Ok(after.saturating_sub(before) / CONNECTIONS as u64)
}

/// Opens connections that have asked once, since a connection's buffers are made for its first request.
fn open(server: &Server, idle: &mut Vec<Connection>, count: usize) -> Outcome<()> {
    for _ in 0..count {
        let mut connection = Connection::open(server.address)?;
        ask(&mut connection)?;
        idle.push(connection);
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

fn ask(connection: &mut Connection) -> Outcome<()> {
    match connection.get(&format!("/bytes/{ENTRY_BYTES}"))?.status {
        200 => Ok(()),
        status => Err(format!("an idle connection was answered by {status}").into()),
    }
}
