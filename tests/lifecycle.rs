//! The life of the process: reloads, a stop and a shortage of descriptors, each while clients are at work, with the real binary.

#[path = "it/scenario.rs"]
mod scenario;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use scenario::{Client, Gate, KeptOpen, LIMIT, Origin, Reply, answer, configuration};

const RULES: &str = "
policies: {p: {share: public, ttl: 1s}}
routes: [{name: kept, path: /kept/**, policy: p}, {name: rest, path: /**}]";

/// Stent as it is started by hand, stopped by its own handle.
struct Process {
    child: Child,
    address: SocketAddr,
    admin: SocketAddr,
    file: PathBuf,
    /// What it says on standard error, line by line.
    said: mpsc::UnboundedReceiver<String>,
    _folder: tempfile::TempDir,
}

impl Process {
    /// With this many descriptors at most, if that is said.
    async fn start(yaml: &str, descriptors: Option<u32>) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.yaml");
        std::fs::write(&file, yaml).unwrap();
        let limit = descriptors.map_or(String::new(), |most| format!("ulimit -n {most}; "));
        let mut child = Command::new("sh")
            .args(["-c", &format!("{limit}exec \"$0\" run --config \"$1\""), env!("CARGO_BIN_EXE_stent")])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, said) = mpsc::unbounded_channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut process = Process { child, address: any(), admin: any(), file, said, _folder: folder };
        process.address = process.hears("stent: listening on http://").await.parse().unwrap();
        process.admin = process.hears("stent: admin on http://").await.parse().unwrap();
        process
    }

    /// The rest of the next line that begins like this.
    async fn hears(&mut self, beginning: &str) -> String {
        loop {
            let line = tokio::time::timeout(LIMIT, self.said.recv()).await;
            let line = line.ok().flatten().unwrap_or_else(|| panic!("it never said {beginning:?}"));
            if let Some(rest) = line.strip_prefix(beginning) {
                return rest.to_owned();
            }
        }
    }

    fn signal(&self, name: &str) {
        // Until it is waited for, its id is nobody else's.
        let told = Command::new("sh").args(["-c", "kill \"-$0\" \"$1\"", name, &self.child.id().to_string()]).status();
        assert!(told.unwrap().success());
    }

    async fn ended(&mut self) -> ExitStatus {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "it does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Clients that ask one thing after another, each on a connection that it keeps open as long as it may.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    clients: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(address: SocketAddr, clients: usize) -> Load {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let clients = (0..clients).map(|number| tokio::spawn(ask_on(address, number, stop.clone(), asked.clone())));
        Load { clients: clients.collect(), stop, asked }
    }

    /// Waits until so many more requests were answered.
    async fn goes_on(&self, more: usize) {
        let until = self.asked.load(Ordering::SeqCst) + more;
        let began = Instant::now();
        while self.asked.load(Ordering::SeqCst) < until {
            assert!(began.elapsed() < LIMIT, "the clients are stuck");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Everything that went wrong.
    async fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        let mut failures = Vec::new();
        for client in self.clients {
            failures.extend(client.await.unwrap());
        }
        failures
    }
}

/// One client. It ends when it is told to, or when nobody listens any more.
async fn ask_on(address: SocketAddr, number: usize, stop: Arc<AtomicBool>, asked: Arc<AtomicUsize>) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let Ok(mut connection) = KeptOpen::to(address).await else { return failures };
        for turn in 0.. {
            let target =
                if turn % 3 == 0 { format!("/passed/{number}") } else { format!("/kept/{number}/{}", turn % 7) };
            match connection.get(&target).await {
                Ok(reply) if reply.status == 200 && reply.text() == target => {
                    asked.fetch_add(1, Ordering::SeqCst);
                    if reply.header("connection") == "close" || stop.load(Ordering::SeqCst) {
                        break;
                    }
                }
                Ok(reply) => failures.push(format!("{target}: {} {}", reply.status, reply.text())),
                Err(error) => {
                    failures.push(format!("{target}, the {turn}th on its connection: {error:?}"));
                    break;
                }
            }
        }
    }
    failures
}

/// Answers with the path that was asked for.
async fn echo() -> Origin {
    Origin::start(|seen| async move { answer(200, &[], seen.path().to_owned()) }).await
}

#[tokio::test]
async fn a_hundred_reloads_under_load_fail_nobody() {
    let origin = echo().await;
    let rules = |turn: usize| {
        let ttl = format!("policies: {{p: {{share: public, ttl: {}s}}}}", turn + 1);
        configuration(origin.address, "", &RULES.replace("policies: {p: {share: public, ttl: 1s}}", &ttl))
    };
    let mut process = Process::start(&rules(0), None).await;
    let load = Load::start(process.address, 8);
    for turn in 1..=100 {
        let broken = turn % 3 == 0;
        let text = if broken { rules(turn).replace("share: public", "share: everybody") } else { rules(turn) };
        std::fs::write(&process.file, text).unwrap();
        load.goes_on(20).await;
        if turn % 10 < 2 {
            process.signal("HUP");
            process
                .hears(if broken { "stent: configuration not reloaded" } else { "stent: configuration reloaded" })
                .await;
        } else {
            let reply = Client { address: process.admin }.ask("POST", "/api/v1/reload").send().await;
            assert_eq!(reply.status, if broken { 422 } else { 200 }, "{}", reply.text());
        }
    }
    load.goes_on(100).await;
    let failures = load.failures().await;
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn a_stop_under_load_fails_nobody() {
    for _ in 0..3 {
        let origin = echo().await;
        let mut process = Process::start(&configuration(origin.address, "", RULES), None).await;
        let load = Load::start(process.address, 16);
        load.goes_on(500).await;
        // It idles, and is closed only after its owner had a second to use it.
        let mut idle = KeptOpen::to(process.address).await.unwrap();
        assert_eq!(idle.get("/kept/idle").await.unwrap().status, 200);
        process.signal("TERM");
        process.hears("stent: stopping").await;
        // Its next answer is the last one.
        let last = loop {
            let reply = idle.get("/kept/idle").await.unwrap();
            if reply.header("connection") == "close" {
                break reply;
            }
        };
        assert_eq!(last.status, 200);
        assert_eq!(process.ended().await.code(), Some(0));
        let failures = load.failures().await;
        assert!(failures.is_empty(), "{failures:#?}");
        assert!(KeptOpen::to(process.address).await.is_err(), "nobody listens any more");
    }
}

#[tokio::test]
async fn a_stop_is_announced_before_anything_changes_and_ends_at_its_limit() {
    let (gate, never) = (Gate::default(), Gate::default());
    let at = (gate.clone(), never.clone());
    let origin = Origin::start(move |seen| {
        let (gate, never) = at.clone();
        async move {
            match seen.path() {
                "/slow" => gate.pass().await,
                "/never" => never.pass().await,
                _ => {}
            }
            answer(200, &[], seen.path().to_owned())
        }
    })
    .await;
    let server = "server: {listen: 127.0.0.1:0, workers: 2, drain: {notice: 700ms, limit: 1500ms}}\n";
    let mut process = Process::start(&configuration(origin.address, "", &format!("{server}{RULES}")), None).await;
    let (address, admin) = (process.address, process.admin);
    let client = Client { address };
    let slow = tokio::spawn(client.get("/slow").send());
    let stuck = tokio::spawn(async move { KeptOpen::to(address).await.unwrap().get("/never").await.map(|_| ()) });
    gate.arrived(1).await;
    never.arrived(1).await;
    process.signal("TERM");
    let ready = async || Client { address: admin }.get("/readyz").send().await.status;
    let until = Instant::now() + LIMIT;
    while ready().await == 200 {
        assert!(Instant::now() < until, "it never said that it is not ready");
    }
    // New connections are served, and may go on.
    let during = client.get("/kept/new").send().await;
    assert_eq!((during.status, during.header("connection")), (200, ""));
    let until = Instant::now() + LIMIT;
    while KeptOpen::to(address).await.is_ok() {
        assert!(Instant::now() < until, "it goes on accepting");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(ready().await, 503, "the admin answers until the end");
    gate.open(1);
    assert_eq!(slow.await.unwrap().status, 200);
    assert!(process.is_running(), "one is still in flight");
    assert_eq!(process.ended().await.code(), Some(0));
    assert!(stuck.await.unwrap().is_err(), "cut off at the limit");
}

#[tokio::test]
async fn without_descriptors_it_waits_says_so_once_and_recovers() {
    let origin = echo().await;
    let mut process = Process::start(&configuration(origin.address, "", RULES), Some(64)).await;
    let one = Client { address: process.address }.get("/kept/a").send().await;
    assert_eq!(one.status, 200);
    // Connections that never ask for anything cannot be closed to make room.
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(tokio::net::TcpStream::connect(process.address).await.unwrap());
    }
    let said = process.hears("stent: cannot accept connections: ").await;
    assert!(said.contains("os error 24"), "{said}");
    let before = cpu_ticks(process.child.id());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = cpu_ticks(process.child.id()) - before;
    assert!(used < 30, "it is busy while it waits: {used} of 100 ticks");
    drop(held);
    let client = Client { address: process.address };
    let reply: Reply = client.get("/kept/b").send().await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "/kept/b"));
    assert!(process.said.try_recv().is_err(), "once is enough");
    let metrics = Client { address: process.admin }.get("/metrics").send().await.text();
    let failures = metrics.lines().find_map(|line| line.strip_prefix("stent_accept_failures_total "));
    assert!(failures.is_some_and(|many| (1..200).contains(&many.parse::<u32>().unwrap())), "{failures:?}");
}

/// User and system time of a process, in hundredths of a second.
fn cpu_ticks(process: u32) -> u64 {
    let stat = std::fs::read_to_string(Path::new("/proc").join(process.to_string()).join("stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

/// Runs a command to its end: whether it was content, and what it said.
async fn stent(arguments: &[&str], admin: SocketAddr) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stent"));
    command.args(arguments).args(["--admin", &admin.to_string()]).env_remove("STENT_TOKEN");
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(said).unwrap())
}

#[tokio::test]
async fn commands_reach_the_running_process() {
    let origin = echo().await;
    let rules = configuration(origin.address, "", RULES);
    let process = Process::start(&rules, None).await;
    let admin = process.admin;
    let kept = async || Client { address: process.address }.get("/kept/a").send().await;
    assert_eq!(
        stent(&["bypass", "--route", "kept", "--for", "1h"], admin).await,
        (true, "kept is bypassed for 1h\n".into())
    );
    assert_eq!(kept().await.cache(), "stent; fwd=bypass; detail=operator-bypass; fwd-status=200");
    assert_eq!(
        stent(&["bypass", "--route", "kept", "--off"], admin).await,
        (true, "kept is no longer bypassed\n".into())
    );
    assert!(kept().await.cache().contains("stored"));
    let (content, said) = stent(&["bypass", "--route", "nothing", "--for", "1h"], admin).await;
    assert!(!content && said.contains("No route has this name"), "{said}");

    std::fs::write(&process.file, rules.replace("policy: p}", "policy: q}")).unwrap();
    let (content, said) = stent(&["reload"], admin).await;
    assert!(!content && said.contains("line 6: there is no policy `q`"), "{said}");
    std::fs::write(&process.file, rules.replace("workers: 2", "workers: 1").replace(", policy: p}", "}")).unwrap();
    let (content, said) = stent(&["reload"], admin).await;
    assert!(content && said.starts_with("reloaded\n"), "{said}");
    assert!(said.ends_with("these take a restart: server.workers\n"), "{said}");
    assert_eq!(kept().await.cache(), "stent; fwd=bypass; detail=no-policy; fwd-status=200");
}
