//! A few requests to every server: that each is started with a configuration that does what the bench says, and that the
//! bench would notice if it did not. Nothing is measured, so that it can run anywhere and beside anything.

use crate::args::{Kind, Options};
use crate::server::Place;
use crate::{Outcome, Row, start};

const ROWS: [Row; 4] = [
    Row { kind: Kind::Hit, kib: 1 },
    Row { kind: Kind::Hit, kib: 100 },
    Row { kind: Kind::Pass, kib: 1 },
    Row { kind: Kind::Miss, kib: 1 },
];

/// Each asks twice.
const CHECKS: usize = 10;

pub fn run(place: &Place, options: &Options) -> Outcome<()> {
    let servers = start::all(place, &options.peers, &options.also)?;
    let mut answers = 0;
    for server in &servers {
        for row in ROWS.into_iter().filter(|row| server.takes(row.kind)) {
            for _ in 0..CHECKS {
                server.check(row).map_err(|error| format!("{}, {}: {error}", server.name, row.name()))?;
                answers += 2;
            }
        }
    }
    let names: Vec<&str> = servers.iter().map(|server| server.name.as_str()).collect();
    println!("peers: fine; {answers} answers are right: {}", names.join(" · "));
    Ok(())
}
