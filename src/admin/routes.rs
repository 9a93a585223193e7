//! What can be asked by whom.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use marathon::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::{AdminState, Ask};
use super::{api, hold, metrics, page};
use crate::agent::status::health::Readiness;
use crate::agent::status::{Hold, Request};

/// The longest body of a request.
const MAX_BODY: usize = 4 << 10;

/// On the TCP address: everything that only looks.
pub(super) fn read_only(shared: Arc<AdminState>) -> Router {
    finish(looking(), shared)
}

/// On the socket, which only its owner may open: everything.
pub(super) fn all(shared: Arc<AdminState>) -> Router {
    let acting = Router::new().route("/v1/hold", post(hold)).route("/v1/release", post(release));
    finish(looking().merge(acting), shared)
}

fn looking() -> Router<Arc<AdminState>> {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics::answer_metrics))
        .merge(api::routes())
        .merge(page::routes())
}

fn finish(routes: Router<Arc<AdminState>>, shared: Arc<AdminState>) -> Router {
    routes
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(shared.clone(), page::guard))
        .with_state(shared)
}

async fn healthz(State(shared): Ask, headers: HeaderMap) -> Response {
    let alive = shared.alive();
    judged(&headers, alive.is_ok(), "alive", &alive, alive.reasons.clone())
}

async fn readyz(State(shared): Ask, headers: HeaderMap) -> Response {
    let ready = Readiness::from_view(&shared.view(), Timestamp::now());
    let data_path = ready.data_path.iter().map(|text| format!("data path: {text}"));
    let lines = ready.reasons.iter().chain(&ready.notes).cloned().chain(data_path).collect();
    judged(&headers, ready.is_ok(), "ready", &ready, lines)
}

/// 200 or 503; sentences for people, JSON for whoever asks for it.
fn judged(
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
    let text: String = std::iter::once(first).chain(lines).map(|line| line + "\n").collect();
    (status, text).into_response()
}

#[derive(Deserialize)]
struct Reason {
    #[serde(default)]
    reason: String,
}

async fn hold(State(shared): Ask, Json(Reason { reason }): Json<Reason>) -> Response {
    let hold = Hold { reason, since: format!("{:.0}", Timestamp::now()) };
    // It counts once it is kept: an agent that starts again must know of it.
    if let Err(error) = hold::write(&shared.socket, &hold) {
        let why = format!("the hold can't be kept beside {}: {error}", shared.socket.display());
        return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
    }
    match shared.ask(|done| Request::Hold(hold.clone(), done)).await {
        Some(()) => Json(hold).into_response(),
        None => stuck(),
    }
}

async fn release(State(shared): Ask) -> Response {
    if let Err(error) = hold::remove(&shared.socket) {
        let why = format!("the hold beside {} can't be removed: {error}", shared.socket.display());
        return (StatusCode::INTERNAL_SERVER_ERROR, why).into_response();
    }
    match shared.ask(Request::Release).await {
        Some(()) => StatusCode::NO_CONTENT.into_response(),
        None => stuck(),
    }
}

fn stuck() -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, "the agent's loop doesn't answer: see /healthz")
        .into_response()
}
