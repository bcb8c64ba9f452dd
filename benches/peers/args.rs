//! What the command line asks for.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::Outcome;

const USAGE: &str = "cargo bench --bench peers -- [--quick] [--rounds N] [--seconds N] [--only hit,pass,miss,memory] \
                     [--sizes KIB,…] [--also STENT_BINARY]… [--json FILE]";

pub enum Args {
    Bench(Options),
    /// This process is one of the servers.
    Serve(Role),
    /// Not run by `cargo bench`: `cargo test --all-targets` runs benches too, and is not to wait for this one.
    Nothing,
}

pub struct Options {
    pub rounds: usize,
    pub seconds: u64,
    pub only: Vec<Kind>,
    /// Of the hits, in KiB.
    pub sizes: Vec<usize>,
    /// Other builds of Stent to set beside this one.
    pub also: Vec<PathBuf>,
    pub json: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Hit,
    Pass,
    Miss,
    Memory,
}

/// The servers in this binary.
pub enum Role {
    Origin { listen: SocketAddr },
    Proxy { listen: SocketAddr, origin: SocketAddr },
}

pub const SERVE_ORIGIN: &str = "--serve-origin";
pub const SERVE_PROXY: &str = "--serve-proxy";

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Hit => "hit",
            Kind::Pass => "pass",
            Kind::Miss => "miss+store",
            Kind::Memory => "memory",
        }
    }

    fn parse(text: &str) -> Outcome<Kind> {
        match text {
            "hit" => Ok(Kind::Hit),
            "pass" => Ok(Kind::Pass),
            "miss" => Ok(Kind::Miss),
            "memory" => Ok(Kind::Memory),
            _ => Err(format!("`{text}` is not one of hit, pass, miss and memory").into()),
        }
    }
}

impl Args {
    pub fn of_process() -> Outcome<Args> {
        let all: Vec<String> = std::env::args().skip(1).collect();
        match all.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [SERVE_ORIGIN, listen] => return Ok(Args::Serve(Role::Origin { listen: listen.parse()? })),
            [SERVE_PROXY, listen, origin] => {
                return Ok(Args::Serve(Role::Proxy { listen: listen.parse()?, origin: origin.parse()? }));
            }
            _ if !all.iter().any(|argument| argument == "--bench") => return Ok(Args::Nothing),
            _ => {}
        }
        options(all.into_iter()).map(Args::Bench)
    }
}

fn options(mut arguments: impl Iterator<Item = String>) -> Outcome<Options> {
    let mut options = Options {
        rounds: 5,
        seconds: 4,
        only: vec![Kind::Hit, Kind::Pass, Kind::Miss],
        sizes: vec![1, 10, 100, 1000],
        also: Vec::new(),
        json: None,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--bench" => {}
            "--quick" => (options.rounds, options.seconds) = (2, 2),
            "--rounds" => options.rounds = value()?.parse::<usize>()?.clamp(1, 1000),
            "--seconds" => options.seconds = value()?.parse::<u64>()?.clamp(1, 600),
            "--only" => options.only = value()?.split(',').map(Kind::parse).collect::<Outcome<_>>()?,
            "--sizes" => options.sizes = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--also" => options.also.push(value()?.into()),
            "--json" => options.json = Some(value()?.into()),
            _ => return Err(format!("`{argument}` is not understood\n{USAGE}").into()),
        }
    }
    match options.sizes.iter().find(|&&kib| kib * 1024 > crate::servers::LARGEST) {
        Some(kib) => Err(format!("{kib} KiB is more than the origin has").into()),
        None => Ok(options),
    }
}
