//! What vipd decides, from claims to plans.

mod build;
mod decide;
mod plan;
mod select;
