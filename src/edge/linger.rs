//! What a client may still do behind the last answer, and for how long.

use std::time::Duration;

/// How long that may take, and how long the last answer on a connection is left for the client to read.
pub(super) const DRAIN_TIME: Duration = Duration::from_secs(2);

/// How much is read and thrown away then, so that no reset overtakes the answer (RFC 9112 §9.6), in bytes.
pub(super) const MAX_LINGER: usize = 1 << 20;

/// What a client did while nobody read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAct {
    /// It sent something.
    Data,
    /// It closed its side.
    End,
}
