//! `/v1`: what there is, for machines. Read-only.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use vip::{Op, Plan};

use super::answer::{problem, unavailable};
use super::events;
use super::state::{AdminState, Ask};
use crate::report::agent::AgentReport;
use crate::report::explanation::Explanation;
use crate::report::plan::{labels_json, plan_json};
use crate::report::vips::{VipFacts, VipReport};

/// The document that describes all of this.
const OPENAPI: &str = include_str!("openapi.json");

/// What may be asked by whoever is on this node.
pub(super) fn routes() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/vips", get(all_vips))
        .route("/v1/vips/{vip}", get(one_vip))
        .route("/v1/vips/{vip}/{protocol}", get(one_vip_of))
        .route("/v1/labels", get(labels))
        .route("/v1/explain", get(explain))
        .route("/v1/diff", get(diff))
        .route("/v1/local-facts", get(local_facts))
        .route("/v1/events", get(events::events))
        .route("/v1/config", get(config))
        .route("/openapi.json", get(openapi))
}

async fn status(State(shared): Ask) -> Json<AgentReport> {
    Json(shared.report())
}

async fn all_vips(State(shared): Ask) -> Response {
    match read_vips(&shared).await {
        Ok(vips) => Json(vips).into_response(),
        Err(why) => unavailable(&why),
    }
}

async fn one_vip(shared: Ask, Path(vip): Path<String>) -> Response {
    find(&shared, &vip, None).await
}

async fn one_vip_of(shared: Ask, Path((vip, protocol)): Path<(String, String)>) -> Response {
    find(&shared, &vip, Some(&protocol)).await
}

/// A VIP by its address and port, and its protocol where it has two.
async fn find(shared: &AdminState, vip: &str, protocol: Option<&str>) -> Response {
    let vips = match read_vips(shared).await {
        Ok(vips) => vips,
        Err(why) => return unavailable(&why),
    };
    let is_it = |each: &VipReport| {
        each.vip == vip && protocol.is_none_or(|protocol| each.protocol == protocol)
    };
    match vips.into_iter().find(is_it) {
        Some(vip) => Json(vip).into_response(),
        None => problem(StatusCode::NOT_FOUND, &format!("no app claims {vip}: see /v1/vips")),
    }
}

async fn read_vips(shared: &AdminState) -> Result<Vec<VipReport>, String> {
    let table = shared.table().await?;
    let kernel = shared.kernel().await;
    Ok(VipFacts::from_agent(&table, kernel.as_deref().ok()).report_wanted())
}

async fn labels(State(shared): Ask) -> Response {
    match shared.table().await {
        Ok(table) => {
            let not_plain = table.desired.reports.iter();
            let reports: Vec<_> =
                not_plain.filter(|report| report.verdict.reason().is_some()).cloned().collect();
            Json(labels_json(&reports)).into_response()
        }
        Err(why) => unavailable(&why),
    }
}

#[derive(Deserialize)]
struct What {
    what: String,
}

async fn explain(State(shared): Ask, Query(What { what }): Query<What>) -> Response {
    let table = match shared.table().await {
        Ok(table) => table,
        Err(why) => return unavailable(&why),
    };
    match Explanation::find(&what, &VipFacts::from_agent(&table, None)) {
        Some(explanation) => Json(explanation).into_response(),
        None => problem(StatusCode::NOT_FOUND, &format!("nothing is known of {what}")),
    }
}

/// What would be changed right now, if the agent were let.
async fn diff(State(shared): Ask) -> Response {
    let (table, kernel) = match (shared.table().await, shared.kernel().await) {
        (Ok(table), Ok(kernel)) => (table, kernel),
        (Err(why), _) | (_, Err(why)) => return unavailable(&why),
    };
    let mut plan = Plan::new(&kernel, &table.desired, table.scope, &shared.node);
    // These wait for their clients.
    plan.ops
        .retain(|op| !matches!(op, Op::Unbind { address } if table.lingering.contains(address)));
    Json(plan_json(&plan, &table.desired, &shared.view().gaps)).into_response()
}

/// Facts that only this agent knows, for commands that decide beside it.
async fn local_facts(State(shared): Ask) -> Response {
    match shared.local_facts().await {
        Ok(facts) => Json(facts).into_response(),
        Err(why) => unavailable(&why),
    }
}

async fn config(State(shared): Ask) -> Json<Value> {
    Json(shared.config.clone())
}

async fn openapi() -> Response {
    ([("content-type", "application/json")], OPENAPI).into_response()
}
