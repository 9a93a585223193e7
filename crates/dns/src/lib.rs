//! The name server of vipd: it answers for the names of VIPs, on every node.
//!
//! The agent writes what there is to answer into a [`ZoneFile`]. The name server is a process of
//! its own, without rights, which reads that file. So names answer while the agent is stopped, and
//! no query ever reaches the process that may change the kernel.

mod domain_name;
mod zone_file;

pub use domain_name::{DomainName, DomainNameError};
pub use zone_file::{Addresses, LineError, ZoneFile, ZoneFileError};
