//! JSON of apps.

use serde_json::{Value, json};

use super::{legacy, task};
use crate::config::Generation;
use crate::definition::{Object, Spec};
use crate::store::{Entry, Store, TaskState};

/// The optional parts of an app in an answer (`api/v2/InfoEmbedResolver.scala`).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Embed {
    tasks: bool,
    last_failure: bool,
    readiness: bool,
}

impl Embed {
    /// Parses `embed=apps.tasks` and the like; unknown values are ignored.
    pub(crate) fn from_parameters<'a>(parameters: impl Iterator<Item = &'a str>) -> Self {
        let mut embed = Self::default();
        for parameter in parameters {
            let stem = parameter.strip_prefix("apps.").or(parameter.strip_prefix("app."));
            match stem.unwrap_or(parameter) {
                "tasks" => embed.tasks = true,
                "lastTaskFailure" => embed.last_failure = true,
                "readiness" => embed.readiness = true,
                // An old name for two parts at once.
                "failures" => (embed.tasks, embed.last_failure) = (true, true),
                _ => {}
            }
        }
        embed
    }

    pub(crate) fn with_tasks(self) -> Self {
        Self { tasks: true, ..self }
    }

    pub(crate) fn with_last_failure(self) -> Self {
        Self { last_failure: true, ..self }
    }
}

/// Returns the definition of an app, in the format of the generation.
pub(crate) fn app_definition(spec: &Spec, generation: Generation) -> Object {
    let mut app = spec.source.clone();
    app.insert("version".to_owned(), spec.version.into());
    if generation.is_legacy() { legacy::legacy_app(app, spec, generation) } else { app }
}

/// Makes the answer to the POST of a new app, which has no tasks and no version history yet.
pub(crate) fn app_just_created(store: &Store, entry: &Entry, deployment: &str) -> Value {
    let mut app = app_definition(&entry.spec, store.generation);
    app.extend(task_counts(0, 0, 0, 0));
    app.insert("deployments".to_owned(), json!([{"id": deployment}]));
    Value::Object(app)
}

/// Returns an app with the requested parts.
pub(crate) fn app_info(store: &Store, entry: &Entry, embed: Embed) -> Value {
    let id = &entry.spec.id;
    let mut app = app_definition(&entry.spec, store.generation);
    let info = json!({
        "lastScalingAt": entry.last_scaling.to_string(),
        "lastConfigChangeAt": entry.last_config_change.to_string(),
    });
    app.insert("versionInfo".to_owned(), info);
    let count = |wanted: &dyn Fn(&crate::store::Instance) -> bool| {
        store.instances_of(id).filter(|instance| wanted(instance)).count()
    };
    let state = |instance: &crate::store::Instance| instance.tasks[0].state;
    let is_running =
        |i: &crate::store::Instance| matches!(state(i), TaskState::Running | TaskState::Killing);
    let fails = |i: &crate::store::Instance| i.tasks[0].health.iter().flatten().any(|h| !h.alive);
    let checked = !entry.spec.containers[0].checks.is_empty();
    app.extend(task_counts(
        count(&|i| matches!(state(i), TaskState::Staging | TaskState::Starting)),
        count(&is_running),
        count(&|i| checked && i.is_healthy()),
        count(&|i| is_running(i) && fails(i)),
    ));
    let deployments = store.deployments_of(id).map(|deployment| json!({"id": deployment.id}));
    app.insert("deployments".to_owned(), deployments.collect());
    if embed.tasks {
        let tasks = store.instances_of(id).map(|instance| task::task_status(store, instance));
        let ended = store.reservations_of(id).map(|reserved| task::reserved_task(store, reserved));
        app.insert("tasks".to_owned(), tasks.chain(ended).collect());
    }
    if embed.readiness {
        app.insert("readinessCheckResults".to_owned(), readiness_results(store, entry));
    }
    if let Some(failure) = entry.last_failure.as_ref().filter(|_| embed.last_failure) {
        let failure = json!({
            "appId": id,
            "host": failure.host,
            "message": failure.message,
            "state": failure.state.name(),
            "taskId": failure.task,
            "timestamp": failure.at.to_string(),
            "version": failure.version.to_string(),
            "slaveId": task::agent_id(failure.agent),
        });
        app.insert("lastTaskFailure".to_owned(), failure);
    }
    Value::Object(app)
}

/// Returns the readiness of the tasks that deployments have started (`ReadinessCheckResult.scala`).
fn readiness_results(store: &Store, entry: &Entry) -> Value {
    let id = &entry.spec.id;
    let check = entry.spec.source.get("readinessChecks").and_then(|checks| checks.get(0));
    let Some(check) = check.filter(|_| store.deployments_of(id).next().is_some()) else {
        return json!([]);
    };
    let started = store.instances_of(id).filter(|instance| {
        store.is_current(instance) && instance.tasks[0].state == TaskState::Running
    });
    let result = |instance: &crate::store::Instance| {
        let (task, ready) = (&instance.tasks[0].id, store.is_ready(instance));
        json!({"name": check["name"], "taskId": task, "ready": ready})
    };
    started.map(result).collect()
}

fn task_counts(staged: usize, running: usize, healthy: usize, unhealthy: usize) -> Object {
    [
        ("tasksStaged", staged),
        ("tasksRunning", running),
        ("tasksHealthy", healthy),
        ("tasksUnhealthy", unhealthy),
    ]
    .into_iter()
    .map(|(key, count)| (key.to_owned(), count.into()))
    .collect()
}
