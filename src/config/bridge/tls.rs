//! `server.tls:`: where TLS is spoken, which certificates are shown, and by whom those of clients are verified. Messages and
//! settings never hold a key.

use std::path::Path;
use std::time::SystemTime;

use super::admin::file;
use super::server::addresses;
use crate::config::node::Node;
use crate::config::problem::Kind;
use crate::config::reader::Reader;
use crate::edge::settings::{ServerSettings, TlsSettings};
use crate::edge::tls::{Fault, Own, Roots, Terms};

/// More than all the authorities that a system comes with.
const LARGEST_FILE: u64 = 1 << 20;

const PAIR: &str = "write certs: [{cert: a.pem, key: a.key}]";

/// Whether certificates of clients are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certificates {
    /// They are.
    Verified,
    /// None is asked for.
    Unasked,
    /// What is written about it cannot be read, which is said there.
    Unknown,
}

pub(super) fn certificates(root: &Node, server: &ServerSettings) -> Certificates {
    let is_written = root.get("server").and_then(|server| server.get("tls")).is_some();
    match &server.tls {
        Some(tls) if tls.terms.roots().is_some() => Certificates::Verified,
        None if is_written => Certificates::Unknown,
        _ => Certificates::Unasked,
    }
}

/// `None` as well where something in it is wrong.
pub(super) fn tls(reader: &mut Reader, node: &Node, folder: &Path) -> Option<TlsSettings> {
    let later = ["hsts", "preload", "early_hints"];
    let table = reader.table(node, &["listen", "certs", "client_ca"], &later)?;
    let listen = match table.get("listen") {
        Some(node) => addresses(reader, node).filter(|listen| !listen.is_empty()),
        None => {
            let hint = "write listen: 0.0.0.0:8443";
            reader.missing(node, "listen", "`tls` does not say where to listen", hint);
            None
        }
    };
    let own = match table.get("certs") {
        Some(node) => certs(reader, node, folder),
        None => {
            reader.missing(node, "certs", "`tls` has no certificates to show", PAIR);
            None
        }
    };
    let roots = match table.get("client_ca") {
        Some(node) => Some(client_ca(reader, node, folder)?),
        None => None,
    };
    match Terms::new(own?, roots) {
        Ok(terms) => Some(TlsSettings { listen: listen?, terms }),
        Err(error) => {
            let hint = "see to the files that `certs` and `client_ca` name";
            reader.error(Kind::Value, node, format!("`tls` cannot be used: {error}"), hint);
            None
        }
    }
}

fn certs(reader: &mut Reader, node: &Node, folder: &Path) -> Option<Vec<Own>> {
    let items = reader.list(node)?;
    if items.is_empty() {
        reader.error(Kind::Missing, node, "there are no certificates to show", PAIR);
    }
    let own: Vec<Option<Own>> = items.iter().map(|item| pair(reader, item, folder)).collect();
    own.into_iter().collect::<Option<Vec<Own>>>().filter(|own| !own.is_empty())
}

fn pair(reader: &mut Reader, node: &Node, folder: &Path) -> Option<Own> {
    let table = reader.table(node, &["cert", "key"], &[])?;
    let [cert, key] = ["cert", "key"].map(|name| {
        let found = table.get(name);
        if found.is_none() {
            reader.missing(node, name, format!("the {name} is missing"), PAIR);
        }
        found
    });
    let (chain, secret) = (
        cert.and_then(|node| file(reader, node, folder, LARGEST_FILE)),
        key.and_then(|node| file(reader, node, folder, LARGEST_FILE)),
    );
    let (cert, key) = (cert?, key?);
    match Own::read(chain?.as_bytes(), secret?.as_bytes()) {
        Ok(own) => {
            check_validity(reader, cert, &own);
            Some(own)
        }
        Err(Fault::Certificate(reason)) => {
            let hint = "name a file with the certificate in PEM, and behind it those between it and its root";
            unusable(reader, cert, reason, hint);
            None
        }
        Err(Fault::Key(reason)) => {
            unusable(reader, key, reason, "name the file with the private key of the certificate, in PEM");
            None
        }
    }
}

fn check_validity(reader: &mut Reader, node: &Node, own: &Own) {
    let Some(validity) = own.validity() else { return };
    let Some(name) = reader.text(node) else { return };
    let now = SystemTime::now();
    if now >= validity.until {
        let message = format!("the certificate in `{name}` has expired: {}", validity.until_text);
        reader.warn(Kind::Value, node, message, "clients will refuse it: get another");
    } else if now < validity.from {
        let message = format!("the certificate in `{name}` does not hold yet");
        reader.warn(Kind::Value, node, message, "clients will refuse it: get another, or set the clock");
    }
}

fn client_ca(reader: &mut Reader, node: &Node, folder: &Path) -> Option<Roots> {
    let text = file(reader, node, folder, LARGEST_FILE)?;
    let roots = Roots::read(text.as_bytes());
    if let Err(reason) = roots {
        unusable(reader, node, reason, "name a file with the certificates of those who sign your clients', in PEM");
    }
    roots.ok()
}

fn unusable(reader: &mut Reader, node: &Node, reason: &str, hint: &str) {
    if let Some(name) = reader.text(node) {
        reader.error(Kind::Value, node, format!("`{name}` cannot be used: {reason}"), hint);
    }
}
