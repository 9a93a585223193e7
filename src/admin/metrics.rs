//! `/metrics`, in the text format of `OpenMetrics` that Prometheus reads.

use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::answer::answer_problem;
use super::state::{AdminState, SharedState};
use crate::agent::metrics::declared::Scrape;
use crate::agent::status::health::Readiness;
use crate::clock::Timestamp;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The query of a scrape.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ScrapeQuery {
    vips: Vips,
}

/// The series of each VIP: in a large cluster every node has a great many of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Vips {
    #[default]
    Each,
    None,
}

pub(super) async fn answer_metrics(
    State(state): SharedState,
    Query(query): Query<ScrapeQuery>,
) -> Response {
    let scrape = gather_scrape(&state, query.vips == Vips::Each).await;
    match scrape.encode_all(&state.handle.metrics) {
        Ok(text) => ([(header::CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(_) => {
            let why = "the metrics can't be written: this is a bug of vipd";
            answer_problem(StatusCode::INTERNAL_SERVER_ERROR, why)
        }
    }
}

async fn gather_scrape(state: &AdminState, with_vips: bool) -> Scrape {
    let (view, time) = (state.latest_view(), Timestamp::now());
    let now = state.handle.last_beat().now;
    let unapplied_since = view.status.unapplied_since;
    Scrape {
        healthy: state.liveness().is_ok(),
        ready: Readiness::from_view(&view, time).is_ok(),
        unapplied: unapplied_since.map(|since| now.saturating_sub(since)).unwrap_or_default(),
        counts: state.read_counts().await.ok(),
        traffic: state.read_traffic().await.ok(),
        with_vips,
        view,
        time,
    }
}
