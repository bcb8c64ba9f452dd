//! Stent: a caching reverse proxy for backends that nobody can rewrite, careful enough for patient data.
//!
//! One binary, one `proxy.yaml`. This page is the map of the code.
//!
//! # How a request goes
//!
//! [`edge`] accepts the connection, reads the head strictly ([`http1`]) and takes off what belongs to this hop; [`proxy`] is
//! the line from arrival to delivery; [`policy`] answers the four questions on that line, knowing who asks ([`identity`],
//! [`facet`], [`token`]); [`coherence`] decides what is looked up, fetched, followed and kept, [`store`] keeps it and knows what
//! purges say of it; [`fetch`] brings one answer for all who wait for it; [`upstream`] holds the connections to the origin;
//! [`telemetry`] tells of each exchange once it is over.
//!
//! Beside that line, [`proxy::explain`] tells what a request would get, [`proxy::current`] puts another configuration in
//! force, and [`admin`] takes purges and questions on a listener of its own.
//!
//! # Ideas
//!
//! 1. **Four questions.** All caching judgement is four pure functions ([`policy::plan::plan`], [`policy::reuse::reuse`],
//!    [`policy::admit::admit`], [`policy::rescue::rescue`]) on values, `now` given. Each answer carries its reason, and the
//!    reason's one spelling is what `Cache-Status`, metrics and people see.
//! 2. **Flights belong to nobody.** A miss starts one [`coherence::flight::Flight`] per key; who hangs up cancels nothing.
//! 3. **Bodies stream.** A [`spool::Spool`] is read by all who want it while it is being filled. An incomplete body
//!    is never stored.
//! 4. **A purge is an epoch in a log, not a hunt.** [`store::purge`]: a fill that began before a purge is dead on arrival.
//! 5. **A key says who may share.** [`key::Partition`] has no default; and what is not in the key is not sent.
//!
//! # Layers
//!
//! Imports go down only.
//!
//! | layer | modules |
//! |---|---|
//! | shell | [`cli`], [`demo`], [`app`], [`admin`], [`posts`], [`reload`], [`config`], [`review`] |
//! | flow | [`proxy`], [`fetch`] |
//! | steps | [`coherence`] |
//! | adapters | [`store`], [`upstream`], [`edge`], [`http1`], [`socket`], [`notice`], [`descriptors`], [`memory_limit`], [`token`], [`telemetry`], [`clock`], [`upload`], [`body`], [`spool`] |
//! | pure | [`policy`], [`route`], [`authority`], [`path`], [`query`], [`key`], [`canonical`], [`tag`], [`store::purge`], [`clock::Now`], [`entry`], [`identity`], [`facet`], [`fields`], [`outcome`], [`failure`], [`explanation`] |
//!
//! Each module owns its validated settings; [`config`] builds them from the file, and nobody but the shell imports it.
//!
//! # Invariants
//!
//! 1. **Purged is gone.** A request that begins after a purge was acknowledged never gets a representation whose fetch began
//!    before it: not from memory, not as a follower, not by a 304, not as stale ([`store::purge`]).
//! 2. **No one sees another's data.** What is not proven to be shareable is not shared ([`policy::plan`]); the origin can
//!    narrow, never widen ([`policy::admit`]).
//! 3. **Body in = body out.** One answer of the origin, whole, or visibly cut off.
//! 4. **When unsure: do not store, do not share, do not serve purged.** A route without a policy is a pass.
//! 5. **Losing memory loses speed, never truth** ([`store::memory`], [`store::purge`], [`spool::budget`]).
//! 6. **Everything has a bound and a deadline** ([`edge::settings`], [`edge::watch`], [`upstream::settings`], [`upload`],
//!    [`spool`], [`spool::budget`]).
//! 7. **No patient data in logs, metrics or error pages.** Paths appear as route templates ([`edge::error`], [`telemetry`]).
//! 8. **One request in, one request out.** Ambiguous framing is refused and the connection closed ([`http1`], [`edge::incoming`]).
//!    Nothing from the network or the configuration can panic the process.
//! 9. **Every decision can be explained** from the outside, by its reason ([`outcome`], [`proxy::explain`]).
//!
//! # Reading order
//!
//! [`proxy`], then [`policy`] and its four questions, [`key`], [`store::purge`], [`coherence`], [`fetch::fill`]. For the
//! wire: [`http1`], [`edge::connection`], [`edge::tls`], [`upstream::exchange`]. For the file: [`config`]. The tests under `tests/it` read
//! like stories of the same.

#![forbid(unsafe_code)]
#![warn(missing_docs)]
// Whoever reads what a process prints may hang: see `notice` and `cli::terminal`.
#![deny(clippy::print_stderr, clippy::print_stdout)]

pub mod app;
pub mod asker;
pub mod body;
pub mod cli;
pub mod coherence;
pub mod config;
pub mod control;
pub mod deliver;
pub mod demo;
pub mod edge;
pub mod entry;
pub mod fields;
pub mod ground;
pub mod hop;
pub mod http1;
pub mod policy;
pub mod proxy;
pub mod review;
pub mod rules;
pub mod store;
pub mod telemetry;
pub mod upstream;
