//! The contents of messages as Rust types: no byte orders, no attribute numbers, no sockets.
//!
//! Every type can hold values that this crate doesn't know (a new protocol, scheduler or forwarding
//! method), so that a newer kernel never makes a reader fail.

mod client_prefix;
mod config;
mod daemon;
mod destination;
mod flags;
mod name;
mod parse_error;
mod protocol;
#[cfg(feature = "serde")]
mod serde_text;
mod service;
mod tunnel;
mod unrecognized;

pub use client_prefix::{ClientPrefix, PrefixError};
pub use config::{Info, Timeouts, Version};
pub use daemon::{Daemon, DaemonRole};
pub use destination::{Destination, DestinationSettings, ForwardMethod};
pub use flags::ServiceFlags;
pub use name::{InterfaceName, NameError, PersistenceEngine, Scheduler};
pub use parse_error::ParseError;
pub use protocol::{Family, Protocol};
pub use service::{Service, ServiceKey, ServiceSettings};
pub use tunnel::{Tunnel, TunnelFlags, TunnelKind};
pub use unrecognized::Unrecognized;
