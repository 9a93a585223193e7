//! Interning of values that many instances share: a cluster has few agents and many tasks.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{Endpoint, Instance, Workload};

#[derive(Debug, Default)]
pub(crate) struct Interner {
    /// Host names of agents.
    agents: BTreeSet<Arc<str>>,
    /// Addresses of containers behind ports of their agents.
    behind: BTreeSet<Arc<[IpAddr]>>,
}

impl Interner {
    /// Replaces the values of an instance by equal ones that are held already.
    pub(crate) fn intern_instance(&mut self, instance: &mut Instance) {
        instance.host.iter_mut().for_each(|host| intern_value(&mut self.agents, host));
        for endpoint in instance.endpoints.iter_mut().flatten() {
            let Endpoint::Host { behind, .. } = endpoint else { continue };
            behind.iter_mut().for_each(|each| intern_value(&mut self.behind, &mut each.addresses));
        }
    }

    /// Interns all instances of a workload that was restored from disk, and shrinks its lists.
    pub(crate) fn intern_workload(&mut self, workload: &mut Workload) {
        workload.instances.shrink_to_fit();
        for instance in &mut workload.instances {
            self.intern_instance(instance);
        }
    }
}

fn intern_value<T: Ord + Clone>(known: &mut BTreeSet<T>, value: &mut T) {
    match known.get(value) {
        Some(same) => value.clone_from(same),
        None => drop(known.insert(value.clone())),
    }
}
