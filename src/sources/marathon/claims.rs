//! The claims of one workload, and what it contributes beside them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use marathon::{TaskState, Workload};
use vip::controller::AppClaims;

use super::translate::{
    Naming, RunTime, Translation, cap_reports, translate_workload, workload_hosts,
    workload_task_names,
};
use crate::sources::facts::Contribution;
use crate::sources::hosts::Hosts;

/// The claims of one workload, and what it contributes beside them.
#[derive(Debug)]
pub struct WorkloadClaims {
    /// The claims, and the tasks that haven't ended.
    pub app: AppClaims,
    pub(crate) contribution: Contribution,
    /// The time until silent health checks count as missing results.
    pub(crate) settles_in: Option<Duration>,
}

/// Reads the labels of one workload. The agent and commands claim by this function alone.
#[must_use]
pub fn claim_workload(
    workload: &Workload,
    addresses: &Hosts,
    run_time: RunTime<'_>,
    naming: Naming<'_>,
) -> WorkloadClaims {
    let hosts: BTreeSet<Arc<str>> = workload_hosts(workload).cloned().collect();
    let Translation { claims, named, mut reports, uncertain, gaps, tasks, settles_in } =
        translate_workload(workload, addresses, run_time, naming);
    cap_reports(&mut reports);
    let known = |host: &Arc<str>| addresses.get(&**host)?.as_ref().ok();
    let nodes = hosts.iter().filter_map(known).flat_map(|addresses| &**addresses);
    let nodes = nodes.copied().collect();
    let task_names = workload_task_names(workload, addresses, naming);
    let contribution = Contribution { reports, nodes, tasks, uncertain, gaps, hosts, task_names };
    let app = AppClaims { claims, named, alive: living_tasks(workload) };
    WorkloadClaims { app, contribution, settles_in }
}

/// Lists the tasks that haven't ended, whether they serve a VIP or not.
fn living_tasks(workload: &Workload) -> BTreeSet<Arc<str>> {
    let lives = |state: &TaskState| !state.is_terminal();
    let instances = workload.instances.iter().filter(|instance| lives(&instance.state));
    instances.map(|instance| instance.id.clone()).collect()
}
