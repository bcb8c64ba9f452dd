//! What the running process says on standard error: handed to a thread that writes it.
//!
//! Whoever reads standard error may be gone, may hang, or may have a full disk, and none of that is to stop a listener, a
//! purge or a reload. So nobody who says something waits for it to be read. What waits to be written has a bound; lines
//! beyond it, and lines that cannot be written, are lost and counted ([`lost`]).
//!
//! There is one standard error, so there is one writer for the whole process; it begins with the first message.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What waits to be written beyond this, in bytes, is lost.
const BOUND: usize = 256 << 10;

static STANDARD_ERROR: LazyLock<Arc<Notices>> = LazyLock::new(|| Notices::start(io::stderr()));

/// Says this, as `stent: …` and on a line of its own. Never waits.
pub fn say(message: impl Display) {
    STANDARD_ERROR.take(format!("stent: {message}\n"));
}

/// Says this text as it is; it has its own ends of lines.
pub fn say_text(text: String) {
    STANDARD_ERROR.take(text);
}

/// Lines that were lost.
pub fn lost() -> u64 {
    STANDARD_ERROR.lost.load(Ordering::Relaxed)
}

/// Waits until everything is written, or until this time is over: the end of the process waits for no reader that hangs.
pub fn flush(within: Duration) {
    STANDARD_ERROR.flush(within);
}

/// Panics are told like everything else: the hook that is there by default writes to standard error itself, and waits.
/// Where it happened is told, and a text that stands in the program; one that was made from values may hold somebody's data.
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let text = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("what it says is not told here");
        say(format_args!("a fault in the program, at {place} in thread {thread}: {text}"));
    }));
}

/// Writes lines, and knows when one was cut: what comes next is a line of its own.
#[derive(Debug, Default)]
pub struct WholeLines {
    is_cut: bool,
}

