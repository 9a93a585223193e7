//! Events of the scheduler, in the format of the generation.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::config::Generation;
use crate::event::{Event, Roots};
use crate::store::{Deployment, Instance, Store};
use crate::view::{self, GroupEmbed};

impl Store {
    pub(crate) fn push_event(&mut self, event: Event) {
        let at = self.now();
        self.outbox.push(event.with_field("timestamp", at.into()));
    }

    /// Removes and returns the events, in their order.
    pub(crate) fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.outbox)
    }

    /// Announces the new state of a task. `before` is the previous condition of its instance; None
    /// for a new one. As in `InstanceChangedEventsGenerator` the event of the task comes before
    /// that of the instance.
    pub(super) fn announce_task(
        &mut self,
        at: usize,
        index: usize,
        message: &str,
        before: Option<&str>,
    ) {
        let instance = &self.instances[at];
        let task = &instance.tasks[index];
        let host = &self.agents[instance.agent].hostname;
        let status = Event::new(
            "status_update_event",
            [
                ("slaveId", json!(view::agent_id(instance.agent))),
                ("taskId", json!(task.id)),
                ("taskStatus", json!(task.state.name())),
                ("message", json!(message)),
                ("appId", json!(instance.spec.id)),
                ("host", json!(host)),
                ("ipAddresses", view::ip_addresses(self, instance)),
                ("ports", json!(task.host_ports)),
                ("version", instance.spec.version.into()),
            ],
        );
        let condition = instance.condition();
        let changed = self.generation.has_pods() && before != Some(condition);
        let changed = changed.then(|| {
            Event::new(
                "instance_changed_event",
                [
                    ("instanceId", json!(instance.id)),
                    ("condition", json!(condition)),
                    ("runSpecId", json!(instance.spec.id)),
                    ("agentId", json!(view::agent_id(instance.agent))),
                    ("host", json!(host)),
                    ("runSpecVersion", instance.spec.version.into()),
                ],
            )
        });
        self.push_event(status);
        changed.into_iter().for_each(|event| self.push_event(event));
    }

    /// Makes the event of a health check. Until 1.3 it names the task.
    pub(super) fn health_event<const N: usize>(
        &self,
        kind: &'static str,
        instance: &Instance,
        fields: [(&str, Value); N],
    ) -> Event {
        let event = Event::new(kind, fields).with_field("appId", json!(instance.spec.id));
        match self.generation {
            Generation::V1_1 => event.with_field("taskId", json!(instance.tasks[0].id)),
            _ => event.with_field("instanceId", json!(instance.id)),
        }
    }

    /// Announces a step of a deployment, with its plan.
    pub(super) fn announce_step(&mut self, kind: &'static str, deployment: &Deployment) {
        let plan = view::deployment_plan(self, deployment);
        let step = plan["steps"][0].clone();
        let event = Event::new(kind, [("plan", plan), ("currentStep", step)]);
        self.push_event(event.with_roots(deployment.roots.clone()));
    }

    /// Announces the end of a deployment. 1.1 tells its id only.
    pub(super) fn announce_end(&mut self, kind: &'static str, deployment: &Deployment) {
        let event = Event::new(kind, [("id", json!(deployment.id))]);
        let event = match self.generation {
            Generation::V1_1 => event,
            _ => event
                .with_field("plan", view::deployment_plan(self, deployment))
                .with_roots(deployment.roots.clone()),
        };
        self.push_event(event);
    }

    /// Returns the root group, in generations whose plans include it.
    pub(super) fn root_group(&self) -> Option<Value> {
        let tells = self.generation <= Generation::V1_5;
        tells.then(|| view::group_tree(self, "/", GroupEmbed::from_parameters(std::iter::empty())))
    }
}

/// Joins the root groups before and after a plan.
pub(super) fn pair_roots(original: Option<Value>, target: Option<Value>) -> Option<Arc<Roots>> {
    let (original, target) = original.zip(target)?;
    Some(Arc::new(Roots { original, target }))
}
