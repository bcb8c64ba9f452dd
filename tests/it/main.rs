//! Stories about the line: scripted origins, real sockets, gates instead of sleeps.

mod caching;
mod deaths;
mod fills;
mod flights;
mod partition;
mod proxying;
mod purging;
mod refreshes;
mod scenario;
mod upgrades;
