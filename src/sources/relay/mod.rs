//! Relays as the way to a Marathon: an agent that follows one leaves Marathon alone.
//!
//! `follower.rs` decides and is pure; `connection.rs` has the sockets. The source itself is that of
//! `src/sources/marathon`: it gets the same messages, from whom it can't tell.

pub(crate) mod connection;
mod follower;
#[cfg(test)]
mod tests;
