//! `docs/reference/rfc9111.md`: that it names every case and nothing that does not exist, and leaves no sentence open.

use std::collections::BTreeSet;
use std::path::Path;

use crate::case;

const PAGE: &str = include_str!("../../docs/reference/rfc9111.md");

/// A row of a table of sentences.
struct Row<'a> {
    text: &'a str,
    level: &'a str,
    shown_by: &'a str,
}

#[test]
fn the_table_of_clauses_names_every_case_and_leaves_nothing_open() {
    let cases = case::all();
    let mut unnamed: BTreeSet<&str> = cases.iter().map(|case| case.id.as_str()).collect();
    let mut wrong = Vec::new();
    for name in PAGE.lines().filter(|line| line.starts_with('|')).flat_map(names) {
        if let Some((module, test)) = name.rsplit_once("::") {
            if !is_a_test(module, test) {
                wrong.push(format!("{name} is no test"));
            }
            continue;
        }
        let is_named = |id: &str| match name.strip_suffix('*') {
            Some(beginning) => id.starts_with(beginning),
            None => id == name,
        };
        if !cases.iter().any(|case| is_named(&case.id)) {
            wrong.push(format!("{name} is no case"));
        }
        unnamed.retain(|id| !is_named(id));
    }
    wrong.extend(unnamed.iter().map(|id| format!("{id} is not in the table")));
    for row in rows() {
        let is_shown = names(row.shown_by).next().is_some() || row.shown_by.contains("every case");
        let is_reasoned = row.shown_by.starts_with("Reason: ") || row.shown_by == "this section";
        if !is_shown && !is_reasoned {
            wrong.push(format!("neither shown nor reasoned ({}): {}", row.level, row.text));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Those with four columns, of which the third is a level.
fn rows() -> Vec<Row<'static>> {
    let sentences = PAGE.lines().filter_map(|line| {
        let columns: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        match columns[..] {
            [section, text, level, shown_by] if section != "section" => Some(Row { text, level, shown_by }),
            _ => None,
        }
    });
    sentences.collect()
}

/// Words in backquotes that are names of cases or tests: those of the configuration stand in prose.
fn names(line: &str) -> impl Iterator<Item = &str> {
    let known = ["*", "Vary: *", "hit", "fwd", "origin", "rfc9111", "types:", "CDN-Cache-Control", "Surrogate-Control"];
    line.split('`').skip(1).step_by(2).filter(move |name| !known.contains(name))
}

/// `tests::it::purging::name` is in `tests/it/purging.rs`, `policy::admit::name` in `src/policy/admit.rs`.
fn is_a_test(module: &str, test: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = module.replace("::", "/") + ".rs";
    let file = if module.starts_with("tests::") { root.join(path) } else { root.join("src").join(path) };
    std::fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {test}(")))
}
