//! Conversion of an app from Marathon's JSON to a workload.

use std::sync::Arc;

use super::assembly::Assembly;
use super::{health, ports};
use crate::model::{App, Task};
use crate::{Instance, InstanceSpec, Kind, Spec, Time, Timestamp, Workload};

/// Converts a definition to the shape common to all generations.
pub(crate) fn app_spec(app: &App) -> Spec {
    let network = ports::network_mode(app);
    let ports = ports::app_ports(app, &network);
    Spec {
        version: app.version,
        labels: app.labels.clone(),
        labels_path: "labels".to_owned(),
        unused_ports: ports::unused_ports(app, &ports),
        ports,
        network,
        health_checks: app.health_checks.len(),
        settling: health::settling_time(app.health_checks.iter()),
        task_kill_grace: app.task_kill_grace_period,
    }
}

/// Converts an app with its instances. Tasks without an id are left out.
pub(crate) fn app_workload(
    id: String,
    path: String,
    spec: Spec,
    app: &App,
    assembly: &mut Assembly<'_>,
) -> Workload {
    let instances = app.tasks.as_ref().and_then(|tasks| {
        assembly
            .build_instances(tasks, |task, assembly| app_instance(&id, app, task, &spec, assembly))
    });
    Workload {
        kind: Kind::App,
        path,
        tasks_known: instances.is_some(),
        instances: instances.unwrap_or_default(),
        deploying: !app.deployments.is_empty(),
        suspended: false,
        damaged: false,
        spec: Arc::new(spec),
        id: id.into(),
    }
}

fn app_instance(
    app_id: &str,
    app: &App,
    task: &Task,
    current: &Spec,
    assembly: &Assembly<'_>,
) -> Option<Instance> {
    let of_version = match classify_version(app, task) {
        VersionClass::Current => InstanceSpec::Current,
        VersionClass::Scaled(version) => match assembly.spec_of(Kind::App, app_id, version) {
            InstanceSpec::Older(spec) if !spec.differs_in_version_only(current) => {
                InstanceSpec::Older(spec)
            }
            _ => InstanceSpec::Current,
        },
        VersionClass::Other(version) => match assembly.spec_of(Kind::App, app_id, version) {
            InstanceSpec::Gone(_) if ports::fits_task(current, task) => InstanceSpec::Current,
            recorded => recorded,
        },
    };
    let own = of_version.or_current(current);
    let checks = own.map(|spec| spec.health_checks);
    let successes = task.health_check_results.iter().filter_map(|result| result.last_success);
    Some(Instance {
        id: task.id.clone()?,
        host: task.host.clone(),
        state: health::task_state(task),
        health: health::task_health(&task.health_check_results, checks),
        port_health: Box::default(),
        last_success: successes.min().map(Time::from),
        ready: is_ready(app, task),
        started: task.started_at.or(task.staged_at).map(Time::from),
        version: task.version,
        endpoints: own.map(|spec| ports::locate_ports(spec, task)).unwrap_or_default().into(),
        spec: of_version,
    })
}

/// The definition that a task runs by, as its version tells.
enum VersionClass {
    /// The current one.
    Current,
    /// The current one but for the number of instances, unless a record says otherwise.
    Scaled(Timestamp),
    /// Another one.
    Other(Timestamp),
}

/// Classifies the version of a task. A version is a time, and the current definition is that of the
/// last version that changed more than the number of instances, and of those since
/// (`VersionInfo.scala`, `TaskStatsByVersion.scala`). Where Marathon's clock was set back, a task of
/// an earlier definition has a version after the current one, or between the two. A task without a
/// version is inactive and has no endpoints by any definition.
fn classify_version(app: &App, task: &Task) -> VersionClass {
    let changed = app.version_info.last_config_change_at.or(app.version);
    let (Some(changed), Some(version)) = (changed, task.version) else {
        return VersionClass::Current;
    };
    match app.version.unwrap_or(changed) {
        current if version == current || version == changed => VersionClass::Current,
        current if (changed..current).contains(&version) => VersionClass::Scaled(version),
        _ => VersionClass::Other(version),
    }
}

/// Tells whether no readiness check speaks against a task. Only a deployment makes these checks,
/// and only on the tasks that it starts. Marathon drops the results of a step when the step is
/// over, so an empty list means ready.
fn is_ready(app: &App, task: &Task) -> bool {
    let results = &app.readiness_check_results;
    if app.deployments.is_empty() || app.readiness_checks.is_empty() || results.is_empty() {
        return true;
    }
    let of_task =
        results.iter().filter(|result| result.task_id.is_some() && result.task_id == task.id);
    let mut verdicts = of_task.map(|result| result.ready == Some(true)).peekable();
    if verdicts.peek().is_none() {
        let started_by_deployment = task.version.is_some() && task.version == app.version;
        return !started_by_deployment;
    }
    verdicts.all(|ready| ready)
}
