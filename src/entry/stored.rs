//! What is stored: answers as they will be delivered, immutable once made.
//!
//! An answer in flight has a [`Head`], convenient to work with. An [`Entry`] is the same packed: the fields as the lines that
//! are sent, the tags as numbers, all in few buffers of exact size. A hit copies lines; what is rarely asked is read out of
//! them again.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use crate::entry::head::{Head, Lifetime, Openness, OriginClock, Staleness, Validators, Vital};
use crate::entry::owner::Owners;
use crate::entry::purge::Birth;
use crate::entry::tag::{TagHash, TagSet, Tagged};
use crate::ground::clock::monotonic;

/// A stored answer.
#[derive(Debug, Clone)]
pub struct Entry(Arc<Stored>);

/// The bits of where the replaced fields begin: a text is far shorter than 16 MiB.
const REPLACED: u32 = 24;

/// The bytes of a tag.
const TAG: usize = size_of::<TagHash>();

/// Small: there are many of them.
#[derive(Debug)]
struct Stored {
    status: StatusCode,
    marks: Marks,
    life: Life,
    /// The address that it was fetched for.
    client: u16,
    /// How many tags it has.
    tags: u16,
    fresh_for: Tenths,
    stale_while_revalidate: Tenths,
    stale_if_error: Tenths,
    ceiling: Tenths,
    initial_age: Tenths,
    /// Where in the text the replaced fields begin, and in the first eight bits the principal that it was fetched for.
    replaced: u32,
    /// Nanoseconds since [`beginning`].
    received: u64,
    birth: Birth,
    /// Tags, then the fields that are delivered, then those that were replaced.
    text: Box<[u8]>,
    body: Bytes,
}

impl Stored {
    fn replaced_at(&self) -> usize {
        (self.replaced & ((1 << REPLACED) - 1)) as usize
    }
}

/// What happens to an entry while it is stored.
#[derive(Debug)]
struct Life(AtomicU8);

impl Life {
    /// Its origin has refused it since to those who may have it.
    const ENDED: u8 = 1;
    /// It was asked for since somebody last looked.
    const ASKED_FOR: u8 = 2;

    fn new(is_ended: bool) -> Life {
        Life(AtomicU8::new(if is_ended { Life::ENDED } else { 0 }))
    }

    fn has(&self, mark: u8) -> bool {
        self.0.load(Ordering::Relaxed) & mark != 0
    }
}

/// What else is known of an entry, in one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Marks(u8);

impl Marks {
    /// Other fields about caching are delivered in the place of the origin's own.
    const OTHERWISE: u8 = 1;
    /// [`OriginClock::Behind`].
    const CLOCK_BEHIND: u8 = 2;
    /// The origin is asked for the whole: a 304 would make nothing of it.
    const WHOLE: u8 = 4;

    /// Where [`Openness`] and [`Staleness`] are, two bits each.
    const OPENNESS: u8 = 3;
    const STALENESS: u8 = 5;

    fn of(head: &Head) -> Marks {
        let Vital { lifetime, openness, .. } = head.vital;
        let openness = match openness {
            Openness::Open => 0,
            Openness::ToAuthorization => 1,
            Openness::Closed => 2,
        };
        let staleness = match lifetime.staleness {
            Staleness::Allowed => 0,
            Staleness::Forbidden => 1,
            Staleness::ForbiddenBySMaxage => 2,
        };
        let otherwise = if head.replaced.is_some() { Marks::OTHERWISE } else { 0 };
        let clock = if head.vital.clock == OriginClock::Behind { Marks::CLOCK_BEHIND } else { 0 };
        Marks(otherwise | clock | openness << Marks::OPENNESS | staleness << Marks::STALENESS)
    }

    fn openness(self) -> Openness {
        match self.0 >> Marks::OPENNESS & 3 {
            0 => Openness::Open,
            1 => Openness::ToAuthorization,
            _ => Openness::Closed,
        }
    }

    fn staleness(self) -> Staleness {
        match self.0 >> Marks::STALENESS & 3 {
            0 => Staleness::Allowed,
            1 => Staleness::Forbidden,
            _ => Staleness::ForbiddenBySMaxage,
        }
    }

    fn has(self, mark: u8) -> bool {
        self.0 & mark != 0
    }
}

