//! The kernel's state as one reading found it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use nl_ipvs::{
    Destination, DestinationSettings, Service, ServiceKey, ServiceSettings, Stats, Timeouts,
};

use crate::facts::NodeFacts;
use crate::{Firewall, Nft, Vip};

/// What one reading of the kernel found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Observed {
    /// Every virtual service of the table, ours and others'.
    pub services: BTreeMap<ServiceKey, ObservedService>,
    /// Our interface.
    pub link: Link,
    /// The addresses on our interface, IPv6 link-local ones left out.
    pub addresses: BTreeMap<IpAddr, Bound>,
    /// After how long connections are forgotten.
    pub timeouts: Timeouts,
    /// Our tables of nftables.
    pub nft: Nft,
    /// The node's own firewall, as far as packets of VIPs meet it.
    pub firewall: Arc<Firewall>,
    /// What else is known of the node.
    pub node: NodeFacts,
}

/// Our dummy interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// There is none.
    #[default]
    Missing,
    /// There is, and it is down.
    Down,
    /// There is, and it is up.
    Up,
}

/// How an address is bound on our interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bound {
    /// The source address of the node's own connections to it (`src` of its local route), when
    /// that isn't the address itself. Only where there is no nftables NAT. The unspecified
    /// address stands for a local route that is missing: never wanted, so it is put back.
    pub source: Option<IpAddr>,
}

/// A virtual service as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    /// What was set.
    pub settings: ServiceSettings,
    /// Its real servers. Read for services that are ours or may be; else empty.
    pub servers: Servers,
    /// Counters and rates.
    pub stats: Stats,
}

/// Real servers by address. A copy is the same memory until one of the two is changed: most of a
/// table stays as it is from one reading to the next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Servers(Arc<BTreeMap<SocketAddr, ObservedServer>>);

impl Servers {
    /// Whether they are in the same memory, and so the same.
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

/// A real server as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedServer {
    /// What was set.
    pub settings: DestinationSettings,
    /// Connections in an established state.
    pub active: u32,
    /// All others, those in `TIME_WAIT` among them.
    pub inactive: u32,
    /// Counters and rates. `None`: nothing was counted yet, or they were not asked for.
    pub stats: Option<Box<Stats>>,
}

impl ObservedServer {
    /// Its counters and rates, zeros where there are none.
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
    /// A service with its real servers.
    pub fn new(service: Service, servers: impl IntoIterator<Item = Destination>) -> Self {
        Self {
            settings: service.settings,
            servers: servers.into_iter().map(|server| (server.address, server.into())).collect(),
            stats: service.stats,
        }
    }
}

impl Observed {
    /// The service on a VIP, whoever owns it.
    #[must_use]
    pub fn service(&self, vip: &Vip) -> Option<&ObservedService> {
        self.services.get(&ServiceKey::from(*vip))
    }
}
