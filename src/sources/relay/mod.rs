//! Relays as the way to a Marathon: an agent that follows one leaves Marathon alone.
//!
//! `follower.rs` decides and is pure, with `demand.rs` (what the source wants) and `turns.rs` (when it
//! may read Marathon itself); `connection.rs` has the sockets. The source itself is that of
//! `src/sources/marathon`: it gets the same messages, from whom it can't tell.

mod chance;
pub(crate) mod connection;
mod demand;
pub(crate) mod follower;
mod hearing;
mod latest;
mod link;
pub(crate) mod orders;
mod resort;
#[cfg(test)]
mod tests;
mod timing;
mod turns;
