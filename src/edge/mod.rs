//! The client's side: listeners and connections, what a head may carry across this hop, and how answers leave.

pub mod connection;
pub mod deliver;
pub mod error;
pub mod incoming;
pub mod listen;
pub mod scan;
pub mod settings;
