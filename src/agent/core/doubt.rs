//! Doubt about the first answers of the sources, against the kernel's table. A source itself doubts
//! answers against what it knew; what no source knew is in the table alone.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use vip::{Observed, SourceId};

use super::open_doubt::OpenDoubt;
use super::sync_state::SyncState;
use super::tracked::TrackedSource;
use super::{AgentCore, Effect};
use crate::clock::Moment;
use crate::sources::step::{Place, SourceStep};

impl AgentCore {
    /// Doubts the first answers if they lack more than half of the marked table. Until they are
    /// believed, no VIP is removed that nobody claims. Claims count, not decisions: those are made
    /// in portions and may not be complete yet.
    pub(super) fn doubt_first_answers(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(observed) = self.controller.observed().cloned() else { return };
        let before = observed.servers_in_use();
        let losses = self.controller.unclaimed_losses(&before);
        if !losses.is_suspicious() {
            return;
        }
        let taken = self.taken_servers(&observed);
        self.doubt_table(Some(OpenDoubt { before, taken }), now, effects);
        self.advance_sources(now, effects, |tracked, context| match tracked.sync {
            SyncState::Whole => tracked.source.doubt_answers(Some(losses), context),
            SyncState::Partial | SyncState::Believed { .. } => SourceStep::default(),
        });
    }

    /// Ends the doubt about the table once the sources have no doubt any more, or claim enough of
    /// it.
    pub(super) fn review_doubt(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(doubt) = &self.table_doubt else { return };
        if !std::mem::take(&mut self.table_news) {
            return;
        }
        let is_open = self.sources.iter().any(|each| each.source.view().doubt.is_some());
        if is_open && self.controller.unclaimed_losses(&doubt.before).is_suspicious() {
            return self.note_taken();
        }
        self.advance_sources(now, effects, |tracked, context| {
            tracked.source.doubt_answers(None, context)
        });
        self.doubt_table(None, now, effects);
    }

    /// Drops tasks that a source keeps in doubt where another source lists its own. `claimed` are
    /// places that source `id` lists for the first time; `relisted` tells that it keeps others.
    pub(super) fn evict_kept(
        &mut self,
        id: &SourceId,
        claimed: &BTreeSet<Place>,
        relisted: bool,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let is_open = |each: &TrackedSource| each.source.view().doubt.is_some();
        let others = || self.sources.iter().filter(|each| each.id != *id);
        let mut doubted = Vec::new();
        if !claimed.is_empty() {
            let open = others().filter(|each| is_open(each));
            doubted.extend(open.map(|each| (each.id.clone(), claimed.clone())));
        }
        if relisted && self.sources.iter().any(|each| each.id == *id && is_open(each)) {
            let places: BTreeSet<_> = others().flat_map(|each| each.source.places()).collect();
            doubted.push((id.clone(), places));
        }
        for (id, places) in doubted.into_iter().filter(|(_, places)| !places.is_empty()) {
            self.advance_source(&id, now, effects, |source, context| {
                source.evict_kept(places, context)
            });
        }
    }

    /// Accepts what the answers of a source lack, or those of all.
    pub(super) fn accept_losses(
        &mut self,
        id: Option<&SourceId>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        self.advance_sources(now, effects, |tracked, context| {
            match id.is_none_or(|id| *id == tracked.id) {
                true => tracked.source.accept_loss(context),
                false => SourceStep::default(),
            }
        });
        self.table_news = true;
    }

    /// Notes the places that tasks have taken since the doubt about the table was opened.
    fn note_taken(&mut self) {
        let Some(observed) = self.controller.observed() else { return };
        let taken = self.taken_servers(observed);
        if let Some(doubt) = &mut self.table_doubt {
            let before = doubt.taken.len();
            doubt.taken.extend(taken);
            self.cluster.changed |= doubt.taken.len() > before;
        }
    }

    /// Returns the real servers that no source lists, at places of tasks that are listed.
    fn taken_servers(&self, observed: &Observed) -> BTreeSet<SocketAddr> {
        let unclaimed: BTreeSet<_> = self.controller.unclaimed_servers(observed).collect();
        let hosts = self.hosts.known_hosts();
        let places = self.sources.iter().flat_map(|each| each.source.places());
        places
            .flat_map(|place| match place {
                Place::Task(_, address, port) => vec![SocketAddr::new(address, port)],
                Place::Agent(host, port) => {
                    let addresses = hosts.get(&*host).and_then(|known| known.as_ref().ok());
                    let addresses = addresses.into_iter().flat_map(|all| all.iter());
                    addresses.map(|address| SocketAddr::new(*address, port)).collect()
                }
            })
            .filter(|place| unclaimed.contains(place))
            .collect()
    }

    fn doubt_table(&mut self, doubt: Option<OpenDoubt>, now: Moment, effects: &mut Vec<Effect>) {
        self.table_doubt = doubt;
        self.cluster.changed = true;
        self.tell_facts(now, effects);
    }
}
