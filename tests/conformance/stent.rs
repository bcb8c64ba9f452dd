//! The binary itself, in front of the scripted origin, with a route for each case that wants one of its own.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use crate::case::Case;
use crate::run::Subject;

/// How long it may take to start.
const STARTING: Duration = Duration::from_secs(20);

/// It ends with its handle.
pub struct Stent {
    child: Child,
    pub subject: Subject,
}

impl Drop for Stent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Stent {
    /// Starts it with a file in this folder.
    pub fn start(folder: &Path, origin: SocketAddr, cases: &[Case]) -> Stent {
        let file = folder.join("proxy.yaml");
        std::fs::write(&file, configuration(origin, cases)).expect("a folder to write to");
        let mut child = Command::new(env!("CARGO_BIN_EXE_stent"))
            .args(["run", "--config"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (sender, said) = mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut heard = Vec::new();
        let mut hears = |beginning: &str| -> SocketAddr {
            loop {
                let Ok(line) = said.recv_timeout(STARTING) else { panic!("it never said {beginning:?}: {heard:#?}") };
                if let Some(rest) = line.strip_prefix(beginning) {
                    return rest.parse().expect("an address");
                }
                heard.push(line);
            }
        };
        let address = hears("stent: listening on http://");
        let admin = hears("stent: admin on http://");
        // Whatever else it says has to be read.
        std::thread::spawn(move || said.into_iter().for_each(drop));
        Stent { child, subject: Subject { address, admin: Some(admin) } }
    }
}

/// An upstream for each case whose origin fails on purpose, at the same address: refreshes hold back for all of an upstream that fails.
fn configuration(origin: SocketAddr, cases: &[Case]) -> String {
    let mut upstreams = format!("  steady: {{servers: [\"http://{origin}\"], retries: 0}}\n");
    let mut policies = String::new();
    let mut routes = String::new();
    for case in cases {
        let upstream = if case.is_failing() { format!("of-{}", case.id) } else { "steady".to_owned() };
        if case.is_failing() {
            upstreams.push_str(&format!("  {upstream}: {{servers: [\"http://{origin}\"], retries: 0}}\n"));
        }
        let policy = match case.policy.starts_with('{') {
            true => {
                policies.push_str(&format!("  of-{}: {}\n", case.id, case.policy));
                format!("of-{}", case.id)
            }
            false => case.policy.clone(),
        };
        let more = if case.route.is_empty() { String::new() } else { format!(", {}", case.route) };
        if case.is_failing() || policy != "rfc9111" || !more.is_empty() {
            let Case { id, .. } = case;
            routes.push_str(&format!(
                "  - {{name: {id}, path: /{id}/**, upstream: {upstream}, policy: {policy}{more}}}\n"
            ));
        }
    }
    let policies = if policies.is_empty() { String::new() } else { format!("policies:\n{policies}") };
    format!(
        "server: {{listen: 127.0.0.1:0, workers: 2}}\n\
         admin: {{listen: 127.0.0.1:0}}\n\
         log: {{access: off}}\n\
         identity: {{principal: [cookie.sid], ignore_cookies: [theme]}}\n\
         upstreams:\n{upstreams}\
         {policies}\
         routes:\n{routes}\
         \x20 - {{name: rest, path: /**, upstream: steady, policy: rfc9111}}\n"
    )
}
