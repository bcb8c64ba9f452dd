//! `stent purge`: a call to the admin of a running process.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::http::call;
use super::{AdminArgs, fail};
use crate::config::admin::TokenScope;
use crate::control::admin::named::{As, Named};
use crate::ground::terminal;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    stent purge patient:7                      one tag\n  \
    stent purge 'patients:*'                   all tags that begin with patients:\n  \
    stent purge --url /api/patients/7/         one URL on every host: all variants, all who have a copy\n  \
    stent purge --url 'http://clinic.example/api/patients/?*'   with any query\n  \
    stent purge --prefix /api --soft           all below /api is no longer fresh\n  \
    stent purge --all\n  \
    stent purge --dry-run 'patients:*'         what would go\n\n\
    The token comes from --token, from STENT_TOKEN, or from a token of the configuration that may purge.\n\
    Exits with 0 when the purge was acknowledged: no request that begins afterwards gets what was purged; with 2 when something\n    \
    that no request can match is named, such as '/img/*'; with 3 under --must-match when something is named that no route can\n    \
    carry and no stored answer carries; and with 1 otherwise.")]
pub(super) struct PurgeArgs {
    /// Tags; `a:*` takes all that begin with `a:`
    tags: Vec<String>,
    /// A URL or a path; `?*` at its end takes any query
    #[arg(long, value_name = "URL")]
    url: Vec<String>,
    /// A path, or a URL, with all below it
    #[arg(long, value_name = "PATH")]
    prefix: Vec<String>,
    /// Everything
    #[arg(long)]
    all: bool,
    /// No longer fresh instead of gone: it is asked about before it is served, or served while that is under way
    #[arg(long)]
    soft: bool,
    /// Say what would go, and purge nothing
    #[arg(long)]
    dry_run: bool,
    /// Exit with 3 if something is named that no route can carry and no stored answer carries
    #[arg(long)]
    must_match: bool,
    /// The receipt as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn purge(args: &PurgeArgs) -> ExitCode {
    if args.tags.is_empty() && args.url.is_empty() && args.prefix.is_empty() && !args.all {
        return fail("name what to purge: a tag, --url, --prefix or --all; see stent purge --help");
    }
    let urls = args.url.iter().map(|url| (url, As::Url)).chain(args.prefix.iter().map(|prefix| (prefix, As::Prefix)));
    for (text, meant) in urls {
        if let Err(unread) = Named::read(text, meant) {
            return refused(format_args!("not purged: no request can match {text}: {}", unread.hint(text)));
        }
    }
    let (address, token) = match args.admin.whom(TokenScope::Purge) {
        Ok(found) => found,
        Err(message) => return fail(message),
    };
    let body = json!({
        "tags": args.tags, "urls": args.url, "prefixes": args.prefix, "all": args.all, "soft": args.soft,
        "dry_run": args.dry_run, "count": true,
    });
    let limit = Duration::from_secs(10);
    let (status, answer) =
        match call(Method::POST, &address, "/api/v1/purge", token.as_deref(), body.to_string(), limit) {
            Err(message) => return fail(message),
            Ok(answered) => answered,
        };
    let receipt: Value = serde_json::from_slice(&answer).unwrap_or_default();
    if args.json {
        terminal::say(&receipt);
    }
    let done = if args.dry_run { &receipt["dry_run"] } else { &receipt["acknowledged"] };
    if !status.is_success() || *done != true {
        let said = format!("not purged: {status} {}", receipt["detail"].as_str().unwrap_or(""));
        return match status {
            StatusCode::BAD_REQUEST => refused(said),
            _ => fail(said),
        };
    }
    if !args.json {
        terminal::say(told(args, &receipt));
    }
    for (list, named) in [("tags", &args.tags), ("urls", &args.url), ("prefixes", &args.prefix)] {
        let at = receipt["unknown"][list].as_array().into_iter().flatten().filter_map(Value::as_u64);
        for unknown in at.filter_map(|at| named.get(usize::try_from(at).ok()?)) {
            terminal::complain(format_args!(
                "stent: `{unknown}` is not known: no route can carry it and no stored answer carries it"
            ));
        }
    }
    match receipt["known"] {
        Value::Bool(true) => ExitCode::SUCCESS,
        _ if !args.must_match => ExitCode::SUCCESS,
        Value::Bool(false) => ExitCode::from(3),
        _ => {
            terminal::complain(format_args!(
                "stent: no route can carry all of this, and the stored answers are too many to look through"
            ));
            ExitCode::from(3)
        }
    }
}

/// A receipt in one line, and in a dry run one more for each route.
fn told(args: &PurgeArgs, receipt: &Value) -> String {
    let answers = |met: &Value| match met.as_u64() {
        Some(1) => "1 stored answer".to_owned(),
        Some(many) => format!("{many} stored answers"),
        None => "stored answers, which were not counted".to_owned(),
    };
    let met = answers(&receipt["met"]);
    if !args.dry_run {
        return format!("purged at epoch {} in {} ms: {met}", receipt["epoch"], receipt["took_ms"]);
    }
    let mut text = format!("would purge {met}; nothing was purged");
    for route in receipt["routes"].as_array().into_iter().flatten() {
        let name = route["name"].as_str().unwrap_or("");
        text.push_str(&match route["met"].is_null() {
            true => format!("\n  route {name}"),
            false => format!("\n  route {name}: {}", answers(&route["met"])),
        });
    }
    text
}

/// What was named cannot be purged.
fn refused(message: impl std::fmt::Display) -> ExitCode {
    terminal::complain(format_args!("stent: {message}"));
    ExitCode::from(2)
}
