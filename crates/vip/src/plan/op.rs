use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use nl_ipvs::{DestinationSettings, Family, ServiceSettings, Timeouts};

use crate::Vip;
use crate::firewall::{Hook, Place};
use crate::nft::{Element, Rules, Standing, family_name};

/// One change to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Make our table of nftables, or give it its rules back, all at once. Its elements stay.
    SetTable {
        /// The family.
        family: Family,
        /// What is there.
        before: Standing,
        /// The rules.
        rules: Rules,
    },
    /// Put an element into a set of our table.
    AddElement {
        /// The element.
        element: Element,
    },
    /// Take an element out of a set of our table.
    DeleteElement {
        /// The element.
        element: Element,
    },
    /// Remove our table of nftables.
    DeleteTable {
        /// The family.
        family: Family,
    },
    /// Put our rule for a prefix before all others of a chain of the node's own firewall, in the
    /// place of others for it.
    InsertRule {
        /// The chain.
        place: Place,
        /// Where it meets packets.
        hook: Hook,
        /// The VIPs that are let in.
        prefix: IpNet,
    },
    /// Take our rules for a prefix out of a chain of the node's own firewall.
    DeleteRule {
        /// The chain.
        place: Place,
        /// The VIPs that were let in.
        prefix: IpNet,
    },
    /// Make our dummy interface and bring it up.
    CreateLink,
    /// Bring our interface up.
    RaiseLink,
    /// Change after how long connections are forgotten, those of others' services included.
    SetTimeouts {
        /// What they are.
        before: Timeouts,
        /// What they become; 0 leaves one as it is.
        timeouts: Timeouts,
    },
    /// Make a virtual service.
    AddService {
        /// Its VIP.
        vip: Vip,
        /// Its settings.
        settings: ServiceSettings,
    },
    /// Change a virtual service's settings.
    SetService {
        /// Its VIP.
        vip: Vip,
        /// What they are. Seldom, and long.
        before: Box<ServiceSettings>,
        /// What they become.
        settings: ServiceSettings,
    },
    /// Change a real server's weight or other settings.
    SetServer {
        /// The VIP of its service.
        vip: Vip,
        /// Its address and port.
        server: SocketAddr,
        /// What its settings are. Seldom, and long.
        before: Box<DestinationSettings>,
        /// What they become.
        settings: DestinationSettings,
    },
    /// Add a real server.
    AddServer {
        /// The VIP of its service.
        vip: Vip,
        /// Its address and port.
        server: SocketAddr,
        /// Its settings.
        settings: DestinationSettings,
    },
    /// Bind a VIP's address to our interface.
    Bind {
        /// The address.
        address: IpAddr,
        /// The source of the node's own connections to it, if not the address itself.
        source: Option<IpAddr>,
    },
    /// Change the source of the node's own connections to a bound address.
    SetSource {
        /// The address.
        address: IpAddr,
        /// The source; `None` is the address itself.
        source: Option<IpAddr>,
    },
    /// Forget the flows to a VIP that the kernel tracks from before it was served: they go past
    /// IPVS for as long as their clients send.
    ForgetFlows {
        /// The VIP.
        vip: Vip,
    },
    /// Remove a real server.
    DeleteServer {
        /// The VIP of its service.
        vip: Vip,
        /// Its address and port.
        server: SocketAddr,
    },
    /// Remove a virtual service and with it its real servers.
    DeleteService {
        /// Its VIP.
        vip: Vip,
        /// The real servers it has.
        servers: Vec<SocketAddr>,
    },
    /// Remove an address from our interface.
    Unbind {
        /// The address.
        address: IpAddr,
    },
    /// Remove our interface and with it all its addresses.
    DeleteLink,
}

/// The steps of a plan, in order. Each is one send; what failed in one keeps the following ones
/// from touching the same VIP, so that a plan never removes what it could not replace, and never
/// adds real servers to a service that somebody else made meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The tables of nftables, and the addresses that are guarded from now on; what lets VIPs in
    /// past the node's own firewall.
    Guard,
    /// Services and the interface.
    Services,
    /// Weights and new real servers.
    Servers,
    /// Addresses: a VIP is bound when it can be served, so no client meets a half-made one. New
    /// clients of a service that nobody can serve are refused from now on, those of one that
    /// somebody can are let in. What was tracked before is forgotten.
    Bind,
    /// Real servers and services go; clients of a service that is gone are reset while its
    /// address is still bound.
    Remove,
    /// Addresses and the interface go.
    Unbind,
    /// What guarded them goes.
    Unguard,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Guard,
        Self::Services,
        Self::Servers,
        Self::Bind,
        Self::Remove,
        Self::Unbind,
        Self::Unguard,
    ];
}

