//! Conformance: what the RFCs on caching say, clause by clause, over raw sockets to the running binary.
//!
//! The cases are data, in `cases`. Each has a path of its own, so that all of them are run against one process, several at
//! once. Nothing sleeps: what is stale is so by the origin's `Age` and `Date`.
//!
//! `pending.txt` lists cases whose feature is still missing: they are told of and fail nothing, until they pass, which fails.

mod case;
#[path = "../framing/incoming.rs"]
mod incoming;
mod judge;
mod origin;
mod run;
mod stent;
mod table;
mod text;
#[allow(dead_code)]
#[path = "../framing/wire.rs"]
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use case::{Case, Level};

/// How many cases are under way at once.
const AT_ONCE: usize = 8;

/// `STENT_CONFORMANCE=vary` runs only the cases whose names begin so, pending or not.
fn chosen() -> (Vec<Case>, bool) {
    let cases = case::all();
    match std::env::var("STENT_CONFORMANCE") {
        Ok(beginning) => (cases.into_iter().filter(|case| case.id.starts_with(&beginning)).collect(), true),
        Err(_) => (cases, false),
    }
}

/// The cases that wait for a feature.
fn pending() -> BTreeSet<String> {
    let text = std::fs::read_to_string(case::folder().join("pending.txt")).unwrap_or_default();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or("").trim().to_owned());
    lines.filter(|line| !line.is_empty()).collect()
}

#[tokio::test]
async fn the_binary_does_what_the_rfcs_say() {
    let (cases, is_choice) = chosen();
    let pending = if is_choice { BTreeSet::new() } else { pending() };
    let origin = Arc::new(origin::Origin::start().await);
    let folder = tempfile::tempdir().expect("a folder");
    let stent = stent::Stent::start(folder.path(), origin.address, &cases);
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let (many, mut running) = (cases.len(), JoinSet::new());
    for case in cases {
        let (origin, room, subject) = (origin.clone(), room.clone(), stent.subject);
        running.spawn(async move {
            let _place = room.acquire().await;
            let came = run::run(&case, subject, &origin).await;
            (case, came)
        });
    }
    let (mut wrong, mut waiting, mut passes) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(ended) = running.join_next().await {
        let (case, came) = ended.expect("no case panics");
        match (came, pending.contains(&case.id)) {
            (Ok(()), false) => {}
            (Ok(()), true) => passes.push(case.id),
            (Err(_), true) => waiting.push(case.id),
            (Err(transcript), false) => wrong.push((case.id, transcript)),
        }
    }
    wrong.sort();
    waiting.sort();
    passes.sort();
    if !waiting.is_empty() {
        println!("conformance: {} of {many} cases wait for a feature: {}", waiting.len(), waiting.join(" "));
    }
    let names: Vec<&str> = wrong.iter().map(|(id, _)| id.as_str()).collect();
    let transcripts: Vec<&str> = wrong.iter().map(|(_, transcript)| transcript.as_str()).collect();
    assert!(wrong.is_empty(), "{}\n\n{} of {many} cases: {}", transcripts.join("\n\n"), wrong.len(), names.join(" "));
    assert!(
        passes.is_empty(),
        "these pass and need not wait any longer; take them off pending.txt: {}",
        passes.join(" ")
    );
}

#[test]
fn there_are_as_many_cases_as_promised() {
    let cases = case::all();
    assert!(cases.len() >= 300, "{}", cases.len());
    let names: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    let unknown: Vec<String> = pending().into_iter().filter(|id| !names.contains(id.as_str())).collect();
    assert!(unknown.is_empty(), "pending.txt names cases that do not exist: {unknown:?}");
    for case in &cases {
        let is_of_rfc = case.section.starts_with("RFC ") && case.section.contains('§');
        assert!(is_of_rfc || case.level == Level::Ours, "{}: {}", case.id, case.section);
    }
}
