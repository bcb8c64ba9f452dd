//! `POST /api/v1/reload`: the file is read again; what is wrong with it is told with its places, and then nothing changes.

use http::{HeaderValue, Response, StatusCode, header};
use serde_json::json;

use crate::body::Body;
use crate::control::admin::json_answer;
use crate::control::admin::problem::problem;
use crate::control::reload::{Configuration, NotReloaded};
use crate::edge::error::Problem;
use crate::ground::notice;

pub(super) fn call(configuration: &Configuration, who: &str) -> Result<Response<Body>, Problem> {
    match configuration.reload() {
        Ok(reloaded) => {
            notice::say(format_args!("configuration reloaded by {who}"));
            Ok(json_answer(&json!({
                "reloaded": true,
                "restart_needed": reloaded.restart_needed,
                "warnings": reloaded.warnings,
            })))
        }
        Err(NotReloaded::NoSource) => Err(NO_FILE),
        Err(NotReloaded::Mistakes(report)) => {
            notice::say(format_args!("configuration not reloaded: {} has mistakes", report.file));
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            let mut response = json_answer(&json!({
                "type": "about:blank",
                "title": status.canonical_reason(),
                "status": status.as_u16(),
                "code": "mistakes",
                "detail": "The file has mistakes; nothing was changed.",
                "file": report.file,
                "problems": report.problems,
            }));
            *response.status_mut() = status;
            let media = HeaderValue::from_static("application/problem+json");
            response.headers_mut().insert(header::CONTENT_TYPE, media);
            Ok(response)
        }
    }
}

const NO_FILE: Problem = problem(
    StatusCode::CONFLICT,
    "no-file",
    "This process was not started from a file, so there is nothing to read again.",
);
