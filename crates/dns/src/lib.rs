//! The name server of vipd: it answers for the names of VIPs, on every node.
//!
//! The agent writes what there is to answer into a [`ZoneFile`]. The name server is a process of
//! its own, without rights, which reads that file. So names answer while the agent is stopped, and
//! no query ever reaches the process that may change the kernel.

mod counters;
mod domain_name;
mod forwarder;
mod look_up;
mod node_facts;
mod query;
mod reload;
mod reply;
mod responder;
mod server;
mod sockets;
mod tcp;
mod tcp_message;
mod tree;
mod udp;
mod upstreams;
mod zone;
mod zone_file;
mod zone_watch;

pub use counters::{Counters, Event};
pub use domain_name::{DomainName, DomainNameError};
pub use look_up::{LookUpError, look_up};
pub use node_facts::NodeFacts;
pub use query::Transport;
pub use reload::LoadedFile;
pub use responder::{Responder, Verdict};
pub use server::Server;
pub use sockets::{SocketError, Sockets};
pub use upstreams::UpstreamSource;
pub use zone::{OwnZones, Zone};
pub use zone_file::{Addresses, LineError, ZoneFile, ZoneFileError};
pub use zone_watch::ZoneWatch;
