//! Plans for the addresses that have changed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::known_ways::Question;
use super::slice::slice_of;
use super::{Controller, Effect, Job, Mode, Parting};
use crate::{Desired, Observed, Op, Plan, Scope, decide};

impl Controller {
    /// Returns the next request to the kernel.
    pub(super) fn next_request(&mut self, now: Duration) -> Option<Effect> {
        if let Some(effect) = self.take_out_at_once(now) {
            return Some(effect);
        }
        if self.next_look() <= now {
            self.look_at = now.saturating_add(self.config.sync_period);
            self.job = Some(Job::Observe);
            return Some(Effect::Observe);
        }
        if let Some(effect) = self.refresh_ways(now) {
            return Some(effect);
        }
        self.withheld.clear();
        let due = self.due_addresses(now);
        let model = self.model.take()?;
        // Operations that are held back are shown all at once.
        let portion = match self.mode() {
            Mode::Acting => self.config.portion.get(),
            Mode::ObserveOnly | Mode::Held => usize::MAX,
        };
        let effect = due.chunks(portion).find_map(|portion| {
            let portion = portion.iter().copied().collect();
            match self.plan_for(&model, &portion, now) {
                Ok(plan) => self.settle_plan(portion, plan, now),
                Err(question) => self.ask_or_wait(question, &model, portion, now),
            }
        });
        self.model = Some(model);
        effect
    }

    /// Asks the question that came up for these addresses. If the kernel has just failed to answer,
    /// those that need the answer wait, and the others are planned for.
    fn ask_or_wait(
        &mut self,
        question: Question,
        model: &Observed,
        mut portion: BTreeSet<IpAddr>,
        now: Duration,
    ) -> Option<Effect> {
        let Question { ways, waiting } = question;
        let Some(retry) = self.ways.pending_failure(now).cloned() else {
            return Some(self.find_ways(ways));
        };
        portion.retain(|address| !waiting.contains(address));
        self.retries.extend(waiting.into_iter().map(|address| (address, retry.clone())));
        let plan = self.plan_for(model, &portion, now).ok()?;
        self.settle_plan(portion, plan, now)
    }

    /// Returns the addresses to plan for now, in the order of their waiting time.
    fn due_addresses(&self, now: Duration) -> Vec<IpAddr> {
        let due = |address: &IpAddr| self.retries.get(address).is_none_or(|retry| retry.at <= now);
        let mut found: Vec<_> = self.touched.iter().filter(|(address, _)| due(address)).collect();
        found.sort_by_key(|(_, since)| **since);
        found.into_iter().map(|(address, _)| *address).collect()
    }

    /// Takes over a plan for these addresses: its operations are sent or held back.
    pub(super) fn settle_plan(
        &mut self,
        due: BTreeSet<IpAddr>,
        plan: Plan,
        now: Duration,
    ) -> Option<Effect> {
        let changes = changed_by(&plan, &due);
        let mut addresses = BTreeMap::new();
        for address in due {
            let since = self.touched.remove(&address);
            if changes.contains(&address) {
                addresses.insert(address, since.unwrap_or(now));
            } else {
                self.retries.remove(&address);
            }
        }
        if plan.is_empty() {
            return None;
        }
        if self.mode() != Mode::Acting {
            self.withheld = plan.ops;
            self.touched.extend(addresses);
            return None;
        }
        self.counters.plans += 1;
        self.job = Some(Job::Apply { ops: plan.ops.len(), addresses });
        Some(Effect::Apply(plan))
    }

    /// Decides about addresses and plans for them, or returns the question to ask first.
    pub(super) fn plan_for(
        &mut self,
        model: &Observed,
        addresses: &BTreeSet<IpAddr>,
        now: Duration,
    ) -> Result<Plan, Question> {
        let scope = self.scope();
        let mut observed = slice_of(model, addresses);
        let mut desired = self.assemble_desired(&observed, addresses, now);
        self.choose_routes(&mut desired, addresses, (&observed, model), now)?;
        self.counters.planned += addresses.len() as u64;
        if scope == Scope::Complete && self.config.parting == Parting::Gradual {
            let until = now.saturating_add(self.config.linger);
            self.lingering.hide_lingering(&mut observed, addresses, &desired, now, until);
        }
        let mut plan = Plan::new(&observed, &desired, scope, &self.config.node);
        plan.forget_flows_beside(addresses, model, desired.modes);
        self.note_served(addresses, &observed, &desired, now);
        self.remember_decision(addresses, desired, &plan);
        let (services, conflicts) = (self.decided.all_services(), &self.conflicts);
        self.states.note_decision(addresses, services, conflicts, now);
        Ok(plan)
    }

    /// Assembles the desired state of some addresses, of which `observed` is the reading: from
    /// claims, facts and settings, and from draining servers. No other code does; only the
    /// routes are filled in later.
    fn assemble_desired(
        &mut self,
        observed: &Observed,
        addresses: &BTreeSet<IpAddr>,
        now: Duration,
    ) -> Desired {
        let claims = addresses.iter().flat_map(|address| self.claims.claims_on(*address));
        let claims = claims.cloned().collect();
        let (policy, cluster) = (&self.config.table.policy, &self.facts.cluster);
        let base = self.nothing_desired();
        let mut restored = Cow::Borrowed(observed);
        if self.config.parting == Parting::Gradual {
            let (decided, claims) = (&self.decided, &self.claims);
            self.drains.restore_weights(restored.to_mut(), decided, claims);
        }
        if !self.silent_hosts.is_idle() {
            self.silent_hosts.restore_weights(restored.to_mut(), &self.claims);
        }
        let decided = decide(claims, &restored, &self.served, policy, cluster);
        let mut desired = Desired { services: decided.services, reports: decided.reports, ..base };
        if !desired.several_sources {
            desired.reports.iter_mut().for_each(|report| report.source = None);
        }
        if self.facts.doubted {
            for service in desired.services.values_mut() {
                service.incomplete |= service.selection.members.is_empty();
            }
        }
        let listeners = self.listeners(observed).into_iter();
        desired.listeners = listeners.filter(|at| addresses.contains(&at.ip())).collect();
        desired.names = self.names_of(addresses);
        self.add_name_notes(&mut desired.reports);
        self.add_kept(&mut desired, observed, addresses);
        self.silent_hosts.lay_over(&mut desired, observed, addresses);
        if self.config.parting == Parting::Gradual {
            let known = (&self.decided, &self.claims, &self.silent_hosts);
            self.drains.add_to(&mut desired, self.scope(), addresses, observed, known, now);
        }
        desired
    }

    fn remember_decision(&mut self, addresses: &BTreeSet<IpAddr>, desired: Desired, plan: &Plan) {
        let before = self.decided.forget_addresses(addresses);
        self.news.extend(crate::label::changed_reports(&before, &desired.reports));
        self.conflicts.retain(|vip, _| !addresses.contains(&vip.address));
        let conflicts = plan.conflicts.iter().map(|conflict| (conflict.vip, conflict.clone()));
        self.conflicts.extend(conflicts);
        self.decided.add_desired(desired);
    }
}

/// Returns the addresses that a plan changes: those of its operations, or all if it changes the
/// interface.
fn changed_by(plan: &Plan, addresses: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let changed: Option<BTreeSet<IpAddr>> = plan.ops.iter().map(Op::address).collect();
    changed.unwrap_or_else(|| addresses.clone())
}
