//! The kernel in memory against the real one: the same commands have the same outcomes and leave the
//! same table.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU16};
use std::time::Duration;

use nl_ipvs::fake::FakeKernel;
use nl_ipvs::{
    ClientPrefix, Command, Daemon, DaemonRole, DestinationSettings, Family, ForwardMethod, Ipvs,
    KernelError, PersistenceEngine, Scheduler, ServiceFlags, ServiceKey, ServiceSettings, Timeouts,
    Tunnel, TunnelFlags,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::harness::{at, in_namespace, run, servers, services};

fn key() -> impl Strategy<Value = ServiceKey> {
    let mark = 7.try_into().expect("a value");
    select(vec![
        ServiceKey::tcp(at("10.96.0.1:80")),
        ServiceKey::udp(at("10.96.0.1:80")),
        ServiceKey::tcp(at("[fd00::1]:80")),
        ServiceKey::fwmark(Family::Inet, mark),
        ServiceKey::fwmark(Family::Inet6, mark),
    ])
}

fn settings() -> impl Strategy<Value = ServiceSettings> {
    let name = |names: Vec<&'static str>| select(names);
    let scheduler = option::weighted(
        0.9,
        name(vec!["rr", "rr", "wlc", "nosuch"])
            .prop_map(|name| Scheduler::new(name).expect("a value")),
    );
    let engine = option::weighted(0.1, Just(PersistenceEngine::new("nosuch").expect("a value")));
    let prefix = select(vec![
        ClientPrefix::WHOLE,
        ClientPrefix::WHOLE,
        ClientPrefix::v4(24).expect("a value"),
        ClientPrefix::v4(0).expect("a value"),
        ClientPrefix::v6(64).expect("a value"),
    ]);
    (scheduler, engine, prefix, any::<u8>(), 0..600_u32).prop_map(
        |(scheduler, engine, prefix, flags, timeout)| {
            let mut settings = ServiceSettings::without_scheduler();
            settings.scheduler = scheduler;
            settings.persistence_engine = engine;
            settings.client_prefix = prefix;
            settings.flags = ServiceFlags::from_bits(flags.into());
            settings.timeout = timeout;
            settings
        },
    )
}

fn address() -> impl Strategy<Value = SocketAddr> {
    select(vec![
        at("10.0.0.1:80"),
        at("10.0.0.2:80"),
        at("[fd00::2]:80"),
        at("224.0.0.1:80"),
        at("255.255.255.255:80"),
        at("0.0.0.0:80"),
        at("0.1.2.3:80"),
        at("127.0.0.1:80"),
        at("[ff02::1]:80"),
        at("[::]:80"),
        at("[fe80::1]:80"),
        at("[::ffff:10.0.0.1]:80"),
    ])
}

fn server_settings() -> impl Strategy<Value = DestinationSettings> {
    let plain = select(vec![ForwardMethod::Masquerade, ForwardMethod::Route])
        .prop_map(|method| DestinationSettings::new(method, 0));
    let tunnels = select(vec![
        Tunnel::ipip(),
        Tunnel::gue(6081, TunnelFlags::NO_CHECKSUM),
        Tunnel::gue(0, TunnelFlags::NO_CHECKSUM),
    ]);
    let tunnelled = tunnels.prop_map(|tunnel| DestinationSettings::tunnel(tunnel, 0));
    let weight = select(vec![0, 1, 70_000, i32::MAX as u32, u32::MAX]);
    (prop_oneof![plain, tunnelled], weight, 0..3_u32, 0..3_u32).prop_map(
        |(mut settings, weight, upper, lower)| {
            settings.weight = weight;
            settings.with_thresholds(upper, lower)
        },
    )
}

/// A timeout that every kernel takes or refuses. Those between depend on its ticks.
fn timeout() -> impl Strategy<Value = u32> {
    let limit = i32::MAX.unsigned_abs();
    select(vec![0, 1, 2, 2, 60, limit / 1000, limit / 100 + 1, limit, u32::MAX])
}

fn daemon() -> impl Strategy<Value = Daemon> {
    let role = select(vec![DaemonRole::Master, DaemonRole::Backup]);
    let max_len = select(vec![None, None, Some(1), Some(1000), Some(1400), Some(u16::MAX)]);
    let groups = ["224.0.0.81", "224.0.0.99", "10.0.0.1", "ff02::99", "fd00::1"];
    let group = option::of(select(groups.to_vec()));
    let port = select(vec![None, Some(8850)]);
    let ttl = select(vec![None, Some(3)]);
    (role, any::<u8>(), max_len, group, port, ttl).prop_map(
        |(role, sync_id, max_len, group, port, ttl)| {
            let mut daemon = Daemon::new(role, "v0".parse().expect("a name"), sync_id);
            daemon.max_len = max_len.and_then(NonZeroU16::new);
            daemon.group = group.map(|group| group.parse().expect("an address"));
            daemon.port = port.and_then(NonZeroU16::new);
            daemon.ttl = ttl.and_then(NonZeroU8::new);
            daemon
        },
    )
}

fn command() -> impl Strategy<Value = Command> {
    let timeouts = (timeout(), timeout(), timeout()).prop_map(|(tcp, tcp_fin, udp)| Timeouts {
        tcp,
        tcp_fin,
        udp,
    });
    prop_oneof![
        8 => (key(), settings()).prop_map(|(key, settings)| Command::AddService { key, settings }),
        4 => (key(), settings(), any::<u8>()).prop_map(|(key, settings, mask)| {
            let flags_mask = ServiceFlags::from_bits(mask.into());
            Command::SetService { key, settings, flags_mask }
        }),
        2 => key().prop_map(|key| Command::DeleteService { key }),
        12 => (key(), address(), server_settings()).prop_map(|(service, address, settings)| {
            Command::AddDestination { service, address, settings }
        }),
        6 => (key(), address(), server_settings()).prop_map(|(service, address, settings)| {
            Command::SetDestination { service, address, settings }
        }),
        4 => (key(), address())
            .prop_map(|(service, address)| Command::DeleteDestination { service, address }),
        1 => option::of(key()).prop_map(Command::Zero),
        1 => timeouts.prop_map(Command::SetTimeouts),
        1 => Just(Command::StopDaemon(nl_ipvs::DaemonRole::Master)),
    ]
}

type Table = BTreeMap<ServiceKey, (ServiceSettings, BTreeMap<SocketAddr, DestinationSettings>)>;

fn table(ipvs: &mut Ipvs) -> Table {
    let mut table = Table::new();
    for service in services(ipvs) {
        let servers = servers(ipvs, &service.key).into_iter();
        let servers = servers.map(|server| (server.address, server.settings)).collect();
        table.insert(service.key, (service.settings, servers));
    }
    table
}

fn number(outcome: &Result<(), KernelError>) -> i32 {
    outcome.as_ref().err().map_or(0, KernelError::errno)
}

#[test]
fn the_kernel_in_memory_answers_as_the_real_one_and_keeps_the_same_table() {
    let mut runner = TestRunner::deterministic();
    let sequences = vec(vec(command(), 150), 20);
    let sequences = sequences.new_tree(&mut runner).expect("values").current();
    in_namespace(|real| {
        for commands in sequences {
            let fake = FakeKernel::new();
            let mut fake = fake.client();
            real.flush().unwrap();
            real.set_timeouts(fake.timeouts().unwrap()).unwrap();
            let (wanted, got) = (real.batch(&commands).unwrap(), fake.batch(&commands).unwrap());
            for ((command, wanted), got) in commands.iter().zip(&wanted).zip(&got) {
                assert_eq!(number(got), number(wanted), "{command:?}");
            }
            assert_eq!(table(&mut fake), table(real));
            assert_eq!(fake.timeouts().unwrap(), real.timeouts().unwrap());
        }
    });
}

/// Every daemon is stopped in the end, and not at once: see [`Command::StopDaemon`].
#[test]
fn daemons_of_the_kernel_in_memory_are_those_of_the_real_one() {
    let mut runner = TestRunner::deterministic();
    let sequences = vec(vec(daemon(), 6), 12);
    let sequences = sequences.new_tree(&mut runner).expect("values").current();
    let v6 = ServiceKey::tcp(at("[fd00::1]:80"));
    let mixed = Command::AddDestination {
        service: v6,
        address: at("10.0.0.1:80"),
        settings: DestinationSettings::tunnel(Tunnel::ipip(), 1),
    };
    let add = Command::AddService { key: v6, settings: ServiceSettings::without_scheduler() };
    in_namespace(|real| {
        run("ip", "link add v0 type veth peer name v1");
        run("ip", "link set v0 up");
        run("ip", "link set v1 up");
        run("ip", "address add 10.9.9.1/24 dev v0");
        // A group is reached from an address that is known to be nobody else's.
        run("ip", "address add fe80::9/64 dev v0 nodad");
        let fake = FakeKernel::new();
        let mut fake = fake.client();
        let mut both = |command: &Command| {
            let (wanted, got) = (real.batch([command]).unwrap(), fake.batch([command]).unwrap());
            assert_eq!(number(&got[0]), number(&wanted[0]), "{command:?}");
            let listed = [real.daemons().unwrap(), fake.daemons().unwrap()];
            assert_eq!(listed[1], listed[0], "after {command:?}");
            number(&wanted[0]) == 0
        };
        both(&add);
        for daemons in sequences {
            let mut started = Vec::new();
            for daemon in daemons {
                let role = daemon.role;
                if both(&Command::StartDaemon(daemon)) {
                    started.push(role);
                }
            }
            assert!(!both(&mixed), "beside a daemon");
            std::thread::sleep(Duration::from_millis(50));
            for role in started {
                both(&Command::StopDaemon(role));
            }
        }
        assert!(both(&mixed));
        let master = Daemon::new(DaemonRole::Master, "v0".parse().unwrap(), 1);
        assert!(!both(&Command::StartDaemon(master)), "beside a real server of the other family");
    });
}
