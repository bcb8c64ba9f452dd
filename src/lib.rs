//! Stent: a caching reverse proxy for backends that nobody can rewrite, careful enough for patient data.
//!
//! One binary, one `proxy.yaml`. This page is the map of the code, and the only one.
//!
//! # How a request goes
//!
//! [`edge`] accepts the connection, reads the head strictly ([`http1`]) and takes off what belongs to this hop ([`hop`]); [`proxy`]
//! is the line from arrival to delivery; [`policy`] answers the four questions on that line, by what is configured ([`rules`]) and
//! who asks ([`asker`]); [`coherence`] decides what is looked up, fetched, followed and stored, [`store`] holds it, and
//! [`entry::purge`] knows what purges say of it; [`proxy::fetch`] brings one answer for all who wait for it; [`upstream`] holds the
//! connections to the origin; [`deliver`] makes the answer that the client gets; [`telemetry`] tells of each exchange once it is over.
//!
//! Beside that line, [`proxy::explain`] tells what a request would get, [`proxy::current`] puts another configuration in
//! force, and [`control`] takes purges and questions on a listener of its own.
//!
//! # Rooms
//!
//! A room imports from itself and from those below it; `tests/house.rs` checks that, and that no files import each other in a
//! circle. *Pure* rooms do no I/O, wait for nothing and are given the time.
//!
//! | room | what is in it | |
//! |---|---|---|
//! | [`cli`] | the commands | |
//! | [`demo`], [`review`] | the sample clinic; `audit` and `diff` | |
//! | [`app`] | the only place where the parts of a running process are wired | |
//! | [`control`] | the admin listener, reloads, stops, where messages go | |
//! | [`config`] | the text of a file, its tree, the settings made of it, its fingerprints | |
//! | [`proxy`] | the line: arrive, plan, look, fly, fetch, deliver, end; `explain` tells the same line | |
//! | [`edge`] | clients: listeners, places, watch, TLS, connections | |
//! | [`upstream`] | origins: names, places, pool, seats, one exchange, retries and balance | |
//! | [`telemetry`] | events, meters, the access log | |
//! | [`deliver`] | from an entry to an answer: conditions, ranges, age, `Cache-Status` | pure |
//! | [`coherence`] | find, join, fetch, fill, parts, file: the steps of the cache | pure |
//! | [`hop`] | a head across one hop: what comes off, whose word counts, which tags it names | pure |
//! | [`http1`] | HTTP/1.1 as bytes, for both sides | |
//! | [`body`] | bodies, spools and their budget, uploads, how a body ends | |
//! | [`store`] | memory and how it is shared out, the walk that takes out what is dead, permissions | |
//! | [`policy`] | the four questions, their answers and reasons | pure |
//! | [`rules`] | what is configured: routes, policies, queries, paths, tags | pure |
//! | [`asker`] | who asks: identity, facets, tokens, certificates | pure |
//! | [`entry`] | keys, tags, heads, entries, owners, the purge log | pure |
//! | [`fields`] | HTTP values: dates, structured fields, directives, ranges, cookies, names that matter | pure |
//! | [`ground`] | words that know nobody: the clock, failures, notices, sockets, the terminal | |
//!
//! Each room owns the type of its settings; [`config`] makes them out of what was written.
//!
//! # Where to change what
//!
//! | what | where |
//! |---|---|
//! | a request field is stripped before the origin sees it | [`hop::fields`] |
//! | an answer's field is stripped, tags are read off it | [`hop::answer`] |
//! | a request is refused at the door | [`edge::incoming`] |
//! | a route is chosen | [`rules::route::router`] |
//! | who a caller is | [`asker::identity`] |
//! | whether a request is looked up or passed | [`policy::plan`] |
//! | what is in a key | [`entry::key`], [`policy::plan`] |
//! | whether a stored answer is used | [`policy::reuse`] |
//! | whether an answer is stored, and for how long | [`policy::admit`], [`policy::lifetime`] |
//! | what stands in for an origin that fails | [`policy::rescue`] |
//! | who waits for whose fetch | [`coherence::flight`] |
//! | what a purge means | [`entry::purge`] |
//! | what a write purges | [`proxy`] (`write.rs`), [`policy::invalidate`] |
//! | what a full store gives up | [`store::memory`], [`store::shares`] |
//! | whether a request is sent again | [`upstream::Upstream::send`] |
//! | which server a request goes to | [`upstream`] |
//! | who gets a connection, who waits | [`upstream::pool`] (`places.rs`) |
//! | a conditional request, a range | [`deliver`], [`deliver::ranges`] |
//! | what is logged and counted | [`telemetry::event`], [`telemetry::catalogue`] |
//! | a key of the configuration | [`config`] (`bridge`) |
//! | an admin call | [`control::admin`] |
//!
//! # Ideas
//!
//! 1. **Four questions.** All caching judgement is four pure functions ([`policy::plan::plan`], [`policy::reuse::reuse`],
//!    [`policy::admit::admit`], [`policy::rescue::rescue`]) on values, `now` given. Each answer carries its reason, and the
//!    reason's one spelling is what `Cache-Status`, metrics and people see.
//! 2. **Flights belong to nobody.** A miss starts one [`coherence::flight::Flight`] per key; who hangs up cancels nothing.
//! 3. **Bodies stream.** A [`body::spool::Spool`] is read by all who want it while it is being filled. An incomplete body
//!    is never stored.
//! 4. **A purge is an epoch in a log, not a hunt.** [`entry::purge`]: a fill that began before a purge is dead on arrival.
//! 5. **A key says who may share.** [`entry::key::Partition`] has no default; and what is not in the key is not sent.
//!
//! # Invariants
//!
//! 1. **Purged is gone.** A request that begins after a purge was acknowledged never gets a representation whose fetch began
//!    before it: not from memory, not as a follower, not by a 304, not as stale ([`entry::purge`]).
//! 2. **No one sees another's data.** What is not proven to be shareable is not shared ([`policy::plan`]); the origin can
//!    narrow, never widen ([`policy::admit`]).
//! 3. **Body in = body out.** One answer of the origin, whole, or visibly cut off.
//! 4. **When unsure: do not store, do not share, do not serve purged.** A route without a policy is a pass.
//! 5. **Losing memory loses speed, never truth** ([`store::memory`], [`entry::purge`], [`body::spool::budget`]).
//! 6. **Everything has a bound and a deadline** ([`edge::settings`], [`edge::watch`], [`upstream::settings`], [`body::upload`],
//!    [`body::spool`], [`body::spool::budget`]).
//! 7. **No patient data in logs, metrics or error pages.** Paths appear as route templates ([`edge::error`], [`telemetry`]).
//! 8. **One request in, one request out.** Ambiguous framing is refused and the connection closed ([`http1`], [`edge::incoming`]).
//!    Nothing from the network or the configuration can panic the process.
//! 9. **Every decision can be explained** from the outside, by its reason ([`policy::outcome`], [`proxy::explain`]).
//!
//! # Reading order
//!
//! [`proxy`], then [`policy`] and its four questions, [`entry::key`], [`entry::purge`], [`coherence`], [`proxy::fetch::fill`]. For the
//! wire: [`http1`], [`edge::connection`], [`edge::tls`], [`upstream::exchange`]. For the file: [`config`]. The tests under `tests/it` read
//! like stories of the same.

#![forbid(unsafe_code)]
#![warn(missing_docs, unreachable_pub, clippy::too_many_lines)]
// Whoever reads what a process prints may hang: see `notice` and `cli::terminal`.
#![deny(clippy::print_stderr, clippy::print_stdout)]
// The time is read by `ground::clock`; tests may look at the machine's.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

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
