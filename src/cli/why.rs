//! `stent why`: what happened to one request, in words, from the access log alone, or from its `Cache-Status` alone.

mod status;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::{ConfigArgs, fail, page};
use crate::ground::terminal;
use crate::policy::outcome::meaning::{About, Meaning, meaning};
use crate::telemetry::settings::AccessLines;

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    stent why 3f2a9c40d1b75e68                          the access log is where the configuration says\n  \
    stent why 3f2a9c40d1b75e68 --log access.log         and access.log.1, if it was rotated\n  \
    journalctl -u stent -o cat | stent why 3f2a9c40d1b75e68 --log -\n  \
    stent why 'Cache-Status: stent; fwd=stale; fwd-status=200; stored'     no log is read\n\n\
    The id is in the answer's X-Request-Id, and on error pages. Nothing but the log is read: no token is needed.\n\
    Exits with 0 if the request was found, or if the line can be told.")]
pub(super) struct WhyArgs {
    /// The request's id, or its answer's `Cache-Status`
    #[arg(value_name = "ID|CACHE-STATUS")]
    id: String,
    /// The access log; `-` reads standard input; by default as the configuration says
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// As JSON, for programs
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    config: ConfigArgs,
}

pub(super) fn why(args: &WhyArgs) -> ExitCode {
    match status::explain(&args.id) {
        Some(Err(message)) => return fail(message),
        Some(Ok(told)) => {
            let object = |told: &Explanation| json!({"member": told.headline, "what": told.what, "why": told.why, "advice": told.advice, "parameters": told.time});
            say(args, &told, told.iter().map(object).collect());
            return ExitCode::SUCCESS;
        }
        None => {}
    }
    let found = match &args.log {
        Some(log) if log.as_os_str() == "-" => {
            find(io::stdin().lock(), &args.id).map_err(|error| format!("reading standard input: {error}"))
        }
        Some(log) => look_in(log, &args.id),
        None => configured(&args.config.config).and_then(|log| look_in(&log, &args.id)),
    };
    let lines = match found {
        Ok(lines) if lines.is_empty() => {
            return fail(format_args!(
                "no request {} in the log; is it the log of that day, and does its route say `log: false`?",
                args.id
            ));
        }
        Ok(lines) => lines,
        Err(message) => return fail(message),
    };
    let told: Vec<Explanation> = lines.iter().map(explain).collect();
    let object = |(line, told): (&Value, &Explanation)| json!({"line": line, "what": told.what, "why": told.why, "advice": told.advice, "time": told.time});
    say(args, &told, lines.iter().zip(&told).map(object).collect());
    ExitCode::SUCCESS
}

fn say(args: &WhyArgs, told: &[Explanation], objects: Vec<Value>) {
    // Whatever else writes to the stream: no terminal is to obey it.
    let printable = |text: String| text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}");
    if args.json {
        terminal::say(Value::Array(objects));
    } else {
        told.iter().for_each(|told| terminal::say(printable(told.text())));
    }
}

/// The log that the configuration names.
fn configured(config: &Path) -> Result<PathBuf, String> {
    let shown = config.display();
    let loaded = crate::config::load(config, &|name| std::env::var(name).ok())
        .map_err(|_| format!("{shown} cannot be read; say --log FILE, or see stent check"))?;
    match loaded.settings.log.access {
        AccessLines::File(file) => Ok(file),
        AccessLines::Off => Err(format!(
            "{shown} keeps no access log, so nobody knows; write log: {{access: {{file: access.log}}}}, or say --log FILE"
        )),
        AccessLines::Stdout | AccessLines::Stderr => Err(format!(
            "{shown} writes the access log to a stream; say --log FILE with what was saved of it, or pipe it into --log -"
        )),
    }
}

/// The lines about a request in a file, and in the one before it if that is where they are.
fn look_in(log: &Path, id: &str) -> Result<Vec<Value>, String> {
    let mut before = log.as_os_str().to_owned();
    before.push(".1");
    let read = |path: &Path| {
        let file = File::open(path)?;
        find(BufReader::new(file), id)
    };
    let found = read(log);
    if found.as_ref().is_ok_and(|found| !found.is_empty()) {
        return Ok(found.unwrap_or_default());
    }
    match read(Path::new(&before)) {
        Ok(found) => Ok(found),
        Err(_) => found.map_err(|error| format!("reading {}: {error}", log.display())),
    }
}

fn find(mut log: impl BufRead, id: &str) -> io::Result<Vec<Value>> {
    let (mut found, mut line) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        if log.read_until(b'\n', &mut line)? == 0 {
            return Ok(found);
        }
        let text = String::from_utf8_lossy(&line);
        if !text.contains(id) {
            continue;
        }
        // Others may write to the same stream.
        let value: Value = serde_json::from_str(text.trim()).unwrap_or_default();
        if value["id"] == id && value["outcome"].is_string() {
            found.push(value);
        }
    }
}

/// A line in words.
struct Explanation {
    headline: String,
    what: String,
    why: Vec<String>,
    advice: Vec<&'static str>,
    time: Vec<String>,
}

impl Explanation {
    fn text(&self) -> String {
        let mut text = format!("{}\n\n  {}\n", self.headline, self.what);
        self.why.iter().for_each(|why| text.push_str(&format!("  {why}\n")));
        self.advice.iter().for_each(|advice| text.push_str(&format!("  to change that: {advice}\n")));
        text.push('\n');
        self.time.iter().for_each(|time| text.push_str(&format!("  {time}\n")));
        text
    }
}

