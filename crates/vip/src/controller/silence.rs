//! Verdicts about hosts: which addresses they are planned for, and what follows for others to see.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::Controller;
use crate::DesiredService;
use crate::liveness::HostVerdict;

impl Controller {
    /// Takes in verdicts about hosts.
    pub(super) fn on_verdicts(&mut self, verdicts: Vec<HostVerdict>, now: Duration) {
        let hosts = self.silent_hosts.take_verdicts(verdicts);
        if hosts.is_empty() {
            return;
        }
        let is_on = |service: &DesiredService| {
            let members = &service.selection.members;
            members.keys().any(|server| hosts.contains(&server.ip()))
        };
        let services = self.services().filter(|(_, service)| is_on(service));
        let mut touched: BTreeSet<IpAddr> = services.map(|(vip, _)| vip.address).collect();
        touched.extend(self.silent_hosts.vips_on(&hosts).map(|vip| vip.address));
        self.touch_now(touched, now);
    }

    /// Counts the real servers, wanted or draining, that are on a host.
    #[must_use]
    pub fn count_servers_on(&self, host: IpAddr) -> usize {
        let of_service = |(_, service): (_, &DesiredService)| {
            let selection = &service.selection;
            let servers = selection.members.keys().chain(&selection.silenced);
            servers.filter(|server| server.ip() == host).count()
        };
        self.services().map(of_service).sum()
    }
}
