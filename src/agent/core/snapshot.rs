//! The core's knowledge: restored from an earlier run, saved for a later one, shown to others.

use vip::LabelReport;

use super::{AgentCore, Effect};
use crate::agent::status::{Table, View};
use crate::clock::Moment;
use crate::sources::step::SourceStep;
use crate::sources::{KeptState, SourceId};

impl AgentCore {
    /// Restores a source from the JSON of [`AgentCore::state_to_save`] of an earlier run. Nothing is
    /// removed because of it.
    ///
    /// # Errors
    /// When the JSON is not what this kind of source writes.
    pub(crate) fn restore_source(
        &mut self,
        id: &SourceId,
        json: &[u8],
        now: Moment,
    ) -> serde_json::Result<Vec<Effect>> {
        let mut effects = Vec::new();
        let mut result = Ok(());
        self.advance_source(id, now, &mut effects, |source, context| {
            match source.restore_state(json, context) {
                Ok(step) => {
                    let read_at = source.view().read_at.map(tracing::field::display);
                    tracing::info!(source = id.as_str(), read_at, "restored from the state file");
                    step
                }
                Err(error) => {
                    result = Err(error);
                    SourceStep::default()
                }
            }
        });
        result.map(|()| effects)
    }

    /// Returns the number of hosts that a source's tasks run on.
    pub(crate) fn count_hosts(&self, id: &SourceId) -> u64 {
        let tracked = self.sources.iter().find(|tracked| tracked.id == *id);
        tracked.map_or(0, |tracked| tracked.source.hosts().count() as u64)
    }

    /// Asks for a save of each source that changed, but not too often.
    pub(super) fn save_sources(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        for tracked in &mut self.sources {
            if tracked.take_save(now.since_start) {
                effects.push(Effect::Save(tracked.id.clone()));
            }
        }
    }

    /// Returns the state of a source for its state file. `None` until the source is believed: the file
    /// from before is better until then.
    #[must_use]
    pub(crate) fn state_to_save(&self, id: &SourceId, now: Moment) -> Option<KeptState> {
        let tracked = self.sources.iter().find(|tracked| tracked.id == *id)?;
        tracked.sync.is_believed().then(|| tracked.source.state_to_save(&self.hosts, now))
    }

    /// The sources, in the order of the configuration.
    pub fn source_ids(&self) -> impl Iterator<Item = &SourceId> {
        self.sources.iter().map(|tracked| &tracked.id)
    }

    /// Makes the view that the status page, readiness and metrics show.
    #[must_use]
    pub fn to_view(&self) -> View {
        let sources = self.sources.iter();
        let sources = sources.map(|each| (each.id.clone(), each.source.view().clone()));
        let runs_tasks = |name: &str| self.sources.iter().any(|each| each.source.has_host(name));
        let unresolved = self.hosts.failed_hosts().iter().filter(|(name, _)| runs_tasks(name));
        let unresolved = unresolved.take(caps::SHOWN_TROUBLES);
        let gaps = self.cluster.gaps.members().take(caps::SHOWN_TROUBLES);
        View {
            status: self.controller.status().clone(),
            sources: sources.collect(),
            ready: self.ready,
            unresolved: unresolved.map(|(name, why)| (name.clone(), why.clone())).collect(),
            gaps: gaps.cloned().collect(),
            sysctls: self.sysctls.clone(),
            unread_facts: self.unread_facts.clone(),
            firewall: self.firewall.clone(),
            data_path: self.data_path.clone(),
            resolver: self.resolver.clone(),
            probing: self.probing(),
            hold: self.hold.clone(),
            refused_reload: self.refused_reload.clone(),
            started: self.started,
        }
    }

    /// Makes the table of all decisions, with the kernel as it is known.
    #[must_use]
    pub fn to_table(&self, now: Moment) -> Table {
        let mut desired = self.controller.desired();
        let several = self.has_several_sources();
        desired.reports.extend(self.sources.iter().flat_map(|each| {
            let source = several.then(|| each.id.clone());
            let reports = each.source.label_reports();
            reports.map(move |report| LabelReport { source: source.clone(), ..report.clone() })
        }));
        let drains = self.controller.draining_servers().filter_map(|(vip, server, drain)| {
            Some(((vip, server), drain.deadline?.saturating_sub(now.since_start)))
        });
        let states = self.controller.states().iter().map(|(vip, (state, since))| {
            (*vip, (*state, self.started.saturating_add(*since).unwrap_or(self.started)))
        });
        Table {
            states: states.collect(),
            desired,
            observed: self.controller.observed().cloned(),
            conflicts: self.controller.conflicts().cloned().collect(),
            versions: self.sources.iter().flat_map(|each| each.source.task_versions()).collect(),
            drains: drains.collect(),
            scope: self.controller.scope(),
            lingering: self.controller.lingering_addresses().collect(),
        }
    }

    /// The reports on all labels.
    pub fn label_reports(&self) -> impl Iterator<Item = &LabelReport> {
        self.controller.reports().chain(self.source_label_reports())
    }

    fn source_label_reports(&self) -> impl Iterator<Item = &LabelReport> {
        self.sources.iter().flat_map(|each| each.source.label_reports())
    }
}
