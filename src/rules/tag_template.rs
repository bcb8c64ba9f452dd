//! Templates of tags: text with holes, which an exchange fills.

use crate::asker::facet::Facet;
use crate::entry::tag::{MAX_TAG_BYTES, MAX_TAGS, canonical_tag, escape};

/// `patient:<id>`, `patient:<answer.patient_id>`: text with holes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TagTemplate {
    /// Text and holes in order.
    pub pieces: Vec<TagPiece>,
}

/// A piece of a tag template.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TagPiece {
    /// This text.
    Text(String),
    /// What this source holds for the exchange at hand.
    Value(TagSource),
}

/// Where the value of a hole comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TagSource {
    /// `<id>`: a named part of the path or the host.
    Part(String),
    /// `<tenant>`: a facet of whoever asks.
    Facet(Facet),
    /// `<query.x>`: a query parameter.
    Query(String),
    /// `<query.x:,>`, `<ids:,>`: a parameter or a part whose value lists several things, with this between them.
    Listed(Box<TagSource>, char),
    /// `<sent.x.y>`: a field of the request's JSON body.
    Sent(Vec<String>),
    /// `<answer.x.y>`: a field of the answer's JSON body; through arrays, every element's.
    Answer(Vec<String>),
}

impl TagSource {
    /// The field of the answer's JSON that it is.
    pub fn in_answer(&self) -> Option<&Vec<String>> {
        if let TagSource::Answer(path) = self { Some(path) } else { None }
    }

    /// The field of the request's JSON that it is.
    pub fn in_sent(&self) -> Option<&Vec<String>> {
        if let TagSource::Sent(path) = self { Some(path) } else { None }
    }
}

/// An item of `purges:`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PurgeTemplate {
    /// This tag.
    Tag(TagTemplate),
    /// `principal`: everything that is kept under any credential that the request shows.
    Principal,
}

/// Where the holes of a template get their values from, for one exchange.
pub trait Values {
    /// The values of a source: none when it is missing, several when it runs through an array.
    /// `Err` when it cannot be told (no such field, not JSON), which is not the same as an empty list.
    fn values(&self, source: &TagSource) -> Result<Vec<String>, Unknown>;
}

/// What stands between the things that one value lists, where nothing is said of it.
const LIKELY: [char; 3] = [',', ';', '|'];

/// What stands between the things that one value lists, where something may be said of it.
pub const SEPARATORS: [char; 5] = [',', ';', '|', '~', ' '];

/// The things that a value lists. Where it is not known what stands between them, the whole may be one thing and each piece may
/// be: it is all of them, so that no purge of any is too narrow.
fn listed(source: &TagSource, value: String, all: &mut Vec<String>) {
    let pieces = |is_between: &dyn Fn(char) -> bool, all: &mut Vec<String>| {
        let pieces = value.split(is_between).map(str::trim).filter(|piece| !piece.is_empty());
        all.extend(pieces.map(str::to_owned));
    };
    match source {
        TagSource::Listed(_, separator) => pieces(&|c| c == *separator, all),
        TagSource::Query(_) | TagSource::Sent(_) if value.contains(LIKELY) => {
            pieces(&|c| LIKELY.contains(&c), all);
            all.push(value);
        }
        // Behind a `;` in a path are its parameters.
        TagSource::Part(_) if value.contains(',') => {
            pieces(&|c| c == ',', all);
            all.push(value);
        }
        _ => all.push(value),
    }
}

/// The values of a source, each thing for itself and once.
fn things(source: &TagSource, values: &dyn Values) -> Result<Vec<String>, Unknown> {
    let mut all = Vec::new();
    let asked = match source {
        TagSource::Listed(source, _) => source,
        source => source,
    };
    values.values(asked)?.into_iter().for_each(|value| listed(source, value, &mut all));
    let mut seen = std::collections::HashSet::new();
    all.retain(|value| seen.insert(value.clone()));
    Ok(all)
}

/// A value cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

