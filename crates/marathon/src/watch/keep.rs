//! Facts of an instance that a read no longer tells and that still hold: a task keeps its
//! definition and its ports as long as it lives.

use std::sync::Arc;

use crate::{Health, Instance, InstanceSpec, Spec, TaskState};

/// Completes an instance from an earlier read of it. `spec` is the current definition of its
/// workload, `old` the definition at the earlier read.
pub(super) fn keep_known(instance: &mut Instance, spec: &Spec, before: &Instance, old: &Arc<Spec>) {
    if is_same_run(instance, before) {
        if instance.host.is_none() {
            instance.host.clone_from(&before.host);
        }
        keep_version(instance, spec, before, old);
        keep_endpoints(instance, spec, before, old);
        keep_spec(instance, before, old);
        keep_health(instance, before);
    }
    // Shares the memory of the id with those who hold the earlier read.
    instance.id.clone_from(&before.id);
}

/// Tells whether an instance still runs the same task. A pod instance, and a resident task of an
/// old Marathon, may be restarted: then it is being started, or started at another time or on
/// another host.
pub(super) fn is_same_run(instance: &Instance, before: &Instance) -> bool {
    let differs = |now: bool, same: bool| now && !same;
    let waits = matches!(instance.state, TaskState::Staging | TaskState::Starting);
    !instance.state.is_terminal()
        && !waits
        && !differs(instance.host.is_some(), instance.host == before.host)
        && !differs(instance.started.is_some(), instance.started == before.started)
        && !differs(instance.version.is_some(), instance.version == before.version)
}

/// Keeps the version. Marathon blanks version, times and ports of an inactive task, such as one
/// whose agent has been unreachable for a while (`TaskConversion.scala`).
fn keep_version(instance: &mut Instance, spec: &Spec, before: &Instance, old: &Arc<Spec>) {
    if instance.version.is_some() || before.version.is_none() {
        return;
    }
    instance.version = before.version;
    instance.started = before.started;
    instance.spec = match &before.spec {
        InstanceSpec::Current if old.differs_in_version_only(spec) => InstanceSpec::Current,
        InstanceSpec::Current => InstanceSpec::Older(Arc::clone(old)),
        other => other.clone(),
    };
    instance.endpoints.clone_from(&before.endpoints);
    instance.port_health.clone_from(&before.port_health);
    // The read has evaluated the health checks of another definition.
    if instance.health != Health::Down {
        instance.health = before.health;
    }
}

/// Keeps the ports that were known and are missing from this read.
fn keep_endpoints(instance: &mut Instance, spec: &Spec, before: &Instance, old: &Spec) {
    let own = instance.spec.or_current(spec).map(|spec| &spec.ports);
    if own.is_none() || own != before.spec.or_current(old).map(|spec| &spec.ports) {
        return;
    }
    for (endpoint, before) in instance.endpoints.iter_mut().zip(&before.endpoints) {
        if endpoint.is_err() && before.is_ok() {
            endpoint.clone_from(before);
        }
    }
}

/// Keeps the definition. Without its version record the ports of a task are unknown, but they were
/// known while its version was the current one.
fn keep_spec(instance: &mut Instance, before: &Instance, old: &Arc<Spec>) {
    let unknown = matches!(instance.spec, InstanceSpec::Unknown(_) | InstanceSpec::Gone(_));
    let is_same = instance.version == before.version && instance.host == before.host;
    if !unknown || instance.version.is_none() || !is_same {
        return;
    }
    instance.spec = match &before.spec {
        InstanceSpec::Current => InstanceSpec::Older(Arc::clone(old)),
        InstanceSpec::Older(spec) => InstanceSpec::Older(Arc::clone(spec)),
        InstanceSpec::Unknown(_) | InstanceSpec::Gone(_) => return,
    };
    instance.endpoints.clone_from(&before.endpoints);
    instance.port_health.clone_from(&before.port_health);
    if before.health == Health::NoChecks {
        instance.health = Health::NoChecks;
    }
}

/// Keeps the health, which Marathon forgets at a change of leader.
fn keep_health(instance: &mut Instance, before: &Instance) {
    if instance.health == Health::Unknown {
        instance.health = before.health;
    }
    if instance.port_health.len() == before.port_health.len() {
        for (health, before) in instance.port_health.iter_mut().zip(&before.port_health) {
            if *health == Health::Unknown {
                *health = *before;
            }
        }
    }
}
