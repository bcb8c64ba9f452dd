//! `log:`: what is written down about exchanges, and where.

use std::path::Path;

use crate::config::message::MessageKind;
use crate::config::node::{Node, NodeKind};
use crate::config::reader::NodeReader;
use crate::telemetry::settings::{AccessLines, Included, LogSettings};

pub(super) fn log(reader: &mut NodeReader, node: Option<&Node>, folder: &Path) -> LogSettings {
    let mut settings = LogSettings::default();
    let Some(table) = node.and_then(|node| reader.table(node, &["access", "slow", "include"], &[])) else {
        return settings;
    };
    if let Some(access) = table.get("access").and_then(|node| access(reader, node, folder)) {
        settings.access = access;
    }
    if let Some(node) = table.get("slow") {
        let is_off = matches!(&node.kind, NodeKind::Scalar(scalar) if scalar.text == "off");
        settings.slow = match is_off {
            true => None,
            false => reader.positive_duration(node, "write 2s, or off").map(|time| time.value),
        };
    }
    if let Some(items) = table.get("include").and_then(|node| reader.one_or_list(node)) {
        items.iter().for_each(|item| include(reader, item, &mut settings.include));
    }
    settings
}

fn access(reader: &mut NodeReader, node: &Node, folder: &Path) -> Option<AccessLines> {
    let NodeKind::Map(_) = &node.kind else {
        let words = [("off", "off"), ("stdout", "stdout"), ("stderr", "stderr")];
        let hint = "write stdout, stderr, off or {file: access.log}";
        let word = match reader.scalar(node, "a word or {file: path}", hint)?.text.as_str() {
            path if path.contains(['/', '.']) => {
                reader.error(
                    MessageKind::Value,
                    node,
                    format!("`{path}` looks like a file"),
                    format!("write {{file: {path}}}"),
                );
                return None;
            }
            _ => reader.choice(node, &words)?,
        };
        return Some(match word {
            "stdout" => AccessLines::Stdout,
            "stderr" => AccessLines::Stderr,
            _ => AccessLines::Off,
        });
    };
    let table = reader.table(node, &["file"], &[])?;
    let Some(file) = table.get("file") else {
        reader.missing(node, "file", "the file is missing", "write access: {file: access.log}");
        return None;
    };
    Some(AccessLines::File(folder.join(reader.text(file)?)))
}

fn include(reader: &mut NodeReader, node: &Node, all: &mut Vec<Included>) {
    let words =
        [("client", Included::Client), ("host", Included::Host), ("path", Included::Path), ("query", Included::Query)];
    let Some(included) = reader.choice(node, &words) else { return };
    if matches!(included, Included::Path | Included::Query) {
        let message = "paths and queries may name patients: whoever reads the log reads that";
        reader.warn(MessageKind::Unsafe, node, message, "leave it out unless the log is kept as records are");
    }
    if all.contains(&included) {
        return reader.error(MessageKind::Duplicate, node, "it is listed twice", "keep one of the two");
    }
    all.push(included);
}
