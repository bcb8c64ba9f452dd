//! Stories about the line: scripted origins, real sockets, gates instead of sleeps.

mod access;
mod authority;
mod caching;
mod canonical;
mod compatible;
mod connections;
mod deaths;
mod explaining;
mod fills;
mod flights;
mod hostile;
mod invalidation;
mod partition;
mod planted;
mod proxying;
mod purging;
mod ranges;
mod refreshes;
mod reloading;
mod scenario;
mod seeing;
mod tls;
mod upgrades;
mod validation;
mod variants;
mod why;
