//! vipd gives Marathon apps layer-4 virtual addresses with the kernel's own load balancer, IPVS.
//!
//! The decisions are made in the crate `vip`; `marathon` speaks with Marathon, `node` and `nl-ipvs`
//! with the kernel. This crate joins them into a program.

pub mod admin;
pub mod agent;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
#[doc(hidden)]
pub mod fuzz;
mod http_answer;
pub mod import;
pub mod logging;
pub mod relay;
pub mod report;
pub mod sources;
pub mod trial;
pub mod version;
