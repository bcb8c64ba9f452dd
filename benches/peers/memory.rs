//! What a stored answer and an idle connection take of Stent's memory: the growth of the resident set over their number.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::children;
use crate::client::Connection;
use crate::server::{self, Place, Server};

const ENTRIES: usize = 100_000;
const ENTRY_BYTES: usize = 1024;
const CONNECTIONS: usize = 2_000;

/// Fetches and connections that happen before the first look: what they bring about happens once.
const WARM_UP: usize = 200;

pub fn measure(place: &Place) -> Outcome<String> {
    children::allow_files(2 * (CONNECTIONS + WARM_UP))?;
    let (stent, admin) = server::stent_alone(place)?;
    let (entry, counted) = bytes_per_entry(&stent, admin)?;
    let connection = bytes_per_connection(&stent)?;
    Ok(format!(
        "\nResident memory of Stent\n\n  \
         entry with a body of {ENTRY_BYTES} bytes, of {ENTRIES}  {entry} bytes; the store counts {counted}\n  \
         connection that idles after a request, of {CONNECTIONS}  {connection} bytes\n",
    ))
}

/// As the process grows by it, and as the store counts it.
fn bytes_per_entry(stent: &Server, admin: SocketAddr) -> Outcome<(u64, u64)> {
    store(stent, 0..WARM_UP)?;
    let counted_before = wait_for_entries(admin, WARM_UP)?;
    let before = stent.process.resident_bytes()?;
    store(stent, WARM_UP..WARM_UP + ENTRIES)?;
    let counted = wait_for_entries(admin, WARM_UP + ENTRIES)? - counted_before;
    let grown = stent.process.resident_bytes()?.saturating_sub(before);
    Ok((grown / ENTRIES as u64, counted / ENTRIES as u64))
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

fn bytes_per_connection(stent: &Server) -> Outcome<u64> {
    let mut idle = Vec::new();
    open(stent, &mut idle, WARM_UP)?;
    let before = stent.process.resident_bytes()?;
    open(stent, &mut idle, CONNECTIONS)?;
    Ok(stent.process.resident_bytes()?.saturating_sub(before) / CONNECTIONS as u64)
}

/// Opens connections that have asked once, since a connection's buffers are made for its first request.
fn open(stent: &Server, idle: &mut Vec<Connection>, count: usize) -> Outcome<()> {
    for _ in 0..count {
        let mut connection = Connection::open(stent.address)?;
        connection.get(&format!("/bytes/{ENTRY_BYTES}"))?;
        idle.push(connection);
    }
    Ok(())
}
