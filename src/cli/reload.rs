//! `stent reload`: a running process reads its file again.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::http::call;
use super::{AdminArgs, fail};
use crate::config::admin::TokenScope;
use crate::ground::terminal;

#[derive(Args)]
#[command(
    after_help = "Requests that are under way end by the configuration they began with; new ones go by the new one. With any \
    mistake in the file nothing changes, and all of them are named. SIGHUP does the same.\n\n\
    The token comes from --token, from STENT_TOKEN, or from a token of the configuration that may reload."
)]
pub(super) struct ReloadArgs {
    /// The answer as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

pub(super) fn reload(args: &ReloadArgs) -> ExitCode {
    let (address, token) = match args.admin.whom(TokenScope::Reload) {
        Ok(found) => found,
        Err(message) => return fail(message),
    };
    let limit = Duration::from_secs(10);
    let (status, answer) = match call(Method::POST, &address, "/api/v1/reload", token.as_deref(), String::new(), limit)
    {
        Ok(answered) => answered,
        Err(message) => return fail(message),
    };
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    if args.json {
        terminal::say(&answer);
    } else if status.is_success() {
        say(&answer);
    } else {
        terminal::complain(format_args!("stent: not reloaded: {status} {}", answer["detail"].as_str().unwrap_or("")));
        print_problems(&answer["problems"]);
    }
    if status.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn say(answer: &Value) {
    terminal::say("reloaded");
    print_problems(&answer["warnings"]);
    let keys: Vec<&str> = answer["restart_needed"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !keys.is_empty() {
        terminal::say(format_args!("these take a restart: {}", keys.join(", ")));
    }
}

fn print_problems(problems: &Value) {
    for problem in problems.as_array().into_iter().flatten() {
        let text = |key: &str| problem[key].as_str().unwrap_or("").to_owned();
        terminal::complain(format_args!("line {}: {}; {}", problem["line"], text("message"), text("hint")));
    }
}
