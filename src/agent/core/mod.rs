//! The decisions of the agent: an input and a time go in, effects come out.
//!
//! The core joins the sources, the cache of host names and the controller. Like each of them it is
//! pure: it does no I/O and has no clock, so a test drives it through a day of faults in a moment.

mod config;
mod doubt;
mod kernel;
mod left_behind;
mod liveness;
mod messages;
mod names;
mod open_doubt;
mod refusals;
mod snapshot;
mod sources;
mod staleness;
mod sync_state;
mod tracked;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use node::error_chain;
use vip::controller::{self, Mode, ReadFailure};
use vip::liveness::{ProbeStatus, Refusals, ServerVerdict};
use vip::naming::{NameFacts, VipName, task_zones};
use vip::{Controller, Firewall, LabelReport};

use super::status::{DataPath, Hold, RefusedReload, SilentHost, WrongSysctl};
use crate::clock::{Moment, Timestamp};
use crate::sources::facts::ClusterContext;
use crate::sources::hosts::HostCache;
pub use config::Config;
use left_behind::LeftBehind;
pub use messages::{Effect, Input, KernelReading};
use open_doubt::OpenDoubt;
use tracked::TrackedSource;
use watching::Watching;

/// The core of the agent; see the module's documentation.
#[derive(Debug)]
pub struct AgentCore {
    sources: Vec<TrackedSource>,
    /// The names of servers that the cluster depends on.
    servers: BTreeSet<String>,
    hosts: HostCache,
    cluster: ClusterContext,
    controller: Controller,
    controller_wake: Duration,
    sysctls: Vec<WrongSysctl>,
    /// The prefixes that VIPs must lie in.
    allow: Vec<IpNet>,
    /// What of the node couldn't be read.
    unread_facts: BTreeSet<String>,
    /// Other interfaces that hold VIPs.
    former_interfaces: BTreeSet<String>,
    /// Problems of the node's firewall for VIPs.
    firewall: Vec<String>,
    /// The firewall and the prefixes that were checked for problems last.
    checked_firewall: Option<(Arc<Firewall>, Vec<IpNet>)>,
    /// Rules of vipd's own let VIPs through the firewall.
    lets_in: bool,
    data_path: Option<DataPath>,
    /// Why the node's resolver can't be told to ask the name server.
    resolver: Option<String>,
    /// The hosts that are silent.
    silent_hosts: BTreeMap<IpAddr, SilentHost>,
    /// Those of which the latest report of the prober says that they are no longer probed.
    unprobed_hosts: BTreeSet<IpAddr>,
    /// Hosts whose real servers were out of use when this agent started.
    left_behind: LeftBehind,
    /// The refusals of real servers whose sources are not heard, and the verdicts because of them.
    refusals: Refusals,
    refusing_servers: BTreeMap<SocketAddr, ServerVerdict>,
    /// Real servers on silent hosts, or that refuse clients, are taken out of use.
    acts_on_silence: bool,
    /// The state of the probing.
    probe_status: ProbeStatus,
    /// What the prober watches; `None` if there is none.
    watching: Option<Watching>,
    /// The zones of names; `None` if names are not served.
    zones: Option<Vec<String>>,
    /// The zones of the names of tasks; none if they are not served.
    task_zones: Vec<String>,
    hold: Option<Hold>,
    refused_reload: Option<RefusedReload>,
    /// The sources lack so much of the kernel's table that this is doubted.
    table_doubt: Option<OpenDoubt>,
    /// A source has told something since that was last looked at.
    table_news: bool,
    ready: bool,
    started: Timestamp,
}

impl AgentCore {
    /// Makes a core that knows nothing yet. The first [`Input::Tick`] starts it.
    #[must_use]
    pub fn new(config: Config, now: Moment) -> Self {
        let mut controller = config.controller;
        controller.sources = config.sources.iter().map(|source| source.id.clone()).collect();
        let sources = config.sources.iter();
        let allow = controller.table.policy.allow.clone();
        let zones = controller.table.names.as_ref().map(|names| names.zones().to_vec());
        let lets_in = !controller.table.let_in.is_empty();
        Self {
            servers: sources.clone().flat_map(|source| source.servers.clone()).collect(),
            sources: sources.map(|source| TrackedSource::new(source, now)).collect(),
            hosts: HostCache::default(),
            cluster: ClusterContext { changed: true, ..ClusterContext::default() },
            controller: Controller::new(controller),
            controller_wake: now.since_start,
            sysctls: Vec::new(),
            allow,
            unread_facts: BTreeSet::new(),
            former_interfaces: BTreeSet::new(),
            firewall: Vec::new(),
            checked_firewall: None,
            lets_in,
            data_path: None,
            resolver: None,
            silent_hosts: BTreeMap::new(),
            unprobed_hosts: BTreeSet::new(),
            left_behind: LeftBehind::default(),
            refusals: Refusals::default(),
            refusing_servers: BTreeMap::new(),
            acts_on_silence: false,
            probe_status: ProbeStatus::default(),
            watching: None,
            zones,
            task_zones: config.task_zone.iter().flat_map(|zone| task_zones(zone)).collect(),
            hold: None,
            refused_reload: None,
            table_doubt: None,
            table_news: false,
            ready: false,
            started: now.wall,
        }
    }

