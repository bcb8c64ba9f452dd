//! The memory that a container or a service may have: a store that is larger than that has the kernel end the process.

use std::path::{Path, PathBuf};

use crate::config::units::show_size;

/// What the process may take beside its store and what fills hold: the log of purges at its largest, kept permissions and tokens, code,
/// logs and threads.
const BESIDE: u64 = 160 << 20;

/// What a connection takes when it is slow: 4 000 of them were measured with 39 MiB.
const A_CONNECTION: u64 = 10 << 10;

/// The least limit in bytes that the control groups of this process have; `None` where there is none, or it cannot be told.
pub fn limit() -> Option<u64> {
    of(Path::new("/"))
}

/// By the files under `root`: version 2 of control groups, and version 1. A group is bound by all that it is in.
fn of(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next()?, parts.next()?);
        let (folder, file) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => return None,
        };
        least(&root.join(folder), Path::new(group.trim_start_matches('/')), file)
    });
    limits.min()
}

fn least(folder: &Path, group: &Path, file: &str) -> Option<u64> {
    // In a container the path may be the host's, of which only the end is mounted: then the root's file is the container's.
    let files = group.ancestors().map(|group| -> PathBuf { folder.join(group).join(file) });
    let limits = files.filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok());
    // Version 1 writes "no limit" as a number of pages.
    limits.filter(|limit| *limit < 1 << 60).min()
}

/// What to say where a store of this size, with all that is bounded beside it, does not fit.
pub fn too_little(limit: Option<u64>, store: u64, max_object: u64, connections: usize) -> Option<String> {
    let limit = limit?;
    let beside = BESIDE + A_CONNECTION * connections as u64;
    let needed = store + (store / 4).max(max_object) + beside;
    if needed <= limit {
        return None;
    }
    // Fills take a quarter of the store, or the longest object.
    let room = limit.saturating_sub(beside);
    let fits = (room / 5 * 4).min(room.saturating_sub(max_object)) >> 20;
    let advice = match fits {
        0 => String::new(),
        _ => format!("write `cache: {{memory: {fits}MiB}}`, or "),
    };
    Some(format!(
        "cache.memory: {} does not fit: this process may have {} of memory (its control group), and takes {} with what is bounded beside the \
         store; {advice}let it have that much, or it is killed when it is full",
        show_size(store),
        show_size(limit),
        show_size(needed >> 20 << 20),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(groups: &str, files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        let files = files.iter().copied().chain([("proc/self/cgroup", groups)]);
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        of(root.path())
    }

    #[test]
    fn the_least_limit_of_all_groups_counts() {
        let (own, above) = ("sys/fs/cgroup/a/b/memory.max", "sys/fs/cgroup/a/memory.max");
        assert_eq!(group("0::/a/b\n", &[(own, "max\n"), (above, "1048576\n")]), Some(1 << 20));
        assert_eq!(group("0::/a/b\n", &[(own, "4096\n"), (above, "1048576\n")]), Some(4096));
        assert_eq!(group("0::/a/b\n", &[(own, "max\n")]), None);
        assert_eq!(group("0::/host/path\n", &[("sys/fs/cgroup/memory.max", "8192\n")]), Some(8192), "a container");
        let first = "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes";
        let groups = "5:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n0::/\n";
        assert_eq!(group(groups, &[(first, "16384\n")]), Some(16384));
        assert_eq!(group(groups, &[(first, "9223372036854771712\n")]), None);
        assert_eq!(group("garbage\n4:memory\n", &[]), None);
        assert_eq!(of(Path::new("/nowhere")), None);
    }

    #[test]
    fn what_does_not_fit_is_said_with_what_does() {
        let said = |limit: Option<u64>, store: u64| too_little(limit, store, 8 << 20, 1000);
        assert_eq!(said(None, u64::MAX >> 2), None);
        assert_eq!(said(Some(1 << 30), 512 << 20), None);
        let told = said(Some(512 << 20), 1 << 30).unwrap();
        assert!(told.contains("cache.memory: 1GiB") && told.contains("512MiB"), "{told}");
        let fits: u64 = told.split("memory: ").nth(2).unwrap().split("MiB").next().unwrap().parse().unwrap();
        assert_eq!(said(Some(512 << 20), fits << 20), None, "what it says fits: {told}");
        assert!(said(Some(512 << 20), (fits + 2) << 20).is_some(), "and not much more does: {told}");
        assert!(!said(Some(64 << 20), 1 << 30).unwrap().contains("write"), "nothing fits");
    }
}
