//! A server under test: started with a configuration that does the same as the others', and asked for proof that it does.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::args::Kind;
use crate::children::Process;
use crate::client::Connection;
use crate::{Outcome, Row, servers};

/// How long a server may take until it accepts connections.
const STARTING: Duration = Duration::from_secs(10);

/// What the servers of one run share.
pub struct Place {
    folder: PathBuf,
    pub origin: SocketAddr,
}

/// A server that was started.
pub struct Server {
    pub name: String,
    pub address: SocketAddr,
    pub process: Process,
    nature: Nature,
    /// What it wrote to its standard output and error.
    said: PathBuf,
    folder: PathBuf,
    script: PathBuf,
    runs: AtomicU64,
}

/// Where a server has its answers from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nature {
    /// From the origin once, and then from its store.
    Cache,
    /// It has them itself.
    Itself,
    /// From the origin each time.
    Relay,
}

/// A folder for configurations, logs and nginx's files; in memory where there is such a place.
pub fn folder() -> Outcome<TempDir> {
    use std::os::unix::fs::PermissionsExt;
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    // A server that runs as nobody reads its configuration there.
    let open = std::fs::Permissions::from_mode(0o755);
    Ok(tempfile::Builder::new().prefix("stent-bench-").permissions(open).tempdir_in(parent)?)
}

/// A port that nothing listens on, none twice. The kernel would give one of those that outgoing connections have as well, and
/// between here and the server's start one of those might take it.
pub fn free_address() -> Outcome<SocketAddr> {
    static TRIED: AtomicU32 = AtomicU32::new(0);
    const PORTS: std::ops::Range<u32> = 12_000..32_000;
    let many = PORTS.end - PORTS.start;
    for _ in PORTS {
        let turn = (std::process::id() + TRIED.fetch_add(1, Ordering::Relaxed)) % many;
        let port = u16::try_from(PORTS.start + turn)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(([127, 0, 0, 1], port).into());
        }
    }
    Err("no port is free".into())
}

impl Place {
    pub fn new(folder: &Path) -> Outcome<Place> {
        std::fs::write(folder.join("unique.lua"), include_str!("unique.lua"))?;
        Ok(Place { folder: folder.to_owned(), origin: free_address()? })
    }

    /// The folder of one server.
    pub fn folder_of(&self, name: &str) -> Outcome<PathBuf> {
        let folder = self.folder.join(name.replace(' ', "-"));
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Writes a file, filled in, into the folder of a server.
    pub fn write(&self, name: &str, file: &str, template: &str, values: &[(&str, &str)]) -> Outcome<PathBuf> {
        let folder = self.folder_of(name)?;
        let (origin, host, port) =
            (self.origin.to_string(), self.origin.ip().to_string(), self.origin.port().to_string());
        let shared = [
            ("@origin@", origin.as_str()),
            ("@origin_host@", host.as_str()),
            ("@origin_port@", port.as_str()),
            ("@folder@", folder.to_str().ok_or("folder is not text")?),
        ];
        let filled =
            shared.iter().chain(values).fold(template.to_owned(), |text, (key, value)| text.replace(key, value));
        let file = folder.join(file);
        std::fs::write(&file, filled)?;
        Ok(file)
    }

    /// Starts it, and does not wait for it.
    pub fn start(&self, name: &str, address: SocketAddr, nature: Nature, command: Command) -> Outcome<Server> {
        let folder = self.folder_of(name)?;
        let said = folder.join("said");
        let process = Process::start(command, &said)?;
        let script = self.folder.join("unique.lua");
        Ok(Server { name: name.to_owned(), address, process, nature, said, folder, script, runs: AtomicU64::new(0) })
    }
}

impl Server {
    /// Until it accepts connections.
    pub fn wait(&mut self) -> Outcome<()> {
        let until = Instant::now() + STARTING;
        while TcpStream::connect(self.address).is_err() {
            if !self.process.is_running() || Instant::now() > until {
                let said = std::fs::read_to_string(&self.said).unwrap_or_default();
                return Err(format!("{} does not listen on {}:\n{said}", self.name, self.address).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether it can do what rows of this kind ask for.
    pub fn takes(&self, kind: Kind) -> bool {
        match self.nature {
            Nature::Cache => true,
            Nature::Itself => kind == Kind::Hit,
            // Handing on is the least that a miss can cost.
            Nature::Relay => kind == Kind::Pass || kind == Kind::Miss,
        }
    }

    /// Fills the cache for a row, and fails if the answers are not what the row says.
    ///
    /// The origin gives each of its answers an `ETag` of its own: two that have the same are one answer, and the second
    /// of them was kept.
    pub fn check(&self, row: Row) -> Outcome<()> {
        let mut connection = Connection::open(self.address)?;
        let path = match row.kind {
            Kind::Miss => format!("{}/{}", row.path(), self.next_run()),
            Kind::Hit | Kind::Pass => row.path(),
        };
        let (first, second) = (connection.get(&path)?, connection.get(&path)?);
        for answer in [&first, &second] {
            if answer.status != 200 || answer.body != servers::payload(row.bytes()) {
                return Err(format!("status {} and {} bytes", answer.status, answer.body.len()).into());
            }
        }
        let etag = |answer: &crate::client::Answer| answer.field("etag").map(str::to_owned).ok_or("no etag");
        let kept = etag(&first)? == etag(&second)?;
        let keeps = self.nature != Nature::Relay && row.kind != Kind::Pass;
        match (kept, keeps) {
            (true, false) => Err("what has to come from the origin was kept".into()),
            (false, true) => Err("what has to be kept came from the origin again".into()),
            _ => Ok(()),
        }
    }

    /// Empties its log of requests, if it has one: the folder may be in memory.
    pub fn empty_log(&self) -> Outcome<()> {
        match std::fs::OpenOptions::new().write(true).open(self.folder.join("access.log")) {
            Ok(file) => Ok(file.set_len(0)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What makes wrk ask for a new path each time.
    pub fn unique_script(&self) -> &Path {
        &self.script
    }

    /// What sets one run of the script apart from all others at this server.
    pub fn next_run(&self) -> String {
        format!("run{}", self.runs.fetch_add(1, Ordering::Relaxed))
    }
}
