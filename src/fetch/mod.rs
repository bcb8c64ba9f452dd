//! The way to the origin and back: what [`crate::coherence`] decides, with the waiting in between.

pub mod fill;
mod pump;
