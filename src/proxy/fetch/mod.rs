//! The way to the origin and back: what [`crate::coherence`] decides, with the waiting in between.

mod between;
pub mod fill;
mod pump;
