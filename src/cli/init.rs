//! `stent init`: a safe configuration to begin with.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::fail;
use crate::ground::terminal;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    stent init --django http://127.0.0.1:8000\n  \
    stent init --fastapi http://127.0.0.1:8000 --output clinic.yaml\n\n\
    What it writes keeps signed-in answers apart by who asks, passes what it does not know, and passes `stent check`.")]
pub(super) struct InitArgs {
    /// For a Django backend at this address
    #[arg(long, value_name = "URL", conflicts_with = "fastapi", required_unless_present = "fastapi")]
    django: Option<String>,
    /// For a FastAPI backend at this address
    #[arg(long, value_name = "URL")]
    fastapi: Option<String>,
    /// Where to write it; `-` prints it
    #[arg(long, short, default_value = "proxy.yaml", value_name = "FILE")]
    output: PathBuf,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
}

const DJANGO: &str = include_str!("starter-django.yaml");
const FASTAPI: &str = include_str!("starter-fastapi.yaml");

pub(super) fn init(args: &InitArgs) -> ExitCode {
    let (starter, url) = match (&args.django, &args.fastapi) {
        (Some(url), _) => (DJANGO, url),
        (None, Some(url)) => (FASTAPI, url),
        (None, None) => return fail("say --django URL or --fastapi URL"),
    };
    let text = starter.replace("http://127.0.0.1:8000", url.trim_end_matches('/'));
    let name = args.output.display().to_string();
    if let Err(report) = crate::config::parse(&name, &text, &|_| None) {
        // Only the address is not ours.
        terminal::complain_text(&report.render(terminal::stderr_has_colour()));
        return fail(format_args!("`{url}` is no address of a backend: write http://host:port"));
    }
    if name == "-" {
        terminal::say(text.trim_end());
        return ExitCode::SUCCESS;
    }
    if args.output.exists() && !args.force {
        return fail(format_args!("{name} is there already; --force writes over it, --output takes another name"));
    }
    match std::fs::write(&args.output, text) {
        Err(error) => fail(format_args!("writing {name}: {error}")),
        Ok(()) => {
            terminal::say(format_args!("wrote {name}; now: stent check --config {name} && stent run --config {name}"));
            ExitCode::SUCCESS
        }
    }
}
