//! The walk: each step of the script is made as a request through real sockets, and shown with what came of it.
//!
//! The clinic's own time is that of the same request made to the clinic directly. It is made after the step, so that it
//! cannot be the reason for what the step shows.

use std::net::SocketAddr;

use http::{Method, StatusCode, header};
use tokio::task::JoinSet;

use super::client::{DemoClient, DemoReply, DemoRequest};
use super::origin::Origin;
use super::script::{Act, CHAPTERS, DemoCaller, SLOW, Step};
use super::table::DemoTable;
use super::verdict::{DemoVerdict, DemoWait};
use crate::demo::step::{Addresses, StepAnswer};
use crate::ground::clock::monotonic;
use crate::ground::terminal::Paint;

/// How the whole walk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WalkEnd {
    /// Every step came out as the script says.
    AsItShould,
    /// Some did not, which was said.
    Otherwise,
    /// Somebody had seen enough.
    Stopped,
}

/// Walks through the script. `Err` only when there was nobody to talk to at all.
pub(super) async fn walk(addresses: &Addresses, origin: &Origin, paint: Paint) -> Result<WalkEnd, String> {
    let began = monotonic();
    let mut walker = Walker {
        stent: DemoClient::connect(addresses.stent).await?,
        clinic: DemoClient::connect(addresses.origin).await?,
        admin: DemoClient::connect(addresses.admin).await?,
        address: addresses.stent,
        origin,
        session: String::new(),
    };
    walker.session = walker.sign_in().await?;
    let table = DemoTable::new(paint);
    table.head();
    let (mut steps, mut failed) = (0, 0);
    for chapter in &CHAPTERS {
        table.chapter(chapter.title);
        for step in chapter.steps {
            steps += 1;
            match walker.take(step).await {
                Ok(came) => {
                    failed += usize::from(came.trouble.is_some());
                    table.row(step, &came);
                }
                Err(message) => {
                    failed += 1;
                    table.trouble(&format!("{}: {message}", step.what));
                }
            }
        }
    }
    table.end(steps, failed, began.elapsed());
    Ok(if failed == 0 { WalkEnd::AsItShould } else { WalkEnd::Otherwise })
}

struct Walker<'a> {
    stent: DemoClient,
    clinic: DemoClient,
    admin: DemoClient,
    address: SocketAddr,
    origin: &'a Origin,
    /// The cookie of Ada's browser.
    session: String,
}

