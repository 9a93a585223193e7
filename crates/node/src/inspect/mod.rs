//! What `vipd doctor` looks at beside the plan: modules, rights, limits, who else manages the node.
//!
//! Every look is a file of `/proc`, `/sys`, `/run` or `/lib/modules` read once. None of them loads
//! or changes anything; what does is named so.

mod conntrack;
mod forwarding;
mod manager;
mod modules;
mod rights;

pub use conntrack::{Conntrack, read_conntrack};
pub use forwarding::{Ipv6Forwarding, enable_ipv6_forwarding, read_ipv6_forwarding};
pub use manager::{Manager, manager_of};
pub use modules::{Module, Modules, load_module};
pub use rights::Rights;
