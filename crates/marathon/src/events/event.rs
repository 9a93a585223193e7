//! What an event of Marathon's event bus means for a load balancer.
//!
//! Events are hints (`event-bus.md`: "should only be used as a cache-invalidation mechanism"):
//! they come late, twice, out of order or not at all. Fields differ by generation, and all are
//! optional.

use jiff::Timestamp;

use super::sse::Frame;
use crate::lenient::{Log, read_json, record};
use crate::{Kind, TaskState};

/// One event, as far as a load balancer is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When it happened, by Marathon's clock.
    pub at: Option<Timestamp>,
    /// What happened.
    pub change: Change,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A task or instance has a state now.
    State {
        /// The task.
        of: Subject,
        /// The state it is in.
        state: TaskState,
    },
    /// The verdict on a task or instance is another now.
    Health {
        /// The task.
        of: Subject,
        /// True: healthy. None: not known any more.
        healthy: Option<bool>,
    },
    /// These apps and pods may be other than they were.
    Touched(Vec<Touched>),
    /// Marathon accepted a definition of this app or pod.
    Posted(Touched),
    /// An app or pod was removed.
    Removed(Touched),
    /// Anything beneath this group may be other than it was, or gone. `/` is everything.
    Group(String),
    /// Something that matters happened, and what it was can't be read.
    Unreadable,
    /// Nothing that matters here.
    Other,
}

/// The task that an event is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The app or pod it is of, as `/group/db`. Events don't say which of the two.
    pub workload: String,
    /// Its task id or instance id, whichever the event has.
    pub id: String,
    /// The version of the definition it runs by.
    pub version: Option<Timestamp>,
}

/// An app or pod that an event names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touched {
    /// Whether it is an app or a pod, where the event says so.
    pub kind: Option<Kind>,
    /// Its id, as `/group/db`.
    pub id: String,
}

impl Event {
    /// Reads the data of a frame. The kind of event is that of the frame or, in streams of
    /// Marathon before 0.11, the one in the data.
    #[must_use]
    pub fn parse(frame: &Frame) -> Self {
        // What a lenient reader can't place is left out, and its notes help nobody here.
        let mut log = Log::new(frame.data.len());
        let body: Body = read_json(&frame.data, &mut log).unwrap_or_default();
        let at = body.timestamp;
        let change = match frame.event.clone().or_else(|| body.event_type.clone()) {
            Some(name) => body.into_change(&name).unwrap_or(Change::Unreadable),
            None => Change::Other,
        };
        Self { at, change }
    }
}

/// All fields that matter, of all events.
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
    /// None where a field is missing without which the event says nothing.
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
            // Failed checks before the verdict changes are Marathon's own business.
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

    /// `/v2/pods/group/db`, maybe behind a prefix and with `::instances/...` or a query after it.
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
        let ids: Option<Vec<_>> = steps.flat_map(|step| &step.actions).map(of).collect();
        ids.filter(|ids| !ids.is_empty())
    }
}

fn touched_workload(kind: Kind, id: &str) -> Touched {
    Touched { kind: Some(kind), id: absolute_id(id) }
}

fn absolute_id(id: &str) -> String {
    if id.starts_with('/') { id.to_owned() } else { format!("/{id}") }
}

/// The state that Marathon itself calls so (`Condition.scala`).
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
