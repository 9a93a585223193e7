//! The state of the simulated cluster: definitions, deployments, instances. No I/O.
//!
//! Only the scheduler changes it.

mod health;
mod instance;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

pub(crate) use health::{Health, Outcome};
pub(crate) use instance::{Instance, Job, Kill, Reservation, Task, TaskRef, TaskState};
use tokio::time::Instant;

use crate::config::{Agent, Generation};
use crate::definition::Spec;
use crate::event::{Event, Roots};
use crate::id;
use crate::time::Timestamp;

#[derive(Debug, Clone)]
pub(crate) struct Store {
    pub(crate) generation: Generation,
    pub(crate) agents: Vec<Agent>,
    time_scale: f64,
    /// The time by which the leader's clock is ahead, in milliseconds.
    clock_offset: i64,
    /// Apps and pods by path; they share one namespace.
    pub(crate) entries: BTreeMap<String, Entry>,
    /// Groups that were created explicitly and may be empty.
    pub(crate) groups: BTreeSet<String>,
    /// The instances in the order of their start.
    pub(crate) instances: Vec<Instance>,
    /// The places of resident tasks that have ended.
    pub(crate) reservations: Vec<Reservation>,
    pub(crate) deployments: Vec<Deployment>,
    pub(crate) last_version: Timestamp,
    /// The last assigned port of each agent, so that ports are not reused at once.
    pub(crate) port_cursors: Vec<u16>,
    pub(crate) address_cursor: u32,
    pub(crate) outbox: Vec<Event>,
    /// Apps whose new tasks don't pass their readiness checks.
    pub(crate) unready: BTreeSet<String>,
}

/// An app or a pod with its history.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) spec: Arc<Spec>,
    pub(crate) versions: BTreeMap<Timestamp, Arc<Spec>>,
    pub(crate) last_scaling: Timestamp,
    /// Version of the last change other than of the number of instances.
    pub(crate) last_config_change: Timestamp,
    /// The versions since then; instances of others are replaced.
    pub(crate) current: BTreeSet<Timestamp>,
    pub(crate) last_failure: Option<Failure>,
    pub(crate) failures: u32,
    pub(crate) not_before: Option<Instant>,
}

/// The last task of an app that failed.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) task: String,
    pub(crate) host: String,
    pub(crate) agent: usize,
    pub(crate) message: String,
    pub(crate) state: TaskState,
    pub(crate) at: Timestamp,
    pub(crate) version: Timestamp,
}

#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    pub(crate) id: String,
    pub(crate) version: Timestamp,
    pub(crate) actions: Vec<Action>,
    pub(crate) roots: Option<Arc<Roots>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Action {
    /// Marathon's name: `StartApplication`, `ScaleApplication`, `RestartApplication`,
    /// `StopApplication`.
    pub(crate) name: &'static str,
    pub(crate) id: String,
    pub(crate) pod: bool,
}

impl Store {
    pub(crate) fn new(generation: Generation, agents: Vec<Agent>, time_scale: f64) -> Self {
        Self {
            generation,
            time_scale,
            clock_offset: 0,
            entries: BTreeMap::new(),
            groups: BTreeSet::new(),
            instances: Vec::new(),
            reservations: Vec::new(),
            deployments: Vec::new(),
            last_version: Timestamp::now(),
            port_cursors: agents.iter().map(|agent| *agent.ports.start()).collect(),
            address_cursor: 1,
            outbox: Vec::new(),
            unready: BTreeSet::new(),
            agents,
        }
    }

    /// Returns the time by the leader's clock.
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now().shifted_by(self.clock_offset)
    }

    /// Sets the leader's clock ahead, or back. Later versions follow it.
    pub(crate) fn set_clock(&mut self, offset: i64) {
        self.clock_offset = offset;
        self.last_version = self.now();
    }

    /// Returns the places of an app's resident tasks that have ended.
    pub(crate) fn reservations_of(&self, id: &str) -> impl Iterator<Item = &Reservation> {
        self.reservations.iter().filter(move |reservation| reservation.app == id)
    }

    pub(crate) fn find_app(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id).filter(|entry| !entry.spec.pod)
    }

    pub(crate) fn find_pod(&self, id: &str) -> Option<&Entry> {
        self.entries.get(id).filter(|entry| entry.spec.pod)
    }

    pub(crate) fn apps(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| !entry.spec.pod)
    }

    pub(crate) fn pods(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values().filter(|entry| entry.spec.pod)
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        self.entries.contains_key(id)
    }

    /// Tells whether a group was created explicitly or isn't empty.
    pub(crate) fn has_group(&self, id: &str) -> bool {
        id == "/"
            || self.groups.contains(id)
            || self.groups.iter().chain(self.entries.keys()).any(|inner| id::is_inside(id, inner))
    }

    /// Returns the groups that were created explicitly.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(String::as_str)
    }

    pub(crate) fn deployments(&self) -> &[Deployment] {
        &self.deployments
    }

    pub(crate) fn deployments_of(&self, id: &str) -> impl Iterator<Item = &Deployment> {
        self.deployments.iter().filter(move |deployment| deployment.is_about(id))
    }

    /// Returns the instances of an app or pod, the oldest first.
    pub(crate) fn instances_of(&self, id: &str) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(move |instance| instance.spec.id == id)
    }

    /// Tells whether an instance passes its readiness checks. Instances of an older version do.
    pub(crate) fn is_ready(&self, instance: &Instance) -> bool {
        !self.unready.contains(&instance.spec.id) || !self.is_current(instance)
    }

    /// Tells whether an instance runs by the current configuration.
    pub(crate) fn is_current(&self, instance: &Instance) -> bool {
        let entry = self.entries.get(&instance.spec.id);
        entry.is_some_and(|entry| entry.current.contains(&instance.spec.version))
    }

    pub(crate) fn instances(&self) -> &[Instance] {
        &self.instances
    }

    pub(crate) fn scale_time(&self, duration: Duration) -> Duration {
        Duration::try_from_secs_f64(duration.as_secs_f64() * self.time_scale).unwrap_or(duration)
    }
}

impl Entry {
    /// Returns the time until the next start of an instance, zero without a back-off.
    pub(crate) fn remaining_delay(&self) -> Duration {
        let left = self.not_before.map(|at| at.saturating_duration_since(Instant::now()));
        left.unwrap_or_default()
    }
}

impl Deployment {
    pub(crate) fn is_about(&self, id: &str) -> bool {
        self.actions.iter().any(|action| action.id == id)
    }
}
