//! The processes of a test: an example origin, Stent before it. Each is stopped by its own handle when its test ends, however it
//! ends, and by the kernel when the test process is killed.

use std::collections::HashSet;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Answer, Request};

/// The longest wait for a process to start, or to end once it was told to.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// One of the examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Example {
    Django,
    FastApi,
}

impl Example {
    pub fn folder(self) -> PathBuf {
        let name = match self {
            Example::Django => "django",
            Example::FastApi => "fastapi",
        };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
    }

    pub fn config(self) -> PathBuf {
        self.folder().join("proxy.yaml")
    }

    fn count_path(self) -> &'static str {
        match self {
            Example::Django => "/_count/",
            Example::FastApi => "/_count",
        }
    }
}

/// An example as its README starts it, with a database and a port of its own.
pub struct Origin {
    pub example: Example,
    pub address: SocketAddr,
    process: Process,
    folder: tempfile::TempDir,
}

impl Origin {
    /// Starts it and returns at once: several may start beside each other. [`Origin::ready`] waits.
    pub fn start(example: Example) -> Origin {
        let folder = scratch();
        if example == Example::Django {
            std::fs::write(folder.path().join(DATABASE), clinic()).expect("a scratch folder can be written");
        }
        Origin::start_in(example, folder)
    }

    fn start_in(example: Example, folder: tempfile::TempDir) -> Origin {
        let log = folder.path().join("log");
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = dying_with_us(&example.folder().join("run"));
        command
            .arg(address.port().to_string())
            .env("PYTHON", python())
            // Two that are to be compared list things in the same order.
            .env("PYTHONHASHSEED", "0")
            .env("CLINIC_DB", folder.path().join(DATABASE))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(log).expect("a scratch folder can be written"));
        Origin { example, address, process: Process::start(command), folder }
    }

    /// Waits until it answers. Where somebody else took the port meanwhile it is started again on another.
    pub fn ready(mut self) -> Origin {
        for _ in 0..5 {
            if self.answers() {
                return self;
            }
            self = Origin::start(self.example);
        }
        panic!("{:?} does not start:\n{}", self.example, self.log());
    }

    /// What it has been asked, by path, since it started.
    pub fn counts(&self) -> Value {
        Request::get(self.example.count_path()).ask(self.address).json()
    }

    /// How often it has been asked for a path.
    pub fn count(&self, path: &str) -> u64 {
        self.counts()[path].as_u64().unwrap_or(0)
    }

    fn answers(&mut self) -> bool {
        let until = Instant::now() + PATIENCE;
        while self.process.is_running() {
            assert!(Instant::now() < until, "{:?} takes too long to start:\n{}", self.example, self.log());
            if TcpStream::connect(self.address).is_ok() {
                assert_eq!(Request::get(self.example.count_path()).ask(self.address).status, 200);
                return self.process.is_running();
            }
            pause();
        }
        false
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

const DATABASE: &str = "db.sqlite3";

/// The clinic's database as its first start makes it, made once for all tests: that is most of what a start takes.
fn clinic() -> &'static [u8] {
    static MADE: OnceLock<Vec<u8>> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut first = Origin::start_in(Example::Django, scratch());
        let until = Instant::now() + PATIENCE;
        loop {
            // Moved into place whole, and before anybody has asked for anything nobody writes to it.
            if let Ok(database) = std::fs::read(first.folder.path().join(DATABASE)) {
                return database;
            }
            let fine = first.process.is_running() && Instant::now() < until;
            assert!(fine, "the clinic makes no database:\n{}", first.log());
            pause();
        }
    })
}

/// Stent with a configuration, on ports of its own.
pub struct Stent {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    process: Process,
    _folder: tempfile::TempDir,
}

impl Stent {
    /// With the example's own configuration.
    pub fn before(origin: &Origin) -> Stent {
        Stent::with(&origin.example.config(), origin)
    }

    pub fn with(config: &Path, origin: &Origin) -> Stent {
        Stent::leading_to(Path::new(env!("CARGO_BIN_EXE_stent")), config, origin.address)
    }

    /// With a configuration that is written here, for an origin at this address.
    pub fn by(configuration: &str, origin: SocketAddr) -> Stent {
        Stent::of(Path::new(env!("CARGO_BIN_EXE_stent")), configuration, origin)
    }

