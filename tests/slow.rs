//! Thousands of slow clients: a third whose heads do not end, a third whose bodies do not, a third that does not read. They hold
//! their own sockets, no more and no longer than the limits say, and those who are not slow notice nothing.
//!
//! Stent runs as a process of its own, so that its memory and its descriptors are its own. Of 4 000 slow clients there are fewer
//! where descriptors are scarce.

#[path = "it/scenario.rs"]
mod scenario;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use scenario::{Client, Origin, answer};
use socket2::{Domain, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest that anybody who is not slow may wait.
const UNNOTICED: Duration = Duration::from_secs(5);

/// What thousands of slow clients may take, over what the process had before.
const MEMORY_BYTES: u64 = 64 << 20;

/// Each crowd takes most of the descriptors that there are.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Larger than what fits into sockets.
const LARGE_BYTES: usize = 4 << 20;

#[tokio::test]
async fn nobody_notices_slow_clients() {
    // Each slow body is on its way to the origin: there is room for them and for the others.
    crowd("pool: {max: 3000}").await;
}

/// Slow bodies take the places for connections to the origin only once they are there.
#[tokio::test]
async fn slow_bodies_take_no_places_from_others() {
    crowd("pool: {max: 50}").await;
}

async fn crowd(upstream: &str) {
    let _alone = ONE_AT_A_TIME.lock().await;
    let origin = Origin::start(|seen| async move {
        match seen.path() {
            "/kept/large" => answer(200, &[], vec![b'x'; LARGE_BYTES]),
            _ => answer(200, &[], "small"),
        }
    })
    .await;
    let stent = Stent::start(origin.address, upstream);
    let client = Client { address: stent.address };
    for path in ["/kept/large", "/kept/small", "/passed"] {
        assert_eq!(client.get(path).send().await.status, 200);
    }
    let (memory, descriptors) = (stent.memory_bytes(), stent.descriptors());
    let honest = Honest::begin(client);
    let slow = Slow::begin(stent.address, many());
    stent.until("the slow clients are there", |stent| stent.descriptors() >= descriptors + many() * 9 / 10).await;
    let mut most = stent.memory_bytes();
    let all_gone = |stent: &Stent| {
        most = most.max(stent.memory_bytes());
        // Some of those who are not slow are always there.
        stent.descriptors() <= descriptors + 100
    };
    stent.until("the slow clients are gone", all_gone).await;
    slow.end();
    let (answers, longest) = honest.end().await;
    assert!(answers >= 200, "only {answers} requests of others were answered");
    assert!(longest < UNNOTICED, "somebody waited {longest:?}");
    let more = most.saturating_sub(memory);
    println!("{} slow clients: {answers} others, the longest {longest:?}, {} KiB more", many(), more >> 10);
    assert!(more < MEMORY_BYTES, "{} MiB more", more >> 20);
}

/// Connections to the origin, of which there are fewer than there are clients who hold one.
const POOL: usize = 100;

/// Longer than a body that anything keeps whole.
const HUGE_BYTES: usize = 12 << 20;

/// Requests of those who are not slow, for each way of being slow: enough that one wait at the beginning is no 99th percentile.
const REQUESTS: usize = 400;

/// What nobody can do better in than the patience with those who have only just begun to be slow, and what a busy machine adds.
const NOTICED: Duration = Duration::from_secs(2);

#[tokio::test]
async fn whoever_holds_connections_shuts_nobody_out() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let huge = bytes::Bytes::from(vec![b'x'; HUGE_BYTES]);
    let large = bytes::Bytes::from(vec![b'x'; LARGE_BYTES]);
    let senders = Arc::new(std::sync::Mutex::new(Vec::new()));
    let origin = Origin::start(move |seen| {
        let path = seen.path();
        let answer = match path {
            "/events" => {
                let (answer, sender) = scenario::streaming(200, &[("content-type", "text/event-stream")]);
                let _ = sender.send(Ok(bytes::Bytes::from_static(b"data: 1\n\n")));
                senders.lock().expect("nobody panics").push(sender);
                answer
            }
            _ if path.contains("/huge") => answer(200, &[], huge.clone()),
            _ if path.contains("/large") => answer(200, &[], large.clone()),
            _ => answer(200, &[], "small"),
        };
        std::future::ready(answer)
    })
    .await;
    let sockets = granting().await;
    let body = "x".repeat(100_000);
    let upload = format!("POST /passed HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n{body}");
    let get = |path: &str, more: &str| format!("GET {path} HTTP/1.1\r\nHost: h\r\n{more}\r\n");
    let kinds = [
        ("a pass", "in_flight", get("/huge", "")),
        ("a miss", "idle", get("/kept/large/M", "")),
        ("over max_object", "in_flight", get("/kept/huge/N", "")),
        ("a range", "in_flight", get("/huge", "Range: bytes=5-\r\n")),
        ("an upload", "in_flight", upload),
        ("events", "streams", get("/events", "")),
        ("a WebSocket", "streams", get("/ws/x", "Connection: Upgrade\r\nUpgrade: websocket\r\n")),
    ];
    for (kind, shown, text) in kinds {
        for wanted in [110, 1000] {
            let servers = if kind == "a WebSocket" { sockets } else { origin.address };
            let stent = Stent::start(servers, &format!("pool: {{max: {POOL}}}"));
            let quiet = Asked::by([127, 0, 0, 1], stent.address).await;
            let many = many().min(wanted);
            let (address, text) = (stent.address, text.clone());
            // Each its own; or a hundred, that what takes time is who holds and not how much is fetched.
            let own =
                move |turn: usize| text.replace("/N", &format!("/{turn}")).replace("/M", &format!("/{}", turn % 100));
            let one = move |turn: usize| slow_client(address, &own(turn));
            let hold = move || (0..many).map(one).collect::<Vec<_>>();
            let held = tokio::task::spawn_blocking(hold).await.expect("they connect");
            let least = if shown == "idle" { 1 } else { POOL * 3 / 4 };
            let until = Instant::now() + scenario::LIMIT;
            while stent.connections(shown).await < least {
                assert!(Instant::now() < until, "{kind}: they are not there");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            // Beside those who ask the origin itself: what the machine and the origin are busy with holds up both.
            let (others, without) =
                tokio::join!(Asked::by([127, 0, 0, 2], stent.address), Asked::by([127, 0, 0, 3], origin.address));
            let same = Asked::by([127, 0, 0, 1], stent.address).await;
            let later = Asked::by([127, 0, 0, 2], stent.address).await;
            println!(
                "{many:4} hold {kind:15}: quiet {quiet}; another address {others}, without Stent {without}, later {later}; the same {same}"
            );
            // At once: the slow ones are being told from others, and what they asked for is being fetched.
            assert!(others.longest < NOTICED, "{many} of {kind}: somebody waited {others}");
            let bound = (quiet.p99 * 3).max(Duration::from_millis(20));
            assert!(later.p99 <= bound, "{many} of {kind}: {later} beside {quiet}");
            // Those with the same address come one after the other, however many there are: until `deadline` at the longest.
            let bound = if many > 110 { Duration::from_secs(30) } else { NOTICED };
            assert!(same.longest < bound, "{many} of {kind}: somebody waited {same}");
            drop(held);
        }
    }
}

/// How long requests took that are not slow.
struct Asked {
    p99: Duration,
    longest: Duration,
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p99 {:.1?}, longest {:.1?}", self.p99, self.longest)
    }
}

