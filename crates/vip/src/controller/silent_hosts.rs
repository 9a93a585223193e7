//! Silent hosts, and real servers that refuse clients: what this node itself hears, laid over what the
//! sources say. It only ever takes real servers out of use, and takes that back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use nl_ipvs::DestinationSettings;

use super::claims::Claims;
use super::local_facts::{SilenceFacts, WithheldWeight};
use super::tenant::Tenant;
use crate::liveness::{Cause, HostVerdict, ServerVerdict, Silence, SilentServer};
use crate::{
    Desired, DesiredService, LeftOut, Member, Observed, ObservedServer, ObservedService, Protocol,
    Vip, Why,
};

/// The silent hosts, the real servers that refuse clients, and what became of those.
#[derive(Debug, Default)]
pub(super) struct SilentHosts {
    verdicts: BTreeMap<IpAddr, Arc<HostVerdict>>,
    refusing: BTreeMap<SocketAddr, Arc<ServerVerdict>>,
    /// The real servers that verdicts are about, and those that don't have their weight again yet. The
    /// weight 0 in the kernel's table says nothing about the health of their tasks.
    withheld: BTreeMap<Vip, BTreeMap<SocketAddr, Withheld>>,
}

/// A real server that a verdict is about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Withheld {
    /// The weight that it would have without.
    weight: u32,
    /// The task behind it.
    tenant: Option<Tenant>,
}

impl SilentHosts {
    /// Returns the hosts about which something is new.
    pub(super) fn take_verdicts(&mut self, verdicts: Vec<HostVerdict>) -> BTreeSet<IpAddr> {
        let mut changed = BTreeSet::new();
        for verdict in verdicts {
            let host = verdict.host;
            let before = match verdict.silence {
                Some(_) => self.verdicts.insert(host, Arc::new(verdict)),
                None => self.verdicts.remove(&host),
            };
            let after = self.verdicts.get(&host);
            let silence = |verdict: &Arc<HostVerdict>| verdict.silence;
            if before.as_ref().map(silence) != after.map(silence) {
                changed.insert(host);
            }
        }
        changed
    }

    /// Returns the real servers about which something is new.
    pub(super) fn take_server_verdicts(
        &mut self,
        verdicts: Vec<ServerVerdict>,
    ) -> BTreeSet<SocketAddr> {
        let mut changed = BTreeSet::new();
        for verdict in verdicts {
            let (server, is_refusing) = (verdict.server, verdict.is_refusing);
            let before = match is_refusing {
                true => self.refusing.insert(server, Arc::new(verdict)),
                false => self.refusing.remove(&server),
            };
            if before.is_some() != is_refusing {
                changed.insert(server);
            }
        }
        changed
    }

    /// Returns the virtual services with such real servers that are out of use, or were until a moment ago.
    pub(super) fn vips_with(
        &self,
        is_such: impl Fn(&SocketAddr) -> bool,
    ) -> impl Iterator<Item = &Vip> {
        let has_such = move |servers: &BTreeMap<_, _>| servers.keys().any(&is_such);
        self.withheld.iter().filter(move |(_, servers)| has_such(servers)).map(|(vip, _)| vip)
    }

    /// Returns what speaks against a real server. A port that refuses TCP says nothing about UDP, and nobody
    /// asks a container on this node whether it is there.
    fn cause_against(&self, vip: &Vip, server: &SocketAddr, member: &Member) -> Option<Cause> {
        let host = self.verdicts.get(&server.ip()).filter(|_| member.local.is_none());
        let host = host.map(|verdict| Cause::Host(Arc::clone(verdict)));
        let refusing = self.refusing.get(server).filter(|_| vip.protocol == Protocol::Tcp);
        host.or_else(|| refusing.map(|verdict| Cause::Server(Arc::clone(verdict))))
    }

