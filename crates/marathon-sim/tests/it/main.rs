//! marathon-sim as its users see it: over HTTP, with tasks that really run on loopback addresses.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod api;
mod faults;
mod groups;
mod health;
mod lifecycle;
mod listener;
mod placement;
mod pods;
mod program;
mod python_client;
mod queue;
mod resident;
mod shapes;
mod stream;
mod support;
mod tutorial;
