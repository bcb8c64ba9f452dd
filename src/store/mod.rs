//! Where entries are: memory, how it is shared out, and the walk that takes out what is dead; and what origins let whom see.

pub mod memory;
pub mod permission;
pub mod settings;
pub mod shares;
pub mod slots;
pub mod sweep;