impl Op {
    /// The step it belongs to.
    #[must_use]
    pub fn step(&self) -> Step {
        match self {
            Self::SetTable { .. }
            | Self::AddElement { element: Element::Guarded(_) }
            | Self::InsertRule { .. } => Step::Guard,
            Self::CreateLink
            | Self::RaiseLink
            | Self::SetTimeouts { .. }
            | Self::AddService { .. }
            | Self::SetService { .. } => Step::Services,
            Self::SetServer { .. } | Self::AddServer { .. } => Step::Servers,
            Self::Bind { .. }
            | Self::SetSource { .. }
            | Self::ForgetFlows { .. }
            | Self::AddElement { element: Element::Refused(_) }
            | Self::DeleteElement { element: Element::Refused(_) } => Step::Bind,
            Self::DeleteServer { .. } | Self::DeleteService { .. } => Step::Remove,
            Self::Unbind { .. } | Self::DeleteLink => Step::Unbind,
            Self::DeleteElement { element: Element::Guarded(_) }
            | Self::DeleteTable { .. }
            | Self::DeleteRule { .. } => Step::Unguard,
        }
    }

    /// Its place within its step.
    fn rank_in_step(&self) -> u8 {
        match self {
            Self::SetTable { .. }
            | Self::CreateLink
            | Self::SetServer { .. }
            | Self::DeleteElement { .. }
            | Self::DeleteServer { .. }
            | Self::Unbind { .. } => 0,
            Self::AddElement { .. }
            | Self::RaiseLink
            | Self::AddServer { .. }
            | Self::DeleteService { .. }
            | Self::DeleteLink
            | Self::DeleteTable { .. }
            | Self::DeleteRule { .. } => 1,
            Self::Bind { .. } | Self::SetTimeouts { .. } | Self::InsertRule { .. } => 2,
            Self::SetSource { .. } | Self::AddService { .. } => 3,
            Self::SetService { .. } | Self::ForgetFlows { .. } => 4,
        }
    }

    /// Orders a plan; within one rank the order stays.
    pub(super) fn sort_key(&self) -> (Step, u8) {
        (self.step(), self.rank_in_step())
    }

    /// The VIP it changes, if it is one's own.
    #[must_use]
    pub fn vip(&self) -> Option<Vip> {
        match self {
            Self::AddService { vip, .. }
            | Self::SetService { vip, .. }
            | Self::SetServer { vip, .. }
            | Self::AddServer { vip, .. }
            | Self::ForgetFlows { vip }
            | Self::DeleteServer { vip, .. }
            | Self::DeleteService { vip, .. } => Some(*vip),
            Self::AddElement { element } | Self::DeleteElement { element } => match element {
                Element::Refused(vip) => Some(*vip),
                Element::Guarded(_) => None,
            },
            Self::SetTable { .. }
            | Self::DeleteTable { .. }
            | Self::InsertRule { .. }
            | Self::DeleteRule { .. }
            | Self::CreateLink
            | Self::RaiseLink
            | Self::SetTimeouts { .. }
            | Self::DeleteLink
            | Self::Bind { .. }
            | Self::SetSource { .. }
            | Self::Unbind { .. } => None,
        }
    }

    /// The address it changes: its VIP's, or the one it binds.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Bind { address, .. }
            | Self::SetSource { address, .. }
            | Self::Unbind { address } => Some(*address),
            Self::AddElement { element } | Self::DeleteElement { element } => {
                Some(element.address())
            }
            _ => self.vip().map(|vip| vip.address),
        }
    }
}

/// `add-server 10.0.0.7:31001 of 3.3.0.6:3306/tcp`, for errors and logs.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::CreateLink | Self::RaiseLink | Self::DeleteLink => Ok(()),
            Self::SetTimeouts { before, timeouts } => {
                write!(f, " {}", timeout_changes(before, timeouts).join(", "))
            }
            Self::SetTable { family, rules, .. } => {
                write!(f, " {} vipd ({rules})", family_name(*family))
            }
            Self::DeleteTable { family } => write!(f, " {} vipd", family_name(*family)),
            Self::InsertRule { place, prefix, .. } | Self::DeleteRule { place, prefix } => {
                write!(f, " for {prefix} in {place}")
            }
            Self::AddElement { element } | Self::DeleteElement { element } => {
                write!(f, " {element} of set {}", element.set_name())
            }
            Self::AddService { vip, settings } | Self::SetService { vip, settings, .. } => {
                let scheduler = settings.scheduler.as_ref().map_or("none", |name| name.as_str());
                write!(f, " {vip} (scheduler {scheduler})")
            }
            Self::DeleteService { vip, .. } | Self::ForgetFlows { vip } => write!(f, " {vip}"),
            Self::AddServer { vip, server, .. }
            | Self::SetServer { vip, server, .. }
            | Self::DeleteServer { vip, server } => write!(f, " {server} of {vip}"),
            Self::Bind { address, .. }
            | Self::SetSource { address, .. }
            | Self::Unbind { address } => write!(f, " {address}"),
        }
    }
}

/// `tcp 900 s -> 7200 s`, one for each that changes.
pub(crate) fn timeout_changes(before: &Timeouts, after: &Timeouts) -> Vec<String> {
    let each = [
        ("tcp", before.tcp, after.tcp),
        ("tcp after a FIN", before.tcp_fin, after.tcp_fin),
        ("udp", before.udp, after.udp),
    ];
    let changes = each.into_iter().filter(|(_, before, after)| *after != 0 && before != after);
    changes.map(|(name, before, after)| format!("{name} {before} s -> {after} s")).collect()
}
