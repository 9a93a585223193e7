//! Effects of inputs on the controller's knowledge, and on the addresses to plan for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::changed_addresses::{changed_addresses, same_firewall};
use super::config::{BREAK, EVERYTHING, REST, SETTLE};
use super::{AppKey, Change, Controller, Facts, Input, Job, LogEntry, ReadFailure, Retry};
use crate::local::{has_two_ways, wants_a_look};
use crate::plan::OpResult;
use crate::{Observed, SourceId};

impl Controller {
    /// Takes in an input. For an outcome it returns the results for the log.
    pub(super) fn take_in(
        &mut self,
        input: Input,
        now: Duration,
    ) -> Option<Vec<(LogEntry, OpResult)>> {
        match input {
            Input::Claims { source, change } => self.on_claims(&source, change, now),
            Input::Lost { source, why } => self.claims.mark_lost(source, why),
            Input::Facts(facts) => self.on_facts(facts, now),
            Input::Observed(reading) => self.on_observed(reading, now),
            Input::Ways(ways) => self.on_ways(ways, now),
            Input::Applied(outcome) => return Some(self.on_applied(&outcome, now)),
            Input::Verdicts(verdicts) => self.on_verdicts(verdicts, now),
            Input::ServerVerdicts(verdicts) => self.on_server_verdicts(verdicts, now),
            Input::KernelChanged => {
                let rested = self.read_at.saturating_add(self.rest);
                self.look_at = self.look_at.min(now.saturating_add(SETTLE).max(rested));
                self.ways.announced = true;
            }
            Input::Hold => self.held = true,
            Input::Release => {
                self.held = false;
                self.look_at = now;
            }
            Input::Tick => {}
        }
        None
    }

    fn on_claims(&mut self, source: &SourceId, change: Change, now: Duration) {
        let was_complete = self.claims.is_complete();
        let change = self.place_names(source, change, now);
        let (apps, addresses) = self.claims.apply_change(source, change);
        let draining: Vec<_> = apps.iter().flat_map(|app| self.drains.of_app(app)).collect();
        self.touch_now(addresses.into_iter().chain(draining), now);
        if self.claims.is_complete() && !was_complete {
            self.retry_names(now);
            self.touch_all(now);
        }
        self.forget_lapsed();
        // A reading in progress may be older than that: it is checked when it is complete.
        match self.job {
            Some(Job::Observe) => self.said_meanwhile.extend(apps),
            _ => self.look_again(&apps, now),
        }
    }

    /// Requests a reading at once if the last one is too old for the claims of these apps.
    fn look_again(&mut self, apps: &BTreeSet<AppKey>, now: Duration) {
        let mut claims = apps.iter().flat_map(|app| self.claims.claims_of_app(app));
        let model = self.model.as_deref();
        if model.is_some_and(|model| claims.any(|claim| wants_a_look(claim, model))) {
            self.look_at = self.look_at.min(now);
        }
    }

    fn on_facts(&mut self, facts: Facts, now: Duration) {
        let old = std::mem::replace(&mut self.facts, facts);
        let (was, is) = (&old.cluster, &self.facts.cluster);
        let sets = [(&was.nodes, &is.nodes), (&was.masters, &is.masters), (&was.tasks, &is.tasks)];
        let differ = sets.into_iter().flat_map(|(was, is)| was.symmetric_difference(is));
        let claimed = differ.filter(|address| self.claims.claims_on(**address).next().is_some());
        let claimed: Vec<_> = claimed.copied().collect();
        self.touch_now(claimed, now);
        let Facts { cluster: _, uncertain, gaps, doubted, taken } = &self.facts;
        let is_same = (*gaps, *doubted) == (old.gaps, old.doubted);
        if !is_same || *uncertain != old.uncertain || *taken != old.taken {
            self.touch_all(now);
        }
        self.forget_lapsed();
    }

