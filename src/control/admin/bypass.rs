//! `POST` and `DELETE /api/v1/bypass`: a route passes for a while, without a change of the configuration.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::control::admin::problem::problem;
use crate::edge::error::Problem;
use crate::ground::notice;
use crate::proxy::current::Current;

/// What is wanted.
pub(super) struct Call {
    route: String,
    /// `None`: no longer.
    time: Option<Duration>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    route: String,
    #[serde(default, rename = "for")]
    time: Option<String>,
}

/// A switch that was forgotten is no policy.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl Call {
    pub(super) fn read(body: &[u8], method: &Method) -> Result<Call, Problem> {
        let written: Written = serde_json::from_slice(body).map_err(|_| NOT_UNDERSTOOD)?;
        let time = match (method == Method::DELETE, written.time) {
            (true, None) => None,
            (true, Some(_)) | (false, None) => return Err(NOT_UNDERSTOOD),
            (false, Some(text)) => {
                let time =
                    crate::config::duration(&text).filter(|time| (Duration::from_secs(1)..=LONGEST).contains(time));
                Some(time.ok_or(NOT_A_TIME)?)
            }
        };
        Ok(Call { route: written.route, time })
    }
}

pub(super) fn call(current: &Current, call: &Call, who: &str) -> Result<Value, Problem> {
    let route = &call.route;
    match call.time {
        Some(time) => {
            let until = current.load().cache.clock.now().instant + time;
            current.bypass(route, until).map_err(|_| NO_SUCH_ROUTE)?;
            notice::say(format_args!("route {route} is bypassed for {time:?} by {who}"));
        }
        None => {
            current.end_bypass(route).map_err(|_| NO_SUCH_ROUTE)?;
            notice::say(format_args!("the bypass of route {route} is ended by {who}"));
        }
    }
    Ok(json!({ "bypasses": list(current) }))
}

/// The bypasses in force, with the seconds that are left.
pub(super) fn list(current: &Current) -> Value {
    let now = current.load().cache.clock.now().instant;
    let left = |(route, until): (String, std::time::Instant)| json!({"route": route, "seconds_left": until.saturating_duration_since(now).as_secs()});
    Value::Array(current.bypasses().into_iter().map(left).collect())
}

const NOT_UNDERSTOOD: Problem = problem(
    StatusCode::BAD_REQUEST,
    "not-understood",
    "POST {\"route\":\"patients\",\"for\":\"1h\"}, or DELETE with {\"route\":\"patients\"}.",
);
const NOT_A_TIME: Problem =
    problem(StatusCode::BAD_REQUEST, "not-a-time", "A bypass takes from one second to 24h: 90s, 15m, 1h.");
const NO_SUCH_ROUTE: Problem =
    problem(StatusCode::NOT_FOUND, "no-such-route", "No route has this name; see /api/v1/routes.");
