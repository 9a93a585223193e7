//! Tests of the name server: the zone file, answers on the wire, and the server with real sockets.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]

mod answers;
mod client;
mod forwarding;
mod look_up;
mod malformed;
mod peer;
mod random;
mod server;
mod zone_file;
mod zone_watch;
