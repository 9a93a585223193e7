//! Linux IPVS over generic netlink.

mod stats;
pub mod types;

pub use stats::Stats;
pub use types::{
    Destination, DestinationSettings, Family, ForwardMethod, Protocol, Scheduler,
    SchedulerNameError, Service, ServiceFlags, ServiceKey, ServiceSettings, Tunnel, TunnelKind,
};