impl Walker<'_> {
    /// Signs Ada in through Stent, as a form would, and answers the cookie that she is given.
    async fn sign_in(&mut self) -> Result<String, String> {
        let form = (header::CONTENT_TYPE, "application/x-www-form-urlencoded".to_owned());
        let ask =
            DemoRequest { method: Method::POST, path: "/login", headers: vec![form], body: "user=ada".to_owned() };
        let reply = self.stent.ask(&ask).await?;
        let cookie = reply.header("set-cookie").split(';').next().unwrap_or("");
        if !cookie.starts_with("sessionid=") {
            return Err(format!("signing in gave no session: {} {}", reply.status, reply.header("cache-status")));
        }
        Ok(cookie.to_owned())
    }

    async fn take(&mut self, step: &Step) -> Result<StepAnswer, String> {
        let mut came = match &step.act {
            Act::Get { who, path, holds } => self.get(*who, path, holds).await?,
            Act::Put { who, path, sends } => self.put(*who, path, sends).await?,
            Act::Purge { tag } => self.purge(tag).await?,
            Act::Crowd { visitors } => self.crowd(*visitors).await?,
        };
        if came.trouble.is_none() && came.verdict != step.expect {
            came.trouble = Some(format!("{} was to be expected, not {}", step.expect, came.verdict));
        }
        Ok(came)
    }

    async fn get(&mut self, who: DemoCaller, path: &'static str, holds: &str) -> Result<StepAnswer, String> {
        let ask = DemoRequest { method: Method::GET, path, headers: who.headers(&self.session), body: String::new() };
        let reply = self.stent.ask(&ask).await?;
        let alone = self.clinic.ask(&ask).await?.took;
        let verdict = DemoVerdict::of(reply.header("cache-status"));
        let trouble = unlike(&reply, holds).or_else(|| unread(&reply, verdict));
        Ok(StepAnswer { verdict, through: reply.took, alone: Some(alone), note: None, trouble })
    }

    /// That a write purged is not in its answer, but the purge log has moved on by then.
    async fn put(&mut self, who: DemoCaller, path: &'static str, sends: &str) -> Result<StepAnswer, String> {
        let mut headers = who.headers(&self.session);
        headers.push((header::CONTENT_TYPE, "application/json".to_owned()));
        let ask = DemoRequest { method: Method::PUT, path, headers, body: sends.to_owned() };
        let before = self.epoch().await?;
        let reply = self.stent.ask(&ask).await?;
        let after = self.epoch().await?;
        // Writing the same once more changes nothing.
        let alone = self.clinic.ask(&ask).await?.took;
        let passed = DemoVerdict::of(reply.header("cache-status"));
        let verdict = if passed == DemoVerdict::Pass && after > before { DemoVerdict::Purged } else { passed };
        let trouble = unlike(&reply, "").or_else(|| unread(&reply, verdict));
        Ok(StepAnswer { verdict, through: reply.took, alone: Some(alone), note: None, trouble })
    }

    async fn purge(&mut self, tag: &str) -> Result<StepAnswer, String> {
        let body = serde_json::json!({ "tags": [tag] }).to_string();
        let ask = DemoRequest { method: Method::POST, path: "/api/v1/purge", headers: Vec::new(), body };
        let reply = self.admin.ask(&ask).await?;
        let trouble = unlike(&reply, r#""acknowledged":true"#);
        let verdict = if trouble.is_none() { DemoVerdict::Purged } else { DemoVerdict::Unknown };
        Ok(StepAnswer { verdict, through: reply.took, alone: None, note: None, trouble })
    }

    /// All connect first, then all ask. The time is that of whoever waited longest.
    async fn crowd(&mut self, visitors: usize) -> Result<StepAnswer, String> {
        let ask = DemoRequest { method: Method::GET, path: SLOW, headers: Vec::new(), body: String::new() };
        let mut clients = Vec::new();
        for _ in 0..visitors {
            clients.push(DemoClient::connect(self.address).await?);
        }
        let before = self.origin.slow_reports();
        let mut asking = JoinSet::new();
        for mut client in clients {
            let ask = ask.clone();
            asking.spawn(async move { client.ask(&ask).await });
        }
        let replies = asking.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let asked = self.origin.slow_reports() - before;
        let alone = self.clinic.ask(&ask).await?.took;

        let waited = replies.iter().filter(|reply| DemoWait::of(reply.header("cache-status")) == DemoWait::ForAnother);
        let waited = waited.count();
        let missed = |reply: &&DemoReply| DemoVerdict::of(reply.header("cache-status")) == DemoVerdict::Miss;
        let verdict = replies.iter().find(missed).map_or(DemoVerdict::Unknown, |_| DemoVerdict::Miss);
        let trouble = replies.iter().find_map(|reply| unlike(reply, "Occupancy"));
        let trouble = trouble.or_else(|| (asked != 1).then(|| format!("the clinic was asked {asked} times, not once")));
        Ok(StepAnswer {
            verdict,
            through: replies.iter().map(|reply| reply.took).max().unwrap_or_default(),
            alone: Some(alone),
            note: Some(format!(
                "{waited} waited for the first one's answer; requests that reached the clinic: {asked}"
            )),
            trouble,
        })
    }

    /// How far the purge log has come.
    async fn epoch(&mut self) -> Result<u64, String> {
        let ask = DemoRequest { method: Method::GET, path: "/api/v1/status", headers: Vec::new(), body: String::new() };
        let reply = self.admin.ask(&ask).await?;
        let status: serde_json::Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        status["epoch"].as_u64().ok_or_else(|| "the admin's status names no epoch".to_owned())
    }
}

/// Why this is not the answer that it should be: 200, with this text in it.
fn unlike(reply: &DemoReply, holds: &str) -> Option<String> {
    if reply.status != StatusCode::OK {
        return Some(format!("the answer is {} ({})", reply.status, reply.header("cache-status")));
    }
    let body = String::from_utf8_lossy(&reply.body);
    (!body.contains(holds)).then(|| format!("the answer does not hold {holds}"))
}

/// A `Cache-Status` that tells none of the words.
fn unread(reply: &DemoReply, verdict: DemoVerdict) -> Option<String> {
    (verdict == DemoVerdict::Unknown).then(|| format!("its Cache-Status is `{}`", reply.header("cache-status")))
}
