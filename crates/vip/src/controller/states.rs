//! The time since which each VIP has been in its state.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::plan::Conflict;
use crate::{DesiredService, KernelMatch, TaskCounts, Vip, VipState};

/// The state of each VIP once its latest decision is in the kernel, and since when.
#[derive(Debug, Default)]
pub(crate) struct States(BTreeMap<Vip, (VipState, Duration)>);

impl States {
    /// Returns all of them.
    pub(super) fn all(&self) -> &BTreeMap<Vip, (VipState, Duration)> {
        &self.0
    }

    /// Notes the states that follow from the latest decision about these addresses.
    pub(super) fn note_decision(
        &mut self,
        addresses: &BTreeSet<IpAddr>,
        services: &BTreeMap<Vip, DesiredService>,
        conflicts: &BTreeMap<Vip, Conflict>,
        now: Duration,
    ) {
        for address in addresses {
            let known = self.0.range(Vip::all_on(*address)).map(|(vip, _)| *vip);
            let gone = known.filter(|vip| !services.contains_key(vip));
            for vip in gone.collect::<Vec<_>>() {
                self.0.remove(&vip);
            }
            for (vip, service) in services.range(Vip::all_on(*address)) {
                let tasks = TaskCounts::of_service(service);
                let has_conflict = conflicts.contains_key(vip);
                let kernel = KernelMatch::default();
                let state = tasks.find_state(kernel, has_conflict, service.suspended);
                let entry = self.0.entry(*vip).or_insert((state, now));
                if entry.0 != state {
                    *entry = (state, now);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_begins_when_it_changes_and_ends_with_the_vip() {
        let vip = Vip {
            address: [3, 3, 0, 6].into(),
            port: std::num::NonZeroU16::MIN,
            protocol: crate::Protocol::Tcp,
        };
        let at = Duration::from_secs;
        let addresses = [vip.address].into();
        let mut states = States::default();
        let mut note = |suspended: Option<bool>, now| {
            let service = suspended
                .map(|suspended| DesiredService { suspended, ..DesiredService::default() });
            let services = service.map(|service| (vip, service)).into_iter().collect();
            states.note_decision(&addresses, &services, &BTreeMap::new(), at(now));
            states.all().get(&vip).copied()
        };
        assert_eq!(note(Some(false), 1), Some((VipState::Refusing, at(1))));
        assert_eq!(note(Some(false), 2), Some((VipState::Refusing, at(1))));
        assert_eq!(note(Some(true), 3), Some((VipState::Suspended, at(3))));
        assert_eq!(note(None, 4), None);
    }
}
