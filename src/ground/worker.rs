//! The workers of the process: one runtime and one core each.

/// The index of a worker; each keeps its own idle connections.
pub type WorkerId = usize;
