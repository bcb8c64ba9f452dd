//! Framing over raw sockets: what two parties could read differently is refused and the connection closed, and what is let
//! through arrives as exactly one request. Then the same the other way round, with an origin that answers badly.
//!
//! Each family is a table, a line a case, with the section of the RFC that decides it. Every case is sent in one piece and byte by
//! byte. After it a marker is asked for on the same connection, where that is still open, and on another: each gets its own
//! answer. A recording origin looks at every byte that reaches it: one request in, one request out.

mod answering;
mod answers;
mod case;
mod chunks;
mod codings;
mod expectations;
mod hops;
mod hosts;
mod incoming;
mod lengths;
mod lines;
mod own_answers;
mod pipelining;
mod recorder;
mod request_lines;
#[path = "../it/scenario.rs"]
mod scenario;
mod stage;
mod upgrades;
mod wire;

use case::Case;
use stage::{PASS_ALL, Stage};

/// Runs a family; all that is wrong is told at once.
async fn check(config: &str, cases: Vec<Case>) {
    let stage = Stage::start(config).await;
    let mut wrong = Vec::new();
    let many = cases.len();
    for case in cases {
        wrong.extend(stage.run(&case).await);
    }
    assert!(wrong.is_empty(), "{} of {many} cases:\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[tokio::test]
async fn hosts() {
    check(PASS_ALL, hosts::cases()).await;
}

#[tokio::test]
async fn lengths() {
    check(PASS_ALL, lengths::cases()).await;
}

#[tokio::test]
async fn codings() {
    check(PASS_ALL, codings::cases()).await;
}

#[tokio::test]
async fn chunks() {
    check(PASS_ALL, chunks::cases()).await;
}

#[tokio::test]
async fn lines() {
    check(PASS_ALL, lines::cases()).await;
}

#[tokio::test]
async fn request_lines() {
    check(PASS_ALL, request_lines::cases()).await;
}

#[tokio::test]
async fn pipelining() {
    check(PASS_ALL, pipelining::cases()).await;
}

#[tokio::test]
async fn expectations() {
    check(PASS_ALL, expectations::cases()).await;
}

#[tokio::test]
async fn answers_of_our_own() {
    check(own_answers::CONFIG, own_answers::cases()).await;
}

#[tokio::test]
async fn upgrades() {
    check(PASS_ALL, upgrades::cases()).await;
}

#[tokio::test]
async fn fields_of_one_hop() {
    check(PASS_ALL, hops::cases()).await;
}

#[test]
fn there_are_as_many_cases_as_promised() {
    let families = [
        hosts::cases(),
        lengths::cases(),
        codings::cases(),
        chunks::cases(),
        lines::cases(),
        request_lines::cases(),
        pipelining::cases(),
        expectations::cases(),
        own_answers::cases(),
        upgrades::cases(),
        hops::cases(),
    ];
    let names: Vec<Vec<String>> =
        families.into_iter().map(|cases| cases.into_iter().map(|case| case.name).collect()).collect();
    for family in &names {
        let mut different = std::collections::BTreeSet::new();
        let again: Vec<&String> = family.iter().filter(|name| !different.insert(*name)).collect();
        assert!(again.is_empty(), "two cases have the same name: {again:?}");
    }
    let many: usize = names.iter().map(Vec::len).sum();
    assert!(many >= 200, "{many}");
}
