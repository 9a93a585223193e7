//! What the kernel answers.

use std::collections::BTreeMap;

use nl_ipvs::wire::IpvsMessage;
use nl_ipvs::{
    Daemon, Destination, DestinationSettings, Family, Info, Service, ServiceKey, ServiceSettings,
    Stats, Timeouts,
};
use vip::{ObservedServer, ObservedService};

/// Reads an entry of a dump of the IPVS table in both ways: directly, and through its message.
pub(crate) fn read_ipvs_message(input: &[u8]) {
    let service = Service::from_entry(input);
    let server = Destination::from_entry(input, Family::Inet6);
    let Ok(message) = IpvsMessage::parse(input) else {
        assert!(service.is_err() && server.is_err());
        return;
    };
    assert_eq!(service, Service::try_from(&message));
    assert_eq!(server, Destination::from_message(&message, Family::Inet6));
    let _ = Daemon::try_from(&message);
    let _ = Timeouts::try_from(&message);
    let _ = Info::try_from(&message);
}

/// A service with two real servers, as it is known before the text is read.
fn known_table() -> BTreeMap<ServiceKey, ObservedService> {
    let settings = ServiceSettings::without_scheduler();
    let server = |address: &str| {
        let settings = DestinationSettings::masquerade(1);
        let server = ObservedServer { settings, active: 0, inactive: 0, stats: None };
        address.parse().ok().map(|address| (address, server))
    };
    let servers = ["10.0.0.1:31001", "10.0.0.2:31002"].into_iter().filter_map(server);
    let service = ObservedService { settings, servers: servers.collect(), stats: Stats::default() };
    let key = ServiceKey::tcp(([3, 3, 0, 6], 3306).into());
    [(key, service)].into()
}

/// Reads the IPVS table as text. What it confirms is what was known, but for the connections.
pub(crate) fn read_proc_net_ip_vs(input: &[u8]) {
    let known = known_table();
    let Ok(confirmed) = node::fuzz::confirm_servers(input, &known) else { return };
    for (key, servers) in confirmed {
        let Some(servers) = servers else { continue };
        let known = &known[&key].servers;
        let settings = |server: &ObservedServer| server.settings;
        assert!(servers.keys().eq(known.keys()));
        assert!(servers.values().map(settings).eq(known.values().map(settings)));
    }
}

/// Reads an object of a dump of nftables, as each of those that vipd asks for.
pub(crate) fn read_nft_dump(input: &[u8]) {
    node::fuzz::parse_nft_object(input);
}

/// Reads a datagram of lost SYNs. It tells of no more than fit into it.
pub(crate) fn read_lost_syns(input: &[u8]) {
    /// The shortest header of a message.
    const HEADER: usize = 16;
    assert!(node::fuzz::parse_failed_syns(input).len() <= input.len() / HEADER);
}
