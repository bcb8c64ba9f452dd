//! `stent demo`: a sample clinic with Stent in front, and a walk through MISS, HIT and purge.
//!
//! The clinic is an origin of its own behind a socket of its own, Stent is started from `CONFIG` just as `stent run`
//! would, and every line that is printed comes from a request that was made. A step that comes out otherwise than it
//! should is said to have done so.

mod address;
mod by_hand;
mod client;
mod origin;
mod script;
mod step;
mod table;
mod verdict;
mod walk;

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;

use address::{FoundAddress, find};
use origin::Origin;
use walk::WalkEnd;

use crate::app::App;
use crate::control::stop::Stop;
use crate::demo::step::Addresses;
use crate::ground::clock::Clock;
use crate::ground::terminal::{self, Paint};

/// What Stent is started with.
const CONFIG: &str = include_str!("proxy.yaml");

/// What can be said to it.
#[derive(clap::Args)]
#[command(after_help = "The clinic is made up, and so is everybody in it. Nothing is written to disk.")]
pub struct DemoArgs {
    /// Where Stent listens; another port is taken if this one is not free
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Where its admin listens; another port is taken if this one is not free
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "HOST:PORT")]
    admin: SocketAddr,
    /// End after the walk: with 0 if every step came out as it should, else with 1
    #[arg(long)]
    exit: bool,
    /// Print the proxy.yaml of the demo and end
    #[arg(long)]
    show_config: bool,
}

/// Runs it until stopped.
pub fn demo(args: &DemoArgs) -> ExitCode {
    if args.show_config {
        // A reader that went away has seen enough.
        let _ = std::io::stdout().write_all(CONFIG.as_bytes());
        return ExitCode::SUCCESS;
    }
    match show(args) {
        Ok(WalkEnd::AsItShould) => ExitCode::SUCCESS,
        // Who waits for the end of the walk has not got it.
        Ok(WalkEnd::Stopped) if !args.exit => ExitCode::SUCCESS,
        Ok(WalkEnd::Stopped | WalkEnd::Otherwise) => ExitCode::FAILURE,
        Err(message) => {
            terminal::complain(format_args!("stent: {message}"));
            ExitCode::FAILURE
        }
    }
}

fn show(args: &DemoArgs) -> Result<WalkEnd, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("starting: {error}"))?;
    let mut stop = {
        let _inside = runtime.enter();
        Stop::listen().map_err(|error| format!("listening for signals: {error}"))?
    };
    let listen = find(args.listen, None)?;
    let admin = find(args.admin, Some(args.listen))?;
    let origin = Origin::start().map_err(|error| format!("starting the sample clinic: {error}"))?;
    let app = start(&origin, listen, admin)?;
    let addresses = Addresses {
        origin: origin.address,
        stent: *app.addresses.first().ok_or("the configuration of the demo names no listener")?,
        admin: app.admin_address.ok_or("the configuration of the demo names no admin")?,
    };
    let paint = Paint::of_standard_output();
    table::opening(paint, &addresses);
    for (name, found, asked) in [("--listen", listen, args.listen), ("--admin", admin, args.admin)] {
        if matches!(found, FoundAddress::Instead(_)) {
            table::remark(paint, &format!("{asked} is taken, so Stent took another port; choose with {name}"));
        }
    }
    let ended = runtime.block_on(async {
        let ended = tokio::select! {
            ended = walk::walk(&addresses, &origin, paint) => ended?,
            () = stop.asked() => return Ok::<_, String>(WalkEnd::Stopped),
        };
        if !args.exit {
            by_hand::print(paint, &addresses);
            stop.asked().await;
        }
        Ok(ended)
    });
    // The walk's connections end with it, so that stopping need not wait for them.
    drop(runtime);
    app.stop();
    ended
}

/// Starts Stent from the demo's configuration.
fn start(origin: &Origin, listen: FoundAddress, admin: FoundAddress) -> Result<App, String> {
    let vars = |name: &str| match name {
        "ORIGIN" => Some(format!("http://{}", origin.address)),
        "LISTEN" => Some(listen.address().to_string()),
        "ADMIN" => Some(admin.address().to_string()),
        _ => None,
    };
    let loaded = crate::config::parse("proxy.yaml of the demo", CONFIG, &vars);
    let loaded = loaded.map_err(|report| report.render(terminal::stderr_has_colour()))?;
    App::start(loaded.settings, Clock::System).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_configuration_has_no_mistakes_and_no_warnings() {
        let loaded = crate::config::parse("proxy.yaml", CONFIG, &|_| None).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(loaded.warnings.len(), 0, "{}", loaded.report(loaded.warnings.clone()));
    }
}
