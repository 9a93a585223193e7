//! Routes to real servers: when the kernel is asked for them, and the effects of its answers on the
//! local routes of VIPs.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use nl_ipvs::Family;

use super::config::{BREAK, EVERYTHING, REST};
use super::known_ways::Question;
use super::{Controller, Effect, Job, ReadFailure, Retry};
use crate::liveness::ClientSources;
use crate::nft::{Masquerade, NftSupport, pairs_of};
use crate::path_mtu::Servers;
use crate::source_address::by_address;
use crate::{Desired, DesiredService, Observed, Scope, Way, Ways};

impl Controller {
    /// Tells whether the local routes of VIPs need a source: nftables can't translate it, and the
    /// operator configured none that the node has.
    fn needs_route_sources(&self, model: &Observed) -> bool {
        self.configured_source(model).is_none() && model.nft.v4.support != NftSupport::Nat
    }

    /// Tells whether nftables needs the sources that routes to real servers name: it translates, the
    /// operator configured no source, and masquerading would choose others.
    fn needs_named_sources(&self, model: &Observed, family: Family) -> bool {
        let configured = family == Family::Inet && self.configured_source(model).is_some();
        let translates = model.nft.table(family).support == NftSupport::Nat;
        translates && model.node.names_sources && !configured
    }

    /// Returns the configured source, if the node has it: replies to another one would be lost.
    fn configured_source(&self, model: &Observed) -> Option<Ipv4Addr> {
        self.config.table.source.filter(|source| model.node.own.contains(&IpAddr::V4(*source)))
    }

    /// Returns the source addresses by which real servers know clients.
    #[must_use]
    pub fn client_sources(&self) -> ClientSources {
        let own = self.model.as_deref().and_then(|model| self.configured_source(model));
        let are_kept = self.config.table.modes.masquerade == Masquerade::Off;
        ClientSources { own, are_kept }
    }

    /// Marks the known routes as outdated if a reading suggests it: other routes differ, the kernel
    /// announced a change, or it is time to check everything.
    pub(super) fn age_ways(&mut self, before: Option<&Observed>) {
        let Some(model) = &self.model else { return };
        let (own, routes) = (&model.node.own, &model.node.routes);
        let mtus = &model.node.mtus;
        let is_same = |before: &Observed| {
            (&before.node.own, &before.node.routes, &before.node.mtus) == (own, routes, mtus)
        };
        let differs = !before.is_some_and(is_same);
        let announced = std::mem::take(&mut self.ways.announced);
        self.ways.stale |=
            differs || announced || self.counters.readings.is_multiple_of(EVERYTHING);
    }

    /// Requests the known routes again, if they may be outdated. Somebody may change routes all the
    /// time, so there is a pause after each answer, as between readings.
    pub(super) fn refresh_ways(&mut self, now: Duration) -> Option<Effect> {
        if self.model.is_none() || self.next_refresh().is_some_and(|at| at > now) {
            return None;
        }
        if !std::mem::take(&mut self.ways.stale) {
            return None;
        }
        let services = self.decided.services().map(|(_, service)| service);
        let servers = services.flat_map(|service| service.selection.members.keys());
        let used: BTreeSet<_> = servers.map(SocketAddr::ip).collect();
        let known = self.ways.known.as_mut()?;
        known.towards.retain(|server, _| used.contains(server));
        let asked: BTreeSet<_> = known.towards.keys().copied().collect();
        let needed = self.model.as_deref().is_some_and(|model| self.needs_route_sources(model));
        (needed || !asked.is_empty()).then(|| self.find_ways(asked))
    }

    /// Returns the time from which outdated routes are requested again.
    pub(super) fn next_refresh(&self) -> Option<Duration> {
        let is_due = self.ways.stale && self.ways.known.is_some() && self.model.is_some();
        let retry = self.ways.failing.as_ref().map(|retry| retry.at);
        is_due.then(|| retry.unwrap_or_default().max(self.ways.rested_at))
    }

    pub(super) fn find_ways(&mut self, servers: BTreeSet<IpAddr>) -> Effect {
        self.job = Some(Job::FindWays(servers.clone()));
        Effect::FindWays(servers)
    }

