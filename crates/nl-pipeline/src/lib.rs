//! Blocking netlink for any family.
//!
//! The kernel processes all messages of a datagram before the send returns. A [`Pipeline`] uses
//! that: it sends up to 128 requests with one system call, and asks for an acknowledgement of the
//! last one only. If all succeed, there is a single answer to read. A request that fails is always
//! answered, under its own sequence number, and doesn't stop those after it.
//!
//! - A [`Request`] is what is sent: a message type and a [`Payload`].
//! - An [`Entry`] is what is read: a message of the kernel, as bytes. [`parse_attributes`] reads
//!   its attributes.
//! - A [`Transport`] carries datagrams: a netlink socket (feature `socket`, on by default), or a
//!   kernel that a test plays.
//!
//! No type of another crate is part of this API, so that any codec can be used with it.
//!
//! ```no_run
//! # #[cfg(feature = "socket")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use nl_pipeline::{Pipeline, Protocol, RawRequest};
//!
//! const RTM_GETLINK: u16 = 18;
//! let mut route = Pipeline::open(Protocol::ROUTE)?;
//! let links = route.dump(&RawRequest::new(RTM_GETLINK, vec![0; 16]), |link| link.payload.len())?;
//! println!("{} links", links?.len());
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "socket"))]
//! # fn main() {}
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(all(doctest, feature = "socket"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod answer;
mod attribute;
mod batch;
mod error;
mod family;
mod flags;
mod kernel_error;
mod outgoing;
mod payload;
mod pipeline;
mod reply;
mod request;
#[cfg(feature = "socket")]
mod socket;
#[cfg(test)]
mod tests;
mod transport;

pub use attribute::{Attribute, MalformedAttribute, NLA_F_NESTED, NLA_TYPE_MASK, parse_attributes};
pub use batch::{BatchError, Outcome, Outcomes};
pub use error::Error;
pub use kernel_error::{KernelError, errno};
pub use payload::Payload;
pub use pipeline::Pipeline;
pub use reply::Entry;
pub use request::{RawRequest, Request};
#[cfg(feature = "socket")]
pub use socket::{Protocol, SocketOptions};
pub use transport::Transport;
