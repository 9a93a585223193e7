//! vipd gives Marathon apps layer-4 virtual addresses with the kernel's own load balancer, IPVS.
//!
//! The decisions are in the crate `vip`, Marathon is in `marathon`, the kernel in `node` and
//! `nl-ipvs`. This crate joins them into a program.

pub mod admin;
pub mod agent;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod logging;
pub mod report;
pub mod resolve;
pub mod source;
pub mod survey;
pub mod translate;
