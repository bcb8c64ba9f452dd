//! Stories about the line: scripted origins, real sockets, gates instead of sleeps.

mod caching;
mod compatible;
mod flights;
mod partition;
mod proxying;
mod purging;
mod reloading;
mod scenario;
