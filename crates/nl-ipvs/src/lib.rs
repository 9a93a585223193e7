//! Linux IPVS over generic netlink.
//!
//! Three layers, each usable without those above it:
//!
//! - [`wire`]: the messages, attribute by attribute. Whatever a kernel may send can be parsed.
//! - [`types`]: their contents as Rust types, and [`Command`], the changes that can be made.
//! - [`Ipvs`]: a blocking client, with a call for each change, and batches that send commands by the
//!   hundred.
//!
//! ```no_run
//! # #[cfg(feature = "socket")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use nl_ipvs::{DestinationSettings, Ipvs, ServiceKey, ServiceSettings};
//!
//! let mut ipvs = Ipvs::open()?;
//! let key = ServiceKey::tcp("10.96.0.1:80".parse()?);
//! ipvs.add_service(key, ServiceSettings::new("wlc".parse()?))?;
//! ipvs.add_destination(key, "10.0.0.1:8080".parse()?, DestinationSettings::masquerade(1))?;
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "socket"))]
//! # fn main() {}
//! ```
//!
//! # Features
//!
//! - `socket`, on by default: the netlink socket. Without it there are the messages, and clients over
//!   another transport.
//! - `fake`: a kernel in memory, for tests of programs that use this crate.
//! - `serde`: `Serialize` and `Deserialize` for the types.
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(test)]
extern crate self as nl_ipvs;

#[cfg(all(doctest, feature = "socket", feature = "fake"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod client;
mod command;
mod convert;
mod direct;
mod entry;
mod error;
#[cfg(feature = "fake")]
pub mod fake;
mod stats;
pub mod types;
pub mod wire;

pub use client::Ipvs;
pub use command::Command;
pub use entry::{Dump, EntryError};
pub use error::{BatchError, Error};
/// The crate below this one, whose types are part of this API, such as the error in
/// [`Error::Netlink`].
pub use nl_pipeline;
#[cfg(feature = "socket")]
pub use nl_pipeline::SocketOptions;
pub use nl_pipeline::{KernelError, Outcome, Outcomes, Payload, Transport, errno};
pub use stats::Stats;
pub use types::{
    ClientPrefix, Daemon, DaemonRole, Destination, DestinationSettings, Family, ForwardMethod,
    Info, InterfaceName, NameError, ParseError, PersistenceEngine, PrefixError, Protocol,
    Scheduler, Service, ServiceFlags, ServiceKey, ServiceSettings, Timeouts, Tunnel, TunnelFlags,
    TunnelKind, Unrecognized, Version,
};
