//! The paths of the two servers, and the answers to `/healthz`, `/readyz`, hold, release, accept and
//! reassign.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request as HttpRequest, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use serde::{Deserialize, Serialize};
use vip::naming::VipName;
use vip::{Printable, SourceId};

use super::answer::{Accepted, Reassigned, Released, Unavailable};
use super::guard::guard_answer;
use super::state::{AdminState, SharedState};
use super::{api, metrics, page, untaken};
use crate::agent::status::health::Readiness;
use crate::agent::status::{Held, Hold, Request};
use crate::clock::Timestamp;
use crate::version::{BUILD, Build};

/// The longest request body.
const MAX_BODY: usize = 4 << 10;

/// The paths on the TCP address, which change nothing.
pub(super) fn read_only(state: Arc<AdminState>) -> Router {
    add_layers(reading_routes(), state)
}

/// All paths, for the socket, which only its owner may open.
pub(super) fn all_routes(state: Arc<AdminState>) -> Router {
    let acting = Router::new()
        .route("/v1/hold", post(answer_hold))
        .route("/v1/release", post(answer_release))
        .route("/v1/accept", post(answer_accept))
        .route("/v1/reassign", post(answer_reassign));
    add_layers(reading_routes().merge(acting), state)
}

fn reading_routes() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/healthz", get(answer_healthz))
        .route("/readyz", get(answer_readyz))
        .route("/metrics", get(metrics::answer_metrics))
        .route("/version", get(answer_version))
        .merge(api::api_routes())
        .merge(page::page_routes())
}

fn add_layers(routes: Router<Arc<AdminState>>, state: Arc<AdminState>) -> Router {
    let is_local = state.is_local;
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(state.untaken.clone(), untaken::limit_answers))
        .layer(middleware::from_fn(move |request: HttpRequest, next: Next| {
            guard_answer(is_local, request, next)
        }))
        .with_state(state)
}

async fn answer_healthz(State(state): SharedState, headers: HeaderMap) -> Response {
    let alive = state.liveness();
    answer_judgement(&headers, alive.is_ok(), "alive", &alive, alive.reasons.clone())
}

async fn answer_version() -> Json<Build> {
    Json(BUILD)
}

async fn answer_readyz(State(state): SharedState, headers: HeaderMap) -> Response {
    let ready = Readiness::from_view(&state.latest_view(), Timestamp::now());
    let data_path = ready.data_path.iter().map(|text| format!("data path: {text}"));
    let lines = ready.reasons.iter().chain(&ready.notes).cloned().chain(data_path).collect();
    answer_judgement(&headers, ready.is_ok(), "ready", &ready, lines)
}

/// Answers 200 or 503, with sentences, or with JSON if the client accepts it.
fn answer_judgement(
    headers: &HeaderMap,
    ok: bool,
    good: &str,
    body: &impl Serialize,
    lines: Vec<String>,
) -> Response {
    let status = if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("application/json")) {
        return (status, Json(body)).into_response();
    }
    let first = if ok { good.to_owned() } else { format!("not {good}") };
    let lines = std::iter::once(first).chain(lines);
    let text: String = lines.map(|line| format!("{}\n", Printable(&line))).collect();
    (status, text).into_response()
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

async fn answer_hold(State(state): SharedState, Json(Reason { reason }): Json<Reason>) -> Response {
    // Somebody else may hold the node: what is known of that isn't lost.
    let before = state.latest_view().hold.clone();
    let hold = match &before {
        Some(before) => before.renew(reason),
        None => Hold { reason, since: format!("{:.0}", Timestamp::now()) },
    };
    // Save it before it is in force: a restarted agent must know of it.
    if let Err(error) = state.hold_files.write(&hold) {
        let why = format!("cannot save the hold {}: {error}", state.hold_files);
        return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
    }
    match state.ask_loop(|done| Request::Hold(hold.clone(), done)).await {
        Some(()) => Json(Held { hold, before }).into_response(),
        None => answer_stuck_loop(),
    }
}

async fn answer_release(State(state): SharedState) -> Response {
    let hold = state.latest_view().hold.clone();
    if let Err(error) = state.hold_files.remove() {
        let why = format!("cannot remove the hold {}: {error}", state.hold_files);
        return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
    }
    match state.ask_loop(Request::Release).await {
        Some(()) => Json(Released { hold }).into_response(),
        None => answer_stuck_loop(),
    }
}

/// The source whose losses are accepted. None: all.
#[derive(Deserialize)]
struct Accept {
    #[serde(default)]
    source: Option<String>,
}

async fn answer_accept(
    State(state): SharedState,
    Json(Accept { source }): Json<Accept>,
) -> Response {
    let view = state.latest_view();
    let names = || view.sources.keys().map(ToString::to_string).collect::<Vec<_>>();
    let source = source.as_deref().map(SourceId::from);
    if let Some(source) = source.as_ref().filter(|source| !view.sources.contains_key(*source)) {
        let why = format!("there is no Marathon {source}, only {}", names().join(", "));
        return (StatusCode::BAD_REQUEST, why).into_response();
    }
    match state.ask_loop(|accepted| Request::Accept(source, accepted)).await {
        Some(accepted) => {
            let accepted = accepted.iter().map(ToString::to_string).collect();
            Json(Accepted { accepted }).into_response()
        }
        None => answer_stuck_loop(),
    }
}

/// The name whose address is forgotten.
#[derive(Deserialize)]
struct Reassign {
    name: VipName,
}

async fn answer_reassign(
    State(state): SharedState,
    Json(Reassign { name }): Json<Reassign>,
) -> Response {
    match state.ask_loop(|reassigned| Request::Reassign(name.clone(), reassigned)).await {
        Some(Some(addresses)) => Json(Reassigned { addresses }).into_response(),
        Some(None) => {
            let why = format!("there is no name {name}: see /v1/local-facts");
            (StatusCode::NOT_FOUND, why).into_response()
        }
        None => answer_stuck_loop(),
    }
}

fn answer_stuck_loop() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, Unavailable::StuckLoop.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_judgement_has_one_line_for_each_reason_whatever_an_app_is_called() {
        let lines = vec!["/a\nready\u{202e}".to_owned(), "b".to_owned()];
        let answer = answer_judgement(&HeaderMap::new(), false, "ready", &(), lines);
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        let body = axum::body::to_bytes(answer.into_body(), 1000).await.unwrap();
        assert_eq!(body, "not ready\n/a\\nready\\u{202e}\nb\n");
    }
}
