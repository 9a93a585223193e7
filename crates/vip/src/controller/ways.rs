//! Routes to real servers: when the kernel is asked for them, and the effects of its answers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::config::EVERYTHING;
use super::known_ways::Question;
use super::{Controller, Effect, Job, ReadFailure, Retry};
use crate::nft::NftSupport;
use crate::source_address::{Source, by_address};
use crate::{Desired, Observed, Ways};

impl Controller {
    /// Tells whether plans need routes: the source can't be translated, and the operator configured
    /// none.
    fn needs_ways(&self, model: &Observed) -> bool {
        self.config.table.source.is_none() && model.nft.v4.support != NftSupport::Nat
    }

    /// Marks the known routes as outdated if a reading suggests it: other routes differ, the kernel
    /// announced a change, or it is time to check everything.
    pub(super) fn age_ways(&mut self, before: Option<&Observed>) {
        let Some(model) = &self.model else { return };
        let (own, routes) = (&model.node.own, &model.node.routes);
        let differs =
            before.is_none_or(|before| (&before.node.own, &before.node.routes) != (own, routes));
        let announced = std::mem::take(&mut self.ways.announced);
        self.ways.stale |=
            differs || announced || self.counters.readings.is_multiple_of(EVERYTHING);
    }

    /// Requests the known routes again, if they may be outdated.
    pub(super) fn refresh_ways(&mut self) -> Option<Effect> {
        let needed = self.model.as_deref().is_some_and(|model| self.needs_ways(model));
        if !std::mem::take(&mut self.ways.stale) || !needed {
            return None;
        }
        let known = self.ways.known.take()?;
        let services = self.decided.services().map(|(_, service)| service);
        let servers = services.flat_map(|service| service.selection.members.keys());
        let used: BTreeSet<_> = servers.map(SocketAddr::ip).collect();
        let asked = known.towards.into_keys().filter(|server| used.contains(server)).collect();
        Some(self.find_ways(asked))
    }

    pub(super) fn find_ways(&mut self, servers: BTreeSet<IpAddr>) -> Effect {
        self.job = Some(Job::FindWays(servers.clone()));
        Effect::FindWays(servers)
    }

    /// Fills in the sources of the desired state, or returns the question to ask first.
    pub(super) fn choose_sources(
        &self,
        desired: &mut Desired,
        model: &Observed,
    ) -> Result<(), Question> {
        if self.config.table.source.is_some() {
            desired.set_source(self.config.table.source);
            return Ok(());
        }
        if !self.needs_ways(model) {
            return Ok(());
        }
        let mut unknown = BTreeSet::new();
        let mut sources = BTreeMap::new();
        let nodes = &self.facts.cluster.nodes;
        let nothing = Ways::default();
        let ways = self.ways.known.as_ref().unwrap_or(&nothing);
        for (address, services) in by_address(&desired.services) {
            match ways.source_for(services, nodes) {
                Source::Known(source) => {
                    sources.extend(source.map(|source| (address, source.into())));
                }
                Source::Ask(server) => drop(unknown.insert(server)),
            }
        }
        desired.sources = sources;
        let is_first = self.ways.known.is_none() && !desired.services.is_empty();
        if !unknown.is_empty() || is_first { Err(Question { ways: unknown }) } else { Ok(()) }
    }

    /// Takes in the routes to these real servers.
    pub(super) fn learn_ways(&mut self, mut ways: Ways, asked: &BTreeSet<IpAddr>) {
        // A server without an answer has no route: it is not asked for again at once.
        for server in asked {
            ways.towards.entry(*server).or_default();
        }
        self.ways.known.get_or_insert_default().update(ways);
        self.ways.failing = None;
    }

    /// Takes in the routes, and marks the addresses that are bound with another source.
    pub(super) fn on_ways(&mut self, ways: Result<Ways, ReadFailure>, now: Duration) {
        let is_question = |job: &mut Job| matches!(job, Job::FindWays(_));
        let Some(Job::FindWays(asked)) = self.job.take_if(is_question) else { return };
        match ways {
            Ok(ways) => self.learn_ways(ways, &asked),
            Err(ReadFailure(why)) => {
                // Without a source nothing is bound, so nothing is planned until the next reading.
                self.model = None;
                let retry =
                    Retry::after_failure(self.ways.failing.as_ref(), why, now, &self.config);
                self.look_at = retry.at;
                self.unread = Some(retry.clone());
                self.ways.failing = Some(retry);
                return;
            }
        }
        let (Some(model), Some(ways)) = (&self.model, &self.ways.known) else { return };
        let nodes = &self.facts.cluster.nodes;
        let differs = |(address, services)| match ways.source_for(services, nodes) {
            Source::Known(source) => {
                let bound = model.addresses.get(&address);
                bound.is_some_and(|bound| bound.source != source.map(IpAddr::from))
            }
            Source::Ask(_) => true,
        };
        let addresses = by_address(self.decided.all_services());
        let addresses: Vec<_> =
            addresses.filter_map(|(address, s)| differs((address, s)).then_some(address)).collect();
        for address in addresses {
            self.touched.entry(address).or_insert(now);
        }
    }
}
