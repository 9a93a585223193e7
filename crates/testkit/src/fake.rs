//! A kernel in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use nl_ipvs::{
    DestinationSettings, ForwardMethod, Scheduler, ServiceKey, ServiceSettings, Stats, TunnelKind,
    errno,
};
use node::{Kernel, KernelError, SysctlReport};
use vip::firewall::Rule;
use vip::nft::{NftSupport, TableState};
use vip::ownership::{Owner, owner_of};
use vip::plan::OpError;
use vip::{Link, LocalRoute, Observed, ObservedServer, ObservedService, Op, Vip, Ways};

use crate::faults::{Fate, Faults, kernel_refusal};

/// The schedulers of a new [`FakeKernel`].
pub const SCHEDULERS: [&str; 10] = ["rr", "wrr", "lc", "wlc", "sh", "mh", "sed", "nq", "fo", "ovf"];

/// A kernel in memory with the answers of the real one (Linux 6.1). It can be told to fail, and it
/// logs its operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FakeKernel {
    /// The kernel's state. A test may change it, as other programs change a real kernel.
    pub state: Observed,
    /// Known schedulers; others are refused with `ENOENT`.
    pub schedulers: BTreeSet<String>,
    /// Routes, as the kernel's routing table would answer.
    pub ways: Ways,
    /// The reason why the state can't be read, if it can't.
    pub unreadable: Option<String>,
    /// Operations that were done or refused, in order; none from after its death.
    pub log: Vec<(Op, Result<(), OpError>)>,
    faults: Faults,
}

impl Default for FakeKernel {
    fn default() -> Self {
        Self::new(Observed::default())
    }
}

impl FakeKernel {
    /// Makes a kernel with this state.
    #[must_use]
    pub fn new(state: Observed) -> Self {
        let schedulers = SCHEDULERS.map(str::to_owned).into();
        Self {
            state,
            schedulers,
            ways: Ways::default(),
            unreadable: None,
            log: Vec::new(),
            faults: Faults::default(),
        }
    }

    /// Refuses the `nth` operation from now on, 0 being the next, with this errno.
    pub fn refuse_nth(&mut self, nth: usize, errno: i32) {
        self.faults.refuse_nth(nth, errno);
    }

    /// Performs operations from now on, but loses the answers.
    pub fn lose_answers(&mut self) {
        self.faults.lose_answers();
    }

    /// Performs this many more operations, then neither performs nor answers any.
    pub fn die_after(&mut self, ops: usize) {
        self.faults.die_after(ops);
    }

    /// Ends all faults.
    pub fn clear_faults(&mut self) {
        self.faults = Faults::default();
    }

