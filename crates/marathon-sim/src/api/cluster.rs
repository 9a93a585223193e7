//! Handlers for the cluster as a whole: leader, info, deployments, ping.

use std::sync::Arc;

use serde_json::json;

use super::answer::{Answer, Error};
use super::request::Request;
use crate::config::Generation;
use crate::definition::{self, Spec};
use crate::scheduler::Change;
use crate::shared::Shared;
use crate::store::{Action, Deployment, Store, TaskState};
use crate::view;

pub(super) fn answer_ping(request: &Request) -> Answer {
    if request.accept.contains("json") {
        Answer::ok(&json!("pong"))
    } else {
        Answer::text("pong\n")
    }
}

fn leader_address(shared: &Shared) -> &str {
    shared.leader_url().trim_start_matches("http://")
}

pub(super) fn show_leader(shared: &Shared) -> Answer {
    Answer::ok(&json!({"leader": leader_address(shared)}))
}

/// Makes the leader resign. Marathon's process would end half a second later; here the member
/// continues as a standby.
pub(super) fn abdicate_leader(shared: &Arc<Shared>) -> Answer {
    shared.resign_leader();
    Answer::ok(&json!({"message": "Leadership abdicated"}))
}

/// The framework id of a Marathon with an empty ZooKeeper.
pub(super) const WIPED_FRAMEWORK: &str = "00000000-0000-4000-8000-000000000000-0001";

pub(super) fn show_info(shared: &Shared, framework: &str) -> Answer {
    Answer::ok(&json!({
        "name": "marathon",
        "version": shared.config.generation.version(),
        "buildref": "marathon-sim",
        "elected": true,
        "leader": leader_address(shared),
        "frameworkId": framework,
        "marathon_config": {
            "framework_name": shared.framework_name(),
            "features": ["vips", "task_killing", "external_volumes"],
            "ha": shared.members.len() > 1,
            "hostname": leader_address(shared),
            "local_port_min": 10000,
            "local_port_max": 20000,
            "master": "zk://127.0.0.1:2181/mesos",
            "mesos_leader_ui_url": shared.leader_url(),
        },
        "zookeeper_config": {"zk": shared.config.zookeeper, "zk_timeout": 10000},
        "http_config": {"http_port": leader_address(shared).rsplit(':').next()
            .and_then(|port| port.parse::<u16>().ok())},
    }))
}

/// Answers as the Mesos master does, as far as anybody reads it.
pub(super) fn list_mesos_agents(shared: &Shared) -> Answer {
    let agents = shared.config.agents.iter().map(|agent| {
        let pid = format!("slave(1)@{}:5051", agent.address);
        json!({"hostname": agent.hostname, "pid": pid, "active": true})
    });
    Answer::ok(&json!({"slaves": agents.collect::<Vec<_>>()}))
}

/// Answers with the number of apps, groups, deployments and tasks, and the names of the generation
/// for them (`docs/docs/metrics.md`).
pub(super) fn show_metrics(shared: &Shared) -> Answer {
    let store = shared.visible_store();
    let tasks = || store.instances().iter().flat_map(|instance| &instance.tasks);
    let in_state = |states: &[TaskState]| tasks().filter(|t| states.contains(&t.state)).count();
    let staged = in_state(&[TaskState::Staging, TaskState::Starting]);
    let running = in_state(&[TaskState::Running, TaskState::Killing]);
    let (apps, groups) = (store.apps().count(), store.groups().count());
    let deployments = store.deployments().len();
    let gauge = |value: usize| json!({"value": value});
    // Renamed in 1.7.
    let gauges = match shared.config.generation {
        Generation::V1_6 => json!({
            "marathon.apps.active.gauge": gauge(apps),
            "marathon.deployments.active.gauge": gauge(deployments),
            "marathon.groups.active.gauge": gauge(groups),
            "marathon.instances.running.gauge": gauge(running),
            "marathon.instances.staged.gauge": gauge(staged),
        }),
        _ => json!({
            "service.mesosphere.marathon.app.count": gauge(apps),
            "service.mesosphere.marathon.group.count": gauge(groups),
            "service.mesosphere.marathon.task.running.count": gauge(running),
            "service.mesosphere.marathon.task.staged.count": gauge(staged),
        }),
    };
    Answer::ok(&json!({
        "version": "3.0.0",
        "gauges": gauges,
        "counters": {},
        "histograms": {},
        "meters": {},
        "timers": {},
    }))
}

pub(super) fn list_deployments(shared: &Shared) -> Answer {
    let store = shared.visible_store();
    Answer::ok(&store.deployments().iter().map(|d| view::deployment_status(&store, d)).collect())
}

/// Cancels a deployment. Without `force` a new deployment reverts its changes.
pub(super) fn cancel_deployment(
    shared: &Shared,
    id: &str,
    request: &Request,
) -> Result<Answer, Error> {
    shared.update_store(|store| {
        let known = store.deployments().iter().find(|deployment| deployment.id == id);
        let known = known.ok_or_else(|| Error::NoDeployment(id.to_owned()))?;
        let back = revert_changes(store, known)?;
        store.abandon_deployment(id);
        if request.flag("force") {
            return Ok(Answer::empty(202));
        }
        let deployed = store.apply_changes("/", back, true)?;
        Ok(Answer::from_deployment(200, &deployed, store.generation))
    })
}

/// Returns the changes that revert a deployment, except its stops.
fn revert_changes(store: &Store, deployment: &Deployment) -> Result<Vec<Change>, Error> {
    let mut changes = Vec::new();
    for Action { id, pod, .. } in &deployment.actions {
        let Some(entry) = (if *pod { store.find_pod(id) } else { store.find_app(id) }) else {
            continue;
        };
        let before = entry.versions.range(..deployment.version).next_back();
        changes.push(match before {
            None => Change::Remove(id.clone()),
            Some((_, spec)) => Change::Put(reread_spec(spec, store)?),
        });
    }
    Ok(changes)
}

fn reread_spec(spec: &Spec, store: &Store) -> Result<Spec, Error> {
    let source = spec.source.clone();
    Ok(match spec.pod {
        true => definition::create_pod(&spec.id, source)?,
        false => definition::create_app(&spec.id, source, store.generation)?,
    })
}