    /// Describes the verdicts, and the weights of real servers that are out of use.
    pub(super) fn to_facts(&self) -> SilenceFacts {
        let weights = self.withheld.iter().flat_map(|(vip, servers)| {
            servers.iter().map(|(server, withheld)| WithheldWeight {
                vip: *vip,
                server: *server,
                weight: withheld.weight,
                task: withheld.tenant.as_ref().map(Tenant::to_name),
            })
        });
        let hosts = self.verdicts.values().map(|verdict| (**verdict).clone());
        let refusing = self.refusing.values().map(|verdict| (**verdict).clone());
        SilenceFacts {
            hosts: hosts.collect(),
            refusing: refusing.collect(),
            weights: weights.collect(),
        }
    }

    /// Takes over what another controller described.
    pub(super) fn take_over(&mut self, facts: &SilenceFacts) {
        self.take_verdicts(facts.hosts.clone());
        self.take_server_verdicts(facts.refusing.clone());
        for WithheldWeight { vip, server, weight, task } in &facts.weights {
            let tenant = task.as_ref().map(Tenant::from_name);
            let withheld = Withheld { weight: *weight, tenant };
            self.withheld.entry(*vip).or_default().insert(*server, withheld);
        }
    }

    /// Tells whether nothing is to be done: there is no verdict, and no weight is to be restored.
    pub(super) fn is_idle(&self) -> bool {
        !self.has_verdicts() && self.withheld.is_empty()
    }

    fn has_verdicts(&self) -> bool {
        !self.verdicts.is_empty() || !self.refusing.is_empty()
    }

    /// Restores, in a reading, the weights that real servers would have without verdicts. Those
    /// of tasks that have ended say nothing about the next task at the same address.
    pub(super) fn restore_weights(&self, observed: &mut Observed, claims: &Claims) {
        for (key, service) in &mut observed.services {
            let servers = Vip::from_key(key).and_then(|vip| self.withheld.get(&vip));
            for (server, Withheld { weight, tenant }) in servers.into_iter().flatten() {
                if tenant.as_ref().is_some_and(|tenant| tenant.has_ended(claims)) {
                    continue;
                }
                let settings = DestinationSettings::masquerade(*weight);
                let absent = ObservedServer { settings, active: 0, inactive: 0, stats: None };
                let held = service.servers.entry(*server).or_insert(absent);
                held.settings.weight = *weight;
            }
        }
    }

    /// Takes the real servers that verdicts are about out of use, unless nothing usable would be left of their
    /// service. `observed` is the reading of these addresses.
    pub(super) fn lay_over(
        &mut self,
        desired: &mut Desired,
        observed: &Observed,
        addresses: &BTreeSet<IpAddr>,
    ) {
        for address in addresses {
            let known = self.withheld.range(Vip::all_on(*address)).map(|(vip, _)| *vip);
            let gone = known.filter(|vip| !desired.services.contains_key(vip));
            for vip in gone.collect::<Vec<_>>() {
                self.withheld.remove(&vip);
            }
        }
        for (vip, service) in &mut desired.services {
            let held = observed.service(vip);
            if self.has_verdicts() {
                self.lay_over_service(vip, service, held, |_| true);
            }
            self.forget_restored(vip, service, held);
        }
    }

    /// Takes the real servers of a decided service that verdicts are about out of use. Others than those
    /// that it has in use are left as they are.
    pub(super) fn take_out(
        &mut self,
        vip: &Vip,
        service: &mut DesiredService,
        held: &ObservedService,
    ) {
        self.lay_over_service(vip, service, Some(held), |member| member.weight > 0);
    }

