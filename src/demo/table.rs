//! What the walk looks like: aligned columns, and colours where a person is looking.

use std::io::Write;
use std::time::Duration;

use super::script::{CHAPTERS, Step};
use super::verdict::DemoVerdict;
use crate::demo::step::{Addresses, StepAnswer};
use crate::ground::terminal::{BLUE, GREEN, MAGENTA, Paint, RED, YELLOW};

/// Prints a line. Whoever closed the output (`| head`) has seen enough, which is no error.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Says what runs where.
pub(super) fn opening(paint: Paint, addresses: &Addresses) {
    let line = |name: &str, address: String, what: &str| {
        say(&format!("  {name:<8}{}  {}", paint.bold(&format!("{address:<24}")), paint.faint(what)));
    };
    say("");
    line("clinic", format!("http://{}", addresses.origin), "a sample application; every page takes its time");
    line("stent", format!("http://{}", addresses.stent), "the same clinic, with Stent in front");
    line("admin", format!("http://{}", addresses.admin), "health, metrics, purges");
}

/// Something said beside the table.
pub(super) fn remark(paint: Paint, text: &str) {
    say(&format!("  {}", paint.faint(text)));
}

/// The columns and where they end.
pub(super) struct DemoTable {
    paint: Paint,
    what: usize,
    request: usize,
}

impl DemoTable {
    /// As wide as the script needs.
    pub(super) fn new(paint: Paint) -> DemoTable {
        let steps = || CHAPTERS.iter().flat_map(|chapter| chapter.steps);
        let what = steps().map(|step| step.what.chars().count()).max().unwrap_or(0);
        let request = steps().map(|step| shown(step).chars().count()).max().unwrap_or(0);
        DemoTable { paint, what, request }
    }

    /// The names of the columns.
    pub(super) fn head(&self) {
        let DemoTable { what, request, .. } = *self;
        let line = format!("{:what$}  {:request$}  {:<6}  {:>9}  {:>9}", "", "request", "answer", "stent", "clinic");
        say(&format!("\n    {}", self.paint.faint(line.trim_end())));
    }

    pub(super) fn chapter(&self, title: &str) {
        say(&format!("\n  {}", self.paint.bold(title)));
    }

    pub(super) fn row(&self, step: &Step, came: &StepAnswer) {
        let DemoTable { what, request, paint } = *self;
        let verdict = paint.with(colour(came.verdict), &format!("{:<6}", came.verdict));
        let through = format!("{:>9}", time(came.through));
        let through = if came.verdict == DemoVerdict::Hit { paint.with(GREEN, &through) } else { through };
        let alone = paint.faint(&format!("{:>9}", came.alone.map_or("–".to_owned(), time)));
        let asked = paint.faint(&format!("{:request$}", shown(step)));
        say(&format!("    {:what$}  {asked}  {verdict}  {through}  {alone}", step.what));
        if let Some(note) = &came.note {
            say(&format!("    {:what$}  {}", "", paint.faint(note)));
        }
        if let Some(trouble) = &came.trouble {
            self.trouble(trouble);
        }
    }

    /// A step that came out otherwise than it should.
    pub(super) fn trouble(&self, text: &str) {
        say(&format!("    {}", self.paint.with(RED, &format!("not as it should be: {text}"))));
    }

    /// What it all came to.
    pub(super) fn end(&self, steps: usize, failed: usize, took: Duration) {
        let took = format!("{:.1} s", took.as_secs_f64());
        match failed {
            0 => say(&format!(
                "\n  {} {steps} steps in {took}, each of them as it should be",
                self.paint.with(GREEN, "✓")
            )),
            _ => {
                say(&format!("\n  {} {failed} of {steps} steps were not as they should be", self.paint.with(RED, "✗")))
            }
        }
    }
}

fn shown(step: &Step) -> String {
    let (method, path) = step.act.request();
    format!("{method} {path}")
}

fn colour(verdict: DemoVerdict) -> &'static str {
    match verdict {
        DemoVerdict::Hit => GREEN,
        DemoVerdict::Miss | DemoVerdict::Stale => YELLOW,
        DemoVerdict::Pass => BLUE,
        DemoVerdict::Purged => MAGENTA,
        DemoVerdict::Unknown => RED,
    }
}

/// Three digits or so, which is as many as mean something.
fn time(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..1000 => format!("{micros} µs"),
        micros @ 1000..10_000 => format!("{:.1} ms", micros as f64 / 1000.0),
        micros => format!("{} ms", (micros + 500) / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let check = |micros: u64, want: &str| assert_eq!(time(Duration::from_micros(micros)), want);
        check(7, "7 µs");
        check(999, "999 µs");
        check(1500, "1.5 ms");
        check(70_600, "71 ms");
        check(401_200, "401 ms");
    }
}