/// Tenths of a second, up to thirteen years; then for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Tenths(u32);

impl Tenths {
    /// The most that is not longer.
    fn at_most(time: Duration) -> Tenths {
        Tenths(u32::try_from(time.as_millis() / 100).unwrap_or(u32::MAX))
    }

    /// The least that is not shorter.
    fn at_least(time: Duration) -> Tenths {
        Tenths(u32::try_from(time.as_millis().div_ceil(100)).unwrap_or(u32::MAX))
    }

    fn duration(self) -> Duration {
        match self.0 {
            u32::MAX => Duration::MAX,
            tenths => Duration::from_millis(u64::from(tenths) * 100),
        }
    }
}

/// A moment before any answer arrived: a day before the first was whole.
fn beginning() -> Instant {
    static BEGINNING: OnceLock<Instant> = OnceLock::new();
    const A_DAY: Duration = Duration::from_secs(86_400);
    *BEGINNING.get_or_init(|| {
        let now = monotonic();
        now.checked_sub(A_DAY).unwrap_or(now)
    })
}

impl Entry {
    /// Packs an answer. `Content-Length` is the body's, whatever the head says; `Age`, `X-Request-Id` and the like are each
    /// delivery's own.
    pub fn new(head: &Head, body: Bytes) -> Entry {
        let mut text: Vec<u8> = head.tags.tag_hashes().flat_map(TagHash::to_bytes).collect();
        // At most `MOST_TAGS`.
        let tags = (text.len() / TAG) as u16;
        let via = head.headers.get_all(header::VIA).iter().next_back().filter(|via| *via == VIA);
        let is_own = |name, value| OWN.contains(name) || via.is_some_and(|via| std::ptr::eq(via, value));
        let kept = head.headers.iter().filter(|&(name, value)| !is_own(name, value));
        kept.for_each(|(name, value)| write_line(&mut text, name, value));
        let replaced = text.len() as u32;
        head.replaced.iter().flatten().for_each(|(name, value)| write_line(&mut text, name, value));
        let Vital { lifetime, received, initial_age, .. } = head.vital;
        let (client, principal) = head.owners.packed();
        Entry(Arc::new(Stored {
            status: head.status,
            marks: Marks::of(head),
            life: Life::new(false),
            client,
            tags,
            fresh_for: Tenths::at_most(lifetime.fresh_for),
            stale_while_revalidate: Tenths::at_most(lifetime.stale_while_revalidate),
            stale_if_error: Tenths::at_most(lifetime.stale_if_error),
            ceiling: Tenths::at_most(lifetime.ceiling),
            initial_age: Tenths::at_least(initial_age),
            replaced: replaced | u32::from(principal) << REPLACED,
            received: received.saturating_duration_since(beginning()).as_nanos() as u64,
            birth: Birth::new(head.birth.born, head.birth.validated),
            // Not `into_boxed_slice`: a buffer that shrinks may stay as large as it was.
            text: Box::from(text.as_slice()),
            // A buffer that others hold as well costs as much again as a short body's copy.
            body: if body.len() <= SHORT { Bytes::copy_from_slice(&body) } else { body },
        }))
    }

    /// The status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The whole body, in a buffer of its own: a slice of a connection's read buffer would keep all of it alive.
    pub fn body(&self) -> &Bytes {
        &self.0.body
    }

    /// The fields as they are delivered, each with its line's end; without a length. Those that all have are stored once.
    pub fn lines(&self) -> [&[u8]; 2] {
        [&self.0.text[usize::from(self.0.tags) * TAG..self.0.replaced_at()], VIA_LINE]
    }

    /// The same, as a map.
    pub fn fields(&self) -> HeaderMap {
        self.lines().into_iter().flat_map(fields).collect()
    }

    /// The origin's own fields about caching, where others are delivered in their place.
    pub fn replaced(&self) -> Option<impl Iterator<Item = (HeaderName, HeaderValue)>> {
        self.0.marks.has(Marks::OTHERWISE).then(|| fields(&self.0.text[self.0.replaced_at()..]))
    }

    /// What `If-None-Match` and `If-Modified-Since` are compared with.
    pub fn validators(&self) -> Validators {
        let wanted =
            |(name, _): &(HeaderName, HeaderValue)| [header::ETAG, header::LAST_MODIFIED, header::DATE].contains(name);
        Validators::of(&self.lines().into_iter().flat_map(fields).filter(wanted).collect())
    }