impl Asked {
    /// By two at a time, from this address, each on a connection of its own.
    async fn by(from: [u8; 4], address: SocketAddr) -> Asked {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..2 {
            tasks.spawn(async move {
                let mut took = Vec::new();
                for _ in 0..REQUESTS / 2 {
                    took.push(asked_once(from, address).await);
                }
                took
            });
        }
        let mut took = tasks.join_all().await.concat();
        took.sort_unstable();
        Asked { p99: took[took.len() * 99 / 100], longest: took[took.len() - 1] }
    }
}

async fn asked_once(from: [u8; 4], address: SocketAddr) -> Duration {
    let asked = Instant::now();
    let socket = tokio::net::TcpSocket::new_v4().expect("a descriptor");
    socket.bind((from, 0).into()).expect("the whole of 127.0.0.0/8 is this machine");
    let mut stream = socket.connect(address).await.expect("it listens");
    let asking = b"GET /passed HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    stream.write_all(asking).await.expect("it reads");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("it answers");
    assert!(reply.starts_with("HTTP/1.1 200 ") && reply.ends_with("small"), "after {:?}: {reply}", asked.elapsed());
    asked.elapsed()
}

/// An origin that grants every WebSocket, and answers all else.
async fn granting() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut head = Vec::new();
                while let Ok(1..) = stream.read_buf(&mut head).await {
                    if !head.ends_with(b"\r\n\r\n") {
                        continue;
                    }
                    let is_socket = head.to_ascii_lowercase().windows(18).any(|part| part == b"upgrade: websocket");
                    let answer: &[u8] = match is_socket {
                        true => {
                            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
                        }
                        false => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmall",
                    };
                    let _ = stream.write_all(answer).await;
                    head.clear();
                }
            });
        }
    });
    address
}

