//! The judgement of the cache: four pure questions, asked in the order of a request's life.
//!
//! | asked when | function | answers |
//! |---|---|---|
//! | request in hand | [`plan::plan`] | [`plan::Plan`] |
//! | stored entry in hand | [`reuse::reuse`] | [`reuse::Reuse`] |
//! | origin's head in hand | [`admit::admit`] | [`admit::Admit`] |
//! | origin failed | [`rescue::rescue`] | [`rescue::Rescue`] |
//!
//! `now` is an argument, nothing here does I/O, and every answer carries a reason whose one spelling (`as_str`) is the
//! `Cache-Status` detail, the metric's label and the text that people read.

pub mod admit;
pub mod answered;
pub mod bound;
pub mod invalidate;
pub mod lifetime;
pub mod not_stored;
pub mod outcome;
pub mod partial;
pub mod pass;
pub mod plan;
pub mod question;
pub mod readings;
pub mod rescue;
pub mod reuse;
pub mod said;
pub mod self_posting;
pub mod sharing;
pub mod status;
pub mod types;
pub mod validate;
pub mod vary;
mod who;
pub mod yes;
