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

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
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
    /// With this many descriptors at most, as `ulimit` is told, if that is said.
    async fn start(yaml: &str, descriptors: Option<&str>) -> Process {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.yaml");
        std::fs::write(&file, yaml).unwrap();
        let limit = descriptors.map_or(String::new(), |most| format!("ulimit {most}; "));
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

/// Uploads that do not go on cannot be closed to make room.
const HALF_AN_UPLOAD: &[u8] = b"POST /passed HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhalf";

#[tokio::test]
async fn without_descriptors_it_waits_says_so_once_and_recovers() {
    let origin = echo().await;
    let mut process = Process::start(&configuration(origin.address, "", RULES), Some("-n 64")).await;
    let one = Client { address: process.address }.get("/kept/a").send().await;
    assert_eq!(one.status, 200);
    let mut held = Vec::new();
    for _ in 0..100 {
        let mut stream = tokio::net::TcpStream::connect(process.address).await.unwrap();
        stream.write_all(HALF_AN_UPLOAD).await.unwrap();
        held.push(stream);
    }
    let said = process.hears("stent: cannot accept connections: ").await;
    assert!(said.contains("os error 24"), "{said}");
    // There are too few for all of them and for their connections to the origin, and each has its own words.
    let said = process.hears("stent: upstream origin: no connection can be opened: ").await;
    assert!(said.contains("os error 24") && said.contains("(busy)"), "{said}");
    let before = cpu_ticks(process.child.id());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let used = cpu_ticks(process.child.id()) - before;
    assert!(used < 30, "it is busy while it waits: {used} of 100 ticks");
    drop(held);
    let client = Client { address: process.address };
    let reply: Reply = client.get("/kept/b").send().await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "/kept/b"));
    let again = process.said.try_recv();
    assert!(again.is_err(), "once is enough: {again:?}");
    assert!((1..200).contains(&metric(process.admin, "stent_accept_failures_total").await));
}

#[tokio::test]
async fn clients_leave_the_last_descriptors_to_others() {
    let gate = Gate::default();
    let origin = Origin::gated(&gate, || answer(200, &[], "fine")).await;
    let mut process = Process::start(&configuration(origin.address, "", RULES), Some("-n 64")).await;
    // They wait for one fetch, so each has one descriptor, and none can be closed to make room.
    let mut waiting = Vec::new();
    for _ in 0..100 {
        let mut stream = tokio::net::TcpStream::connect(process.address).await.unwrap();
        stream.write_all(b"GET /kept/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await.unwrap();
        waiting.push(stream);
    }
    process.hears("stent: cannot accept connections: ").await;
    let open = || std::fs::read_dir(format!("/proc/{}/fd", process.child.id())).unwrap().count();
    for _ in 0..50 {
        // An eighth is left, less what each listener needs to see that (who comes next, and a file to look with), and the calls.
        assert_eq!(Client { address: process.admin }.get("/livez").send().await.status, 200);
        assert!(open() <= 64 - 8 + 6, "{} are open", open());
    }
    gate.open(1);
    for mut stream in waiting {
        let mut reply = String::new();
        stream.read_to_string(&mut reply).await.unwrap();
        assert!(reply.starts_with("HTTP/1.1 200 ") && reply.ends_with("fine"), "{reply}");
    }
}

/// Said by whoever looks at the file, as by the start.
#[tokio::test]
async fn a_check_says_where_the_descriptors_are_too_few() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy.yaml");
    let check = |limits: &str, connections: &str| {
        let text = format!("server: {{listen: 127.0.0.1:0{connections}}}\n{RULES}");
        std::fs::write(&file, configuration(free_port(), "", &text)).unwrap();
        let mut command = Command::new("sh");
        let shell = format!("ulimit {limits}; exec \"$0\" check --config \"$1\"");
        command.args(["-c", &shell, env!("CARGO_BIN_EXE_stent")]).arg(&file);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "a warning is no error: {said}");
        said
    };
    let said = check("-n 500", "");
    assert!(said.contains("limits.connections: 10000 cannot be met: 500 descriptors"), "{said}");
    let said = check("-n 500", ", limits: {connections: 300}");
    assert!(!said.contains("descriptors"), "{said}");
    let said = check("-Sn 500", ", limits: {connections: 600}");
    assert!(!said.contains("descriptors"), "the start raises the soft limit: {said}");
}

