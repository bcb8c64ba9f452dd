//! `stent audit`: one page for a security officer.

use std::process::ExitCode;

use clap::Args;

use super::page::{Page, time};
use super::{ConfigArgs, load};
use crate::ground::terminal::{self, GREEN, Paint, YELLOW};
use crate::review::audit::{Audit, KeptRoute};

#[derive(Args)]
#[command(after_help = "No network is touched. What it says holds for a process that runs by this configuration.")]
pub(super) struct AuditArgs {
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn audit(args: &AuditArgs) -> ExitCode {
    let Some(loaded) = load(&args.config) else { return ExitCode::FAILURE };
    let told = crate::review::audit::audit(&loaded.settings, &loaded.warnings);
    if args.json {
        terminal::say(serde_json::to_string(&told).unwrap_or_default());
    } else {
        let title = args.config.config.display().to_string();
        terminal::say(page(&title, &told, Paint::of_standard_output()).text());
    }
    ExitCode::SUCCESS
}

fn page(title: &str, told: &Audit, paint: Paint) -> Page {
    let mut page = Page::new(paint);
    page.heading(title);
    page.line("mode", &told.mode);
    page.line("principal", or_none(&told.principal, " and "));
    page.line("ignored", format!("cookies {}", or_none(&told.ignored_cookies, ", ")));
    let further = |patterns: &[String]| patterns.iter().map(|pattern| format!(", {pattern}")).collect::<String>();
    page.line("", format!("headers that are known to be harmless{}", further(&told.ignored_headers)));
    let affinity = further(&told.affinity_cookies);
    page.line("affinity", format!("cookies of well-known load balancers{affinity}: no credentials"));
    page.line("in URLs", format!("well-known credentials{}: such requests are passed", further(&told.url_credentials)));
    page.line(
        "in answers",
        format!("well-known credentials{}: such answers are not kept", further(&told.secret_fields)),
    );
    page.line("believed", format!("{} (trusted_proxies)", or_none(&told.trusted_proxies, ", ")));
    page.line("refused", format!("{} (refuse)", or_none(&told.refused, ", ")));
    page.line("serves on", told.listen.join(", "));
    page.line("clients", &told.certificates);
    page.line("kept in", &told.stored_in);
    for route in &told.kept {
        page.heading(&format!("{}  {}", route.name, paint.faint(&route.path)));
        self::route(&mut page, route);
    }
    page.heading("Kept nowhere");
    page.line("passed", or_none(&told.passed, ", "));
    page.heading("Admin");
    page.line("listens on", told.admin.listen.as_deref().unwrap_or("nothing"));
    page.line("may read", or_none(&told.admin.may_read, ", "));
    page.line("may purge", or_none(&told.admin.may_purge, ", "));
    page.line("", format!("by the method PURGE: {}", or_none(&told.purge_method, "; ")));
    page.line("", "and every write that passes through purges what it touched");
    page.line("may reload", or_none(&told.admin.may_reload, ", "));
    page.line("may bypass", or_none(&told.admin.may_bypass, ", "));
    page.heading("Logs");
    page.lines("hold", told.logs.clone());
    page.heading("To look at");
    match told.warnings.is_empty() {
        true => page.line("warnings", paint.with(GREEN, "none")),
        false => page.lines("warnings", told.warnings.iter().map(|warning| paint.with(YELLOW, warning))),
    }
    page
}

fn route(page: &mut Page, told: &KeptRoute) {
    page.line("shared by", format!("{}: {}", told.among, told.proof));
    let said = |seconds: Option<u64>, otherwise: &str| seconds.map_or(otherwise.to_owned(), time);
    let asked = said(told.oldest_if_asked_seconds, "of any age");
    page.line(
        "oldest",
        format!("{}; {asked} for a client that asks for stale ones", said(told.oldest_seconds, "as the origin allows")),
    );
    page.line("downstream", format!("Cache-Control: {}", told.downstream));
    page.lines("besides", told.besides.clone());
    page.line("written", format!("{}:{}, policy {}", told.file, told.line, told.policy));
}

fn or_none(items: &[String], between: &str) -> String {
    if items.is_empty() { "none".to_owned() } else { items.join(between) }
}
