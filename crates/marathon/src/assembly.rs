use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{Endpoint, Instance, InstanceSpec, Kind, Records, Timestamp, VersionKey};

/// Ports times instances that a snapshot may have: many times what a large cluster has. A small
/// document could claim far more, since each of its instances has every port.
const MAX_ENDPOINTS: usize = 4_000_000;

/// What putting a snapshot together draws on.
#[derive(Debug)]
pub(crate) struct Assembly<'a> {
    records: &'a Records,
    /// Endpoints that may still be made; None once there were too many.
    room: Option<usize>,
    /// The names of agents, and the addresses behind their ports: few, and told with every task.
    names: BTreeSet<Arc<str>>,
    behind: BTreeSet<Arc<[IpAddr]>>,
}

impl<'a> Assembly<'a> {
    pub(crate) fn new(records: &'a Records) -> Self {
        let (names, behind) = Default::default();
        Self { records, room: Some(MAX_ENDPOINTS), names, behind }
    }

    /// The earlier definition that something runs by.
    pub(crate) fn spec_of(&self, kind: Kind, id: &str, version: Timestamp) -> InstanceSpec {
        self.records.spec_of(&VersionKey { kind, id: id.into(), version })
    }

    /// Makes the instances of one workload; None where there would be too many endpoints.
    pub(crate) fn instances<T>(
        &mut self,
        listed: &[T],
        make: impl Fn(&T, &Self) -> Option<Instance>,
    ) -> Option<Vec<Instance>> {
        let mut instances = Vec::with_capacity(listed.len());
        for listed in listed {
            let Some(mut instance) = make(listed, self) else { continue };
            self.room = self.room?.checked_sub(instance.endpoints.len());
            self.room?;
            self.share(&mut instance);
            instances.push(instance);
        }
        Some(instances)
    }

    /// Lets instances hold what they have in common in one memory.
    fn share(&mut self, instance: &mut Instance) {
        instance.host.iter_mut().for_each(|host| share(&mut self.names, host));
        for endpoint in instance.endpoints.iter_mut().flatten() {
            let Endpoint::Host { host, behind, .. } = endpoint else { continue };
            share(&mut self.names, host);
            behind.iter_mut().for_each(|each| share(&mut self.behind, &mut each.addresses));
        }
    }
}

fn share<T: Ord + Clone>(known: &mut BTreeSet<T>, value: &mut T) {
    match known.get(value) {
        Some(same) => value.clone_from(same),
        None => drop(known.insert(value.clone())),
    }
}
