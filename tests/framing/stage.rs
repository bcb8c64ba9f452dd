//! A recording origin, Stent before it, and what is looked at after each case.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::case::{After, Begun, Case, End, Want};
use crate::recorder::{Arrived, Recorded, Recorder};
use crate::scenario::Stent;
use crate::wire::{Answer, Got, MarkerFault, Wire};

/// Everything is passed, by one worker: whatever is wrong with a connection to the origin meets the next request.
pub const PASS_ALL: &str = "
server: {listen: 127.0.0.1:0, workers: 1, limits: {header_bytes: 8KiB, headers: 100, body: 100KiB}}
routes: [{name: all, path: /**}]
";

pub struct Stage {
    origin: Recorder,
    stent: Stent,
    markers: AtomicUsize,
}

/// How the bytes of a case are cut.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Small,
}

/// What became of a case.
struct Outcome {
    answers: Vec<Answer>,
    interim: Vec<u16>,
    after: After,
    requests: Vec<Recorded>,
    begun: usize,
}

impl Stage {
    pub async fn start(config: &str) -> Stage {
        let origin = Recorder::start().await;
        let stent = Stent::start_with(origin.address, ", retries: 0", config);
        Stage { origin, stent, markers: AtomicUsize::new(0) }
    }

    pub fn address(&self) -> SocketAddr {
        self.stent.address
    }

    /// Whether nothing with this target has arrived since this was last asked.
    pub fn never_saw(&self, target: &str) -> bool {
        let is = |arrived: &Arrived| match arrived {
            Arrived::Begun(line) => line.ends_with(&format!(" {target}")),
            Arrived::Whole(request) => request.target == target,
            Arrived::Fault(_) => true,
        };
        !self.origin.take().iter().any(is)
    }

    /// Runs a case, whole and cut up; answers what is wrong.
    pub async fn run(&self, case: &Case) -> Vec<String> {
        let mut wrong = Vec::new();
        for cut in [Cut::Whole, Cut::Small] {
            if let Err(fault) = self.run_once(case, cut).await {
                // What it leaves behind is not the next one's.
                self.origin.take();
                wrong.push(format!("{} ({}; {cut:?}): {fault}", case.name, case.section));
            }
        }
        wrong
    }

    async fn run_once(&self, case: &Case, cut: Cut) -> Result<(), String> {
        let late = self.origin.take();
        if late.iter().any(|arrived| !matches!(arrived, Arrived::Begun(_))) {
            return Err(format!("what came before has left something behind: {late:?}"));
        }
        let mut wire = Wire::connect(self.stent.address).await;
        self.send(&mut wire, case, cut).await;
        let (answers, after) = self.answers(&mut wire, case).await?;
        let mut other = Wire::connect(self.stent.address).await;
        other.marker(&self.marker()).await.map_err(|fault| format!("a marker on another connection: {fault:?}"))?;
        let mut outcome = Outcome { answers, interim: statuses(&wire.interim), after, requests: Vec::new(), begun: 0 };
        for arrived in self.origin.take() {
            match arrived {
                Arrived::Whole(request) if request.target.starts_with("/marker/") => {}
                Arrived::Begun(what) if what.contains(" /marker/") => {}
                Arrived::Begun(_) => outcome.begun += 1,
                Arrived::Whole(request) => outcome.requests.push(request),
                Arrived::Fault(fault) => return Err(format!("the origin got {fault}")),
            }
        }
        outcome.judge(case)
    }

    fn marker(&self) -> String {
        self.markers.fetch_add(1, Ordering::Relaxed).to_string()
    }

    async fn send(&self, wire: &mut Wire, case: &Case, cut: Cut) {
        let size = match cut {
            Cut::Whole => case.bytes.len(),
            Cut::Small if case.bytes.len() > 2000 => 997,
            Cut::Small => 1,
        };
        for piece in case.bytes.chunks(size.max(1)) {
            wire.send(piece).await;
            tokio::task::yield_now().await;
        }
        if case.end == End::HalfClose {
            wire.half_close().await;
        }
    }

    /// All answers, and what became of the connection.
    async fn answers(&self, wire: &mut Wire, case: &Case) -> Result<(Vec<Answer>, After), String> {
        let most = case.wants.iter().map(|want| want.statuses.len()).max().unwrap_or(0);
        let mut answers = Vec::new();
        while answers.len() < most {
            let got = match answers.is_empty() && case.bytes.starts_with(b"HEAD ") {
                true => wire.answer_to_head().await,
                false => wire.answer().await,
            };
            match got {
                Got::Answer(answer) => answers.push(answer),
                Got::End => return Ok((answers, After::Closed)),
                Got::Nothing => return Err(format!("no answer in time after {:?}", statuses(&answers))),
                Got::Garbage(garbage) => return Err(format!("answered by {garbage:?}")),
            }
        }
        let may_go_on = case.wants.iter().any(|want| want.after != After::Closed && want.statuses.len() == most);
        if case.end == End::HalfClose || !may_go_on {
            wire.is_over().await.map_err(|fault| format!("after {:?} {fault}", statuses(&answers)))?;
            return Ok((answers, After::Closed));
        }
        match wire.marker(&self.marker()).await {
            Ok(()) => Ok((answers, After::Open)),
            Err(MarkerFault::Closed) => Ok((answers, After::Closed)),
            Err(MarkerFault::Wrong(got)) => Err(format!("the next request on the connection got {got}")),
        }
    }
}

impl Outcome {
    fn judge(&self, case: &Case) -> Result<(), String> {
        if !case.wants.iter().any(|want| self.is(want)) {
            return Err(self.unlike(case));
        }
        // One in, one out: each request that arrived was answered by its own answer, in its order.
        let numbers: Vec<String> = self.requests.iter().map(|request| request.number.to_string()).collect();
        let answered: Vec<&str> = self.answers.iter().filter_map(|answer| answer.field("x-number")).collect();
        let own: Vec<&str> =
            answered.iter().copied().filter(|number| numbers.iter().any(|own| own == number)).collect();
        if own != numbers {
            return Err(format!("requests {numbers:?} were answered by {answered:?}"));
        }
        for request in &self.requests {
            for name in &case.without {
                if request.fields.iter().any(|line| line.starts_with(&format!("{name}:"))) {
                    return Err(format!("the origin got {name}: {:?}", request.fields));
                }
            }
            for line in &case.with {
                if !request.fields.iter().any(|field| field == line) {
                    return Err(format!("the origin did not get {line:?}: {:?}", request.fields));
                }
            }
        }
        let refused = self.answers.last().is_some_and(|answer| answer.status >= 400);
        if refused && self.interim.contains(&100) && self.requests.is_empty() && self.begun == 0 {
            return Err("a body was asked for that was refused".to_owned());
        }
        Ok(())
    }

    fn is(&self, want: &Want) -> bool {
        let statuses = self.answers.len() == want.statuses.len()
            && self.answers.iter().zip(&want.statuses).all(|(answer, some)| some.contains(&answer.status))
            && self.answers.iter().all(|answer| !answer.is_cut);
        let after = want.after == After::Either || want.after == self.after;
        let begun = want.begun == Begun::Perhaps || self.begun == want.requests.len();
        statuses && after && begun && self.seen() == want.requests
    }

    fn seen(&self) -> Vec<(String, String, String)> {
        let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
        self.requests.iter().map(|one| (one.method.clone(), one.target.clone(), text(&one.body))).collect()
    }

    fn unlike(&self, case: &Case) -> String {
        let sent: String = String::from_utf8_lossy(&case.bytes).chars().take(300).collect();
        let wants: Vec<String> = case
            .wants
            .iter()
            .map(|want| format!("{:?}, {:?}, at the origin {:?}", want.statuses, want.after, want.requests))
            .collect();
        format!(
            "{sent:?}\n  got  {:?}, {:?}, at the origin {:?} of {} begun\n  want {}",
            statuses(&self.answers),
            self.after,
            self.seen(),
            self.begun,
            wants.join("\n    or ")
        )
    }
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}
