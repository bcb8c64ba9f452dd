//! Ctrl-C and SIGTERM.
//!
//! Listened for before anything is printed: whoever reads that it stays up until Ctrl-C may press it at that moment, and
//! whoever has seen enough may press it during the walk.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The wish that it ends.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Listens from now on. Must be called inside a runtime.
    pub(crate) fn listen() -> io::Result<Stop> {
        Ok(Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Returns once it was asked for.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
