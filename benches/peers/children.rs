//! Processes that end with this one: each is stopped when its handle is dropped, and by the kernel if this process dies
//! without dropping it. Also what `/proc` knows of them.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::Outcome;

/// Where what is measured runs.
pub const SERVER_CORE: &str = "0";
/// Where what measures it runs.
pub const LOAD_CORE: &str = "1";

/// How long a process has to end once it was asked to.
const PATIENCE: Duration = Duration::from_secs(5);

/// Is all there that nothing can be measured without?
pub fn check_tools() -> Outcome<()> {
    for (tool, package) in
        [("wrk", "wrk"), ("taskset", "util-linux"), ("setpriv", "util-linux"), ("prlimit", "util-linux")]
    {
        if find(tool).is_none() {
            return Err(format!("`{tool}` is missing: install the package {package} (apt install {package})").into());
        }
    }
    match std::thread::available_parallelism()?.get() {
        1 => Err("one core for servers and one for load are needed, and there is only one".into()),
        _ => Ok(()),
    }
}

/// Where a program is. Daemons are in directories that are not in everybody's PATH.
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// A command that runs `program` on this core, and that the kernel ends when this process ends.
pub fn command(core: &str, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "taskset", "-c", core]).arg(program).stdin(Stdio::null());
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

    /// Time on a core so far, by all threads of the process and of those it started.
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

    /// Resident memory of the process itself, in bytes.
    pub fn resident_bytes(&self) -> Outcome<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
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

/// A process and its children. `/proc/…/children` is not in every kernel.
fn family(first: u32) -> Outcome<Vec<u32>> {
    let mut all = vec![first];
    for entry in fs::read_dir("/proc")? {
        let Ok(process) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
        // It may have ended since.
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if parent == Some(first) {
            all.push(process);
        }
    }
    Ok(all)
}