    /// The same with any build of it.
    pub fn of(binary: &Path, configuration: &str, origin: SocketAddr) -> Stent {
        let folder = scratch();
        let file = folder.path().join("proxy.yaml");
        std::fs::write(&file, configuration).expect("a scratch folder can be written");
        Stent::leading_to(binary, &file, origin)
    }

    fn leading_to(binary: &Path, config: &Path, origin: SocketAddr) -> Stent {
        let folder = scratch();
        let log = folder.path().join("log");
        let mut command = dying_with_us(binary);
        command
            .args(["run", "--config"])
            .arg(config)
            .env("ORIGIN", origin.to_string())
            .env("STENT_LISTEN", "127.0.0.1:0")
            .env("STENT_ADMIN", "127.0.0.1:0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("a scratch folder can be written"));
        let mut process = Process::start(command);
        let until = Instant::now() + PATIENCE;
        loop {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let address = |what| said.lines().find_map(|line| line.strip_prefix(what)?.parse().ok());
            // The admin's line is the last one.
            if let Some(admin) = address("stent: admin on http://") {
                let address = address("stent: listening on http://").expect("it says where it listens");
                return Stent { address, admin, process, _folder: folder };
            }
            assert!(process.is_running() && Instant::now() < until, "stent does not start:\n{said}");
            pause();
        }
    }

    pub fn ask(&self, request: &Request) -> Answer {
        request.ask(self.address)
    }

    /// Purges through the admin; returns once that is acknowledged.
    pub fn purge(&self, tags: &[&str]) {
        let call = serde_json::json!({ "tags": tags }).to_string();
        let receipt = Request::new("POST", "/api/v1/purge").json(&call).ask(self.admin);
        assert_eq!((receipt.status, &receipt.json()["acknowledged"]), (200, &Value::Bool(true)));
    }

    /// Tells it to stop, and returns at once.
    pub fn terminate(&self) {
        self.process.terminate();
    }

    /// How it ended.
    pub fn ended(mut self) -> ExitStatus {
        self.process.ended().expect("stent ends after SIGTERM")
    }
}

/// A process that does not outlive its owner.
pub struct Process {
    child: Child,
}

impl Process {
    pub fn start(mut command: Command) -> Process {
        let child = command.spawn().unwrap_or_else(|error| panic!("starting {command:?}: {error}"));
        Process { child }
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn terminate(&self) {
        // Until it is waited for, its id is nobody else's.
        let told = Command::new("sh").args(["-c", "kill -TERM \"$0\"", &self.child.id().to_string()]).status();
        // In a panic already, a second one would hide the first.
        let told = told.is_ok_and(|status| status.success());
        assert!(told || std::thread::panicking(), "it could not be told to stop");
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            pause();
        }
        None
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.terminate();
            if self.ended().is_none() {
                let _ = self.child.kill();
            }
        }
        let _ = self.child.wait();
    }
}

/// A command for a process that the kernel ends when the thread which started it does: the test's own. Where there is no
/// `setpriv`, only a test process that is killed leaves it behind.
pub fn dying_with_us(program: &Path) -> Command {
    let there = std::env::var_os("PATH").is_some_and(|path| {
        let mut folders = std::env::split_paths(&path);
        folders.any(|folder| folder.join("setpriv").exists())
    });
    if !there {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// The Python that `tests/setup` prepares.
fn python() -> PathBuf {
    if let Some(python) = std::env::var_os("STENT_TEST_PYTHON") {
        return PathBuf::from(python);
    }
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::var_os("CARGO_TARGET_DIR").map(|target| repository.join(target));
    let targets = [target, Some(repository.join("target"))];
    let found = targets.into_iter().flatten().map(|target| target.join("venv/bin/python")).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("the example origins need their Python packages: run tests/setup once"))
}

/// A folder that goes with its owner.
pub fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder can be written")
}

/// A port that was free a moment ago, and that no other test of this process has been given.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    loop {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let mut given = GIVEN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if given.get_or_insert_default().insert(port) {
            return port;
        }
    }
}

/// Between two looks at something that is awaited with a deadline.
pub fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
