//! Tags: the names by which stored answers are purged.
//!
//! An entry carries the hashes of its tags. Its URL, host, path prefixes and route are tags too, so that one mechanism
//! serves every kind of purge (purge rule 4). `a:b:c` also carries `a:b:*` and `a:*`, so a purge may be as wide as it
//! must. Values that come from a request are escaped before they become part of a tag: they cannot contain `:` or `*`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hash};

use smallvec::SmallVec;

use crate::fields::authority::without_port;
use crate::fields::percent::decode;

/// The hash of a tag, equal on every node, of 32 bits. Two tags with one hash cost a hit, never truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagHash(pub u32);

impl TagHash {
    /// As it is stored.
    pub fn to_bytes(self) -> [u8; 4] {
        self.0.to_le_bytes()
    }

    /// The same, read again.
    pub fn from_bytes(bytes: [u8; 4]) -> TagHash {
        TagHash(u32::from_le_bytes(bytes))
    }
}

/// The most tags of a record, and of what a template makes; a record of more forgets everything.
pub const MAX_TAGS: usize = 256;

/// The most tags that an answer can have, whatever is configured: an entry counts them by 16 bits (purge rule 17).
pub const MOST_TAGS: usize = 20_000;

/// From here on hashes are found by an index.
const MANY: usize = 64;

/// The longest tag in bytes.
pub const MAX_TAG_BYTES: usize = 512;

/// The tags of an entry or of a purge: deduplicated hashes.
#[derive(Debug, Clone)]
pub struct TagSet {
    hashes: SmallVec<[TagHash; 24]>,
    /// The same, once there are many.
    index: Option<HashSet<TagHash, foldhash::fast::FixedState>>,
    most: usize,
    /// More than fit were added.
    overflowed: bool,
}

impl PartialEq for TagSet {
    fn eq(&self, other: &TagSet) -> bool {
        (&self.hashes, self.overflowed) == (&other.hashes, other.overflowed)
    }
}

impl Eq for TagSet {}

impl Default for TagSet {
    /// For a record: [`MAX_TAGS`] at most.
    fn default() -> TagSet {
        TagSet::up_to(MAX_TAGS)
    }
}

/// What carries tags.
pub trait Tagged {
    /// Their hashes.
    fn tag_hashes(&self) -> impl Iterator<Item = TagHash>;
}

impl Tagged for TagSet {
    fn tag_hashes(&self) -> impl Iterator<Item = TagHash> {
        self.hashes.iter().copied()
    }
}

impl FromIterator<TagHash> for TagSet {
    fn from_iter<I: IntoIterator<Item = TagHash>>(hashes: I) -> TagSet {
        let mut set = TagSet::up_to(MOST_TAGS);
        hashes.into_iter().for_each(|hash| set.push(hash));
        set
    }
}

/// The kinds of tags; each has its own space of names, so that no header of an origin can imitate a URL.
#[derive(Debug, Clone, Copy, Hash)]
enum Space {
    Named,
    Url,
    Path,
    Below,
    Route,
    Principal,
    Group,
}

impl TagSet {
    /// The hashes.
    pub fn hashes(&self) -> &[TagHash] {
        &self.hashes
    }

    /// For so many at most.
    pub fn up_to(most: usize) -> TagSet {
        TagSet { hashes: SmallVec::new(), index: None, most: most.min(MOST_TAGS), overflowed: false }
    }

    /// The same, with room for so many; what is there already stays.
    pub fn bounded(self, most: usize) -> TagSet {
        let overflowed = self.overflowed || self.hashes.len() > most;
        TagSet { most: most.min(MOST_TAGS), overflowed, ..self }
    }

    /// Whether all of `other` is in it.
    pub fn contains(&self, other: &TagSet) -> bool {
        other.hashes.iter().all(|hash| self.has(*hash))
    }

    fn has(&self, hash: TagHash) -> bool {
        match &self.index {
            Some(index) => index.contains(&hash),
            None => self.hashes.contains(&hash),
        }
    }

    /// Bytes on the heap.
    pub fn spilled_bytes(&self) -> usize {
        if self.hashes.spilled() { self.hashes.capacity() * size_of::<TagHash>() } else { 0 }
    }

