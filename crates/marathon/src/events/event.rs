//! Events of Marathon's event bus, as far as they matter to a load balancer.
//!
//! Events are hints (`event-bus.md`: "should only be used as a cache-invalidation mechanism"): they
//! arrive late, twice, out of order or not at all. Fields differ by generation, and all are
//! optional.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::sse::Frame;
use crate::lenient::{Log, read_json, record};
use crate::{Kind, TaskState};

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The time of the event, by Marathon's clock.
    pub at: Option<Timestamp>,
    /// The change that it announces.
    pub change: Change,
}

/// A change that an event announces.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A task or instance has entered a state.
    State {
        /// The task.
        of: Subject,
        /// The new state.
        state: TaskState,
    },
    /// The health of a task or instance has changed.
    Health {
        /// The task.
        of: Subject,
        /// True: healthy. None: unknown.
        healthy: Option<bool>,
    },
    /// These apps and pods may have changed.
    Touched(Vec<Touched>),
    /// Marathon accepted a definition of this app or pod.
    Posted(Touched),
    /// An app or pod was removed.
    Removed(Touched),
    /// Anything in this group may have changed or gone. `/` is everything.
    Group(String),
    /// A relevant event that can't be read.
    Unreadable,
    /// An event that is not relevant.
    Other,
}

/// The task that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The id of its app or pod, as `/group/db`. Events don't tell apps from pods.
    pub workload: String,
    /// The task id or instance id, whichever the event has.
    pub id: String,
    /// The version that it runs by.
    pub version: Option<Timestamp>,
}

/// An app or pod that an event names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Touched {
    /// App or pod, if the event tells.
    pub kind: Option<Kind>,
    /// The id, as `/group/db`.
    pub id: String,
}

impl Event {
    /// Parses a frame. The type of the event is that of the frame; before 0.11 it is in the data.
    #[must_use]
    pub fn parse(frame: &Frame) -> Self {
        // Fields that can't be read are left out; findings in events are of no use.
        let mut log = Log::new(frame.data.len());
        let body: Body = read_json(&frame.data, &mut log).unwrap_or_default();
        let at = body.timestamp;
        let change = match frame.event.clone().or_else(|| body.event_type.clone()) {
            Some(name) => body.into_change(&name).unwrap_or(Change::Unreadable),
            None => Change::Other,
        };
        Self { at, change }
    }

    /// Tells whether the event is larger than [`Event::parse`] makes one.
    #[must_use]
    pub fn exceeds_caps(&self) -> bool {
        // A text may get a slash or the beginning of a state's name in front.
        let is_long = |text: &str| text.len() > caps::TEXT + "TASK_".len();
        let is_long_subject = |of: &Subject| is_long(&of.workload) || is_long(&of.id);
        match &self.change {
            Change::State { of, state: TaskState::Terminal(name) | TaskState::Other(name) } => {
                is_long_subject(of) || is_long(name)
            }
            Change::State { of, .. } | Change::Health { of, .. } => is_long_subject(of),
            Change::Touched(touched) => {
                touched.len() > caps::WORKLOADS || touched.iter().any(|each| is_long(&each.id))
            }
            Change::Posted(touched) | Change::Removed(touched) => is_long(&touched.id),
            Change::Group(id) => is_long(id),
            Change::Unreadable | Change::Other => false,
        }
    }
}

/// The relevant fields of all events.
#[derive(Debug, Default)]
struct Body {
    event_type: Option<String>,
    timestamp: Option<Timestamp>,
    app_id: Option<String>,
    run_spec_id: Option<String>,
    task_id: Option<String>,
    instance_id: Option<String>,
    task_status: Option<String>,
    condition: Option<String>,
    version: Option<Timestamp>,
    run_spec_version: Option<Timestamp>,
    alive: Option<bool>,
    healthy: Option<bool>,
    group_id: Option<String>,
    uri: Option<String>,
    app_definition: Definition,
    plan: Plan,
    current_step: DeploymentStep,
}

record!(Body {
    "eventType" => event_type,
    "timestamp" => timestamp,
    "appId" => app_id,
    "runSpecId" => run_spec_id,
    "taskId" => task_id,
    "instanceId" => instance_id,
    "taskStatus" => task_status,
    "condition" => condition,
    "version" => version,
    "runSpecVersion" => run_spec_version,
    "alive" => alive,
    "healthy" => healthy,
    "groupId" => group_id,
    "uri" => uri,
    "appDefinition" => app_definition,
    "plan" => plan,
    "currentStep" => current_step,
});

#[derive(Debug, Default)]
struct Definition {
    id: Option<String>,
}

record!(Definition { "id" => id });

#[derive(Debug, Default)]
struct Plan {
    steps: Vec<DeploymentStep>,
}

