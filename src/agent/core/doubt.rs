//! Doubt about the first answers of the sources, against the kernel's table. A source itself doubts
//! answers against what it knew; what no source knew is in the table alone.

use std::collections::BTreeSet;

use vip::SourceId;
use vip::plan::Losses;

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
        let Some(observed) = self.controller.observed() else { return };
        let losses = self.controller.unclaimed_losses(observed);
        if !losses.is_suspicious() {
            return;
        }
        self.doubt_table(Some(losses), now, effects);
        self.advance_sources(now, effects, |tracked, context| match tracked.sync {
            SyncState::Whole => tracked.source.doubt_answers(Some(losses), context),
            SyncState::Partial | SyncState::Believed { .. } => SourceStep::default(),
        });
    }

    /// Ends the doubt about the table once the sources have no doubt any more, or claim enough of
    /// it.
    pub(super) fn review_doubt(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(before) = self.table_doubt else { return };
        if !std::mem::take(&mut self.table_news) {
            return;
        }
        let is_open = self.sources.iter().any(|each| each.source.view().doubt.is_some());
        let observed = self.controller.observed();
        // Related to the table at the time when the doubt was opened: vipd has added to it since.
        let lacks = observed.is_none_or(|observed| {
            let Losses { of_services, of_servers, .. } = before;
            let losses = self.controller.unclaimed_losses(observed);
            Losses { of_services, of_servers, ..losses }.is_suspicious()
        });
        if is_open && lacks {
            return;
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

    fn doubt_table(&mut self, losses: Option<Losses>, now: Moment, effects: &mut Vec<Effect>) {
        self.table_doubt = losses;
        self.cluster.changed = true;
        self.tell_facts(now, effects);
    }
}
