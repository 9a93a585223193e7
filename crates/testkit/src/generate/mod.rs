//! Proptest strategies for tables. They draw from few addresses and ports, so that wanted and
//! observed entries often meet.

mod firewall;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};

use nl_ipvs::{
    DestinationSettings, Family, ServiceFlags, ServiceKey, ServiceSettings, Stats, Timeouts,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use vip::label::{Options, Scheduling};
use vip::nft::{Element, Guard, LostSyns, Masquerade, Modes, NftSupport, Rules, Table, TableState};
use vip::ownership::MARK;
use vip::{
    Bound, Desired, DesiredService, Link, LocalRoute, Member, Nft, NodeFacts, Observed,
    ObservedServer, ObservedService, Protocol, Selection, Vip, Why,
};

pub use firewall::{any_firewall, any_let_in};

/// An address of the node in every observed table, and its source address if it has one.
pub const NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

/// Generates VIPs on five addresses, two of them IPv6.
pub fn any_vip() -> impl Strategy<Value = Vip> {
    let protocol = select(vec![Protocol::Tcp, Protocol::Udp]);
    (any_address(), 80_u16..82, protocol).prop_map(|(address, port, protocol)| Vip {
        address,
        port: NonZeroU16::new(port).unwrap_or(NonZeroU16::MIN),
        protocol,
    })
}

/// Generates the addresses of VIPs.
pub fn any_address() -> impl Strategy<Value = IpAddr> {
    (0..5_u8).prop_map(|number| match number {
        0..3 => Ipv4Addr::new(3, 3, 0, number + 1).into(),
        _ => Ipv6Addr::new(0xfd01, 0, 0, 0, 0, 0, 0, number.into()).into(),
    })
}

/// Generates one of four real servers of a family.
pub fn any_server(family: Family) -> impl Strategy<Value = SocketAddr> {
    (1..3_u8, 31000_u16..31002).prop_map(move |(host, port)| {
        let address: IpAddr = match family {
            Family::Inet => Ipv4Addr::new(10, 0, 0, host).into(),
            Family::Inet6 => Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, host.into()).into(),
        };
        SocketAddr::new(address, port)
    })
}

/// Generates options as the labels of an app may set them.
pub fn any_options() -> impl Strategy<Value = Options> {
    let schedulers = vec![Scheduling::Wlc, Scheduling::Rr, Scheduling::Sh, Scheduling::Mh];
    (select(schedulers), any::<bool>(), option::of(1..3_u32)).prop_map(
        |(scheduler, hash_port, persistence)| {
            let hash_port = hash_port && matches!(scheduler, Scheduling::Sh | Scheduling::Mh);
            Options { scheduler, hash_port, persistence, ..Options::default() }
        },
    )
}

/// Generates a desired state with up to eight VIPs.
pub fn any_desired() -> impl Strategy<Value = Desired> {
    let services = btree_map(any_vip(), any::<()>(), 0..8)
        .prop_flat_map(|vips| vips.into_keys().map(any_desired_service).collect::<Vec<_>>());
    let timeouts = select(vec![0, 900, 7200]).prop_map(|tcp| Timeouts { tcp, tcp_fin: 0, udp: 0 });
    let others = (option::of(Just(NODE)), timeouts, any_modes(), any_let_in());
    (services, others).prop_map(|(services, (source, timeouts, modes, let_in))| {
        let services = services.into_iter().collect();
        let mut desired = Desired { services, timeouts, modes, let_in, ..Desired::default() };
        desired.set_source(source);
        desired
    })
}

/// Generates the operator's choice of nftables modes.
pub fn any_modes() -> impl Strategy<Value = Modes> {
    let masquerade = select(vec![Masquerade::Always, Masquerade::Off]);
    let guard = select(vec![Guard::On, Guard::Off]);
    let lost_syns = select(vec![LostSyns::Logged, LostSyns::Ignored]);
    (masquerade, guard, lost_syns).prop_map(|(masquerade, guard, lost_syns)| Modes {
        masquerade,
        guard,
        lost_syns,
    })
}

/// Generates the state of our nftables tables, as any kernel could hold them.
pub fn any_nft() -> impl Strategy<Value = Nft> {
    let table = || {
        let support =
            select(vec![NftSupport::Nothing, NftSupport::Filter, NftSupport::Nat, NftSupport::Nat]);
        let state = prop_oneof![
            Just(TableState::Missing),
            Just(TableState::Damaged),
            select(Rules::ALL.to_vec()).prop_map(TableState::Whole),
        ];
        (support, state)
    };
    let elements = vec(
        prop_oneof![any_address().prop_map(Element::Guarded), any_vip().prop_map(Element::Refused)],
        0..8,
    );
    (table(), table(), elements).prop_map(|(v4, v6, elements)| {
        let mut nft = Nft { v4: held_table(v4), v6: held_table(v6) };
        for element in elements {
            let table = nft.table_mut(element.family());
            if table.state != TableState::Missing {
                table.insert(element);
            }
        }
        nft
    })
}

