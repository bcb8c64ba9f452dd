//! `stent diff`: what changes between two configurations, for those who review changes.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::page::Page;
use super::{ConfigArgs, load};
use crate::ground::terminal::{self, GREEN, Paint, RED};
use crate::review::diff::Diff;

#[derive(Args)]
#[command(after_help = "Exits with 0 if nothing widens, with 2 if something does, with 1 if it cannot be told.\n\n\
    A change WIDENS if it lets more people see an answer, or lets an answer that nobody purges be seen for longer. Routes are \
    compared by what they do with the requests that they take. Where it cannot be decided, it WIDENS.")]
pub(super) struct DiffArgs {
    /// The configuration as it is
    old: PathBuf,
    /// As it shall be
    new: PathBuf,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
}

/// Something widens.
const WIDENS: u8 = 2;

pub(super) fn diff(args: &DiffArgs) -> ExitCode {
    let read = |path: &PathBuf| load(&ConfigArgs { config: path.clone() });
    // Both, so that all mistakes are named at once.
    let (Some(old), Some(new)) = (read(&args.old), read(&args.new)) else { return ExitCode::FAILURE };
    let told = crate::review::diff::diff(&old.settings, &new.settings);
    if args.json {
        terminal::say(serde_json::to_string(&told).unwrap_or_default());
    } else {
        terminal::say(page(&told, Paint::of_standard_output()).text());
    }
    if told.widens { ExitCode::from(WIDENS) } else { ExitCode::SUCCESS }
}

fn page(told: &Diff, paint: Paint) -> Page {
    let mut page = Page::new(paint);
    for change in &told.changes {
        let line = format!("{}: {}", paint.bold(&change.about.join(", ")), change.change);
        match &change.widens {
            Some(why) => page.alarm("WIDENS", &line, why),
            None => page.line("", line),
        }
    }
    let widening = told.changes.iter().filter(|change| change.widens.is_some()).count();
    page.heading(&match (widening, told.changes.len()) {
        (0, 0) => "Nothing changes.".to_owned(),
        (0, 1) => paint.with(GREEN, "One change; it widens nothing."),
        (0, all) => paint.with(GREEN, &format!("{all} changes; none of them widens.")),
        (some, all) => paint.with(RED, &format!("{some} of {all} changes: WIDENS.")),
    });
    page
}
