//! The way to the origin and back into the store: one flight per key, a body that many read while it comes, and what is
//! made of the answer.

pub mod backoff;
pub mod budget;
pub mod fill;
pub mod flight;
pub mod head;
mod pump;
pub mod spool;
pub mod tags;
