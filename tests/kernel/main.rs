//! vipd on a real kernel, checked with `ipvsadm` and `ip`. Run by `cargo xtask kernel`.
#![allow(clippy::unwrap_used, reason = "a test that cannot run its tools should stop")]

#[path = "../support/mod.rs"]
mod support;

mod agent;
mod apply;
mod bad_input;
mod cluster;
mod crash;
mod daemons;
mod datapath;
mod doctor;
mod foreign;
mod local;
mod marathon;
mod mtu;
mod names;
mod probe_source;
mod recognise;
mod refusals;
mod relays;
mod reload;
mod resolvers;
mod routes;
mod silent_hosts;
mod soak;
mod sources;
mod timeouts;
mod traffic;
mod trial;
mod two_addresses;
mod uplinks;
mod world;
