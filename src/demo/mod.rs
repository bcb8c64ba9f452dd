//! `stent demo`: a sample clinic with Stent in front.

use std::process::ExitCode;

/// What can be said to it.
#[derive(clap::Args)]
pub struct DemoArgs {}

/// Runs it until stopped.
pub fn demo(_args: &DemoArgs) -> ExitCode {
    ExitCode::FAILURE
}