    /// Whether there were more than fit; such an answer is not stored.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// A tag that an entry carries: its own name and every wider one: `a:b`, `a:*`, `*`.
    pub fn carry(&mut self, tag: &str) {
        let tag = canonical_tag(tag);
        self.add_named(&tag);
        self.all();
        for (at, _) in tag.match_indices(':') {
            self.add_parts(Space::Named, &[&tag.as_bytes()[..=at], b"*"]);
        }
    }

    /// A tag that a purge names; `a:*` takes all below `a:`.
    pub fn name(&mut self, tag: &str) {
        self.add_named(&canonical_tag(tag));
    }

    fn add_named(&mut self, tag: &str) {
        match tag {
            "*" => self.all(),
            tag => self.add(Space::Named, tag.as_bytes()),
        }
    }

    /// Everything there is: what is below the root of any host.
    pub fn all(&mut self) {
        self.host("");
    }

    /// One URL: host in its usual spelling, at any port; path in normal form with or without a slash at its end; canonical
    /// query.
    pub fn url(&mut self, host: &str, path: &str, query: &str) {
        let (host, path) = (without_port(host), canonical_path(path));
        self.add_parts(Space::Url, &[host.as_bytes(), b"\0", path.as_bytes(), b"\0", query.as_bytes()]);
    }

    /// One path with any query.
    pub fn path(&mut self, host: &str, path: &str) {
        self.add_at(Space::Path, host, &canonical_path(path));
    }

    /// A prefix by whole segments, as a purge names it: `/api/patients` takes it and all below.
    pub fn prefix(&mut self, host: &str, path: &str) {
        let path = canonical_path(path);
        self.add_at(Space::Path, host, &path);
        self.add_at(Space::Below, host, &path);
    }

    /// A path that an entry carries: itself, and that it is below each prefix of it and below the root. One with more prefixes
    /// than fit is not gone through.
    pub fn carry_path(&mut self, host: &str, path: &str) {
        if path.matches('/').count() > MAX_TAGS {
            self.overflowed = true;
            return;
        }
        let path = canonical_path(path);
        self.add_at(Space::Path, host, &path);
        self.host(host);
        path.match_indices('/').for_each(|(at, _)| self.add_at(Space::Below, host, &path[..at]));
    }

    /// All of one host: what is below its root.
    pub fn host(&mut self, host: &str) {
        self.add_at(Space::Below, host, "");
    }

    /// All of one route.
    pub fn route(&mut self, name: &str) {
        self.add(Space::Route, name.as_bytes());
    }

    /// All that is kept for one principal.
    pub fn principal(&mut self, digest: &[u8; 32]) {
        self.add(Space::Principal, digest);
    }

    /// A cache group of one origin (RFC 9875 §2.1).
    pub fn group(&mut self, origin: &str, group: &str) {
        self.add_parts(Space::Group, &[origin.as_bytes(), b"\0", group.as_bytes()]);
    }

    /// All of `other` too.
    pub fn union(&mut self, other: &TagSet) {
        other.hashes.iter().for_each(|&hash| self.push(hash));
        self.overflowed |= other.overflowed;
    }

    /// Without the port, so that who names a host takes it at all of them.
    fn add_at(&mut self, space: Space, host: &str, canonical_path: &str) {
        self.add_parts(space, &[without_port(host).as_bytes(), b"\0", canonical_path.as_bytes()]);
    }

    fn add(&mut self, space: Space, text: &[u8]) {
        self.add_parts(space, &[text]);
    }

    fn add_parts(&mut self, space: Space, parts: &[&[u8]]) {
        // A fixed seed: nodes must agree on a tag's hash. Whoever crafts collisions gains misses.
        let hasher = foldhash::quality::FixedState::with_seed(0x5374_656e_7421);
        let mut state = hasher.build_hasher();
        (space as u8).hash(&mut state);
        let mut whole: SmallVec<[u8; 256]> = SmallVec::new();
        parts.iter().for_each(|part| whole.extend_from_slice(part));
        std::hash::Hasher::write(&mut state, &whole);
        self.push(TagHash(std::hash::Hasher::finish(&state) as u32));
    }

    fn push(&mut self, hash: TagHash) {
        if self.has(hash) {
            return;
        }
        if self.hashes.len() >= self.most {
            self.overflowed = true;
            return;
        }
        self.hashes.push(hash);
        match &mut self.index {
            Some(index) => drop(index.insert(hash)),
            None if self.hashes.len() > MANY => self.index = Some(self.hashes.iter().copied().collect()),
            None => {}
        }
    }
}

