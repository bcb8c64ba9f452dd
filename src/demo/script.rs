//! The walk as a list: what happens, and what must come of it.

use http::{HeaderName, Method, header};

use super::verdict::DemoVerdict;

/// Steps that tell one thing together.
pub(super) struct Chapter {
    pub(super) title: &'static str,
    pub(super) steps: &'static [Step],
}

/// One line.
pub(super) struct Step {
    /// In words.
    pub(super) what: &'static str,
    pub(super) act: Act,
    /// What must come of it.
    pub(super) expect: DemoVerdict,
}

/// What is done.
pub(super) enum Act {
    /// GET, as somebody; the answer must hold this text.
    Get { who: DemoCaller, path: &'static str, holds: &'static str },
    /// PUT of this JSON, which must purge something.
    Put { who: DemoCaller, path: &'static str, sends: &'static str },
    /// A call to the admin.
    Purge { tag: &'static str },
    /// So many visitors at once, each with a connection of its own. The slow report only: the clinic counts it.
    Crowd { visitors: usize },
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(super) enum DemoCaller {
    /// A token.
    Ada,
    /// Another's.
    Ben,
    /// Ada's token, on behalf of one of two hospitals.
    AdaAt(&'static str),
    /// Nobody in particular.
    Visitor,
    /// Nobody in particular, with the cookie that every form leaves behind.
    VisitorWithCsrf,
    /// Ada in a browser, with the cookie that signing in gave her.
    AdaSignedIn,
}

impl DemoCaller {
    /// What shows who it is. `session` is the cookie of a browser that has signed in.
    pub(super) fn headers(self, session: &str) -> Vec<(HeaderName, String)> {
        let ada = || (header::AUTHORIZATION, "Bearer north.ada".to_owned());
        match self {
            DemoCaller::Ada => vec![ada()],
            DemoCaller::Ben => vec![(header::AUTHORIZATION, "Bearer north.ben".to_owned())],
            DemoCaller::AdaAt(tenant) => vec![ada(), (HeaderName::from_static("x-tenant"), tenant.to_owned())],
            DemoCaller::Visitor => Vec::new(),
            DemoCaller::VisitorWithCsrf => vec![(header::COOKIE, "csrftoken=f3a1".to_owned())],
            DemoCaller::AdaSignedIn => vec![(header::COOKIE, session.to_owned())],
        }
    }
}

impl Act {
    /// As the table shows it.
    pub(super) fn request(&self) -> (Method, &'static str) {
        match self {
            Act::Get { path, .. } => (Method::GET, path),
            Act::Put { path, .. } => (Method::PUT, path),
            Act::Purge { .. } => (Method::POST, "/api/v1/purge"),
            Act::Crowd { .. } => (Method::GET, SLOW),
        }
    }
}

/// The page that takes the clinic longest.
pub(super) const SLOW: &str = "/reports/slow";
const PATIENT: &str = "/api/patients/7";
const ENCOUNTER: &str = "/api/encounters/31";
const STATS: &str = "/dashboard/stats";
const IMAGE: &str = "/images/ward.svg";

const fn get(
    what: &'static str,
    who: DemoCaller,
    path: &'static str,
    holds: &'static str,
    expect: DemoVerdict,
) -> Step {
    Step { what, act: Act::Get { who, path, holds }, expect }
}

use DemoCaller::{Ada, AdaAt, AdaSignedIn, Ben, Visitor, VisitorWithCsrf};
use DemoVerdict::{Hit, Miss, Pass, Purged};

/// The walk.
pub(super) const CHAPTERS: [Chapter; 5] = [
    Chapter {
        title: "A record, and whose copy it is",
        steps: &[
            get("Ada opens a record", Ada, PATIENT, r#""seen_by":"ada""#, Miss),
            get("Ada opens it again", Ada, PATIENT, r#""seen_by":"ada""#, Hit),
            get("Ben does not get Ada's copy", Ben, PATIENT, r#""seen_by":"ben""#, Miss),
        ],
    },
    Chapter {
        title: "A write takes along what it changed",
        steps: &[
            get("Ada opens patient 7's encounter", Ada, ENCOUNTER, r#""patient_id":7"#, Miss),
            Step {
                what: "Ada writes a new phone number",
                act: Act::Put { who: Ada, path: PATIENT, sends: r#"{"phone":"+47 22 85 00 77"}"# },
                expect: Purged,
            },
            get("Ada sees it at once", Ada, PATIENT, "+47 22 85 00 77", Miss),
            get("Ben sees it too", Ben, PATIENT, "+47 22 85 00 77", Miss),
            get("the encounter went as well", Ada, ENCOUNTER, "+47 22 85 00 77", Miss),
            get("and is back in memory", Ada, ENCOUNTER, "+47 22 85 00 77", Hit),
        ],
    },
    Chapter {
        title: "A purge by tag",
        steps: &[
            Step { what: "stent purge patient:7", act: Act::Purge { tag: "patient:7" }, expect: Purged },
            get("the record comes anew", Ada, PATIENT, r#""seen_by":"ada""#, Miss),
            get("and so does the encounter", Ada, ENCOUNTER, r#""patient_id":7"#, Miss),
        ],
    },
    Chapter {
        title: "DemoCaller may share what",
        steps: &[
            get("a visitor opens the home page", Visitor, "/", "Welcome, visitor", Miss),
            get("another, with a csrftoken", VisitorWithCsrf, "/", "Welcome, visitor", Hit),
            get("Ada, signed in, has her own", AdaSignedIn, "/", "Welcome, ada", Pass),
            get("statistics of hospital north", AdaAt("north"), STATS, r#""tenant":"north""#, Miss),
            get("are not those of south", AdaAt("south"), STATS, r#""tenant":"south""#, Miss),
            get("Ada loads an image", Ada, IMAGE, "<svg", Miss),
            get("which is everybody's", Visitor, IMAGE, "<svg", Hit),
        ],
    },
    Chapter {
        title: "A slow report",
        steps: &[
            Step { what: "20 visitors ask at once", act: Act::Crowd { visitors: 20 }, expect: Miss },
            get("and from now on", Visitor, SLOW, "Occupancy", Hit),
        ],
    },
];
