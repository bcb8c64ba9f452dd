//! What may not be shared between people.
//!
//! An answer is taken to be about a patient when its route says so by a name. The rules, and there is no way around
//! them but to name things as they are:
//!
//! 1. `share: public` and `share: anonymous` are refused when a literal segment of the route's path, or the first word
//!    of one of its tags or purges, holds a word of patient data: patient, encounter, observation, appointment,
//!    prescription, diagnosis, admission, dicom, wado, and the compounds medical, health or clinical record,
//!    lab result. Singular and plural; a word is what stands between `-`, `_` and `.`, and compounds may be written
//!    with or without these.
//! 2. `share: public` is refused when the route's `purges` hold `principal`: what changes with who is signed in is not
//!    everybody's.
//! 3. `share: public` on `/**` is a warning: it takes whatever the routes above leave, known or not.
//! 4. `<int:id>` alone says nothing: `/media/medications/<int:id>/<file>` with the tag `medication:<id>` may be public.

use crate::config::message::MessageKind;
use crate::config::reader::{NodeReader, NodeTable};
use crate::rules::caching::{Caching, Share};
use crate::rules::route::Route;
use crate::rules::tag_template::{PurgeTemplate, TagPiece, TagSource, TagTemplate};
use crate::rules::template::{HostTemplate, Segment};

const WORDS: [&str; 9] =
    ["patient", "encounter", "observation", "appointment", "prescription", "diagnosis", "admission", "dicom", "wado"];
const COMPOUNDS: [(&str, &str); 4] =
    [("medical", "record"), ("health", "record"), ("clinical", "record"), ("lab", "result")];

pub(super) fn check(reader: &mut NodeReader, table: NodeTable<'_>, route: &Route) {
    let Caching::Named(policy) = &route.caching else { return };
    if policy.share.is_sensitive() {
        return;
    }
    let share = &policy.share;
    let hint = "write share: principal: each caller then has an own copy";
    if let Some((what, word)) = evidence(route) {
        let node = ["share", "policy", "path"].into_iter().find_map(|key| table.get(key)).unwrap_or(table.node);
        let message = format!("`share: {share}` on a route of patient data: its {what} says `{word}`");
        reader.error(MessageKind::Unsafe, node, message, hint);
    } else if policy.share == Share::Public
        && route.purges.contains(&PurgeTemplate::Principal)
        && let Some(node) = table.get("purges")
    {
        let message = "`share: public` on a route that changes with who is signed in, since it purges `principal`";
        reader.error(
            MessageKind::Unsafe,
            node,
            message,
            "give the writes a route of their own, with methods: [POST], above this one",
        );
    } else if policy.share == Share::Public
        && route.path.segments.is_empty()
        && route.path.rest
        && let Some(node) = table.get("path")
    {
        let message = "`share: public` on every path that no route above takes, whatever it turns out to hold";
        reader.warn(MessageKind::Unsafe, node, message, "name what is public: path: /static/**");
    }
}

/// Where the route says that it is about patients, and the word.
fn evidence(route: &Route) -> Option<(&'static str, &str)> {
    let path = route.path.segments.iter().map(|segment| match segment {
        Segment::Literal(text) | Segment::Part(_, text) => ("path", text.as_str()),
    });
    let name = std::iter::once(("name", route.name.as_str()));
    let host = route.host.iter().map(|host| match host {
        HostTemplate::Exact(host) | HostTemplate::Wildcard { suffix: host, .. } => ("host", host.as_str()),
    });
    let query = route.query.rules.iter().map(|(name, _)| ("query", name.as_str()));
    let sources = route.tags.iter().flat_map(|tag| &tag.pieces).filter_map(|piece| match piece {
        TagPiece::Text(_) => None,
        TagPiece::Value(TagSource::Part(name) | TagSource::Query(name)) => Some(("tag", name.as_str())),
        TagPiece::Value(TagSource::Listed(source, _)) => match &**source {
            TagSource::Part(name) | TagSource::Query(name) => Some(("tag", name.as_str())),
            _ => None,
        },
        TagPiece::Value(TagSource::Facet(facet)) => Some(("tag", facet.name.as_str())),
        TagPiece::Value(TagSource::Sent(path) | TagSource::Answer(path)) => {
            path.last().map(|name| ("tag", name.as_str()))
        }
    });
    let tags = route.tags.iter().filter_map(first_word).map(|word| ("tag", word));
    let purges = route.purges.iter().filter_map(|purge| match purge {
        PurgeTemplate::Tag(tag) => first_word(tag).map(|word| ("purge", word)),
        PurgeTemplate::Principal => None,
    });
    path.chain(tags)
        .chain(sources)
        .chain(purges)
        .chain(query)
        .chain(host)
        .chain(name)
        .find(|(_, text)| about_patients(text))
}

/// `patient` of `patient:<id>`.
fn first_word(tag: &TagTemplate) -> Option<&str> {
    match tag.pieces.first()? {
        TagPiece::Text(text) => text.split(':').next(),
        TagPiece::Value(_) => None,
    }
}

fn about_patients(text: &str) -> bool {
    // `patientRecords` is two words, `DICOM` is one.
    let mut spaced = String::with_capacity(text.len() + 4);
    let mut before = ' ';
    for c in text.chars() {
        if c.is_uppercase() && before.is_lowercase() {
            spaced.push('-');
        }
        spaced.extend(c.to_lowercase());
        before = c;
    }
    let words: Vec<&str> = spaced.split(['-', '_', '.', ' ']).map(singular).collect();
    let compound = |first: &str, second: &str| {
        words.windows(2).any(|pair| pair == [first, second])
            || words.iter().any(|word| word.strip_prefix(first) == Some(second))
    };
    words.iter().any(|word| WORDS.contains(word)) || COMPOUNDS.iter().any(|(first, second)| compound(first, second))
}

fn singular(word: &str) -> &str {
    match word {
        "diagnosis" => word,
        "diagnoses" => "diagnosis",
        _ => word.strip_suffix('s').unwrap_or(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_patient_data() {
        for text in [
            "patients",
            "DICOM",
            "PATIENT",
            "patientRecords",
            "Patient",
            "patient-photos",
            "dicom-web",
            "medical-records",
            "medicalrecord",
            "lab_results",
            "diagnoses",
        ] {
            assert!(about_patients(text), "{text}");
        }
        for text in
            ["medications", "medication", "static", "media", "records", "patience", "inpatients-info2", "results", ""]
        {
            assert!(!about_patients(text), "{text}");
        }
    }
}
