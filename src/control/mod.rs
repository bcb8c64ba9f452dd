//! What steers a process that runs: the admin listener, reloads, where messages go.
pub mod admin;
pub mod posts;
pub mod reload;
pub mod stop;
