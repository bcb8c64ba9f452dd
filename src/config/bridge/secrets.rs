//! Files that hold a secret: a word where others on the machine may read or change them.

use std::path::Path;

use crate::config::message::Kind;
use crate::config::node::Node;
use crate::config::reader::Reader;

/// Warns of what the file's mode lets others do. Its group is left alone: it is how a service is given a key that is root's.
#[cfg(unix)]
pub(super) fn check_mode(reader: &mut Reader, node: &Node, folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let Some(name) = reader.text(node) else { return };
    let path = folder.join(name);
    // What cannot be asked was told of when it was read.
    let Ok(metadata) = std::fs::metadata(&path) else { return };
    let mode = metadata.permissions().mode() & 0o7777;
    if let Some(may) = others_may(mode) {
        let message = format!("everybody on this machine may {may} the secret in `{name}` (mode {mode:04o})");
        let hint = format!("run `chmod 600 {}`; it must belong to the user that Stent runs as", path.display());
        reader.warn(Kind::Unsafe, node, message, hint);
    }
}

/// There are no modes.
#[cfg(not(unix))]
pub(super) fn check_mode(_: &mut Reader, _: &Node, _: &Path) {}

#[cfg(unix)]
fn others_may(mode: u32) -> Option<&'static str> {
    match mode & 0o006 {
        0 => None,
        0o004 => Some("read"),
        0o002 => Some("change"),
        _ => Some("read and change"),
    }
}
