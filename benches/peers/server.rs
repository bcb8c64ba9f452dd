//! A peer: started with a configuration that does the same as the others', and asked for proof that it does.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::args::{Kind, SERVE_ORIGIN, SERVE_PROXY};
use crate::children::{self, LOAD_CORE, Process, SERVER_CORE};
use crate::client::{Answer, Connection};
use crate::{Outcome, Row, servers};

/// The Stent that was built with this bench.
const STENT: &str = env!("CARGO_BIN_EXE_stent");

/// How long a server may take until it accepts connections.
const STARTING: Duration = Duration::from_secs(10);

/// What the servers of one run share.
pub struct Place {
    folder: PathBuf,
    origin: SocketAddr,
}

/// A server that listens.
pub struct Server {
    pub name: String,
    pub address: SocketAddr,
    pub process: Process,
    proof: Proof,
    script: PathBuf,
    runs: AtomicU64,
}

/// How a server shows what its cache did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// `Cache-Status`, RFC 9211.
    CacheStatus,
    /// `X-Cache: HIT`.
    XCache,
    /// It answers by itself and stores nothing.
    Constant,
    /// It has no cache.
    None,
}

/// A folder for configurations, logs and nginx's files; in memory where there is such a place.
pub fn folder() -> Outcome<TempDir> {
    let memory = Path::new("/dev/shm");
    let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    Ok(tempfile::Builder::new().prefix("stent-bench-").tempdir_in(parent)?)
}

impl Place {
    pub fn new(folder: &Path) -> Outcome<Place> {
        std::fs::write(folder.join("unique.lua"), include_str!("unique.lua"))?;
        Ok(Place { folder: folder.to_owned(), origin: free_address()? })
    }

    /// Writes a configuration, filled in, into a folder of its own.
    fn configuration(&self, name: &str, template: &str, values: &[(&str, &str)]) -> Outcome<PathBuf> {
        let folder = self.folder.join(name.replace(' ', "-"));
        std::fs::create_dir_all(&folder)?;
        let origin = self.origin.to_string();
        let shared = [("@origin@", origin.as_str()), ("@folder@", folder.to_str().ok_or("folder is not text")?)];
        let filled =
            shared.iter().chain(values).fold(template.to_owned(), |text, (key, value)| text.replace(key, value));
        let file = folder.join("configuration");
        std::fs::write(&file, filled)?;
        Ok(file)
    }

