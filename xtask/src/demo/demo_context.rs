//! The state that the steps share: the agents, the clients and the kernels' tables.

use std::time::{Duration, SystemTime};

use anstream::println;
use anyhow::{Context, Result, ensure};

use super::agents::Agents;
use super::clients::{Client, Count};
use super::name_server::NameServer;
use super::table::{Servers, Table, await_tables};
use super::topology::{CONTAINER, NODES};

/// The VIP that the clients connect to.
pub(super) const VIP: &str = "3.3.0.7:80";

/// The agents, clients and tables that the steps share.
#[derive(Debug, Default)]
pub(super) struct DemoContext {
    pub(super) agents: Agents,
    pub(super) name_servers: Vec<NameServer>,
    clients: Vec<(Client, Count)>,
    tables: Vec<Table>,
}

/// The time at which each node's kernel reached a state.
#[derive(Debug)]
pub(super) struct Seen(Vec<SystemTime>);

impl DemoContext {
    /// Starts a client on a node, on another one, and in the container.
    pub(super) fn start_clients(&mut self) -> Result<()> {
        for at in [NODES[0].0, NODES[2].0, CONTAINER] {
            self.clients.push((Client::start(at, VIP)?, Count::default()));
        }
        Ok(())
    }

    /// Stops the clients.
    pub(super) fn stop_clients(&mut self) {
        self.clients.clear();
    }

    /// Returns each client's connections since this was called last.
    pub(super) fn take_counts(&mut self) -> Result<Vec<(&'static str, Count)>> {
        let mut counts = Vec::new();
        for (client, before) in &mut self.clients {
            let now = client.read_count()?;
            let failed = now.failed[before.failed.len()..].to_vec();
            let took = now.took[before.took.len()..].to_vec();
            counts.push((client.at, Count { took, failed }));
            *before = now;
        }
        Ok(counts)
    }

    /// Prints the connections since the last count. A failed one is an error.
    pub(super) fn check_none_failed(&mut self) -> Result<()> {
        let counts = self.take_counts()?;
        for (at, Count { took, failed }) in &counts {
            println!("    {at}: {} connections, {} failed", took.len(), failed.len());
        }
        let failed = counts.iter().flat_map(|(_, count)| &count.failed).next();
        ensure!(failed.is_none(), "a connection failed: {failed:?}");
        ensure!(
            counts.iter().all(|(_, count)| !count.took.is_empty()),
            "a client made no connection"
        );
        Ok(())
    }

    /// Waits until every node's kernel has such real servers, looking once every `pause`.
    pub(super) fn await_kernels(
        &mut self,
        pause: Duration,
        is_so: impl Fn(&Servers) -> bool,
    ) -> Result<Seen> {
        self.await_first_kernels(NODES.len(), VIP, pause, is_so)
    }

    /// Waits until the kernels of the first nodes have such real servers of a VIP.
    pub(super) fn await_first_kernels(
        &mut self,
        nodes: usize,
        vip: &str,
        pause: Duration,
        is_so: impl Fn(&Servers) -> bool,
    ) -> Result<Seen> {
        if self.tables.is_empty() {
            let first = |node: &str| self.agents.process_of(node).and_then(Table::seen_by);
            self.tables = NODES.iter().map(|(node, _)| first(node)).collect::<Result<_>>()?;
        }
        let tables = self.tables.get_mut(..nodes).context("there are not so many nodes")?;
        Ok(Seen(await_tables(tables, vip, pause, is_so)?))
    }
}

impl Seen {
    /// Prints each node's delay from `since`.
    pub(super) fn print_delays(&self, what: &str, since: SystemTime) {
        let times = NODES.iter().zip(&self.0).map(|((node, _), at)| {
            let after = at.duration_since(since).unwrap_or_default();
            format!("{node} {:.1} ms", after.as_secs_f64() * 1000.0)
        });
        println!("    {what}: {}", times.collect::<Vec<_>>().join(", "));
    }

    /// Returns the time for a client's node; for the container, the time for its host.
    pub(super) fn seen_at(&self, client: &str) -> Result<SystemTime> {
        let host = if client == CONTAINER { super::topology::CONTAINER_HOST } else { client };
        let index = NODES.iter().position(|(node, _)| *node == host);
        let at = index.and_then(|index| self.0.get(index)).context("no such node")?;
        Ok(*at)
    }
}
