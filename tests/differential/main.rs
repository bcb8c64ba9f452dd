//! The cases of the conformance suite, run against other caches too: who differs where.
//!
//! Only cases that say nothing of Stent alone are run, and of the peers nothing is expected beyond what a case says. A
//! difference is not yet a fault: a `may` that somebody does not take is the common one, and peers are started with what they
//! have built in. Without an argument a handful of cases is run against one peer, to show that this works.

#[path = "../conformance/case.rs"]
mod case;
#[path = "../framing/incoming.rs"]
mod incoming;
#[path = "../conformance/judge.rs"]
mod judge;
#[path = "../conformance/origin.rs"]
mod origin;
mod peers;
mod report;
#[path = "../conformance/run.rs"]
mod run;
#[path = "../conformance/stent.rs"]
mod stent;
#[path = "../conformance/text.rs"]
mod text;
#[allow(dead_code)]
#[path = "../framing/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use case::{Case, Exchange, Level};
use origin::Origin;
use peers::Peer;
use report::{Column, Report};
use run::Subject;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

const USAGE: &str =
    "cargo test --test differential -- --all [--peers nginx,varnish,trafficserver,squid] [--only ID…] [--why]";

/// How many cases are under way at once.
const AT_ONCE: usize = 8;

/// The longest that a case may take with a peer that never answers, and all of them together.
const PER_CASE: Duration = Duration::from_secs(15);
const IN_ALL: Duration = Duration::from_secs(300);

/// Shown without an argument: what every cache that can be started does.
const HANDFUL: [&str; 5] =
    ["store-max-age", "response-no-store", "response-private", "vary-no-match", "fresh-max-age-0"];

#[derive(Default)]
struct Args {
    all: bool,
    peers: Option<Vec<String>>,
    only: Option<String>,
    why: bool,
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let result = args().and_then(|args| runtime.block_on(differential(&args)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("differential: {error}");
            ExitCode::FAILURE
        }
    }
}

fn args() -> Outcome<Args> {
    let mut args = Args::default();
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut value = || given.next().ok_or(format!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            "--all" => args.all = true,
            "--why" => args.why = true,
            "--peers" => args.peers = Some(value()?.split(',').map(str::to_owned).collect()),
            "--only" => args.only = Some(value()?),
            // What the test harness of others is given.
            "--nocapture" | "--quiet" | "-q" => {}
            _ => return Err(format!("`{argument}` is not understood\n{USAGE}").into()),
        }
    }
    Ok(args)
}

async fn differential(args: &Args) -> Outcome<()> {
    let is_full = args.all || args.only.is_some();
    let chosen = |case: &Case| match &args.only {
        Some(beginning) => case.id.starts_with(beginning.as_str()),
        None => args.all || HANDFUL.contains(&case.id.as_str()),
    };
    let cases: Vec<Case> = case::all().into_iter().filter(|case| is_common(case) && chosen(case)).collect();
    let origin = Arc::new(Origin::start().await);
    let folder = tempfile::tempdir()?;
    let stent = stent::Stent::start(folder.path(), origin.address, &cases);
    let peers = started(args, is_full, &origin)?;
    let until = Instant::now() + IN_ALL;
    let mut columns = vec![column("stent", &cases, stent.subject, &origin, until).await];
    for peer in &peers {
        columns.push(column(peer.name, &cases, peer.subject, &origin, until).await);
    }
    if is_full {
        let report = Report { cases: &cases, columns: &columns };
        print!("{report}");
        if args.why {
            print!("{}", report.why());
        }
        return Ok(());
    }
    let wrong: Vec<&str> = columns.iter().flat_map(|column| column.failures.values().map(String::as_str)).collect();
    match wrong[..] {
        [] => {
            let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
            println!("differential: fine; {} cases alike: {}", cases.len(), names.join(" · "));
            Ok(())
        }
        _ => Err(wrong.join("\n\n").into()),
    }
}

/// It says nothing that only Stent can do, so that others can be asked the same.
fn is_common(case: &Case) -> bool {
    let is_ours = |exchange: &Exchange| exchange.purge.is_some() || !exchange.want.cache.is_empty();
    let is_plain = case.policy == "rfc9111" && case.route.is_empty();
    is_plain && case.level != Level::Ours && !case.run.iter().any(is_ours)
}

/// All that are installed, or the first of them.
fn started(args: &Args, is_full: bool, origin: &Origin) -> Outcome<Vec<Peer>> {
    let mut started = Vec::new();
    for known in &peers::ALL {
        let is_wanted = args.peers.as_ref().is_none_or(|names| names.iter().any(|name| name == known.name));
        if !is_wanted || (!is_full && !started.is_empty()) {
            continue;
        }
        match known.installed() {
            Some(binary) => started.push(known.start(&binary, origin.address)?),
            None => eprintln!("{0} is not installed: no column for it (apt install {0})", known.name),
        }
    }
    Ok(started)
}

/// Runs all cases. A peer may break down over one of them and forget everything: those that it took with it are run again, one by
/// one, once it is there again.
async fn column(name: &'static str, cases: &[Case], subject: Subject, origin: &Arc<Origin>, until: Instant) -> Column {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for case in cases.iter().cloned() {
        let (origin, room) = (origin.clone(), room.clone());
        running.spawn(async move {
            let _place = room.acquire().await;
            let came = attempt(&case, subject, &origin, until).await;
            (case, came)
        });
    }
    let (mut failures, mut again) = (BTreeMap::new(), Vec::new());
    while let Some(ended) = running.join_next().await {
        match ended.expect("no case panics") {
            (_, Ok(())) => {}
            (case, Err(transcript)) if transcript.contains("no answer came, but") => again.push(case),
            (case, Err(transcript)) => drop(failures.insert(case.id, transcript)),
        }
    }
    for case in again {
        if let Err(transcript) = attempt(&case, subject, origin, until).await {
            failures.insert(case.id, transcript);
        }
    }
    Column { name, failures }
}

/// Runs a case once the cache listens.
async fn attempt(case: &Case, subject: Subject, origin: &Origin, until: Instant) -> Result<(), String> {
    let patience = PER_CASE.min(until.saturating_duration_since(Instant::now()));
    let running = async {
        while tokio::net::TcpStream::connect(subject.address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        run::run(case, subject, origin).await
    };
    let came = tokio::time::timeout(patience, running).await;
    came.unwrap_or_else(|_| Err("  ! no end in time".to_owned()))
}
