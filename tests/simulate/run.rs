//! Histories by their seeds, and of one that is broken the fewest steps that break it.

use std::sync::Arc;
use std::time::Instant;

use http::HeaderValue;
use stent::body::spool::budget::Budget;
use stent::coherence::MAX_REFRESHES;
use stent::coherence::backoff::Backoff;
use stent::coherence::cache::Cache;
use stent::coherence::cache::Filing;
use stent::entry::tag::MAX_TAGS;
use stent::ground::clock::Clock;
use stent::store::settings::Bounds;
use tokio::sync::Semaphore;

use crate::chance::Chance;
use crate::clinic::{Clinic, MAX_OBJECT};
use crate::history::History;
use crate::oracle::Broken;
use crate::origin::{Origin, many_tags};
use crate::shelf::Shelf;

/// Steps that a history may have, before what is under way then comes to its end.
const STEPS: [usize; 3] = [40, 60, 120];

/// What all entries may take, were it not the shelf that keeps them: a quarter of it is what bodies may while they come.
const BUDGET: u64 = 8 << 10;

/// Fewer than there are languages, and none.
const MAX_VARIANTS: usize = 2;

/// A history that is broken.
pub struct Violation {
    pub seed: u64,
    pub broken: Broken,
    steps: Vec<u64>,
}

/// Runs histories one after another. The purge log is large and goes on from one to the next; all else is new.
pub struct Runner {
    clinic: Clinic,
    cache: Arc<Cache<Shelf>>,
    start: Instant,
    many_tags: HeaderValue,
}

impl Runner {
    pub fn new() -> Runner {
        let start = Instant::now();
        let cache = Cache {
            memory: Shelf::default(),
            filing: Filing::of(Bounds { variants: MAX_VARIANTS, tags: MAX_TAGS, ..Bounds::default() }),
            log: Default::default(),
            refused: Default::default(),
            swept: Default::default(),
            flights: Arc::default(),
            clock: Clock::System,
            budget: Arc::new(Budget::beside(BUDGET, MAX_OBJECT)),
            refreshes: Arc::new(Semaphore::new(MAX_REFRESHES)),
            backoff: Backoff::new(1, start),
        };
        Runner { clinic: Clinic::new(), cache: Arc::new(cache), start, many_tags: many_tags() }
    }

    /// The first of these seeds whose history is broken.
    pub fn first_broken(&mut self, seeds: impl Iterator<Item = u64>) -> Option<Violation> {
        seeds.into_iter().find_map(|seed| {
            let mut chance = Chance(seed);
            let many = STEPS[chance.below(STEPS.len())];
            let steps: Vec<u64> = (0..many).map(|_| chance.next()).collect();
            self.play(seed, &steps).err().map(|broken| Violation { seed, broken, steps })
        })
    }

    /// The seed, the fewest steps that break it, and how.
    pub fn report(&mut self, violation: Violation) -> String {
        let Violation { seed, broken, mut steps } = violation;
        let mut length = steps.len();
        while length > 0 {
            let mut at = 0;
            while at < steps.len() {
                let mut fewer = steps.clone();
                fewer.drain(at..(at + length).min(steps.len()));
                match self.play(seed, &fewer) {
                    Err(_) => steps = fewer,
                    Ok(()) => at += length,
                }
            }
            length /= 2;
        }
        let mut history = self.history(seed).telling();
        let shortest = run(&mut history, &steps).err().unwrap_or(broken);
        format!("STENT_HISTORY={seed}\n{}\n     {shortest}", history.told().join("\n"))
    }

    fn play(&mut self, seed: u64, steps: &[u64]) -> Result<(), Broken> {
        run(&mut self.history(seed), steps)
    }

    fn history(&mut self, seed: u64) -> History<'_> {
        let cache = Arc::get_mut(&mut self.cache).expect("nothing is left of the history before");
        cache.memory = Shelf::default();
        // Together: what was refused is told by the flights' numbers, which begin anew.
        (cache.flights, cache.refused) = (Arc::default(), Default::default());
        cache.backoff = Backoff::new(1, self.start);
        History::new(&self.clinic, self.cache.clone(), Origin::new(self.many_tags.clone()), self.start, seed)
    }
}

fn run(history: &mut History<'_>, steps: &[u64]) -> Result<(), Broken> {
    steps.iter().try_for_each(|step| history.step(*step))?;
    history.drain()
}
