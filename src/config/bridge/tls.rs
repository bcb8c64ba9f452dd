//! `server.tls:`: where TLS is spoken, which certificates are shown, and by whom those of clients are verified. Messages and
//! settings never hold a key.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::secrets::check_mode;
use crate::config::bridge::values::{addresses, file};
use crate::config::message::MessageKind;
use crate::config::node::Node;
use crate::config::reader::NodeReader;
use crate::edge::settings::{ServerSettings, TlsSettings};
use crate::edge::tls::subject::Validity;
use crate::edge::tls::{Fault, OwnCertificate, Roots, TlsTerms};
use crate::ground::clock::wall;

/// More than all the authorities that a system comes with.
const LARGEST_FILE: u64 = 1 << 20;

/// By then whoever renews it has mostly done so.
const NEAR_THE_END: Duration = Duration::from_secs(30 * 86_400);

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
pub(super) fn tls(reader: &mut NodeReader, node: &Node, folder: &Path) -> Option<TlsSettings> {
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
    match TlsTerms::new(own?, roots) {
        Ok(terms) => Some(TlsSettings { listen: listen?, terms }),
        Err(error) => {
            let hint = "see to the files that `certs` and `client_ca` name";
            reader.error(MessageKind::Value, node, format!("`tls` cannot be used: {error}"), hint);
            None
        }
    }
}

fn certs(reader: &mut NodeReader, node: &Node, folder: &Path) -> Option<Vec<OwnCertificate>> {
    let items = reader.list(node)?;
    if items.is_empty() {
        reader.error(MessageKind::Missing, node, "there are no certificates to show", PAIR);
    }
    let own: Vec<Option<OwnCertificate>> = items.iter().map(|item| pair(reader, item, folder)).collect();
    own.into_iter().collect::<Option<Vec<OwnCertificate>>>().filter(|own| !own.is_empty())
}

fn pair(reader: &mut NodeReader, node: &Node, folder: &Path) -> Option<OwnCertificate> {
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
    match OwnCertificate::read(chain?.as_bytes(), secret?.as_bytes()) {
        Ok(own) => {
            check_mode(reader, key, folder);
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

fn check_validity(reader: &mut NodeReader, node: &Node, own: &OwnCertificate) {
    let Some(validity) = own.validity() else { return };
    let Some(name) = reader.text(node) else { return };
    if let Some((standing, hint)) = standing(&validity, wall()) {
        reader.warn(MessageKind::Value, node, format!("the certificate in `{name}` {standing}"), hint);
    }
}

/// What is worth a word about when a certificate holds, and what to do.
fn standing(validity: &Validity, now: SystemTime) -> Option<(String, &'static str)> {
    let Validity { from, until, until_text } = validity;
    let left = until.duration_since(now).unwrap_or_default();
    if left.is_zero() {
        return Some((format!("has expired: {until_text}"), "clients will refuse it: get another"));
    }
    if now < *from {
        return Some(("does not hold yet".to_owned(), "clients will refuse it: get another, or set the clock"));
    }
    // Those that last for days are renewed in their last third.
    let soon = NEAR_THE_END.min(until.duration_since(*from).unwrap_or_default() / 3);
    let hint = "clients will refuse it from then on: see to it that it is renewed, and reload";
    (left < soon).then(|| (format!("expires soon: {until_text}"), hint))
}

fn client_ca(reader: &mut NodeReader, node: &Node, folder: &Path) -> Option<Roots> {
    let text = file(reader, node, folder, LARGEST_FILE)?;
    let roots = Roots::read(text.as_bytes());
    let roots = match roots {
        Ok(roots) => roots,
        Err(reason) => {
            unusable(reader, node, reason, "name a file with the certificates of those who sign your clients', in PEM");
            return None;
        }
    };
    let standings = roots.validities().filter_map(|validity| standing(&validity, wall()));
    if let Some((standing, _)) = standings.min()
        && let Some(name) = reader.text(node)
    {
        let message = format!("the certificate of an authority in `{name}` {standing}");
        let hint = "what it signs ends with it: get the next one from whoever runs it, add it to the file, and reload";
        reader.warn(MessageKind::Value, node, message, hint);
    }
    Some(roots)
}

fn unusable(reader: &mut NodeReader, node: &Node, reason: &str, hint: &str) {
    if let Some(name) = reader.text(node) {
        reader.error(MessageKind::Value, node, format!("`{name}` cannot be used: {reason}"), hint);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_near_its_end_is_worth_a_word() {
        const DAY: u64 = 86_400;
        let from = SystemTime::UNIX_EPOCH + Duration::from_secs(365 * DAY);
        let check = |lasts: u64, after: Duration, want: Option<&str>| {
            let until = from + Duration::from_secs(lasts * DAY);
            let validity = Validity { from, until, until_text: "1971-04-01T00:00:00Z".to_owned() };
            let said = standing(&validity, from + after).map(|(said, _)| said);
            assert_eq!(said.as_deref(), want, "{lasts} days, after {after:?}");
        };
        let (days, second) = (|days: u64| Duration::from_secs(days * DAY), Duration::from_secs(1));
        let (soon, over) = (Some("expires soon: 1971-04-01T00:00:00Z"), Some("has expired: 1971-04-01T00:00:00Z"));
        check(90, Duration::ZERO, None);
        check(90, days(60), None);
        check(90, days(60) + second, soon);
        check(90, days(90) - second, soon);
        check(90, days(90), over);
        check(90, days(400), over);
        check(365, days(335), None);
        check(365, days(335) + second, soon);
        // One that lasts for six days is not always near its end.
        check(6, days(3), None);
        check(6, days(4) + second, soon);
        let yet = Validity { from, until: from + days(90), until_text: String::new() };
        let said = standing(&yet, from - second).map(|(said, _)| said);
        assert_eq!(said.as_deref(), Some("does not hold yet"));
    }
}
