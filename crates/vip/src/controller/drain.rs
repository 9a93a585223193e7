//! Draining real servers: weight 0 until their connections have ended.
//!
//! A TCP real server that is no longer desired, but whose task may still run, takes no new
//! connections and keeps the present ones until none has been active for a while or its time is
//! over. If its task has ended, it is removed at once, so that clients are reset instead of left
//! hanging. So are real servers of UDP services, since clients with a fixed 5-tuple would stay on
//! them for good.
//!
//! The state is in the kernel: a server of weight 0 that is not desired drains, even after a
//! restart of the agent, with a new deadline.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::claims::{AppKey, Claims};
use super::decided::Decided;
use super::local_facts::{DrainFacts, milliseconds};
use super::silent_hosts::SilentHosts;
use super::tenant::Tenant;
use crate::label::{DEFAULT_DRAIN, Options};
use crate::ownership::{MARK, Owner, owner_of};
use crate::{
    Desired, DesiredService, Member, Observed, ObservedServer, ObservedService, Protocol, Scope,
    Selection, Vip, Why,
};

/// The time without an active connection after which a draining server is removed.
pub(crate) const IDLE: Duration = Duration::from_secs(10);

/// A draining real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// The weight before.
    pub before: u32,
    /// The time when it is removed at the latest, since the start of the clock; `None` until the
    /// kernel has set its weight to 0.
    pub deadline: Option<Duration>,
    /// The first and last of the latest readings without an active connection.
    idle: Option<(Duration, Duration)>,
}

impl Drain {
    fn of_server(held: &ObservedServer) -> Self {
        Self { before: held.settings.weight, deadline: None, idle: None }
    }

    fn is_over(&self, now: Duration) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
            || self.idle.is_some_and(|(first, last)| last - first >= IDLE)
    }
}

/// The draining servers of one virtual service.
#[derive(Debug, Default)]
struct Memory {
    /// The longest time to drain.
    time: Option<Duration>,
    /// The tasks of the kernel's real servers that are no longer members. Those of its members are
    /// in the latest decision.
    tenants: BTreeMap<SocketAddr, Tenant>,
    leaving: BTreeMap<SocketAddr, Drain>,
}

/// All draining real servers.
#[derive(Debug, Default)]
pub(crate) struct Drains {
    services: BTreeMap<Vip, Memory>,
    /// The services that have a draining server: few, and asked for all the time.
    draining: BTreeSet<Vip>,
}

