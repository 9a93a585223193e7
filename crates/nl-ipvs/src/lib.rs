//! Linux IPVS over generic netlink.
//!
//! Three layers, each usable without those above it:
//!
//! - [`wire`]: the messages, attribute by attribute. Whatever a kernel may send can be parsed.
//! - [`types`]: their contents as Rust types, and [`Command`], the changes that can be made.
//! - [`Ipvs`] (feature `socket`, on by default): a blocking client that sends commands by the
//!   hundred, on [`Pipeline`], which does so for any netlink family.
//!
#![cfg_attr(feature = "socket", doc = "```no_run")]
#![cfg_attr(not(feature = "socket"), doc = "```text")]
//! use nl_ipvs::{Command, DestinationSettings, Ipvs, Scheduler, ServiceKey, ServiceSettings};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = ServiceKey::tcp("10.96.0.1:80".parse()?);
//! let outcomes = Ipvs::open()?.batch(&[
//!     Command::AddService {
//!         key,
//!         settings: ServiceSettings::new(key.family(), Scheduler::new("wlc")?),
//!     },
//!     Command::AddDestination {
//!         service: key,
//!         address: "10.0.0.1:8080".parse()?,
//!         settings: DestinationSettings::masquerade(1),
//!     },
//! ])?;
//! for refusal in outcomes.into_iter().filter_map(Result::err) {
//!     eprintln!("{refusal}"); // such as "EEXIST: already exists"
//! }
//! # Ok(())
//! # }
//! ```

#[cfg(test)]
extern crate self as nl_ipvs;

#[cfg(feature = "socket")]
mod client;
mod command;
mod convert;
mod direct;
mod entry;
#[cfg(feature = "socket")]
mod error;
#[cfg(feature = "socket")]
mod family;
mod kernel_error;
#[cfg(feature = "socket")]
pub mod pipeline;
mod stats;
pub mod types;
pub mod wire;

#[cfg(feature = "socket")]
pub use client::Ipvs;
pub use command::Command;
pub use direct::Request;
pub use entry::{Dump, EntryError};
#[cfg(feature = "socket")]
pub use error::Error;
pub use kernel_error::{KernelError, errno};
#[cfg(feature = "socket")]
pub use pipeline::Pipeline;
pub use stats::Stats;
pub use types::{
    Daemon, DaemonRole, Destination, DestinationSettings, Family, ForwardMethod, Info, Protocol,
    Scheduler, SchedulerNameError, Service, ServiceFlags, ServiceKey, ServiceSettings, Timeouts,
    Tunnel, TunnelKind, Version,
};
