//! What of a head belongs to one hop alone, and what goes on. Pure.
pub mod answer;
pub mod fields;
pub mod trust;
