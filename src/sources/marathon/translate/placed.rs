//! The instances of a workload with their agents, grouped by the definition that they run.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use marathon::{Instance, InstanceSpec, Spec, Timestamp, Workload};

use super::run_time::RunTime;
use crate::sources::hosts::{Addresses, Hosts};

/// An instance, with the addresses of its agent.
pub(super) struct PlacedInstance<'a> {
    pub(super) instance: &'a Instance,
    /// `None`: it has no agent, or the agent was not looked up.
    pub(super) agent: Option<&'a Addresses>,
}

impl<'a> PlacedInstance<'a> {
    pub(super) fn new(instance: &'a Instance, hosts: &'a Hosts) -> Self {
        Self { instance, agent: instance.host.as_ref().and_then(|host| hosts.get(&**host)) }
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = &'a IpAddr> + use<'a> {
        self.agent.into_iter().flatten().flat_map(|addresses| &**addresses)
    }

    /// The time until its health checks should have reported; zero if they should have by now.
    pub(super) fn settles_in(&self, spec: &Spec, run_time: RunTime<'_>) -> Option<Duration> {
        Some(spec.settling?.saturating_sub(run_time(self.instance)?))
    }
}

/// The number of definitions of one version that a further one is compared with.
const MOST_COMPARED: usize = 4;

/// Groups instances by definition: first the current one, then each earlier one that tasks still run.
/// The flag is set for the earlier ones.
pub(super) fn group_by_spec<'a>(
    workload: &'a Workload,
    instances: &'a [PlacedInstance<'a>],
) -> Vec<(&'a Spec, Vec<&'a PlacedInstance<'a>>, bool)> {
    let by_current = |placed: &&PlacedInstance<'_>| placed.instance.spec == InstanceSpec::Current;
    let current: Vec<_> = instances.iter().filter(by_current).collect();
    let mut versions = vec![(&*workload.spec, current, false)];
    // The places of the definitions of a version: one, unless Marathon contradicts itself.
    let mut places: HashMap<Option<Timestamp>, Vec<usize>> = HashMap::new();
    for placed in instances.iter().filter(|placed| !placed.instance.state.is_terminal()) {
        let InstanceSpec::Older(spec) = &placed.instance.spec else { continue };
        let spec: &Spec = Arc::as_ref(spec);
        let same = places.entry(spec.version).or_default();
        // Most instances share one, which is not compared then: it may be large.
        let shared = same.iter().find(|place| std::ptr::eq(versions[**place].0, spec));
        let equal = || same.iter().take(MOST_COMPARED).find(|place| versions[**place].0 == spec);
        match shared.or_else(equal) {
            Some(place) => versions[*place].1.push(placed),
            None => {
                same.push(versions.len());
                versions.push((spec, vec![placed], true));
            }
        }
    }
    versions
}
