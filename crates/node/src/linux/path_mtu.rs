//! Path MTUs that the kernel has learnt for the node's own connections to VIPs.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;

use netlink_packet_route::route::RouteType;
use vip::Bound;

use super::route;
use super::socket::RouteSocket;
use crate::KernelError;

/// The messages that the last reading knew of.
#[derive(Debug, Default)]
pub(super) struct PathMtus {
    messages: Option<[u64; 2]>,
}

impl PathMtus {
    /// Fills in what the kernel has learnt, if it has got a message since the last reading of which it
    /// could learn. It lists none of that for IPv4, so each address is asked for.
    pub(super) fn add_learnt(
        &mut self,
        socket: &mut RouteSocket,
        addresses: &mut BTreeMap<IpAddr, Bound>,
    ) -> Result<(), KernelError> {
        let messages = count_messages();
        if messages.is_some() && messages == self.messages {
            return Ok(());
        }
        for (address, bound) in addresses {
            let route = route::route_towards(socket, *address)?;
            let local = route.filter(|route| route.kind == RouteType::Local);
            let narrower = |mtu: &u32| bound.route.mtu.is_none_or(|known| *mtu < known);
            bound.learnt = local.and_then(|local| local.mtu).filter(narrower);
        }
        self.messages = messages;
        Ok(())
    }
}

/// Counts the messages that tell of narrow links, among others; `None` if the kernel doesn't.
fn count_messages() -> Option<[u64; 2]> {
    let v4 = fs::read_to_string("/proc/thread-self/net/snmp").ok()?;
    // Where IPv6 is off there is none.
    let v6 = fs::read_to_string("/proc/thread-self/net/snmp6").unwrap_or_default();
    Some([unreachable_messages(&v4)?, too_big_messages(&v6).unwrap_or_default()])
}

/// Returns the number of ICMP messages of the type that includes "fragmentation needed".
fn unreachable_messages(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Icmp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let mut columns = names.split_whitespace().zip(values.split_whitespace());
    columns.find(|(name, _)| *name == "InDestUnreachs")?.1.parse().ok()
}

/// Returns the number of "packet too big" messages of IPv6.
fn too_big_messages(snmp6: &str) -> Option<u64> {
    let count = snmp6.lines().find_map(|line| line.strip_prefix("Icmp6InPktTooBigs"))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_counted_by_name() {
        let snmp = "Ip: Forwarding\nIp: 1\nIcmp: InMsgs InErrors InDestUnreachs\nIcmp: 9 8 7\n";
        assert_eq!(unreachable_messages(snmp), Some(7));
        assert_eq!(unreachable_messages("Icmp: InMsgs InDestUnreachs\nIcmp: 9\n"), None);
        assert_eq!(unreachable_messages(""), None);
        let snmp6 = "Icmp6InMsgs   \t3\nIcmp6InPktTooBigs               \t2\n";
        assert_eq!((too_big_messages(snmp6), too_big_messages("")), (Some(2), None));
    }
}
