//! Files that hold a secret: a word where others on the machine may read or change them.

use std::path::Path;

use crate::config::message::MessageKind;
use crate::config::node::Node;
use crate::config::reader::NodeReader;

/// Warns of what the file's mode lets others do. Its group is left alone: it is how a service is given a key that is root's.
pub(super) fn check_mode(reader: &mut NodeReader, node: &Node, folder: &Path) {
    let Some(name) = reader.text(node) else { return };
    let path = folder.join(name);
    if let Some((mode, may)) = others_may(&path) {
        let message = format!("everybody on this machine may {may} the secret in `{name}` (mode {mode:04o})");
        let hint = format!("run `chmod 600 {}`; it must belong to the user that Stent runs as", path.display());
        reader.warn(MessageKind::Unsafe, node, message, hint);
    }
}

/// Warns where a secret stands in the configuration itself, and others may read or change that.
pub(super) fn check_mode_of_own(reader: &mut NodeReader, node: &Node) {
    if let Some((mode, may)) = others_may(&reader.file) {
        let message =
            format!("everybody on this machine may {may} the secret that stands here (mode {mode:04o} of this file)");
        let path = reader.file.display();
        let hint = format!("put it into a file of its own and write {{file: …}}, or run `chmod 600 {path}`");
        reader.warn(MessageKind::Unsafe, node, message, hint);
    }
}

/// The mode of a file, and what it lets everybody do. What cannot be asked is told of where it is read.
#[cfg(unix)]
fn others_may(path: &Path) -> Option<(u32, &'static str)> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o7777;
    let may = match mode & 0o006 {
        0 => return None,
        0o004 => "read",
        0o002 => "change",
        _ => "read and change",
    };
    Some((mode, may))
}

/// There are no modes.
#[cfg(not(unix))]
fn others_may(_: &Path) -> Option<(u32, &'static str)> {
    None
}
