//! What is kept: the memory store, the log that says what of it is still true, and what was found out about who asks.

pub mod memory;
pub mod permission;
pub mod settings;
pub mod shares;
pub mod slots;
pub mod sweep;
