//! `stent explain`: what a request would get, by the configuration or in a running process.

use std::io::Read as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::Method;

use super::http::call;
use super::page::{Page, time};
use super::{ConfigArgs, fail, load};
use crate::ground::terminal::{self, GREEN, MAGENTA, Paint, RED, YELLOW};
use crate::proxy::explain::{ExplainQuestion, Store};
use crate::proxy::explanation::{AnswerTold, Explanation, FoundEntry, LifetimeTold, StoredTold, ToldField, Way};

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    stent explain GET http://clinic.example/api/patients/7/ -H 'Cookie: sessionid=a'\n  \
    stent explain GET https://clinic.example/ -H @headers.txt --json\n  \
    stent explain GET http://localhost:8080/api/patients/7/ -H @- --admin 127.0.0.1:9090\n  \
    stent explain GET http://localhost:8080/ --admin 127.0.0.1:9090 --at +10m\n\n\
    Without --admin no network is touched: the answer is about the configuration alone. With it a running process says \
    what it has stored too. The scheme and the host of the URL, with a port that is not the scheme's own, are part of the \
    key. Credentials are used to tell who asks; they are neither printed nor logged, but other users of this machine may \
    see a command's arguments: -H @FILE or -H @- (standard input) hides them.")]
pub(super) struct ExplainArgs {
    /// GET, HEAD, POST …
    method: String,
    /// http://host/path?query, https://…, or a path on localhost
    url: String,
    /// A header, `Name: value`; @FILE reads them from a file, a line each
    #[arg(short = 'H', long = "header", value_name = "HEADER")]
    headers: Vec<String>,
    /// A field of the client's certificate, o=Clinic; see `identity.facets`
    #[arg(long = "cert", value_name = "FIELD=VALUE")]
    certificate: Vec<String>,
    /// As if it came from one of server.trusted_proxies
    #[arg(long)]
    from_trusted_proxy: bool,
    /// Ask the running process whose admin listens here
    #[arg(long, value_name = "HOST:PORT")]
    admin: Option<String>,
    /// A token of that process that may read
    #[arg(long, env = "STENT_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// As it would be at another moment, with what is stored now: 2026-11-21T14:00:00Z, +10m or -5m
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    at: Option<String>,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn explain(args: &ExplainArgs) -> ExitCode {
    let headers = match headers(&args.headers) {
        Ok(headers) => headers,
        Err(message) => return fail(message),
    };
    let field = |one: &String| one.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let Some(certificate) = args.certificate.iter().map(field).collect() else {
        return fail("a field of a certificate is written as o=Clinic");
    };
    let question = ExplainQuestion {
        method: args.method.clone(),
        url: args.url.clone(),
        headers,
        certificate,
        from_trusted_proxy: args.from_trusted_proxy,
        at: args.at.clone(),
    };
    let told = match &args.admin {
        Some(admin) => ask(admin, args.token.as_deref(), &question),
        None => {
            let Some(loaded) = load(&args.config) else { return ExitCode::FAILURE };
            let proxy = crate::app::unserved(loaded.settings).map_err(|error| format!("starting: {error}"));
            proxy.and_then(|proxy| proxy.explain(&question, Store::Absent).map_err(str::to_owned))
        }
    };
    match told {
        Err(message) => fail(message),
        Ok(told) => {
            if args.json {
                terminal::say(serde_json::to_string(&told).unwrap_or_default());
            } else {
                terminal::say(page(&told, Paint::of_standard_output()).text());
            }
            ExitCode::SUCCESS
        }
    }
}

/// Messages do not repeat what was given: it may be a credential.
fn headers(written: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut headers = Vec::new();
    for one in written {
        let text = match one.strip_prefix('@') {
            Some("-") => std::io::read_to_string(std::io::stdin().lock().take(LONGEST)),
            Some(file) => std::fs::File::open(file).and_then(|file| std::io::read_to_string(file.take(LONGEST))),
            None => Ok(one.clone()),
        };
        let text = text.map_err(|error| format!("reading headers: {error}"))?;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (name, value) = line.split_once(':').ok_or("a header is written as `Name: value`")?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }
    Ok(headers)
}

/// More headers than any server takes.
const LONGEST: u64 = 1 << 20;

fn ask(admin: &str, token: Option<&str>, question: &ExplainQuestion) -> Result<Explanation, String> {
    let address = admin.strip_prefix("http://").unwrap_or(admin).trim_end_matches('/');
    let body = serde_json::to_string(question).map_err(|_| "the request cannot be put into words")?;
    let (status, answer) = call(Method::POST, address, "/api/v1/explain", token, body, Duration::from_secs(10))?;
    if !status.is_success() {
        let problem: serde_json::Value = serde_json::from_slice(&answer).unwrap_or_default();
        return Err(format!("not explained: {status} {}", problem["detail"].as_str().unwrap_or("")));
    }
    serde_json::from_slice(&answer).map_err(|_| format!("{address} answered something else than an explanation"))
}

fn page(told: &Explanation, paint: Paint) -> Page {
    let mut page = Page::new(paint);
    page.heading(&told.request);
    page.lines("at", told.at.clone());
    if let Some(route) = &told.route {
        page.line("route", format!("{}  {}  {}:{}", paint.bold(&route.name), route.path, route.file, route.line));
        page.line("policy", format!("{}; share: {}", route.policy, route.share));
    }
    page.lines("decision", decision(told, paint));
    if let Some(partition) = &told.partition {
        page.line("shared by", format!("{}: {}", partition.among, partition.proof));
        let shown = (!partition.shown.is_empty()).then(|| format!("shown here: {}", partition.shown.join(", ")));
        page.lines("", shown);
    }
    page.lines(
        "key",
        told.key.iter().map(|part| format!("{:<15} {}", part.name, part.value.as_deref().unwrap_or("(its value)"))),
    );
    page.lines("left out", told.dropped.iter().map(|one| format!("{} {}: {}", one.kind, one.name, one.why)));
    if let Some(origin) = &told.origin {
        page.line("origin", format!("{}  of {}, {}", origin.request, origin.upstream, origin.when));
        let mut reasons: Vec<&str> = Vec::new();
        origin.headers.iter().for_each(|sent| {
            if !reasons.contains(&sent.why.as_str()) {
                reasons.push(&sent.why);
            }
        });
        page.lines(
            "",
            reasons.into_iter().map(|why| {
                let names = origin.headers.iter().filter(|sent| sent.why == why).map(|sent| sent.name.as_str());
                format!("with {} ({why})", names.collect::<Vec<_>>().join(", "))
            }),
        );
    }
    page.lines("kept", lifetimes(&told.lifetimes));
    page.lines("tags", (!told.tags.is_empty()).then(|| told.tags.join(", ")));
    page.lines("purges", (!told.purges.is_empty()).then(|| purges(told)));
    if let Some(stored) = &told.stored {
        page.lines("stored", self::stored(stored, paint));
    }
    page
}

fn purges(told: &Explanation) -> String {
    let besides = match told.purged_by_reading {
        true => "although it only reads: its route has no policy, so its `purges` hold for every method",
        false => "and its path",
    };
    format!("{}, {besides}", told.purges.join(", "))
}

fn decision(told: &Explanation, paint: Paint) -> Vec<String> {
    let decision = &told.decision;
    let way = match decision.way {
        Way::Lookup => paint.with(GREEN, "looked up"),
        Way::Ask => paint.with(GREEN, "looked up once the origin says yes"),
        Way::Pass => paint.with(YELLOW, "passed"),
        Way::Purge => paint.with(MAGENTA, "purged"),
        Way::Refuse => paint.with(RED, "refused"),
    };
    let reason = decision.reason.iter().map(|reason| format!(" ({reason})"));
    let because = decision.because.iter().map(|because| format!(": {because}"));
    let names = (!decision.names.is_empty()).then(|| format!(": {}", decision.names.join(", ")));
    let first = std::iter::once(way).chain(reason).chain(because).chain(names).collect();
    let status = decision.cache_status.iter().map(|status| paint.faint(&format!("Cache-Status: {status}")));
    std::iter::once(first).chain(status).collect()
}

fn said(told: &ToldField) -> String {
    match told.seconds {
        Some(seconds) => format!("{} ({})", time(seconds), told.from),
        None => "as long as the origin says".to_owned(),
    }
}

/// Each media type, and once what holds for all of them.
fn lifetimes(told: &[LifetimeTold]) -> Vec<String> {
    let mut lines: Vec<String> = told
        .iter()
        .map(|one| {
            let media = one.media_type.iter().map(|media| format!("{media} ")).collect::<String>();
            let seen = one.downstream.as_deref().unwrap_or("as the origin says");
            // Where the origin's own are replaced, it goes without saying.
            let without = match one.downstream {
                None => format!(", and no {}", one.without.join(" or ")),
                Some(_) => String::new(),
            };
            format!("{media}fresh for {}; clients see Cache-Control: {seen}{without}", said(&one.fresh_for))
        })
        .collect();
    lines.extend(told.first().map(|one| {
        let (behind, failed, ceiling) = (&one.stale_while_revalidate, &one.stale_if_error, ceiling(one.ceiling));
        match (behind.seconds, failed.seconds) {
            (None, None) => format!("then stale as long as the origin says; {ceiling}"),
            _ => {
                let (behind, failed) = (said(behind), said(failed));
                format!("then stale: {behind} while it is fetched anew, {failed} if the origin fails; {ceiling}")
            }
        }
    }));
    lines
}

fn ceiling(told: Option<u64>) -> String {
    told.map_or("no ceiling".to_owned(), |seconds| format!("nothing older than {}", time(seconds)))
}

fn stored(told: &StoredTold, paint: Paint) -> Vec<String> {
    let first = match told.found {
        FoundEntry::Nothing => "nothing".to_owned(),
        FoundEntry::Uncacheable => "that answers here cannot be kept".to_owned(),
        FoundEntry::Answer => "an answer".to_owned(),
        FoundEntry::Part => "a part of an answer".to_owned(),
    };
    let varies = (!told.varies_by.is_empty()).then(|| format!("answers differ by {}", told.varies_by.join(", ")));
    let answer = told.answer.iter().flat_map(|answer| self::answer(answer, paint));
    let log = format!("the purge log stands at epoch {}", told.epoch);
    std::iter::once(first).chain(varies).chain(answer).chain([log]).collect()
}

fn answer(told: &AnswerTold, paint: Paint) -> Vec<String> {
    let tint = if told.usable == "fresh" { GREEN } else { YELLOW };
    let left = match told.ttl {
        left @ 0.. => format!("fresh for {} more", time(left.unsigned_abs())),
        over => format!("stale since {}", time(over.unsigned_abs())),
    };
    let stands_in = if told.stands_in { "stands in" } else { "does not stand in" };
    let later = told.stored_later.map(|later| format!(", it came {} after that moment", time(later)));
    let named = if told.named.is_empty() { String::new() } else { format!(", among them {}", told.named.join(", ")) };
    vec![
        format!("for this request: {}{}", paint.with(tint, &told.usable), later.unwrap_or_default()),
        format!("status {}, {} bytes, {} old, {left}", told.status, told.bytes, time(told.age)),
        format!(
            "stale windows {} and {}, {stands_in} if the origin fails; {}",
            time(told.stale_while_revalidate),
            time(told.stale_if_error),
            ceiling(told.ceiling)
        ),
        format!("fetched at epoch {}, confirmed at {}", told.fetched_at, told.confirmed_at),
        format!("{} tags{named}", told.tags),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_is_none_is_not_repeated() {
        let wrong = headers(&["hunter2".to_owned()]).expect_err("there is no colon");
        assert!(!wrong.contains("hunter2"), "{wrong}");
        let read = headers(&["Accept: a:b ".to_owned()]);
        assert_eq!(read, Ok(vec![("Accept".to_owned(), "a:b".to_owned())]));
    }
}
