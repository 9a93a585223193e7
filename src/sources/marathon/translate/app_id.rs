//! The names of workloads, as the controller has them.

use std::sync::Arc;

use marathon::{Kind, WorkloadKey};
use vip::{AppId, AppKind};

/// Names a workload as the controller does.
#[must_use]
pub fn app_id(key: &WorkloadKey) -> AppId {
    let kind = match key.kind {
        Kind::App => AppKind::App,
        Kind::Pod => AppKind::Pod,
    };
    AppId { id: Arc::clone(&key.id), kind }
}