impl WholeLines {
    /// Writes these lines; `Err` also says how many of them were lost, the one that was cut among them.
    pub fn write(&mut self, sink: &mut impl Write, lines: &[u8]) -> Result<(), (io::Error, usize)> {
        let mut written = 0;
        let result = self.end_cut(sink).and_then(|()| {
            while written < lines.len() {
                match sink.write(&lines[written..]) {
                    Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(bytes) => written += bytes,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            sink.flush()
        });
        self.is_cut |= result.is_err() && written > 0 && lines[written - 1] != b'\n';
        result.map_err(|error| (error, lines[written..].iter().filter(|&&byte| byte == b'\n').count()))
    }

    fn end_cut(&mut self, sink: &mut impl Write) -> io::Result<()> {
        if self.is_cut {
            sink.write_all(b"\n")?;
            self.is_cut = false;
        }
        Ok(())
    }
}

/// Messages on their way to be written.
#[derive(Debug)]
struct Notices {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Waiting {
    messages: VecDeque<String>,
    bytes: usize,
    /// One of them is being written.
    writing: bool,
}

impl Notices {
    fn start(sink: impl Write + Send + 'static) -> Arc<Notices> {
        let notices = Arc::new(Notices { waiting: Mutex::default(), changed: Condvar::new(), lost: AtomicU64::new(0) });
        let own = notices.clone();
        // Without a thread all that is beyond the bound is lost and counted, and the process goes on.
        let _ = std::thread::Builder::new().name("notices".to_owned()).spawn(move || own.write(sink));
        notices
    }

    /// The lock is never held while anything is written.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, message: String) {
        let mut waiting = self.waiting();
        if waiting.bytes + message.len() > BOUND {
            self.lose(&message);
            return;
        }
        waiting.bytes += message.len();
        waiting.messages.push_back(message);
        drop(waiting);
        self.changed.notify_all();
    }

    fn lose(&self, message: &str) {
        self.lost.fetch_add(message.lines().count() as u64, Ordering::Relaxed);
    }

    /// The writer's life, as long as the process's.
    fn write(&self, mut sink: impl Write) {
        let (mut waiting, mut lines) = (self.waiting(), WholeLines::default());
        loop {
            let Some(message) = waiting.messages.pop_front() else {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            waiting.bytes -= message.len();
            waiting.writing = true;
            drop(waiting);
            if let Err((_, lost)) = lines.write(&mut sink, message.as_bytes()) {
                self.lost.fetch_add(lost as u64, Ordering::Relaxed);
            }
            waiting = self.waiting();
            waiting.writing = false;
            self.changed.notify_all();
        }
    }

    fn flush(&self, within: Duration) {
        let unwritten = |waiting: &mut Waiting| waiting.writing || !waiting.messages.is_empty();
        drop(self.changed.wait_timeout_while(self.waiting(), within, unwritten));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    /// Longer than anything here takes.
    const LONG: Duration = Duration::from_secs(20);

    fn lost(notices: &Notices) -> u64 {
        notices.lost.load(Ordering::Relaxed)
    }

    /// A disk with room for so many bytes.
    struct Disk(Vec<u8>, usize);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = (self.1 - self.0.len()).min(bytes.len());
            self.0.extend_from_slice(&bytes[..room]);
            if room == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(room) }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_a_full_disk_cut_does_not_swallow_the_next() {
        for (room, lost, want) in [
            (0, 3, "four\nfive\n"),
            (2, 3, "on\nfour\nfive\n"),
            (4, 2, "one\nfour\nfive\n"),
            (6, 2, "one\ntw\nfour\nfive\n"),
            (14, 0, "one\ntwo\nthree\nfour\nfive\n"),
        ] {
            let (mut disk, mut lines) = (Disk(Vec::new(), room), WholeLines::default());
            let all = lines.write(&mut disk, b"one\ntwo\nthree\n");
            assert_eq!(all.map_or_else(|(_, lost)| lost, |()| 0), lost, "{room}");
            // It stays full for a while.
            assert!(lines.write(&mut disk, b"lost\n").is_err());
            disk.1 = 100;
            lines.write(&mut disk, b"four\nfive\n").unwrap();
            assert_eq!(String::from_utf8_lossy(&disk.0), want);
        }
    }

    #[test]
    fn messages_are_written_in_their_order() {
        let (sink, mut reader) = UnixStream::pair().unwrap();
        let notices = Notices::start(sink);
        for number in 0..100 {
            notices.take(format!("line {number}\n"));
        }
        notices.flush(LONG);
        let expected: String = (0..100).map(|number| format!("line {number}\n")).collect();
        let mut written = vec![0; expected.len()];
        io::Read::read_exact(&mut reader, &mut written).unwrap();
        assert_eq!(String::from_utf8(written).unwrap(), expected);
        assert_eq!(lost(&notices), 0);
    }

    #[test]
    fn nobody_waits_for_a_reader_that_hangs_and_lines_beyond_the_bound_are_counted() {
        let (sink, _hangs) = UnixStream::pair().unwrap();
        // A socket takes what it has room for; then its writer hangs for good.
        let notices = Notices::start(sink);
        let line = format!("{}\n", "x".repeat(1023));
        let mut said = 0;
        while lost(&notices) == 0 {
            notices.take(line.clone());
            said += 1;
            assert!(said < 100_000, "there is no bound");
        }
        notices.take("two\nlines\n".repeat(BOUND / 8));
        assert_eq!(lost(&notices), 1 + 2 * (BOUND as u64 / 8));
        let began = std::time::Instant::now();
        notices.flush(Duration::from_millis(10));
        assert!(began.elapsed() < LONG, "nor does the end");
        assert!(notices.waiting().bytes <= BOUND);
    }

    #[test]
    fn lines_that_cannot_be_written_are_counted() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (closed, _) = UnixStream::pair().unwrap();
        let all: [Arc<Notices>; 2] = [Notices::start(full), Notices::start(closed)];
        for notices in all {
            notices.take("one\n".to_owned());
            notices.take("two\nthree\n".to_owned());
            notices.flush(LONG);
            assert_eq!(lost(&notices), 3);
        }
    }
}