impl TagTemplate {
    /// The tags that this template makes. `Err` when a value cannot be told or is missing.
    pub fn tags(&self, values: &dyn Values) -> Result<Vec<String>, Unknown> {
        let mut tags = vec![String::new()];
        for piece in &self.pieces {
            match piece {
                TagPiece::Text(text) => tags.iter_mut().for_each(|tag| tag.push_str(text)),
                TagPiece::Value(source) => {
                    let found = things(source, values)?;
                    if tags.len().saturating_mul(found.len()) > MAX_TAGS {
                        return Err(Unknown);
                    }
                    tags = tags
                        .iter()
                        .flat_map(|tag| found.iter().map(move |value| format!("{tag}{}", escape(value))))
                        .collect();
                }
            }
        }
        match tags.iter().all(|tag| tag.len() <= MAX_TAG_BYTES) {
            true => Ok(tags),
            false => Err(Unknown),
        }
    }

    /// What a purge by this template names: as [`TagTemplate::tags`], but a value that is missing widens the tag to
    /// `…:*` at that place, so that a purge is never too narrow.
    pub fn purged(&self, values: &dyn Values) -> Vec<String> {
        match self.tags(values) {
            Ok(tags) if !tags.is_empty() => tags,
            _ => vec![self.widened(values)],
        }
    }

    fn widened(&self, values: &dyn Values) -> String {
        let mut tag = String::new();
        for piece in &self.pieces {
            match piece {
                TagPiece::Text(text) => tag.push_str(text),
                TagPiece::Value(source) => match things(source, values) {
                    Ok(found) if found.len() == 1 => tag.push_str(&escape(&found[0])),
                    _ => {
                        // Entries carry wildcards at colons only.
                        let colon = tag.rfind(':').map_or(0, |at| at + 1);
                        tag.truncate(colon);
                        tag.push('*');
                        return tag;
                    }
                },
            }
        }
        tag
    }

    /// Whether it can make what a purge names: that tag, or one below `a:*`. `fits` says whether a source can have a value, in
    /// the form that tags have.
    pub fn makes(&self, named: &str, fits: &dyn Fn(&TagSource, &str) -> bool) -> bool {
        /// Stands for a hole.
        const HOLE: char = '\0';
        let named = canonical_tag(named);
        if named == "*" {
            return true;
        }
        let mut holes = self.pieces.iter().filter_map(|piece| match piece {
            TagPiece::Value(source) => Some(source),
            TagPiece::Text(_) => None,
        });
        let whole: String = self
            .pieces
            .iter()
            .map(|piece| match piece {
                TagPiece::Text(text) => text.clone(),
                TagPiece::Value(_) => HOLE.to_string(),
            })
            .collect();
        let own: Vec<&str> = whole.split(':').collect();
        let parts: Vec<&str> = named.split(':').collect();
        let (wanted, long_enough) = match parts.split_last() {
            Some((&"*", before)) => (before, own.len() > before.len()),
            _ => (&*parts, own.len() == parts.len()),
        };
        // A hole stands behind a colon, and text may follow it.
        let mut takes = |own: &str, part: &str| match own.strip_prefix(HOLE) {
            None => canonical_tag(own) == part,
            Some(rest) => {
                let source = holes.next();
                part.strip_suffix(rest).is_some_and(|value| {
                    !value.is_empty() && (!rest.is_empty() || source.is_none_or(|source| fits(source, value)))
                })
            }
        };
        long_enough && own.iter().zip(wanted).all(|(own, part)| takes(own, part))
    }

    /// Whether a value comes from the answer's body.
    pub fn needs_answer(&self) -> bool {
        self.sources().any(|source| source.in_answer().is_some())
    }

    /// Where its values come from.
    pub fn sources(&self) -> impl Iterator<Item = &TagSource> {
        self.pieces.iter().filter_map(|piece| match piece {
            TagPiece::Value(source) => Some(source),
            TagPiece::Text(_) => None,
        })
    }
}

