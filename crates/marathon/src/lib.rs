//! A reader of Marathon's HTTP API for a load balancer: the apps and pods, their ports, the
//! addresses where their tasks listen, and their health.
//!
//! The crate gives no meaning to labels and does nothing with addresses: that is up to the caller.
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
//! A document with errors is read as far as possible: what can't be read is left out and listed in
//! [`Snapshot::findings`].
//!
//! To follow a live Marathon, [`events`] parses its event stream, and [`watch`] decides what to
//! read and what to believe. Neither has a connection of its own; [`client`] has.

#[cfg(feature = "client")]
pub mod client;
mod document;
pub mod events;
mod lenient;
mod model;
mod normalize;
mod snapshot;
pub mod watch;

pub use document::{Document, DocumentError, Foreign};
pub use jiff::Timestamp;
pub use lenient::Finding;
pub use normalize::{Interner, Records};
pub use snapshot::{
    Behind, Coverage, Endpoint, Health, Instance, InstanceSpec, Kind, Labels, NetworkMode, Port,
    Protocol, Scope, Snapshot, Spec, TaskState, Time, Unroutable, UnusedPort, VersionKey, Workload,
    WorkloadKey,
};