/// A thousand connections that say nothing, each closed and opened again all the time.
#[tokio::test]
async fn the_admin_cannot_be_held_silent() {
    let _alone = ONE_AT_A_TIME.lock().await;
    let origin = Origin::start(|_| async { answer(200, &[], "small") }).await;
    let stent = Stent::start(origin.address, "pool: {max: 50}");
    let admin = stent.admin;
    let ended = Arc::new(AtomicBool::new(false));
    let told = ended.clone();
    let (full, is_full) = tokio::sync::oneshot::channel();
    let many = many().min(1000);
    let crowd = std::thread::spawn(move || {
        let connect = |_| TcpStream::connect(admin).expect("it listens");
        let mut silent: Vec<TcpStream> = (0..many).map(connect).collect();
        full.send(()).expect("somebody waits");
        for turn in 0.. {
            if told.load(Ordering::Relaxed) {
                return turn;
            }
            silent[turn % many] = connect(turn);
            // A thousand a second, not as many as the machine can.
            std::thread::sleep(Duration::from_millis(1));
        }
        0
    });
    is_full.await.expect("they are there");
    let (began, mut longest, mut answers) = (Instant::now(), Duration::ZERO, 0);
    while began.elapsed() < Duration::from_secs(5) {
        for (method, path, body) in [("GET", "/livez", ""), ("POST", "/api/v1/purge", "{\"tags\":[\"a\"]}")] {
            let asked = Instant::now();
            let reply = Client { address: admin }.ask(method, path).body(body).send().await;
            assert_eq!(reply.status, 200, "{path}");
            longest = longest.max(asked.elapsed());
            answers += 1;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ended.store(true, Ordering::Relaxed);
    let renewed = crowd.join().expect("they do not panic");
    println!("{many} silent, {renewed} renewed: {answers} calls, the longest {longest:?}");
    assert!(renewed >= 500, "only {renewed} came");
    assert!(longest < Duration::from_secs(1), "somebody waited {longest:?}");
}

/// As many slow clients as there are descriptors for: on this side of a slow upload there are two.
fn many() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let open: usize = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(1024);
    (open.saturating_sub(300) * 2 / 3).min(4000)
}

/// Clients that dribble, or do not read, until they are told to end.
struct Slow {
    ended: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Slow {
    fn begin(address: SocketAddr, many: usize) -> Slow {
        let ended = Arc::new(AtomicBool::new(false));
        let told = ended.clone();
        let thread = std::thread::spawn(move || {
            let begun = |text: &'static str| (0..many / 3).map(move |_| slow_client(address, text));
            let mut heads: Vec<TcpStream> = begun("GET /passed HTTP/1.1\r\nHost: h\r\nX-Slow: ").collect();
            let mut bodies: Vec<TcpStream> =
                begun("POST /passed HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n").collect();
            let _readers: Vec<TcpStream> = begun("GET /kept/large HTTP/1.1\r\nHost: h\r\n\r\n").collect();
            for round in 0.. {
                if told.load(Ordering::Relaxed) {
                    return;
                }
                // Heads never end, and their time is over all the same; bodies fall silent.
                let dribbling = heads.iter_mut().chain(bodies.iter_mut().filter(|_| round < 3));
                for one in dribbling {
                    let _ = one.write(b"x");
                }
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Slow { ended, thread }
    }

    fn end(self) {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("slow clients do not panic");
    }
}

/// One that takes little at a time, so that the kernel keeps little for it.
fn slow_client(address: SocketAddr, text: &str) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a descriptor");
    socket.set_recv_buffer_size(8 << 10).expect("a socket");
    socket.set_tcp_mss(1400).expect("a socket");
    socket.connect(&address.into()).expect("it listens");
    let mut stream = TcpStream::from(socket);
    stream.write_all(text.as_bytes()).expect("it listens");
    stream.set_nonblocking(true).expect("a socket");
    stream
}

/// Clients that are not slow, one request after the other.
struct Honest {
    ended: Arc<AtomicBool>,
    tasks: tokio::task::JoinSet<(usize, Duration)>,
}

impl Honest {
    fn begin(client: Client) -> Honest {
        let ended = Arc::new(AtomicBool::new(false));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let told = ended.clone();
            tasks.spawn(async move {
                let (mut answers, mut longest) = (0, Duration::ZERO);
                while !told.load(Ordering::Relaxed) {
                    for path in ["/kept/small", "/passed"] {
                        let asked = Instant::now();
                        let reply = client.get(path).send().await;
                        assert_eq!((reply.status, reply.text().as_str()), (200, "small"), "{path}");
                        longest = longest.max(asked.elapsed());
                        answers += 1;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                (answers, longest)
            });
        }
        Honest { ended, tasks }
    }

    /// How many were answered, and the longest wait.
    async fn end(self) -> (usize, Duration) {
        self.ended.store(true, Ordering::Relaxed);
        let each = self.tasks.join_all().await;
        let longest = each.iter().map(|&(_, longest)| longest).max().unwrap_or_default();
        (each.iter().map(|&(answers, _)| answers).sum(), longest)
    }
}

/// The program, as a process.
struct Stent {
    address: SocketAddr,
    admin: SocketAddr,
    process: Process,
    _folder: tempfile::TempDir,
}

/// Ends with its owner.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stent {
    fn start(origin: SocketAddr, upstream: &str) -> Stent {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written");
        let (config, log) = (folder.path().join("proxy.yaml"), folder.path().join("log"));
        let text = format!(
            "server: {{listen: 127.0.0.1:0, workers: 2, limits: {{header_timeout: 5s, idle_timeout: 3s}}}}\n\
             admin: {{listen: 127.0.0.1:0}}\n\
             upstreams: {{origin: {{servers: [\"http://{origin}\"], {upstream}}}}}\n\
             policies: {{kept: {{share: public, ttl: 5m}}}}\n\
             routes: [{{name: kept, path: /kept/**, policy: kept}}, {{name: ws, path: /ws/**, websocket: true}}, {{name: all, path: /**}}]\n"
        );
        std::fs::write(&config, text).expect("a scratch folder can be written");
        let mut command = Command::new("sh");
        command
            .args(["-c", "ulimit -n \"$(ulimit -H -n)\"; exec \"$0\" run --config \"$1\""])
            .arg(env!("CARGO_BIN_EXE_stent"))
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a scratch folder can be written"));
        let process = Process(command.spawn().expect("there is a shell"));
        let until = Instant::now() + scenario::LIMIT;
        loop {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let find = |text| said.lines().find_map(|line: &str| line.strip_prefix(text)?.parse().ok());
            let addresses = find("stent: listening on http://").zip(find("stent: admin on http://"));
            if let Some((address, admin)) = addresses {
                return Stent { address, admin, process, _folder: folder };
            }
            assert!(Instant::now() < until, "stent does not start:\n{said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// How many of the connections to the origin do this.
    async fn connections(&self, what: &str) -> usize {
        let told = Client { address: self.admin }.get("/api/v1/upstreams").send().await;
        let told: serde_json::Value = serde_json::from_slice(&told.body).expect("it is JSON");
        told[0]["connections"][what].as_u64().expect("a number") as usize
    }

    /// Resident.
    fn memory_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.0.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.0.id())).expect("it runs").count()
    }

    /// Waits until something is true, within a limit.
    async fn until(&self, what: &str, mut is: impl FnMut(&Stent) -> bool) {
        let until = Instant::now() + scenario::LIMIT;
        while !is(self) {
            assert!(Instant::now() < until, "{what}: not in time, with {} descriptors", self.descriptors());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
