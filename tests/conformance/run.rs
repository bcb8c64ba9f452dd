//! Runs one case against one cache and tells what came of it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::case::{Case, Exchange, Full};
use crate::judge::{Came, Judging, judge};
use crate::origin::{Asked, Origin, Scripted};
use crate::text::fill;
use crate::wire::{Answer, Got, Wire};

/// The longest that something which is under way behind may take.
const PATIENCE: Duration = Duration::from_secs(4);

/// Whom a case is run against.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    pub address: SocketAddr,
    /// Where purges are sent, which is at Stent alone.
    pub admin: Option<SocketAddr>,
}

impl Subject {
    /// It is Stent: every answer says what the cache had to do with it, and every reused one its age. Of others nothing is expected
    /// but what the case says.
    fn is_stent(self) -> bool {
        self.admin.is_some()
    }
}

/// An answer of the origin that a later exchange may get.
#[derive(Debug, Clone)]
pub struct Source {
    /// The number of its exchange.
    pub number: usize,
    pub status: u16,
    pub body: String,
}

/// `Err` with a transcript, and what is wrong at its end.
pub async fn run(case: &Case, subject: Subject, origin: &Origin) -> Result<(), String> {
    let mut sources: Vec<Source> = Vec::new();
    let mut transcript = format!("{} ({}, {:?}): {}\n", case.id, case.section, case.level, case.shows);
    for (index, exchange) in case.run.iter().enumerate() {
        let number = index + 1;
        if let Some(call) = &exchange.purge {
            purge(call, case, subject).await.map_err(|wrong| format!("{transcript}  {number}. {wrong}"))?;
            transcript.push_str(&format!("  {number}. purged {call}\n"));
            continue;
        }
        let until = Instant::now() + PATIENCE;
        loop {
            let came = one(case, exchange, number, subject, origin).await;
            let judging = Judging { case, exchange, number, sources: &sources, is_stent: subject.is_stent() };
            let wrong = judge(&judging, &came);
            if exchange.until && !wrong.is_empty() && Instant::now() < until {
                tokio::task::yield_now().await;
                continue;
            }
            transcript.push_str(&told(case, exchange, number, &came));
            if !wrong.is_empty() {
                return Err(format!("{transcript}  ! {}", wrong.join("\n  ! ")));
            }
            note_sources(case, exchange, number, &came, &mut sources);
            break;
        }
    }
    Ok(())
}

/// The body of an exchange's answer, if it has none of its own.
fn body_of(case: &Case, number: usize, answer: &Full, order: &str) -> String {
    answer.body.clone().unwrap_or_else(|| format!("{} #{number}{order}\n", case.id))
}

fn scripted(case: &Case, exchange: &Exchange, number: usize) -> Vec<Scripted> {
    let orders = [(&exchange.answer, ""), (&exchange.may, ""), (&exchange.then, " then"), (&exchange.behind, "")];
    let present = orders.into_iter().filter_map(|(answer, order)| Some((answer.as_ref()?.full(), order)));
    present
        .map(|(answer, order)| {
            let body = body_of(case, number, &answer, order);
            Scripted { answer, body }
        })
        .collect()
}

/// What the origin gave that may be got again.
fn note_sources(case: &Case, exchange: &Exchange, number: usize, came: &Came, sources: &mut Vec<Source>) {
    for (scripted, asked) in scripted(case, exchange, number).iter().zip(&came.asked) {
        let has_body = scripted.answer.status() != 304 && !scripted.answer.breaks() && asked.method != "HEAD";
        if has_body {
            sources.push(Source { number, status: scripted.answer.status(), body: scripted.body.clone() });
        }
    }
}

async fn one(case: &Case, exchange: &Exchange, number: usize, subject: Subject, origin: &Origin) -> Came {
    origin.script(&case.id, scripted(case, exchange, number));
    let Ok(mut wire) = Wire::attempt(subject.address).await else {
        return Came { got: Got::End, interim: Vec::new(), asked: Vec::new() };
    };
    wire.send(request(case, exchange).as_bytes()).await;
    let got = if exchange.method() == "HEAD" { wire.answer_to_head().await } else { wire.answer().await };
    if exchange.behind.is_some() {
        origin.is_asked(&case.id, 1, PATIENCE).await;
    }
    Came { got, interim: wire.interim, asked: origin.asked(&case.id) }
}

fn request(case: &Case, exchange: &Exchange) -> String {
    let path = path(case);
    let target = format!("{path}{}", exchange.suffix());
    let mut text = format!("{} {target} HTTP/1.1\r\n", exchange.method());
    if !exchange.fields.iter().any(|line| line.to_ascii_lowercase().starts_with("host:")) {
        text.push_str("Host: clinic.example\r\n");
    }
    exchange.fields.iter().for_each(|line| text.push_str(&format!("{}\r\n", fill(line, &path))));
    if let Some(body) = &exchange.send {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    text + exchange.send.as_deref().unwrap_or("")
}

/// Each case has a path of its own, so that all can run beside each other.
pub fn path(case: &Case) -> String {
    format!("/{}/r", case.id)
}

async fn purge(call: &str, case: &Case, subject: Subject) -> Result<(), String> {
    let admin = subject.admin.ok_or("there is nothing to purge by")?;
    let body = call.replace("{path}", &path(case));
    let mut wire = Wire::connect(admin).await;
    let head = format!("POST /api/v1/purge HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    wire.send((head + &body).as_bytes()).await;
    match wire.answer().await {
        Got::Answer(answer) if answer.status == 200 => Ok(()),
        got => Err(format!("the purge {body} was answered {got:?}")),
    }
}

/// One exchange of the transcript.
fn told(case: &Case, exchange: &Exchange, number: usize, came: &Came) -> String {
    let indented = |text: &str| text.lines().map(|line| format!("       {line}\n")).collect::<String>();
    let mut text = format!("  {number}. the client asks\n{}", indented(&request(case, exchange)));
    let scripted = scripted(case, exchange, number);
    for (index, Asked { method, target, fields, .. }) in came.asked.iter().enumerate() {
        text.push_str(&format!("     the origin is asked\n{}", indented(&format!("{method} {target}"))));
        text.push_str(&indented(&fields.join("\n")));
        if let Some(Scripted { answer, .. }) = scripted.get(index) {
            text.push_str(&format!("     and answers {} {:?} {:?}\n", answer.status(), answer.fields, answer.ending));
        }
    }
    for Answer { status, fields, .. } in &came.interim {
        text.push_str(&format!("     the client is told {status} {fields:?}\n"));
    }
    match &came.got {
        Got::Answer(answer) => {
            text.push_str(&format!("     the client gets {}\n{}", answer.status, indented(&answer.fields.join("\n"))));
            text.push_str(&indented(&answer.text().chars().take(400).collect::<String>()));
        }
        other => text.push_str(&format!("     the client gets {other:?}\n")),
    }
    text
}
