//! A request as the judgement sees it, and what it has the origin asked about.

use std::time::Duration;

use http::{HeaderMap, Method};

use crate::asker::facet::Proven;
use crate::fields::authority::Scheme;
use crate::policy::pass::PassReason;
use crate::rules::caching::Yes;
use crate::rules::path::Ambiguity;

/// A request, as far as the judgement needs it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The client's scheme.
    pub scheme: Scheme,
    /// Host and port in lower case, without a default port.
    pub authority: &'a str,
    /// The same without a port.
    pub host: &'a str,
    /// The host that a trusted proxy forwards for, where it is another.
    pub forwarded_host: Option<&'a str>,
    /// The path in normal form.
    pub path: &'a str,
    /// Why the path could be read otherwise, if it could.
    pub ambiguity: Option<Ambiguity>,
    /// The query as sent, without `?`.
    pub query: Option<&'a str>,
    /// The end-to-end headers.
    pub headers: &'a HeaderMap,
    /// Whether a body comes with it.
    pub body: BodyPresence,
    /// What was found out about whoever asks.
    pub proven: &'a Proven,
    /// Why it is passed whatever its route says, if it is.
    pub bypass: Option<PassReason>,
}

/// Whether a request brings a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyPresence {
    /// None.
    Absent,
    /// Some, perhaps of length zero but announced.
    Present,
}

/// What the origin is asked with the caller's own credentials before anything stored is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The path to ask for.
    pub path: String,
    /// Under which digest of who asks for what a yes is kept.
    pub digest: [u8; 32],
    /// For how long.
    pub keep: Duration,
    /// Which answer is one.
    pub yes: Yes,
}
