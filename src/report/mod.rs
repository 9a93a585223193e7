//! Reports for people and machines: a running agent, the VIPs, the explanation of a name, a plan.
//! Pure.

pub mod agent;
pub mod explanation;
pub mod names;
pub mod near;
pub(crate) mod plan;
pub mod status;
pub mod vip_filter;
pub mod vip_table;
pub mod vips;

#[cfg(test)]
mod schemas;
#[cfg(test)]
mod tests;