    /// Takes in an event and returns the effects to carry out, in order.
    pub fn handle_input(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.note_watched(&input, now.since_start);
        match input {
            Input::Source { source, message } => {
                self.on_source_message(&source, message, now, &mut effects);
            }
            Input::Resolved { name, answer } => self.on_resolved(&name, answer, now, &mut effects),
            Input::Observed(reading) => self.on_observed(reading, now, &mut effects),
            Input::Ways(ways) => {
                let ways = ways.map_err(|error| ReadFailure(error_chain(&error)));
                self.tell_controller(controller::Input::Ways(ways), now, &mut effects);
            }
            Input::Applied(outcome) => {
                self.tell_controller(controller::Input::Applied(outcome), now, &mut effects);
            }
            Input::KernelChanged => {
                self.tell_controller(controller::Input::KernelChanged, now, &mut effects);
            }
            Input::Hold(hold) => {
                self.hold = Some(hold);
                self.tell_controller(controller::Input::Hold, now, &mut effects);
            }
            Input::Release => {
                self.hold = None;
                self.tell_controller(controller::Input::Release, now, &mut effects);
            }
            Input::ReloadRefused(refused) => self.refused_reload = Some(refused),
            Input::Accept(source) => self.accept_losses(source.as_ref(), now, &mut effects),
            Input::Reassign(name) => {
                self.controller.reassign_name(&name, now.since_start);
                self.tell_controller(controller::Input::Tick, now, &mut effects);
            }
            Input::Resolver(trouble) => self.resolver = trouble,
            Input::Probed(report) => self.on_probe_report(report, now, &mut effects),
            Input::Tick => {}
        }
        self.handle_due(now, &mut effects);
        effects
    }

    /// The time at which [`Input::Tick`] is due, unless another input comes before.
    #[must_use]
    pub fn wake_at(&self) -> Duration {
        let sources = self.sources.iter().map(|tracked| tracked.source.wake_at());
        let watching = self.watching.as_ref().filter(|_| self.controller.observed().is_some());
        let list = watching.and_then(|watching| watching.due);
        let verdicts = self.refusals.wake_at().into_iter().chain(self.left_behind.wake_at());
        let times = sources.chain(self.hosts.wake_at()).chain(list).chain(verdicts);
        times.fold(self.controller_wake, Duration::min)
    }

    /// Takes the news about labels since the last call: each refused label is reported once, until
    /// that changes.
    pub fn take_news(&mut self) -> Vec<LabelReport> {
        let mut news = std::mem::take(&mut self.cluster.news);
        news.extend(self.controller.take_news());
        news
    }

    /// The controller.
    #[must_use]
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Returns what is known of a name that has an address.
    #[must_use]
    pub fn find_name(&self, name: &VipName, now: Moment) -> Option<NameFacts> {
        let facts = self.controller.name_facts(now.since_start);
        facts.into_iter().find(|facts| facts.name == *name)
    }

    /// Does what is due at this time, after any input.
    fn handle_due(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.advance_sources(now, effects, |tracked, context| tracked.source.handle_due(context));
        self.believe_sources(now, effects);
        self.review_doubt(now, effects);
        self.review_refusals(now, effects);
        self.review_left_behind(&BTreeSet::new(), now, effects);
        self.hosts.request_hosts(self.servers.iter().map(String::as_str), now.since_start);
        effects.extend(self.hosts.take_due(now.since_start).into_iter().map(Effect::Resolve));
        self.tell_facts(now, effects);
        if self.controller_wake <= now.since_start {
            // While the kernel is busy the controller sets no other time: the answer wakes it.
            self.controller_wake = Duration::MAX;
            self.tell_controller(controller::Input::Tick, now, effects);
        }
        let status = self.controller.status();
        self.ready = self.ready
            || status.awaited.is_empty() && status.counters.readings > 0 && self.is_in_kernel();
        self.save_sources(now, effects);
        self.update_names(now, effects);
        self.update_watched(now.since_start, effects);
    }

    /// Returns whether all claims are in the kernel. A VIP that the kernel refuses doesn't count: the
    /// others are there.
    fn is_in_kernel(&self) -> bool {
        let status = self.controller.status();
        let is_refused = |vip: &vip::Vip| status.failing.contains_key(&vip.address);
        status.mode != Mode::Acting
            || status.overdue_since.is_none()
                && (status.failing.is_empty()
                    || !self.controller.desired().services.keys().all(is_refused))
    }
}
