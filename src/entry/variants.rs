//! Which variants of an answer are stored, and which of them is for a request (RFC 9111 §4.1).
//!
//! Answers of one URL may differ by one field today and by another tomorrow, so each variant has its own names. The newest
//! that matches is the one. What a newer one without names hides is not kept, and of more than a few the oldest go: no
//! stream of new values fills the store.

use std::sync::Arc;

use http::HeaderName;
use smallvec::SmallVec;

use crate::entry::key::{Key, KeyBuf};

/// What is known of one primary key's variants. The answers themselves have keys of their own.
#[derive(Debug, Clone)]
pub struct Variants {
    /// By which fields the latest answer differed.
    latest: Arc<[HeaderName]>,
    /// The newest first.
    kept: Vec<Variant>,
}

/// One of them.
#[derive(Debug, Clone)]
pub struct Variant {
    /// By which fields it was selected, sorted; none: it matches every request.
    pub names: Arc<[HeaderName]>,
    /// Its key: the primary one, the names and the values that were sent.
    pub key: Key,
    /// The second of its `Date`.
    pub dated: u64,
}

/// Variants, and the keys of those that are not kept any more.
pub type Without = (Variants, SmallVec<[Key; 2]>);

impl Variants {
    /// None yet; what comes differs by these fields.
    pub fn coming(names: Arc<[HeaderName]>) -> Variants {
        Variants { latest: names, kept: Vec::new() }
    }

    /// The same ones; what comes next differs by these fields.
    pub fn followed_by(&self, names: Arc<[HeaderName]>) -> Variants {
        Variants { latest: names, kept: self.kept.clone() }
    }

    /// With one more, and `most` at most of all.
    pub fn with(&self, variant: Variant, most: usize) -> Without {
        let mut gone = SmallVec::new();
        let (own, latest) = (variant.key.clone(), variant.names.clone());
        let mut kept: Vec<Variant> = self.kept.iter().filter(|other| other.key != own).cloned().collect();
        // Of one second the later arrival is the newer.
        let place = kept.iter().position(|other| other.dated <= variant.dated).unwrap_or(kept.len());
        kept.insert(place, variant);
        if let Some(everybodys) = kept.iter().position(|variant| variant.names.is_empty()) {
            gone.extend(kept.drain(everybodys + 1..).map(|hidden| hidden.key));
        }
        while kept.len() > most.max(1) {
            let oldest = kept.iter().rposition(|other| other.key != own).unwrap_or(0);
            gone.push(kept.remove(oldest).key);
        }
        (Variants { latest, kept }, gone)
    }

    /// Without those of these keys.
    pub fn without(&self, keys: &[Key]) -> Variants {
        let kept = self.kept.iter().filter(|variant| !keys.contains(&variant.key)).cloned().collect();
        Variants { latest: self.latest.clone(), kept }
    }

    /// The newest variant that a request is given, by its names and key; where none matches, what is to be fetched.
    pub fn find(&self, key: impl FnMut(&[HeaderName]) -> KeyBuf) -> (Arc<[HeaderName]>, KeyBuf) {
        let mut keys = Keys::by(key);
        for variant in &self.kept {
            if **keys.of(&variant.names) == *variant.key {
                return (variant.names.clone(), keys.take(&variant.names));
            }
        }
        (self.latest.clone(), keys.take(&self.latest))
    }

    /// The keys of all.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.kept.iter().map(|variant| &variant.key)
    }

    /// All that match a request, the newest first.
    pub fn matching<'v>(&'v self, key: impl FnMut(&[HeaderName]) -> KeyBuf + 'v) -> impl Iterator<Item = &'v Variant> {
        let mut keys = Keys::by(key);
        self.kept.iter().filter(move |variant| **keys.of(&variant.names) == *variant.key)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Whether all that is left matches every request.
    pub fn is_everybodys(&self) -> bool {
        self.kept.first().is_some_and(|newest| newest.names.is_empty())
    }

    /// Bytes in memory, nearly.
    pub fn weight(&self) -> usize {
        let names = |names: &[HeaderName]| 16 + size_of_val(names);
        let own: usize = self.kept.iter().map(|one| size_of::<Variant>() + one.key.len() + names(&one.names)).sum();
        own + names(&self.latest) + size_of::<Variants>()
    }
}

/// A request's key by names, made once for all neighbours that have the same.
struct Keys<F> {
    make: F,
    made: Option<(Arc<[HeaderName]>, KeyBuf)>,
}

impl<F: FnMut(&[HeaderName]) -> KeyBuf> Keys<F> {
    fn by(make: F) -> Keys<F> {
        Keys { make, made: None }
    }

    fn of(&mut self, names: &Arc<[HeaderName]>) -> &KeyBuf {
        let made = self.made.take().filter(|(of, _)| Arc::ptr_eq(of, names) || of == names);
        let made = made.unwrap_or_else(|| (names.clone(), (self.make)(names)));
        &self.made.insert(made).1
    }

