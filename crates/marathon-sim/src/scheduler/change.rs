//! Changes of definitions, each of which is a deployment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::announce::pair_roots;
use crate::definition::{Spec, assign_service_ports, service_ports};
use crate::event::Event;
use crate::id;
use crate::store::{Action, Deployment, Entry, Store};
use crate::time::Timestamp;

/// A change of an app or pod.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "a change is made and taken apart at once")]
pub(crate) enum Change {
    /// Create or update it. Its version is set when the change is applied.
    Put(Spec),
    /// Restart it as it is.
    Restart(String),
    /// Remove it.
    Remove(String),
}

/// The deployment of a change.
#[derive(Debug, Clone)]
pub(crate) struct Deployed {
    pub(crate) id: String,
    pub(crate) version: Timestamp,
}

/// Why a change is refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ChangeError {
    /// Running deployments lock the app.
    Locked(Vec<String>),
}

impl Store {
    /// Applies all changes of one group as one deployment. Running deployments of the same apps are
    /// abandoned with `force`; otherwise they lock these apps.
    pub(crate) fn apply_changes(
        &mut self,
        group: &str,
        changes: Vec<Change>,
        force: bool,
    ) -> Result<Deployed, ChangeError> {
        let touched: BTreeSet<String> = changes.iter().map(|c| c.id().to_owned()).collect();
        let in_way = |deployment: &Deployment| touched.iter().any(|id| deployment.is_about(id));
        let locks: Vec<String> =
            self.deployments.iter().filter(|d| in_way(d)).map(|d| d.id.clone()).collect();
        if !force && !locks.is_empty() {
            return Err(ChangeError::Locked(locks));
        }
        locks.iter().for_each(|id| self.abandon_deployment(id));
        let version = self.next_version();
        let original = self.root_group();
        let actions: Vec<Action> =
            changes.into_iter().filter_map(|change| self.apply_change(change, version)).collect();
        let id = id::new_uuid();
        if !actions.is_empty() {
            let roots = pair_roots(original, self.root_group());
            let deployment = Deployment { id: id.clone(), version, actions, roots };
            self.announce_step("deployment_info", &deployment);
            for action in deployment.actions.iter().filter(|action| action.name == STOP) {
                let id = json!(action.id);
                self.push_event(Event::new("app_terminated_event", [("appId", id)]));
            }
            self.deployments.push(deployment);
        }
        let fields = [("groupId", json!(group)), ("version", version.into())];
        self.push_event(Event::new("group_change_success", fields));
        Ok(Deployed { id, version })
    }

    /// Adds a group that stays when it is empty.
    pub(crate) fn add_group(&mut self, id: &str) {
        self.groups.insert(id.to_owned());
    }

    /// Removes a group and the groups in it.
    pub(crate) fn remove_group(&mut self, id: &str) {
        self.groups.retain(|group| group != id && !id::is_inside(id, group));
    }

    /// Abandons a deployment; its changes so far stay.
    pub(crate) fn abandon_deployment(&mut self, deployment: &str) {
        if let Some(at) = self.deployments.iter().position(|known| known.id == deployment) {
            let given_up = self.deployments.remove(at);
            self.announce_end("deployment_failed", &given_up);
        }
    }

    /// Returns a new version. Versions are increasing times, so two changes in one millisecond get
    /// different ones.
    fn next_version(&mut self) -> Timestamp {
        self.last_version = self.now().max(self.last_version.next());
        self.last_version
    }

    fn apply_change(&mut self, change: Change, version: Timestamp) -> Option<Action> {
        match change {
            Change::Put(spec) => self.put_spec(spec, version),
            Change::Restart(id) => {
                let entry = self.entries.get_mut(&id)?;
                entry.current.clear();
                entry.set_spec(entry.spec.with_version(version));
                entry.last_config_change = version;
                entry.last_scaling = version;
                Some(Action { name: "RestartApplication", pod: entry.spec.pod, id })
            }
            Change::Remove(id) => {
                let entry = self.entries.remove(&id)?;
                self.reservations.retain(|reservation| reservation.app != id);
                Some(Action { name: STOP, pod: entry.spec.pod, id })
            }
        }
    }

    fn put_spec(&mut self, mut spec: Spec, version: Timestamp) -> Option<Action> {
        spec.version = version;
        if !spec.pod {
            let ports = |entry: &Entry| service_ports(&entry.spec.source, &entry.spec.network);
            let before = self.entries.get(&spec.id).map(ports).unwrap_or_default();
            let others = self.apps().filter(|entry| entry.spec.id != spec.id);
            let used = others.flat_map(ports).collect();
            assign_service_ports(&mut spec.source, &spec.network, &before, &used);
        }
        let (id, pod) = (spec.id.clone(), spec.pod);
        let Some(entry) = self.entries.get_mut(&id) else {
            self.entries.insert(id.clone(), Entry::new(spec));
            return Some(Action { name: "StartApplication", id, pod });
        };
        if entry.spec.source == spec.source {
            return None;
        }
        entry.last_scaling = version;
        let name = if spec.is_scaling_of(&entry.spec) {
            "ScaleApplication"
        } else {
            entry.last_config_change = version;
            entry.current.clear();
            entry.not_before = None;
            entry.failures = 0;
            "RestartApplication"
        };
        entry.set_spec(spec);
        Some(Action { name, id, pod })
    }
}

/// Name of the action that removes an app.
const STOP: &str = "StopApplication";

/// Marathon's `--zk_max_versions`.
const MOST_VERSIONS: usize = 50;

impl Entry {
    fn new(spec: Spec) -> Self {
        let (version, spec) = (spec.version, Arc::new(spec));
        Self {
            versions: BTreeMap::from([(version, Arc::clone(&spec))]),
            spec,
            last_scaling: version,
            last_config_change: version,
            current: BTreeSet::from([version]),
            last_failure: None,
            failures: 0,
            not_before: None,
        }
    }

    fn set_spec(&mut self, spec: Spec) {
        self.current.insert(spec.version);
        self.spec = Arc::new(spec);
        self.versions.insert(self.spec.version, Arc::clone(&self.spec));
        if self.versions.len() > MOST_VERSIONS {
            self.versions.pop_first();
        }
    }
}

impl Change {
    fn id(&self) -> &str {
        match self {
            Self::Put(spec) => &spec.id,
            Self::Restart(id) | Self::Remove(id) => id,
        }
    }
}
