//! How each server is started: with one worker on one core, and an hour's cache in memory for what is under `/bytes/`. Stent
//! logs requests; of the others one nginx does.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::Outcome;
use crate::args::{SERVE_ITSELF, SERVE_ORIGIN, SERVE_PROXY, SERVE_RELAY};
use crate::children::{self, Core};
use crate::server::{Nature, Place, Server, free_address};

/// The Stent that was built with this bench.
const STENT: &str = env!("CARGO_BIN_EXE_stent");

/// A proxy of others, which takes part where it is installed.
pub struct Peer {
    pub name: &'static str,
    program: &'static str,
    start: fn(&Place, &Path) -> Outcome<Vec<Server>>,
}

/// All of them. Debian's packages have their names.
pub const PEERS: [Peer; 5] = [
    Peer { name: "nginx", program: "nginx", start: nginx },
    Peer { name: "haproxy", program: "haproxy", start: haproxy },
    Peer { name: "varnish", program: "varnishd", start: varnish },
    Peer { name: "trafficserver", program: "traffic_server", start: traffic_server },
    Peer { name: "squid", program: "squid", start: squid },
];

/// Stent first, then other builds of it, those of the named peers that are installed, and what hyper does alone. Says
/// which are not installed.
pub fn all(place: &Place, peers: &[String], also: &[PathBuf]) -> Outcome<Vec<Server>> {
    let mut all = vec![stent_of(place, "stent", Path::new(STENT), 1, Core::Server)?.0];
    for (index, binary) in also.iter().enumerate() {
        all.push(stent_of(place, &format!("stent {}", index + 2), binary, 1, Core::Server)?.0);
    }
    for Peer { name, program, start } in PEERS.iter().filter(|peer| peers.iter().any(|name| name == peer.name)) {
        match children::find(program) {
            Some(binary) => all.extend(start(place, &binary)?),
            None => eprintln!("{name} is not installed: no column for it (apt install {name})"),
        }
    }
    let address = free_address()?;
    let command = own(Core::Server, &[SERVE_ITSELF, &address.to_string()])?;
    all.push(place.start("hyper server", address, Nature::Itself, command)?);
    for (name, role) in [("hyper proxy", SERVE_PROXY), ("tcp relay", SERVE_RELAY)] {
        let address = free_address()?;
        let command = own(Core::Server, &[role, &address.to_string(), &place.origin.to_string()])?;
        all.push(place.start(name, address, Nature::Relay, command)?);
    }
    all.iter_mut().try_for_each(Server::wait)?;
    Ok(all)
}

/// What all of them stand in front of, beside the load.
pub fn origin(place: &Place) -> Outcome<Server> {
    let command = own(Core::Load, &[SERVE_ORIGIN, &place.origin.to_string()])?;
    let mut origin = place.start("origin", place.origin, Nature::Itself, command)?;
    origin.wait()?;
    Ok(origin)
}

/// The Stent that was built with this bench, by itself, and where its admin listens.
pub fn stent(place: &Place, name: &str, workers: usize, core: Core) -> Outcome<(Server, SocketAddr)> {
    let (mut server, admin) = stent_of(place, name, Path::new(STENT), workers, core)?;
    server.wait()?;
    Ok((server, admin))
}

fn stent_of(place: &Place, name: &str, binary: &Path, workers: usize, core: Core) -> Outcome<(Server, SocketAddr)> {
    let (address, admin) = (free_address()?, free_address()?);
    let values =
        [("@listen@", &*address.to_string()), ("@admin@", &*admin.to_string()), ("@workers@", &*workers.to_string())];
    let configuration = place.write(name, "proxy.yaml", include_str!("stent.yaml"), &values)?;
    let mut command = children::command(core, binary);
    command.args(["run", "--config"]).arg(configuration);
    Ok((place.start(name, address, Nature::Cache, command)?, admin))
}

