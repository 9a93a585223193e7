//! Reports of the controller's status.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Controller, Effect, Job, Mode, Status};
use crate::{KernelMatch, TaskCounts, Vip, VipCount, VipState};

impl Controller {
    pub(super) fn mode(&self) -> Mode {
        match (self.config.observe_only, self.held) {
            (true, _) => Mode::ObserveOnly,
            (false, true) => Mode::Held,
            (false, false) => Mode::Acting,
        }
    }

    /// Returns the state and the numbers of tasks of each VIP.
    pub fn count_vips(&self) -> impl Iterator<Item = (Vip, VipCount)> {
        self.decided.services().map(|(vip, service)| {
            let model = self.model.as_deref();
            let kernel = model.map(|model| KernelMatch::compare(vip, Some(service), model));
            let has_conflict = self.conflicts.contains_key(vip);
            let tasks = TaskCounts::of_service(service);
            let state =
                tasks.find_state(kernel.unwrap_or_default(), has_conflict, service.suspended);
            let is_suspended = service.suspended && tasks.serving == 0;
            (*vip, VipCount { state, tasks, is_suspended })
        })
    }

    /// Returns the state of each VIP once its latest decision is in the kernel, and since when.
    #[must_use]
    pub fn states(&self) -> &BTreeMap<Vip, (VipState, Duration)> {
        self.states.all()
    }

    pub(super) fn report(&mut self) -> Option<Effect> {
        let sent = match &self.job {
            Some(Job::Apply { addresses, .. }) => Some(addresses.iter()),
            _ => None,
        };
        let changes = || self.touched.iter().chain(sent.clone().into_iter().flatten());
        let overdue = changes().filter(|(address, _)| !self.retries.contains_key(*address));
        let status = Status {
            mode: self.mode(),
            awaited: self.claims.awaited_sources().cloned().collect(),
            lost: self
                .claims
                .lost_sources()
                .map(|(source, why)| (source.clone(), why.clone()))
                .collect(),
            failing: self.retries.clone(),
            conflicts: self.conflicts.values().map(ToString::to_string).collect(),
            draining: self.drains.iter().count(),
            unapplied_since: changes().map(|(_, since)| *since).min(),
            overdue_since: overdue.map(|(_, since)| *since).min(),
            read_at: self.last_reading,
            asked_since: self.job.is_some().then_some(self.asked_at),
            unread: self.unread.as_ref().or(self.ways.failing.as_ref()).cloned(),
            pending: self.withheld.len(),
            counters: self.counters,
        };
        if status == self.status {
            return None;
        }
        self.status = status.clone();
        Some(Effect::Report(Box::new(status)))
    }
}
