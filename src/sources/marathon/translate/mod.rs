//! The translation from Marathon's snapshot to claims. Pure, and the only module that knows both
//! sides.

mod app_id;
mod app_labels;
mod naming;
mod placed;
mod port;
mod quota;
mod run_time;
mod task_names;
mod translation;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use marathon::{Endpoint, Instance, InstanceSpec, Labels, Snapshot, Timestamp, Workload};
use vip::label::{Key, VipRef, classify_key, is_valid_option};

use crate::sources::facts::NO_FRAMEWORK;
use crate::sources::hosts::Hosts;
pub use app_id::app_id;
use app_labels::{report_bad_options, report_stray_labels, report_unused_port_labels};
pub use naming::Naming;
use placed::{PlacedInstance, group_by_spec};
use port::PortReader;
pub(super) use quota::cap_reports;
use quota::{Quota, report_capped_labels};
pub use run_time::{RunTime, run_time_at};
pub use task_names::workload_task_names;
pub use translation::Translation;

/// Lists the host names whose addresses [`translate_snapshot`] needs.
#[must_use]
pub fn snapshot_hosts(snapshot: &Snapshot) -> HashSet<&str> {
    snapshot
        .workloads
        .iter()
        .flat_map(|workload| workload_hosts(workload))
        .map(|host| &**host)
        .collect()
}

/// Lists the host names whose addresses [`translate_workload`] needs, with duplicates: the agent of
/// each task, even of tasks with addresses of their own, since no VIP may be an agent's address.
pub fn workload_hosts(workload: &Workload) -> impl Iterator<Item = &Arc<str>> {
    let agents = workload.instances.iter().filter_map(|instance| instance.host.as_ref());
    agents.filter(|host| !host.is_empty())
}

/// Translates every VIP label of a snapshot. `now`, by Marathon's clock, decides whether a task's
/// health checks should have reported.
#[must_use]
pub fn translate_snapshot(
    snapshot: &Snapshot,
    hosts: &Hosts,
    now: Timestamp,
    naming: Naming<'_>,
) -> Translation {
    let mut translation = Translation::default();
    for workload in &snapshot.workloads {
        translation.append(translate_workload(workload, hosts, &run_time_at(now), naming));
    }
    translation
}

/// Translates every VIP label of one app or pod.
#[must_use]
pub fn translate_workload(
    workload: &Workload,
    hosts: &Hosts,
    run_time: RunTime<'_>,
    naming: Naming<'_>,
) -> Translation {
    let mut translation = Translation::default();
    let placed: Vec<_> =
        workload.instances.iter().map(|each| PlacedInstance::new(each, hosts)).collect();
    report_capped_labels(workload, &mut translation.reports);
    report_stray_labels(workload, &mut translation);
    report_unused_port_labels(workload, &mut translation);
    report_bad_options(workload, &mut translation);
    note_unknown_framework(workload, naming, &mut translation);
    let incomplete = note_gaps(workload, &placed, &mut translation);
    let mut quota = Quota::default();
    for (spec, instances, superseded) in group_by_spec(workload, &placed) {
        let on_app = app_options(&spec.labels);
        for port in spec.ports.iter().filter(|port| !port.labels.is_empty()) {
            let on_app = &on_app;
            let reader = PortReader {
                workload,
                on_app,
                spec,
                port,
                superseded,
                incomplete,
                run_time,
                naming,
            };
            reader.translate_port(&instances, &mut quota, &mut translation);
        }
        let silent = instances.iter().filter(|placed| placed.instance.is_silent());
        let settling = silent.filter_map(|placed| placed.settles_in(spec, run_time));
        let next = settling.filter(|wait| !wait.is_zero()).chain(translation.settles_in).min();
        translation.settles_in = next;
    }
    // The one or two claims of an app are kept: the spare capacity of many apps would add up.
    translation.claims.shrink_to_fit();
    translation.named.shrink_to_fit();
    let endpoints = workload.instances.iter().flat_map(|instance| &instance.endpoints);
    for endpoint in endpoints.flatten() {
        if let Endpoint::Container { addresses, .. } = endpoint {
            translation.tasks.extend(&**addresses);
        }
    }
    translation
}

/// Returns the options of an app: the last valid one of each. Every port begins with them, and their
/// number must not depend on that of the labels. [`report_bad_options`] reports the invalid ones.
fn app_options(labels: &Labels) -> Vec<(&str, &str)> {
    let valid = labels.iter().filter(|(key, value)| is_valid_option(key, value));
    valid.collect::<BTreeMap<_, _>>().into_iter().collect()
}

/// Lists the version that each task runs, by task id.
pub fn task_versions<'a>(
    workloads: impl IntoIterator<Item = &'a Workload>,
) -> impl Iterator<Item = (Arc<str>, String)> {
    let instances = workloads.into_iter().flat_map(|workload| &workload.instances);
    instances
        .filter_map(|instance| Some((instance.id.clone(), format!("{:.3}", instance.version?))))
}

/// Notes that the VIPs of a workload have no address while the framework's name is unknown.
fn note_unknown_framework(workload: &Workload, naming: Naming<'_>, translation: &mut Translation) {
    let is_named = |(key, value): (&str, &str)| {
        let is_name = |value: VipRef| matches!(value, VipRef::Named(..));
        classify_key(key, value) == Key::Vip && value.parse().is_ok_and(is_name)
    };
    let mut ports = workload.spec.ports.iter();
    if naming.framework.is_none() && ports.any(|port| port.labels.iter().any(is_named)) {
        translation.gaps.insert(NO_FRAMEWORK.into());
    }
}

/// Notes what isn't known about a workload's running tasks. Returns whether anything is: then some of
/// the kernel's real servers may be tasks of it that are not listed here.
fn note_gaps(
    workload: &Workload,
    placed: &[PlacedInstance<'_>],
    translation: &mut Translation,
) -> bool {
    let before = translation.gaps.len();
    let id = &workload.id;
    if !workload.tasks_known {
        translation.gaps.insert(format!("the tasks of {id} are not listed"));
    }
    for placed in placed.iter().filter(|placed| !placed.instance.state.is_terminal()) {
        let Instance { spec, host, endpoints, .. } = placed.instance;
        if let InstanceSpec::Unknown(version) | InstanceSpec::Gone(version) = spec {
            let gap = format!("tasks of {id} run its version of {version}, which can't be read");
            translation.gaps.insert(gap);
            translation.uncertain.extend(placed.addresses());
        }
        let at_host = || endpoints.iter().flatten().any(|at| matches!(at, Endpoint::Host { .. }));
        if let (Some(host), Some(Err(why))) = (host, placed.agent)
            && at_host()
        {
            let gap = format!("tasks of {id} run on {host}, which doesn't resolve: {why}");
            translation.gaps.insert(gap);
        }
    }
    translation.gaps.len() > before
}
