//! From what Marathons say to claims.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use marathon::WorkloadKey;
use marathon::watch;
use vip::controller::{self, Change};

use super::{AgentCore, Effect};
use crate::clock::Moment;
use crate::sources::marathon::{MarathonSource, SyncState};

/// Servers of Marathon that are remembered.
const MAX_SERVERS: usize = 64;

impl AgentCore {
    /// No VIP may be the address of a leader, or of another server that the cluster depends on.
    pub(super) fn meet(&mut self, servers: impl IntoIterator<Item = String>) {
        for server in servers {
            if self.servers.len() < MAX_SERVERS {
                self.around.changed |= self.servers.insert(server);
            }
        }
    }

    /// Takes note of whether a Marathon answers.
    pub(super) fn heard<T>(
        &mut self,
        source: usize,
        answer: Result<T, String>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) -> Option<T> {
        let at = &mut self.sources[source];
        let source = at.id.clone();
        match answer {
            Ok(answer) => {
                if at.view.error.take().is_some() {
                    let nothing_new = Change::Apps(BTreeMap::new());
                    self.tell(
                        controller::Input::Claims { source, change: nothing_new },
                        now,
                        effects,
                    );
                }
                Some(answer)
            }
            Err(why) => {
                at.view.error = Some(why.clone());
                self.tell(controller::Input::Lost { source, why }, now, effects);
                None
            }
        }
    }

    fn read_whole(&mut self, source: usize, now: Moment) {
        let at = &mut self.sources[source];
        at.view.read_at = Some(now.wall);
        at.view.from_disk = false;
        at.unkept = true;
        if at.standing == SyncState::Doubted {
            at.standing = SyncState::Whole;
        }
    }

    pub(super) fn watch(
        &mut self,
        source: usize,
        input: watch::Input,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let step = self.sources[source].on(input, now.since_start);
        let actions = step.actions.into_iter();
        effects.extend(actions.map(|action| Effect::Marathon { source, action }));
        self.refresh(source, &step.changed, now, effects);
        if step.whole {
            self.read_whole(source, now);
        }
    }

    /// Tells the controller what these workloads say now.
    pub(super) fn refresh(
        &mut self,
        source: usize,
        keys: &BTreeSet<WorkloadKey>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if keys.is_empty() {
            return;
        }
        let at = &mut self.sources[source];
        let apps = at.refresh(keys, &mut self.names, &mut self.around, now);
        let source = at.id.clone();
        self.tell_facts(now, effects);
        self.tell(controller::Input::Claims { source, change: Change::Apps(apps) }, now, effects);
    }

    pub(super) fn resolved(
        &mut self,
        name: &str,
        answer: Result<Arc<[IpAddr]>, String>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        if !self.names.found(name, answer, now.since_start) {
            return;
        }
        self.around.changed |= self.servers.contains(name);
        for source in 0..self.sources.len() {
            let keys = self.sources[source].on_host(name);
            self.refresh(source, &keys, now, effects);
        }
        self.forget_names();
    }

    /// A cluster's nodes come and go, and so do their names.
    fn forget_names(&mut self) {
        let used = self.sources.iter().flat_map(MarathonSource::hosts);
        let used = used.chain(self.servers.iter().map(String::as_str)).collect();
        self.names.retain(&used);
    }

    /// Once every source was read whole: takes their word for what isn't there any more. If that is
    /// more than half of what the kernel holds, they are read once more before: a Marathon that has
    /// just started may know very little.
    pub(super) fn believe(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let waiting = |source: &MarathonSource| source.standing == SyncState::Whole;
        let partial = |source: &MarathonSource| {
            matches!(source.standing, SyncState::Partial | SyncState::Doubted)
        };
        if !self.sources.iter().any(waiting) || self.sources.iter().any(partial) {
            return;
        }
        let Some(observed) = self.controller.observed() else { return };
        let ours: Vec<_> = observed.our_services().map(|(vip, _)| vip).collect();
        // Not what is decided: that comes in portions.
        let claimed: BTreeSet<_> = self.controller.claimed_vips().collect();
        let unclaimed = ours.iter().filter(|vip| !claimed.contains(vip)).count();
        for source in 0..self.sources.len() {
            let at = &mut self.sources[source];
            if at.standing != SyncState::Whole {
                continue;
            }
            if 2 * unclaimed > ours.len() && !at.doubted {
                at.doubted = true;
                at.standing = SyncState::Doubted;
                tracing::warn!(
                    source = at.id.as_str(),
                    unclaimed,
                    of = ours.len(),
                    "the first answer claims less than half of the VIPs in the kernel: reading again"
                );
                self.watch(source, watch::Input::Doubt, now, effects);
                continue;
            }
            at.standing = SyncState::Believed;
            let change = Change::Only(at.everything());
            let source = at.id.clone();
            self.tell(controller::Input::Claims { source, change }, now, effects);
        }
    }
}

/// The host in `http://host:port`.
pub(super) fn host_of(leader: &str) -> Option<String> {
    let url = marathon::client::Url::parse(leader).ok()?;
    Some(url.host_str()?.to_owned())
}
