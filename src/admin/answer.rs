//! Answers other than the one that was asked for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use node::{KernelError, error_chain};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::agent::status::Hold;

/// The reason why the state of the agent or of the kernel can't be read now.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum Unavailable {
    #[error("the agent's event loop doesn't answer: see /healthz")]
    StuckLoop,
    #[error("the kernel isn't read while the agent's event loop is stuck: see /healthz")]
    UnreadKernel,
    #[error("the kernel hasn't answered the agent for a while")]
    SilentKernel,
    #[error("the kernel hasn't answered an earlier request yet")]
    BusyKernel,
    #[error("the kernel doesn't answer")]
    Timeout,
    #[error("the thread that reads the kernel has ended")]
    EndedReader,
    #[error(transparent)]
    Kernel(#[from] Arc<KernelError>),
}

impl IntoResponse for Unavailable {
    fn into_response(self) -> Response {
        answer_problem(StatusCode::SERVICE_UNAVAILABLE, &error_chain(&self))
    }
}

/// The answer to accept: the sources whose answers were doubted.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Accepted {
    pub(super) accepted: Vec<String>,
}

/// The answer to release: the hold that ended. None: the node wasn't held.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Released {
    pub(super) hold: Option<Hold>,
}

/// The answer to reassign: the addresses that the name has now; none if no app claims it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Reassigned {
    pub(super) addresses: BTreeSet<IpAddr>,
}

/// Answers `status` with the reason as JSON.
pub(crate) fn answer_problem(status: StatusCode, why: &str) -> Response {
    (status, Json(json!({ "error": why }))).into_response()
}
