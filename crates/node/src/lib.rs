//! Everything that vipd reads from and does to a Linux node.
//!
//! The seam is [`Kernel`]: read everything, then perform a plan's operations. [`LinuxKernel`] is
//! the node itself: IPVS over generic netlink; the interface that holds the VIPs, its addresses
//! and their routes over rtnetlink; nftables and connection tracking over nfnetlink. Beside it
//! stand the node's sysctls and the lock that keeps two writers apart.

mod error_chain;
#[doc(hidden)]
pub mod fuzz;
pub mod inspect;
mod kernel;
mod linux;
mod listening;
mod lock;
mod resolvers;
mod sysctl;

pub use error_chain::error_chain;
pub use kernel::{Kernel, KernelError};
pub use linux::{
    AddressWatch, Flows, LinkFacts, LinuxKernel, Monitor, Nft, PortOf, Settings, read_links,
};
pub use lock::{Lock, LockError};
pub use resolvers::list_nameservers;
pub use sysctl::{
    KernelVersion, KernelVersionError, Sysctl, SysctlReport, SysctlState, check_sysctls,
    ensure_sysctls, wanted_sysctls,
};
