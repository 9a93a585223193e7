//! The messages on the wire: commands and attributes of `linux/ip_vs.h`.
//!
//! Parsing never fails on what a newer kernel may add: an attribute with an unknown number, or a
//! value of an unexpected size, is kept as `Other` and written back unchanged. Only attributes whose
//! lengths don't add up are an error.

mod address;
mod command;
mod daemon;
mod destination;
mod message;
pub(crate) mod numbers;
mod raw;
mod service;
mod stats;
pub(crate) mod value;

pub use address::RawAddress;
pub use command::IpvsCmd;
pub use daemon::DaemonAttribute;
pub use destination::DestinationAttribute;
pub(crate) use message::{Framed, split_header, write_header};
pub use message::{IPVS_GENL_NAME, IpvsAttribute, IpvsMessage};
pub use raw::RawAttribute;
pub use service::ServiceAttribute;
pub use stats::{Counter, StatsAttribute};
