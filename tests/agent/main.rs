//! The agent at work: a simulated Marathon with real tasks on one side, a kernel in memory on the
//! other, and whatever can go wrong between.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

mod belief;
mod changes;
mod clocks;
mod commands;
mod doubt;
mod faults;
mod http;
#[path = "../support/metrics.rs"]
mod metrics;
mod names;
mod naming;
mod probing;
mod random;
mod refusals;
mod relays;
mod requests;
mod schema;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod suspended;
mod terminal;
mod workloads;
mod world;
