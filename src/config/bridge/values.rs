//! Values that several sections have.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use crate::config::message::MessageKind;
use crate::config::node::Node;
use crate::config::reader::NodeReader;

pub(super) fn addresses(reader: &mut NodeReader, node: &Node) -> Option<Vec<SocketAddr>> {
    let items = reader.one_or_list(node)?;
    if items.is_empty() {
        let message = format!("`{}` is an empty list", node.path);
        reader.error(MessageKind::Missing, node, message, "write listen: 127.0.0.1:8080");
    }
    let mut addresses = Vec::new();
    for item in items {
        let Some(address) = address(reader, item) else { continue };
        if address.port() != 0 && addresses.contains(&address) {
            reader.error(MessageKind::Duplicate, item, format!("`{address}` is listed twice"), "keep one of the two");
        }
        addresses.push(address);
    }
    Some(addresses)
}

pub(super) fn address(reader: &mut NodeReader, node: &Node) -> Option<SocketAddr> {
    reader.parsed(node, "an address", "an address and a port, like 127.0.0.1:8080", |text| {
        text.parse().map_err(|_| {
            let port = text.strip_prefix(':').unwrap_or(text);
            let hint = if port.parse::<u16>().is_ok() {
                format!("write 127.0.0.1:{port}, or 0.0.0.0:{port} to be reached from other machines")
            } else if let Some(port) = text.strip_prefix("localhost:") {
                format!("write 127.0.0.1:{port}")
            } else if let Some(port) = text.strip_prefix("*:") {
                format!("write 0.0.0.0:{port}")
            } else if let Ok(ip) = text.parse::<IpAddr>() {
                format!("the port is missing: write {}", SocketAddr::new(ip, 8080))
            } else {
                "write an IP address and a port: 127.0.0.1:8080 or [::1]:8080".to_owned()
            };
            (format!("`{text}` is not an address to listen on"), hint)
        })
    })
}

/// The content of a file, read now, of which `most` bytes matter.
pub(super) fn file(reader: &mut NodeReader, node: &Node, folder: &Path, most: u64) -> Option<String> {
    use std::io::Read as _;
    let name = reader.text(node)?;
    let path = folder.join(name);
    let mut content = String::new();
    // A device or a pipe would be read for ever; a directory fails when it is read.
    let read = std::fs::metadata(&path).and_then(|metadata| {
        if !metadata.is_file() {
            return Err(std::io::Error::other("it is not a file"));
        }
        std::fs::File::open(&path)?.take(most).read_to_string(&mut content)
    });
    if let Err(error) = read {
        let reason = match error.kind() {
            std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
            std::io::ErrorKind::PermissionDenied => "reading it is not permitted".to_owned(),
            _ => error.to_string(),
        };
        let hint = "the path is relative to the folder of this file; the process must be able to read it";
        reader.error(MessageKind::Value, node, format!("`{name}` cannot be read: {reason}"), hint);
        return None;
    }
    Some(content)
}
