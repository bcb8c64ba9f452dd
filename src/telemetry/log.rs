//! Where lines go: from a worker's own buffer to a file or a stream, by a thread that nobody waits for.
//!
//! A worker appends to a buffer that only it and the writer use, and the writer takes it whole. There are two for each, so
//! that one is free even while the other is being taken: no worker ever waits for a lock, nor for a disk. What does not fit,
//! since the disk does not keep up, is dropped and counted.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use metrics::Counter;

use super::settings::AccessLines;
use super::stamp::Timestamp;
use crate::ground::clock::{Clock, monotonic};
use crate::ground::notice::{self, WholeLines};
use crate::ground::worker::WorkerId;

/// The longest that a line waits for company.
const FLUSH: Duration = Duration::from_millis(100);
/// From here on the writer is woken.
const FULL: usize = 256 << 10;
/// What waits to be written beyond this is dropped.
const BOUND: usize = 4 << 20;
/// How long the end may be kept up by a reader that does not read.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The access log.
#[derive(Debug)]
pub struct Log {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
    thread: std::thread::Thread,
}

#[derive(Debug)]
struct Shared {
    workers: Vec<[Mutex<Lane>; 2]>,
    dropped: Counter,
    stopping: AtomicBool,
    reopen: AtomicBool,
}

/// Lines of one worker.
#[derive(Debug)]
#[repr(align(128))]
struct Lane {
    text: Vec<u8>,
    stamp: Timestamp,
}

impl Log {
    /// Opens the target and starts the writer. Without an access log, what is written goes to standard error.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn start(access: &AccessLines, workers: usize, clock: &Clock, dropped: Counter) -> io::Result<Log> {
        let sink = Sink::open(access)?;
        let shared = Arc::new(Shared::new(workers, clock, dropped));
        let own = shared.clone();
        let writer = std::thread::Builder::new().name("log".to_owned()).spawn(move || own.write(sink))?;
        let thread = writer.thread().clone();
        Ok(Log { shared, writer: Mutex::new(Some(writer)), thread })
    }

    /// Lets `line` append a whole line to what this worker has written.
    pub fn append(&self, worker: WorkerId, line: impl FnOnce(&mut Vec<u8>, &mut Timestamp)) {
        if self.shared.append(worker, line) == Appended::Full {
            self.thread.unpark();
        }
    }

    /// Opens the file anew, for whoever has moved it away.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        self.thread.unpark();
    }

    /// Writes what is there and ends the writer.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.thread.unpark();
        let Some(writer) = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        let until = monotonic() + LAST_WORDS;
        while !writer.is_finished() && monotonic() < until {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        if writer.is_finished() {
            let _ = writer.join();
        }
    }
}

