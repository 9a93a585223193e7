//! Conversion between the messages of [`wire`](crate::wire) and the types of
//! [`types`](crate::types).

mod attribute;
mod command;
mod config;
mod daemon;
mod destination;
mod family;
mod request;
mod service;
mod stats;

pub(crate) use destination::{forward_method, forward_number, tunnel_kind, tunnel_number};
pub(crate) use family::{family_number, family_of_number};
pub(crate) use service::{NO_SCHEDULER, netmask_bytes, parse_scheduler, prefix_len};
pub(crate) use stats::counter_field;
