//! Verdicts about hosts and real servers: what is done at once, which addresses are planned for because of
//! them, and what follows for others to see.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nl_ipvs::Family;

use super::{Controller, Effect, Mode};
use crate::liveness::{HostVerdict, ServerVerdict, find_left_behind};
use crate::{DesiredService, Observed, Op, Plan, Protocol, SourceId, Vip};

impl Controller {
    /// Takes in verdicts about hosts.
    pub(super) fn on_verdicts(&mut self, verdicts: Vec<HostVerdict>, now: Duration) {
        let hosts = self.silent_hosts.take_verdicts(verdicts);
        if !hosts.is_empty() {
            self.touch_servers(|server| hosts.contains(&server.ip()), now);
        }
    }

    /// Takes in verdicts about real servers.
    pub(super) fn on_server_verdicts(&mut self, verdicts: Vec<ServerVerdict>, now: Duration) {
        let servers = self.silent_hosts.take_server_verdicts(verdicts);
        if !servers.is_empty() {
            self.touch_servers(|server| servers.contains(server), now);
        }
    }

    fn touch_servers(&mut self, is_such: impl Fn(&SocketAddr) -> bool, now: Duration) {
        let has_such = |service: &DesiredService| service.selection.members.keys().any(&is_such);
        let services = self.services().filter(|(_, service)| has_such(service));
        let mut touched: BTreeSet<IpAddr> = services.map(|(vip, _)| vip.address).collect();
        touched.extend(self.silent_hosts.vips_with(&is_such).map(|vip| vip.address));
        // What is decided about the others is about to change, or the kernel refuses it.
        let is_settled = |address: &&IpAddr| {
            !self.touched.contains_key(address) && !self.retries.contains_key(address)
        };
        let settled: Vec<_> = touched.iter().filter(is_settled).copied().collect();
        self.touch_now(touched, now);
        self.spoken_against.extend(settled);
    }

    /// Returns the plan that takes the real servers which verdicts have just spoken against out of use: all
    /// of them at once, however many hosts have lost their power together. A plan of its own, since
    /// deciding anew about all of their addresses takes a hundred times as long. That follows, and what a
    /// verdict does beyond this is left to it.
    pub(super) fn take_out_at_once(&mut self, now: Duration) -> Option<Effect> {
        let addresses = std::mem::take(&mut self.spoken_against);
        if addresses.is_empty() || self.mode() != Mode::Acting {
            return None;
        }
        let model = self.model.take()?;
        let plan = self.plan_taking_out(&model, &addresses);
        self.model = Some(model);
        let changed = plan.ops.iter().filter_map(Op::address).collect();
        self.settle_plan(changed, plan, now)
    }

    fn plan_taking_out(&mut self, model: &Observed, addresses: &BTreeSet<IpAddr>) -> Plan {
        let (conflicts, silent_hosts) = (&self.conflicts, &mut self.silent_hosts);
        let ours = |vip: &Vip| model.our_service(vip).filter(|_| !conflicts.contains_key(vip));
        for address in addresses {
            for (vip, service) in self.decided.services_on_mut(*address) {
                if let Some(held) = ours(vip) {
                    silent_hosts.take_out(vip, service, held);
                }
            }
        }
        let services = addresses.iter().flat_map(|address| self.decided.services_on(*address));
        Plan::taking_out(services.filter_map(|(vip, service)| Some((*vip, service, ours(vip)?))))
    }

    /// Returns the sources of the tasks at these real servers of TCP.
    #[must_use]
    pub fn sources_of(
        &self,
        servers: &BTreeSet<SocketAddr>,
    ) -> BTreeMap<SocketAddr, BTreeSet<SourceId>> {
        let mut sources: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (_, service) in self.services().filter(|(vip, _)| vip.protocol == Protocol::Tcp) {
            let members = &service.selection.members;
            let found = servers.iter().filter_map(|server| members.get_key_value(server));
            for (server, member) in found {
                sources.entry(*server).or_default().insert(member.source.clone());
            }
        }
        sources
    }

    /// Returns the hosts whose real servers in the kernel are as an agent leaves those of silent hosts, by the
    /// tasks that run.
    #[must_use]
    pub fn hosts_left_behind(&self, observed: &Observed) -> BTreeSet<IpAddr> {
        let wanted = self.claims.all_claims().flat_map(|claim| {
            let family = Family::from(claim.vip.address);
            let running = claim.candidates.iter().filter(|task| task.condition.may_serve());
            let places = running.filter_map(|task| task.reach.as_ref().ok());
            places.filter_map(move |reach| Some((claim.vip, reach.place.in_family(family)?.ip())))
        });
        find_left_behind(observed, wanted)
    }

    /// Counts the real servers, wanted or draining, on each of these hosts.
    #[must_use]
    pub fn count_servers_on(&self, hosts: &BTreeSet<IpAddr>) -> BTreeMap<IpAddr, usize> {
        let mut counts: BTreeMap<IpAddr, usize> = hosts.iter().map(|host| (*host, 0)).collect();
        if counts.is_empty() {
            return counts;
        }
        for (_, service) in self.services() {
            let selection = &service.selection;
            for server in selection.members.keys().chain(&selection.silenced) {
                if let Some(count) = counts.get_mut(&server.ip()) {
                    *count += 1;
                }
            }
        }
        counts
    }
}
