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

#[cfg(feature = "fake")]
pub(crate) use daemon::parse_role;
#[cfg(feature = "fake")]
pub(crate) use destination::{parse_address, parse_settings};
pub(crate) use family::{family_number, family_of_number};
#[cfg(feature = "fake")]
pub(crate) use service::parse_key;
pub(crate) use service::{
    EVERY_FLAG, NO_SCHEDULER, netmask_bytes, parse_engine, parse_mark, parse_prefix,
    parse_scheduler,
};
pub(crate) use stats::counter_field;
