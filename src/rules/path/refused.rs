//! Paths that never reach an origin, whatever routes say.
//!
//! Some pages are protected by nothing but the address of whoever asks: the status pages of web servers, consoles that answer
//! the local machine alone. Behind a proxy on the same machine everybody has that address, so they would be everybody's.
//!
//! The comparison errs on the side of refusing. It ignores sessions of ASP.NET in the path (`/(S(…))/`), ASCII case, parameters of segments (`;x=y`) and percent-encoding;
//! an entry takes everything below it, since such pages take further segments. Dots and spaces at the end of a segment are ignored, as
//! Windows does, and overlong UTF-8 says what it means to a lenient decoder. A path that can be read in two ways is
//! refused when any reading is. An extension is not ignored: `/server-status.html` is another page. What is encoded twice is
//! decoded once, as origins do.

use std::borrow::Cow;
use std::fmt;

use crate::fields::url::is_cookieless;
use crate::rules::path::RequestPath;

/// The word that stands for [`LOOPBACK_PAGES`] in a configuration.
pub const LOOPBACK_WORD: &str = "loopback-pages";

/// Pages that known software shows to the local machine alone, as it comes or as it is commonly set up.
pub const LOOPBACK_PAGES: [&str; 36] = [
    // Apache and what is mounted in it.
    "/server-status",
    "/server-info",
    "/balancer-manager",
    "/ldap-status",
    "/perl-status",
    "/jk-status",
    "/jkstatus",
    "/jkmanager",
    // As Debian and XAMPP set it up.
    "/munin",
    "/xampp",
    "/webalizer",
    "/phpmyadmin",
    // nginx and PHP.
    "/nginx_status",
    "/nginx-status",
    "/stub_status",
    "/basic_status",
    "/fpm-status",
    "/fpm-ping",
    "/app_dev.php",
    // Tomcat, JBoss, Spring, H2.
    "/manager",
    "/host-manager",
    "/jmx-console",
    "/web-console",
    "/actuator",
    "/jolokia",
    "/h2-console",
    // ASP.NET.
    "/elmah.axd",
    "/elmah",
    "/trace.axd",
    "/glimpse.axd",
    "/hangfire",
    // Django's and Rails' aids to development, Go's traces.
    "/__debug__",
    "/rails/info",
    "/rails/mailers",
    "/debug/requests",
    "/debug/events",
];

/// Paths that are refused, each with all that is below it.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct RefusedPaths {
    /// As they were added, in order.
    texts: Vec<String>,
    /// The same by the length of their first segment: nearly every other path is told apart by that alone.
    by_length: Vec<Vec<Entry>>,
    /// Handlers of ASP.NET (`.axd`), which answer in every folder.
    everywhere: Vec<Name>,
}

/// A segment, decoded and in lower case.
type Name = Box<[u8]>;

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    first: Name,
    rest: Vec<Name>,
}

impl RefusedPaths {
    /// Refuses a path in normal form and all that is below it too. The root cannot be refused: it would be everything.
    pub fn add(&mut self, path: &str) {
        let mut segments = segments(path).map(|segment| name(segment).collect::<Name>());
        let Some(first) = segments.next() else { return };
        if first.ends_with(b".axd") {
            self.everywhere.push(first.clone());
        }
        if self.by_length.len() <= first.len() {
            self.by_length.resize_with(first.len() + 1, Vec::new);
        }
        self.by_length[first.len()].push(Entry { rest: segments.collect(), first });
        self.texts.push(path.to_owned());
    }

