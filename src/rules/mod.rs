//! Rules: what is configured, read and checked; it decides nothing yet.
pub mod caching;
pub mod canonical;
pub mod path;
pub mod picker;
pub mod query;
pub mod route;
pub mod tag_template;
pub mod template;