record!(Plan { "steps" => steps });

#[derive(Debug, Default)]
struct DeploymentStep {
    actions: Vec<DeploymentAction>,
}

record!(DeploymentStep { "actions" => actions });

#[derive(Debug, Default)]
struct DeploymentAction {
    app: Option<String>,
    pod: Option<String>,
}

record!(DeploymentAction { "app" => app, "pod" => pod });

impl Body {
    /// Converts to a change; None if a necessary field is missing.
    fn into_change(self, name: &str) -> Option<Change> {
        Some(match name {
            "status_update_event" => {
                let state = TaskState::from_mesos_name(self.task_status.as_deref()?);
                Change::State { of: self.into_subject()?, state }
            }
            "instance_changed_event" => {
                let state = state_of_condition(self.condition.as_deref()?);
                Change::State { of: self.into_subject()?, state }
            }
            "unknown_instance_terminated_event" => {
                let state = TaskState::Terminal("TASK_UNKNOWN".to_owned());
                Change::State { of: self.into_subject()?, state }
            }
            "health_status_changed_event" | "instance_health_changed_event" => {
                let healthy = self.alive.or(self.healthy);
                Change::Health { of: self.into_subject()?, healthy }
            }
            // `failed_health_check_event` is ignored: it comes before the health changes.
            "unhealthy_task_kill_event" | "unhealthy_instance_kill_event" => {
                Change::Touched(vec![Touched { kind: None, id: self.workload_id()? }])
            }
            "api_post_event" => {
                Change::Posted(touched_workload(Kind::App, self.app_definition.id.as_deref()?))
            }
            "app_terminated_event" => {
                Change::Removed(touched_workload(Kind::App, self.app_id.as_deref()?))
            }
            "pod_created_event" | "pod_updated_event" => Change::Posted(self.touched_pod()?),
            "pod_deleted_event" => Change::Removed(self.touched_pod()?),
            "group_change_success" => Change::Group(absolute_id(self.group_id.as_deref()?)),
            "deployment_info"
            | "deployment_step_success"
            | "deployment_step_failure"
            | "deployment_success"
            | "deployment_failed" => Change::Touched(self.deployed_workloads()?),
            _ => Change::Other,
        })
    }

    fn workload_id(&self) -> Option<String> {
        self.app_id.as_deref().or(self.run_spec_id.as_deref()).map(absolute_id)
    }

    fn into_subject(self) -> Option<Subject> {
        Some(Subject {
            workload: self.workload_id()?,
            id: self.task_id.or(self.instance_id)?,
            version: self.version.or(self.run_spec_version),
        })
    }

    /// Parses the pod in a path like `/v2/pods/group/db`, which may have a prefix, and
    /// `::instances/...` or a query at its end.
    fn touched_pod(&self) -> Option<Touched> {
        let (_, id) = self.uri.as_deref()?.split_once("/v2/pods/")?;
        let id = id.split(['?', '#']).next()?;
        let id = id.split("::").next()?.trim_matches('/');
        (!id.is_empty()).then(|| touched_workload(Kind::Pod, id))
    }

    fn deployed_workloads(self) -> Option<Vec<Touched>> {
        let steps = self.plan.steps.iter().chain([&self.current_step]);
        let of = |action: &DeploymentAction| match (&action.app, &action.pod) {
            (Some(app), _) => Some(touched_workload(Kind::App, app)),
            (None, Some(pod)) => Some(touched_workload(Kind::Pod, pod)),
            (None, None) => None,
        };
        // The current step stands in the plan too.
        let ids: Option<BTreeSet<_>> = steps.flat_map(|step| &step.actions).map(of).collect();
        ids.filter(|ids| !ids.is_empty()).map(|ids| ids.into_iter().collect())
    }
}

fn touched_workload(kind: Kind, id: &str) -> Touched {
    Touched { kind: Some(kind), id: absolute_id(id) }
}

fn absolute_id(id: &str) -> String {
    if id.starts_with('/') { id.to_owned() } else { format!("/{id}") }
}

/// Converts a condition, which is Marathon's own name of a state (`Condition.scala`).
fn state_of_condition(name: &str) -> TaskState {
    match name.to_ascii_lowercase().as_str() {
        "scheduled" | "provisioned" | "created" | "reserved" | "staging" => TaskState::Staging,
        "starting" => TaskState::Starting,
        "running" => TaskState::Running,
        "killing" => TaskState::Killing,
        "unreachable" | "unreachableinactive" => TaskState::Unreachable,
        "finished" | "failed" | "killed" | "error" | "gone" | "dropped" | "unknown" => {
            TaskState::Terminal(format!("TASK_{}", name.to_ascii_uppercase()))
        }
        _ => TaskState::from_mesos_name(name),
    }
}
