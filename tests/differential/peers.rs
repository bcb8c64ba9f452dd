//! How each peer is started: a cache with nothing but its own judgement, in front of the scripted origin, in a folder of its own
//! and on a free port. What its manual advises for following the origin is switched on.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::run::Subject;

/// How long a peer may take until it accepts connections, and to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cache of others.
pub struct Known {
    pub name: &'static str,
    program: &'static str,
    start: fn(&Place<'_>) -> Outcome<Command>,
}

/// All of them; Debian's packages have their names.
pub const ALL: [Known; 4] = [
    Known { name: "nginx", program: "nginx", start: nginx },
    Known { name: "varnish", program: "varnishd", start: varnish },
    Known { name: "trafficserver", program: "traffic_server", start: traffic_server },
    Known { name: "squid", program: "squid", start: squid },
];

/// One that runs, and ends with its handle.
pub struct Peer {
    pub name: &'static str,
    pub subject: Subject,
    child: Child,
    _folder: tempfile::TempDir,
}

/// Where one is to run.
struct Place<'a> {
    binary: &'a Path,
    folder: &'a Path,
    listen: SocketAddr,
    origin: SocketAddr,
}

impl Known {
    /// Where it is installed. Daemons are in directories that are not in everybody's PATH.
    pub fn installed(&self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        folders.map(|folder| folder.join(self.program)).find(|file| file.is_file())
    }

    pub fn start(&self, binary: &Path, origin: SocketAddr) -> Outcome<Peer> {
        // One that runs as nobody reads its configuration there.
        let open = fs::Permissions::from_mode(0o777);
        let folder = tempfile::Builder::new().prefix("stent-differential-").permissions(open).tempdir()?;
        let listen = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
        let mut command = (self.start)(&Place { binary, folder: folder.path(), listen, origin })?;
        let said = folder.path().join("said");
        let file = fs::File::create(&said)?;
        let mut child = command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).spawn()?;
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(listen).is_err() {
            if child.try_wait()?.is_some() || Instant::now() > until {
                let _ = child.kill();
                let said = fs::read_to_string(&said).unwrap_or_default();
                return Err(format!("{} does not listen on {listen}:\n{said}", self.name).into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let subject = Subject { address: listen, admin: None };
        Ok(Peer { name: self.name, subject, child, _folder: folder })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Asked first, so that it ends what it started itself.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let until = Instant::now() + PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Place<'_> {
    /// Writes a file of its configuration, filled in.
    fn write(&self, file: &str, template: &str, values: &[(&str, &str)]) -> Outcome<PathBuf> {
        let (origin, listen) = (self.origin.to_string(), self.listen.to_string());
        let (origin_port, listen_port) = (self.origin.port().to_string(), self.listen.port().to_string());
        let shared = [
            ("@origin@", origin.as_str()),
            ("@origin_port@", origin_port.as_str()),
            ("@listen@", listen.as_str()),
            ("@listen_port@", listen_port.as_str()),
            ("@folder@", self.folder.to_str().ok_or("the folder is not text")?),
        ];
        let values = shared.iter().chain(values);
        let text = values.fold(template.to_owned(), |text, (key, value)| text.replace(key, value));
        let file = self.folder.join(file);
        fs::write(&file, text)?;
        Ok(file)
    }

    /// A command that the kernel ends if this process dies without doing so.
    fn command(&self, user: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command.args(user).args(["--pdeathsig", "TERM"]).arg(self.binary);
        command
    }
}

fn nginx(place: &Place<'_>) -> Outcome<Command> {
    let file = place.write("nginx.conf", include_str!("peers/nginx.conf"), &[])?;
    let mut command = place.command(&[]);
    command.arg("-e").arg(place.folder.join("error.log")).arg("-c").arg(file);
    Ok(command)
}

fn varnish(place: &Place<'_>) -> Outcome<Command> {
    let file = place.write("varnish.vcl", include_str!("peers/varnish.vcl"), &[])?;
    let mut command = place.command(&[]);
    command.args(["-F", "-j", "none", "-T", "none", "-s", "malloc,64m", "-p", "thread_pools=1"]);
    command.arg("-a").arg(place.listen.to_string()).arg("-n").arg(place.folder.join("work")).arg("-f").arg(file);
    Ok(command)
}

fn traffic_server(place: &Place<'_>) -> Outcome<Command> {
    let files = [
        ("records.config", include_str!("peers/trafficserver/records.config")),
        ("remap.config", include_str!("peers/trafficserver/remap.config")),
        ("storage.config", include_str!("peers/trafficserver/storage.config")),
        ("ip_allow.yaml", include_str!("peers/trafficserver/ip_allow.yaml")),
    ];
    for (file, template) in files {
        place.write(file, template, &[])?;
    }
    let root = place.write("runroot.yaml", include_str!("peers/trafficserver/runroot.yaml"), &[])?;
    let mut command = place.command(&[]);
    command.arg(format!("--run-root={}", root.display()));
    Ok(command)
}

/// It refuses to be root: then it runs as nobody.
fn squid(place: &Place<'_>) -> Outcome<Command> {
    let file = place.write("squid.conf", include_str!("peers/squid.conf"), &[])?;
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let user = if fs::metadata("/proc/self")?.uid() == 0 { &nobody[..] } else { &[] };
    let mut command = place.command(user);
    command.arg("-N").arg("-f").arg(file);
    Ok(command)
}
