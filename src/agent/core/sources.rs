//! From the sources to the controller: their claims, and from when on they are believed.

use std::collections::BTreeSet;

use vip::SourceId;
use vip::controller::{self, Change};

use super::sync_state::SyncState;
use super::tracked::TrackedSource;
use super::{AgentCore, Effect};
use crate::clock::Moment;
use crate::sources::hosts::Addresses;
use crate::sources::step::{AppChanges, Availability, SourceContext, SourceStep};
use crate::sources::{Source, SourceMessage, SourceRequest};

/// The most servers of the cluster whose names are remembered.
const MAX_SERVERS: usize = 64;

impl AgentCore {
    /// Passes a message to its source.
    pub(super) fn on_source_message(
        &mut self,
        id: &SourceId,
        message: SourceMessage,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        self.advance_source(id, now, effects, |source, context| {
            source.on_message(message, context)
        });
    }

    /// Lets one source take a step, and does what follows from it.
    pub(super) fn advance_source(
        &mut self,
        id: &SourceId,
        now: Moment,
        effects: &mut Vec<Effect>,
        take_step: impl FnOnce(&mut Source, &mut SourceContext<'_>) -> SourceStep<SourceRequest>,
    ) {
        let has_several = self.has_several_sources();
        let Some(tracked) = self.sources.iter_mut().find(|tracked| tracked.id == *id) else {
            return;
        };
        let mut context = SourceContext { hosts: &mut self.hosts, cluster: &mut self.cluster, now };
        let step = take_step(&mut tracked.source, &mut context);
        if has_several {
            self.cluster.name_news(id);
        }
        self.apply_step(id, step, now, effects);
    }

    /// Lets every source take a step, and does what follows from them.
    pub(super) fn advance_sources(
        &mut self,
        now: Moment,
        effects: &mut Vec<Effect>,
        mut take_step: impl FnMut(
            &mut TrackedSource,
            &mut SourceContext<'_>,
        ) -> SourceStep<SourceRequest>,
    ) {
        let has_several = self.has_several_sources();
        let mut context = SourceContext { hosts: &mut self.hosts, cluster: &mut self.cluster, now };
        let mut steps = Vec::new();
        for tracked in &mut self.sources {
            let step = take_step(tracked, &mut context);
            if has_several {
                context.cluster.name_news(&tracked.id);
            }
            if !step.is_empty() {
                steps.push((tracked.id.clone(), step));
            }
        }
        for (id, step) in steps {
            self.apply_step(&id, step, now, effects);
        }
    }

    /// Tells whether what is said of an app has to say which source it is from.
    pub(super) fn has_several_sources(&self) -> bool {
        self.sources.len() > 1
    }

    fn apply_step(
        &mut self,
        id: &SourceId,
        step: SourceStep<SourceRequest>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let SourceStep { requests, availability, servers, apps, read_whole, claimed, relisted } =
            step;
        self.note_servers(servers);
        match availability {
            // Any claim tells the controller that the source is back.
            Some(Availability::Restored) => {
                self.tell_claims(id, Change::Apps(AppChanges::new()), now, effects);
            }
            Some(Availability::Lost { why }) => {
                let lost = controller::Input::Lost { source: id.clone(), why };
                self.tell_controller(lost, now, effects);
            }
            None => {}
        }
        let requests = requests.into_iter();
        effects.extend(requests.map(|request| Effect::Source { source: id.clone(), request }));
        let changed = !apps.is_empty();
        if changed {
            self.tell_facts_ahead(now, effects);
            self.tell_claims(id, Change::Apps(apps), now, effects);
        }
        if let Some(tracked) = self.sources.iter_mut().find(|tracked| tracked.id == *id) {
            tracked.sync.advance(tracked.source.is_complete(), read_whole || changed);
            self.table_news |= read_whole || changed;
            if read_whole {
                tracked.staleness.note_whole_read();
            }
        }
        self.evict_kept(id, &claimed, relisted, now, effects);
    }

    fn tell_claims(
        &mut self,
        id: &SourceId,
        change: Change,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        self.tell_controller(
            controller::Input::Claims { source: id.clone(), change },
            now,
            effects,
        );
    }

    /// Remembers servers that the cluster depends on: no VIP may be an address of theirs.
    fn note_servers(&mut self, servers: BTreeSet<String>) {
        for server in servers {
            if self.servers.len() < MAX_SERVERS {
                self.cluster.changed |= self.servers.insert(server);
            }
        }
    }

    /// Takes in the answer to a look-up.
    pub(super) fn on_resolved(
        &mut self,
        name: &str,
        answer: Addresses,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if !self.hosts.record_answer(name, answer, now.since_start) {
            return;
        }
        self.cluster.changed |= self.servers.contains(name);
        self.table_news = true;
        self.advance_sources(now, effects, |tracked, context| {
            tracked.source.update_host(name, context)
        });
        self.forget_hosts();
    }

    /// Forgets the names of nodes that left the cluster.
    fn forget_hosts(&mut self) {
        let used = self.sources.iter().flat_map(|tracked| tracked.source.hosts());
        let used = used.chain(self.servers.iter().map(String::as_str)).collect();
        self.hosts.retain_used(&used);
    }

    /// Believes the sources once each of them was read as a whole: only then are apps that they
    /// don't name gone.
    pub(super) fn believe_sources(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let is = |state| move |each: &TrackedSource| each.sync == state;
        if !self.sources.iter().any(is(SyncState::Whole))
            || self.sources.iter().any(is(SyncState::Partial))
            || self.controller.observed().is_none()
        {
            return;
        }
        self.doubt_first_answers(now, effects);
        let mut believed = Vec::new();
        for tracked in self.sources.iter_mut().filter(|each| each.sync == SyncState::Whole) {
            tracked.sync.believe();
            believed.push((tracked.id.clone(), tracked.source.app_ids()));
        }
        for (id, apps) in believed {
            self.tell_claims(&id, Change::Only(apps), now, effects);
        }
    }
}