    fn carry_out(&mut self, op: &Op) -> Result<(), OpError> {
        match op {
            Op::SetTable { family, rules, .. } => {
                let table = self.state.nft.table_mut(*family);
                let taken = match rules.nat {
                    Some(_) => table.support == NftSupport::Nat,
                    None => table.support != NftSupport::Nothing,
                };
                if !taken {
                    return Err(kernel_refusal(errno::ENOENT));
                }
                table.state = TableState::Whole(*rules);
                Ok(())
            }
            Op::DeleteTable { family } => {
                let table = self.state.nft.table_mut(*family);
                require_present(table.state != TableState::Missing)?;
                table.state = TableState::Missing;
                table.vips.clear();
                table.empty.clear();
                Ok(())
            }
            Op::AddElement { element } => {
                let table = self.state.nft.table_mut(element.family());
                require_present(table.state != TableState::Missing)?;
                if table.contains(*element) {
                    return Err(kernel_refusal(errno::EEXIST));
                }
                table.insert(*element);
                Ok(())
            }
            Op::DeleteElement { element } => {
                require_present(self.state.nft.table_mut(element.family()).remove(*element))
            }
            Op::InsertRule { place, hook, prefix } => {
                let firewall = Arc::make_mut(&mut self.state.firewall);
                let chain = firewall.chains.get_mut(place).ok_or(kernel_refusal(errno::ENOENT))?;
                chain.rules.retain(|rule| rule.mark != Some(*prefix));
                chain.rules.insert(0, Rule::letting_in(*prefix, *hook));
                Ok(())
            }
            Op::DeleteRule { place, prefix } => {
                let firewall = Arc::make_mut(&mut self.state.firewall);
                let chain = firewall.chains.get_mut(place).ok_or(kernel_refusal(errno::ENOENT))?;
                let before = chain.rules.len();
                chain.rules.retain(|rule| rule.mark != Some(*prefix));
                require_present(chain.rules.len() < before)
            }
            Op::CreateLink if self.state.link != Link::Missing => {
                Err(kernel_refusal(errno::EEXIST))
            }
            Op::CreateLink => {
                self.state.link = Link::Up;
                Ok(())
            }
            Op::RaiseLink => {
                self.require_link()?;
                self.state.link = Link::Up;
                Ok(())
            }
            Op::SetTimeouts { timeouts, .. } => {
                let held = &mut self.state.timeouts;
                for (held, to) in [
                    (&mut held.tcp, timeouts.tcp),
                    (&mut held.tcp_fin, timeouts.tcp_fin),
                    (&mut held.udp, timeouts.udp),
                ] {
                    *held = if to == 0 { *held } else { to };
                }
                Ok(())
            }
            Op::DeleteLink => {
                self.require_link()?;
                self.state.link = Link::Missing;
                self.state.addresses.clear();
                Ok(())
            }
            Op::AddService { vip, settings } => self.add_service(vip, settings),
            Op::SetService { vip, settings, .. } => self.set_service(vip, settings),
            Op::DeleteService { vip, .. } => self
                .state
                .services
                .remove(&(*vip).into())
                .map(|_| ())
                .ok_or(kernel_refusal(errno::ESRCH)),
            Op::AddServer { vip, server, settings } => self.add_server(vip, *server, *settings),
            Op::SetServer { vip, server, settings, .. } => self.set_server(vip, *server, *settings),
            Op::DeleteServer { vip, server } => {
                let servers = &mut self.service_mut(vip)?.servers;
                servers.remove(server).map(|_| ()).ok_or(kernel_refusal(errno::ENOENT))
            }
            Op::Bind { address, route, names } => {
                let bound = self.state.addresses.contains_key(address);
                self.bind_address(*address, *route)?;
                if *names
                    && !bound
                    && let Some(new) = self.state.addresses.get_mut(address)
                {
                    new.is_choice = address.is_ipv4();
                }
                if bound { Err(kernel_refusal(errno::EEXIST)) } else { Ok(()) }
            }
            Op::Rebind { address } => {
                self.require_link()?;
                let bound = self.state.addresses.get_mut(address);
                bound.ok_or(kernel_refusal(errno::EADDRNOTAVAIL))?.is_choice = false;
                Ok(())
            }
            Op::SetRoute { address, route, .. } => self.bind_address(*address, *route),
            // Conntrack entries are not part of the observed state.
            Op::ForgetFlows { .. } => Ok(()),
            Op::Unbind { address } => {
                self.require_link()?;
                let gone = self.state.addresses.remove(address);
                gone.map(|_| ()).ok_or(kernel_refusal(errno::EADDRNOTAVAIL))
            }
        }
    }

    fn require_link(&self) -> Result<(), OpError> {
        if self.state.link == Link::Missing { Err(kernel_refusal(errno::ENODEV)) } else { Ok(()) }
    }

    fn service_mut(&mut self, vip: &Vip) -> Result<&mut ObservedService, OpError> {
        self.state.services.get_mut(&ServiceKey::from(*vip)).ok_or(kernel_refusal(errno::ESRCH))
    }

    fn add_service(&mut self, vip: &Vip, settings: &ServiceSettings) -> Result<(), OpError> {
        let key = ServiceKey::from(*vip);
        if self.state.services.contains_key(&key) {
            return Err(kernel_refusal(errno::EEXIST));
        }
        self.check_settings(&key, settings)?;
        let settings = settings.clone();
        let service =
            ObservedService { settings, servers: vip::Servers::default(), stats: Stats::default() };
        self.state.services.insert(key, service);
        Ok(())
    }

    fn set_service(&mut self, vip: &Vip, settings: &ServiceSettings) -> Result<(), OpError> {
        self.service_mut(vip)?;
        self.check_settings(&ServiceKey::from(*vip), settings)?;
        self.service_mut(vip)?.settings = settings.clone();
        Ok(())
    }

    /// Checks a service's settings.
    fn check_settings(&self, key: &ServiceKey, settings: &ServiceSettings) -> Result<(), OpError> {
        if settings.client_prefix.len(key.family()).is_none() {
            return Err(kernel_refusal(errno::EINVAL));
        }
        let scheduler = settings.scheduler.as_ref().map(Scheduler::as_str);
        let known = scheduler.is_none_or(|name| self.schedulers.contains(name));
        let engine = settings.persistence_engine.is_none();
        if !known || !engine {
            return Err(kernel_refusal(errno::ENOENT));
        }
        Ok(())
    }

