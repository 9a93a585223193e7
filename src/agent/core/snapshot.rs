//! What is known: taken over from an earlier run, kept for a later one, shown to others.

use std::time::Duration;

use marathon::Timestamp;

use super::{AgentCore, Effect};
use crate::agent::status::{Table, View};
use crate::clock::Moment;
use crate::sources::Kept;
use crate::sources::marathon::{MarathonSource, SyncState};
use vip::{LabelReport, SourceId};

use crate::sources::marathon::translate::versions_of;

/// How often what is known is kept on disk while it changes.
const KEEP: Duration = Duration::from_secs(60);

impl AgentCore {
    /// Takes over what an earlier run knew of a Marathon and kept at that time. Nothing is removed
    /// because of it.
    pub fn restore(
        &mut self,
        source: usize,
        kept: Kept,
        read_at: Timestamp,
        now: Moment,
    ) -> Vec<Effect> {
        self.names.restore(kept.hosts, now.since_start);
        let at = &mut self.sources[source];
        let keys = at.restore(kept.workloads);
        at.view.read_at = Some(read_at);
        at.view.from_disk = true;
        let mut effects = Vec::new();
        self.refresh(source, &keys, now, &mut effects);
        self.sources[source].unkept = false;
        effects
    }

    pub(super) fn keep(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        for (index, source) in self.sources.iter_mut().enumerate() {
            let due = source.kept_at.is_none_or(|at| at + KEEP <= now.since_start);
            if source.unkept && due && source.standing == SyncState::Believed {
                source.unkept = false;
                source.kept_at = Some(now.since_start);
                effects.push(Effect::Keep(index));
            }
        }
    }

    /// What to keep of a source on disk, with its name, and as of when. `None`: it has said
    /// nothing yet that is better than what is there.
    #[must_use]
    pub fn kept(&self, source: usize, now: Moment) -> Option<(SourceId, Kept, Timestamp)> {
        let at = &self.sources[source];
        if at.standing != SyncState::Believed {
            return None;
        }
        let hosts = at.hosts().filter_map(|host| {
            let addresses = self.names.hosts().get(host).filter(|known| known.is_ok())?;
            Some((host.to_owned(), addresses.clone()))
        });
        let kept =
            Kept { workloads: at.watch.workloads().cloned().collect(), hosts: hosts.collect() };
        // While events come it is as good as read now.
        let read_at = if at.view.streaming { Some(now.wall) } else { at.view.read_at };
        Some((at.id.clone(), kept, read_at.unwrap_or(now.wall)))
    }

    /// What others may see.
    #[must_use]
    pub fn view(&self) -> View {
        let sources = self.sources.iter().map(|source| (source.id.clone(), source.view.clone()));
        let runs_tasks = |name: &str| self.sources.iter().any(|source| source.runs_on(name));
        let unresolved = self.names.failed().iter().filter(|(name, _)| runs_tasks(name));
        View {
            status: self.controller.status().clone(),
            sources: sources.collect(),
            ready: self.ready,
            unresolved: unresolved.map(|(name, why)| (name.clone(), why.clone())).collect(),
            gaps: self.around.gaps.members().cloned().collect(),
            sysctls: self.sysctls.clone(),
            firewall: self.firewall.clone(),
            data_path: self.data_path.clone(),
            hold: self.hold.clone(),
            started: self.started,
        }
    }

    /// Everything that is decided, and the kernel as it is known.
    #[must_use]
    pub fn table(&self, now: Moment) -> Table {
        let mut desired = self.controller.desired();
        desired.reports.extend(self.sources.iter().flat_map(MarathonSource::reports).cloned());
        let workloads =
            self.sources.iter().flat_map(|source| source.watch.workloads().map(|each| &**each));
        let drains = self.controller.draining_servers().filter_map(|(vip, server, drain)| {
            Some(((vip, server), drain.deadline?.saturating_sub(now.since_start)))
        });
        Table {
            desired,
            observed: self.controller.observed().cloned(),
            conflicts: self.controller.conflicts().cloned().collect(),
            versions: versions_of(workloads).collect(),
            drains: drains.collect(),
            scope: self.controller.scope(),
            lingering: self.controller.lingering_addresses().collect(),
        }
    }

    /// What became of every label.
    pub fn reports(&self) -> impl Iterator<Item = &LabelReport> {
        self.controller.reports().chain(self.sources.iter().flat_map(MarathonSource::reports))
    }
}