    /// Forgets which VIPs were claimed once, unless that matters: until every source was read, and
    /// while the table is doubted.
    fn forget_lapsed(&mut self) {
        if self.claims.is_complete() && !self.facts.doubted {
            self.claims.lapsed.clear();
        }
    }

    fn on_observed(&mut self, reading: Result<Observed, ReadFailure>, now: Duration) {
        if !matches!(self.job, Some(Job::Observe)) {
            return;
        }
        self.job = None;
        let said_meanwhile = std::mem::take(&mut self.said_meanwhile);
        match reading {
            Ok(observed) => {
                self.counters.readings += 1;
                self.unread = None;
                self.rest = REST.max(now.saturating_sub(self.asked_at).saturating_mul(BREAK));
                self.drains.note_connections(&observed, now);
                (self.read_at, self.last_reading) = (now, Some(now));
                let before = self.model.replace(observed.into());
                self.age_ways(before.as_deref());
                match before.filter(|_| !self.counters.readings.is_multiple_of(EVERYTHING)) {
                    Some(before) => self.touch_changed(&before, now),
                    None => self.touch_all(now),
                }
                self.look_again(&said_meanwhile, now);
            }
            Err(ReadFailure(why)) => {
                self.counters.failed_readings += 1;
                let retry = Retry::after_failure(self.unread.as_ref(), why, now, &self.config);
                self.look_at = retry.at;
                self.read_at = now;
                self.unread = Some(retry);
            }
        }
    }

    /// Marks addresses as changed: they are planned for now, whatever failed before.
    pub(super) fn touch_now(&mut self, addresses: impl IntoIterator<Item = IpAddr>, now: Duration) {
        for address in addresses {
            self.touched.entry(address).or_insert(now);
            self.spoken_against.remove(&address);
            if let Some(retry) = self.retries.get_mut(&address) {
                retry.at = now;
            }
        }
    }

    /// Marks the addresses that differ in the last reading.
    fn touch_changed(&mut self, before: &Observed, now: Duration) {
        let Some(model) = &self.model else { return };
        let lets_in = !self.config.table.let_in.is_empty();
        let found =
            changed_addresses(before, model).filter(|_| same_firewall(before, model, lets_in));
        let Some(mut addresses) = found else { return self.touch_all(now) };
        // Only readings tell about connections.
        addresses.extend(self.drains.iter().map(|(vip, ..)| vip.address));
        if before.node.listening != model.node.listening {
            let claims = self.claims.all_claims().filter(|claim| has_two_ways(claim, &model.node));
            addresses.extend(claims.map(|claim| claim.vip.address));
        }
        for address in addresses {
            self.touched.entry(address).or_insert(now);
        }
    }

    /// Marks all addresses for comparison. Retries that are pending keep their time.
    pub(super) fn touch_all(&mut self, now: Duration) {
        let mut all: BTreeSet<IpAddr> = self.claims.vips().map(|vip| vip.address).collect();
        all.extend(self.decided.addresses());
        all.extend(self.listen_addresses());
        all.extend(&self.served);
        if let Some(model) = &self.model {
            all.extend(model.addresses.keys());
            all.extend(model.our_services().map(|(vip, _)| vip.address));
            all.extend(model.nft.elements().map(|element| element.address()));
        }
        for address in all {
            self.touched.entry(address).or_insert(now);
        }
    }

    /// Marks the addresses whose drain or lingering is over.
    pub(super) fn touch_expired(&mut self, now: Duration) {
        let drains = self.drains.iter().map(|(vip, _, drain)| (vip.address, drain.deadline));
        let lingering = self.lingering.iter().map(|(address, until)| (address, Some(until)));
        let expired = |at: Option<Duration>| at.is_some_and(|at| self.clock < at && at <= now);
        for (address, at) in drains.chain(lingering) {
            if expired(at) {
                self.touched.entry(address).or_insert(now);
            }
        }
    }
}
