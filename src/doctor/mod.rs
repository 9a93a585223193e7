//! Evaluates the facts that `vipd doctor` collects on a node. Pure; one file per group of checks.

mod addresses;
mod agent;
mod bridges;
mod configuration;
mod diagnosis;
mod firewall;
mod interface;
mod kernel;
mod limits;
mod marathon;
mod names;
mod policy;
mod relays;
mod rights;
mod sysctls;
mod table;
mod untracked;

pub use addresses::{AddressFacts, check_addresses, unused_addresses};
pub use agent::{LockState, check_agent};
pub use bridges::{BridgeFacts, check_bridges};
pub use configuration::check_configuration;
pub use diagnosis::{Check, Diagnosis, Group, Level};
pub use firewall::check_firewall;
pub use interface::check_interface;
pub use kernel::{KernelFacts, check_kernel, schedulers_wanted};
pub use limits::{TrackingTimeouts, check_limits, check_tracking};
pub use marathon::{ServerAnswer, check_marathon};
pub use names::{NameFacts, ResolvedState, Resolver, check_names};
pub use policy::{ClusterNodes, check_policy};
pub use relays::{RelayAnswer, RelayFacts, check_relays};
pub use rights::check_rights;
pub use sysctls::{ForwardingFacts, check_sysctls};
pub use table::check_table;
pub use untracked::check_untracked;
