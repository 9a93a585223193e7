//! What vipd decides, from claims to plans.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own table should stop")]

mod build;
mod decide;
mod firewall;
mod grammar;
mod name_vectors;
mod names;
mod plan;
mod refused;
mod select;
mod tables;
mod values;