impl Drains {
    /// Returns every draining server.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Vip, SocketAddr, &Drain)> {
        self.draining_memories().flat_map(|(vip, memory)| {
            memory.leaving.iter().map(move |(server, drain)| (vip, *server, drain))
        })
    }

    /// Returns the addresses with a draining server whose task is of this app.
    pub(crate) fn of_app(&self, app: &AppKey) -> impl Iterator<Item = IpAddr> {
        self.draining_memories().filter_map(move |(vip, memory)| {
            let mut tenants = memory.leaving.keys().filter_map(|at| memory.tenants.get(at));
            tenants.any(|tenant| tenant.app == *app).then_some(vip.address)
        })
    }

    /// Returns the task of a real server that is no longer a member.
    pub(crate) fn find_tenant(&self, vip: &Vip, server: &SocketAddr) -> Option<&Tenant> {
        self.services.get(vip)?.tenants.get(server)
    }

    /// Tells whether a real server that is removed has been draining: its connections have ended,
    /// or its time is over.
    pub(crate) fn has_drained(&self, vip: &Vip, server: &SocketAddr) -> bool {
        self.services.get(vip).is_some_and(|memory| memory.leaving.contains_key(server))
    }

    /// Tells whether a real server that is no longer a member belonged to a task that has ended for
    /// certain.
    pub(crate) fn is_ended(&self, vip: &Vip, server: &SocketAddr, claims: &Claims) -> bool {
        self.find_tenant(vip, server).is_some_and(|tenant| tenant.has_ended(claims))
    }

    /// Describes every draining server, as of `now`.
    pub(crate) fn drain_facts(&self, now: Duration) -> Vec<DrainFacts> {
        let facts = |(vip, server, drain): (Vip, SocketAddr, &Drain)| {
            let left = drain.deadline.map(|deadline| deadline.saturating_sub(now));
            let task = self.find_tenant(&vip, &server).map(Tenant::to_name);
            DrainFacts {
                vip,
                server,
                weight_before: drain.before,
                left_ms: left.map(milliseconds),
                idle_ms: drain.idle.map(|(first, last)| milliseconds(last - first)),
                task,
            }
        };
        self.iter().map(facts).collect()
    }

    /// Adds a draining server that another controller described.
    pub(crate) fn take_over(&mut self, facts: &DrainFacts, now: Duration) {
        let memory = self.services.entry(facts.vip).or_default();
        let since = |ms| (now.saturating_sub(Duration::from_millis(ms)), now);
        let drain = Drain {
            before: facts.weight_before,
            deadline: facts.left_ms.map(|left| now + Duration::from_millis(left)),
            idle: facts.idle_ms.map(since),
        };
        memory.leaving.insert(facts.server, drain);
        if let Some(task) = &facts.task {
            memory.tenants.insert(facts.server, Tenant::from_name(task));
        }
        self.draining.insert(facts.vip);
    }

    fn draining_memories(&self) -> impl Iterator<Item = (Vip, &Memory)> {
        self.draining.iter().filter_map(|vip| Some((*vip, self.services.get(vip)?)))
    }

    /// Records which draining servers have active connections. Only readings of the kernel tell.
    pub(crate) fn note_connections(&mut self, observed: &Observed, now: Duration) {
        for vip in &self.draining {
            let Some(memory) = self.services.get_mut(vip) else { continue };
            let held = observed.service(vip).map(|service| &service.servers);
            for (server, drain) in &mut memory.leaving {
                let held = held.and_then(|servers| servers.get(server));
                let idle = held.is_some_and(|held| held.settings.weight == 0 && held.active == 0);
                let since = drain.idle.map_or(now, |(first, _)| first);
                drain.idle = idle.then_some((since, now));
            }
        }
    }

    /// Restores the former weights of draining servers in a reading: their weight 0 says nothing
    /// about their health.
    ///
    /// Removes the servers of tasks that have ended: their weight says nothing about the next task
    /// that listens at the same address. `decided` tells the task behind a real server.
    pub(crate) fn restore_weights(
        &self,
        observed: &mut Observed,
        decided: &Decided,
        claims: &Claims,
    ) {
        for (key, service) in &mut observed.services {
            let Some(vip) = Vip::from_key(key) else { continue };
            let Some(memory) = self.services.get(&vip) else { continue };
            for (server, drain) in &memory.leaving {
                if let Some(held) = service.servers.get_mut(server) {
                    held.settings.weight = held.settings.weight.max(drain.before);
                }
            }
            let before = decided.service(&vip);
            let has_ended = |server: &SocketAddr| memory.has_ended(server, before, claims);
            if service.servers.keys().any(has_ended) {
                service.servers.retain(|server, _| !has_ended(server));
            }
        }
    }

    /// Adds draining servers to the desired state of `addresses`, and services that nobody claims
    /// but that still have some. `observed` is the reading of these addresses.
    pub(crate) fn add_to(
        &mut self,
        desired: &mut Desired,
        scope: Scope,
        addresses: &BTreeSet<IpAddr>,
        observed: &Observed,
        (decided, claims, silent_hosts): (&Decided, &Claims, &SilentHosts),
        now: Duration,
    ) {
        self.forget_gone(addresses, observed);
        for (key, service) in &observed.services {
            let Some(vip) = Vip::from_key(key) else { continue };
            let owner = owner_of(key, &service.settings, observed);
            let wanted = desired.services.contains_key(&vip);
            // One that stays in doubt doesn't drain.
            let is_kept = !wanted && desired.keeps(&vip, service);
            let scope = if is_kept { scope.min(Scope::Servers) } else { scope };
            let known = wanted || self.services.contains_key(&vip);
            if !known && scope != Scope::Complete {
                continue;
            }
            if owner == Owner::Ours || owner == Owner::LostMark && known {
                let memory = self.services.entry(vip).or_default();
                memory.learn_tenants(desired, vip, service, decided, claims);
                // In a lesser scope a service without a claim stays unchanged: somebody may claim
                // it.
                if scope == Scope::Complete || wanted && scope == Scope::Servers {
                    memory.add_to(desired, vip, service, (claims, silent_hosts), now);
                }
                if memory.leaving.is_empty() {
                    self.draining.remove(&vip);
                } else {
                    self.draining.insert(vip);
                }
            } else {
                self.remove(&vip);
            }
        }
    }

    /// Forgets the services that no longer exist.
    fn forget_gone(&mut self, addresses: &BTreeSet<IpAddr>, observed: &Observed) {
        for address in addresses {
            let vips = self.services.range(Vip::all_on(*address)).map(|(vip, _)| *vip);
            let gone: Vec<_> = vips.filter(|vip| observed.service(vip).is_none()).collect();
            gone.iter().for_each(|vip| self.remove(vip));
        }
    }

    fn remove(&mut self, vip: &Vip) {
        self.services.remove(vip);
        self.draining.remove(vip);
    }
}

