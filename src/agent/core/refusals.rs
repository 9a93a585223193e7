//! Real servers that refuse clients: what that means depends on whether their source is heard.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use vip::controller;
use vip::liveness::{Refusal, ServerVerdict};

use super::{AgentCore, Effect};
use crate::clock::Moment;

impl AgentCore {
    /// Takes in refusals that clients met. Those of real servers whose source is heard count for nothing:
    /// it knows better which tasks there are.
    pub(super) fn on_refusals(
        &mut self,
        refusals: Vec<Refusal>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if !self.sources.iter().any(|tracked| tracked.staleness.is_stale()) {
            return;
        }
        let unconfirmed = self.unconfirmed(&refusals.iter().map(|each| each.server).collect());
        let counted = refusals.into_iter().filter(|each| unconfirmed.contains(&each.server));
        let verdicts: Vec<_> = counted
            .filter_map(|refusal| self.refusals.on_refusal(refusal, now.since_start))
            .collect();
        self.tell_server_verdicts(verdicts, now, effects);
    }

    /// Takes back verdicts that have lasted long enough, and those about real servers whose source is
    /// heard again.
    pub(super) fn review_refusals(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let mut is_heard = false;
        for tracked in &mut self.sources {
            tracked.staleness.update(tracked.source.view(), now.since_start);
            is_heard |= !tracked.staleness.is_stale();
        }
        let mut verdicts = self.refusals.take_due(now.since_start);
        if is_heard && !self.refusals.is_empty() {
            let unconfirmed = self.unconfirmed(&self.refusals.servers().collect());
            verdicts.extend(self.refusals.retain(|server| unconfirmed.contains(server)));
        }
        self.tell_server_verdicts(verdicts, now, effects);
    }

    /// Returns those of these real servers whose tasks no source that is heard has.
    fn unconfirmed(&self, servers: &BTreeSet<SocketAddr>) -> BTreeSet<SocketAddr> {
        let stale = self.sources.iter().filter(|tracked| tracked.staleness.is_stale());
        let stale: BTreeSet<_> = stale.map(|tracked| tracked.id.clone()).collect();
        let sources = self.controller.sources_of(servers).into_iter();
        sources.filter(|(_, all)| all.is_subset(&stale)).map(|(server, _)| server).collect()
    }

    fn tell_server_verdicts(
        &mut self,
        verdicts: Vec<ServerVerdict>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        for verdict in &verdicts {
            match verdict.is_refusing {
                true => drop(self.refusing_servers.insert(verdict.server, verdict.clone())),
                false => drop(self.refusing_servers.remove(&verdict.server)),
            }
        }
        if self.acts_on_silence && !verdicts.is_empty() {
            self.tell_controller(controller::Input::ServerVerdicts(verdicts), now, effects);
        }
    }
}
