//! `stent run`.

use std::process::ExitCode;

use super::stop::Stop;
use super::{ConfigArgs, fail, load};
use crate::app::App;
use crate::clock::Clock;

pub(super) fn run(args: &ConfigArgs) -> ExitCode {
    let Some(loaded) = load(args) else { return ExitCode::FAILURE };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(format_args!("starting: {error}")),
    };
    // Before it says that it listens: whoever reads that may stop it at once.
    let mut stop = match runtime.block_on(async { Stop::listen() }) {
        Ok(stop) => stop,
        Err(error) => return fail(format_args!("listening for signals: {error}")),
    };
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
    runtime.block_on(stop.asked());
    eprintln!("stent: stopping; finishing what is in flight");
    app.stop();
    ExitCode::SUCCESS
}
