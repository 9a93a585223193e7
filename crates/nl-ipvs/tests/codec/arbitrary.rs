//! Arbitrary values of the typed layer.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nl_ipvs::{
    Daemon, DaemonRole, Destination, DestinationSettings, Family, ForwardMethod, Protocol,
    Scheduler, Service, ServiceFlags, ServiceKey, ServiceSettings, Stats, Tunnel, TunnelKind,
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
    "[a-mo-z][a-z0-9]{0,14}"
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
        (family(), any::<u32>()).prop_map(|(family, mark)| ServiceKey::Fwmark { family, mark }),
    ]
}

pub(super) fn settings(family: Family) -> impl Strategy<Value = ServiceSettings> {
    let prefix_len = match family {
        Family::Inet => 0..=32_u8,
        Family::Inet6 => 0..=128,
    };
    let scheduler =
        prop::option::of(name().prop_map(|name| Scheduler::new(name).expect("1 to 15 letters")));
    (scheduler, any::<u32>(), any::<u32>(), prefix_len, prop::option::of(name())).prop_map(
        |(scheduler, flags, timeout, prefix_len, persistence_engine)| ServiceSettings {
            scheduler,
            flags: ServiceFlags(flags),
            timeout,
            prefix_len,
            persistence_engine,
        },
    )
}

pub(super) fn service() -> impl Strategy<Value = Service> {
    key()
        .prop_flat_map(|key| (Just(key), settings(key.family()), stats()))
        .prop_map(|(key, settings, stats)| Service { key, settings, stats })
}

fn stats() -> impl Strategy<Value = Stats> {
    any::<[u64; 10]>().prop_map(|n| Stats {
        connections: n[0],
        in_packets: n[1],
        out_packets: n[2],
        in_bytes: n[3],
        out_bytes: n[4],
        connections_per_second: n[5],
        in_packets_per_second: n[6],
        out_packets_per_second: n[7],
        in_bytes_per_second: n[8],
        out_bytes_per_second: n[9],
    })
}

/// Only a tunnelled real server has a tunnel.
pub(super) fn destination_settings() -> impl Strategy<Value = DestinationSettings> {
    let plain = prop_oneof![
        Just(ForwardMethod::Masquerade),
        Just(ForwardMethod::Local),
        Just(ForwardMethod::Route),
        Just(ForwardMethod::Bypass),
        (5..8_u32).prop_map(ForwardMethod::Other),
    ]
    .prop_map(|forward| (forward, Tunnel::default()));
    let kind = prop_oneof![
        Just(TunnelKind::IpIp),
        Just(TunnelKind::Gue),
        Just(TunnelKind::Gre),
        (3..=u8::MAX).prop_map(TunnelKind::Other),
    ];
    let tunnelled = (kind, any::<u16>(), any::<u16>())
        .prop_map(|(kind, port, flags)| (ForwardMethod::Tunnel, Tunnel { kind, port, flags }));
    (prop_oneof![plain, tunnelled], any::<[u32; 3]>()).prop_map(|((forward, tunnel), n)| {
        DestinationSettings {
            forward,
            weight: n[0],
            upper_threshold: n[1],
            lower_threshold: n[2],
            tunnel,
        }
    })
}

pub(super) fn address() -> impl Strategy<Value = SocketAddr> {
    (family().prop_flat_map(ip), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

pub(super) fn destination() -> impl Strategy<Value = Destination> {
    (address(), destination_settings(), any::<[u32; 3]>(), stats()).prop_map(
        |(address, settings, n, stats)| Destination {
            address,
            settings,
            active_connections: n[0],
            inactive_connections: n[1],
            persistent_connections: n[2],
            stats,
        },
    )
}

pub(super) fn daemon() -> impl Strategy<Value = Daemon> {
    (
        prop_oneof![Just(DaemonRole::Master), Just(DaemonRole::Backup)],
        name(),
        any::<u8>(),
        any::<(Option<u16>, Option<u16>, Option<u8>)>(),
        prop::option::of(family().prop_flat_map(ip)),
    )
        .prop_map(|(role, interface, sync_id, (max_len, port, ttl), group)| Daemon {
            role,
            interface,
            sync_id,
            max_len,
            group,
            port,
            ttl,
        })
}
