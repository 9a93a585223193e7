//! The controller against the fake kernel: each rule, and all of them against chance.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own table should stop")]

mod announced;
mod chance;
mod doubt;
mod drain;
mod firewall;
mod lines;
mod local;
mod mtu;
mod names;
mod once;
mod portions;
mod refusing;
mod rules;
mod served;
mod silence;
mod ways;
mod world;