    /// The entries as they were added, in order.
    pub fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(String::as_str)
    }

    /// The pages of [`LOOPBACK_PAGES`] that are not refused.
    pub fn missing(&self) -> Vec<&'static str> {
        LOOPBACK_PAGES.into_iter().filter(|page| !self.takes(&RequestPath::new(page))).collect()
    }

    /// Whether a request for this path is refused.
    pub fn takes(&self, path: &RequestPath<'_>) -> bool {
        if self.texts.is_empty() {
            return false;
        }
        // Some leave an empty segment where they take off a parameter: to them `/;x/manager` is `//manager`.
        let may_have = path.text.bytes().any(|byte| matches!(byte, b';' | b'%' | b'('));
        let marks = [";", "%3B", "(", "%28", "%C0%", "%C1%", "%c0%", "%c1%"];
        match path.ambiguity.is_some() || may_have && marks.iter().any(|mark| path.text.contains(mark)) {
            false => self.take(segments(&path.text)),
            true => Reading::ALL.iter().any(|reading| self.take(reading.segments(&path.text).into_iter())),
        }
    }

    fn take<'s>(&self, segments: impl Iterator<Item = &'s [u8]> + Clone) -> bool {
        let mut all = segments.clone();
        if all.any(|segment| self.everywhere.iter().any(|entry| is(segment, entry))) {
            return true;
        }
        let mut rest = segments;
        let Some(first) = rest.next() else { return false };
        let is_plain = !first.ends_with(b".") && !first.iter().any(|byte| matches!(byte, b'%' | b';' | 0x80..));
        let candidates = match is_plain {
            true => self.by_length.get(first.len()..=first.len()).unwrap_or_default(),
            false => &self.by_length,
        };
        candidates.iter().flatten().any(|entry| {
            is(first, &entry.first) && {
                let mut rest = rest.clone();
                entry.rest.iter().all(|wanted| rest.next().is_some_and(|segment| is(segment, wanted)))
            }
        })
    }
}

impl fmt::Debug for RefusedPaths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(summed_up(self.texts())).finish()
    }
}

/// Entries for a person to read: [`LOOPBACK_WORD`] in place of all that it stands for.
pub fn summed_up<'p>(paths: impl Iterator<Item = &'p str>) -> Vec<&'p str> {
    let paths: Vec<&str> = paths.collect();
    if !LOOPBACK_PAGES.iter().all(|page| paths.contains(page)) {
        return paths;
    }
    let others = paths.into_iter().filter(|path| !LOOPBACK_PAGES.contains(path));
    [LOOPBACK_WORD].into_iter().chain(others).collect()
}

fn segments(path: &str) -> impl Iterator<Item = &[u8]> + Clone {
    RequestPath::segments(path).map(str::as_bytes)
}

fn is(segment: &[u8], wanted: &[u8]) -> bool {
    let mut name = name(segment);
    // The bytes of a no-break space too, which some trim.
    wanted.iter().all(|wanted| name.next() == Some(*wanted))
        && name.all(|byte| matches!(byte, b'.' | b' ' | 0xc2 | 0xa0))
}

/// A segment without its parameters, in lower case. A control character cuts it too, as NUL does for some.
fn name(segment: &[u8]) -> impl Iterator<Item = u8> {
    decoded(segment).take_while(|byte| *byte != b';' && !byte.is_ascii_control()).map(|byte| byte.to_ascii_lowercase())
}

/// What a segment says once percent-encoding is undone; a `%` without its two digits stands for itself. `%C0` and `%C1` begin an
/// ASCII character in two bytes, which no UTF-8 has (RFC 3629 §3) and some decoders take.
fn decoded(segment: &[u8]) -> impl Iterator<Item = u8> {
    let escaped = |at: usize| match segment.get(at..at + 3)? {
        [b'%', digits @ ..] => octet(digits),
        _ => None,
    };
    let mut at = 0;
    std::iter::from_fn(move || {
        let byte = *segment.get(at)?;
        let (length, byte) = match (escaped(at), escaped(at + 3)) {
            (Some(first @ 0xc0..=0xc1), Some(second @ 0x80..=0xbf)) => (6, (first & 1) << 6 | second & 0x3f),
            (Some(escaped), _) => (3, escaped),
            (None, _) => (1, byte),
        };
        at += length;
        Some(byte)
    })
}

fn octet(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let [high, low] = digits else { return None };
    Some(digit(*high)? << 4 | digit(*low)?)
}

/// One way in which an origin may read a path that can be read in several.
#[derive(Debug, Clone, Copy)]
struct Reading {
    separators: Separators,
    empty: Empty,
    dots: Dots,
}

#[derive(Debug, Clone, Copy)]
enum Separators {
    /// `/`.
    Slash,
    /// Also `\`, `%2F` and `%5C`.
    Any,
}

/// What an empty segment is.
#[derive(Debug, Clone, Copy)]
enum Empty {
    Kept,
    Dropped,
}