impl Drop for Log {
    /// The writer ends by itself: whoever drops the last handle may be a worker, and does not wait.
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

fn free(lane: &Mutex<Lane>) -> Option<MutexGuard<'_, Lane>> {
    match lane.try_lock() {
        Ok(lane) => Some(lane),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Whether the writer should be woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Appended {
    /// It should.
    Full,
    /// It will come by.
    Fine,
}

impl Shared {
    fn new(workers: usize, clock: &Clock, dropped: Counter) -> Shared {
        let lane = || Mutex::new(Lane { text: Vec::new(), stamp: Timestamp::new(clock.clone()) });
        Shared {
            workers: (0..workers).map(|_| [lane(), lane()]).collect(),
            dropped,
            stopping: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
        }
    }

    fn append(&self, worker: WorkerId, line: impl FnOnce(&mut Vec<u8>, &mut Timestamp)) -> Appended {
        let lanes = self.workers.get(worker).into_iter().flatten();
        let Some(mut lane) = lanes.into_iter().find_map(free).filter(|lane| lane.text.len() < BOUND) else {
            self.dropped.increment(1);
            return Appended::Fine;
        };
        let Lane { text, stamp } = &mut *lane;
        let before = text.len();
        line(text, stamp);
        if before < FULL && text.len() >= FULL { Appended::Full } else { Appended::Fine }
    }

    /// The writer's life.
    fn write(&self, mut sink: Sink) {
        let mut batch = Vec::new();
        let (mut failing, mut lines) = (Failing::No, WholeLines::default());
        loop {
            // Read before the round: what was appended before the stop is in it.
            let last = self.stopping.load(Ordering::Acquire);
            if self.reopen.swap(false, Ordering::AcqRel) || failing == Failing::Yes {
                sink.reopen();
            }
            for lane in self.workers.iter().flatten() {
                std::mem::swap(&mut batch, &mut lane.lock().unwrap_or_else(PoisonError::into_inner).text);
                if batch.is_empty() {
                    continue;
                }
                match sink.write(&batch, &mut lines) {
                    Ok(()) => failing = Failing::No,
                    Err((error, lost)) => {
                        self.dropped.increment(lost as u64);
                        if failing == Failing::No {
                            notice::say(format_args!("the access log cannot be written, so lines are lost: {error}"));
                        }
                        failing = Failing::Yes;
                    }
                }
                batch.clear();
            }
            if last {
                return;
            }
            std::thread::park_timeout(FLUSH);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Failing {
    Yes,
    No,
}

/// What is written to.
enum Sink {
    Stdout,
    Stderr,
    File(PathBuf, io::Result<File>),
}

impl Sink {
    fn open(access: &AccessLines) -> io::Result<Sink> {
        Ok(match access {
            AccessLines::Stdout => Sink::Stdout,
            AccessLines::Off | AccessLines::Stderr => Sink::Stderr,
            AccessLines::File(path) => {
                let name = |error: io::Error| {
                    io::Error::new(error.kind(), format!("opening the access log {}: {error}", path.display()))
                };
                Sink::File(path.clone(), Ok(open(path).map_err(name)?))
            }
        })
    }

    fn reopen(&mut self) {
        if let Sink::File(path, file) = self {
            *file = open(path);
        }
    }

    fn write(&mut self, batch: &[u8], lines: &mut WholeLines) -> Result<(), (io::Error, usize)> {
        match self {
            Sink::Stdout => lines.write(&mut io::stdout().lock(), batch),
            Sink::Stderr => lines.write(&mut io::stderr().lock(), batch),
            Sink::File(_, Ok(file)) => lines.write(file, batch),
            Sink::File(_, Err(error)) => {
                // To nothing: all of them are lost.
                let lost = batch.iter().filter(|&&byte| byte == b'\n').count();
                Err((io::Error::new(error.kind(), error.to_string()), lost))
            }
        }
    }
}

/// Not for everybody on the machine: whoever reads it sees who was busy when.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o640).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Registry;
    use std::time::Instant;

    fn log(access: &AccessLines, registry: &Registry) -> Log {
        let dropped = registry.counter("stent_log_dropped_total", &[]);
        Log::start(access, 2, &Clock::System, dropped).expect("it starts")
    }

    fn dropped(registry: &Registry) -> Option<u64> {
        let text = registry.render(|_| ());
        text.lines().find_map(|line| line.strip_prefix("stent_log_dropped_total ")?.parse().ok())
    }

    fn say(log: &Log, worker: WorkerId, text: &str) {
        log.append(worker, |out, _| out.extend_from_slice(format!("{text}\n").as_bytes()));
    }

    #[test]
    fn a_stop_writes_what_is_there_and_a_reopened_file_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let registry = Registry::default();
        let log = log(&AccessLines::File(path.clone()), &registry);
        say(&log, 0, "one");
        say(&log, 1, "two");
        let until = Instant::now() + Duration::from_secs(10);
        while std::fs::read(&path).unwrap() != b"one\ntwo\n" {
            assert!(Instant::now() < until, "lines do not wait for a stop");
            std::thread::yield_now();
        }
        std::fs::rename(&path, folder.path().join("access.log.1")).unwrap();
        log.reopen();
        while !path.exists() {
            assert!(Instant::now() < until, "it is opened anew");
            std::thread::yield_now();
        }
        say(&log, 0, "three");
        log.stop();
        assert_eq!(std::fs::read(&path).unwrap(), b"three\n");
        assert_eq!(std::fs::read(folder.path().join("access.log.1")).unwrap(), b"one\ntwo\n");
        assert_eq!(dropped(&registry), Some(0));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_the_start() {
        let access = AccessLines::File(PathBuf::from("/nowhere/access.log"));
        let error = Log::start(&access, 1, &Clock::System, Counter::noop()).expect_err("there is no such folder");
        assert!(error.to_string().contains("opening the access log /nowhere/access.log"), "{error}");
    }

    #[test]
    fn nobody_waits_for_a_writer_that_does_not_write() {
        let registry = Registry::default();
        let shared = Shared::new(1, &Clock::System, registry.counter("stent_log_dropped_total", &[]));
        let [first, second] = &shared.workers[0];
        let say = || shared.append(0, |out, _| out.extend_from_slice(&[b' '; FULL]));
        let taken = first.lock().unwrap();
        assert_eq!(say(), Appended::Full, "the other is free");
        drop(taken);
        assert_eq!(say(), Appended::Full);
        (1..BOUND / FULL).for_each(|_| assert_eq!(say(), Appended::Fine, "the writer was woken already"));
        assert_eq!(dropped(&registry), Some(0));
        say();
        assert_eq!(dropped(&registry), Some(1), "it is full");
        let both = [first, second].map(|lane| lane.lock().unwrap());
        say();
        assert_eq!(dropped(&registry), Some(2), "both are being taken");
        assert_eq!(both.map(|lane| lane.text.len()), [BOUND, FULL]);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let registry = Registry::default();
        let log = log(&AccessLines::File(PathBuf::from("/dev/full")), &registry);
        (0..3).for_each(|_| say(&log, 0, "lost"));
        log.stop();
        assert_eq!(dropped(&registry), Some(3));
    }
}
