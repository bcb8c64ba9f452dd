//! Makes what is explored: the purge log as it stands, over loom's atomics, and the same with single rules broken.
//!
//! Each text that is replaced has to be there exactly once, or nothing is built: a mutant cannot quietly become the original.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The log as it is used, but for the atomics and the size of its tables.
const OVER_LOOM: &[Change] = &[
    ("use std::sync::{Mutex, OnceLock};", "use std::sync::OnceLock;\nuse loom::sync::Mutex;"),
    ("use std::sync::atomic::", "use loom::sync::atomic::"),
    ("use crate::ground::mutants::", "use crate::mutants::"),
    ("use crate::entry::tag::{TagHash", "use crate::tag::{TagHash"),
    ("const BUCKETS: usize = 1 << 19;", "const BUCKETS: usize = 1;"),
    ("const PLACES: usize = 7;", "const PLACES: usize = 1;"),
    ("const TOGETHER: usize = 64;", "const TOGETHER: usize = 1;"),
    // There from the beginning: loom does not know that whoever finds one made aside sees all of it.
    ("OnceLock::new()", "OnceLock::from(unpurged())"),
];

/// What is replaced by what.
type Change = (&'static str, &'static str);

/// A log that is not as it should be.
struct Variant {
    /// Also the name of its module.
    name: &'static str,
    /// Whether some order has to show it. What cannot be seen is here too, so that this stays known.
    seen: bool,
    changes: &'static [Change],
}

const VARIANTS: &[Variant] = &[
    Variant {
        name: "stamp_before_table",
        seen: true,
        changes: &[(
            "        let table = self.table(strength);\n        for tag",
            "        self.stamp.store(next, Ordering::Release);\n        let table = self.table(strength);\n        for tag",
        )],
    },
    Variant {
        name: "stamp_stored_relaxed",
        seen: true,
        changes: &[(
            "sees the record.\n        self.stamp.store(next, Ordering::Release);",
            "sees the record.\n        self.stamp.store(next, Ordering::Relaxed);",
        )],
    },
    Variant {
        name: "stamp_loaded_relaxed_by_checks",
        seen: true,
        changes: &[("let now = self.stamp.load(Ordering::Acquire);", "let now = self.stamp.load(Ordering::Relaxed);")],
    },
    Variant {
        name: "stamp_loaded_relaxed_by_fills",
        seen: true,
        changes: &[("Stamp(self.stamp.load(Ordering::Acquire))", "Stamp(self.stamp.load(Ordering::Relaxed))")],
    },
    Variant { name: "floor_stored_after_its_stamp", seen: true, changes: &[FLOOR_AFTER_STAMP] },
    Variant {
        name: "floor_stamped_relaxed",
        seen: true,
        changes: &[(
            "self.floor.store(next, Ordering::Relaxed);\n        self.stamp.store(next, Ordering::Release);",
            "self.floor.store(next, Ordering::Relaxed);\n        self.stamp.store(next, Ordering::Relaxed);",
        )],
    },
    Variant {
        name: "floor_raised_without_moving_the_stamp",
        seen: true,
        changes: &[(
            "self.floor.store(next, Ordering::Relaxed);\n        self.stamp.store(next, Ordering::Release);",
            "self.floor.store(next, Ordering::Relaxed);",
        )],
    },
    Variant {
        // Storing is nothing that the log hears of; the first check stands for it.
        name: "checked_initialised_at_store",
        seen: true,
        changes: &[
            ("checked: AtomicU64::new(born.0) }", "checked: AtomicU64::new(0) }"),
            (
                "let now = self.stamp.load(Ordering::Acquire);",
                "let now = self.stamp.load(Ordering::Acquire);\n        \
                 let _ = birth.checked.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);",
            ),
        ],
    },
    Variant {
        name: "checked_advanced_on_a_soft_match",
        seen: true,
        changes: &[(
            "            // `checked` does not advance",
            "            birth.checked.fetch_max(now, Ordering::Relaxed);\n            // `checked` does advance",
        )],
    },
    Variant {
        name: "checked_advanced_past_what_was_read",
        seen: true,
        changes: &[(
            "birth.checked.fetch_max(now, Ordering::Relaxed);\n        Standing::Good",
            "birth.checked.fetch_max(self.stamp.load(Ordering::Acquire), Ordering::Relaxed);\n        Standing::Good",
        )],
    },
    Variant {
        name: "records_not_one_at_a_time",
        seen: true,
        changes: &[(
            "pub fn apply(&self, tags: &TagSet, strength: Strength) -> Stamp {\n        let _one = self.append.lock()\
             .unwrap_or_else(std::sync::PoisonError::into_inner);",
            "pub fn apply(&self, tags: &TagSet, strength: Strength) -> Stamp {",
        )],
    },
    Variant {
        name: "last_hard_after_the_stamp",
        seen: true,
        changes: &[
            (
                "        if strength == Strength::Hard {\n            self.last_hard.store(next, Ordering::Relaxed);\n        }",
                "",
            ),
            (
                "sees the record.\n        self.stamp.store(next, Ordering::Release);",
                "sees the record.\n        self.stamp.store(next, Ordering::Release);\n        \
                 if strength == Strength::Hard {\n            self.last_hard.store(next, Ordering::Relaxed);\n        }",
            ),
        ],
    },
    Variant { name: "gave_way_after_the_place", seen: true, changes: &[GAVE_WAY_LAST[0], GAVE_WAY_LAST[1]] },
    Variant { name: "places_stored_relaxed", seen: true, changes: &[PLACE_STORED_RELAXED] },
    Variant { name: "places_read_relaxed", seen: true, changes: &[PLACE_READ_RELAXED] },
    Variant { name: "gave_way_read_first", seen: true, changes: &[GAVE_WAY_READ_FIRST[0], GAVE_WAY_READ_FIRST[1]] },
    // Records are never removed, so a floor that is read too early misses nothing that the stamp did not bring along.
    Variant { name: "floor_before_tags", seen: false, changes: &[FLOOR_BEFORE_TAGS[0], FLOOR_BEFORE_TAGS[1]] },
    // If they were, it would: this is what the order is for.
    Variant { name: "removed_when_forgotten", seen: false, changes: &[REMOVED_LAST] },
    Variant {
        name: "removed_when_forgotten_and_floor_before_tags",
        seen: true,
        changes: &[REMOVED_LAST, FLOOR_BEFORE_TAGS[0], FLOOR_BEFORE_TAGS[1]],
    },
    Variant {
        name: "removed_when_forgotten_and_table_relaxed",
        seen: true,
        changes: &[REMOVED_LAST, PLACE_READ_RELAXED],
    },
    Variant { name: "removed_before_the_floor_rose", seen: true, changes: &[REMOVED_FIRST] },
];