fn explain(line: &Value) -> Explanation {
    let word = |name: &str| line[name].as_str().unwrap_or("");
    let (outcome, reason) = (word("outcome"), word("reason"));
    let mut told = Explanation {
        headline: headline(line),
        what: what(outcome, reason, line).to_owned(),
        why: Vec::new(),
        advice: Vec::new(),
        time: time(line),
    };
    let about = match outcome {
        "pass" => Some(About::Passed),
        "failed" => Some(About::Failed),
        "refused" => Some(About::Refused),
        "stale" if reason != "stale-while-revalidate" => Some(About::Failed),
        "miss" | "collapsed" | "revalidated" => Some(About::NotUsed),
        _ => None,
    };
    if let Some(about) = about {
        told.add("reason", reason, meaning(about, reason));
    }
    if let Some(seconds) = line["clock_s"].as_u64() {
        told.why.push(format!("by its `Date`, the origin's clock is {} behind", page::time(seconds)));
    }
    let not_stored = word("not_stored");
    told.add("not kept", not_stored, meaning(About::NotKept, not_stored));
    told
}

impl Explanation {
    fn add(&mut self, what: &str, reason: &str, meaning: Option<Meaning>) {
        match (reason, meaning) {
            ("" | "vary-miss", _) | ("partial", None) => {}
            (_, None) => {
                self.why.push(format!("{what} `{reason}`: not known to this version; see docs/reference/reasons.md"))
            }
            (_, Some(Meaning { when, advice, .. })) => {
                self.why.push(format!("{what} `{reason}`: {when}"));
                self.advice.extend(Some(advice).filter(|advice| !advice.is_empty()));
            }
        }
    }
}

fn headline(line: &Value) -> String {
    let word = |name: &str| line[name].as_str().unwrap_or("");
    let mut text = format!("request {} at {}", word("id"), word("time"));
    if line["route"].is_string() {
        text.push_str(&format!(": {} {} (route {})", word("method"), word("path"), word("route")));
    }
    if line["status"].is_number() {
        text.push_str(&format!(", answered {} with {} bytes", line["status"], line["bytes"]));
    }
    match word("cut") {
        "client" if line["status"].is_null() => text.push_str(", never answered"),
        "client" => text.push_str(", of which the client did not take all"),
        "origin" => text.push_str(", and then the origin broke off"),
        _ => {}
    }
    text
}

fn what(outcome: &str, reason: &str, line: &Value) -> &'static str {
    match (outcome, reason) {
        ("hit", _) => "hit: the store had a fresh answer, and the origin was not asked",
        ("stale", "stale-while-revalidate") => {
            "stale: the stored answer was just over its lifetime; it was served, and fetched anew behind"
        }
        ("stale", _) => "stale: the origin failed, and the policy's `stale_if_error` let the stored answer stand in",
        ("miss", "vary-miss") => "miss: what is stored was made for other request headers, so the origin was asked",
        ("miss", "partial") => "miss: only a part of it is stored, so the origin was asked for the rest",
        ("miss", "") => "miss: nothing was stored, so the origin was asked",
        ("miss", _) => "miss: what is stored could not be used as it is, so the origin was asked",
        ("collapsed", _) => "collapsed: another request was fetching the same, and its answer was shared",
        ("revalidated", _) => "revalidated: the origin was asked, and said that the stored answer still holds",
        ("pass", _) => "pass: it went to the origin as it came; nothing was looked up and nothing is kept",
        ("refused", _) if line["route"].is_string() => "refused: its route does not let it pass",
        ("refused", _) => "refused: before any route could take it",
        ("purged", _) => "purged: it was a PURGE, and it was carried out",
        ("abandoned", _) => "abandoned: the client's connection broke before there was an answer",
        ("failed", _) => "failed: the origin gave no answer, and nothing stored could stand in",
        _ => "what became of it is not known to this version",
    }
}

/// Where the time went, in the order in which it passed.
fn time(line: &Value) -> Vec<String> {
    let millis = |name: &str| line[name].as_f64();
    let show = |time: f64, what: &str| format!("{time:>12.3} ms {what}");
    let mut lines = Vec::new();
    let Some(total) = millis("total_ms") else { return lines };
    let head = millis("head_ms").unwrap_or(total);
    let (wait, origin) = (millis("wait_ms"), millis("origin_ms"));
    if let Some(wait) = wait {
        let what = match line["outcome"].as_str() {
            Some("collapsed") => "waiting for the fetch of another request",
            _ => "waiting for a connection, another fetch or an earlier attempt",
        };
        lines.push(show(wait, what));
    }
    lines.extend(origin.map(|origin| show(origin, "until the origin's head came")));
    lines.push(show((head - wait.unwrap_or(0.0) - origin.unwrap_or(0.0)).max(0.0), "in the proxy itself"));
    if total > head {
        let stalled = millis("stalled_ms").unwrap_or(0.0);
        if stalled > 0.0 {
            lines.push(show(stalled, "of the body, waiting for the origin to send more"));
        }
        lines.push(show((total - head - stalled).max(0.0), "of the body, sending it to the client"));
    }
    lines.push(show(total, "in all"));
    lines
}