impl Memory {
    /// Tells whether the task of a real server has ended for certain. `before` is the latest
    /// decision.
    fn has_ended(
        &self,
        server: &SocketAddr,
        before: Option<&DesiredService>,
        claims: &Claims,
    ) -> bool {
        match self.tenants.get(server) {
            Some(tenant) => tenant.has_ended(claims),
            None => before.and_then(|before| before.selection.members.get(server)).is_some_and(
                |member| claims.task_has_ended(&member.source, &member.app, &member.task),
            ),
        }
    }

    /// Records the task of each real server that is no longer a member, and marks those whose task
    /// has ended.
    fn learn_tenants(
        &mut self,
        desired: &mut Desired,
        vip: Vip,
        held: &ObservedService,
        decided: &Decided,
        claims: &Claims,
    ) {
        let wanted = desired.services.get_mut(&vip);
        let is_member = |server: &SocketAddr| {
            wanted.as_ref().is_some_and(|wanted| wanted.selection.members.contains_key(server))
        };
        let mut known = std::mem::take(&mut self.tenants);
        let before = decided.service(&vip).map(|before| &before.selection.members);
        let others = held.servers.keys().filter(|server| !is_member(server));
        let tenants = others.filter_map(|server| {
            let tenant = known.remove(server).or_else(|| Tenant::of_member(before?.get(server)?));
            Some((*server, tenant?))
        });
        self.tenants = tenants.collect();
        if let Some(wanted) = wanted {
            self.time = Some(wanted.options.drain);
            let ended = self.tenants.iter().filter(|(_, tenant)| tenant.has_ended(claims));
            wanted.selection.ended = ended.map(|(server, _)| *server).collect();
        }
    }

    fn add_to(
        &mut self,
        desired: &mut Desired,
        vip: Vip,
        held: &ObservedService,
        (claims, silent_hosts): (&Claims, &SilentHosts),
        now: Duration,
    ) {
        let wanted = desired.services.get(&vip);
        let members = wanted.map(|wanted| &wanted.selection.members);
        let is_member = |server: &SocketAddr| members.is_some_and(|m| m.contains_key(server));

        // A server that may belong to an unknown task is left alone; the plan sees to that.
        let untold = |server: &SocketAddr| {
            wanted.is_some_and(|wanted| wanted.incomplete || desired.is_uncertain(server))
        };
        let leaves = |server: &SocketAddr| {
            let ended = self.tenants.get(server).is_some_and(|tenant| tenant.has_ended(claims))
                || wanted.is_some_and(|wanted| wanted.selection.is_over(server))
                || silent_hosts.is_dead(server);
            let drains = vip.protocol == Protocol::Tcp && !ended;
            // What was there before this run may have lost its place.
            let is_lost = !self.tenants.contains_key(server) && desired.is_taken(server);
            drains && !is_member(server) && !untold(server) && !is_lost
        };
        let leaving = held.servers.iter().filter(|(server, _)| leaves(server));
        let leaving: BTreeMap<_, _> = leaving
            .map(|(server, held)| {
                let mut drain = self.leaving.get(server).copied().unwrap_or(Drain::of_server(held));
                let fresh = now.saturating_add(self.time.unwrap_or(DEFAULT_DRAIN));
                let begun = held.settings.weight == 0;
                drain.deadline = begun.then_some(drain.deadline.unwrap_or(fresh));
                (*server, drain)
            })
            .collect();
        self.leaving = leaving;

        // A service that lost its mark is marked again before any of its servers is removed.
        let marked = held.settings.flags.contains(MARK);
        let staying = self.leaving.iter().filter(|(_, drain)| !marked || !drain.is_over(now));
        let staying: BTreeMap<_, _> =
            staying.map(|(server, _)| (*server, self.draining_member(server))).collect();
        match desired.services.get_mut(&vip) {
            Some(wanted) => wanted.selection.members.extend(staying),
            None if staying.is_empty() => {}
            None => {
                let selection = Selection { members: staying, ..Selection::default() };
                let options = Options::from_settings(&held.settings);
                // No app claims it, so none is to run; unless one does and is refused.
                let service = DesiredService {
                    options,
                    suspended: desired.refused_label(&vip).is_none(),
                    selection,
                    ..DesiredService::default()
                };
                desired.services.insert(vip, service);
            }
        }
    }

    fn draining_member(&self, server: &SocketAddr) -> Member {
        let tenant = self.tenants.get(server).cloned();
        let ((source, app), task) =
            tenant.map(|tenant| (tenant.app, tenant.task)).unwrap_or_default();
        Member { weight: 0, source, app, task, why: Why::Draining, local: None, silent: None }
    }
}