    /// What the origin is asked for a 304 with: its own validators, which may be delivered otherwise.
    pub fn said_validators(&self) -> Validators {
        if self.0.marks.has(Marks::WHOLE) {
            return Validators::default();
        }
        let Some(replaced) = self.replaced() else { return self.validators() };
        let said = replaced.filter(|(name, _)| *name == header::ETAG).map(|(_, value)| value).next();
        Validators { etag: said, ..self.validators() }
    }

    /// How old it is and may become.
    pub fn vital(&self) -> Vital {
        let stored = &*self.0;
        Vital {
            lifetime: Lifetime {
                fresh_for: stored.fresh_for.duration(),
                stale_while_revalidate: stored.stale_while_revalidate.duration(),
                stale_if_error: stored.stale_if_error.duration(),
                ceiling: stored.ceiling.duration(),
                staleness: stored.marks.staleness(),
            },
            received: beginning() + Duration::from_nanos(stored.received),
            initial_age: stored.initial_age.duration(),
            openness: stored.marks.openness(),
            clock: if stored.marks.has(Marks::CLOCK_BEHIND) { OriginClock::Behind } else { OriginClock::Right },
        }
    }

    /// Where the purge log stood when its fetch left.
    pub fn birth(&self) -> &Birth {
        &self.0.birth
    }

    /// What purges it, as a set.
    pub fn tags(&self) -> TagSet {
        self.tag_hashes().collect()
    }

    /// Whether it is this very one, not one like it.
    pub fn is(&self, other: &Entry) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The same, stale from the beginning.
    pub fn outdated(&self) -> Entry {
        let Stored { birth, text, body, .. } = &*self.0;
        let (fresh_for, stale_while_revalidate) = (Tenths(0), Tenths(0));
        let (birth, text, body) = (Birth::new(birth.born, birth.validated), text.clone(), body.clone());
        let life = Life::new(self.is_ended());
        Entry(Arc::new(Stored { fresh_for, stale_while_revalidate, birth, text, body, life, ..*self.0 }))
    }

    /// The same, stale from the beginning, and never asked about on a condition: it is the whole that takes its place, or nothing.
    pub fn asked_whole(&self) -> Entry {
        let Stored { birth, text, body, marks, .. } = &*self.0;
        let (fresh_for, stale_while_revalidate) = (Tenths(0), Tenths(0));
        let (birth, text, body) = (Birth::new(birth.born, birth.validated), text.clone(), body.clone());
        let (life, marks) = (Life::new(self.is_ended()), Marks(marks.0 | Marks::WHOLE));
        Entry(Arc::new(Stored { fresh_for, stale_while_revalidate, birth, text, body, life, marks, ..*self.0 }))
    }

    /// Whether it is this very one, or what was made of it by [`Entry::outdated`].
    pub fn is_of(&self, other: &Entry) -> bool {
        self.is(other) || self.0.text == other.0.text && self.0.body == other.0.body
    }

    /// Its origin refuses it: who holds it for when the origin fails holds nothing any more.
    pub fn end(&self) {
        self.0.life.0.fetch_or(Life::ENDED, Ordering::Relaxed);
    }

    /// Whether its origin has refused it.
    pub fn is_ended(&self) -> bool {
        self.0.life.has(Life::ENDED)
    }

    /// Somebody asks for it.
    pub fn ask_for(&self) {
        if !self.0.life.has(Life::ASKED_FOR) {
            self.0.life.0.fetch_or(Life::ASKED_FOR, Ordering::Relaxed);
        }
    }

    /// Whether somebody has asked for it since this was last called.
    pub fn was_asked_for(&self) -> bool {
        self.0.life.0.fetch_and(!Life::ASKED_FOR, Ordering::Relaxed) & Life::ASKED_FOR != 0
    }

    /// For whom it was fetched.
    pub fn owners(&self) -> Owners {
        Owners::unpacked(self.0.client, (self.0.replaced >> REPLACED) as u8)
    }

    pub(super) fn weight(&self) -> usize {
        size_of::<Stored>() + self.0.text.len() + self.0.body.len()
    }
}

