//! What the admin answers where it cannot do as it is told.

use http::StatusCode;

use crate::edge::error::{AfterError, Problem};

pub(super) const fn problem(status: StatusCode, code: &'static str, detail: &'static str) -> Problem {
    Problem { status, detail, code, connection: AfterError::Keep }
}
