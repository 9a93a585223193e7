//! The servers that are left when one goes.
//!
//! Each labelled port of an instance may be a real server of a VIP. Others stand in for it if they
//! have the same labels on their ports, so an instance of another version does unless its VIPs
//! differ.

use crate::{Health, Instance, Spec, TaskState, Workload};

/// The use of an instance at one of its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It takes traffic.
    Sure,
    /// It may take traffic: its health is unknown, or it isn't ready yet.
    Unsure,
    /// It takes traffic only if no other does.
    LastResort,
}

/// Returns how many servers are left without this one, at the port where they are fewest. None: it
/// is no server.
pub(super) fn spare_servers(workload: &Workload, index: usize) -> Option<usize> {
    let own = &workload.instances[index];
    let spec = workload.spec_of(own)?;
    let others = workload.instances.iter().enumerate().filter(|(other, instance)| {
        *other != index
            && workload.spec_of(instance).is_some_and(|other| has_same_labels(spec, other))
    });
    let others: Vec<_> = others.map(|(_, instance)| instance).collect();
    let labelled = (0..spec.ports.len()).filter(|port| !spec.ports[*port].labels.is_empty());
    labelled.filter_map(|port| servers_left(own, &others, port)).min()
}

fn servers_left(own: &Instance, others: &[&Instance], port: usize) -> Option<usize> {
    let own = find_use(own, port)?;
    let uses = others.iter().filter_map(|other| find_use(other, port));
    let (sure, rest) = uses.fold((0, 0), |(sure, rest), other| match other {
        Use::Sure => (sure + 1, rest),
        Use::Unsure | Use::LastResort => (sure, rest + 1),
    });
    match own {
        Use::Sure => Some(sure),
        Use::LastResort if sure > 0 => None,
        Use::Unsure if sure > 0 => Some(sure),
        Use::Unsure | Use::LastResort => Some(rest),
    }
}

/// Returns the use of an instance at a port; None if it is no server. One that a deployment has
/// started and that isn't ready can't replace another.
fn find_use(instance: &Instance, port: usize) -> Option<Use> {
    instance.endpoints.get(port)?.as_ref().ok()?;
    match (&instance.state, instance.health_of(port)) {
        (TaskState::Running, Health::Up | Health::NoChecks) if instance.ready => Some(Use::Sure),
        (TaskState::Running, Health::Down) | (TaskState::Unreachable, _) => Some(Use::LastResort),
        (TaskState::Running, _) => Some(Use::Unsure),
        _ => None,
    }
}

fn has_same_labels(one: &Spec, other: &Spec) -> bool {
    let (ports, others) = (one.ports.iter(), other.ports.iter());
    std::ptr::eq(one, other) || ports.map(|port| &port.labels).eq(others.map(|port| &port.labels))
}