#[tokio::test]
async fn it_takes_the_descriptors_that_it_may_have() {
    let origin = echo().await;
    let process = Process::start(&configuration(origin.address, "", RULES), Some("-Sn 64")).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.child.id())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let numbers: Vec<&str> = line.split_whitespace().take(2).collect();
    assert!(numbers[0] == numbers[1] && numbers[0] != "64", "{line}");
    // More clients at once than the soft limit would have let in, each with a connection to the origin or a place in its queue.
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(KeptOpen::to(process.address).await.unwrap());
    }
    for connection in &mut held {
        assert_eq!(connection.get("/kept/a").await.unwrap().status, 200);
    }
}

/// As a client asks that tries again, a few times: one that has asked for nothing yet may have had to make room.
async fn answered(address: SocketAddr, path: &str) -> Reply {
    for _ in 0..3 {
        if let Some(reply) = (Client { address }).get(path).attempt().await {
            return reply;
        }
    }
    Client { address }.get(path).send().await
}

async fn metric(admin: SocketAddr, name: &str) -> u64 {
    metric_if_answered(admin, name).await.expect("an answer")
}

/// Where descriptors run out, a connection that has asked for nothing yet may make room for another.
async fn metric_if_answered(admin: SocketAddr, name: &str) -> Option<u64> {
    let metrics = Client { address: admin }.get("/metrics").attempt().await?.text();
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    Some(value.unwrap_or_else(|| panic!("no {name} in {metrics}")))
}

/// What is behind standard error.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Behind {
    /// A pipe whose reader has gone.
    Closed,
    /// A pipe that is full, whose reader hangs.
    Stuck,
    /// A disk that is full.
    Full,
}

impl Behind {
    /// With what must be held for it to stay so.
    fn open(self) -> (Stdio, Option<std::io::PipeReader>) {
        if self == Behind::Full {
            return (std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap().into(), None);
        }
        let (reader, mut writer) = std::io::pipe().unwrap();
        if self == Behind::Closed {
            return (writer.into(), None);
        }
        // What a pipe takes on Linux (pipe(7)).
        std::io::Write::write_all(&mut writer, &[b'x'; 64 << 10]).unwrap();
        (writer.into(), Some(reader))
    }
}

/// A port that was free a moment ago: whoever cannot be heard cannot tell which it took.
fn free_port() -> SocketAddr {
    std::net::TcpListener::bind(any()).unwrap().local_addr().unwrap()
}