    fn take(mut self, names: &Arc<[HeaderName]>) -> KeyBuf {
        self.of(names);
        self.made.map(|(_, key)| key).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A request is a text: its letters are the fields that it has, each with the digit behind it.
    fn key(request: &str, names: &[HeaderName]) -> KeyBuf {
        let mut key = KeyBuf::from_slice(b"primary");
        for name in names {
            let value = request.split(' ').find_map(|field| field.strip_prefix(name.as_str()));
            key.extend_from_slice(format!("|{name}{}", value.unwrap_or("-")).as_bytes());
        }
        key
    }

    fn names(text: &str) -> Arc<[HeaderName]> {
        text.split(' ').filter(|name| !name.is_empty()).map(|name| name.parse().unwrap()).collect()
    }

    fn variant(by: &str, request: &str, dated: u64) -> Variant {
        let names = names(by);
        Variant { key: Key::from(key(request, &names).as_slice()), names, dated }
    }

    /// Stores in this order; what is kept in the end, and what went.
    fn stored(most: usize, answers: &[(&str, &str, u64)]) -> (Variants, Vec<String>) {
        let mut all = Variants::coming(names(""));
        let mut gone = Vec::new();
        for (by, request, dated) in answers {
            let (with, without) = all.with(variant(by, request, *dated), most);
            all = with;
            gone.extend(without.iter().map(|key| text(key)));
        }
        (all, gone)
    }

    fn text(key: &[u8]) -> String {
        String::from_utf8_lossy(key).replacen("primary", "", 1)
    }

    fn found(all: &Variants, request: &str) -> String {
        text(&all.find(|names| key(request, names)).1)
    }

    #[test]
    fn the_newest_that_matches_is_the_one() {
        let (all, gone) = stored(9, &[("a", "a1", 10), ("a", "a2", 11), ("b", "a1 b1", 12), ("a b", "a3 b3", 5)]);
        assert_eq!((all.len(), gone.len()), (4, 0));
        assert_eq!(found(&all, "a1"), "|a1");
        assert_eq!(found(&all, "a1 b1"), "|b1", "by Date (RFC 9111 §4)");
        assert_eq!(found(&all, "a2 b1"), "|b1");
        assert_eq!(found(&all, "a2 b2"), "|a2");
        assert_eq!(found(&all, "a3 b3"), "|a3|b3", "older ones are found where no newer one matches");
        assert_eq!(found(&all, "a4"), "|a4|b-", "none: as the latest arrival has it");
    }

    #[test]
    fn a_field_that_is_absent_matches_its_absence_only() {
        let (all, _) = stored(9, &[("a", "", 10), ("a", "a", 11)]);
        assert_eq!((found(&all, ""), found(&all, "a"), all.len()), ("|a-".into(), "|a".into(), 2));
    }

    #[test]
    fn an_answer_without_vary_is_for_every_request() {
        let (all, gone) = stored(9, &[("a", "a1", 10), ("a", "a2", 12), ("", "", 11)]);
        assert_eq!((found(&all, "a2"), found(&all, "a1"), found(&all, "a9")), ("|a2".into(), "".into(), "".into()));
        assert_eq!((gone, all.is_everybodys()), (vec!["|a1".to_owned()], false), "hidden is not kept");
        let (all, gone) = stored(9, &[("a", "a1", 10), ("", "", 10)]);
        assert_eq!((gone.len(), all.len(), all.is_everybodys()), (1, 1, true));
        let (all, gone) = stored(9, &[("", "", 10), ("a", "a1", 9)]);
        assert_eq!((gone, all.len()), (vec!["|a1".to_owned()], 1), "it never was selected");
        let (all, _) = stored(9, &[("", "", 10), ("a", "a1", 10)]);
        assert_eq!((found(&all, "a1"), found(&all, "a2")), ("|a1".into(), "".into()));
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let (all, gone) = stored(2, &[("a", "a1", 10), ("a", "a2", 11), ("a", "a3", 12), ("a", "a3", 13)]);
        assert_eq!((all.len(), gone), (2, vec!["|a1".to_owned()]), "and the same again takes no room");
        let (all, gone) = stored(2, &[("a", "a1", 10), ("a", "a2", 11), ("a", "a3", 1)]);
        assert_eq!((gone, found(&all, "a3")), (vec!["|a1".to_owned()], "|a3".into()), "never what has just come");
        let many: Vec<String> = (0..1000).map(|n| format!("a{n}")).collect();
        let many: Vec<(&str, &str, u64)> = many.iter().map(|request| ("a", request.as_str(), 10)).collect();
        let (all, gone) = stored(32, &many);
        assert_eq!((all.len(), gone.len()), (32, 968));
    }

    #[test]
    fn all_that_match_are_told_and_can_be_taken_out() {
        let (all, _) = stored(9, &[("a", "a1", 10), ("b", "b1", 12), ("a", "a2", 11)]);
        let matching: Vec<Key> = all.matching(|names| key("a1 b1", names)).map(|one| one.key.clone()).collect();
        assert_eq!(matching.iter().map(|key| text(key)).collect::<Vec<_>>(), ["|b1", "|a1"]);
        assert_eq!(all.without(&matching).len(), 1);
    }
}
