//! The kernel of this node, over netlink: the implementation of [`Kernel`].

mod address;
mod address_watch;
mod answer;
mod facts;
mod flows;
mod iptables_legacy;
mod ipvs;
mod link;
mod link_mtus;
mod links;
mod monitor;
mod netlink;
mod nft;
mod observe;
mod outward;
mod path_mtu;
mod perform;
mod probe;
mod proc_net_ip_vs;
mod protocol;
mod raw_attributes;
mod route;
mod servers;
mod settings;
mod socket;
mod source_address;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use nl_ipvs::{Ipvs, Scheduler};
use vip::nft::NftSupport;
use vip::plan::OpError;
use vip::{Observed, Op, Stats, Vip, Ways};

use crate::{Kernel, KernelError, SysctlNeeds, SysctlReport, check_sysctls, ensure_sysctls};
pub use address_watch::AddressWatch;
pub use flows::Flows;
pub use links::{LinkFacts, PortOf, read_links};
pub use monitor::Monitor;
pub use nft::{Nft, parse_nft_object};
use observe::Listening;
pub use outward::{find_closed_interfaces, find_routed_outward};
use path_mtu::PathMtus;
pub use probe::{Answer as ProbeAnswer, FailedSyn, ProbeSockets, has_uplink, parse_failed_syns};
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
    listening: Option<Listening>,
    learnt: PathMtus,
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
        let learnt = PathMtus::default();
        Ok(Self { ipvs, route, nft, flows, settings, readings, listening: None, learnt })
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
        let Ok(scheduler) = Scheduler::new(name) else { return Ok(Some(false)) };
        self.ipvs.has_scheduler(&scheduler).map_err(|error| KernelError::Ipvs {
            doing: format!("ask for the scheduler {name}"),
            error,
        })
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
        let Self { ipvs, route, nft, settings, readings, listening, learnt, .. } = self;
        let kept = (listening, learnt);
        observe::observe_node(ipvs, route, nft, settings, (readings, known), kept)
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
        let needs = SysctlNeeds {
            strict_arp: self.settings.strict_arp,
            // What can't be read is taken for the usual: a reading reports the error.
            sources_by_route: (self.nft.observe_tables())
                .is_ok_and(|tables| tables.v4.support != NftSupport::Nat),
        };
        if mend { ensure_sysctls(needs) } else { check_sysctls(needs) }
    }
}