/// Waits until this is true.
async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !is().await {
        assert!(Instant::now() < limit, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A process that nobody can hear.
struct Unheard {
    process: Process,
    log: PathBuf,
    _reader: Option<std::io::PipeReader>,
}

impl Unheard {
    fn start(behind: Behind, origin: SocketAddr, rules: &str) -> Unheard {
        let folder = tempfile::tempdir().unwrap();
        let (file, log) = (folder.path().join("proxy.yaml"), folder.path().join("access.log"));
        let (address, admin) = (free_port(), free_port());
        let text = format!(
            "server: {{listen: \"{address}\", workers: 2}}\nadmin: {{listen: \"{admin}\"}}\n{rules}\nlog: {{access: {{file: \"{}\"}}}}",
            log.display()
        );
        std::fs::write(&file, configuration(origin, "", &text)).unwrap();
        let (stderr, reader) = behind.open();
        let child = Command::new("sh")
            .args(["-c", "ulimit -n 64; exec \"$0\" run --config \"$1\"", env!("CARGO_BIN_EXE_stent")])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(stderr)
            .spawn()
            .unwrap();
        let said = mpsc::unbounded_channel().1;
        Unheard { process: Process { child, address, admin, file, said, _folder: folder }, log, _reader: reader }
    }

    /// An honest request is answered by each worker, and the admin tells the truth.
    async fn is_well(&mut self, after: &str) {
        assert!(self.process.is_running(), "{after}");
        for turn in 0..8 {
            let target = format!("/passed/{turn}");
            let reply = answered(self.process.address, &target).await;
            assert_eq!((reply.status, reply.text()), (200, target), "{after}");
        }
        for path in ["/livez", "/readyz"] {
            assert_eq!(answered(self.process.admin, path).await.status, 200, "{path} {after}");
        }
    }

    async fn call(&self, method: &str, target: &str, body: &str, status: u16) {
        let reply = Client { address: self.process.admin }.ask(method, target).body(body.to_owned()).send().await;
        assert_eq!(reply.status, status, "{target}: {}", reply.text());
    }

    /// SIGHUP; with or without mistakes in the file, it opens the log anew.
    async fn hang_up(&self) {
        std::fs::remove_file(&self.log).unwrap();
        self.process.signal("HUP");
        until("it has read the file again", async || self.log.exists()).await;
    }
}

#[tokio::test]
async fn nothing_waits_for_whoever_reads_standard_error() {
    let origin = echo().await;
    for behind in [Behind::Closed, Behind::Stuck, Behind::Full] {
        let mut unheard = Unheard::start(behind, origin.address, RULES);
        let address = unheard.process.address;
        until("it starts", async || {
            KeptOpen::to(address).await.is_ok() && KeptOpen::to(unheard.process.admin).await.is_ok()
        })
        .await;
        unheard.is_well(&format!("{behind:?}: the start")).await;

        let good = std::fs::read_to_string(&unheard.process.file).unwrap();
        std::fs::write(&unheard.process.file, good.replace("share: public", "share: everybody")).unwrap();
        unheard.hang_up().await;
        unheard.call("POST", "/api/v1/reload", "", 422).await;
        unheard.is_well(&format!("{behind:?}: a reload with a mistake")).await;
        // What is kept shows that what came after the mistake was read too.
        std::fs::write(&unheard.process.file, good.replace(", policy: p}", "}")).unwrap();
        unheard.hang_up().await;
        until("the other rules are in force", async || {
            Client { address }.get("/kept/a").send().await.cache().contains("no-policy")
        })
        .await;
        std::fs::write(&unheard.process.file, &good).unwrap();
        unheard.call("POST", "/api/v1/reload", "", 200).await;
        unheard.is_well(&format!("{behind:?}: a reload")).await;

        for _ in 0..50 {
            unheard.call("POST", "/api/v1/purge", r#"{"tags":["a"]}"#, 200).await;
        }
        unheard.is_well(&format!("{behind:?}: purges")).await;
        unheard.call("POST", "/api/v1/bypass", r#"{"route":"kept","for":"1h"}"#, 200).await;
        assert!(Client { address }.get("/kept/a").send().await.cache().contains("operator-bypass"));
        unheard.call("DELETE", "/api/v1/bypass", r#"{"route":"kept"}"#, 200).await;
        unheard.call("POST", "/api/v1/bypass", r#"{"route":"kept","for":"1s"}"#, 200).await;
        until("the bypass is over", async || {
            !Client { address }.get("/kept/a").send().await.cache().contains("operator-bypass")
        })
        .await;
        unheard.is_well(&format!("{behind:?}: bypasses")).await;

        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(tokio::net::TcpStream::connect(address).await.unwrap());
        }
        let failures = async || metric_if_answered(unheard.process.admin, "stent_accept_failures_total").await;
        until("descriptors run out", async || failures().await.is_some_and(|failures| failures > 0)).await;
        unheard.is_well(&format!("{behind:?}: without descriptors")).await;
        drop(silent);

        let lost = metric(unheard.process.admin, "stent_notices_dropped_total").await;
        assert_eq!(lost > 50, behind != Behind::Stuck, "{behind:?}: {lost} lines are lost");
        unheard.process.signal("TERM");
        assert_eq!(unheard.process.ended().await.code(), Some(0), "{behind:?}");

        let mut mistaken = Unheard::start(behind, origin.address, "policies: {p: {share: everybody}}\nroutes: []");
        assert_eq!(mistaken.process.ended().await.code(), Some(1), "{behind:?}: it says so by its status");
    }
}

#[tokio::test]
async fn of_two_that_start_at_once_exactly_one_lives() {
    let origin = echo().await;
    for _ in 0..10 {
        let address = free_port();
        let text = format!("server: {{listen: \"{address}\", workers: 4}}\nadmin: {{listen: 127.0.0.1:0}}\n{RULES}");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy.yaml");
        std::fs::write(&file, configuration(origin.address, "", &text)).unwrap();
        let start = || {
            let mut command = Command::new(env!("CARGO_BIN_EXE_stent"));
            command.args(["run", "--config"]).arg(&file).stdin(Stdio::null()).stderr(Stdio::null());
            Ending(command.spawn().unwrap())
        };
        let mut both = [start(), start()];
        until("one ends", async || both.iter_mut().any(|one| one.0.try_wait().unwrap().is_some())).await;
        let ended: Vec<_> = both.iter_mut().filter_map(|one| one.0.try_wait().unwrap()).collect();
        assert_eq!(ended.len(), 1, "{ended:?}");
        assert_eq!(ended[0].code(), Some(1));
        until("the other serves", async || KeptOpen::to(address).await.is_ok()).await;
        for _ in 0..8 {
            assert_eq!(Client { address }.get("/passed").send().await.status, 200);
        }
    }
}

/// Ends with its owner.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn both_families_have_the_same_port_in_either_order() {
    let origin = echo().await;
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // A machine without IPv6.
        return;
    }
    for turned in [false, true] {
        let port = free_port().port();
        let mut listen = [format!("\"0.0.0.0:{port}\""), format!("\"[::]:{port}\"")];
        listen[..].rotate_left(usize::from(turned));
        let server = format!("server: {{listen: [{}], workers: 2}}\n", listen.join(", "));
        let mut process = Process::start(&configuration(origin.address, "", &format!("{server}{RULES}")), None).await;
        for address in
            [SocketAddr::from(([127, 0, 0, 1], port)), SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, port))]
        {
            assert_eq!(Client { address }.get("/passed").send().await.status, 200, "{address}");
        }
        assert!(process.is_running());
    }
}

#[tokio::test]
async fn half_a_head_does_not_hold_up_a_stop() {
    let origin = echo().await;
    let mut process = Process::start(&configuration(origin.address, "", RULES), None).await;
    let mut half = tokio::net::TcpStream::connect(process.address).await.unwrap();
    half.write_all(b"GET /passed HTTP/1.1\r\nHost: h\r\nX-Half: ").await.unwrap();
    assert_eq!(Client { address: process.address }.get("/passed").send().await.status, 200);
    let began = Instant::now();
    process.signal("TERM");
    assert_eq!(process.ended().await.code(), Some(0));
    // Two seconds, and what a busy machine takes to notice; the head itself had ten.
    assert!(began.elapsed() < Duration::from_millis(2500), "{:?}", began.elapsed());
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

/// The most that a process had in memory, in bytes.
fn peak_bytes(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<usize>().ok());
    peak.unwrap() << 10
}

/// Many small things, of which a tree takes fifty times the length of the text.
fn eight_mib_of_json() -> String {
    let visit = r#"{"ward_id":null,"x":{"":{}}},"#;
    format!("[{}{{\"ward_id\":8}}]", visit.repeat((8 << 20) / visit.len()))
}

#[tokio::test]
async fn a_tag_out_of_a_long_json_takes_no_memory_beside_its_text() {
    let text = eight_mib_of_json();
    let length = text.len();
    let origin = Origin::start(move |_| {
        let json = text.clone();
        async move { answer(200, &[("content-type", "application/json")], json) }
    })
    .await;
    let rules = "
cache: {memory: 64MiB, max_object: 16MiB}
policies: {p: {share: public, ttl: 1h}}
routes:
  - {name: plain, path: /plain, policy: p}
  - {name: tagged, path: /tagged, policy: p, tags: ['ward:<answer.ward_id>']}
  - {name: told, path: /told, policy: p, tags: ['ward:<answer.ward_id>']}";
    let process = Process::start(&configuration(origin.address, "", rules), None).await;
    let client = Client { address: process.address };
    let get = async |path: &str| {
        let reply = client.get(path).send().await;
        assert_eq!((reply.status, reply.body.len()), (200, length));
        reply.is_hit()
    };
    get("/plain").await;
    let before = peak_bytes(process.child.id());
    assert!(!get("/tagged").await && get("/tagged").await && !get("/told").await);
    let more = peak_bytes(process.child.id()).saturating_sub(before);
    // Two more texts are stored, and one is on its way; the tree was 400 MiB and more.
    assert!(more <= 4 * length, "{} MiB more for tags", more >> 20);
    let purge = |tag: &str| {
        let body = format!(r#"{{"tags": ["{tag}"]}}"#);
        Client { address: process.admin }
            .ask("POST", "/api/v1/purge")
            .header("content-type", "application/json")
            .body(body)
            .send()
    };
    assert_eq!(purge("ward:7").await.status, 200);
    assert!(get("/tagged").await, "it is not about that one");
    assert_eq!(purge("ward:8").await.status, 200);
    assert!(!get("/tagged").await, "its tag was found at the very end");
}

/// What is stored, fills, windows and tags together, while every worker has several of these at once.
#[tokio::test]
async fn long_json_on_every_worker_stays_within_the_memory_that_is_allowed() {
    // Of the store, and a quarter of it beside for fills.
    const ALLOWED: usize = (64 + 16) << 20;
    let text = bytes::Bytes::from(eight_mib_of_json());
    let length = text.len();
    let origin = Origin::start(move |_| {
        let json = text.clone();
        async move { answer(200, &[("content-type", "application/json")], json) }
    })
    .await;
    let rules = "
cache: {memory: 64MiB, max_object: 16MiB}
policies: {p: {share: public, ttl: 1h}}
routes: [{name: tagged, path: /tagged/**, policy: p, tags: ['ward:<answer.ward_id>']}, {name: all, path: /**}]";
    let process = Process::start(&configuration(origin.address, "", rules), None).await;
    let address = process.address;
    assert_eq!(Client { address }.get("/passed").send().await.status, 200);
    let before = peak_bytes(process.child.id());
    // Eight at once, on two workers: twice what may be stored in all.
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..8 {
        clients.spawn(async move {
            for turn in 0..2 {
                let reply = Client { address }.get(&format!("/tagged/{client}/{turn}")).send().await;
                assert_eq!((reply.status, reply.body.len()), (200, length));
            }
        });
    }
    clients.join_all().await;
    let more = peak_bytes(process.child.id()).saturating_sub(before);
    println!("{} MiB more of {}", more >> 20, ALLOWED >> 20);
    assert!(more <= ALLOWED + ALLOWED / 5, "{} MiB more than before", more >> 20);
    // They were stored, and by their tag.
    let purge = Client { address: process.admin }.ask("POST", "/api/v1/purge").body(r#"{"tags":["ward:8"]}"#);
    assert_eq!(purge.header("content-type", "application/json").send().await.status, 200);
    for client in 0..8 {
        assert!(!Client { address }.get(&format!("/tagged/{client}/1")).send().await.is_hit());
    }
}

/// Nobody is there to close its connections in order: how they end is settled before.
#[tokio::test]
async fn a_body_that_ends_by_closing_is_reset_where_the_process_ends_before_it() {
    let (head, body) = scenario::streaming(200, &[]);
    let head = std::sync::Mutex::new(Some(head));
    let origin =
        Origin::start(move |_| std::future::ready(head.lock().unwrap().take().unwrap_or_else(scenario::no_answer)))
            .await;
    let server = "server: {listen: 127.0.0.1:0, workers: 2, drain: {notice: 0s, limit: 300ms}}\n";
    let mut process = Process::start(&configuration(origin.address, "", &format!("{server}{RULES}")), None).await;
    let mut stream = tokio::net::TcpStream::connect(process.address).await.unwrap();
    stream.write_all(b"GET /passed HTTP/1.0\r\nHost: h\r\n\r\n").await.unwrap();
    body.send(Ok("first".into())).unwrap();
    let mut came = Vec::new();
    while !came.ends_with(b"first") {
        came.push(tokio::time::timeout(LIMIT, stream.read_u8()).await.expect("in time").unwrap());
    }
    process.signal("TERM");
    process.ended().await;
    let end = tokio::time::timeout(LIMIT, stream.read_u8()).await.expect("in time");
    assert_eq!(end.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
}

/// A control group of this test's own, with a limit of memory; gone with it.
struct ControlGroup(PathBuf);

impl ControlGroup {
    /// `None` where none can be made: without root, or where no controller of memory is there to be given.
    fn with_memory(bytes: u64) -> Option<ControlGroup> {
        let name = format!("stent-test-{}", std::process::id());
        [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")].into_iter().find_map(
            |(root, limit)| {
                let folder = Path::new(root).join(&name);
                std::fs::create_dir(&folder).ok()?;
                let group = ControlGroup(folder);
                std::fs::write(group.0.join(limit), bytes.to_string()).ok()?;
                Some(group)
            },
        )
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn a_check_in_a_control_group_says_what_store_fits_into_it() {
    let Some(group) = ControlGroup::with_memory(400 << 20) else {
        return eprintln!("not checked: no control group with a limit of memory can be made here");
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("proxy.yaml");
    let check = |memory: &str| {
        let yaml = format!(
            "cache: {{memory: {memory}}}\nupstreams: {{app: {{servers: [http://127.0.0.1:1]}}}}\nroutes: [{{name: a, path: /a}}]\n"
        );
        std::fs::write(&file, yaml).unwrap();
        let enter = "echo $$ > \"$2/cgroup.procs\" && exec \"$0\" check --config \"$1\"";
        let output = Command::new("sh")
            .args(["-c", enter, env!("CARGO_BIN_EXE_stent")])
            .args([&file, &group.0])
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let said = check("1GiB");
    let advised = said.split("cache: {memory: ").nth(1).and_then(|rest| rest.split('}').next());
    let advised = advised.unwrap_or_else(|| panic!("{said}")).to_owned();
    assert!(said.contains("400MiB"), "{said}");
    assert!(!check(&advised).contains("cache: {memory:"), "what it advises fits: {advised}");
}

/// What a process has in memory, in bytes.
fn resident_bytes(id: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[tokio::test]
async fn what_is_announced_is_not_allocated_before_it_comes() {
    const MANY: usize = 200;
    // Each announces more than there is, and sends a little of it.
    let origin = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin_address = origin.local_addr().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let count = answered.clone();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = origin.accept().await {
            let count = count.clone();
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                let length = socket.read(&mut head).await.unwrap_or(0);
                let framing = match &head[..length] {
                    head if head.starts_with(b"GET /chunked") => {
                        "transfer-encoding: chunked\r\n\r\nffffffffffffff\r\nx"
                    }
                    head if head.starts_with(b"GET /length") => "content-length: 1073741824\r\n\r\nx",
                    _ => "content-length: 9223372036854775807\r\n\r\nx",
                };
                let answer = format!("HTTP/1.1 200 OK\r\ncache-control: max-age=60\r\n{framing}");
                socket.write_all(answer.as_bytes()).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let _ = socket.read(&mut head).await;
            });
        }
    });
    let rules = "
policies: {p: {share: public, ttl: 60s}}
routes: [{name: kept, path: /kept/**, policy: p}, {name: rest, path: /**}]";
    let process = Process::start(&configuration(origin_address, ", pool: {max: 900}", rules), None).await;
    let before = resident_bytes(process.child.id());
    let mut open = Vec::new();
    for number in 0..MANY {
        for asked in [
            format!("GET /chunked/{number} HTTP/1.1\r\nhost: a\r\n\r\n"),
            format!("GET /length/{number} HTTP/1.1\r\nhost: a\r\n\r\n"),
            format!("GET /kept/{number} HTTP/1.1\r\nhost: a\r\n\r\n"),
            format!("POST /upload/{number} HTTP/1.1\r\nhost: a\r\ncontent-length: 9223372036854775807\r\n\r\nx"),
        ] {
            let mut socket = tokio::net::TcpStream::connect(process.address).await.unwrap();
            socket.write_all(asked.as_bytes()).await.unwrap();
            open.push(socket);
        }
    }
    until("all have their announcement", async || answered.load(Ordering::SeqCst) >= 3 * MANY).await;
    let grown = resident_bytes(process.child.id()).saturating_sub(before);
    let each = grown / (4 * MANY);
    assert!(each < 64 << 10, "{each} bytes for each of {} connections", 4 * MANY);
}
