//! The event stream: the bus, the listeners and the connections.

mod bus;
mod callbacks;
mod serve;
mod wire;

pub(crate) use bus::{Bus, Filter};
pub(crate) use callbacks::Callbacks;
pub(crate) use serve::serve_events;
pub(crate) use wire::{Front, Peer};
