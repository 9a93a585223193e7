//! Operations: single changes to the kernel, and the steps they belong to.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use nl_ipvs::{DestinationSettings, Family, ServiceSettings, Timeouts};

use crate::firewall::{ChainPlace, Hook};
use crate::nft::{Element, Rules, TableState, family_name};
use crate::{LocalRoute, Vip};

/// A change to the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Create our nftables table, or restore its rules, in one transaction. Its elements stay.
    SetTable {
        /// The family.
        family: Family,
        /// The state before.
        before: TableState,
        /// The rules.
        rules: Rules,
    },
    /// Add an element to a set of our table.
    AddElement {
        /// The element.
        element: Element,
    },
    /// Delete an element from a set of our table.
    DeleteElement {
        /// The element.
        element: Element,
    },
    /// Delete our nftables table.
    DeleteTable {
        /// The family.
        family: Family,
    },
    /// Insert our rule for a prefix at the head of a chain of the node's own firewall, replacing
    /// older ones of ours for it.
    InsertRule {
        /// The chain.
        place: ChainPlace,
        /// The hook of the chain.
        hook: Hook,
        /// The prefix of VIPs to let in.
        prefix: IpNet,
    },
    /// Delete our rules for a prefix from a chain of the node's own firewall.
    DeleteRule {
        /// The chain.
        place: ChainPlace,
        /// The prefix of VIPs that was let in.
        prefix: IpNet,
    },
    /// Create our dummy interface and bring it up.
    CreateLink,
    /// Bring our interface up.
    RaiseLink,
    /// Change the IPVS connection timeouts, which apply to foreign services too.
    SetTimeouts {
        /// The present timeouts.
        before: Timeouts,
        /// The new timeouts; 0 leaves one unchanged.
        timeouts: Timeouts,
    },
    /// Add a virtual service.
    AddService {
        /// The VIP.
        vip: Vip,
        /// The settings.
        settings: ServiceSettings,
    },
    /// Change a virtual service's settings.
    SetService {
        /// The VIP.
        vip: Vip,
        /// The present settings. Boxed: large, and rarely needed.
        before: Box<ServiceSettings>,
        /// The new settings.
        settings: ServiceSettings,
    },
    /// Change a real server's weight or other settings.
    SetServer {
        /// The VIP.
        vip: Vip,
        /// The address and port of the real server.
        server: SocketAddr,
        /// The present settings. Boxed: large, and rarely needed.
        before: Box<DestinationSettings>,
        /// The new settings.
        settings: DestinationSettings,
    },
    /// Add a real server.
    AddServer {
        /// The VIP.
        vip: Vip,
        /// The address and port of the real server.
        server: SocketAddr,
        /// The settings.
        settings: DestinationSettings,
    },
    /// Bind a VIP's address to our interface.
    Bind {
        /// The address.
        address: IpAddr,
        /// Its local route.
        route: LocalRoute,
        /// Whether the name server answers at it. Such an address has global scope: systemd-resolved
        /// uses an interface only if it has one (`link_address_relevant` in `resolved-link.c`).
        names: bool,
    },
    /// Bind an address anew of which the kernel may make the source of other connections: an older
    /// version of vipd bound it, or another program. It stays local all the while.
    Rebind {
        /// The address.
        address: IpAddr,
    },
    /// Change the local route of a bound address: the source and the path MTU of the node's own
    /// connections to it.
    SetRoute {
        /// The address.
        address: IpAddr,
        /// The present route.
        before: LocalRoute,
        /// The new route.
        route: LocalRoute,
    },
    /// Delete the conntrack entries of some flows to a VIP.
    ForgetFlows {
        /// The VIP.
        vip: Vip,
        /// Which flows.
        flows: StaleFlows,
    },
    /// Delete a real server.
    DeleteServer {
        /// The VIP.
        vip: Vip,
        /// The address and port of the real server.
        server: SocketAddr,
    },
    /// Delete a virtual service with its real servers.
    DeleteService {
        /// The VIP.
        vip: Vip,
        /// The real servers of the service.
        servers: Vec<SocketAddr>,
    },
    /// Remove an address from our interface.
    Unbind {
        /// The address.
        address: IpAddr,
    },
    /// Delete our interface with all its addresses.
    DeleteLink,
}

