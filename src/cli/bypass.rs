//! `stent bypass`: a route of a running process passes for a while.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::http::call;
use super::{AdminArgs, fail};
use crate::config::admin::TokenScope;
use crate::ground::terminal;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    stent bypass --route patients --for 1h     nothing of this route is answered from the store, for an hour\n  \
    stent bypass --route patients --off        it is again\n\n\
    Writes go on purging meanwhile, so what is stored may be used again afterwards. A bypass ends by itself, after 24 hours at\n\
    most; it outlasts a reload but no restart.\n\n\
    The token comes from --token, from STENT_TOKEN, or from a token of the configuration that may bypass.")]
pub(super) struct BypassArgs {
    /// The route's name
    #[arg(long, value_name = "NAME")]
    route: String,
    /// For how long: 90s, 15m, 1h
    #[arg(long = "for", value_name = "TIME", required_unless_present = "off", conflicts_with = "off")]
    time: Option<String>,
    /// No longer
    #[arg(long)]
    off: bool,
    /// The answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn bypass(args: &BypassArgs) -> ExitCode {
    let (address, token) = match args.admin.whom(TokenScope::Bypass) {
        Ok(found) => found,
        Err(message) => return fail(message),
    };
    let (method, body) = match &args.time {
        Some(time) => (Method::POST, json!({"route": args.route, "for": time})),
        None => (Method::DELETE, json!({"route": args.route})),
    };
    let limit = Duration::from_secs(10);
    match call(method, &address, "/api/v1/bypass", token.as_deref(), body.to_string(), limit) {
        Err(message) => fail(message),
        Ok((status, answer)) => {
            let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
            if args.json {
                terminal::say(&answer);
            } else if !status.is_success() {
                terminal::complain(format_args!(
                    "stent: nothing was changed: {status} {}",
                    answer["detail"].as_str().unwrap_or("")
                ));
            } else if let Some(time) = &args.time {
                terminal::say(format_args!("{} is bypassed for {time}", args.route));
            } else {
                terminal::say(format_args!("{} is no longer bypassed", args.route));
            }
            if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
    }
}
