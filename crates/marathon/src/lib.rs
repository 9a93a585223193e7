//! Marathon's HTTP API as a load balancer needs it: which apps and pods there are, which ports
//! they have, where their tasks listen, and how they are.
//!
//! The crate knows Marathon only. What a label means, and what is done with an address, is the
//! caller's business.

mod finding;
mod labels;
mod workload;

pub use finding::Finding;
pub use jiff::Timestamp;
pub use labels::Labels;
pub use workload::{
    Coverage, Endpoint, Health, Instance, InstanceSpec, Kind, NetworkMode, Port, Protocol, Scope,
    Snapshot, Spec, TaskState, Unroutable, VersionKey, Workload,
};
