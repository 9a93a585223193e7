//! The event stream: who listens, what they are sent, and the bytes of it.

mod bus;
mod serve;
mod wire;

pub(crate) use bus::{Bus, Filter};
pub(crate) use serve::serve_events;
pub(crate) use wire::{Front, Peer};
