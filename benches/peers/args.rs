//! What the command line asks for.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::Outcome;
use crate::start::PEERS;

const USAGE: &str = "cargo bench --bench peers -- [--quick] [--rounds N] [--seconds N] \
                     [--only hit,pass,miss,memory,workers] [--sizes KIB,…] [--peers NAME,…] [--also STENT_BINARY]… \
                     [--json FILE]\ncargo test --bench peers -- --smoke [--peers NAME,…]";

pub enum Args {
    Bench(Options),
    /// A few requests to every server, and nothing measured.
    Smoke(Options),
    /// This process is one of the servers.
    Serve(Role),
    /// Not run by `cargo bench`: `cargo test --all-targets` runs benches too, and is not to wait for this one.
    Nothing,
}

pub struct Options {
    pub rounds: usize,
    pub seconds: u64,
    pub only: Vec<Part>,
    /// Of the hits, in KiB.
    pub sizes: Vec<usize>,
    /// Whom to set beside Stent, by the names in [`PEERS`].
    pub peers: Vec<String>,
    /// Other builds of Stent to set beside this one.
    pub also: Vec<PathBuf>,
    pub json: Option<PathBuf>,
}

/// A part of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Load(Kind),
    Memory,
    Workers,
}

/// What is asked for under load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Hit,
    Pass,
    Miss,
}

/// The servers in this binary.
pub enum Role {
    Origin { listen: SocketAddr },
    Server { listen: SocketAddr },
    Proxy { listen: SocketAddr, origin: SocketAddr },
    Relay { listen: SocketAddr, origin: SocketAddr },
}

pub const SERVE_ORIGIN: &str = "--serve-origin";
pub const SERVE_ITSELF: &str = "--serve-itself";
pub const SERVE_PROXY: &str = "--serve-proxy";
pub const SERVE_RELAY: &str = "--serve-relay";

const SMOKE: &str = "--smoke";

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Hit => "hit",
            Kind::Pass => "pass",
            Kind::Miss => "miss+store",
        }
    }
}

impl Part {
    fn parse(text: &str) -> Outcome<Part> {
        match text {
            "hit" => Ok(Part::Load(Kind::Hit)),
            "pass" => Ok(Part::Load(Kind::Pass)),
            "miss" => Ok(Part::Load(Kind::Miss)),
            "memory" => Ok(Part::Memory),
            "workers" => Ok(Part::Workers),
            _ => Err(format!("`{text}` is not one of hit, pass, miss, memory and workers").into()),
        }
    }
}

impl Args {
    pub fn of_process() -> Outcome<Args> {
        let all: Vec<String> = std::env::args().skip(1).collect();
        match all.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [SERVE_ORIGIN, listen] => return Ok(Args::Serve(Role::Origin { listen: listen.parse()? })),
            [SERVE_ITSELF, listen] => return Ok(Args::Serve(Role::Server { listen: listen.parse()? })),
            [SERVE_PROXY, listen, origin] => {
                return Ok(Args::Serve(Role::Proxy { listen: listen.parse()?, origin: origin.parse()? }));
            }
            [SERVE_RELAY, listen, origin] => {
                return Ok(Args::Serve(Role::Relay { listen: listen.parse()?, origin: origin.parse()? }));
            }
            _ => {}
        }
        let has = |wanted: &str| all.iter().any(|argument| argument == wanted);
        match (has("--bench"), has(SMOKE)) {
            (_, true) => options(all.into_iter()).map(Args::Smoke),
            (true, false) => options(all.into_iter()).map(Args::Bench),
            (false, false) => Ok(Args::Nothing),
        }
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Outcome<Options> {
    let mut options = Options {
        rounds: 5,
        seconds: 4,
        only: [Kind::Hit, Kind::Pass, Kind::Miss].map(Part::Load).into(),
        sizes: vec![1, 10, 100, 1000],
        peers: PEERS.iter().map(|peer| peer.name.to_owned()).collect(),
        also: Vec::new(),
        json: None,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--bench" | SMOKE => {}
            "--quick" => (options.rounds, options.seconds) = (2, 2),
            "--rounds" => options.rounds = value()?.parse::<usize>()?.clamp(1, 1000),
            "--seconds" => options.seconds = value()?.parse::<u64>()?.clamp(1, 600),
            "--only" => options.only = value()?.split(',').map(Part::parse).collect::<Outcome<_>>()?,
            "--sizes" => options.sizes = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--peers" => options.peers = value()?.split(',').map(str::to_owned).collect(),
            "--also" => options.also.push(value()?.into()),
            "--json" => options.json = Some(value()?.into()),
            _ => return Err(format!("`{argument}` is not understood\n{USAGE}").into()),
        }
    }
    if let Some(kib) = options.sizes.iter().find(|&&kib| kib * 1024 > crate::servers::LARGEST) {
        return Err(format!("{kib} KiB is more than the origin has").into());
    }
    if let Some(name) = options.peers.iter().find(|name| PEERS.iter().all(|peer| peer.name != **name)) {
        let known = PEERS.map(|peer| peer.name).join(", ");
        return Err(format!("`{name}` is not one of {known}").into());
    }
    Ok(options)
}
