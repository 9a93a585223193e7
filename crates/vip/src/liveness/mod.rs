//! Whether hosts are alive: what this node itself hears of them, beside what the sources say.
//!
//! A host that loses power says nothing, and Mesos and Marathon notice it only after more than a
//! minute. Here echoes and connections are the evidence, and verdicts come out:
//!
//! ```text
//! WatchList -> liveness -> probes -> evidence -> liveness -> HostVerdict -> weights, deletions
//! ```
//!
//! While a source is not heard, a real server that refuses clients gets a verdict of its own.
//!
//! A verdict only ever takes a real server out of use, or takes that back. It is about the path from
//! this node to the host, so it is neither saved nor shared with other nodes.

mod budget;
mod census;
mod confirmation;
mod connections;
mod echoes;
mod flaps;
mod host;
mod hosts_in_use;
mod left_behind;
mod order;
mod refusals;
mod report;
mod silent_server;
mod status;
#[cfg(test)]
mod tests;
mod timing;
mod verdict;
mod watch;
mod watch_list;

pub use hosts_in_use::HostsInUse;
pub(crate) use left_behind::find_left_behind;
pub use order::{ConnectResult, Order};
pub use refusals::{Refusal, Refusals};
pub use report::ProbeReport;
pub use silent_server::{Cause, SilentServer};
pub use status::ProbeStatus;
pub use timing::{INTERVAL, first_look};
pub use verdict::{Evidence, HostVerdict, ServerVerdict, Silence};
pub use watch::Liveness;
pub use watch_list::{ClientSources, WatchList, Watched};
