//! Between the messages of [`wire`](crate::wire) and the types of [`types`](crate::types).

mod attribute;
mod command;
mod config;
mod daemon;
mod destination;
mod family;
mod request;
mod service;
mod stats;

pub(crate) use destination::{forward, forward_number, tunnel_kind, tunnel_number};
pub(crate) use family::{family, family_number};
pub(crate) use service::{NO_SCHEDULER, netmask, prefix_len, scheduler};
pub(crate) use stats::field;
