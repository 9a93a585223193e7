//! `/v1`: the state of the agent and the node as JSON. Read-only.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use vip::controller::LocalFacts;
use vip::{Op, Plan};

use super::answer::{Unavailable, answer_problem};
use super::events;
use super::state::{AdminState, SharedState};
use crate::report::agent::AgentReport;
use crate::report::explanation::Explanation;
use crate::report::plan::{labels_json, plan_json};
use crate::report::vips::{VipFacts, VipReport};

/// The `OpenAPI` description of these paths.
const OPENAPI: &str = include_str!("openapi.json");

/// The paths that everybody on this node may read.
pub(super) fn api_routes() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/v1/status", get(answer_status))
        .route("/v1/vips", get(answer_vips))
        .route("/v1/vips/{vip}", get(answer_vip))
        .route("/v1/vips/{vip}/{protocol}", get(answer_vip_with_protocol))
        .route("/v1/labels", get(answer_labels))
        .route("/v1/explain", get(answer_explanation))
        .route("/v1/diff", get(answer_diff))
        .route("/v1/local-facts", get(answer_local_facts))
        .route("/v1/events", get(events::answer_events))
        .route("/v1/config", get(answer_config))
        .route("/openapi.json", get(answer_openapi))
}

async fn answer_status(State(state): SharedState) -> Json<AgentReport> {
    Json(state.agent_report())
}

async fn answer_vips(State(state): SharedState) -> Result<Json<Vec<VipReport>>, Unavailable> {
    read_vips(&state).await.map(Json)
}

async fn answer_vip(state: SharedState, Path(vip): Path<String>) -> Result<Response, Unavailable> {
    find_vip(&state, &vip, None).await
}

async fn answer_vip_with_protocol(
    state: SharedState,
    Path((vip, protocol)): Path<(String, String)>,
) -> Result<Response, Unavailable> {
    find_vip(&state, &vip, Some(&protocol)).await
}

/// Answers with the VIP of this address and port, and of this protocol if one is given.
async fn find_vip(
    state: &AdminState,
    vip: &str,
    protocol: Option<&str>,
) -> Result<Response, Unavailable> {
    let is_it = |each: &VipReport| {
        each.is_called(vip) && protocol.is_none_or(|protocol| each.protocol == protocol)
    };
    Ok(match read_vips(state).await?.into_iter().find(is_it) {
        Some(vip) => Json(vip).into_response(),
        None => answer_unknown(&format!("no app claims {vip}: see /v1/vips")),
    })
}

fn answer_unknown(why: &str) -> Response {
    answer_problem(StatusCode::NOT_FOUND, why)
}

async fn read_vips(state: &AdminState) -> Result<Vec<VipReport>, Unavailable> {
    let table = state.read_table().await?;
    let kernel = state.read_kernel().await;
    Ok(VipFacts::from_agent(&table, kernel.as_deref().ok()).report_wanted())
}

async fn answer_labels(State(state): SharedState) -> Result<Json<Value>, Unavailable> {
    let table = state.read_table().await?;
    let reports = table.desired.reports.iter();
    let reports: Vec<_> =
        reports.filter(|report| report.verdict.reason().is_some()).cloned().collect();
    Ok(Json(labels_json(&reports)))
}

#[derive(Deserialize)]
struct ExplainQuery {
    what: String,
}

async fn answer_explanation(
    State(state): SharedState,
    Query(ExplainQuery { what }): Query<ExplainQuery>,
) -> Result<Response, Unavailable> {
    let table = state.read_table().await?;
    Ok(match Explanation::find(&what, &VipFacts::from_agent(&table, None)) {
        Ok(explanation) => Json(explanation).into_response(),
        Err(unknown) => answer_unknown(&unknown.to_string()),
    })
}

/// Answers with the changes that the agent would make now if it were not held.
async fn answer_diff(State(state): SharedState) -> Result<Json<Value>, Unavailable> {
    let (table, kernel) = (state.read_table().await?, state.read_kernel().await?);
    let mut plan = Plan::new(&kernel, &table.desired, table.scope, &state.node);
    // These addresses stay bound until their clients are gone.
    plan.ops
        .retain(|op| !matches!(op, Op::Unbind { address } if table.lingering.contains(address)));
    Ok(Json(plan_json(&plan, &table.desired, &state.latest_view().gaps)))
}

/// Answers with the facts that only this agent knows, for commands that decide beside it.
async fn answer_local_facts(State(state): SharedState) -> Result<Json<LocalFacts>, Unavailable> {
    state.read_local_facts().await.map(Json)
}

async fn answer_config(State(state): SharedState) -> Json<Value> {
    Json(state.config.clone())
}

async fn answer_openapi() -> Response {
    ([("content-type", "application/json")], OPENAPI).into_response()
}