/// Makes a table whose state the kernel is able to hold.
fn held_table((support, state): (NftSupport, TableState)) -> Table {
    let state = match (support, state) {
        (NftSupport::Nothing, _) => TableState::Missing,
        (NftSupport::Filter, TableState::Whole(rules)) => {
            TableState::Whole(Rules { nat: None, lost_syns: LostSyns::Ignored, ..rules })
        }
        _ => state,
    };
    Table { support, state, ..Table::default() }
}

/// Generates the desired service of a VIP, with up to four real servers.
pub fn any_desired_service(vip: Vip) -> impl Strategy<Value = (Vip, DesiredService)> {
    let servers = btree_map(any_server(Family::from(vip.address)), 0..3_u32, 0..4);
    (any_options(), servers).prop_map(move |(options, servers)| {
        let member = |weight| Member {
            weight,
            source: "m".into(),
            app: "/a".into(),
            task: "a.1".into(),
            why: Why::Healthy,
            local: None,
            silent: None,
        };
        let members = servers.into_iter().map(|(at, weight)| (at, member(weight))).collect();
        let selection = Selection { members, ..Selection::default() };
        let apps = vec!["/a".into()];
        (vip, DesiredService { options, apps, selection, ..DesiredService::default() })
    })
}

/// Generates a kernel's state: services of ours, some with old settings; services of others, some
/// on the same addresses; the interface in any state.
pub fn any_observed() -> impl Strategy<Value = Observed> {
    let services = vec(any_observed_service(), 0..10);
    let bound =
        option::weighted(0.4, select(vec![IpAddr::from(NODE), Ipv4Addr::UNSPECIFIED.into()]));
    let addresses = btree_map(any_address(), bound, 0..5);
    let link = select(vec![Link::Up, Link::Up, Link::Down, Link::Missing]);
    let rest = (any_nft(), any_firewall());
    (services, addresses, link, rest).prop_map(|(services, addresses, link, rest)| Observed {
        services: services.into_iter().collect(),
        link,
        addresses: if link == Link::Missing { BTreeMap::new() } else { bindings(addresses) },
        timeouts: Timeouts { tcp: 900, tcp_fin: 120, udp: 300 },
        nft: rest.0,
        firewall: rest.1,
        node: NodeFacts { own: [NODE.into()].into(), ..NodeFacts::default() },
    })
}

/// Drops the source of IPv6 addresses, which have none.
fn bindings(addresses: BTreeMap<IpAddr, Option<IpAddr>>) -> BTreeMap<IpAddr, Bound> {
    addresses
        .into_iter()
        .map(|(address, source)| {
            let source = source.filter(|_| address.is_ipv4());
            (address, Bound { route: LocalRoute { source, mtu: None }, ..Bound::default() })
        })
        .collect()
}

fn any_observed_service() -> impl Strategy<Value = (ServiceKey, ObservedService)> {
    let key = prop_oneof![
        9 => any_vip().prop_map(ServiceKey::from),
        1 => (1..3_u32).prop_map(|mark| {
            let mark = NonZeroU32::MIN.saturating_add(mark - 1);
            ServiceKey::fwmark(Family::Inet, mark)
        }),
    ];
    (key, any_options(), any::<bool>()).prop_flat_map(|(key, options, marked)| {
        let servers = btree_map(any_server(key.family()), 0..3_u32, 0..4);
        servers.prop_map(move |servers| {
            let mut settings = options.service_settings();
            settings.flags = held_flags(&settings, marked);
            (
                key,
                ObservedService {
                    settings,
                    servers: idle_servers(servers).into_iter().collect(),
                    stats: Stats::default(),
                },
            )
        })
    })
}

fn held_flags(settings: &ServiceSettings, marked: bool) -> ServiceFlags {
    if marked { settings.flags } else { settings.flags & !MARK }
}

fn idle_servers(servers: BTreeMap<SocketAddr, u32>) -> BTreeMap<SocketAddr, ObservedServer> {
    let idle = |weight| ObservedServer {
        settings: DestinationSettings::masquerade(weight),
        active: 0,
        inactive: 0,
        stats: None,
    };
    servers.into_iter().map(|(at, weight)| (at, idle(weight))).collect()
}