const FLOOR_AFTER_STAMP: Change = (
    "self.floor.store(next, Ordering::Relaxed);\n        self.stamp.store(next, Ordering::Release);",
    "self.stamp.store(next, Ordering::Release);\n        self.floor.store(next, Ordering::Relaxed);",
);

const FLOOR_BEFORE_TAGS: [Change; 2] = [
    (
        "        if self.matches(Strength::Hard, tags, birth.born) {\n            return Standing::Dead;",
        "        let floor_above = self.floor_above(birth.born);\n        \
         if self.matches(Strength::Hard, tags, birth.born) {\n            return Standing::Dead;",
    ),
    (
        "        if self.floor_above(birth.born) {\n            return Standing::Dead;",
        "        if floor_above {\n            return Standing::Dead;",
    ),
];

const REMOVED_LAST: Change = (
    "self.floor.store(next, Ordering::Relaxed);\n        self.stamp.store(next, Ordering::Release);",
    "self.floor.store(next, Ordering::Relaxed);\n        self.stamp.store(next, Ordering::Release);\n        \
     [0, 1].iter().for_each(|tag| self.hard.forget(TagHash(*tag)));",
);

const REMOVED_FIRST: Change = (
    "self.floor.store(next, Ordering::Relaxed);\n        self.stamp.store(next, Ordering::Release);",
    "[0, 1].iter().for_each(|tag| self.hard.forget(TagHash(*tag)));\n        \
     self.floor.store(next, Ordering::Relaxed);\n        self.stamp.store(next, Ordering::Release);",
);

const PLACE_READ_RELAXED: Change = ("place.load(Ordering::Acquire)", "place.load(Ordering::Relaxed)");

const PLACE_STORED_RELAXED: Change =
    ("end(tag.0.into()), Ordering::Release);", "end(tag.0.into()), Ordering::Relaxed);");

const GAVE_WAY_LAST: [Change; 2] = [
    (
        "        if record > 0 && end(record) != end(tag.0.into()) {\n            \
         bucket.gave_way.store(record >> END, Ordering::Relaxed);\n        }",
        "",
    ),
    (
        "place.store(stamp << END | end(tag.0.into()), Ordering::Release);",
        "place.store(stamp << END | end(tag.0.into()), Ordering::Release);\n        \
         if record > 0 && end(record) != end(tag.0.into()) {\n            \
         bucket.gave_way.store(record >> END, Ordering::Release);\n        }",
    ),
];

const GAVE_WAY_READ_FIRST: [Change; 2] = [
    (
        "        bucket.places.iter().any(|place| {",
        "        let gave_way = bucket.gave_way.load(Ordering::Relaxed);\n        bucket.places.iter().any(|place| {",
    ),
    ("}) || bucket.gave_way.load(Ordering::Relaxed) > since", "}) || gave_way > since"),
];

fn main() {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").expect("cargo says where the package is"));
    let out = PathBuf::from(env::var("OUT_DIR").expect("cargo says where to write"));
    let source = here.join("../../src/entry/purge.rs");
    println!("cargo::rerun-if-changed={}", source.display());
    println!("cargo::rerun-if-changed=build.rs");

    let text = fs::read_to_string(&source).expect("the purge log can be read");
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let log = changed("as it is", code, OVER_LOOM);
    let file = out.join("purge.rs");
    fs::write(&file, &log).expect("the log can be written");

    // Of the log that is explored, some is for others to ask.
    let mut modules = format!("#[allow(dead_code)]\n#[path = {file:?}]\nmod purge;\n");
    let mut table = String::from("const VARIANTS: &[Variant] = &[\n");
    for Variant { name, seen, changes } in VARIANTS {
        let file = out.join(format!("{name}.rs"));
        fs::write(&file, changed(name, &log, changes)).expect("a variant can be written");
        modules += &module(name, &file, &here.join("src/models.rs"));
        table += &format!("    Variant {{ name: {name:?}, seen: {seen}, models: {name}::models::MODELS }},\n");
    }
    fs::write(out.join("variants.rs"), modules + &table + "];\n").expect("the variants can be listed");
}

fn changed(name: &str, text: &str, changes: &[Change]) -> String {
    changes.iter().fold(text.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "{name}: src/entry/purge.rs should hold this once:\n{from}\n");
        text.replacen(from, to, 1)
    })
}

fn module(name: &str, log: &Path, models: &Path) -> String {
    format!(
        "mod {name} {{\n    #[allow(dead_code)]\n    #[path = {log:?}]\n    pub mod purge;\n    #[path = {models:?}]\n    pub mod models;\n}}\n"
    )
}
