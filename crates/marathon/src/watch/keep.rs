//! What a read doesn't say of an instance any more, and what was known before still holds: a
//! task runs by one definition and has the same ports for as long as it lives.

use std::sync::Arc;

use crate::{Health, Instance, InstanceSpec, Spec, TaskState};

/// Fills in what was known before of the same instance. `spec` is the definition of its workload
/// now, `old` the one before.
pub(super) fn keep_known(instance: &mut Instance, spec: &Spec, before: &Instance, old: &Arc<Spec>) {
    if is_same_run(instance, before) {
        if instance.host.is_none() {
            instance.host.clone_from(&before.host);
        }
        keep_version(instance, spec, before, old);
        keep_endpoints(instance, spec, before, old);
    }
    keep_spec(instance, before, old);
    keep_health(instance, before);
    // In the memory that whoever was told of it before holds already.
    instance.id.clone_from(&before.id);
}

/// A pod's instance may have had other tasks before, and so may the resident task of an old
/// Marathon: one that is being started, that started at another time or elsewhere is another.
fn is_same_run(instance: &Instance, before: &Instance) -> bool {
    let differs = |now: bool, same: bool| now && !same;
    let waits = matches!(instance.state, TaskState::Staging | TaskState::Starting);
    !instance.state.is_terminal()
        && !waits
        && !differs(instance.host.is_some(), instance.host == before.host)
        && !differs(instance.started.is_some(), instance.started == before.started)
        && !differs(instance.version.is_some(), instance.version == before.version)
}

/// Marathon blanks version, times and ports of a task that isn't active, as one is whose agent has
/// been out of reach for a while (`TaskConversion.scala`).
fn keep_version(instance: &mut Instance, spec: &Spec, before: &Instance, old: &Arc<Spec>) {
    if instance.version.is_some() || before.version.is_none() {
        return;
    }
    instance.version = before.version;
    instance.started = before.started;
    instance.spec = match &before.spec {
        InstanceSpec::Current if differs_in_version_only(old, spec) => InstanceSpec::Current,
        InstanceSpec::Current => InstanceSpec::Older(Arc::clone(old)),
        other => other.clone(),
    };
    instance.endpoints.clone_from(&before.endpoints);
    instance.port_health.clone_from(&before.port_health);
    // It was judged by the checks of another definition.
    if instance.health != Health::Down {
        instance.health = before.health;
    }
}

/// They differ in nothing but their versions.
fn differs_in_version_only(old: &Spec, new: &Spec) -> bool {
    Spec { version: new.version, ..old.clone() } == *new
}

/// Ports that were known and are missing from this answer.
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

/// Without the record of its version nothing can be said of a task's ports, but they were known
/// when its version was the current one, and a task doesn't change.
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

/// Marathon forgets what it knew at a change of leader. That is no reason to forget it here.
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
