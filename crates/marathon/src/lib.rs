//! Marathon's HTTP API as a load balancer needs it: which apps and pods there are, which ports
//! they have, where their tasks listen, and how they are.
//!
//! The crate knows Marathon only. What a label means, and what is done with an address, is the
//! caller's business.
//!
//! ```
//! use marathon::{Document, Records};
//!
//! let saved = br#"{"id": "/db", "networks": [{"mode": "container/bridge"}], "container":
//!     {"portMappings": [{"containerPort": 3306, "labels": {"VIP_0": "3.3.0.6:3306"}}]}}"#;
//! let snapshot = Document::parse(saved)?.to_snapshot(&Records::default());
//!
//! let port = &snapshot.workloads[0].spec.ports[0];
//! assert_eq!(port.path, "container.portMappings[0]");
//! assert_eq!(port.labels.get("VIP_0"), Some("3.3.0.6:3306"));
//! # Ok::<(), marathon::DocumentError>(())
//! ```
//!
//! A document that is wrong in places is read all the same: what can't be read is left out, and
//! noted in [`Snapshot::findings`].
//!
//! To follow a live Marathon, [`events`] reads its event stream, and [`watch`] decides
//! what to read and what to believe. None of them has a connection of its own.

#[cfg(feature = "client")]
pub mod client;
mod document;
pub mod events;
mod lenient;
mod model;
mod normalize;
mod snapshot;
pub mod watch;

pub use document::{Document, DocumentError};
pub use jiff::Timestamp;
pub use lenient::Finding;
pub use normalize::Records;
pub use snapshot::{
    Behind, Coverage, Endpoint, Health, Instance, InstanceSpec, Kind, Labels, NetworkMode, Port,
    Protocol, Scope, Snapshot, Spec, TaskState, Time, Unroutable, UnusedPort, VersionKey, Workload,
    WorkloadKey,
};
