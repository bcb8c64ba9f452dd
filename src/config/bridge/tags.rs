//! `tags:` and `purges:` of a route.

use super::identity::ConfiguredIdentity;
use super::templates::TemplateRefusal;
use crate::asker::facet::FacetSource;
use crate::config::message::MessageKind;
use crate::config::nearest::nearest;
use crate::config::node::Node;
use crate::config::reader::NodeReader;
use crate::rules::caching::Caching;
use crate::rules::query::QueryRule;
use crate::rules::route::Route;
use crate::rules::tag_template::{PurgeTemplate, SEPARATORS, TagPiece, TagSource, TagTemplate};

/// More tags on one answer are a mistake in the data or in the template.
const MOST_TAGS: usize = 32;

pub(super) fn tags(
    reader: &mut NodeReader,
    node: &Node,
    parts: &[String],
    who: &ConfiguredIdentity,
) -> Vec<TagTemplate> {
    let items = reader.one_or_list(node).unwrap_or_default();
    too_many(reader, node, items.len());
    let mut tags: Vec<TagTemplate> = Vec::new();
    for item in items {
        let Some(text) = reader.text(item) else { continue };
        if text == "principal" {
            let message =
                "`principal` is something to purge, not a tag: answers with `share: principal` carry it by themselves";
            reader.error(MessageKind::Contradiction, item, message, "write it in `purges`, or remove it");
            continue;
        }
        if let Some(tag) = tag(reader, item, text, parts, who, false) {
            if tags.contains(&tag) {
                reader.error(MessageKind::Duplicate, item, format!("`{text}` is listed twice"), "keep one of the two");
            }
            tags.push(tag);
        }
    }
    tags
}

pub(super) fn purges(
    reader: &mut NodeReader,
    node: &Node,
    parts: &[String],
    who: &ConfiguredIdentity,
) -> Vec<PurgeTemplate> {
    let items = reader.one_or_list(node).unwrap_or_default();
    too_many(reader, node, items.len());
    let mut purges: Vec<PurgeTemplate> = Vec::new();
    for item in items {
        let Some(text) = reader.text(item) else { continue };
        let purge = match text {
            "principal" => Some(PurgeTemplate::Principal),
            _ => tag(reader, item, text, parts, who, true).map(PurgeTemplate::Tag),
        };
        let Some(purge) = purge else { continue };
        if purges.contains(&purge) {
            reader.error(MessageKind::Duplicate, item, format!("`{text}` is listed twice"), "keep one of the two");
        }
        purges.push(purge);
    }
    purges
}

fn too_many(reader: &mut NodeReader, node: &Node, count: usize) {
    if count > MOST_TAGS {
        let hint = "name what the answer is about; wider purges need no tags of their own";
        reader.error(MessageKind::Value, node, format!("{count} tags are too many: {MOST_TAGS} are the most"), hint);
    }
}

fn tag(
    reader: &mut NodeReader,
    node: &Node,
    text: &str,
    parts: &[String],
    who: &ConfiguredIdentity,
    star: bool,
) -> Option<TagTemplate> {
    let own = |hole: &str| parts.iter().any(|part| part == hole);
    let mut holes = text.split('<').skip(1).filter_map(|hole| hole.split_once('>'));
    // What is wrong with the facet was said where it stands.
    if holes.any(|(hole, _)| who.broken.contains(hole) && !own(hole)) {
        return None;
    }
    reader.parsed(node, "a tag", "patient:<id>", |text| template(text, parts, who, star))
}

/// A tag; `parts` are the names that its holes may have. A `*` may end a tag that is purged, not one that an answer carries.
fn template(
    text: &str,
    parts: &[String],
    who: &ConfiguredIdentity,
    star_may_end: bool,
) -> Result<TagTemplate, TemplateRefusal> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        literal(before, text)?;
        // A value that is missing widens a purge at the `:` before it; without one it would purge everything.
        let first = pieces.is_empty() && before.is_empty();
        if !first && !before.ends_with(':') {
            let stem = before.trim_end_matches(['-', '_', '.', '/']);
            let hole = after.split('>').next().unwrap_or("");
            return Err((
                format!("`<{hole}>` in `{text}` does not stand behind a `:`"),
                format!("write {stem}:<{hole}>"),
            ));
        }
        if !before.is_empty() {
            pieces.push(TagPiece::Text(before.to_owned()));
        }
        let Some((hole, after)) = after.split_once('>') else {
            return Err((format!("a `<` in `{text}` is never closed"), "write patient:<id>".to_owned()));
        };
        pieces.push(TagPiece::Value(listed(hole, parts, who)?));
        rest = after;
    }
    let last = if star_may_end { rest.strip_suffix(":*").unwrap_or(rest) } else { rest };
    literal(last, text)?;
    if !rest.is_empty() {
        pieces.push(TagPiece::Text(rest.to_owned()));
    }
    if !matches!(pieces.first(), Some(TagPiece::Text(_))) {
        return Err((
            format!("`{text}` does not begin with a word"),
            "write what the value is of: patient:<id>".to_owned(),
        ));
    }
    Ok(TagTemplate { pieces })
}

