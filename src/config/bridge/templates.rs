//! Paths and hosts with holes: `/api/patients/<int:id>`, `<tenant>.clinic.example`.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::config::nearest::nearest;
use crate::rules::template::{HostTemplate, PartKind, PathTemplate, Segment};

/// What is wrong and what to write.
pub(super) type TemplateRefusal = (String, String);

const KINDS: [(&str, PartKind); 5] = [
    ("str", PartKind::Text),
    ("int", PartKind::Int),
    ("uuid", PartKind::Uuid),
    ("slug", PartKind::Slug),
    ("text", PartKind::Text),
];

pub(super) fn path(text: &str) -> Result<PathTemplate, TemplateRefusal> {
    let no = |message: String, hint: &str| Err((message, hint.to_owned()));
    let Some(inner) = text.strip_prefix('/') else {
        return no(format!("`{text}` does not begin with `/`"), &format!("write /{text}"));
    };
    if text.contains(['?', '#']) {
        return no(format!("`{text}` has a query"), "write the path only; `query:` says what happens to parameters");
    }
    let mut template = PathTemplate { text: text.to_owned(), segments: Vec::new(), rest: false };
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.is_empty() && text.len() <= 1 {
        return Ok(template);
    }
    let mut names = HashSet::new();
    let pieces: Vec<&str> = inner.split('/').collect();
    for (index, piece) in pieces.iter().enumerate() {
        if *piece == "**" {
            if index + 1 < pieces.len() {
                return no(
                    "`**` takes all the rest, so nothing can follow it".to_owned(),
                    "write it as the last segment",
                );
            }
            template.rest = true;
            break;
        }
        let segment = segment(piece)?;
        if let Segment::Part(_, name) = &segment
            && !names.insert(name.clone())
        {
            return no(format!("`<{name}>` is there twice"), "give each part a name of its own");
        }
        template.segments.push(segment);
    }
    Ok(template)
}

fn segment(piece: &str) -> Result<Segment, TemplateRefusal> {
    let no = |message: String, hint: String| Err((message, hint));
    if piece.is_empty() {
        return no("the path has an empty segment (`//`)".to_owned(), "write a single `/`".to_owned());
    }
    if piece == "." || piece == ".." {
        return no(format!("`{piece}` is resolved before a path is matched"), "write the path without it".to_owned());
    }
    if piece.contains('*') {
        let hint = "write <name> for one segment, or ** at the end for the rest";
        return no(format!("`{piece}` is neither text nor a part"), hint.to_owned());
    }
    for (open, close) in [('{', '}'), (':', ' '), ('[', ']')] {
        if let Some(name) = piece.strip_prefix(open) {
            let name = name.trim_end_matches(close);
            if is_part_name(name) {
                return no(
                    format!("`{piece}` is not how a part is written"),
                    format!("write <{name}> or <int:{name}>"),
                );
            }
        }
    }
    if let Some(hole) = piece.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')) {
        return part(hole);
    }
    if piece.contains(['<', '>']) {
        let hint = "let the part be a whole segment: /photos/<file>";
        return no(format!("`{piece}` mixes text and a part in one segment"), hint.to_owned());
    }
    if piece.contains('%') {
        return no(
            format!("`{piece}` is percent-encoded"),
            "write the character itself, it is encoded by itself".to_owned(),
        );
    }
    if let Some(c) = piece.chars().find(|c| c.is_ascii() && !is_path_char(*c)) {
        return no(format!("`{piece}` has a character that cannot be in a path: `{c}`"), "remove it".to_owned());
    }
    Ok(Segment::Literal(encoded(piece)))
}

fn part(hole: &str) -> Result<Segment, TemplateRefusal> {
    let (kind, name) = hole.split_once(':').unwrap_or(("str", hole));
    if kind == "path" {
        return Err((
            "`<path:…>` does not exist here".to_owned(),
            "write ** as the last segment for the rest of a path".to_owned(),
        ));
    }
    let Some((_, kind)) = KINDS.iter().find(|(word, _)| *word == kind) else {
        let hint = match nearest(kind, KINDS.map(|(word, _)| word)) {
            Some(word) => format!("write <{word}:{name}>"),
            None => format!("write <{name}>, <int:{name}>, <uuid:{name}> or <slug:{name}>"),
        };
        return Err((format!("there is no kind of part called `{kind}`"), hint));
    };
    if !is_part_name(name) {
        return Err((
            format!("`{name}` cannot be the name of a part"),
            "use lower case letters, digits and `_`: <patient_id>".to_owned(),
        ));
    }
    if ["principal", "sent", "answer", "query"].contains(&name) {
        return Err((format!("`{name}` has a meaning of its own in tags"), format!("write <{name}_id>")));
    }
    Ok(Segment::Part(*kind, name.to_owned()))
}

fn is_part_name(name: &str) -> bool {
    let starts = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    starts && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// RFC 3986 §3.3 `pchar` without percent-encoding.
fn is_path_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@".contains(c)
}

/// Requests carry what is not ASCII percent-encoded in upper case.
fn encoded(piece: &str) -> String {
    let mut out = String::with_capacity(piece.len());
    for byte in piece.bytes() {
        if byte.is_ascii() {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

pub(super) fn host(text: &str) -> Result<HostTemplate, TemplateRefusal> {
    let hint = "write clinic.example, *.clinic.example or <tenant>.clinic.example".to_owned();
    if text.contains("://") {
        return Err((format!("`{text}` is a URL"), "write the host only: clinic.example".to_owned()));
    }
    if let Some((name, port)) = text.rsplit_once(':')
        && port.parse::<u16>().is_ok()
        && !name.contains(':')
    {
        return Err((format!("`{text}` has a port, and hosts are compared without"), format!("write {name}")));
    }
    let lower = text.to_ascii_lowercase();
    if let Some(suffix) = lower.strip_prefix("*.") {
        let template = HostTemplate::Wildcard { part: None, suffix: suffix.to_owned() };
        return if is_host(suffix) { Ok(template) } else { Err((format!("`{text}` is not a host"), hint)) };
    }
    if let Some((hole, suffix)) = text.strip_prefix('<').and_then(|rest| rest.split_once(">.")) {
        let suffix = suffix.to_ascii_lowercase();
        return match part(hole)? {
            Segment::Part(PartKind::Text, name) if is_host(&suffix) => {
                Ok(HostTemplate::Wildcard { part: Some(name), suffix })
            }
            Segment::Part(PartKind::Text, _) => Err((format!("`{text}` is not a host"), hint)),
            _ => Err(("a part of a host has no kind".to_owned(), hint)),
        };
    }
    if is_host(&lower) { Ok(HostTemplate::Exact(lower)) } else { Err((format!("`{text}` is not a host"), hint)) }
}

/// A name or an IP address, with brackets for IPv6.
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    bracketed.is_some_and(|ip| ip.parse::<std::net::Ipv6Addr>().is_ok())
        || (text.len() <= 253 && text.split('.').all(label))
}
