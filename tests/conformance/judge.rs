//! Whether what came is what the case wants; all that is wrong is told at once.

use crate::case::{Case, Exchange, Full};
use crate::origin::Asked;
use crate::run::Source;
use crate::wire::{Answer, Got};

/// What came of an exchange.
pub struct Came {
    pub got: Got,
    pub interim: Vec<Answer>,
    /// In order; the first is looked at.
    pub asked: Vec<Asked>,
}

/// What it is judged by.
pub struct Judging<'a> {
    pub case: &'a Case,
    pub exchange: &'a Exchange,
    pub number: usize,
    /// What the origin gave in the exchanges before.
    pub sources: &'a [Source],
    pub is_stent: bool,
}

pub fn judge(judging: &Judging<'_>, came: &Came) -> Vec<String> {
    let mut wrong = Vec::new();
    judging.asked(came, &mut wrong);
    match &came.got {
        Got::Answer(answer) => judging.answer(answer, came, &mut wrong),
        other => wrong.push(format!("no answer came, but {other:?}")),
    }
    wrong
}

impl Judging<'_> {
    /// The origin was asked as often as is due, and saw what it is to see.
    fn asked(&self, came: &Came, wrong: &mut Vec<String>) {
        let Exchange { answer, then, may, behind, seen, .. } = self.exchange;
        let due = [answer, then, behind].into_iter().flatten().count();
        let breaks = [answer, may, behind].into_iter().flatten().any(|answer| answer.full().breaks());
        let most = if breaks { usize::MAX } else { due + usize::from(may.is_some()) };
        let times = came.asked.len();
        if times < due {
            wrong.push(format!("the origin was asked {times} times and not {due}: what was stored was used"));
        } else if times > most {
            wrong.push(format!("the origin was asked {times} times and not {most}"));
        }
        let Some(first) = came.asked.first() else { return };
        if let Some(method) = seen.method.as_ref().filter(|method| **method != first.method) {
            wrong.push(format!("the origin saw {} and not {method}", first.method));
        }
        if let Some(body) = self.exchange.send.as_ref().filter(|body| body.as_bytes() != first.body) {
            wrong.push(format!("the origin got the body {:?} and not {body:?}", String::from_utf8_lossy(&first.body)));
        }
        fields(&first.fields, &seen.has, &seen.lacks, &seen.like, "the origin saw", wrong);
    }

    fn answer(&self, answer: &Answer, came: &Came, wrong: &mut Vec<String>) {
        let want = &self.exchange.want;
        let source = self.source(came);
        let statuses = match (&want.status, &source) {
            (Some(statuses), _) => statuses.all().to_vec(),
            (None, Some(source)) => vec![source.status],
            // The origin broke off before there was an answer.
            (None, None) => vec![502, 504],
        };
        if !statuses.contains(&answer.status) {
            wrong.push(format!("the status is {} and not {statuses:?}", answer.status));
        }
        if answer.is_cut != want.cut {
            wrong.push(format!("the body {}", if want.cut { "does not break off" } else { "breaks off" }));
        }
        self.body(answer, source.as_ref(), wrong);
        fields(&answer.fields, &want.has, &want.lacks, &want.like, "the client got", wrong);
        if let Some([from, to]) = want.age {
            match age(answer) {
                Some(age) if (from..=to).contains(&age) => {}
                _ => wrong.push(format!("Age is {:?} and not from {from} to {to}", values(&answer.fields, "age"))),
            }
        }
        if let Some(interim) = &want.interim {
            let told: Vec<String> = came.interim.iter().map(interim_line).collect();
            if told != *interim {
                wrong.push(format!("the interim answers are {told:?} and not {interim:?}"));
            }
        }
        if self.is_stent {
            self.promised(answer, came, wrong);
        }
    }

    /// Whose answer it is to be: the one named, the one of this exchange, or the last one before.
    fn source(&self, came: &Came) -> Option<Source> {
        let Exchange { answer, then, may, want, .. } = self.exchange;
        if let Some(from) = want.from.filter(|from| *from != self.number) {
            return self.sources.iter().rev().find(|source| source.number == from).cloned();
        }
        let own = match (then, answer, may) {
            (Some(then), ..) => Some((then.full(), " then")),
            (None, Some(answer), _) => Some((answer.full(), "")),
            (None, None, Some(may)) if !came.asked.is_empty() => Some((may.full(), "")),
            _ => None,
        };
        match own {
            Some((answer, _)) if answer.breaks() && answer.ending == crate::case::Ending::Nothing => None,
            Some((answer, order)) if answer.status() != 304 => Some(self.given(&answer, order)),
            _ => self.sources.last().cloned(),
        }
    }

    fn given(&self, answer: &Full, order: &str) -> Source {
        let Judging { case, number, .. } = self;
        let body = answer.body.clone().unwrap_or_else(|| format!("{} #{number}{order}\n", case.id));
        Source { number: *number, status: answer.status(), body }
    }

    fn body(&self, answer: &Answer, source: Option<&Source>, wrong: &mut Vec<String>) {
        let want = &self.exchange.want;
        if self.exchange.method() == "HEAD" || matches!(answer.status, 204 | 304) || want.cut {
            return;
        }
        let got = answer.text().replace("\r\n", "\n");
        let lower = got.to_ascii_lowercase();
        if !want.holds.is_empty() {
            let missing: Vec<&String> = want.holds.iter().filter(|part| !lower.contains(part.as_str())).collect();
            if !missing.is_empty() {
                wrong.push(format!("the body is {got:?} without {missing:?}"));
            }
            return;
        }
        let due = match (&want.body, source) {
            (Some(body), _) => body,
            (None, Some(source)) if source.status == answer.status || want.from.is_some() => &source.body,
            _ => return,
        };
        if got != due.replace("\r\n", "\n") {
            wrong.push(format!("the body is {got:?} and not {due:?}"));
        }
    }

    /// What every answer of Stent says.
    fn promised(&self, answer: &Answer, came: &Came, wrong: &mut Vec<String>) {
        let member = cache_status(answer);
        let names: Vec<&str> = member.iter().map(|part| part.split('=').next().unwrap_or("")).collect();
        if names.first() != Some(&"stent") {
            wrong.push(format!("Cache-Status does not end with our member: {member:?}"));
        }
        if names.contains(&"hit") && names.contains(&"fwd") {
            wrong.push(format!("Cache-Status says both hit and fwd: {member:?}"));
        }
        for due in &self.exchange.want.cache {
            let (absent, due) = due.strip_prefix('!').map_or((false, due.as_str()), |due| (true, due));
            let is_there = member.iter().any(|part| part == due) || (!due.contains('=') && names.contains(&due));
            if is_there == absent {
                wrong.push(format!(
                    "Cache-Status is {member:?}, and {due} is {}",
                    if absent { "there" } else { "missing" }
                ));
            }
        }
        // RFC 9111 §4: what is used without validation says its age; a 416 is an answer of our own about it.
        if came.asked.is_empty() && names.contains(&"hit") && answer.status != 416 && age(answer).is_none() {
            wrong.push(format!("a stored answer has the Age {:?}", values(&answer.fields, "age")));
        }
    }
}