/// Flows whose conntrack entries keep packets from the real server that should get them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StaleFlows {
    /// Those from before the VIP was served and guarded: they would bypass IPVS, or the translation
    /// of their source, for as long as their clients send. Of TCP only those that nobody answered:
    /// others are connections to somebody else.
    Older {
        /// Whether the source of every flow is to be translated: one that isn't is older than our
        /// rules. Otherwise only that of the node's own clients, which have the address of the VIP.
        translated: bool,
    },
    /// Those that a real server has not answered. When IPVS is to send a repeated SYN to another one,
    /// it drops it if the flow is known (`ip_vs_conn_uses_old_conntrack` in
    /// `net/netfilter/ipvs/ip_vs_core.c`), and the client waits for its next one.
    Unanswered {
        /// The address and port of the real server, which is out of use.
        by: SocketAddr,
    },
    /// Those whose source is translated to one that is no longer in use.
    Translated {
        /// The former source.
        to: IpAddr,
    },
    /// Those that masquerading gave another source than the one that is wanted now: the real server
    /// may know no way back to it. Of TCP only those that nobody answered.
    Masqueraded {
        /// The real server's address.
        by: IpAddr,
        /// The source that is wanted.
        wanted: IpAddr,
    },
}

impl StaleFlows {
    /// Whether the first packet of such a flow may have met rules that are being replaced, so that the
    /// kernel knows the flow only a moment after the newer ones are in force.
    #[must_use]
    pub fn may_begin_late(&self) -> bool {
        match self {
            Self::Older { .. } | Self::Translated { .. } | Self::Masqueraded { .. } => true,
            Self::Unanswered { .. } => false,
        }
    }
}

/// Writes which flows, and what is done to them.
impl fmt::Display for StaleFlows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Translated { to } => write!(f, "flows from the former source {to} are forgotten"),
            Self::Older { .. } => {
                f.write_str("flows from before it was served and guarded are forgotten")
            }
            Self::Unanswered { by } => {
                write!(f, "flows that {by} has not answered are forgotten")
            }
            Self::Masqueraded { by, wanted } => {
                write!(f, "flows to {by} from another source than {wanted} are forgotten")
            }
        }
    }
}

/// The steps of a plan, in order. The operations of a step are sent together. A failure in one step
/// keeps later steps from touching the same VIP, so that a plan never removes what it could not
/// replace, and never adds real servers to a service that another program has just created.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The nftables tables and the addresses that become guarded; our rules in the node's own
    /// firewall.
    Guard,
    /// Virtual services, and the interface.
    Services,
    /// Weights and new real servers.
    Servers,
    /// Addresses: a VIP is bound once it can be served, so that no client meets a half-made one.
    /// New clients of a service without a usable real server are refused from now on, or let in
    /// again. Conntrack entries from before are deleted.
    Bind,
    /// Removal of real servers and services; clients of a removed service are reset while its
    /// address is still bound.
    Remove,
    /// Removal of addresses and of the interface.
    Unbind,
    /// Removal of the guards of removed addresses.
    Unguard,
}

impl Step {
    /// Every step, in order.
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
    /// Returns the step that the operation belongs to.
    #[must_use]
    pub fn step(&self) -> Step {
        match self {
            Self::SetTable { .. }
            | Self::AddElement {
                element: Element::Guarded(_) | Element::Open(_) | Element::Source(_),
            }
            // Before another source for the same real server is added, in the same transaction.
            | Self::DeleteElement { element: Element::Source(_) }
            | Self::InsertRule { .. } => Step::Guard,
            Self::CreateLink
            | Self::RaiseLink
            | Self::SetTimeouts { .. }
            | Self::AddService { .. }
            | Self::SetService { .. } => Step::Services,
            Self::SetServer { .. } | Self::AddServer { .. } => Step::Servers,
            Self::Bind { .. }
            | Self::Rebind { .. }
            | Self::SetRoute { .. }
            | Self::ForgetFlows { .. }
            | Self::AddElement { element: Element::Refused(_) }
            | Self::DeleteElement { element: Element::Refused(_) } => Step::Bind,
            Self::DeleteServer { .. } | Self::DeleteService { .. } => Step::Remove,
            Self::Unbind { .. } | Self::DeleteLink => Step::Unbind,
            Self::DeleteElement { element: Element::Guarded(_) | Element::Open(_) }
            | Self::DeleteTable { .. }
            | Self::DeleteRule { .. } => Step::Unguard,
        }
    }

