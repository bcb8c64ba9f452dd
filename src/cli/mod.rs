//! The command line: what a person types, and what they see.

mod audit;
mod bypass;
mod check;
mod diff;
mod explain;
mod healthcheck;
pub(crate) mod http;
mod init;
pub mod memory_limit;
mod page;
mod purge;
mod reload;
mod run;
mod why;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Loaded;
use crate::config::admin::TokenScope;
use crate::ground::terminal;

#[derive(Parser)]
#[command(
    name = "stent",
    version,
    about = "A caching reverse proxy for backends that nobody can rewrite",
    after_help = "First steps:\n  \
        stent demo                                  see MISS, HIT, purge and MISS on a sample clinic\n  \
        stent init --django http://127.0.0.1:8000   write a safe proxy.yaml for a Django backend\n  \
        stent check                                 read proxy.yaml and run the tests in it\n  \
        stent run                                   serve by it\n  \
        stent explain GET /api/patients/7           what a request would get, and why\n  \
        stent purge patient:7                       let go of what is tagged patient:7"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve by a proxy.yaml until stopped
    #[command(
        after_help = "Prints one line per listener once it listens. SIGTERM and Ctrl-C stop accepting, finish what is in \
        flight and exit with 0; SIGHUP reads the file again."
    )]
    Run(ConfigArgs),
    /// Read a proxy.yaml, name everything wrong with it, and run the tests in it; exits with 0 or 1
    #[command(after_help = "No network is touched. The tests are the file's own `tests:`.")]
    Check(check::CheckArgs),
    /// Tell what a request would get, and why
    Explain(explain::ExplainArgs),
    /// Tell on one page who shares what, for how long, and who may purge
    Audit(audit::AuditArgs),
    /// Tell what changes between two configurations; exits with 2 if somebody may see more by it
    Diff(diff::DiffArgs),
    /// Purge by tag, URL or path prefix, or everything
    Purge(purge::PurgeArgs),
    /// Let a running process read its file again; exits with 0 when it did
    Reload(reload::ReloadArgs),
    /// Let a route of a running process pass for a while
    Bypass(bypass::BypassArgs),
    /// A sample clinic with Stent in front, and a walk through MISS, HIT and purge
    Demo(crate::demo::DemoArgs),
    /// What happened to one request and why, from the access log or from its Cache-Status
    Why(why::WhyArgs),
    /// Write a safe proxy.yaml to begin with
    Init(init::InitArgs),
    /// Ask a running process whether it is ready; exits with 0 or 1
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Print the version
    Version {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Which configuration.
#[derive(Args, Clone)]
pub struct ConfigArgs {
    /// The configuration
    #[arg(long, short, default_value = "proxy.yaml", value_name = "FILE")]
    pub config: PathBuf,
}

/// Which running process, and what is shown to it.
#[derive(Args, Clone)]
pub struct AdminArgs {
    /// Where the admin listens; by default as the configuration says
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// A token that may do this
    #[arg(long, env = "STENT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

impl AdminArgs {
    /// The address to call, and the token that opens `scope` there.
    fn whom(&self, scope: TokenScope) -> Result<(String, Option<String>), String> {
        if let Some(admin) = &self.admin {
            let address = admin.strip_prefix("http://").unwrap_or(admin).trim_end_matches('/');
            return Ok((address.to_owned(), self.token.clone()));
        }
        let file = &self.config.config;
        let loaded = crate::config::load(file, &|name| std::env::var(name).ok())
            .map_err(|_| format!("{} cannot be read; say --admin HOST:PORT, or see stent check", file.display()))?;
        let Some(admin) = loaded.settings.admin else {
            return Err(format!("{} has no `admin:` section, so there is nobody to ask", file.display()));
        };
        let own = admin.tokens.iter().find(|token| token.may.contains(&scope)).map(|token| token.secret.clone());
        Ok((admin.listen.to_string(), self.token.clone().or(own)))
    }
}

/// Runs the command of this process's arguments.
pub fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(said) => {
            // Nobody is left to tell that the output is closed.
            let _ = said.print();
            // 2 means something to those who ask for differences.
            return if said.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Audit(args) => audit::audit(&args),
        Command::Diff(args) => diff::diff(&args),
        Command::Purge(args) => purge::purge(&args),
        Command::Reload(args) => reload::reload(&args),
        Command::Bypass(args) => bypass::bypass(&args),
        Command::Demo(args) => crate::demo::demo(&args),
        Command::Why(args) => why::why(&args),
        Command::Init(args) => init::init(&args),
        Command::Healthcheck(args) => healthcheck::healthcheck(&args),
        Command::Version { json } => version(json),
    }
}

fn version(json: bool) -> ExitCode {
    let version = env!("CARGO_PKG_VERSION");
    match json {
        true => terminal::say(serde_json::json!({"name": "stent", "version": version})),
        false => terminal::say(format_args!("stent {version}")),
    }
    ExitCode::SUCCESS
}

/// Loads a configuration, or prints all that is wrong with it.
fn load(args: &ConfigArgs) -> Option<Loaded> {
    let (loaded, said) = load_and_tell(args);
    terminal::complain_text(&said);
    loaded
}

/// Loads a configuration, with what is to be printed about it.
fn load_and_tell(args: &ConfigArgs) -> (Option<Loaded>, String) {
    match crate::config::load(&args.config, &|name| std::env::var(name).ok()) {
        Ok(loaded) if loaded.warnings.is_empty() => (Some(loaded), String::new()),
        Ok(loaded) => {
            let said = loaded.report(loaded.warnings.clone()).render(terminal::stderr_has_colour());
            (Some(loaded), said)
        }
        Err(report) => {
            let (errors, file) = (report.errors().count(), args.config.display());
            let mut said = report.render(terminal::stderr_has_colour());
            said.push_str(&format!("{file}: {errors} error{}\n", if errors == 1 { "" } else { "s" }));
            if !args.config.exists() {
                said.push_str(
                    "To begin: stent init --django http://127.0.0.1:8000, or --fastapi; or see stent demo.\n",
                );
            }
            (None, said)
        }
    }
}

/// Says what went wrong and fails.
fn fail(message: impl std::fmt::Display) -> ExitCode {
    terminal::complain(format_args!("stent: {message}"));
    ExitCode::FAILURE
}
