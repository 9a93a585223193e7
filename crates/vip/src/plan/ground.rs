use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::{Desired, Observed, Vip};

/// What a plan starts from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ground {
    /// Virtual services of ours.
    pub services: usize,
    /// Real servers of them.
    pub servers: usize,
    /// The addresses that hold them.
    pub addresses: BTreeSet<IpAddr>,
    /// VIPs that have a real server which takes new connections and goes on doing so.
    pub served: BTreeSet<Vip>,
}

impl Ground {
    pub(super) fn of(observed: &Observed, desired: &Desired) -> Self {
        let mut ground = Self::default();
        for (vip, service) in observed.ours() {
            ground.services += 1;
            ground.servers += service.servers.len();
            ground.addresses.insert(vip.address);
            let members = desired.services.get(&vip).map(|wanted| &wanted.selection.members);
            let stays = service.servers.iter().any(|(server, held)| {
                let member = members.and_then(|members| members.get(server));
                held.settings.weight > 0 && member.is_some_and(|member| member.weight > 0)
            });
            if stays {
                ground.served.insert(vip);
            }
        }
        ground
    }
}
