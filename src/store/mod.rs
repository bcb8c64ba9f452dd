//! What is kept: the memory store, and the log that says what of it is still true.

pub mod memory;
pub mod mutants;
pub mod purge;
pub mod settings;
