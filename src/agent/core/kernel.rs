//! From the kernel to the controller, and from the controller to the kernel.

use std::collections::BTreeSet;
use std::sync::Arc;

use node::{KernelError, error_chain};
use vip::controller::{self, Facts, Mode, ReadFailure};
use vip::firewall::prefixes_to_check;
use vip::{Nft, NodeFacts, Observed};

use super::{AgentCore, Effect, KernelReading};
use crate::agent::status::DataPath;
use crate::clock::Moment;

impl AgentCore {
    /// Takes in a reading of the kernel.
    pub(super) fn on_observed(
        &mut self,
        reading: Result<KernelReading, KernelError>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let observed = reading.map(|reading| {
            self.sysctls = reading.sysctls;
            self.note_data_path(&reading.observed.nft);
            self.note_unread(&reading.observed.node.unread);
            self.note_former_interfaces(&reading.observed.node);
            self.note_firewall(&reading.observed);
            reading.observed
        });
        if self.acts_on_silence
            && let Ok(observed) = &observed
        {
            let (controller, can_ask) = (&self.controller, self.probe_status.obstacle.is_none());
            let verdicts = self.left_behind.begin(observed, controller, can_ask, now.since_start);
            self.tell_controller(controller::Input::Verdicts(verdicts), now, effects);
        }
        self.tell_facts(now, effects);
        let observed = observed.map_err(|error| ReadFailure(error_chain(&error)));
        self.tell_controller(controller::Input::Observed(observed), now, effects);
    }

    /// Logs the mode of the data path when it changes.
    fn note_data_path(&mut self, nft: &Nft) {
        let data_path = DataPath::from(nft);
        if self.data_path.as_ref() == Some(&data_path) {
            return;
        }
        match data_path.is_reduced {
            false => tracing::info!("data path: {}", data_path.text),
            true => tracing::warn!("data path: {}", data_path.text),
        }
        self.data_path = Some(data_path);
    }

    /// Logs what of the node couldn't be read, once.
    fn note_unread(&mut self, unread: &BTreeSet<String>) {
        for why in unread.difference(&self.unread_facts) {
            tracing::warn!("{why}");
        }
        self.unread_facts.clone_from(unread);
    }

    /// Logs which other interfaces hold VIPs, once.
    fn note_former_interfaces(&mut self, node: &NodeFacts) {
        if self.former_interfaces == node.former_interfaces {
            return;
        }
        for (what, remedy) in node.former_interface_notes() {
            tracing::warn!("{what}: {remedy}");
        }
        self.former_interfaces.clone_from(&node.former_interfaces);
    }

    /// Checks what the node's own firewall does to VIPs. Logs new problems, unless vipd's rules solve
    /// them.
    fn note_firewall(&mut self, observed: &Observed) {
        let vips = prefixes_to_check(&self.allow, observed.addresses.keys());
        let known = self.checked_firewall.as_ref().is_some_and(|(firewall, before)| {
            Arc::ptr_eq(firewall, &observed.firewall) && *before == vips
        });
        if known {
            return;
        }
        let firewall = observed.firewall.describe_problems(&vips);
        let news = firewall.iter().filter(|complaint| !self.firewall.contains(complaint));
        for complaint in news.filter(|_| !self.lets_in) {
            tracing::warn!("{complaint}");
        }
        self.firewall = firewall;
        self.checked_firewall = Some((Arc::clone(&observed.firewall), vips));
    }

    /// Passes the facts about the cluster to the controller, if they changed.
    pub(super) fn tell_facts(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if std::mem::take(&mut self.cluster.changed) {
            self.tell_controller(controller::Input::Facts(self.to_facts()), now, effects);
        }
    }

    /// Passes them before claims that are about to be told. A gap that has closed stays until then: it
    /// may be one of these claims that it stood for.
    pub(super) fn tell_facts_ahead(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if !std::mem::take(&mut self.cluster.changed) {
            return;
        }
        let mut facts = self.to_facts();
        let closes = self.controller.has_gaps() && !facts.gaps;
        facts.gaps |= closes;
        self.tell_controller(controller::Input::Facts(facts), now, effects);
        self.cluster.changed = closes;
    }

    fn to_facts(&self) -> Facts {
        let hosts = self.hosts.known_hosts();
        let servers = self.servers.iter().filter_map(|server| hosts.get(server)?.as_ref().ok());
        let masters = servers.flat_map(|addresses| addresses.iter().copied()).collect();
        let mut facts = self.cluster.to_facts(masters);
        if let Some(doubt) = &self.table_doubt {
            facts.doubted = true;
            facts.taken.clone_from(&doubt.taken);
        }
        facts
    }

    /// Passes an input to the controller and takes in its effects.
    pub(super) fn tell_controller(
        &mut self,
        input: controller::Input,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        for effect in self.controller.handle_input(input, now.since_start) {
            match effect {
                controller::Effect::Observe => {
                    let mend = self.controller.status().mode == Mode::Acting;
                    let known = self.controller.observed().cloned();
                    effects.push(Effect::Observe { known, mend });
                }
                controller::Effect::FindWays(servers) => effects.push(Effect::FindWays(servers)),
                controller::Effect::Apply(plan) => effects.push(Effect::Apply(plan)),
                controller::Effect::WakeAt(at) => self.controller_wake = at,
                controller::Effect::Report(_) => {}
                controller::Effect::Log(entries) => effects.push(Effect::Log(entries)),
            }
        }
    }
}