/// Three times: with nothing logged; with a line a request, as it comes from a distribution; and with what its manual
/// advises beside and few turn on: files stay open between requests.
fn nginx(place: &Place, binary: &Path) -> Outcome<Vec<Server>> {
    const OPEN_FILES: &str = "open_file_cache max=20000 inactive=1h; open_file_cache_valid 1h;";
    let ways =
        [("nginx", "off", ""), ("nginx, log", "@folder@/access.log", ""), ("nginx, open files", "off", OPEN_FILES)];
    ways.map(|(name, log, open_file_cache)| {
        let address = free_address()?;
        let log = log.replace("@folder@", &place.folder_of(name)?.to_string_lossy());
        let values = [("@listen@", &*address.to_string()), ("@log@", &log), ("@open_file_cache@", open_file_cache)];
        let configuration = place.write(name, "nginx.conf", include_str!("nginx.conf"), &values)?;
        let mut command = children::command(Core::Server, binary);
        command.arg("-e").arg(configuration.with_file_name("error.log")).arg("-c").arg(configuration);
        place.start(name, address, Nature::Cache, command)
    })
    .into_iter()
    .collect()
}

fn haproxy(place: &Place, binary: &Path) -> Outcome<Vec<Server>> {
    let address = free_address()?;
    let values = [("@listen@", &*address.to_string())];
    let configuration = place.write("haproxy", "haproxy.cfg", include_str!("haproxy.cfg"), &values)?;
    let mut command = children::command(Core::Server, binary);
    command.arg("-db").arg("-f").arg(configuration);
    Ok(vec![place.start("haproxy", address, Nature::Cache, command)?])
}

/// With one pool of threads. It writes its log into shared memory for whoever wants to read it, as it always does.
fn varnish(place: &Place, binary: &Path) -> Outcome<Vec<Server>> {
    let address = free_address()?;
    let configuration = place.write("varnish", "varnish.vcl", include_str!("varnish.vcl"), &[])?;
    let mut command = children::command(Core::Server, binary);
    command.args(["-F", "-j", "none", "-T", "none", "-s", "malloc,1g"]);
    command.args(["-p", "thread_pools=1", "-p", "timeout_idle=3600", "-p", "backend_idle_timeout=3600"]);
    command.args(["-a", &address.to_string()]).arg("-n").arg(place.folder_of("varnish")?).arg("-f").arg(configuration);
    Ok(vec![place.start("varnish", address, Nature::Cache, command)?])
}

fn traffic_server(place: &Place, binary: &Path) -> Outcome<Vec<Server>> {
    const NAME: &str = "trafficserver";
    let address = free_address()?;
    let layout = children::output(Command::new(binary.with_file_name("traffic_layout")), Duration::from_secs(5))?;
    let plugins = layout.lines().find_map(|line| line.strip_prefix("PLUGINDIR: ")).ok_or("no PLUGINDIR")?;
    let values = [
        ("@listen_host@", &*address.ip().to_string()),
        ("@listen_port@", &*address.port().to_string()),
        ("@plugins@", plugins),
    ];
    let files = [
        ("records.config", include_str!("trafficserver/records.config")),
        ("remap.config", include_str!("trafficserver/remap.config")),
        ("forwarding.config", include_str!("trafficserver/forwarding.config")),
        ("storage.config", include_str!("trafficserver/storage.config")),
        ("ip_allow.yaml", include_str!("trafficserver/ip_allow.yaml")),
    ];
    for (file, template) in files {
        place.write(NAME, file, template, &values)?;
    }
    let root = place.write(NAME, "runroot.yaml", include_str!("trafficserver/runroot.yaml"), &values)?;
    let mut command = children::command(Core::Server, binary);
    command.arg(format!("--run-root={}", root.display()));
    Ok(vec![place.start(NAME, address, Nature::Cache, command)?])
}

fn squid(place: &Place, binary: &Path) -> Outcome<Vec<Server>> {
    let address = free_address()?;
    let values = [("@listen@", &*address.to_string())];
    let configuration = place.write("squid", "squid.conf", include_str!("squid.conf"), &values)?;
    let mut command = children::command_without_root(Core::Server, binary)?;
    command.arg("-N").arg("-f").arg(configuration);
    Ok(vec![place.start("squid", address, Nature::Cache, command)?])
}

fn own(core: Core, arguments: &[&str]) -> Outcome<Command> {
    let mut command = children::command(core, std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}
