//! `/api/v1/explain`: what a request would get, now or at another moment. It answers whoever may read; what they ask with is not kept.

use http::StatusCode;
use serde_json::Value;

use crate::control::admin::problem::problem;
use crate::edge::error::Problem;
use crate::proxy::current::Proxy;
use crate::proxy::explain::{ExplainQuestion, Store};
use crate::rules::query;

/// `?method=GET&url=…&at=…`, of somebody who shows nothing.
pub(super) fn by_query(proxy: &Proxy, query: &str) -> Result<Value, Problem> {
    let one = |name: &str| query::parameters(query, name).pop();
    let Some(url) = one("url") else { return Err(NOT_UNDERSTOOD) };
    let method = one("method").unwrap_or_else(|| "GET".to_owned());
    // A `+` means a blank in a query, and no moment has one.
    let at = one("at").map(|at| at.replace(' ', "+"));
    answer(
        proxy,
        &ExplainQuestion { method, url, headers: Vec::new(), certificate: Vec::new(), from_trusted_proxy: false, at },
    )
}

/// A question as JSON.
pub(super) fn by_body(proxy: &Proxy, body: &[u8]) -> Result<Value, Problem> {
    let question = serde_json::from_slice(body).map_err(|_| NOT_UNDERSTOOD)?;
    answer(proxy, &question)
}

fn answer(proxy: &Proxy, question: &ExplainQuestion) -> Result<Value, Problem> {
    let told = proxy.explain(question, Store::Asked);
    let told = told.map_err(|wrong| problem(StatusCode::BAD_REQUEST, "not-a-request", wrong))?;
    serde_json::to_value(told).map_err(|_| UNTOLD)
}

const NOT_UNDERSTOOD: Problem = problem(
    StatusCode::BAD_REQUEST,
    "not-understood",
    "Ask with ?method=GET&url=http://host/path, or POST JSON such as {\"method\":\"GET\",\"url\":\"http://host/path\",\"headers\":[[\"Accept\",\"text/html\"]]}.",
);
const UNTOLD: Problem =
    problem(StatusCode::INTERNAL_SERVER_ERROR, "internal", "The explanation could not be put into words.");
