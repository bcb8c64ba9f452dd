//! What a step of the demo needs and brings.

use std::net::SocketAddr;
use std::time::Duration;

use crate::demo::verdict::DemoVerdict;

/// What runs where.
pub(super) struct Addresses {
    pub(super) origin: SocketAddr,
    pub(super) stent: SocketAddr,
    pub(super) admin: SocketAddr,
}

/// What a step came to.
pub(super) struct StepAnswer {
    pub(super) verdict: DemoVerdict,
    /// Its time through Stent.
    pub(super) through: Duration,
    /// The clinic's own time, where the clinic can be asked the same.
    pub(super) alone: Option<Duration>,
    /// What the columns cannot say.
    pub(super) note: Option<String>,
    /// What is not as it should be.
    pub(super) trouble: Option<String>,
}
