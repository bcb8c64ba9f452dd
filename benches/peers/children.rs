//! Processes that end with this one: each is stopped when its handle is dropped, and by the kernel if this process dies
//! without dropping it. Also what `/proc` knows of them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use crate::Outcome;

/// Where a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Core {
    /// Where what is measured runs.
    Server,
    /// Where what measures it runs.
    Load,
    /// On both of them.
    Both,
}

/// How long a process has to end once it was asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Is all there that nothing can be started without?
pub fn check_tools() -> Outcome<()> {
    [("taskset", "util-linux"), ("setpriv", "util-linux"), ("prlimit", "util-linux")].into_iter().try_for_each(need)
}

/// Is all there that nothing can be measured without?
pub fn check_load() -> Outcome<()> {
    need(("wrk", "wrk"))?;
    match ALLOWED.len() {
        0 | 1 => Err("one core for servers and one for load are needed, and there is only one".into()),
        _ => Ok(()),
    }
}

fn need((tool, package): (&str, &str)) -> Outcome<()> {
    match find(tool) {
        Some(_) => Ok(()),
        None => Err(format!("`{tool}` is missing: install the package {package} (apt install {package})").into()),
    }
}

/// The cores that this process may use: `0-1` or `2,5-7`. A container has not always the first ones.
static ALLOWED: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or("0");
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
});

impl Core {
    /// As `taskset` takes it. With one core all run there, which does for a look at the answers.
    fn list(self) -> String {
        let first = ALLOWED.first().copied().unwrap_or_default();
        let second = ALLOWED.get(1).copied().unwrap_or(first);
        match self {
            Core::Server => first.to_string(),
            Core::Load => second.to_string(),
            Core::Both => format!("{first},{second}"),
        }
    }
}

/// Where a program is. Daemons are in directories that are not in everybody's PATH.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A command that runs `program` on this core, and that the kernel ends when this process ends.
pub fn command(core: Core, program: impl AsRef<OsStr>) -> Command {
    run_by(&[], core, program)
}

/// The same for a program that refuses to be root: then it runs as nobody.
pub fn command_without_root(core: Core, program: impl AsRef<OsStr>) -> Outcome<Command> {
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    Ok(match fs::metadata("/proc/self")?.uid() {
        0 => run_by(&nobody, core, program),
        _ => run_by(&[], core, program),
    })
}

fn run_by(user: &[&str], core: Core, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(user).args(["--pdeathsig", "TERM", "taskset", "-c", &core.list()]).arg(program).stdin(Stdio::null());
    command
}

/// Lets this process and those it starts from now on have this many files open.
pub fn allow_files(count: usize) -> Outcome<()> {
    let mut command = Command::new("prlimit");
    command.args(["--pid", &std::process::id().to_string(), &format!("--nofile={count}:")]);
    output(command, PATIENCE).map(drop)
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a command whose output goes to a file.
    pub fn start(mut command: Command, log: &Path) -> Outcome<Process> {
        let file = fs::File::create(log)?;
        let child = command.stdout(file.try_clone()?).stderr(file).spawn()?;
        Ok(Process { child })
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Time on a core so far, by all threads of the process and of its family.
    pub fn cpu_time(&self) -> Outcome<Duration> {
        let mut sum = 0;
        for process in family(self.child.id())? {
            for task in fs::read_dir(format!("/proc/{process}/task"))? {
                let text = fs::read_to_string(task?.path().join("schedstat"))?;
                let nanoseconds = text.split_whitespace().next().ok_or("schedstat is empty")?;
                sum += nanoseconds.parse::<u64>()?;
            }
        }
        Ok(Duration::from_nanos(sum))
    }

    /// Resident memory of the process and of its family, in bytes. What several of them share counts for each.
    pub fn resident_bytes(&self) -> Outcome<u64> {
        let mut sum = 0;
        for process in family(self.child.id())? {
            let text = fs::read_to_string(format!("/proc/{process}/status"))?;
            let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
            sum += line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024;
        }
        Ok(sum)
    }

    /// Asks it to end, so that it ends what it started itself.
    fn terminate(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let until = Instant::now() + PATIENCE;
        while self.is_running() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.is_running() {
            self.terminate();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end, at most for `limit`, and answers what it wrote.
pub fn output(mut command: Command, limit: Duration) -> Outcome<String> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let until = Instant::now() + limit;
    // What these commands write fits into a pipe.
    while child.try_wait()?.is_none() {
        if Instant::now() >= until {
            child.kill()?;
            child.wait()?;
            return Err(format!("{command:?} did not end within {limit:?}").into());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let output = child.wait_with_output()?;
    let written = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(written),
        false => Err(format!("{command:?}: {written}{}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// A process, its children, and theirs. `/proc/…/children` is not in every kernel.
fn family(first: u32) -> Outcome<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let Ok(process) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // It may have ended since.
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (process, parent)));
    }
    let mut all = vec![first];
    let mut next = 0;
    while let Some(&member) = all.get(next) {
        all.extend(parents.iter().filter(|(_, parent)| *parent == member).map(|(process, _)| process));
        next += 1;
    }
    Ok(all)
}
