use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::{Desired, Observed, Vip};

/// What a plan starts from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Baseline {
    /// Virtual services of ours.
    pub services: usize,
    /// Real servers of them.
    pub servers: usize,
    /// The addresses that hold them.
    pub addresses: BTreeSet<IpAddr>,
    /// VIPs that have a real server which takes new connections and goes on doing so.
    pub served: BTreeSet<Vip>,
}

impl Baseline {
    pub(super) fn new(observed: &Observed, desired: &Desired) -> Self {
        let mut baseline = Self::default();
        for (vip, service) in observed.our_services() {
            baseline.services += 1;
            baseline.servers += service.servers.len();
            baseline.addresses.insert(vip.address);
            let members = desired.services.get(&vip).map(|wanted| &wanted.selection.members);
            let stays = service.servers.iter().any(|(server, held)| {
                let member = members.and_then(|members| members.get(server));
                held.settings.weight > 0 && member.is_some_and(|member| member.weight > 0)
            });
            if stays {
                baseline.served.insert(vip);
            }
        }
        baseline
    }
}
