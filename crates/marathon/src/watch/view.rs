//! Changes to a workload that somebody else may hold too, such as the mirror of a relay: it is copied
//! only if something really changes.

use std::sync::Arc;

use super::keep::keep_known;
use crate::{Instance, Spec, Time, Workload};

/// Brings a workload into the form of a view, and takes out the `last_success` of each instance. One
/// that has the form already, such as a relay's, stays shared.
pub(super) fn sort_workload(workload: &mut Arc<Workload>, successes: &mut Vec<Option<Time>>) {
    let instances = &workload.instances;
    let is_sorted = instances.is_sorted_by(|a, b| a.id < b.id);
    let is_view = workload.path == "$"
        && is_sorted
        && instances.iter().all(|instance| instance.last_success.is_none());
    if is_view {
        return successes.resize(instances.len(), None);
    }
    let workload = Arc::make_mut(workload);
    "$".clone_into(&mut workload.path);
    workload.instances.sort_by(|a, b| a.id.cmp(&b.id));
    workload.instances.dedup_by(|a, b| a.id == b.id);
    let instances = workload.instances.iter_mut();
    successes.extend(instances.map(|instance| instance.last_success.take()));
}

/// Completes an instance from an earlier read. A workload that others hold is copied only if that
/// changes something.
pub(super) fn complete_instance(
    view: &mut Arc<Workload>,
    index: usize,
    before: &Instance,
    old: &Arc<Spec>,
) {
    if let Some(view) = Arc::get_mut(view) {
        return keep_known(&mut view.instances[index], &view.spec, before, old);
    }
    let mut completed = view.instances[index].clone();
    keep_known(&mut completed, &view.spec, before, old);
    if completed != view.instances[index] {
        Arc::make_mut(view).instances[index] = completed;
    }
}
