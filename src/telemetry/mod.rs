//! What can be seen from outside: counters and histograms, the access log, and times in headers.
//!
//! Every exchange ends in one [`event::Event`], which [`Telemetry`] counts and writes down. Handles are made when the
//! configuration is loaded and incremented by reference after that; nothing here makes a worker wait.

pub mod catalogue;
pub mod event;
pub mod histogram;
pub mod line;
pub mod log;
mod meters;
mod registry;
pub mod settings;
pub mod stamp;
mod watch;

pub use self::meters::{Meters, UpstreamMeters};
pub use self::registry::{MetricsPage, Registry};
pub use self::watch::Telemetry;