fn untrailed(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// The canonical form of a piece of a tag, so that the spellings of one thing are one tag: numbers without leading zeros or a
/// fraction of zero, UUIDs in lower case. Two things that become one cost a hit.
fn canonical(piece: &str) -> Cow<'_, str> {
    let piece = piece.trim();
    let whole = match piece.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => whole,
        _ => piece,
    };
    if !whole.is_empty() && whole.bytes().all(|b| b.is_ascii_digit()) {
        let digits = whole.trim_start_matches('0');
        return Cow::Borrowed(if digits.is_empty() { "0" } else { digits });
    }
    let is_uuid = matches!(piece.len(), 32 | 36) && piece.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    if !is_uuid {
        return Cow::Borrowed(piece);
    }
    let digits = piece.replace('-', "").to_ascii_lowercase();
    match digits.bytes().all(|b| b.is_ascii_digit()) {
        // Once more, as a number: what is canonical stays as it is.
        true => Cow::Owned(canonical(&digits).into_owned()),
        false => Cow::Owned(digits),
    }
}

/// A tag with each piece canonical, however it was spelled: by a template, an origin's header or a caller of the admin. A star
/// is a wildcard only where it was written as one.
pub(crate) fn canonical_tag(tag: &str) -> String {
    let piece = |piece: &str| match piece {
        "*" => "*".to_owned(),
        _ => escape(&canonical(&decode(piece))),
    };
    tag.split(':').map(piece).collect::<Vec<_>>().join(":")
}

/// A path for tags: percent-encoding decoded, each segment canonical, no slash at the end.
fn canonical_path(path: &str) -> String {
    untrailed(path).split('/').map(|segment| canonical(&decode(segment)).into_owned()).collect::<Vec<_>>().join("/")
}

/// Values cannot bring their own `:` or `*` into a tag.
pub(crate) fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            ':' => out.push_str("%3A"),
            '*' => out.push_str("%2A"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_tags_are_said_never_dropped() {
        let mut set = TagSet::default();
        (0..MAX_TAGS).for_each(|i| set.name(&i.to_string()));
        assert!(!set.overflowed());
        set.name("one more");
        assert!(set.overflowed());
        for most in [1, MANY, MANY + 1, 2000] {
            let mut set = TagSet::up_to(most);
            let add = |set: &mut TagSet| (0..most).for_each(|i| set.name(&format!("t{i}")));
            add(&mut set);
            let once = set.clone();
            add(&mut set);
            assert!(!set.overflowed() && set == once && set.contains(&once), "{most}: each counts once");
            assert!(once.clone().bounded(most - 1).overflowed() && !once.bounded(most).overflowed(), "{most}");
            set.name("one more");
            assert!(set.overflowed() && set.hashes().len() == most, "{most}");
        }
    }

    #[test]
    fn a_tag_is_found_however_it_is_spelled() {
        let hash = |named: &str| {
            let mut set = TagSet::default();
            set.name(named);
            set.hashes()[0]
        };
        for text in [
            "7",
            "007",
            "7.0",
            "0",
            "000",
            "a b",
            "a%20b",
            "1.2.840.10008",
            "é",
            "%C3%A9",
            "%3A",
            "%2A",
            "x*",
            "00000000-0000-0000-0000-000000000001",
            "550E8400-e29b-41d4-a716-446655440000",
        ] {
            let once = canonical(text);
            assert_eq!(canonical(&once), once, "{text}");
            for suffix in ["", "-v"] {
                // As a template makes it of a value, and as a caller or an origin writes it.
                let made = format!("doc:{}{suffix}", escape(&decode(text)));
                let mut carried = TagSet::default();
                carried.carry(&made);
                assert!(carried.hashes().contains(&hash(&format!("doc:{text}{suffix}"))), "{text}{suffix}");
                assert!(carried.hashes().contains(&hash("doc:*")), "{text}{suffix}");
            }
        }
        assert_eq!(hash("a:7"), hash("a:07.00"));
        assert_ne!(hash("a:%2A"), hash("a:*"), "a value is no wildcard");
    }
}
