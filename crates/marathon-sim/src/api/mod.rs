//! Marathon's REST API over the store.

mod answer;
mod apps;
mod cluster;
mod control;
mod groups;
mod leader;
mod member;
mod pods;
mod queue;
mod request;
mod route;
mod subscriptions;
mod tasks;

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::map_response;
use tower_http::compression::CompressionLayer;

use crate::shared::Shared;

/// Largest body of a request.
const LARGEST_BODY: usize = 16 << 20;

/// Builds the router of the API.
pub(crate) fn build_router(shared: Arc<Shared>) -> Router {
    Router::new()
        .fallback(member::serve_request)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(CompressionLayer::new())
        .layer(map_response(member::cut_body))
        .with_state(shared)
}
