//! Interning of values that many instances share: a cluster has few agents and many tasks.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{Endpoint, Instance, Workload};

/// The values that instances share.
#[derive(Debug, Clone, Default)]
pub struct Interner {
    /// Host names of agents.
    agents: BTreeSet<Arc<str>>,
    /// Addresses of containers behind ports of their agents.
    behind: BTreeSet<Arc<[IpAddr]>>,
    /// The number of values at which those that nobody uses are dropped.
    limit: usize,
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

    /// Interns all instances of a workload that comes from elsewhere than a Marathon, such as a file,
    /// and shrinks its lists.
    pub fn intern_workload(&mut self, workload: &mut Workload) {
        workload.instances.shrink_to_fit();
        if let Some(spec) = Arc::get_mut(&mut workload.spec) {
            spec.shrink_to_fit();
        }
        for instance in &mut workload.instances {
            self.intern_instance(instance);
        }
        self.drop_unused();
    }

    /// Drops the values that nobody uses, once there are twice as many as were in use the last time:
    /// hosts come and go.
    fn drop_unused(&mut self) {
        if self.agents.len() + self.behind.len() > self.limit {
            self.agents.retain(|value| Arc::strong_count(value) > 1);
            self.behind.retain(|value| Arc::strong_count(value) > 1);
            self.limit = 64 + 2 * (self.agents.len() + self.behind.len());
        }
    }
}

fn intern_value<T: Ord + Clone>(known: &mut BTreeSet<T>, value: &mut T) {
    match known.get(value) {
        Some(same) => value.clone_from(same),
        None => drop(known.insert(value.clone())),
    }
}
