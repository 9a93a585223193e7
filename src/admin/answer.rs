//! Answers other than the one that was asked for.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Answers `status` with the reason as JSON.
pub(super) fn problem(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}

/// Answers 503 with the reason.
pub(super) fn unavailable(why: &str) -> Response {
    problem(StatusCode::SERVICE_UNAVAILABLE, why)
}
