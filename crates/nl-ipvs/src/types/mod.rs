//! The contents of messages as Rust types: no byte orders, no attribute numbers, no sockets.
//!
//! Types that a newer kernel may extend hold values that this crate doesn't know: protocols, schedulers,
//! engines, flags, forwarding methods and kinds of tunnels. [`Family`], [`DaemonRole`] and the number of a
//! group of directors are closed, so an entry with another value fails to parse, alone
//! ([`Dump::unreadable`](crate::Dump::unreadable)). Attributes that this crate doesn't know are left out
//! here, while [`wire`](crate::wire) preserves them.

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