/// The age, if there is one and no second.
fn age(answer: &Answer) -> Option<u64> {
    match values(&answer.fields, "age")[..] {
        [age] => age.parse().ok(),
        _ => None,
    }
}

/// The parts of the last member, which is the cache's nearest to the client.
fn cache_status(answer: &Answer) -> Vec<String> {
    let lines = values(&answer.fields, "cache-status");
    let last = lines.last().and_then(|line| line.rsplit(", ").next()).unwrap_or("");
    last.split(';').map(|part| part.trim().to_owned()).collect()
}

/// Its status and its fields, less the `Via` that every message gets on its way (RFC 9110 §7.6.3).
fn interim_line(interim: &Answer) -> String {
    let all = interim.fields.iter().map(String::as_str);
    let fields: Vec<&str> = all.filter(|line| !line.starts_with("via:")).collect();
    [interim.status.to_string().as_str()].into_iter().chain(fields).collect::<Vec<_>>().join(" ")
}

/// The values of all lines of a name, which is in lower case.
fn values<'a>(fields: &'a [String], name: &str) -> Vec<&'a str> {
    let value = |line: &'a String| {
        let (given, value) = line.split_once(':')?;
        (given == name).then_some(value.trim())
    };
    fields.iter().filter_map(value).collect()
}

fn fields(lines: &[String], has: &[String], lacks: &[String], like: &[String], who: &str, wrong: &mut Vec<String>) {
    for due in has {
        let (name, value) =
            due.split_once(':').map_or((due.as_str(), None), |(name, value)| (name, Some(value.trim())));
        let found = values(lines, &name.to_ascii_lowercase());
        let is_there = match value {
            Some(value) => found.contains(&value),
            None => !found.is_empty(),
        };
        if !is_there {
            wrong.push(format!("{who} {name} {found:?} and not {due:?}"));
        }
    }
    for name in lacks {
        let found = values(lines, &name.to_ascii_lowercase());
        if !found.is_empty() {
            wrong.push(format!("{who} {name} {found:?}, which is not to be there"));
        }
    }
    for due in like {
        let (name, part) = due.split_once(':').expect("a name and a part");
        let found = values(lines, &name.to_ascii_lowercase());
        if !found.iter().any(|value| value.contains(part.trim())) {
            wrong.push(format!("{who} {name} {found:?} without {:?}", part.trim()));
        }
    }
}
