//! Tables of thousands of services.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddr};

use nl_ipvs::{Command, DestinationSettings, ServiceKey};

use super::harness::{add_service, apply, in_namespace, key, saved, servers, services};

/// The n-th address of 10.0.0.0/8.
fn nth(n: u32, port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 + n).into(), port)
}

#[test]
fn a_table_of_2000_services_is_made_and_dumped_whole() {
    in_namespace(|ipvs| {
        let keys: HashSet<_> = (1..=2000).map(|n| ServiceKey::tcp(nth(n, 80))).collect();
        apply(ipvs, &keys.iter().copied().map(add_service).collect::<Vec<_>>());
        for _ in 0..2 {
            let dumped: Vec<_> = services(ipvs).into_iter().map(|service| service.key).collect();
            assert_eq!(dumped.len(), 2000, "each once");
            assert_eq!(dumped.into_iter().collect::<HashSet<_>>(), keys);
        }
        assert_eq!(saved().len(), 2000);
        let deleted = keys.iter().map(|key| Command::DeleteService { key: *key });
        apply(ipvs, &deleted.collect::<Vec<_>>());
        assert_eq!(services(ipvs), []);
    });
}

#[test]
fn a_service_of_2001_real_servers_is_made_and_dumped_whole() {
    in_namespace(|ipvs| {
        let service = key();
        let addresses: HashSet<_> = (1..=2001).map(|n| nth(n, 8080)).collect();
        apply(ipvs, &[add_service(service)]);
        let settings = DestinationSettings::masquerade(1);
        let made = addresses.iter().map(|address| Command::AddDestination {
            service,
            address: *address,
            settings,
        });
        apply(ipvs, &made.collect::<Vec<_>>());
        let dumped: Vec<_> = servers(ipvs, &service).into_iter().map(|s| s.address).collect();
        assert_eq!(dumped.len(), 2001, "each once");
        assert_eq!(dumped.into_iter().collect::<HashSet<_>>(), addresses);
        assert_eq!(saved().len(), 2002);
    });
}