    fn lay_over_service(
        &mut self,
        vip: &Vip,
        service: &mut DesiredService,
        held: Option<&ObservedService>,
        concerns: impl Fn(&Member) -> bool,
    ) {
        let selection = &mut service.selection;
        let members = selection.members.iter().filter(|(_, member)| concerns(member));
        let silent = members.filter_map(|(server, member)| {
            Some((*server, self.cause_against(vip, server, member)?))
        });
        let silent: Vec<_> = silent.collect();
        if silent.is_empty() {
            return;
        }
        let spared = self.best_silence(vip, &selection.members, held);
        for (server, cause) in silent {
            let Some(member) = selection.members.get_mut(&server) else { continue };
            let withheld = Withheld { weight: member.weight, tenant: Tenant::of_member(member) };
            self.withheld.entry(*vip).or_default().insert(server, withheld);
            let held = held.and_then(|held| held.servers.get(&server));
            let takes_clients = held.is_some_and(|held| held.settings.weight > 0);
            match (cause.silence(), vip.protocol) {
                (silence, _) if spared.is_none_or(|spared| silence <= spared) => {
                    if member.weight > 0 {
                        member.silent = Some(SilentServer::Kept(cause));
                    }
                }
                // Weight 0 first, so that connections that wait for an answer are forgotten.
                (silence, Protocol::Tcp)
                    if silence == Some(Silence::Suspected) || takes_clients =>
                {
                    member.weight = 0;
                    member.silent = Some(SilentServer::OutOfUse(cause));
                }
                // A UDP client that keeps its port would stay at a real server of weight 0 for good.
                _ => {
                    if let Some(member) = selection.members.remove(&server) {
                        let (source, app, task) = (member.source, member.app, member.task);
                        let why = Why::Silent(cause);
                        selection.left_out.push(LeftOut { source, app, task, why });
                    }
                    selection.silenced.insert(server);
                }
            }
        }
    }

    /// Returns the silence of the best real servers that take clients, which is spared with all that is
    /// less: without them nobody would serve. `Some(None)`: hosts that answer serve. `None`: no real
    /// server takes clients, so that nothing is taken away.
    ///
    /// One that the kernel doesn't have in use yet doesn't count, since that may fail.
    fn best_silence(
        &self,
        vip: &Vip,
        members: &BTreeMap<SocketAddr, Member>,
        held: Option<&ObservedService>,
    ) -> Option<Option<Silence>> {
        let is_in_use = |server: &SocketAddr| {
            let held = held.and_then(|held| held.servers.get(server));
            held.is_some_and(|held| held.settings.weight > 0)
        };
        let usable = members.iter().filter(|(_, member)| member.weight > 0);
        let silences = usable.map(|(server, member)| {
            (server, self.cause_against(vip, server, member).and_then(|cause| cause.silence()))
        });
        let counts = silences.filter(|(server, silence)| silence.is_some() || is_in_use(server));
        counts.map(|(_, silence)| silence).min()
    }

    /// Forgets the weights of real servers that have them again, or that are no longer wanted.
    fn forget_restored(
        &mut self,
        vip: &Vip,
        service: &DesiredService,
        held: Option<&ObservedService>,
    ) {
        let Some(servers) = self.withheld.get_mut(vip) else { return };
        servers.retain(|server, _| {
            let is_silent = self.verdicts.contains_key(&server.ip())
                || self.refusing.contains_key(server) && vip.protocol == Protocol::Tcp;
            let member = service.selection.members.get(server);
            let held = held.and_then(|held| held.servers.get(server));
            let is_back = |wanted: &Member| {
                held.is_some_and(|held| (held.settings.weight > 0) == (wanted.weight > 0))
            };
            let is_out = service.selection.silenced.contains(server);
            match is_silent {
                // One that is no member for now may come back.
                true => member.is_some() || is_out || held.is_some(),
                false => member.is_some_and(|wanted| !is_back(wanted)),
            }
        });
        if servers.is_empty() {
            self.withheld.remove(vip);
        }
    }

    /// Tells whether a real server is on a host that is dead.
    pub(super) fn is_dead(&self, server: &SocketAddr) -> bool {
        let verdict = self.verdicts.get(&server.ip());
        verdict.is_some_and(|verdict| verdict.silence == Some(Silence::Dead))
    }
}