/// Which segments lead upwards.
#[derive(Debug, Clone, Copy)]
enum Dots {
    /// `..`.
    Bare,
    /// Also `..;x`.
    WithParameters,
}

impl Reading {
    const ALL: [Reading; 8] = {
        use {Dots::*, Empty::*, Separators::*};
        const fn read(separators: Separators, empty: Empty, dots: Dots) -> Reading {
            Reading { separators, empty, dots }
        }
        [
            read(Any, Dropped, WithParameters),
            read(Any, Dropped, Bare),
            read(Any, Kept, WithParameters),
            read(Any, Kept, Bare),
            read(Slash, Dropped, WithParameters),
            read(Slash, Dropped, Bare),
            read(Slash, Kept, WithParameters),
            read(Slash, Kept, Bare),
        ]
    };

    fn segments<'s>(&self, path: &'s str) -> Vec<&'s [u8]> {
        let inner = path.strip_prefix('/').unwrap_or(path).as_bytes();
        let mut kept = Vec::new();
        for segment in self.split(inner) {
            // ASP.NET takes it off before it looks at the path.
            if str::from_utf8(segment).is_ok_and(is_cookieless) {
                continue;
            }
            let dots: Cow<'_, [u8]> = match self.dots {
                Dots::Bare => decoded(segment).take(3).collect(),
                Dots::WithParameters => name(segment).take(3).collect(),
            };
            match (&*dots, self.empty) {
                (b".", _) | (b"", Empty::Dropped) => {}
                (b"..", _) => drop(kept.pop()),
                _ => kept.push(segment),
            }
        }
        kept
    }

    fn split<'s>(&self, path: &'s [u8]) -> Vec<&'s [u8]> {
        let mut pieces = Vec::new();
        let (mut begin, mut at) = (0, 0);
        while let Some(byte) = path.get(at) {
            let length = match (byte, self.separators) {
                (b'/', _) | (b'\\', Separators::Any) => 1,
                (b'%', Separators::Any) => {
                    let is = |wanted: &&str| {
                        path.get(at..at + wanted.len()).is_some_and(|here| here.eq_ignore_ascii_case(wanted.as_bytes()))
                    };
                    ["%2f", "%5c", "%c0%af", "%c1%9c"].iter().find(|wanted| is(wanted)).map_or(0, |found| found.len())
                }
                _ => 0,
            };
            if length > 0 {
                pieces.push(&path[begin..at]);
                begin = at + length;
            }
            at += length.max(1);
        }
        pieces.push(&path[begin..]);
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(entries: &[&str]) -> RefusedPaths {
        let mut refused = RefusedPaths::default();
        entries.iter().for_each(|entry| refused.add(entry));
        refused
    }

    #[test]
    fn what_is_taken() {
        let refused = refused(&["/server-status", "/rails/info", "/stra%C3%9Fe:1", "/elmah.axd"]);
        let check = |raw: &str, want: bool| assert_eq!(refused.takes(&RequestPath::new(raw)), want, "{raw}");
        // Itself, below it, and in any spelling.
        check("/server-status", true);
        check("/server-status/", true);
        check("/server-status/any/thing", true);
        check("/SERVER-Status", true);
        check("/server-status;jsessionid=1", true);
        check("/server-status;/x", true);
        check("/server-status%3Bx", true);
        check("/;x/server-status", true);
        check("/%3b/rails/;/info", true);
        check("/%73erver-status", true);
        check("/x/../server-status", true);
        check("/x/%2e%2e/server-status", true);
        check("/rails/info", true);
        check("/rails;a/INFO;b/properties", true);
        check("/elmah.axd", true);
        check("/any/folder/ELMAH.axd/detail", true);
        check("/(S(lit3py55t21z5v55vlm25s55))/elmah.axd", true);
        check("/(S(x))/server-status", true);
        check("/%28A%28x%29F%28y%29%29/rails/info", true);
        check("/(x)/server-status", false);
        check("/elmah.axd.", true);
        check("/elmah.axd%20", true);
        check("/elmah.axd.%20./x", true);
        check("/server-status...", true);
        check("/server-status%C2%A0", true);
        check("/%c0%afserver-status", true);
        check("/%C0%AFserver-status", true);
        check("/x/%c0%ae%c0%ae/server-status", true);
        check("/%c1%b3erver-status", true);
        check("/x%c0%afserver-status", false);
        check("/%c0%e0/server-status", false);
        check("/stra%c3%9fe:1", true);
        check("/stra%C3%9Fe%3A1", true);
        // Not what merely looks alike.
        check("/", false);
        check("/server-statu", false);
        check("/server-status.html", false);
        check("/server-status-2", false);
        check("/x/server-status", false);
        check("/x;y/server-status", false);
        check("/server-status/../x", false);
        check("/rails", false);
        check("/rails/information", false);
        check("/elmah", false);
        check("/api/patients/7", false);
        check("/%2573erver-status", false);
        check("*", false);
    }

    #[test]
    fn any_reading_of_an_ambiguous_path_suffices() {
        let refused = refused(&["/manager", "/rails/info"]);
        let check = |raw: &str, want: bool| {
            let path = RequestPath::new(raw);
            assert!(path.ambiguity.is_some(), "{raw}");
            assert_eq!(refused.takes(&path), want, "{raw}");
        };
        check("//manager/html", true);
        check("/%2fmanager", true);
        check("/manager%2Fhtml", true);
        check("/\\manager", true);
        check("/rails\\info", true);
        check("/rails%5cinfo", true);
        check("/rails//info", true);
        check("/x/..;/manager/html", true);
        check("/x/..;a=b/%6danager", true);
        check("/%6danager/..;/x", true);
        check("/manager/..;/x", true);
        check("/manager%00.html", true);
        check("/a%2fb/../manager", true);
        check("/a//../manager", true);
        check("/x%2f..%2fmanager", true);
        check("/x/.%2e;/manager//", true);
        check("/MANAGER/%", true);
        check("/manager/ä", true);
        check("/manager/x//../..", true);
        check("/x//y", false);
        check("/x%2fmanager", false);
        check("/manager-2//", false);
        check("//", false);
        check("/%", false);
        check("/manager%", false);
        check("/..;/..;/", false);
    }

    #[test]
    fn an_empty_list_takes_nothing_and_the_root_cannot_be_added() {
        let none = refused(&["/", ""]);
        assert_eq!(none, RefusedPaths::default());
        assert!(!none.takes(&RequestPath::new("/")) && !none.takes(&RequestPath::new("//")));
    }

    #[test]
    fn every_built_in_page_is_taken_and_written_once() {
        let all = refused(&LOOPBACK_PAGES);
        for page in LOOPBACK_PAGES {
            assert!(all.takes(&RequestPath::new(page)), "{page}");
            assert!(all.takes(&RequestPath::new(&format!("{}/x", page.to_ascii_uppercase()))), "{page}");
            assert_eq!(LOOPBACK_PAGES.iter().filter(|other| **other == page).count(), 1, "{page}");
            assert!(page.bytes().all(|byte| !byte.is_ascii_uppercase()), "{page}");
        }
        for page in ["/", "/admin/", "/api/patients/7", "/accounts/login/", "/static/app.css", "/managers", "/debug"] {
            assert!(!all.takes(&RequestPath::new(page)), "{page}");
        }
    }

    proptest::proptest! {
        /// However it is written, what an origin may take for the page is refused.
        #[test]
        fn no_spelling_gets_through(
            before in "(/|//|/\\./|/x/\\.\\./|/x/\\.\\.;y/|/%2[fF]|\\\\|/%5[cC])",
            upper in proptest::collection::vec(proptest::bool::ANY, 7),
            encoded in proptest::collection::vec(proptest::bool::ANY, 7),
            after in "(|/|//|;a=b|/x|/x/y|%2[fF]x|\\\\x|%00)",
        ) {
            let page = "manager".bytes().zip(upper).zip(encoded).map(|((byte, upper), encoded)| {
                let byte = if upper { byte.to_ascii_uppercase() } else { byte };
                if encoded { format!("%{byte:02x}") } else { char::from(byte).to_string() }
            });
            let raw = format!("{before}{}{after}", page.collect::<String>());
            let refused = refused(&["/manager"]);
            proptest::prop_assert!(refused.takes(&RequestPath::new(&raw)), "{raw}");
        }
    }
}
