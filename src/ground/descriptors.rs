//! File descriptors: each connection is one, and what a process may have is limited.
//!
//! The soft limit is often 1024 because of programs that use `select`, which cannot do with more. This one can, and takes what it may.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What a process needs beside its connections: listeners, logs, the workers' own, files while they are read.
const BESIDE: u64 = 64;

/// Of so many, these are the last ones, which clients do not take: fetches, logs and the admin need some.
fn for_fetches(limit: u64) -> u64 {
    (limit / 8).min(256)
}

/// From this number on descriptors are the last ones. The system gives the lowest that is free, so the number of the newest
/// tells how many there are.
pub fn last() -> i32 {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    i32::try_from(limit - for_fetches(limit)).unwrap_or(i32::MAX)
}

/// What a process may have once it has taken what it may.
pub fn limit() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX)
}

/// Raises the soft limit to the hard one, and says what holds then. A refusal leaves it as it was.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// What to say where so many descriptors are too few for these clients, and for the connections to the origins that their requests may take.
pub fn too_few(limit: u64, clients: usize, to_origins: usize) -> Option<String> {
    let beside = (to_origins as u64).saturating_add(BESIDE);
    let needed = (clients as u64).saturating_add(beside);
    if limit >= needed {
        return None;
    }
    let room = limit.saturating_sub(beside);
    Some(format!(
        "limits.connections: {clients} cannot be met: {limit} descriptors leave room for {room} clients beside {to_origins} connections to origins; \
         let the process have {needed} (`LimitNOFILE={needed}`, `ulimit -Hn {needed}`), or write a smaller number"
    ))
}

/// Those of this process, or of the machine.
pub fn is_out_of_descriptors(error: &std::io::Error) -> bool {
    let none_left = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| none_left.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_few() {
        assert_eq!([64, 1024, 1 << 20].map(for_fetches), [8, 128, 256]);
        assert!(last() > 2);
    }

    #[test]
    fn what_is_too_few_is_said_with_what_is_needed() {
        assert_eq!(too_few(10_164, 10_000, 100), None);
        assert_eq!(too_few(u64::MAX, usize::MAX, usize::MAX), None);
        let said = too_few(10_163, 10_000, 100).unwrap();
        assert!(said.contains("room for 9999 clients") && said.contains("LimitNOFILE=10164"), "{said}");
        assert!(too_few(64, 10_000, 100).unwrap().contains("room for 0 clients"));
    }
}
