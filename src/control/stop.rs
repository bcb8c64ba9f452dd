//! Ctrl-C and SIGTERM; and SIGHUP.
//!
//! Listened for before anything is printed: whoever reads that it stays up until Ctrl-C may press it at that moment, and
//! whoever has seen enough may press it during the walk.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The wish that it ends.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// What a running process is asked for.
pub(crate) enum Wish {
    /// It shall end.
    Stop,
    /// It shall read its configuration again.
    Reload,
}

impl Stop {
    /// Listens from now on. Must be called inside a runtime.
    pub(crate) fn listen() -> io::Result<Stop> {
        Ok(Stop {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// Returns once it was asked for; a wish to reload means nothing here.
    pub(crate) async fn asked(&mut self) {
        while let Wish::Reload = self.wished().await {}
    }

    /// The next wish.
    pub(crate) async fn wished(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hang_up.recv() => Wish::Reload,
        }
    }
}
