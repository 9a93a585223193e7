//! Prediction of the effect of operations.

use std::sync::Arc;

use nl_ipvs::{DestinationSettings, ServiceKey, ServiceSettings, Stats};

use super::Op;
use crate::firewall::Rule;
use crate::nft::TableState;
use crate::{Bound, Link, Observed, ObservedServer, ObservedService, Servers, Vip};

impl Op {
    /// Changes a model of the kernel as the operation changes the kernel.
    pub(crate) fn apply_to(&self, model: &mut Observed) {
        match self {
            Self::SetTable { family, rules, .. } => {
                model.nft.table_mut(*family).state = TableState::Whole(*rules);
            }
            Self::DeleteTable { family } => {
                let table = model.nft.table_mut(*family);
                table.state = TableState::Missing;
                table.vips.clear();
                table.empty.clear();
                table.open.clear();
                table.sources.clear();
            }
            Self::AddElement { element } => {
                model.nft.table_mut(element.family()).insert(*element);
            }
            Self::DeleteElement { element } => {
                model.nft.table_mut(element.family()).remove(*element);
            }
            Self::InsertRule { place, hook, prefix } => {
                let firewall = Arc::make_mut(&mut model.firewall);
                if let Some(chain) = firewall.chains.get_mut(place) {
                    chain.rules.retain(|rule| rule.mark != Some(*prefix));
                    chain.rules.insert(0, Rule::letting_in(*prefix, *hook));
                }
            }
            Self::DeleteRule { place, prefix } => {
                let firewall = Arc::make_mut(&mut model.firewall);
                if let Some(chain) = firewall.chains.get_mut(place) {
                    chain.rules.retain(|rule| rule.mark != Some(*prefix));
                }
            }
            Self::CreateLink | Self::RaiseLink => model.link = Link::Up,
            Self::SetTimeouts { timeouts, .. } => {
                let set = |held: &mut u32, to: u32| *held = if to == 0 { *held } else { to };
                set(&mut model.timeouts.tcp, timeouts.tcp);
                set(&mut model.timeouts.tcp_fin, timeouts.tcp_fin);
                set(&mut model.timeouts.udp, timeouts.udp);
            }
            Self::DeleteLink => {
                model.link = Link::Missing;
                model.addresses.clear();
            }
            Self::AddService { vip, settings } => {
                model.services.insert(ServiceKey::from(*vip), empty_service(settings.clone()));
            }
            Self::SetService { vip, settings, .. } => {
                if let Some(service) = model.services.get_mut(&ServiceKey::from(*vip)) {
                    service.settings = settings.clone();
                }
            }
            Self::DeleteService { vip, .. } => {
                model.services.remove(&ServiceKey::from(*vip));
            }
            Self::AddServer { vip, server, settings } => {
                servers_mut(model, vip).insert(*server, idle_server(*settings));
            }
            Self::SetServer { vip, server, settings, .. } => {
                if let Some(held) = servers_mut(model, vip).get_mut(server) {
                    held.settings = *settings;
                }
            }
            Self::DeleteServer { vip, server } => {
                servers_mut(model, vip).remove(server);
            }
            Self::Bind { address, route, names } => {
                let is_choice = *names && address.is_ipv4();
                model.addresses.insert(*address, Bound { route: *route, learnt: None, is_choice });
            }
            Self::Rebind { address } => {
                model.addresses.entry(*address).or_default().is_choice = false;
            }
            // With another route, the kernel has nothing learnt.
            Self::SetRoute { address, route, .. } => {
                let bound = model.addresses.entry(*address).or_default();
                (bound.route, bound.learnt) = (*route, None);
            }
            Self::Unbind { address } => {
                model.addresses.remove(address);
            }
            // Flows are not part of the model.
            Self::ForgetFlows { .. } => {}
        }
    }
}

fn empty_service(settings: ServiceSettings) -> ObservedService {
    ObservedService { settings, servers: Servers::default(), stats: Stats::default() }
}

fn idle_server(settings: DestinationSettings) -> ObservedServer {
    ObservedServer { settings, active: 0, inactive: 0, stats: None }
}

/// Returns the real servers of a service. A plan adds servers only to services that exist by then.
fn servers_mut<'a>(model: &'a mut Observed, vip: &Vip) -> &'a mut Servers {
    let key = ServiceKey::from(*vip);
    debug_assert!(model.services.contains_key(&key), "{vip} has servers but no service");
    &mut model
        .services
        .entry(key)
        .or_insert_with(|| empty_service(crate::label::Options::default().service_settings()))
        .servers
}
