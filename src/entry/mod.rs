//! Entries: what is stored, under which key, with which tags, and the log that says what of it is still true. Pure.
pub mod head;
pub mod incomplete;
pub mod key;
pub mod owner;
pub mod purge;
pub mod slot;
pub mod stored;
pub mod tag;
pub mod variants;
