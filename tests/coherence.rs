//! Purges racing fills: random interleavings of writes, purges (hard and soft; by tag, URL, prefix), slow fills, 304s and
//! reads; now and then a fetch dies and its followers elect another. No read that began after a hard purge's answer may
//! return a body whose fetch began before the purge.
//!
//! With the feature `mutants` the same race runs with the rules 5, 7 and 8 switched off one at a time, and must then fail.
//! `STENT_RACES` sets how many interleavings are run.

#[path = "it/scenario.rs"]
mod scenario;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use scenario::{Client, Gate, Origin, Stent, answer, no_answer};
use serde_json::json;

const CONFIG: &str = "
cache: {memory: 64MiB}
policies: {p: {share: public, ttl: 60s}}
routes:
  - {name: thing, path: /things/<id>, policy: p, tags: [thing:<id>]}
  - {name: body, path: /bodies/<id>, policy: p, tags: ['body:<answer.id>']}
";

/// What the origin knows of one thing.
#[derive(Default)]
struct Thing {
    /// Requests for it that have arrived: each fetch is known by this number.
    fetches: u64,
    /// Changes with every write; 304 only while it is unchanged.
    version: u64,
}

#[derive(Clone, Default)]
struct World {
    things: Arc<Mutex<HashMap<String, Thing>>>,
    gates: Arc<Mutex<HashMap<String, Gate>>>,
}

impl World {
    fn gate(&self, path: &str) -> Gate {
        self.gates.lock().unwrap().entry(path.to_owned()).or_default().clone()
    }

    fn fetches(&self, path: &str) -> u64 {
        self.things.lock().unwrap().get(path).map_or(0, |thing| thing.fetches)
    }

    async fn origin(&self) -> Origin {
        let world = self.clone();
        Origin::start(move |seen| {
            let world = world.clone();
            async move {
                let path = seen.path().to_owned();
                if seen.method != "GET" {
                    world.things.lock().unwrap().entry(path).or_default().version += 1;
                    return answer(204, &[], "");
                }
                let (fetch, version) = {
                    let mut things = world.things.lock().unwrap();
                    let thing = things.entry(path.clone()).or_default();
                    thing.fetches += 1;
                    (thing.fetches, thing.version)
                };
                world.gate(&path).pass().await;
                if fetch % 5 == 3 {
                    return no_answer();
                }
                let etag = format!("\"{version}\"");
                if seen.header("if-none-match") == Some(etag.as_str()) {
                    return answer(304, &[("etag", &etag)], "");
                }
                let id = path.rsplit('/').next().unwrap_or("").to_owned();
                answer(
                    200,
                    &[("etag", &etag), ("content-type", "application/json")],
                    json!({"id": id, "fetch": fetch}).to_string(),
                )
            }
        })
        .await
    }
}

/// splitmix64: the same seed gives the same interleaving of steps.
struct Rng(u64);

impl Rng {
    fn next_u32(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed >> 32) as u32
    }
}

/// A violation, in words.
type Broken = String;

/// One interleaving on a thing of its own.
async fn race(world: World, stent: Client, admin: Client, number: u64, seed: u64) -> Result<(), Broken> {
    let mut rng = Rng(seed.wrapping_add(number << 32));
    let kind = if rng.next_u32().is_multiple_of(4) { "bodies" } else { "things" };
    let path = format!("/{kind}/{number}");
    let tag = format!("{}:{number}", if kind == "bodies" { "body" } else { "thing" });
    let gate = world.gate(&path);
    // Bodies whose fetch number is at most this are gone.
    let gone = Arc::new(AtomicU64::new(0));
    let mut reads = tokio::task::JoinSet::new();
    let steps = 6 + rng.next_u32() % 8;
    for _ in 0..steps {
        match rng.next_u32() % 8 {
            0..=2 => {
                let (path, gone) = (path.clone(), gone.load(Ordering::SeqCst));
                let mut asking = stent.get(&path);
                if rng.next_u32().is_multiple_of(4) {
                    asking = asking.header("cache-control", "no-cache");
                }
                reads.spawn(async move {
                    let reply = asking.send().await;
                    if reply.status == 502 {
                        // Its own fetch died; so did, for a follower, the one that was elected.
                        return Ok(());
                    }
                    let body: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                    match body["fetch"].as_u64() {
                        Some(fetch) if fetch > gone => Ok(()),
                        fetch => Err(format!(
                            "{path}: got fetch {fetch:?}, but {gone} and before were gone: {}",
                            reply.cache()
                        )),
                    }
                });
                // Sometimes the read gets as far as the origin before anything else happens.
                for _ in 0..rng.next_u32() % 200 {
                    tokio::task::yield_now().await;
                }
            }
            3 | 4 => gate.open(1 + (rng.next_u32() % 2) as usize),
            5 => {
                let before = world.fetches(&path);
                stent.ask("PUT", &path).send().await;
                gone.fetch_max(before, Ordering::SeqCst);
            }
            _ => {
                let before = world.fetches(&path);
                let soft = rng.next_u32().is_multiple_of(3);
                let call = match rng.next_u32() % 3 {
                    0 => json!({"tags": [tag], "soft": soft}),
                    1 => json!({"urls": [path], "soft": soft}),
                    _ => json!({"prefixes": [path], "soft": soft}),
                };
                let reply = admin.ask("POST", "/api/v1/purge").body(call.to_string()).send().await;
                assert_eq!(reply.status, 200, "{}", reply.text());
                if !soft {
                    gone.fetch_max(before, Ordering::SeqCst);
                }
            }
        }
    }
    gate.open(1000);
    while let Some(read) = reads.join_next().await {
        read.map_err(|error| error.to_string())??;
    }
    Ok(())
}

/// Runs so many interleavings, some at a time; answers the violations.
async fn races(many: u64, seed: u64) -> Vec<Broken> {
    let world = World::default();
    let origin = world.origin().await;
    let stent = Stent::start_with(origin.address, ", pool: {max: 500}", CONFIG);
    let (client, admin) = (stent.client(), Client { address: stent.admin });
    let mut broken = Vec::new();
    let mut running = tokio::task::JoinSet::new();
    for number in 0..many {
        running.spawn(race(world.clone(), client, admin, number, seed));
        while running.len() >= 16 {
            let ended = running.join_next().await.expect("one is running").expect("a race does not panic");
            broken.extend(ended.err());
        }
    }
    while let Some(ended) = running.join_next().await {
        broken.extend(ended.expect("a race does not panic").err());
    }
    broken
}

fn many() -> u64 {
    std::env::var("STENT_RACES").ok().and_then(|many| many.parse().ok()).unwrap_or(10_000)
}

#[tokio::test]
async fn no_read_after_a_purge_gets_what_was_fetched_before() {
    let seed = 20_261_121;
    let broken = races(many(), seed).await;
    assert!(broken.is_empty(), "{} of {} with seed {seed}; the first: {}", broken.len(), many(), broken[0]);

    #[cfg(feature = "mutants")]
    for rule in [
        stent::ground::mutants::Rule::Birth,
        stent::ground::mutants::Rule::Followers,
        stent::ground::mutants::Rule::Base,
    ] {
        stent::ground::mutants::switch_off(Some(rule));
        let some = many().min(2_000);
        let broken = races(some, seed).await;
        stent::ground::mutants::switch_off(None);
        println!("without {rule:?}: {} of {some} interleavings are wrong", broken.len());
        assert!(!broken.is_empty(), "the race does not notice that {rule:?} is off");
    }
}
