//! The client's side: listeners and connections, what a head may carry across this hop, and how answers leave.

mod answer;
pub mod connection;
pub mod error;
pub mod incoming;
pub mod line;
mod linger;
pub mod listen;
mod parting;
pub mod places;
mod request_body;
pub mod settings;
pub mod sides;
pub mod tls;
mod told;
mod tunnel;
pub mod watch;
