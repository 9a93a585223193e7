//! The names of an app's running tasks.

use std::collections::BTreeSet;
use std::net::IpAddr;

use marathon::{Endpoint, Health, Instance, Kind, NetworkMode, TaskState, Workload};
use vip::naming::{RunningTask, TaskNetwork, TaskRecord, name_tasks};

use super::Naming;
use super::placed::PlacedInstance;
use crate::sources::hosts::Hosts;

/// Names the running tasks of an app, if that is wanted. A pod has no names: Mesos calls its tasks by
/// the names of its containers.
#[must_use]
pub fn workload_task_names(
    workload: &Workload,
    hosts: &Hosts,
    naming: Naming<'_>,
) -> BTreeSet<TaskRecord> {
    let (Some(zone), Some(framework), Kind::App) =
        (naming.task_zone, naming.framework, workload.kind)
    else {
        return BTreeSet::new();
    };
    let running = |instance: &&Instance| instance.state == TaskState::Running;
    let instances = workload.instances.iter().filter(running);
    let tasks: Vec<_> = instances
        .map(|instance| RunningTask {
            agent: first_of_each_family(PlacedInstance::new(instance, hosts).addresses()),
            network: network_of(workload, instance),
            is_unhealthy: instance.health == Health::Down,
        })
        .collect();
    name_tasks(&workload.id, framework, zone, &tasks)
}

/// Marathon lists the addresses of a task with its ports. One without ports has none that are known.
fn network_of(workload: &Workload, instance: &Instance) -> TaskNetwork {
    match workload.spec_of(instance).map(|spec| &spec.network) {
        None | Some(NetworkMode::Other(_)) => TaskNetwork::Unknown,
        Some(NetworkMode::Host) => TaskNetwork::Agent,
        Some(NetworkMode::Bridge | NetworkMode::Container { .. }) => {
            let (mut addresses, mut is_mapped) = (BTreeSet::new(), false);
            for endpoint in instance.endpoints.iter().flatten() {
                match endpoint {
                    Endpoint::Container { addresses: own, .. } => addresses.extend(&**own),
                    Endpoint::Host { behind, .. } => {
                        is_mapped = true;
                        let own = behind.iter().flat_map(|behind| &*behind.addresses);
                        addresses.extend(own);
                    }
                }
            }
            TaskNetwork::Own { addresses, is_mapped }
        }
    }
}

/// Of several addresses of an agent, the first of each family is the one that real servers have, too.
fn first_of_each_family<'a>(addresses: impl Iterator<Item = &'a IpAddr>) -> BTreeSet<IpAddr> {
    let (mut v4, mut v6) = (None, None);
    for address in addresses {
        let first = if address.is_ipv4() { &mut v4 } else { &mut v6 };
        first.get_or_insert(*address);
    }
    v4.into_iter().chain(v6).collect()
}