    /// Returns the rank within the step.
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
            Self::Bind { .. }
            | Self::Rebind { .. }
            | Self::SetTimeouts { .. }
            | Self::InsertRule { .. } => 2,
            Self::SetRoute { .. } | Self::AddService { .. } => 3,
            Self::SetService { .. } | Self::ForgetFlows { .. } => 4,
        }
    }

    /// Returns the key that a plan is sorted by; the sort is stable.
    pub(super) fn sort_key(&self) -> (Step, u8) {
        (self.step(), self.rank_in_step())
    }

    /// Returns the VIP that the operation changes, if it changes a single one.
    #[must_use]
    pub fn vip(&self) -> Option<Vip> {
        match self {
            Self::AddService { vip, .. }
            | Self::SetService { vip, .. }
            | Self::SetServer { vip, .. }
            | Self::AddServer { vip, .. }
            | Self::ForgetFlows { vip, .. }
            | Self::DeleteServer { vip, .. }
            | Self::DeleteService { vip, .. } => Some(*vip),
            Self::AddElement { element } | Self::DeleteElement { element } => match element {
                Element::Refused(vip) => Some(*vip),
                Element::Guarded(_) | Element::Open(_) | Element::Source(_) => None,
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
            | Self::Rebind { .. }
            | Self::SetRoute { .. }
            | Self::Unbind { .. } => None,
        }
    }

    /// Returns the virtual address that the operation changes.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Bind { address, .. }
            | Self::Rebind { address }
            | Self::SetRoute { address, .. }
            | Self::Unbind { address } => Some(*address),
            Self::AddElement { element } | Self::DeleteElement { element } => {
                Some(element.address())
            }
            _ => self.vip().map(|vip| vip.address),
        }
    }
}

/// Writes `add-server 10.0.0.7:31001 of 3.3.0.6:3306/tcp`, for errors and logs.
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
            Self::DeleteService { vip, .. }
            | Self::ForgetFlows {
                vip,
                flows:
                    StaleFlows::Older { .. }
                    | StaleFlows::Translated { .. }
                    | StaleFlows::Masqueraded { .. },
            } => write!(f, " {vip}"),
            Self::ForgetFlows { vip, flows: StaleFlows::Unanswered { by } } => {
                write!(f, " by {by} to {vip}")
            }
            Self::AddServer { vip, server, .. }
            | Self::SetServer { vip, server, .. }
            | Self::DeleteServer { vip, server } => write!(f, " {server} of {vip}"),
            Self::Bind { address, .. }
            | Self::Rebind { address }
            | Self::SetRoute { address, .. }
            | Self::Unbind { address } => write!(f, " {address}"),
        }
    }
}

/// Describes each timeout that changes, such as `tcp 900 s -> 7200 s`.
pub(crate) fn timeout_changes(before: &Timeouts, after: &Timeouts) -> Vec<String> {
    let each = [
        ("tcp", before.tcp, after.tcp),
        ("tcp after a FIN", before.tcp_fin, after.tcp_fin),
        ("udp", before.udp, after.udp),
    ];
    let changes = each.into_iter().filter(|(_, before, after)| *after != 0 && before != after);
    changes.map(|(name, before, after)| format!("{name} {before} s -> {after} s")).collect()
}

/// Describes what changes in the local route of an address, such as
/// `mtu of the node's own connections 1500 -> 1300`.
pub(crate) fn route_changes(before: &LocalRoute, after: &LocalRoute) -> String {
    let mut changes = Vec::new();
    if before.source != after.source {
        let source = after.source.map_or_else(|| "itself".to_owned(), |source| source.to_string());
        changes.push(format!("source of the node's own connections -> {source}"));
    }
    if before.mtu != after.mtu {
        let text = |mtu: Option<u32>| mtu.map_or_else(|| "none".to_owned(), |mtu| mtu.to_string());
        let (before, after) = (text(before.mtu), text(after.mtu));
        changes.push(format!("mtu of the node's own connections {before} -> {after}"));
    }
    changes.join(", ")
}

/// Describes the local route of an address that is bound; nothing if it is the one that the kernel makes.
pub(crate) fn route_text(route: &LocalRoute) -> Option<String> {
    let source =
        route.source.map(|source| format!("source of the node's own connections {source}"));
    let mtu = route.mtu.map(|mtu| format!("mtu of the node's own connections {mtu}"));
    let parts: Vec<_> = source.into_iter().chain(mtu).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