    fn start(&self, name: &str, address: SocketAddr, proof: Proof, command: Command) -> Outcome<Server> {
        let log = self.folder.join(format!("{}.log", name.replace(' ', "-")));
        let process = Process::start(command, &log)?;
        let script = self.folder.join("unique.lua");
        let mut server = Server { name: name.to_owned(), address, process, proof, script, runs: AtomicU64::new(0) };
        let until = Instant::now() + STARTING;
        while TcpStream::connect(address).is_err() {
            if !server.process.is_running() || Instant::now() > until {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                return Err(format!("{name} does not listen on {address}:\n{said}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }
}

/// All that are installed, Stent first. Says which are not.
pub fn all(place: &Place, also: &[PathBuf]) -> Outcome<Vec<Server>> {
    let mut all = vec![stent(place, "stent", Path::new(STENT))?.0];
    for (index, binary) in also.iter().enumerate() {
        all.push(stent(place, &format!("stent {}", index + 2), binary)?.0);
    }
    match children::find("nginx") {
        Some(binary) => {
            all.push(nginx(place, "nginx", &binary, "")?);
            // What its manual advises beside, and few turn on: files stay open between requests.
            let open = "open_file_cache max=20000 inactive=1h; open_file_cache_valid 1h;";
            all.push(nginx(place, "nginx, open files", &binary, open)?);
        }
        None => eprintln!("nginx is not installed: no column for it (apt install nginx)"),
    }
    match children::find("haproxy") {
        Some(binary) => all.push(haproxy(place, &binary)?),
        None => eprintln!("haproxy is not installed: no column for it (apt install haproxy)"),
    }
    let address = free_address()?;
    let command = own(SERVER_CORE, &[SERVE_ORIGIN, &address.to_string()])?;
    all.push(place.start("hyper server", address, Proof::Constant, command)?);
    let address = free_address()?;
    let command = own(SERVER_CORE, &[SERVE_PROXY, &address.to_string(), &place.origin.to_string()])?;
    all.push(place.start("hyper proxy", address, Proof::None, command)?);
    Ok(all)
}

/// What all of them stand in front of, beside the load.
pub fn origin(place: &Place) -> Outcome<Server> {
    let command = own(LOAD_CORE, &[SERVE_ORIGIN, &place.origin.to_string()])?;
    place.start("origin", place.origin, Proof::Constant, command)
}

/// A Stent with one worker, and where its admin listens.
pub fn stent(place: &Place, name: &str, binary: &Path) -> Outcome<(Server, SocketAddr)> {
    let (address, admin) = (free_address()?, free_address()?);
    let values = [("@listen@", &*address.to_string()), ("@admin@", &*admin.to_string())];
    let configuration = place.configuration(name, include_str!("stent.yaml"), &values)?;
    let mut command = children::command(SERVER_CORE, binary);
    command.args(["run", "--config"]).arg(configuration);
    Ok((place.start(name, address, Proof::CacheStatus, command)?, admin))
}

/// The Stent that was built with this bench, by itself.
pub fn stent_alone(place: &Place) -> Outcome<(Server, SocketAddr)> {
    stent(place, "stent alone", Path::new(STENT))
}

fn nginx(place: &Place, name: &str, binary: &Path, open_file_cache: &str) -> Outcome<Server> {
    let address = free_address()?;
    let values = [("@listen@", &*address.to_string()), ("@open_file_cache@", open_file_cache)];
    let configuration = place.configuration(name, include_str!("nginx.conf"), &values)?;
    let mut command = children::command(SERVER_CORE, binary);
    command.arg("-e").arg(configuration.with_file_name("error.log")).arg("-c").arg(configuration);
    place.start(name, address, Proof::XCache, command)
}

fn haproxy(place: &Place, binary: &Path) -> Outcome<Server> {
    let address = free_address()?;
    let values = [("@listen@", &*address.to_string())];
    let configuration = place.configuration("haproxy", include_str!("haproxy.cfg"), &values)?;
    let mut command = children::command(SERVER_CORE, binary);
    command.arg("-db").arg("-f").arg(configuration);
    place.start("haproxy", address, Proof::XCache, command)
}

fn own(core: &str, arguments: &[&str]) -> Outcome<Command> {
    let mut command = children::command(core, std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

impl Server {
    /// Whether it can do what rows of this kind ask for.
    pub fn takes(&self, kind: Kind) -> bool {
        match self.proof {
            Proof::CacheStatus | Proof::XCache => true,
            Proof::Constant => kind == Kind::Hit,
            // Handing on is the least that a miss can cost.
            Proof::None => kind == Kind::Pass || kind == Kind::Miss,
        }
    }

    /// Fills the cache for a row, and fails if the answers are not what the row says.
    pub fn check(&self, row: Row) -> Outcome<()> {
        let mut connection = Connection::open(self.address)?;
        let path = match row.kind {
            Kind::Miss => format!("{}/{}", row.path(), self.next_run()),
            Kind::Hit | Kind::Pass | Kind::Memory => row.path(),
        };
        let first = connection.get(&path)?;
        let second = connection.get(&path)?;
        for answer in [&first, &second] {
            if answer.status != 200 || answer.body != servers::payload(row.bytes()) {
                return Err(format!("status {} and {} bytes", answer.status, answer.body.len()).into());
            }
        }
        let wanted = match row.kind {
            Kind::Pass => [false, false],
            Kind::Miss => [false, true],
            Kind::Hit | Kind::Memory => [self.is_hit(&first), true],
        };
        let has_cache = matches!(self.proof, Proof::CacheStatus | Proof::XCache);
        match [self.is_hit(&first), self.is_hit(&second)] {
            seen if has_cache && seen != wanted => Err(format!("hits are {seen:?} and should be {wanted:?}").into()),
            _ => Ok(()),
        }
    }

    fn is_hit(&self, answer: &Answer) -> bool {
        match self.proof {
            Proof::CacheStatus => answer.field("cache-status").is_some_and(|status| status.contains("; hit")),
            Proof::XCache => answer.field("x-cache") == Some("HIT"),
            Proof::Constant | Proof::None => false,
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

/// A port that nothing listens on.
fn free_address() -> Outcome<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
