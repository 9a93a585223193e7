//! Checks of the node for `vipd doctor`: kernel modules, rights, limits, network managers.
//!
//! Each check reads a file of `/proc`, `/sys`, `/run` or `/lib/modules` once and changes nothing.
//! Only functions named `load_` and `enable_` change the node.

mod conntrack;
mod forwarding;
mod manager;
mod modules;
mod rights;

pub use conntrack::{Conntrack, read_conntrack};
pub use forwarding::{Ipv6Forwarding, read_ipv6_forwarding};
pub use manager::{Manager, manager_of};
pub use modules::{ModprobeError, Module, Modules, load_module};
pub use rights::Rights;
