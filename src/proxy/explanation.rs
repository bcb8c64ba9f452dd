//! What a request would get, and why, as it is told to people and to programs.
//!
//! It names credentials and never holds one, nor a digest of one: of the headers that a request shows, only those by which
//! answers are negotiated (`Accept` and its like) are told with their values.

use serde::{Deserialize, Serialize};

/// What a request would get.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Method and URL as they are understood; of a credential in the URL the name alone.
    pub request: String,
    /// The moment that it is told for, in UTC; `None` for the present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Which route takes it.
    pub route: Option<RouteTold>,
    /// What happens to it.
    pub decision: Decision,
    /// Who shares the answer.
    pub partition: Option<PartitionTold>,
    /// What two requests must have in common to share it, beside the route and the partition.
    pub key: Vec<KeyPart>,
    /// What of the request is not used as it came.
    pub dropped: Vec<Dropped>,
    /// What the origin is asked.
    pub origin: Option<AskedOf>,
    /// How long an answer would be kept; several where that depends on its media type.
    pub lifetimes: Vec<LifetimeTold>,
    /// The route's own tags; those that need the answer, as templates.
    pub tags: Vec<String>,
    /// What it purges if it succeeds: a write besides its own path, a request that only reads nothing else.
    pub purges: Vec<String>,
    /// It purges those although it only reads.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub purged_by_reading: bool,
    /// What a running process has for it now; `None` when none was asked.
    pub stored: Option<StoredTold>,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteTold {
    /// Its name.
    pub name: String,
    /// Where it is written.
    pub file: String,
    /// The line there, 1-based.
    pub line: u32,
    /// Its path template.
    pub path: String,
    /// Its policy's name.
    pub policy: String,
    /// How answers are shared: as `share` is written, `as the origin says` or `nothing is stored`.
    pub share: String,
}

/// What happens to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Decision {
    /// The way it takes.
    pub way: Way,
    /// The reason's spelling.
    pub reason: Option<String>,
    /// What the reason means, as the reference says it.
    pub because: Option<String>,
    /// The cookies, headers or parameters that are the reason.
    pub names: Vec<String>,
    /// How `Cache-Status` will begin, as far as it is known.
    pub cache_status: Option<String>,
}

/// The way that a request takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Looked up in the cache.
    Lookup,
    /// Looked up once the origin has said yes to the caller's own credentials.
    Ask,
    /// To the origin, without the cache.
    Pass,
    /// It is a purge that is carried out here, for those who may.
    Purge,
    /// Answered with an error.
    Refuse,
}

/// Who shares an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PartitionTold {
    /// Among whom.
    pub among: String,
    /// By what proof.
    pub proof: String,
    /// The parts of the principal that this request shows, by name.
    pub shown: Vec<String>,
}

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyPart {
    /// Its name: `host`, `query`, or that of a header.
    pub name: String,
    /// Its value, where that is no secret.
    pub value: Option<String>,
}

/// Something of a request that is not used as it came.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dropped {
    /// `header`, `cookie` or `query`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What becomes of it.
    pub why: String,
}

/// What the origin is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AskedOf {
    /// The upstream's name.
    pub upstream: String,
    /// Method and target.
    pub request: String,
    /// When.
    pub when: String,
    /// The headers that go with it.
    pub headers: Vec<SentField>,
}

/// A header that is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SentField {
    /// Its name.
    pub name: String,
    /// Why it goes.
    pub why: String,
}

/// How long an answer is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LifetimeTold {
    /// For this media type; `None` for all.
    pub media_type: Option<String>,
    /// Fresh for so long.
    pub fresh_for: ToldField,
    /// After that, served while it is fetched anew.
    pub stale_while_revalidate: ToldField,
    /// After that, served because the origin fails.
    pub stale_if_error: ToldField,
    /// Nothing older is delivered; in seconds.
    pub ceiling: Option<u64>,
    /// The `Cache-Control` that clients see in place of the origin's, if one is.
    pub downstream: Option<String>,
    /// What the origin says to caches like this one alone, and clients do not see.
    pub without: Vec<String>,
}

/// A time and who says it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToldField {
    /// In seconds; `None` where the origin's answer says it.
    pub seconds: Option<u64>,
    /// `policy`, `types`, `ceiling` or `origin`.
    pub from: String,
}

/// What a running process has for a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredTold {
    /// What was found.
    pub found: FoundEntry,
    /// The headers that the origin's `Vary` named here.
    pub varies_by: Vec<String>,
    /// Where the purge log stands.
    pub epoch: u64,
    /// The answer, if there is one.
    pub answer: Option<AnswerTold>,
}

/// What a key finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundEntry {
    /// Nothing.
    Nothing,
    /// An answer.
    Answer,
    /// A part of one.
    Part,
    /// That answers here cannot be kept.
    Uncacheable,
}

/// A stored answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AnswerTold {
    /// Whether this request may have it: `fresh`, `stale-while-revalidate`, or why it is not used as it is.
    pub usable: String,
    /// It came, or was last confirmed, so many seconds after the moment that is asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_later: Option<u64>,
    /// Whether it would be served if the origin failed.
    #[serde(default)]
    pub stands_in: bool,
    /// Its status.
    pub status: u16,
    /// The length of its body in bytes.
    pub bytes: usize,
    /// Its age in seconds.
    pub age: u64,
    /// What is left of its lifetime in seconds; negative once stale.
    pub ttl: i64,
    /// Served stale for so many seconds while it is fetched anew.
    pub stale_while_revalidate: u64,
    /// Served stale for so many seconds because the origin fails.
    pub stale_if_error: u64,
    /// Never served when older; in seconds.
    pub ceiling: Option<u64>,
    /// Where the purge log stood when its fetch left.
    pub fetched_at: u64,
    /// Where it stood when it was last confirmed.
    pub confirmed_at: u64,
    /// How many tags it has, as hashes: those of its URL and those that the answer named included.
    pub tags: usize,
    /// Those of the route's tags that it has.
    pub named: Vec<String>,
}
