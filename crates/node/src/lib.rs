//! Everything that vipd reads from and does to a Linux node.
//!
//! The seam is [`Kernel`]: read everything, then perform a plan's operations. [`LinuxKernel`] is
//! the node itself: IPVS over generic netlink; the interface that holds the VIPs, its addresses
//! and their routes over rtnetlink; nftables and connection tracking over nfnetlink. Beside it
//! stand the node's sysctls, the lock that keeps two writers apart, and [`folder`], by which files are
//! opened that another user could have replaced.

mod error_chain;
pub mod folder;
#[doc(hidden)]
pub mod fuzz;
pub mod inspect;
mod kernel;
mod linux;
mod listening;
mod lock;
pub mod resolved;
mod resolvers;
mod sysctl;

pub use error_chain::error_chain;
pub use kernel::{Kernel, KernelError};
pub use linux::{
    AddressWatch, FailedSyn, Flows, LinkFacts, LinuxKernel, Monitor, Nft, PortOf, ProbeAnswer,
    ProbeSockets, Settings, find_closed_interfaces, find_routed_outward, has_uplink, read_links,
};
pub use lock::{Lock, LockError};
pub use resolvers::list_nameservers;
pub use sysctl::{
    KernelVersion, KernelVersionError, Sysctl, SysctlNeeds, SysctlReport, SysctlState,
    check_sysctls, ensure_sysctls, wanted_sysctls,
};
