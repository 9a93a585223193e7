//! Instances that stay although a read lacks them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::loss::Part;
use super::place::Place;
use crate::watch::known::KnownWorkload;
use crate::{Health, Instance, InstanceSpec, TaskState, Workload};

/// Adds to a workload, as a read lists it, the real servers that it lacks, and returns these. None
/// stays once a new task of the workload serves instead, and none whose place in `taken` belongs to
/// another task.
pub(in crate::watch) fn keep_unlisted(
    listed: &mut Workload,
    known: &KnownWorkload,
    taken: &BTreeSet<Place>,
    is_new: impl Fn(&Arc<str>) -> bool,
) -> BTreeSet<Part> {
    let mut servers = listed.instances.iter().filter(|instance| is_serving(instance));
    if servers.any(|instance| is_new(&instance.id)) {
        return BTreeSet::new();
    }
    let view = &known.view;
    let ids: BTreeSet<_> = listed.instances.iter().map(|instance| &instance.id).collect();
    let is_free = |place: &Place| !taken.contains(place);
    let stays = view.instances.iter().filter(|instance| {
        known.is_in_use(instance)
            && !ids.contains(&instance.id)
            && Place::of_instance(instance).iter().all(is_free)
    });
    let mut stays: Vec<_> = stays.cloned().collect();
    for instance in &mut stays {
        if instance.spec == InstanceSpec::Current && view.spec != listed.spec {
            instance.spec = InstanceSpec::Older(Arc::clone(&view.spec));
        }
    }
    let key = listed.key();
    let parts = stays.iter().map(|instance| (key.clone(), Some(Arc::clone(&instance.id))));
    let parts = parts.collect();
    listed.instances.extend(stays);
    parts
}

/// Tells whether an instance takes traffic for certain.
fn is_serving(instance: &Instance) -> bool {
    let is_well = matches!(instance.health, Health::Up | Health::NoChecks);
    instance.state == TaskState::Running && instance.ready && is_well
}
