//! The observed state of the kernel.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use nl_ipvs::{
    Destination, DestinationSettings, Service, ServiceKey, ServiceSettings, Stats, Timeouts,
};

use crate::facts::NodeFacts;
use crate::{Firewall, Nft, Vip};

/// The state of the kernel, as read at one time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Every virtual service of the IPVS table, ours and others'.
    pub services: BTreeMap<ServiceKey, ObservedService>,
    /// Our interface.
    pub link: Link,
    /// The addresses on our interface, without IPv6 link-local ones.
    pub addresses: BTreeMap<IpAddr, Bound>,
    /// The IPVS connection timeouts.
    pub timeouts: Timeouts,
    /// Our nftables tables.
    pub nft: Nft,
    /// The chains of the node's own firewall that packets of VIPs may traverse.
    pub firewall: Arc<Firewall>,
    /// Other facts about the node.
    pub node: NodeFacts,
}

/// Our dummy interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// The interface doesn't exist.
    #[default]
    Missing,
    /// The interface is down.
    Down,
    /// The interface is up.
    Up,
}

/// The binding of an address on our interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// Its local route.
    pub route: LocalRoute,
    /// The path MTU that the kernel has learnt for the node's own connections to the address, and soon
    /// forgets.
    pub learnt: Option<u32>,
    /// Whether the kernel may choose the address as the source of other connections: an IPv4 address
    /// with another scope than `host`, or an IPv6 address that isn't deprecated.
    pub is_choice: bool,
}

/// The local route of an address on our interface, as far as it may differ from the one that the kernel
/// makes. It is that of the node's own connections to the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LocalRoute {
    /// The source address (`src`), if it differs from the address itself. Only used without nftables
    /// NAT. The unspecified address stands for a missing route (IPv6: a route whose address is
    /// missing): it is never desired, so what is missing is put back.
    pub source: Option<IpAddr>,
    /// The MTU (`mtu`), if it differs from that of `lo`.
    pub mtu: Option<u32>,
}

/// A virtual service as read from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    /// The configured settings.
    pub settings: ServiceSettings,
    /// The real servers. Read only for services that are or may be ours; otherwise empty.
    pub servers: Servers,
    /// Counters and rates.
    pub stats: Stats,
}

/// Real servers by address. Clones share their memory until one of them changes: most of a table
/// stays the same from one reading to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Servers(Arc<BTreeMap<SocketAddr, ObservedServer>>);

impl Servers {
    /// Tells whether both share their memory, and are thus equal.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Deref for Servers {
    type Target = BTreeMap<SocketAddr, ObservedServer>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Servers {
    fn deref_mut(&mut self) -> &mut Self::Target {
        Arc::make_mut(&mut self.0)
    }
}

impl FromIterator<(SocketAddr, ObservedServer)> for Servers {
    fn from_iter<I: IntoIterator<Item = (SocketAddr, ObservedServer)>>(servers: I) -> Self {
        Self(Arc::new(servers.into_iter().collect()))
    }
}

impl<'a> IntoIterator for &'a Servers {
    type Item = (&'a SocketAddr, &'a ObservedServer);
    type IntoIter = std::collections::btree_map::Iter<'a, SocketAddr, ObservedServer>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

/// A real server as read from the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedServer {
    /// The configured settings.
    pub settings: DestinationSettings,
    /// Connections in an established state.
    pub active: u32,
    /// All other connections, including those in `TIME_WAIT`.
    pub inactive: u32,
    /// Counters and rates; `None` if all are zero, or if they were not read.
    pub stats: Option<Box<Stats>>,
}

impl ObservedServer {
    /// Returns the counters and rates, or zeros.
    #[must_use]
    pub fn stats_or_zero(&self) -> Stats {
        self.stats.as_deref().copied().unwrap_or_default()
    }
}

impl From<Destination> for ObservedServer {
    fn from(destination: Destination) -> Self {
        Self {
            settings: destination.settings,
            active: destination.active_connections,
            inactive: destination.inactive_connections,
            stats: (destination.stats != Stats::default()).then(|| destination.stats.into()),
        }
    }
}

impl ObservedService {
    /// Combines a service with its real servers.
    pub fn new(service: Service, servers: impl IntoIterator<Item = Destination>) -> Self {
        Self {
            settings: service.settings,
            servers: servers.into_iter().map(|server| (server.address, server.into())).collect(),
            stats: service.stats,
        }
    }
}

impl Observed {
    /// Returns the service on a VIP, whoever owns it.
    #[must_use]
    pub fn service(&self, vip: &Vip) -> Option<&ObservedService> {
        self.services.get(&ServiceKey::from(*vip))
    }
}