impl Tagged for Entry {
    fn tag_hashes(&self) -> impl Iterator<Item = TagHash> {
        let (hashes, _) = self.0.text[..usize::from(self.0.tags) * TAG].as_chunks::<TAG>();
        hashes.iter().copied().map(TagHash::from_bytes)
    }
}

/// Bodies up to this length are copied, when they are stored and when they are sent.
pub const SHORT: usize = 8 << 10;

/// What each delivery says itself.
const OWN: [HeaderName; 3] = [header::AGE, header::CONTENT_LENGTH, HeaderName::from_static("x-request-id")];

/// What we say of ourselves in every answer that we hand on (RFC 9110 §7.6.3).
pub const VIA: &str = "1.1 stent";

const VIA_LINE: &[u8] = b"via: 1.1 stent\r\n";

/// Writes a field as it is sent.
pub(crate) fn write_line(text: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].iter().for_each(|piece| text.extend_from_slice(piece));
}

/// Reads such lines.
fn fields(mut lines: &[u8]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    std::iter::from_fn(move || {
        // A value has no line's end in it, and a name no colon.
        let end = lines.windows(2).position(|pair| pair == b"\r\n")?;
        let (line, rest) = lines.split_at(end);
        lines = &rest[2..];
        let colon = line.iter().position(|&b| b == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line.get(colon + 2..)?).ok()?))
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::entry::purge::Stamp;

    /// Of an answer that has just arrived.
    pub(crate) fn head(headers: HeaderMap) -> Head {
        let lifetime = Lifetime {
            fresh_for: Duration::from_secs(60),
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            ceiling: Lifetime::NO_CEILING,
            staleness: Staleness::Forbidden,
        };
        let (received, initial_age) = (Instant::now(), Duration::ZERO);
        Head {
            status: StatusCode::OK,
            validators: Validators::of(&headers),
            headers,
            replaced: None,
            vital: Vital { lifetime, received, initial_age, openness: Openness::Closed, clock: OriginClock::Behind },
            birth: Birth::new(Stamp(1), Stamp(1)),
            tags: TagSet::default(),
            owners: Owners::default(),
        }
    }

    #[test]
    fn what_is_outdated_is_the_same_but_not_fresh() {
        let head = head(HeaderMap::from_iter([(header::ETAG, HeaderValue::from_static("\"a\""))]));
        let entry = Entry::new(&head, Bytes::from_static(b"x"));
        let outdated = entry.outdated();
        assert!(entry.is(&entry.clone()) && !entry.is(&outdated));
        assert_eq!((outdated.lines(), outdated.body()), (entry.lines(), entry.body()));
        let lifetime = Lifetime { fresh_for: Duration::ZERO, ..head.vital.lifetime };
        assert_eq!(outdated.vital(), Vital { lifetime, ..head.vital });
        let whole = entry.asked_whole();
        assert_eq!((whole.vital(), whole.lines()), (outdated.vital(), entry.lines()));
        assert!(entry.said_validators().any() && outdated.said_validators().any() && !whole.said_validators().any());
    }

    #[test]
    fn what_is_packed_is_read_again() {
        let via = ["1.1 stent", "1.0 proxy", "1.1 stent"].map(|value| (header::VIA, HeaderValue::from_static(value)));
        let mut head = head(HeaderMap::from_iter(via));
        head.headers.insert(header::ETAG, HeaderValue::from_static("\"a\""));
        head.tags.carry_path("clinic.example", "/patients/7");
        let said = vec![(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"))];
        for replaced in [None, Some(Vec::new()), Some(said)] {
            head.replaced = replaced;
            let entry = Entry::new(&head, Bytes::new());
            assert_eq!((entry.fields(), entry.tags()), (head.headers.clone(), head.tags.clone()));
            assert_eq!(entry.replaced().map(Vec::from_iter), head.replaced);
            assert_eq!(entry.validators(), Validators::of(&head.headers));
            let ours = entry.lines().concat().windows(VIA_LINE.len()).filter(|line| *line == VIA_LINE).count();
            assert_eq!(ours, 2, "another Stent's and ours");
        }
    }

    #[test]
    fn what_took_long_to_arrive_is_as_old_once_it_is_packed() {
        let mut head = head(HeaderMap::new());
        head.vital.received -= Duration::from_secs(30);
        assert_eq!(Entry::new(&head, Bytes::new()).vital(), head.vital);
    }
}