impl std::fmt::Display for TagTemplate {
    /// As it is written in the configuration.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            TagPiece::Text(text) => f.write_str(text),
            TagPiece::Value(TagSource::Part(name)) => write!(f, "<{name}>"),
            TagPiece::Value(TagSource::Facet(facet)) => write!(f, "<{}>", facet.name),
            TagPiece::Value(TagSource::Query(name)) => write!(f, "<query.{name}>"),
            TagPiece::Value(TagSource::Listed(source, separator)) => match &**source {
                TagSource::Query(name) => write!(f, "<query.{name}:{separator}>"),
                TagSource::Part(name) => write!(f, "<{name}:{separator}>"),
                _ => Ok(()),
            },
            TagPiece::Value(TagSource::Sent(path)) => write!(f, "<sent.{}>", path.join(".")),
            TagPiece::Value(TagSource::Answer(path)) => write!(f, "<answer.{}>", path.join(".")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tag::*;

    struct Fixed(Vec<(&'static str, Vec<&'static str>)>);

    impl Values for Fixed {
        fn values(&self, source: &TagSource) -> Result<Vec<String>, Unknown> {
            let (TagSource::Part(name) | TagSource::Query(name)) = source else { return Err(Unknown) };
            let found = self.0.iter().find(|(part, _)| part == name).ok_or(Unknown)?;
            Ok(found.1.iter().map(|&value| value.to_owned()).collect())
        }
    }

    fn template(pieces: &[&str]) -> TagTemplate {
        let piece = |text: &&str| match text.strip_prefix('<') {
            Some(part) => TagPiece::Value(TagSource::Part(part.trim_end_matches('>').into())),
            None => TagPiece::Text((*text).into()),
        };
        TagTemplate { pieces: pieces.iter().map(piece).collect() }
    }

    #[test]
    fn templates_make_tags() {
        let values = Fixed(vec![("id", vec!["7"]), ("evil", vec!["*:x"]), ("many", vec!["1", "2"]), ("none", vec![])]);
        let made = |pieces: &[&str]| template(pieces).tags(&values);
        assert_eq!(made(&["patient:", "<id>"]), Ok(vec!["patient:7".into()]));
        assert_eq!(made(&["patient:", "<evil>"]), Ok(vec!["patient:%2A%3Ax".into()]));
        assert_eq!(made(&["p:", "<many>"]), Ok(vec!["p:1".into(), "p:2".into()]));
        assert_eq!(made(&["p:", "<none>"]), Ok(vec![]));
        assert_eq!(made(&["p:", "<missing>"]), Err(Unknown));
    }

    #[test]
    fn a_value_that_lists_several_things_makes_a_tag_of_each() {
        let values =
            Fixed(vec![("ids", vec!["1,2", "3"]), ("one", vec!["2"]), ("odd", vec!["a;b|c"]), ("not", vec![","])]);
        let listed = |name: &str, separator| {
            let source = TagSource::Listed(Box::new(TagSource::Part(name.into())), separator);
            TagTemplate { pieces: vec![TagPiece::Text("p:".into()), TagPiece::Value(source)] }
        };
        let check = |template: TagTemplate, want: &[&str]| {
            assert_eq!(template.tags(&values).unwrap(), want, "{template}");
        };
        check(listed("ids", ','), &["p:1", "p:2", "p:3"]);
        check(listed("ids", ';'), &["p:1,2", "p:3"]);
        check(listed("not", ','), &[]);
        // While nothing is said, the whole may be a name as well.
        check(template(&["p:", "<ids>"]), &["p:1", "p:2", "p:1,2", "p:3"]);
        check(template(&["p:", "<odd>"]), &["p:a;b|c"]);
        let parameter = TagPiece::Value(TagSource::Query("odd".into()));
        check(TagTemplate { pieces: vec![parameter] }, &["a", "b", "c", "a;b|c"]);
        check(template(&["p:", "<one>"]), &["p:2"]);
        assert_eq!(listed("ids", ',').purged(&values), ["p:1", "p:2", "p:3"]);
        assert_eq!(listed("not", ',').purged(&values), ["p:*"]);
        assert_eq!(listed("ids", ',').to_string(), "p:<ids:,>");
    }

    #[test]
    fn it_is_known_which_tags_a_template_can_make() {
        let check = |pieces: &[&str], named: &str, want: bool| {
            let digits = |_: &TagSource, value: &str| value.bytes().all(|b| b.is_ascii_digit());
            assert_eq!(template(pieces).makes(named, &digits), want, "{pieces:?} {named}");
        };
        let patient: &[&str] = &["patient:", "<id>"];
        for (named, want) in [
            ("patient:7", true),
            ("patient:007", true),
            ("patient:*", true),
            ("*", true),
            ("patient", false),
            ("patients:7", false),
            ("pateint:7", false),
            ("patient:x", false),
            ("patient:7:x", false),
            ("patient:7:*", false),
            ("patient:", false),
        ] {
            check(patient, named, want);
        }
        check(&["patients"], "patients", true);
        check(&["patients"], "patients:*", false);
        check(&["p:", "<id>", ":notes"], "p:7:notes", true);
        check(&["p:", "<id>", ":notes"], "p:7:*", true);
        check(&["p:", "<id>", ":notes"], "p:*", true);
        check(&["p:", "<id>", ":notes"], "p:x:*", false);
        check(&["p:", "<id>", "-v"], "p:7-v", true);
        check(&["p:", "<id>", "-v"], "p:7", false);
    }

    #[test]
    fn a_missing_part_widens_a_purge() {
        let values = Fixed(vec![("tenant", vec!["a"]), ("many", vec!["1", "2"])]);
        let purged = |pieces: &[&str]| template(pieces).purged(&values);
        assert_eq!(purged(&["patient:", "<tenant>", ":", "<id>"]), ["patient:a:*"]);
        assert_eq!(purged(&["patient:", "<id>", ":", "<tenant>"]), ["patient:*"]);
        assert_eq!(purged(&["x-", "<id>"]), ["*"]);
        assert_eq!(purged(&["p:", "<many>"]), ["p:1", "p:2"]);
    }

    #[test]
    fn wider_purges_match_what_entries_carry() {
        let carried = |tag: &str| {
            let mut set = TagSet::default();
            set.carry(tag);
            set
        };
        let hits = |purge: &str, tag: &str| {
            let mut named = TagSet::default();
            named.name(purge);
            carried(tag).hashes().contains(&named.hashes()[0])
        };
        assert!(hits("patient:a:7", "patient:a:7"));
        assert!(hits("patient:a:*", "patient:a:7"));
        assert!(hits("patient:*", "patient:a:7"));
        assert!(hits("*", "patient:a:7"));
        assert!(!hits("patient:b:*", "patient:a:7"));
        assert!(!hits("patient:a", "patient:a:7"));
    }

    #[test]
    fn what_a_path_carries_is_found_by_every_purge_that_takes_it_and_by_no_other() {
        type Naming = fn(&mut TagSet);
        let mut carried = TagSet::default();
        for host in ["h:8080", ""] {
            carried.url(host, "/a/b", "q");
            carried.carry_path(host, "/a/b");
        }
        let hits = |naming: Naming| {
            let mut named = TagSet::default();
            naming(&mut named);
            named.hashes().iter().any(|hash| carried.hashes().contains(hash))
        };
        let taking: [Naming; 16] = [
            |purge| purge.all(),
            |purge| purge.name("*"),
            |purge| purge.host("h"),
            |purge| purge.host(""),
            |purge| purge.host("h:9090"),
            |purge| purge.prefix("h", "/"),
            |purge| purge.prefix("h", "/a"),
            |purge| purge.prefix("h", "/a/b"),
            |purge| purge.prefix("h", "/a/b/"),
            |purge| purge.prefix("", "/"),
            |purge| purge.prefix("", "/a"),
            |purge| purge.path("h", "/a/b"),
            |purge| purge.path("", "/a/b/"),
            |purge| purge.url("h", "/a/b", "q"),
            |purge| purge.url("h:8080", "/a/b/", "q"),
            |purge| purge.url("", "/a/b", "q"),
        ];
        let leaving: [Naming; 8] = [
            |purge| purge.host("i"),
            |purge| purge.prefix("h", "/a/b/c"),
            |purge| purge.prefix("", "/b"),
            |purge| purge.prefix("", "/a/bc"),
            |purge| purge.path("h", "/a"),
            |purge| purge.path("h", "/"),
            |purge| purge.url("h", "/a/b", ""),
            |purge| purge.name("a"),
        ];
        taking.iter().enumerate().for_each(|(number, naming)| assert!(hits(*naming), "{number}"));
        leaving.iter().enumerate().for_each(|(number, naming)| assert!(!hits(*naming), "{number}"));
        for (host, named) in [("[::1]:81", "[::1]"), ("h", "h:81"), ("h:80", "h")] {
            let (mut root, mut purge) = (TagSet::default(), TagSet::default());
            root.carry_path(host, "/");
            purge.host(named);
            assert!(root.contains(&purge), "below the root is the root itself: {host} {named}");
        }
    }

    #[test]
    fn of_a_path_with_more_prefixes_than_fit_none_is_made() {
        let of = |segments: usize| {
            let mut carried = TagSet::default();
            carried.carry_path("h", &"/a".repeat(segments));
            carried
        };
        assert!(!of(100).overflowed() && of(100).hashes().len() == 101);
        let deep = of(MAX_TAGS + 1);
        assert!(deep.overflowed() && deep.hashes().is_empty());
    }
}
