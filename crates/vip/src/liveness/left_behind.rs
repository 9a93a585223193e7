//! Hosts whose real servers an earlier agent left out of use or removed, as those of silent hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::hosts_in_use::may_be_asked;
use crate::{Observed, ObservedService, Protocol, Vip};

/// Returns the hosts whose real servers in the kernel are as an agent leaves those of silent hosts: one of
/// TCP has weight 0, or a VIP that the host may serve has none on it, though others are in use.
///
/// A real server that is in use speaks against that only if its VIP has another one in use, on a host that
/// isn't among these: the last ones of a VIP stay, also those of hosts that fall silent together.
pub(crate) fn find_left_behind(
    observed: &Observed,
    wanted: impl Iterator<Item = (Vip, IpAddr)>,
) -> BTreeSet<IpAddr> {
    let services = observed.our_services();
    let services: BTreeMap<_, _> = services.map(|(vip, it)| (vip, Hosts::of(it))).collect();
    let of_tcp = services.iter().filter(|(vip, _)| vip.protocol == Protocol::Tcp);
    let weightless = of_tcp.flat_map(|(_, hosts)| hosts.weightless.iter().copied());
    let is_absent = |(vip, host): &(Vip, IpAddr)| {
        services.get(vip).is_some_and(|hosts| {
            !hosts.in_use.is_empty()
                && !hosts.in_use.contains(host)
                && !hosts.weightless.contains(host)
        })
    };
    let absent = wanted.filter(is_absent).map(|(_, host)| host);
    let mut left_behind: BTreeSet<_> =
        weightless.chain(absent).filter(|host| may_be_asked(*host, &observed.node)).collect();
    // Each host that turns out to be in use may show the same of others.
    loop {
        let used = services.values().map(|hosts| &hosts.in_use);
        let used_elsewhere = used.filter(|used| !used.is_subset(&left_behind)).flatten();
        let seen: Vec<_> = used_elsewhere.filter(|host| left_behind.contains(*host)).collect();
        if seen.is_empty() {
            return left_behind;
        }
        for host in seen {
            left_behind.remove(host);
        }
    }
}

/// The hosts of a service's real servers.
#[derive(Default)]
struct Hosts {
    in_use: BTreeSet<IpAddr>,
    weightless: BTreeSet<IpAddr>,
}

impl Hosts {
    fn of(service: &ObservedService) -> Self {
        let mut hosts = Self::default();
        for (server, found) in &service.servers {
            match found.settings.weight {
                0 => hosts.weightless.insert(server.ip()),
                1.. => hosts.in_use.insert(server.ip()),
            };
        }
        hosts
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::values::{at, vip};
    use super::*;
    use crate::{Bound, DesiredService, ObservedServer};

    fn observed(services: &[(&str, &[(&str, u32)])]) -> Observed {
        let mut observed = Observed::default();
        for (name, servers) in services {
            let vip = vip(name);
            let servers = servers.iter().map(|(server, weight)| {
                let settings = nl_ipvs::DestinationSettings::masquerade(*weight);
                let found = ObservedServer { settings, active: 0, inactive: 0, stats: None };
                (at(server), found)
            });
            let settings = DesiredService::default().settings();
            let servers = servers.collect();
            let service = ObservedService { settings, servers, stats: Default::default() };
            observed.services.insert(vip.into(), service);
            observed.addresses.insert(vip.address, Bound::default());
        }
        observed
    }

    fn left_behind(services: &[(&str, &[(&str, u32)])], wanted: &[(&str, &str)]) -> Vec<String> {
        let wanted = wanted.iter().map(|(at, host)| (vip(at), host.parse().unwrap()));
        let found = find_left_behind(&observed(services), wanted);
        found.iter().map(IpAddr::to_string).collect()
    }

    const WEB: &str = "tcp 3.3.0.2:80";
    const ONLY: &str = "tcp 3.3.0.3:80";
    const DNS: &str = "udp 3.3.0.4:53";

    #[test]
    fn only_hosts_whose_real_servers_an_agent_took_out_of_use_are_left_behind() {
        let (out, other) = (("10.0.0.4:80", 0), ("10.0.0.5:80", 1));
        assert_eq!(left_behind(&[(WEB, &[out, other])], &[]), ["10.0.0.4"]);
        // The last one of a VIP stays, whatever is said of its host.
        let last = [("10.0.0.4:81", 1)];
        assert_eq!(left_behind(&[(WEB, &[out, other]), (ONLY, &last)], &[]), ["10.0.0.4"]);
        // An agent would have taken this one out of use, too.
        let in_use = [("10.0.0.4:81", 1), other];
        assert_eq!(left_behind(&[(WEB, &[out, other]), (ONLY, &in_use)], &[]), [""; 0]);
        let udp = [("10.0.0.4:53", 1), ("10.0.0.5:53", 1)];
        assert_eq!(left_behind(&[(WEB, &[out, other]), (DNS, &udp)], &[]), [""; 0]);
        let weightless = [("10.0.0.4:53", 0), ("10.0.0.5:53", 1)];
        assert_eq!(left_behind(&[(DNS, &weightless)], &[]), [""; 0]);
    }

    #[test]
    fn a_host_without_a_real_server_is_left_behind_if_its_vip_is_served_by_others() {
        let wanted = [(WEB, "10.0.0.4"), (WEB, "10.0.0.5")];
        let other = ("10.0.0.5:80", 1);
        assert_eq!(left_behind(&[], &wanted), [""; 0], "nobody has written there");
        assert_eq!(left_behind(&[(WEB, &[other])], &wanted), ["10.0.0.4"]);
        assert_eq!(
            left_behind(&[(WEB, &[("10.0.0.6:80", 0)])], &wanted),
            ["10.0.0.6"],
            "not served"
        );
        let dns = [("10.0.0.4:53", 1), ("10.0.0.5:53", 1)];
        assert_eq!(left_behind(&[(WEB, &[other]), (DNS, &dns)], &wanted), [""; 0]);
    }

    #[test]
    fn the_last_real_server_of_a_vip_says_nothing_for_a_dead_host() {
        let wanted = [(WEB, "10.0.0.4"), (WEB, "10.0.0.5")];
        let (other, last) = (("10.0.0.5:80", 1), ("10.0.0.4:81", 1));
        assert_eq!(left_behind(&[(WEB, &[other]), (ONLY, &[last])], &wanted), ["10.0.0.4"]);
    }

    #[test]
    fn the_last_real_servers_on_hosts_that_fell_silent_together_say_nothing_for_them() {
        let wanted = [(WEB, "10.0.0.4"), (WEB, "10.0.0.5"), (WEB, "10.0.0.6")];
        let others = [("10.0.0.6:80", 0), ("10.0.0.7:80", 1)];
        let rack = [("10.0.0.4:81", 1), ("10.0.0.5:81", 1), ("10.0.0.6:81", 1)];
        let services: [(&str, &[(&str, u32)]); 2] = [(WEB, &others), (ONLY, &rack)];
        assert_eq!(left_behind(&services, &wanted), ["10.0.0.4", "10.0.0.5", "10.0.0.6"]);
        // One that serves beside them was not silent, and then the others would be out of use there.
        let rack = [("10.0.0.4:81", 1), ("10.0.0.5:81", 1), ("10.0.0.7:81", 1)];
        let dns = [("10.0.0.5:53", 1), ("10.0.0.6:53", 1)];
        let services: [(&str, &[(&str, u32)]); 3] = [(WEB, &others), (ONLY, &rack), (DNS, &dns)];
        assert_eq!(left_behind(&services, &wanted), [""; 0]);
    }
}
