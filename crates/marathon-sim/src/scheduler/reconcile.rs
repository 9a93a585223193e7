//! Reconciliation: the starts and ends of instances that lead to the definitions, and the ends of
//! deployments.

use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::plan::{self, Member, Phase};
use crate::definition::Spec;
use crate::id::Naming;
use crate::store::{Deployment, Instance, Job, Kill, Store, Task, TaskRef, TaskState};

impl Store {
    /// Takes one step towards the definitions: tells tasks to end and returns those to start, with
    /// the time of the next step if a back-off delays some.
    pub(crate) fn reconcile(&mut self, now: Instant) -> (Vec<Job>, Option<Instant>) {
        let (mut jobs, mut wake) = (Vec::new(), None::<Instant>);
        let unwanted = self.instances.iter().filter(|i| !self.entries.contains_key(&i.spec.id));
        let unwanted: Vec<String> = unwanted.map(|instance| instance.id.clone()).collect();
        unwanted.iter().for_each(|id| self.kill_instance(id));
        let ids: Vec<String> = self.entries.keys().cloned().collect();
        for id in &ids {
            let entry = &self.entries[id];
            let (spec, not_before) = (Arc::clone(&entry.spec), entry.not_before);
            let (steps, members) = self.next_steps(id);
            for index in steps.kill {
                self.kill_instance(&members[index]);
            }
            match not_before {
                Some(at) if at > now && steps.launch > 0 => {
                    wake = Some(wake.map_or(at, |wake| wake.min(at)));
                }
                _ => jobs
                    .extend((0..steps.launch).map_while(|_| self.launch_instance(&spec)).flatten()),
            }
        }
        self.end_deployments();
        (jobs, wake)
    }

    /// Plans the next steps for an app or pod, and returns them with the ids of the members.
    fn next_steps(&self, id: &str) -> (plan::Steps, Vec<String>) {
        let entry = &self.entries[id];
        let member = |instance: &Instance| Member {
            current: self.is_current(instance),
            phase: match instance {
                Instance { ending: true, .. } => Phase::Ending,
                _ if instance.is_healthy() && self.is_ready(instance) => Phase::Healthy,
                _ => Phase::Starting,
            },
        };
        let members: Vec<Member> = self.instances_of(id).map(member).collect();
        let ids = self.instances_of(id).map(|instance| instance.id.clone()).collect();
        (plan::plan_steps(entry.spec.instances, entry.spec.upgrade, &members), ids)
    }

    fn end_deployments(&mut self) {
        let is_done = |id: &str| match self.entries.contains_key(id) {
            true => self.next_steps(id).0.settled,
            false => self.instances_of(id).next().is_none(),
        };
        let is_over =
            |deployment: &Deployment| deployment.actions.iter().all(|action| is_done(&action.id));
        let over: Vec<Deployment> =
            self.deployments.iter().filter(|d| is_over(d)).cloned().collect();
        for deployment in &over {
            self.deployments.retain(|known| known.id != deployment.id);
            self.announce_step("deployment_step_success", deployment);
            self.announce_end("deployment_success", deployment);
        }
    }

    fn launch_instance(&mut self, spec: &Arc<Spec>) -> Option<Vec<Job>> {
        let reserved = self.reservations.iter().position(|reserved| reserved.app == spec.id);
        let only = reserved.map(|index| self.reservations[index].agent);
        let place = self.find_place(spec, only)?;
        let naming = match reserved {
            Some(index) => self.reservations.remove(index).naming,
            None => Naming::new(&spec.id, self.generation, spec.pod),
        };
        let (now, id) = (self.now(), naming.instance_id());
        let (mut tasks, mut jobs) = (Vec::new(), Vec::new());
        for (index, (container, host_ports)) in spec.containers.iter().zip(place.ports).enumerate()
        {
            let (kill, killed) = oneshot::channel();
            let task_id = naming.task_id(container.name.as_deref());
            jobs.push(Job {
                task: TaskRef { instance: id.clone(), index },
                task_id: task_id.clone(),
                spec: Arc::clone(spec),
                agent: self.agents[place.agent].clone(),
                address: place.address,
                host_ports: host_ports.clone(),
                kill: killed,
            });
            tasks.push(Task {
                id: task_id,
                state: TaskState::Staging,
                since: now,
                started_at: None,
                running_since: None,
                host_ports,
                health: vec![None; container.checks.len()],
                kill: Kill(Some(kill)),
            });
        }
        self.instances.push(Instance {
            id,
            naming,
            spec: Arc::clone(spec),
            agent: place.agent,
            address: place.address,
            tasks,
            staged_at: now,
            ending: false,
        });
        let at = self.instances.len() - 1;
        (0..jobs.len()).for_each(|index| {
            self.announce_task(at, index, "", (index > 0).then_some("Staging"));
        });
        Some(jobs)
    }
}
