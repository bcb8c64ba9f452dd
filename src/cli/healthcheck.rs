//! `stent healthcheck`: for container runtimes.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;

use super::http::call;
use super::{ConfigArgs, fail};

#[derive(Args)]
pub(super) struct HealthcheckArgs {
    /// Where the admin listens; by default as the configuration says
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn healthcheck(args: &HealthcheckArgs) -> ExitCode {
    let address = match &args.admin {
        Some(address) => address.clone(),
        None => match crate::config::load(&args.config.config, &|name| std::env::var(name).ok()) {
            Ok(loaded) => match loaded.settings.admin {
                Some(admin) => admin.listen.to_string().replace("0.0.0.0", "127.0.0.1").replace("[::]", "[::1]"),
                None => return fail("the configuration has no `admin:` section to ask"),
            },
            Err(_) => return fail("the configuration cannot be read; say --admin HOST:PORT, or see stent check"),
        },
    };
    match call(Method::GET, &address, "/readyz", None, String::new(), Duration::from_secs(3)) {
        Ok((status, _)) if status.is_success() => ExitCode::SUCCESS,
        Ok((status, _)) => fail(format_args!("not ready: {status}")),
        Err(message) => fail(message),
    }
}
