//! The house: rooms are imported downwards only, files import no circles, public types have names of their own, and the time is
//! read in one place. Each rule is also shown a planted fault, so that it is known to see one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The rooms, the lowest first; a room imports from itself and from lower ones. `lib.rs` says what each is for.
const ROOMS: [&str; 23] = [
    "ground",
    "fields",
    "entry",
    "asker",
    "rules",
    "policy",
    "store",
    "body",
    "http1",
    "hop",
    "coherence",
    "deliver",
    "telemetry",
    "upstream",
    "edge",
    "proxy",
    "config",
    "control",
    "app",
    "review",
    "demo",
    "cli",
    "main",
];

/// Files that may import each other: the two halves of one fetch, before and after its head.
const CIRCLES: [&[&str]; 1] = [&["coherence::fetch", "coherence::fill"]];

/// The source of the library, by module; what is compiled for tests alone is left out.
struct House(BTreeMap<String, String>);

/// One import: by which module, and what of which module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    by: String,
    from: String,
    what: String,
}

impl House {
    fn read() -> House {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut house = House(BTreeMap::new());
        house.read_folder(&root, &root);
        house
    }

    fn read_folder(&mut self, root: &Path, folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.read_folder(root, &path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let name = path.strip_prefix(root).unwrap().with_extension("");
                let mut parts: Vec<&str> = name.iter().map(|part| part.to_str().unwrap()).collect();
                if parts.last() == Some(&"mod") {
                    parts.pop();
                }
                self.plant(&parts.join("::"), &text);
            }
        }
    }

    fn plant(&mut self, module: &str, text: &str) {
        self.0.insert(module.to_owned(), without_tests(text));
    }

    /// The longest prefix of a path that is a module, and the first name behind it.
    fn split(&self, path: &[String]) -> Option<(String, String)> {
        (1..=path.len()).rev().find_map(|length| {
            let module = path[..length].join("::");
            self.0.contains_key(&module).then(|| (module, path.get(length).cloned().unwrap_or_default()))
        })
    }

    fn imports(&self) -> BTreeSet<Import> {
        let mut all = BTreeSet::new();
        for (by, text) in &self.0 {
            for path in paths(text) {
                let path: Vec<String> = path.split("::").map(str::to_owned).collect();
                let Some(path) = absolute(by, &path) else { continue };
                if let Some((from, what)) = self.split(&path)
                    && from != *by
                {
                    let what = if what == "self" { String::new() } else { what };
                    all.insert(Import { by: by.clone(), from, what });
                }
            }
        }
        all
    }

    /// Imports of a higher room, and rooms that are not listed.
    fn upward(&self) -> Vec<String> {
        let level = |module: &str| ROOMS.iter().position(|room| *room == room_of(module));
        let unlisted =
            self.0.keys().filter(|module| level(module).is_none()).map(|module| format!("{module}: no room"));
        let imports = self.imports();
        let upward = imports.iter().filter(|import| level(&import.by) < level(&import.from));
        unlisted.chain(upward.map(|Import { by, from, what }| format!("{by} imports {from}::{what}"))).collect()
    }

    /// Groups of files that import each other, directly or through others.
    fn circles(&self) -> Vec<String> {
        let mut reach: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let imports = self.imports();
        for import in &imports {
            reach.entry(&import.by).or_default().insert(&import.from);
        }
        let reached = |start: &str| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![start]);
            while let Some(module) = open.pop() {
                for next in reach.get(module).into_iter().flatten() {
                    if seen.insert(*next) {
                        open.push(next);
                    }
                }
            }
            seen
        };
        let all: BTreeMap<&str, BTreeSet<&str>> = reach.keys().map(|module| (*module, reached(module))).collect();
        let mut circles = BTreeSet::new();
        for (module, reached) in &all {
            let circle: BTreeSet<&str> = reached
                .iter()
                .copied()
                .filter(|other| all.get(other).is_some_and(|back| back.contains(module)))
                .collect();
            if circle.len() > 1 && !CIRCLES.iter().any(|known| circle == known.iter().copied().collect()) {
                circles.insert(circle.into_iter().collect::<Vec<_>>().join(", "));
            }
        }
        circles.into_iter().collect()
    }

    /// Names that several types which others may use have in common.
    fn homonyms(&self) -> Vec<String> {
        let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (module, text) in &self.0 {
            for line in text.lines().map(str::trim_start).filter(|line| line.starts_with("pub")) {
                let words: Vec<&str> = line.split_whitespace().collect();
                let Some(kind) = words.iter().position(|word| ["struct", "enum", "trait", "type"].contains(word))
                else {
                    continue;
                };
                if kind > 1 {
                    continue;
                }
                let name = words[kind + 1].split(|c: char| !c.is_alphanumeric()).next().unwrap();
                places.entry(name).or_default().push(module);
            }
        }
        let several = places.into_iter().filter(|(_, modules)| modules.len() > 1);
        several.map(|(name, modules)| format!("{name}: {}", modules.join(", "))).collect()
    }

    /// Lines that hold one of these texts, outside of a module and what is below it.
    fn lines(&self, texts: &[&str], but: &str) -> Vec<String> {
        let others = self.0.iter().filter(|(module, _)| *module != but && !module.starts_with(&format!("{but}::")));
        let lines = others.flat_map(|(module, text)| code(text).map(move |line| (module, line.to_owned())));
        let hits = lines.filter(|(_, line)| texts.iter().any(|text| line.contains(text)));
        hits.map(|(module, line)| format!("{module}: {}", line.trim())).collect()
    }

    fn clock_reads(&self) -> Vec<String> {
        self.lines(&["Instant::now(", "SystemTime::now("], "ground::clock")
    }

    fn prints(&self) -> Vec<String> {
        self.lines(&["println!(", "print!(", "dbg!("], "ground::terminal")
    }
}

