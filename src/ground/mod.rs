//! The ground: words that know nobody. Every room may use them.
pub mod clock;
pub mod descriptors;
pub mod failure;
pub mod found;
pub mod mutants;
pub mod notice;
pub mod socket;
pub mod terminal;
pub mod worker;
