//! By which names an origin knows one thing: many take `/patients/7;a=b`, `/Patients/7` or `/patients/7.json` for `/patients/7`.
//!
//! A copy is kept by the path as it was asked for, and each name has its own. But what is written by one name changes what is
//! shown by the others, so both carry the plain name too, and both purge by it.

/// What in a path makes no difference to an origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Aliases {
    /// What stands behind `;` in a segment (RFC 3986 §3.3): servlet containers, Spring.
    pub parameters: Telling,
    /// Upper and lower case: IIS, and Express by default.
    pub case: Telling,
    /// Ends of the last segment, in lower case: formats of Rails and of Django REST framework, a dot at the end for Windows.
    pub suffixes: Vec<String>,
}

/// Whether something tells paths apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Telling {
    /// It does.
    #[default]
    Distinct,
    /// It does not.
    Ignored,
}

impl Aliases {
    /// The plain name of a path in normal form, where it is another.
    pub fn plain(&self, path: &str) -> Option<String> {
        if *self == Aliases::default() {
            return None;
        }
        let mut plain = match self.parameters {
            Telling::Distinct => path.to_owned(),
            Telling::Ignored => {
                let segments = path.split('/').map(|segment| segment.split(';').next().unwrap_or_default());
                segments.collect::<Vec<_>>().join("/")
            }
        };
        if self.case == Telling::Ignored {
            plain.make_ascii_lowercase();
        }
        let end = plain.trim_end_matches('/').len();
        let last = plain[..end].rfind('/').map_or(0, |slash| slash + 1);
        let mut length = end;
        while let Some(shorter) = self.without_suffix(&plain[last..length]) {
            length = last + shorter;
        }
        plain.replace_range(length..end, "");
        (plain != path).then_some(plain)
    }

    /// The length of a segment without one of the suffixes, if it has one and is not nothing else.
    fn without_suffix(&self, segment: &str) -> Option<usize> {
        let bytes = segment.as_bytes();
        let ends = |suffix: &&String| {
            let start = bytes.len().checked_sub(suffix.len()).filter(|start| *start > 0);
            start.is_some_and(|start| bytes[start..].eq_ignore_ascii_case(suffix.as_bytes()))
        };
        self.suffixes.iter().find(ends).map(|suffix| segment.len() - suffix.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plain_name_of_a_path() {
        let aliases = |parameters, case, suffixes: &[&str]| Aliases {
            parameters,
            case,
            suffixes: suffixes.iter().map(|suffix| (*suffix).to_owned()).collect(),
        };
        use Telling::{Distinct, Ignored};
        let all = aliases(Ignored, Ignored, &[".json", ".xml", "."]);
        for (aliases, path, want) in [
            (Aliases::default(), "/Patients/7;a=b.json", None),
            (aliases(Ignored, Distinct, &[]), "/patients;v=1/7;a=b;c", Some("/patients/7")),
            (aliases(Ignored, Distinct, &[]), "/Patients/7", None),
            (aliases(Distinct, Ignored, &[]), "/Patients/7;A", Some("/patients/7;a")),
            (aliases(Distinct, Distinct, &[".json"]), "/patients/7.json", Some("/patients/7")),
            (aliases(Distinct, Distinct, &[".json"]), "/patients/7.JSON/", Some("/patients/7/")),
            (aliases(Distinct, Distinct, &[".json"]), "/patients.json/7", None),
            (aliases(Distinct, Distinct, &[".json"]), "/.json", None),
            (all.clone(), "/Patients/7.json;a=b", Some("/patients/7")),
            (all.clone(), "/patients/7.", Some("/patients/7")),
            (all.clone(), "/patients/7.json.", Some("/patients/7")),
            (all.clone(), "/patients/7", None),
            (all.clone(), "/patients/", None),
            (all.clone(), "/", None),
            (all.clone(), "", None),
            (all.clone(), "/;a", Some("/")),
            (all, "/\u{e4}.json", Some("/\u{e4}")),
        ] {
            assert_eq!(aliases.plain(path).as_deref(), want, "{aliases:?} {path}");
        }
    }
}