fn literal(piece: &str, whole: &str) -> Result<(), TemplateRefusal> {
    let good = |c: char| c.is_alphanumeric() || "-_.:/".contains(c);
    match piece.chars().find(|c| !good(*c)) {
        None => Ok(()),
        Some('*') if whole == "*" => {
            Err(("`*` alone would purge everything".to_owned(), "write a word before it: patients:*".to_owned()))
        }
        Some(' ') => Err((format!("`{whole}` has a space in it"), "write `-` or `_` instead".to_owned())),
        Some('*') => Err((
            format!("`{whole}` has a `*`, which only a purge may end in"),
            "an answer with `patient:7` is also purged by `patient:*`, without being tagged so".to_owned(),
        )),
        Some(c) => Err((
            format!("`{whole}` has a character that cannot be in a tag: `{c}`"),
            "write letters, digits, `-`, `_`, `.` and `:`".to_owned(),
        )),
    }
}

/// A hole that may say what stands between the things that its value lists: `query.ids:,`.
fn listed(hole: &str, parts: &[String], who: &ConfiguredIdentity) -> Result<TagSource, TemplateRefusal> {
    let Some((name, separator)) = hole.rsplit_once(':') else { return source(hole, parts, who) };
    if separator.contains(|c: char| c.is_alphanumeric() || c == '_') {
        return source(hole, parts, who);
    }
    let only = SEPARATORS.into_iter().find(|one| one.to_string() == separator);
    let separator = only.ok_or_else(|| {
        let message = format!("what stands behind the `:` in `<{hole}>` cannot divide values");
        (message, "write one of `,`, `;`, `|`, `~` and a space; repeated parameters are told apart anyway".to_owned())
    })?;
    match source(name, parts, who)? {
        source @ (TagSource::Query(_) | TagSource::Part(_)) => Ok(TagSource::Listed(Box::new(source), separator)),
        _ => Err((
            format!("`<{hole}>` says what stands between values, which only a query parameter or a part needs"),
            format!("write <{name}>: lists in JSON are told apart anyway"),
        )),
    }
}

/// Warns of tags made of a parameter that may list several things, while it is not said what stands between them.
pub(super) fn unlisted(reader: &mut NodeReader, node: &Node, route: &Route) {
    let items = reader.one_or_list(node).unwrap_or_default();
    for item in items {
        let Some(text) = reader.text(item) else { continue };
        let template = route.tags.iter().find(|template| template.to_string() == text);
        let unsaid = template.into_iter().flat_map(|template| &template.pieces).find_map(|piece| match piece {
            TagPiece::Value(TagSource::Query(name)) if may_list(route, name) => Some(name),
            _ => None,
        });
        if let Some(name) = unsaid {
            let message = format!(
                "`<query.{name}>` makes one tag of `1,2` and one of each piece: it is not said what divides them"
            );
            let hint =
                format!("write <query.{name}:,> if the parameter may list several things, and also if it never does");
            reader.warn(MessageKind::Value, item, message, hint);
        }
    }
}

/// Whether a value of this parameter is kept that may be more than one number.
fn may_list(route: &Route, name: &str) -> bool {
    route.caching != Caching::Pass && route.query.rule_of(name) == QueryRule::Any
}

fn source(hole: &str, parts: &[String], who: &ConfiguredIdentity) -> Result<TagSource, TemplateRefusal> {
    let fields = |fields: &str| fields.split('.').map(str::to_owned).collect::<Vec<String>>();
    let empty = |text: &str| text.split('.').any(str::is_empty);
    let no_name = || {
        Err((
            format!("`<{hole}>` names no field"),
            "write <answer.patient_id>, <sent.patient_id> or <query.patient>".to_owned(),
        ))
    };
    match hole.split_once('.') {
        Some(("query", name)) if !name.is_empty() => return Ok(TagSource::Query(name.to_owned())),
        Some(("sent", path)) if !empty(path) => return Ok(TagSource::Sent(fields(path))),
        Some(("answer", path)) if !empty(path) => return Ok(TagSource::Answer(fields(path))),
        Some(("query" | "sent" | "answer", _)) => return no_name(),
        None if ["query", "sent", "answer"].contains(&hole) => return no_name(),
        _ => {}
    }
    if parts.iter().any(|part| part == hole) {
        return Ok(TagSource::Part(hole.to_owned()));
    }
    if let Some(facet) = who.facet(hole) {
        return match &facet.source {
            FacetSource::Part(part) if parts.contains(part) => Ok(TagSource::Part(part.clone())),
            FacetSource::Header(_) => Err((
                format!("`<{hole}>` is only what a client says of itself: its answers could not be purged by it"),
                "use what is proven, like a claim of a token: jwt.tenant_id".to_owned(),
            )),
            FacetSource::Part(part) => {
                Err((format!("`<{part}>` is not a part of this route's path or host"), format!("write <{part}> there")))
            }
            FacetSource::Jwt(_) | FacetSource::Cert(_) | FacetSource::Access(_) | FacetSource::Trusted(_) => {
                Ok(TagSource::Facet(facet.clone()))
            }
        };
    }
    if let Some((_, name)) = hole.split_once(':').filter(|(_, name)| parts.iter().any(|part| part == name)) {
        return Err((format!("a part has its kind in the path only: `<{hole}>`"), format!("write <{name}>")));
    }
    let hint = match nearest(hole, parts.iter().map(String::as_str)) {
        Some(name) => format!("did you mean `<{name}>`?"),
        None if parts.is_empty() => {
            "this route has no parts; write one in its path, or <answer.name>, <sent.name>, <query.name>".to_owned()
        }
        None => {
            let names: Vec<String> = parts.iter().map(|part| format!("<{part}>")).collect();
            format!(
                "this route has {}; besides, there are <answer.name>, <sent.name> and <query.name>",
                names.join(", ")
            )
        }
    };
    Err((format!("`<{hole}>` is not a part of this route's path or host"), hint))
}
