//! Arbitrary values of the typed layer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};

use nl_ipvs::{
    ClientPrefix, Daemon, DaemonRole, Destination, DestinationSettings, Family, ForwardMethod,
    InterfaceName, PersistenceEngine, Protocol, Scheduler, Service, ServiceFlags, ServiceKey,
    ServiceSettings, Stats, Tunnel, TunnelFlags, TunnelKind,
};
use proptest::prelude::*;

fn ip(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::Inet => any::<Ipv4Addr>().prop_map(IpAddr::V4).boxed(),
        Family::Inet6 => any::<Ipv6Addr>().prop_map(IpAddr::V6).boxed(),
    }
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Inet), Just(Family::Inet6)]
}

fn name() -> impl Strategy<Value = String> {
    "[a-z][a-z0-9]{0,14}"
}

pub(super) fn key() -> impl Strategy<Value = ServiceKey> {
    prop_oneof![
        (family().prop_flat_map(ip), any::<u16>(), any::<u16>()).prop_map(
            |(address, protocol, port)| ServiceKey::Address {
                protocol: Protocol(protocol),
                address,
                port
            }
        ),
        (family(), any::<NonZeroU32>()).prop_map(|(family, mark)| ServiceKey::fwmark(family, mark)),
    ]
}

pub(super) fn settings(family: Family) -> impl Strategy<Value = ServiceSettings> {
    let lens = match family {
        Family::Inet => 0..=32_u8,
        Family::Inet6 => 1..=128,
    };
    let prefix = lens.prop_map(move |len| ClientPrefix::new(family, len).expect("in range"));
    let scheduler = name().prop_filter_map("not a name", |name| Scheduler::new(name).ok());
    let engine = name().prop_map(|name| PersistenceEngine::new(name).expect("1 to 15 letters"));
    (prop::option::of(scheduler), any::<u32>(), any::<u32>(), prefix, prop::option::of(engine))
        .prop_map(|(scheduler, flags, timeout, client_prefix, persistence_engine)| {
            let mut settings = ServiceSettings::without_scheduler();
            settings.scheduler = scheduler;
            settings.flags = ServiceFlags::from_bits(flags);
            settings.timeout = timeout;
            settings.client_prefix = client_prefix;
            settings.persistence_engine = persistence_engine;
            settings
        })
}

pub(super) fn service() -> impl Strategy<Value = Service> {
    key().prop_flat_map(|key| (Just(key), settings(key.family()), stats())).prop_map(
        |(key, settings, stats)| {
            let mut service = Service::new(key, settings);
            service.stats = stats;
            service
        },
    )
}

#[allow(clippy::field_reassign_with_default, reason = "outside of the crate it is the only way")]
fn stats() -> impl Strategy<Value = Stats> {
    any::<[u64; 10]>().prop_map(|n| {
        let mut stats = Stats::default();
        stats.connections = n[0];
        stats.in_packets = n[1];
        stats.out_packets = n[2];
        stats.in_bytes = n[3];
        stats.out_bytes = n[4];
        stats.connections_per_second = n[5];
        stats.in_packets_per_second = n[6];
        stats.out_packets_per_second = n[7];
        stats.in_bytes_per_second = n[8];
        stats.out_bytes_per_second = n[9];
        stats
    })
}

/// Only a tunnelled real server has a tunnel.
pub(super) fn destination_settings() -> impl Strategy<Value = DestinationSettings> {
    let method = (0..8_u32).prop_map(ForwardMethod::from_bits);
    let tunnel = (any::<u8>(), any::<u16>(), any::<u16>()).prop_map(|(kind, port, flags)| {
        let mut tunnel = Tunnel::gue(port, TunnelFlags(flags));
        tunnel.kind = TunnelKind::from_number(kind);
        tunnel
    });
    (method, tunnel, any::<[u32; 3]>()).prop_map(|(forward, tunnel, n)| {
        let settings = match forward {
            ForwardMethod::Tunnel => DestinationSettings::tunnel(tunnel, n[0]),
            forward => DestinationSettings::new(forward, n[0]),
        };
        settings.with_thresholds(n[1], n[2])
    })
}

pub(super) fn address() -> impl Strategy<Value = SocketAddr> {
    (family().prop_flat_map(ip), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

pub(super) fn destination() -> impl Strategy<Value = Destination> {
    (address(), destination_settings(), any::<[u32; 3]>(), stats()).prop_map(
        |(address, settings, n, stats)| {
            let mut destination = Destination::new(address, settings);
            destination.active_connections = n[0];
            destination.inactive_connections = n[1];
            destination.persistent_connections = n[2];
            destination.stats = stats;
            destination
        },
    )
}

pub(super) fn daemon() -> impl Strategy<Value = Daemon> {
    (
        prop_oneof![Just(DaemonRole::Master), Just(DaemonRole::Backup)],
        name().prop_map(|name| InterfaceName::new(name).expect("1 to 15 letters")),
        any::<u8>(),
        any::<(Option<NonZeroU16>, Option<NonZeroU16>, Option<NonZeroU8>)>(),
        prop::option::of(family().prop_flat_map(ip)),
    )
        .prop_map(|(role, interface, sync_id, (max_len, port, ttl), group)| {
            let mut daemon = Daemon::new(role, interface, sync_id);
            daemon.max_len = max_len;
            daemon.group = group;
            daemon.port = port;
            daemon.ttl = ttl;
            daemon
        })
}
