//! Places: a port of an agent, or of a task's own address there. Only one task at a time has one.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{Endpoint, Instance, TaskState};

/// A place where a task listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A port of an agent.
    Agent(Arc<str>, u16),
    /// A port of the task's own address on an agent. Agents may use the same addresses.
    Task(Arc<str>, IpAddr, u16),
}

impl Place {
    /// Lists the places of an instance.
    pub(in crate::watch) fn of_instance(instance: &Instance) -> Vec<Self> {
        let Some(host) = &instance.host else { return Vec::new() };
        let mut places = Vec::new();
        for endpoint in instance.endpoints.iter().flatten() {
            match endpoint {
                Endpoint::Host { port, .. } => places.push(Self::Agent(host.clone(), *port)),
                Endpoint::Container { addresses, port } => {
                    let own = |address: &IpAddr| Self::Task(host.clone(), *address, *port);
                    places.extend(addresses.iter().map(own));
                }
            }
        }
        places
    }
}

/// Collects the places that belong to these instances for certain.
pub(in crate::watch) fn claimed_places<'a>(
    instances: impl Iterator<Item = &'a Instance>,
) -> BTreeSet<Place> {
    let holds = |instance: &&Instance| {
        matches!(instance.state, TaskState::Staging | TaskState::Starting | TaskState::Running)
    };
    instances.filter(holds).flat_map(Place::of_instance).collect()
}