    /// Fills in the sources and MTUs of the desired state, or returns the question to ask first.
    /// `observed` is the reading of these addresses, `model` that of all.
    pub(super) fn choose_routes(
        &mut self,
        desired: &mut Desired,
        addresses: &BTreeSet<IpAddr>,
        (observed, model): (&Observed, &Observed),
        now: Duration,
    ) -> Result<(), Question> {
        let held = servers_in_kernel(observed);
        let nothing = Ways::default();
        let ways = self.ways.known.as_ref().unwrap_or(&nothing);
        let needed = desired.server_pairs().chain(held.iter().copied());
        let is_unknown = |(_, server): &(IpAddr, IpAddr)| !ways.towards.contains_key(server);
        let (mut waiting, unknown): (BTreeSet<_>, BTreeSet<_>) = needed.filter(is_unknown).unzip();
        let needs_sources = self.needs_route_sources(model);
        if needs_sources && self.ways.known.is_none() {
            waiting.extend(desired.services.keys().map(|vip| vip.address));
        }
        if !waiting.is_empty() {
            return Err(Question { ways: unknown, waiting });
        }
        desired.set_source(self.configured_source(model));
        for family in [Family::Inet, Family::Inet6] {
            if !self.needs_named_sources(model, family) {
                continue;
            }
            let pairs = desired.server_pairs().filter(|(vip, _)| Family::from(*vip) == family);
            for pair in pairs.collect::<BTreeSet<_>>() {
                desired.translated.extend(ways.named_source(pair.1).map(|source| (pair, source)));
            }
        }
        if needs_sources {
            let nodes = &self.facts.cluster.nodes;
            let services = by_address(&desired.services).filter(|(address, _)| address.is_ipv4());
            let source =
                |(address, services)| Some((address, ways.source_for(services, nodes)?.into()));
            desired.sources = services.filter_map(source).collect();
        }
        // What isn't certain to be removed may stay.
        let stay = if self.scope() == Scope::Complete { BTreeSet::new() } else { held.clone() };
        let wanted: BTreeSet<_> = desired.server_pairs().chain(stay).collect();
        let on = |pairs: &BTreeSet<(IpAddr, IpAddr)>, address: IpAddr| {
            pairs.range(pairs_of(address)).map(|(_, server)| *server).collect::<BTreeSet<_>>()
        };
        for &address in addresses {
            let (held, wanted) = (on(&held, address), on(&wanted, address));
            let servers = Servers { held: &held, wanted: &wanted };
            let bound = observed.addresses.get(&address);
            let mtu = self.learnt_mtus.choose_mtu(address, bound, servers, ways, now);
            desired.mtus.extend(mtu.map(|mtu| (address, mtu)));
        }
        Ok(())
    }

    /// Takes in the routes to these real servers. Returns those to which the way has changed.
    pub(super) fn learn_ways(&mut self, mut ways: Ways, asked: &BTreeSet<IpAddr>) -> Changed {
        // A server without an answer has no route: it is not asked for again at once.
        for server in asked {
            ways.towards.entry(*server).or_default();
        }
        self.ways.failing = None;
        let Some(known) = &mut self.ways.known else {
            self.ways.known = Some(ways);
            return Changed::default();
        };
        let differs = |(server, way): (&IpAddr, &Way)| {
            known.towards.get(server).is_some_and(|before| before != way).then_some(*server)
        };
        let servers = ways.towards.iter().filter_map(differs).collect();
        let changed = Changed { servers, otherwise: known.otherwise != ways.otherwise };
        known.update(ways);
        changed
    }

    /// Takes in the routes, and marks the addresses to whose real servers they have changed.
    pub(super) fn on_ways(&mut self, ways: Result<Ways, ReadFailure>, now: Duration) {
        let is_question = |job: &mut Job| matches!(job, Job::FindWays(_));
        let Some(Job::FindWays(asked)) = self.job.take_if(is_question) else { return };
        let pause = REST.max(now.saturating_sub(self.asked_at).saturating_mul(BREAK));
        self.ways.rested_at = now.saturating_add(pause);
        let changed = match ways {
            Ok(ways) => self.learn_ways(ways, &asked),
            Err(ReadFailure(why)) => {
                // What was known still counts, and keeps nobody waiting. Asking for it again shows when
                // the trouble is over, even if nobody needs what was asked any more.
                self.ways.stale |= self.ways.known.is_some();
                let failing = self.ways.failing.as_ref();
                self.ways.failing = Some(Retry::after_failure(failing, why, now, &self.config));
                return;
            }
        };
        let services = by_address(self.decided.all_services());
        let concerns = |services: &mut dyn Iterator<Item = &DesiredService>| {
            let servers = services.flat_map(|service| service.selection.members.keys());
            changed.otherwise || servers.into_iter().any(|at| changed.servers.contains(&at.ip()))
        };
        let addresses: Vec<_> = services
            .filter_map(|(address, mut services)| concerns(&mut services).then_some(address))
            .collect();
        for address in addresses {
            self.touched.entry(address).or_insert(now);
        }
    }
}

/// The difference between two answers about the same ways.
#[derive(Debug, Default)]
pub(super) struct Changed {
    servers: BTreeSet<IpAddr>,
    otherwise: bool,
}

/// Returns each virtual address with the address of each of its real servers in the kernel.
fn servers_in_kernel(observed: &Observed) -> BTreeSet<(IpAddr, IpAddr)> {
    let pairs = observed
        .our_services()
        .flat_map(|(vip, held)| held.servers.keys().map(move |server| (vip.address, server.ip())));
    pairs.collect()
}
