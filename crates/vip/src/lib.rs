//! The decisions of vipd, as pure functions: the grammar of VIP labels, which addresses may be
//! VIPs, which tasks are real servers and with what weight, which kernel objects are ours, and the
//! plan that takes the kernel from its present state to the desired one.
//!
//! ```text
//! labels -> Claim -> decide() -> Desired --+
//!                                          +-> Plan -> operations -> Outcome
//! kernel -------------------> Observed ----+
//! ```
//!
//! [`Controller`] repeats this for as long as the agent runs: it decides when to read the kernel,
//! what to change, which real servers drain and which operations are retried.
//!
//! No I/O, no async, no clock: results depend on the arguments only.

mod address;
mod app_id;
mod claim;
pub mod controller;
mod desired;
mod facts;
pub mod firewall;
pub mod label;
mod line;
pub mod liveness;
mod local;
mod merge_join;
pub mod naming;
pub mod nft;
mod observed;
pub mod ownership;
mod path_mtu;
pub mod plan;
pub mod policy;
mod printable;
mod reserved;
mod select;
mod settings;
mod source_address;
mod source_id;
mod special_address;
mod table_doubt;
mod vip_state;
mod why;

pub use nl_ipvs::{Family, Stats, Timeouts};

pub use address::{NoVip, Protocol, Vip};
pub use app_id::{AppId, AppKind};
pub use claim::{Candidate, Claim, Condition, Ending, Place, Reach};
pub use controller::{Controller, Drain};
pub use desired::{Desired, DesiredService, decide};
pub use facts::{ClusterFacts, NodeFacts};
pub use firewall::Firewall;
pub use label::{LabelPlace, LabelReport, Verdict};
pub use line::{Line, Sign};
pub use local::{Local, LocalServers};
pub use nft::Nft;
pub use observed::{Bound, Link, LocalRoute, Observed, ObservedServer, ObservedService, Servers};
pub use plan::{Op, Outcome, Plan, Scope};
pub use policy::{AddressRefusal, Past, Policy, Reservation, SourcePath};
pub use printable::{Printable, escape_json, is_unprintable};
pub use reserved::{NotReservable, Reserved};
pub use select::{LeftOut, Member, Selection, select_servers};
pub use settings::TableSettings;
pub use source_address::{LOOPBACK_MTU, Way, Ways};
pub use source_id::SourceId;
pub use special_address::SpecialAddress;
pub use table_doubt::TableDoubt;
pub use vip_state::{KernelMatch, TaskCounts, VipCount, VipState};
pub use why::{Health, Why};
