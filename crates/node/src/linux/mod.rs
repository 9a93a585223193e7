//! The kernel of this node, over netlink: the implementation of [`Kernel`].

mod address;
mod address_watch;
mod answer;
mod facts;
mod flows;
mod iptables_legacy;
mod ipvs;
mod link;
mod links;
mod monitor;
mod nft;
mod observe;
mod perform;
mod proc_net_ip_vs;
mod protocol;
mod raw_attributes;
mod route;
mod scheduler;
mod servers;
mod settings;
mod socket;
mod source_address;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use nl_ipvs::Ipvs;
use vip::plan::OpError;
use vip::{Observed, Op, Protocol, Stats, Vip, Ways};

use crate::{Kernel, KernelError, SysctlReport, check_sysctls, ensure_sysctls};
pub use address_watch::AddressWatch;
pub use flows::Flows;
pub use links::{LinkFacts, PortOf, read_links};
pub use monitor::Monitor;
pub use nft::{Nft, parse_nft_object};
pub use proc_net_ip_vs::confirm_servers;
use servers::ReadingCounts;
pub use settings::Settings;
use socket::RouteSocket;

/// The kernel of this node. Blocking.
///
/// It belongs to the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct LinuxKernel {
    ipvs: Ipvs,
    route: RouteSocket,
    nft: Nft,
    flows: Flows,
    settings: Settings,
    readings: ReadingCounts,
    /// The listening sockets of the last reading.
    listening: Option<Arc<BTreeSet<(Protocol, SocketAddr)>>>,
}

impl LinuxKernel {
    /// Opens the sockets.
    ///
    /// # Errors
    /// When the kernel has no IPVS (`modprobe ip_vs`), or a socket can't be opened.
    pub fn open(settings: Settings) -> Result<Self, KernelError> {
        let ipvs = Ipvs::open()
            .map_err(|error| KernelError::Ipvs { doing: "open its socket".into(), error })?;
        let (route, nft, flows) = (RouteSocket::open()?, Nft::open(), Flows::open());
        let readings = ReadingCounts::default();
        Ok(Self { ipvs, route, nft, flows, settings, readings, listening: None })
    }

    /// Reads the version of IPVS and the number of buckets of its connection table.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn read_ipvs_info(&mut self) -> Result<(String, u32), KernelError> {
        let info = self.ipvs.info();
        let info =
            info.map_err(|error| KernelError::Ipvs { doing: "read its version".into(), error })?;
        Ok((info.version.to_string(), info.connection_table_size))
    }

    /// Asks for a scheduler, whose module the kernel loads if it can. `None`: the kernel doesn't
    /// tell. Nothing else changes.
    ///
    /// # Errors
    /// When the kernel's answer is lost.
    pub fn has_scheduler(&mut self, name: &str) -> Result<Option<bool>, KernelError> {
        scheduler::has_scheduler(&mut self.ipvs, name)
    }
}

impl LinuxKernel {
    /// Returns the number of services whose real servers the last reading dumped. For the others
    /// `/proc/net/ip_vs` confirmed what was known.
    #[must_use]
    pub fn dumped_services(&self) -> usize {
        self.readings.dumps
    }

    fn observe_from(&mut self, known: Option<&Observed>) -> Result<Observed, KernelError> {
        let Self { ipvs, route, nft, settings, readings, listening, .. } = self;
        observe::observe_node(ipvs, route, nft, settings, (readings, known), listening)
    }
}

impl Kernel for LinuxKernel {
    fn observe(&mut self) -> Result<Observed, KernelError> {
        self.observe_from(None)
    }

    fn observe_again(&mut self, known: &Observed) -> Result<Observed, KernelError> {
        self.observe_from(Some(known))
    }

    fn read_traffic(&mut self) -> Result<BTreeMap<Vip, Stats>, KernelError> {
        observe::read_traffic(&mut self.ipvs)
    }

    fn perform(&mut self, ops: &[&Op]) -> Vec<Result<(), OpError>> {
        let Self { ipvs, route, nft, flows, settings, .. } = self;
        perform::perform_ops(ipvs, route, nft, flows, &settings.interface, ops)
    }

    fn find_ways(&mut self, servers: &BTreeSet<IpAddr>) -> Result<Ways, KernelError> {
        source_address::find_ways(&mut self.route, &self.settings.interface, servers)
    }

    fn tune_sysctls(&mut self, mend: bool) -> Vec<SysctlReport> {
        let strict_arp = self.settings.strict_arp;
        if mend { ensure_sysctls(strict_arp) } else { check_sysctls(strict_arp) }
    }
}
