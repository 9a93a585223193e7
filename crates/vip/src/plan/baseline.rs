//! The state of our part of the table before a plan.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::{Desired, DesiredService, Observed, ObservedService, Vip};

/// The state of our part of the IPVS table before a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Baseline {
    /// The number of our virtual services.
    pub services: usize,
    /// The number of their real servers.
    pub servers: usize,
    /// The addresses of our virtual services.
    pub addresses: BTreeSet<IpAddr>,
    /// VIPs with a real server that takes new connections before and after the plan.
    pub served: BTreeSet<Vip>,
}

impl Baseline {
    pub(super) fn new(observed: &Observed, desired: &Desired) -> Self {
        let mut baseline = Self::default();
        for (vip, service) in observed.our_services() {
            baseline.add_service(vip, service, desired.services.get(&vip));
        }
        baseline
    }

    /// Adds one of our virtual services.
    pub(super) fn add_service(
        &mut self,
        vip: Vip,
        held: &ObservedService,
        wanted: Option<&DesiredService>,
    ) {
        self.services += 1;
        self.servers += held.servers.len();
        self.addresses.insert(vip.address);
        let members = wanted.map(|wanted| &wanted.selection.members);
        let stays = held.servers.iter().any(|(server, held)| {
            let member = members.and_then(|members| members.get(server));
            held.settings.weight > 0 && member.is_some_and(|member| member.weight > 0)
        });
        if stays {
            self.served.insert(vip);
        }
    }
}
