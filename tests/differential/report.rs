//! Who passes how many cases of each section, and who differs where.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter};

use crate::case::{Case, Level};

/// What came of all cases with one cache.
pub struct Column {
    pub name: &'static str,
    /// The transcript of each case that came out otherwise, by its id.
    pub failures: BTreeMap<String, String>,
}

pub struct Report<'a> {
    pub cases: &'a [Case],
    pub columns: &'a [Column],
}

impl Display for Report<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.table(f, "section", |case| case.section.clone())?;
        writeln!(f)?;
        self.table(f, "level", |case| level(case).to_owned())?;
        writeln!(f, "\nWho differs where:")?;
        for case in self.cases {
            let who: Vec<&str> = self.differing(case).collect();
            if !who.is_empty() {
                let Case { id, section, shows, .. } = case;
                writeln!(f, "  {id} ({section}, {}): {shows}\n      {}", level(case), who.join(", "))?;
            }
        }
        Ok(())
    }
}

impl Report<'_> {
    /// The last lines of each transcript: what was expected and what came.
    pub fn why(&self) -> String {
        let mut text = String::new();
        for column in self.columns {
            for (id, transcript) in &column.failures {
                let wrong: Vec<&str> = transcript.lines().filter(|line| line.starts_with("  ! ")).collect();
                text.push_str(&format!("{} {id}\n{}\n", column.name, wrong.join("\n")));
            }
        }
        text
    }

    /// A row for each group of cases, and one for all.
    fn table(&self, f: &mut Formatter<'_>, title: &str, group: impl Fn(&Case) -> String) -> fmt::Result {
        write!(f, "{title:<20} {:>6}", "cases")?;
        self.columns.iter().try_for_each(|column| write!(f, " {:>14}", column.name))?;
        writeln!(f)?;
        let groups: BTreeSet<String> = self.cases.iter().map(&group).collect();
        for name in groups {
            let cases: Vec<&Case> = self.cases.iter().filter(|case| group(case) == name).collect();
            self.row(f, &name, &cases)?;
        }
        self.row(f, "all", &self.cases.iter().collect::<Vec<_>>())
    }

    fn row(&self, f: &mut Formatter<'_>, name: &str, cases: &[&Case]) -> fmt::Result {
        write!(f, "{name:<20} {:>6}", cases.len())?;
        for column in self.columns {
            let passes = cases.iter().filter(|case| !column.failures.contains_key(&case.id)).count();
            write!(f, " {passes:>14}")?;
        }
        writeln!(f)
    }

    fn differing(&self, case: &Case) -> impl Iterator<Item = &'static str> {
        self.columns.iter().filter(|column| column.failures.contains_key(&case.id)).map(|column| column.name)
    }
}

fn level(case: &Case) -> &'static str {
    match case.level {
        Level::Must => "must",
        Level::Should => "should",
        Level::May => "may",
        Level::Ours => "ours",
    }
}
