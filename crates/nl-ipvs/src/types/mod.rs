//! The contents of messages as Rust types: no byte orders, no attribute numbers, no sockets.
//!
//! Every type can hold values that this crate doesn't know (a new protocol, scheduler or forwarding
//! method), so that a newer kernel never makes a reader fail.

mod config;
mod daemon;
mod destination;
mod flags;
mod protocol;
mod scheduler;
mod service;

pub use config::{Info, Timeouts, Version};
pub use daemon::{Daemon, DaemonRole};
pub use destination::{Destination, DestinationSettings, ForwardMethod, Tunnel, TunnelKind};
pub use flags::ServiceFlags;
pub use protocol::{Family, Protocol};
pub use scheduler::{Scheduler, SchedulerNameError};
pub use service::{Service, ServiceKey, ServiceSettings};
