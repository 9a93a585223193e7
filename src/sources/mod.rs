//! Where claims come from: Marathon, or files that hold its answers.

pub(crate) mod facts;
pub mod hosts;
pub mod marathon;
pub mod once;
mod refcount;
pub mod resolve;
pub mod survey;

use std::collections::BTreeMap;
use std::sync::Arc;

use ::marathon::Workload;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use hosts::Addresses;

/// What is known of one Marathon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceView {
    /// Events are coming. Otherwise it is polled.
    pub streaming: bool,
    /// When all of it was last read. From the disk, it is when it was read before that.
    pub read_at: Option<Timestamp>,
    /// It hasn't answered yet: what is known of it is from the disk.
    pub from_disk: bool,
    /// Why the last attempt to read it failed, if it did.
    pub error: Option<String>,
    /// Why no events are coming, if an attempt to listen failed or a stream ended.
    pub unheard: Option<String>,
    /// Its apps and pods.
    pub workloads: usize,
}

/// What is kept on disk of one Marathon.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// Its apps and pods.
    pub workloads: Vec<Arc<Workload>>,
    /// The addresses of agents with names.
    pub hosts: BTreeMap<String, Addresses>,
}
