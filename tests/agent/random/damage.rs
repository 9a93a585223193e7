//! What is done to the kernel behind the agent's back.

use nl_ipvs::{ServiceKey, ServiceSettings};
use proptest::prelude::*;
use vip::ownership::MARK;
use vip::{Link, Observed, ObservedService, Vip};

use super::FOREIGN;
use crate::world::vip;

/// What is done to the kernel behind the agent's back.
#[derive(Debug, Clone, Copy)]
pub(super) enum Damage {
    Flush,
    NoLink,
    NoAddresses,
    Weights(u32),
    NoServers,
    Scheduler,
    Unmarked,
    /// Somebody else makes a service.
    Foreign(u16),
}

pub(super) fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        Just(Damage::Flush),
        Just(Damage::NoLink),
        Just(Damage::NoAddresses),
        (0..3_u32).prop_map(Damage::Weights),
        Just(Damage::NoServers),
        Just(Damage::Scheduler),
        Just(Damage::Unmarked),
        (1..9_u16).prop_map(Damage::Foreign),
    ]
}

impl Damage {
    pub(super) fn strike(self, state: &mut Observed) {
        let bound = |vip: &Vip| state.addresses.contains_key(&vip.address);
        let ours = state.our_services().filter(|(vip, _)| bound(vip));
        let ours: Vec<_> = ours.map(|(vip, _)| ServiceKey::from(vip)).collect();
        let services = state.services.iter_mut().filter(|(key, _)| ours.contains(key));
        let services = services.map(|(_, service)| service);
        match self {
            Self::Flush => state.services.clear(),
            Self::NoLink => {
                state.link = Link::Missing;
                state.addresses.clear();
            }
            Self::NoAddresses => state.addresses.clear(),
            Self::Weights(weight) => services
                .flat_map(|service| service.servers.values_mut())
                .for_each(|server| server.settings.weight = weight),
            Self::NoServers => services.for_each(|service| service.servers.clear()),
            Self::Scheduler => services.for_each(|service| {
                service.settings.scheduler = Some("rr".parse().unwrap());
            }),
            Self::Unmarked => services.for_each(|service| {
                service.settings.flags = service.settings.flags & !MARK;
            }),
            Self::Foreign(port) => {
                let first = vip(FOREIGN);
                let at = Vip { port: first.port.saturating_add(port), ..first };
                let settings = ServiceSettings::new("wrr".parse().unwrap());
                let service = ObservedService {
                    settings,
                    servers: vip::Servers::default(),
                    stats: nl_ipvs::Stats::default(),
                };
                state.services.insert(at.into(), service);
            }
        }
    }
}
