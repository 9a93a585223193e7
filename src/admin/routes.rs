//! What can be asked, and what is answered.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use marathon::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Report, hold};
use crate::agent::drive::Handle;
use crate::agent::health::{Liveness, Readiness};
use crate::agent::view::{Hold, Request, Table};
use crate::config::Agent as Config;
use crate::explain::{Explanation, Known};

/// The longest body of a request.
const MAX_BODY: usize = 4 << 10;
/// The loop answers within milliseconds, if at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// What every answer is made of.
#[derive(Debug)]
pub(super) struct Shared {
    handle: Handle,
    sync_period: Duration,
    socket: PathBuf,
}

type Ask = State<Arc<Shared>>;

impl Shared {
    pub(super) fn new(config: &Config, handle: Handle) -> Arc<Self> {
        let (sync_period, socket) = (config.sync_period, config.socket.clone());
        Arc::new(Self { handle, sync_period, socket })
    }

    fn alive(&self) -> Liveness {
        let view = self.handle.view.borrow().clone();
        Liveness::of(&view, self.handle.beat(), self.sync_period)
    }

    /// Asks the loop, which may stand still.
    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.handle.requests.send(request(answer)).await.ok()?;
            answered.await.ok()
        };
        timeout(PATIENCE, asked).await.ok().flatten()
    }
}

/// For orchestrators and load balancers.
pub(super) fn health(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared)
}

/// For the node's operator.
pub(super) fn all(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/explain", get(explain))
        .route("/v1/hold", post(hold))
        .route("/v1/release", post(release))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(shared.clone())
        .merge(health(shared))
}

async fn healthz(State(shared): Ask, headers: HeaderMap) -> Response {
    let alive = shared.alive();
    judged(&headers, alive.is_ok(), "alive", &alive, alive.reasons.clone())
}

async fn readyz(State(shared): Ask, headers: HeaderMap) -> Response {
    let view = shared.handle.view.borrow().clone();
    let ready = Readiness::of(&view, Timestamp::now());
    let lines = ready.reasons.iter().chain(&ready.notes).cloned().collect();
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

async fn status(State(shared): Ask) -> Json<Report> {
    let view = shared.handle.view.borrow().clone();
    let since_start = shared.handle.beat().now;
    Json(Report::of(&view, shared.alive(), since_start, Timestamp::now()))
}

#[derive(Deserialize)]
struct What {
    what: String,
}

async fn explain(State(shared): Ask, Query(What { what }): Query<What>) -> Response {
    let Some(table) = shared.ask(Request::Table).await else { return stuck() };
    let Table { desired, observed, conflicts, versions, drains } = &*table;
    let (observed, conflicts) = (observed.as_ref(), conflicts.as_slice());
    match Explanation::of(&what, Known { desired, observed, conflicts, versions, drains }) {
        Some(explanation) => Json(explanation).into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
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
