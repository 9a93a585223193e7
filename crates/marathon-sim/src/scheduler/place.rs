//! Placement of instances: the agent, its ports and the address.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::definition::{Network, Port, Spec};
use crate::store::Store;

/// Limit of tasks of an agent: a wrong `instances` must not fill the machine.
const MOST_TASKS: usize = 500;

/// The place of an instance.
pub(super) struct Place {
    pub(super) agent: usize,
    /// The host ports, by container, of the ports that have one.
    pub(super) ports: Vec<Vec<u16>>,
    /// The own address, on a bridge or a container network.
    pub(super) address: Option<Ipv4Addr>,
}

impl Store {
    /// Finds a place on the agent with the fewest instances of `spec`, then the fewest instances.
    /// None if no agent's offer fits; then the instance waits, as in Marathon. `only` is the agent
    /// of a reservation.
    pub(super) fn find_place(&mut self, spec: &Arc<Spec>, only: Option<usize>) -> Option<Place> {
        let mut order: Vec<(usize, usize, usize)> = (0..self.agents.len())
            .filter(|agent| only.is_none_or(|only| only == *agent))
            .map(|agent| {
                let here = self.instances.iter().filter(|instance| instance.agent == agent);
                let (same, all) = here.fold((0, 0), |(same, all), instance| {
                    (same + usize::from(instance.spec.id == spec.id), all + instance.tasks.len())
                });
                (same, all, agent)
            })
            .filter(|(same, all, _)| *all < MOST_TASKS && !(spec.unique_hosts && *same > 0))
            .collect();
        order.sort_unstable();
        order.into_iter().find_map(|(_, _, agent)| {
            let ports = self.assign_ports(agent, spec)?;
            Some(Place { agent, ports, address: self.assign_address(agent, &spec.network) })
        })
    }

    fn assign_ports(&mut self, agent: usize, spec: &Spec) -> Option<Vec<Vec<u16>>> {
        let here = self.instances.iter().filter(|instance| instance.agent == agent);
        let tasks = here.flat_map(|instance| &instance.tasks);
        let mut used: BTreeSet<u16> = tasks.flat_map(|task| &task.host_ports).copied().collect();
        let fixed = |port: &Port| port.host_port.filter(|port| *port != 0);
        for port in spec.containers.iter().flat_map(|c| &c.ports).filter_map(fixed) {
            if !used.insert(port) {
                return None;
            }
        }
        let range = self.agents[agent].ports.clone();
        let cursor = &mut self.port_cursors[agent];
        let mut any = || {
            let later = (*cursor..=*range.end()).chain(range.clone());
            let port = later.into_iter().find(|port| used.insert(*port))?;
            *cursor = if port == *range.end() { *range.start() } else { port + 1 };
            Some(port)
        };
        let one = |port: &Port| match port.host_port {
            None => None,
            Some(0) => Some(any()),
            fixed => Some(fixed),
        };
        let mut one = one;
        spec.containers.iter().map(|c| c.ports.iter().filter_map(&mut one).collect()).collect()
    }

    /// Assigns an address: 172.17.x.y on a bridge, one of the agent's subnet (or else 9.0.x.y) on a
    /// container network.
    fn assign_address(&mut self, agent: usize, network: &Network) -> Option<Ipv4Addr> {
        // The first two addresses are the network and its gateway.
        self.address_cursor = self.address_cursor % 60_000 + 1;
        let n = self.address_cursor + 1;
        let bridge = Ipv4Addr::new(172, 17, 0, 0);
        let unreachable = Ipv4Addr::new(9, 0, 0, 0);
        let subnet = self.agents[agent].subnet;
        match (network, subnet) {
            (Network::Host, _) => None,
            (Network::Bridge, _) => Some(Ipv4Addr::from(u32::from(bridge) + n)),
            (Network::Container(_), None) => Some(Ipv4Addr::from(u32::from(unreachable) + n)),
            (Network::Container(_), Some(subnet)) => {
                let used: BTreeSet<Ipv4Addr> =
                    self.instances.iter().filter_map(|instance| instance.address).collect();
                subnet.hosts().skip(1).find(|address| !used.contains(address))
            }
        }
    }
}