    fn add_server(
        &mut self,
        vip: &Vip,
        server: SocketAddr,
        settings: DestinationSettings,
    ) -> Result<(), OpError> {
        let servers = &mut self.service_mut(vip)?.servers;
        check_server(vip, server, &settings)?;
        if servers.contains_key(&server) {
            return Err(kernel_refusal(errno::EEXIST));
        }
        if is_no_host(server.ip()) {
            return Err(kernel_refusal(errno::EINVAL));
        }
        let idle = ObservedServer { settings, active: 0, inactive: 0, stats: None };
        servers.insert(server, idle);
        Ok(())
    }

    fn set_server(
        &mut self,
        vip: &Vip,
        server: SocketAddr,
        settings: DestinationSettings,
    ) -> Result<(), OpError> {
        let servers = &mut self.service_mut(vip)?.servers;
        check_server(vip, server, &settings)?;
        servers.get_mut(&server).ok_or(kernel_refusal(errno::ENOENT))?.settings = settings;
        Ok(())
    }

    /// Binds an address unless it is bound, and sets its route. As in the real kernel, the address
    /// is bound even if the source is refused.
    fn bind_address(&mut self, address: IpAddr, route: LocalRoute) -> Result<(), OpError> {
        self.require_link()?;
        let LocalRoute { source, mtu } = route;
        if address.is_ipv6() && source.is_some() {
            return Err(kernel_refusal(errno::EOPNOTSUPP));
        }
        self.state.addresses.entry(address).or_default();
        if let Some(source) = source {
            let is_local =
                self.state.node.own.contains(&source) || self.state.addresses.contains_key(&source);
            if !is_local {
                return Err(kernel_refusal(errno::EINVAL));
            }
        }
        let source = source.filter(|source| *source != address);
        let bound = self.state.addresses.entry(address).or_default();
        (bound.route, bound.learnt) = (LocalRoute { source, mtu }, None);
        Ok(())
    }
}

fn require_present(it_is: bool) -> Result<(), OpError> {
    if it_is { Ok(()) } else { Err(kernel_refusal(errno::ENOENT)) }
}

/// Checks a real server like `ip_vs_genl_set_cmd`, `ip_vs_add_dest` and `ip_vs_edit_dest`, in their
/// order.
fn check_server(
    vip: &Vip,
    server: SocketAddr,
    settings: &DestinationSettings,
) -> Result<(), OpError> {
    let tunnel = settings.forward == ForwardMethod::Tunnel;
    if vip.address.is_ipv4() != server.is_ipv4() && !tunnel {
        return Err(kernel_refusal(errno::EINVAL));
    }
    let weight = i32::try_from(settings.weight).is_ok();
    if !weight || settings.lower_threshold > settings.upper_threshold {
        return Err(kernel_refusal(errno::ERANGE));
    }
    if tunnel && settings.tunnel.kind == TunnelKind::Gue && settings.tunnel.port == 0 {
        return Err(kernel_refusal(errno::EINVAL));
    }
    Ok(())
}

/// Returns true for an address that `ip_vs_new_dest` refuses as a real server.
fn is_no_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    address.is_multicast() || address.is_unspecified() || broadcast
}

impl Kernel for FakeKernel {
    fn observe(&mut self) -> Result<Observed, KernelError> {
        if let Some(why) = &self.unreadable {
            let error = nl_ipvs::EntryError::Malformed(why.clone()).into();
            return Err(KernelError::Ipvs { doing: "list the services".into(), error });
        }
        let mut observed = self.state.clone();
        for (key, service) in &mut observed.services {
            if owner_of(key, &service.settings, &self.state) == Owner::Foreign {
                service.servers.clear();
            }
        }
        Ok(observed)
    }

    fn read_traffic(&mut self) -> Result<BTreeMap<Vip, Stats>, KernelError> {
        if self.unreadable.is_some() {
            self.observe()?;
        }
        Ok(self.state.our_services().map(|(vip, service)| (vip, service.stats)).collect())
    }

    fn perform(&mut self, ops: &[&Op]) -> Vec<Result<(), OpError>> {
        let mut answers = Vec::new();
        for op in ops {
            let answer = match self.faults.next() {
                Fate::Happens => self.carry_out(op),
                Fate::Refused(error) => Err(error),
                Fate::Dead => break,
            };
            self.log.push(((*op).clone(), answer.clone()));
            answers.push(answer);
        }
        if self.faults.answers_are_lost() { Vec::new() } else { answers }
    }

    fn find_ways(&mut self, servers: &BTreeSet<IpAddr>) -> Result<Ways, KernelError> {
        let way =
            |server: &IpAddr| (*server, self.ways.towards.get(server).copied().unwrap_or_default());
        Ok(Ways { towards: servers.iter().map(way).collect(), otherwise: self.ways.otherwise })
    }

    fn tune_sysctls(&mut self, _mend: bool) -> Vec<SysctlReport> {
        Vec::new()
    }
}
