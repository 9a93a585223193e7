//! Marathon's HTTP API as a load balancer needs it: which apps and pods there are, which ports
//! they have, where their tasks listen, and how they are.
//!
//! The crate knows Marathon only. What a label means, and what is done with an address, is the
//! caller's business.

mod apps;
mod assembly;
#[cfg(feature = "client")]
pub mod client;
mod document;
mod finding;
mod health;
mod instance;
mod labels;
mod lenient;
mod model;
mod pods;
mod ports;
mod records;
mod spec;
mod workload;

pub use document::{Document, DocumentError};
pub use finding::Finding;
pub use instance::{Endpoint, Health, Instance, InstanceSpec, TaskState, Unroutable};
pub use jiff::Timestamp;
pub use labels::Labels;
pub use records::Records;
pub use spec::{NetworkMode, Port, Protocol, Scope, Spec};
pub use workload::{Coverage, Kind, Snapshot, VersionKey, Workload};
