//! `stent purge`: a call to the admin of a running process.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::json;

use super::http::call;
use super::{AdminArgs, fail, terminal};
use crate::admin::settings::Scope;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    stent purge patient:7                      one tag\n  \
    stent purge 'patients:*'                   all tags that begin with patients:\n  \
    stent purge --url /api/patients/7/         one URL on every host: all variants, all who have a copy\n  \
    stent purge --url 'http://clinic.example/api/patients/?*'   with any query\n  \
    stent purge --prefix /api --soft           all below /api is no longer fresh\n  \
    stent purge --all\n\n\
    The token comes from --token, from STENT_TOKEN, or from a token of the configuration that may purge.\n\
    Exits with 0 when the purge was acknowledged: no request that begins afterwards gets what was purged.")]
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
    let (address, token) = match args.admin.whom(Scope::Purge) {
        Ok(found) => found,
        Err(message) => return fail(message),
    };
    let body = json!({
        "tags": args.tags, "urls": args.url, "prefixes": args.prefix, "all": args.all, "soft": args.soft,
    });
    let limit = Duration::from_secs(10);
    match call(Method::POST, &address, "/api/v1/purge", token.as_deref(), body.to_string(), limit) {
        Err(message) => fail(message),
        Ok((status, answer)) => {
            let receipt: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
            let acknowledged = status.is_success() && receipt["acknowledged"] == true;
            if args.json {
                terminal::say(&receipt);
            } else if acknowledged {
                terminal::say(format_args!("purged at epoch {} in {} ms", receipt["epoch"], receipt["took_ms"]));
            } else {
                terminal::complain(format_args!(
                    "stent: not purged: {} {}",
                    status,
                    receipt["detail"].as_str().unwrap_or("")
                ));
            }
            if acknowledged { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}
