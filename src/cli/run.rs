//! `stent run`.

use std::process::ExitCode;

use super::stop::{Stop, Wish};
use super::{ConfigArgs, fail, load, terminal};
use crate::app::App;
use crate::clock::Clock;
use crate::reload::{Configuration, NotReloaded};

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
    let file = args.config.clone();
    let source = Box::new(move || crate::config::load(&file, &|name| std::env::var(name).ok()));
    let app = match App::start_from(loaded.settings, Some(source), Clock::System) {
        Ok(app) => app,
        Err(error) => return fail(error),
    };
    for address in &app.addresses {
        eprintln!("stent: listening on http://{address}");
    }
    for address in &app.tls_addresses {
        eprintln!("stent: listening on https://{address}");
    }
    if let Some(address) = app.admin_address {
        eprintln!("stent: admin on http://{address}");
    }
    runtime.block_on(async {
        while let Wish::Reload = stop.wished().await {
            reload(&app.configuration);
        }
    });
    eprintln!("stent: stopping; finishing what is in flight");
    app.stop();
    ExitCode::SUCCESS
}

/// Reads the file again and says what came of it.
fn reload(configuration: &Configuration) {
    match configuration.reload() {
        Ok(reloaded) => {
            eprintln!("stent: configuration reloaded");
            reloaded.warnings.iter().for_each(|warning| eprintln!("stent: line {}: {}", warning.line, warning.message));
            let restart = reloaded.restart_needed.join(", ");
            if !restart.is_empty() {
                eprintln!("stent: these take a restart: {restart}");
            }
        }
        Err(NotReloaded::Mistakes(report)) => {
            eprint!("{}", report.render(terminal::stderr_has_colour()));
            eprintln!("stent: configuration not reloaded; nothing was changed");
        }
        // `run` always has a file.
        Err(NotReloaded::NoSource) => {}
    }
}
