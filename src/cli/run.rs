//! `stent run`.

use std::process::ExitCode;

use super::{ConfigArgs, fail, load};
use crate::app::App;
use crate::clock::Clock;

pub(super) fn run(args: &ConfigArgs) -> ExitCode {
    let Some(loaded) = load(args) else { return ExitCode::FAILURE };
    let app = match App::start(loaded.settings, Clock::System) {
        Ok(app) => app,
        Err(error) => return fail(error),
    };
    for address in &app.addresses {
        eprintln!("stent: listening on http://{address}");
    }
    if let Some(address) = app.admin_address {
        eprintln!("stent: admin on http://{address}");
    }
    if let Err(error) = wait_for_signal() {
        return fail(format_args!("waiting for signals: {error}"));
    }
    eprintln!("stent: stopping; finishing what is in flight");
    app.stop();
    ExitCode::SUCCESS
}

/// Returns on SIGTERM or SIGINT.
pub(crate) fn wait_for_signal() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}
