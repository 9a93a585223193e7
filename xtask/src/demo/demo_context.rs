//! What the steps have in common: the agents, the clients, and the kernels they are held to.

use std::time::{Duration, SystemTime};

use anstream::println;
use anyhow::{Context, Result, ensure};

use super::agents::Agents;
use super::clients::{Client, Count};
use super::table::{Servers, Table, await_tables};
use super::topology::{CONTAINER, NODES};

/// The VIP that the clients connect to.
pub(super) const VIP: &str = "3.3.0.7:80";

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct DemoContext {
    pub(super) agents: Agents,
    clients: Vec<(Client, Count)>,
    tables: Vec<Table>,
}

/// When each node's kernel got to be so.
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

    /// Stops them.
    pub(super) fn stop_clients(&mut self) {
        self.clients.clear();
    }

    /// Connections since the last step that counted them.
    pub(super) fn take_counts(&mut self) -> Result<Vec<(&'static str, Count)>> {
        let mut counts = Vec::new();
        for (client, before) in &mut self.clients {
            let now = client.read_count()?;
            let failed = now.failed[before.failed.len()..].to_vec();
            counts.push((client.at, Count { done: now.done - before.done, failed }));
            *before = now;
        }
        Ok(counts)
    }

    /// Prints the connections since the last count, of which none may have failed.
    pub(super) fn check_none_failed(&mut self) -> Result<()> {
        let counts = self.take_counts()?;
        for (at, Count { done, failed }) in &counts {
            println!("    {at}: {done} connections, {} failed", failed.len());
        }
        let failed = counts.iter().flat_map(|(_, count)| &count.failed).next();
        ensure!(failed.is_none(), "a connection failed: {failed:?}");
        ensure!(counts.iter().all(|(_, count)| count.done > 0), "a client made no connection");
        Ok(())
    }

    /// Waits until every node's kernel is so, and looks that often.
    pub(super) fn await_kernels(
        &mut self,
        pause: Duration,
        is_so: impl Fn(&Servers) -> bool,
    ) -> Result<Seen> {
        if self.tables.is_empty() {
            let first = |node: &str| self.agents.process_of(node).and_then(Table::seen_by);
            self.tables = NODES.iter().map(|(node, _)| first(node)).collect::<Result<_>>()?;
        }
        Ok(Seen(await_tables(&mut self.tables, VIP, pause, is_so)?))
    }
}

impl Seen {
    /// Prints how long each node took since then.
    pub(super) fn print_delays(&self, what: &str, since: SystemTime) {
        let times = NODES.iter().zip(&self.0).map(|((node, _), at)| {
            let after = at.duration_since(since).unwrap_or_default();
            format!("{node} {:.1} ms", after.as_secs_f64() * 1000.0)
        });
        println!("    {what}: {}", times.collect::<Vec<_>>().join(", "));
    }

    /// When the client's node got to be so; for the container it is the node that it is on.
    pub(super) fn seen_at(&self, client: &str) -> Result<SystemTime> {
        let host = if client == CONTAINER { super::topology::CONTAINER_HOST } else { client };
        let index = NODES.iter().position(|(node, _)| *node == host);
        let at = index.and_then(|index| self.0.get(index)).context("no such node")?;
        Ok(*at)
    }
}
