//! `stent run`. Whatever it says goes by [`notice`]: a start waits for no reader, nor does what follows.

use std::process::ExitCode;
use std::time::Duration;

use super::{ConfigArgs, load_and_tell};
use crate::app::App;
use crate::cli::memory_limit;
use crate::control::reload::{Configuration, NotReloaded};
use crate::control::stop::{Stop, Wish};
use crate::ground::clock::Clock;
use crate::ground::{descriptors, notice, terminal};

/// How long the end may be kept up by a reader of standard error that does not read.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(super) fn run(args: &ConfigArgs) -> ExitCode {
    notice::tell_panics();
    let code = serve(args).unwrap_or_else(|message| {
        notice::say(message);
        ExitCode::FAILURE
    });
    notice::flush(LAST_WORDS);
    code
}

fn serve(args: &ConfigArgs) -> Result<ExitCode, String> {
    let (loaded, said) = load_and_tell(args);
    if !said.is_empty() {
        notice::say_text(said);
    }
    let Some(loaded) = loaded else { return Ok(ExitCode::FAILURE) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("starting: {error}"))?;
    // Before it says that it listens: whoever reads that may stop it at once.
    let mut stop =
        runtime.block_on(async { Stop::listen() }).map_err(|error| format!("listening for signals: {error}"))?;
    let upstreams = &loaded.settings.upstreams;
    let to_origins = upstreams.iter().map(|upstream| upstream.max_connections).sum();
    if let Some(warning) =
        descriptors::too_few(descriptors::raise(), loaded.settings.server.limits.connections, to_origins)
    {
        notice::say(format_args!("warning: {warning}"));
    }
    let (store, connections) = (&loaded.settings.cache, loaded.settings.server.limits.connections);
    let memory = memory_limit::too_little(memory_limit::limit(), store.memory, store.max_object, connections);
    if let Some(warning) = memory {
        notice::say(format_args!("warning: {warning}"));
    }
    let file = args.config.clone();
    let source = Box::new(move || crate::config::load(&file, &|name| std::env::var(name).ok()));
    let app = App::start_from(loaded.settings, Some(source), Clock::System).map_err(|error| error.to_string())?;
    for address in &app.addresses {
        notice::say(format_args!("listening on http://{address}"));
    }
    for address in &app.tls_addresses {
        notice::say(format_args!("listening on https://{address}"));
    }
    if let Some(address) = app.admin_address {
        notice::say(format_args!("admin on http://{address}"));
    }
    let code = runtime.block_on(async {
        loop {
            tokio::select! {
                wish = stop.wished() => match wish {
                    Wish::Reload => reload(&app.configuration),
                    Wish::Stop => return ExitCode::SUCCESS,
                },
                post = app.failed() => {
                    notice::say(format_args!("{post} has ended, which it should not: the process ends too, to be started again"));
                    return ExitCode::FAILURE;
                }
            }
        }
    });
    notice::say("stopping; finishing what is in flight");
    app.stop();
    Ok(code)
}

/// Reads the file again and says what came of it.
fn reload(configuration: &Configuration) {
    match configuration.reload() {
        Ok(reloaded) => {
            notice::say("configuration reloaded");
            for warning in &reloaded.warnings {
                notice::say(format_args!("line {}: {}", warning.line, warning.message));
            }
            let restart = reloaded.restart_needed.join(", ");
            if !restart.is_empty() {
                notice::say(format_args!("these take a restart: {restart}"));
            }
        }
        Err(NotReloaded::Mistakes(report)) => {
            notice::say_text(report.render(terminal::stderr_has_colour()));
            notice::say("configuration not reloaded; nothing was changed");
        }
        // `run` always has a file.
        Err(NotReloaded::NoSource) => {}
    }
}