fn room_of(module: &str) -> &str {
    match module.split("::").next().unwrap() {
        "lib" => "main",
        room => room,
    }
}

/// The part of a file that is not for tests; modules of tests stand at its end.
fn without_tests(text: &str) -> String {
    let end =
        text.find("#[cfg(test)]\nmod ").or_else(|| text.find("#[cfg(test)]\npub(crate) mod ")).unwrap_or(text.len());
    text[..end].to_owned()
}

fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// All paths that a file names by `crate`, `super` or `self`, in `use` lines and elsewhere.
fn paths(text: &str) -> Vec<String> {
    let text: String = code(text).map(|line| format!("{line}\n")).collect();
    let mut all = Vec::new();
    let mut rest = text.as_str();
    while let Some(start) = rest.find("use ") {
        let is_word = rest[..start].chars().next_back().is_none_or(|c| c.is_whitespace());
        let end = rest[start..].find(';').map_or(rest.len(), |end| start + end);
        if is_word {
            all.extend(leaves(&rest[start + 4..end]));
        }
        rest = &rest[if is_word { end } else { start + 4 }..];
    }
    for root in ["crate::", "super::", "self::"] {
        for (start, _) in text.match_indices(root) {
            if text[..start].ends_with(|c: char| c.is_alphanumeric() || c == ':' || c == '_') {
                continue;
            }
            let end = text[start..].find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
            all.push(text[start..end.map_or(text.len(), |end| start + end)].trim_end_matches(':').to_owned());
        }
    }
    all
}

/// `a::{b, c::{d, e}}` as `a::b`, `a::c::d`, `a::c::e`.
fn leaves(tree: &str) -> Vec<String> {
    let tree: String =
        tree.split(" as ").next().unwrap_or_default().to_owned() + &tree[tree.find(" as ").unwrap_or(tree.len())..];
    let tree: String = tree.chars().filter(|c| !c.is_whitespace()).collect();
    let Some((stem, inner)) = tree.split_once('{') else { return vec![tree] };
    let inner = inner.strip_suffix('}').unwrap_or(inner);
    let (mut depth, mut begin, mut all) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices().chain([(inner.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                all.extend(leaves(&inner[begin..at]).into_iter().filter(|leaf| !leaf.is_empty()));
                begin = at + 1;
            }
            _ => {}
        }
    }
    all.into_iter().map(|leaf| format!("{stem}{leaf}")).collect()
}

/// The path from the root of the library.
fn absolute(module: &str, path: &[String]) -> Option<Vec<String>> {
    let own: Vec<String> = module.split("::").map(str::to_owned).collect();
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => Some([&own[..], &path[1..]].concat()),
        "super" => {
            let up = path.iter().take_while(|part| *part == "super").count();
            Some([own.get(..own.len().checked_sub(up)?)?, &path[up..]].concat())
        }
        _ => None,
    }
}

#[test]
fn rooms_import_downwards_only() {
    let mut house = House::read();
    assert_eq!(house.upward(), [""; 0]);
    house.plant("ground::planted", "use crate::policy::{self, plan::Plan};");
    assert_eq!(house.upward(), ["ground::planted imports policy::", "ground::planted imports policy::plan::Plan"]);
}

#[test]
fn files_import_no_circles() {
    let mut house = House::read();
    assert_eq!(house.circles(), [""; 0]);
    house.plant("fields::one", "fn one() {\n    super::two::two()\n}\n");
    house.plant("fields::two", "use crate::fields::one::one;\n");
    assert_eq!(house.circles(), ["fields::one, fields::two"]);
}

#[test]
fn a_type_that_others_use_has_a_name_of_its_own() {
    let mut house = House::read();
    assert_eq!(house.homonyms(), [""; 0]);
    house.plant("fields::planted", "/// Of its own.\npub(crate) enum Planted<'a> {}\n");
    house.plant("policy::planted", "pub struct Planted;\nstruct Plan;\n");
    assert_eq!(house.homonyms(), ["Planted: fields::planted, policy::planted"]);
}

#[test]
fn the_time_is_read_by_the_clock_alone() {
    let mut house = House::read();
    assert_eq!(house.clock_reads(), [""; 0]);
    house.plant("upstream::planted", "// Instant::now()\nlet now = std::time::Instant::now();\n");
    assert_eq!(house.clock_reads(), ["upstream::planted: let now = std::time::Instant::now();"]);
}

#[test]
fn nothing_prints_beside_the_terminal() {
    let mut house = House::read();
    assert_eq!(house.prints(), [""; 0]);
    house.plant("proxy::planted", "    eprintln!(\"here\");\n");
    assert_eq!(house.prints(), ["proxy::planted: eprintln!(\"here\");"]);
}
