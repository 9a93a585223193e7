//! A client over the kernel in memory: its calls, its errors, and what becomes of lost answers.

use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU16};

use nl_ipvs::fake::{Failure, FakeKernel};
use nl_ipvs::{
    ClientPrefix, Command, Daemon, DaemonRole, DestinationSettings, Error, Family, ForwardMethod,
    Ipvs, KernelError, ServiceFlags, ServiceKey, ServiceSettings, Timeouts, Tunnel, TunnelFlags,
    TunnelKind, errno,
};

fn at(address: &str) -> SocketAddr {
    address.parse().expect("no refusal")
}

fn key() -> ServiceKey {
    ServiceKey::tcp(at("10.96.0.1:80"))
}

fn wlc() -> ServiceSettings {
    ServiceSettings::new("wlc".parse().expect("no refusal"))
}

/// A kernel with one service of two real servers, and a client.
fn filled() -> (FakeKernel, Ipvs) {
    let kernel = FakeKernel::new();
    let mut ipvs = kernel.client();
    ipvs.add_service(key(), wlc()).expect("no refusal");
    for server in ["10.0.0.1:8080", "10.0.0.2:8080"] {
        ipvs.add_destination(key(), at(server), DestinationSettings::masquerade(1))
            .expect("no refusal");
    }
    (kernel, ipvs)
}

#[test]
fn every_change_has_a_call_of_its_own() {
    let (_, mut ipvs) = filled();
    let server = at("10.0.0.1:8080");
    let settings = wlc().persistent(300).with_flags(ServiceFlags::SCHED_2);
    ipvs.set_service(key(), settings.clone()).unwrap();
    assert_eq!(ipvs.service(&key()).unwrap().unwrap().settings, settings);
    ipvs.set_destination(key(), server, DestinationSettings::masquerade(7)).unwrap();
    let servers = ipvs.destinations(&key()).unwrap().unwrap().complete().unwrap();
    let weights: Vec<_> = servers.iter().map(|s| (s.address, s.settings.weight)).collect();
    assert_eq!(weights, [(at("10.0.0.2:8080"), 1), (server, 7)]);
    ipvs.delete_destination(key(), server).unwrap();
    ipvs.zero(Some(key())).unwrap();
    ipvs.set_timeouts(Timeouts { tcp: 0, tcp_fin: 60, udp: 0 }).unwrap();
    assert_eq!(ipvs.timeouts().unwrap(), Timeouts { tcp: 900, tcp_fin: 60, udp: 300 });
    assert_eq!(ipvs.info().unwrap().version.to_string(), "1.2.1");
    ipvs.delete_service(key()).unwrap();
    assert_eq!(ipvs.services().unwrap().entries, []);
}

/// The kernel keeps the tunnel of a real server that isn't reached by one.
#[test]
fn a_real_server_is_read_back_equal_to_what_was_set() {
    let (_, mut ipvs) = filled();
    let server = at("10.0.0.1:8080");
    let tunnel = DestinationSettings::tunnel(Tunnel::gue(6080, TunnelFlags::CHECKSUM), 1);
    let mut masquerade = tunnel;
    masquerade.forward = ForwardMethod::Masquerade;
    for settings in [tunnel, masquerade, DestinationSettings::route(1)] {
        ipvs.set_destination(key(), server, settings).unwrap();
        let servers = ipvs.destinations(&key()).unwrap().unwrap().complete().unwrap();
        let found = servers.iter().find(|found| found.address == server).unwrap();
        assert_eq!(found.settings, settings);
    }
}

#[test]
fn text_that_means_something_else_is_no_value() {
    for text in ["[fe80::1%3]:80/tcp", "10.0.0.1:80/+6", "fwmark +7", "fwmark 0"] {
        assert!(text.parse::<ServiceKey>().is_err(), "{text}");
    }
    for text in ["0x+5", "0x", "persistent,", "+1"] {
        assert!(text.parse::<ServiceFlags>().is_err(), "{text}");
    }
    assert!("v4/+24".parse::<ClientPrefix>().is_err());
    assert!("forward-+5".parse::<ForwardMethod>().is_err());
    assert!("tunnel-+5".parse::<TunnelKind>().is_err());
    assert_eq!(
        format!("{:>20}|{:<8}|", key(), ClientPrefix::v4(24).unwrap()),
        "    10.96.0.1:80/tcp|v4/24   |"
    );
}

#[test]
fn a_service_is_read_back_equal_to_what_was_set() {
    let kernel = FakeKernel::new();
    let mut ipvs = kernel.client();
    let marked = ServiceKey::fwmark(Family::Inet6, 7.try_into().unwrap());
    for key in [key(), marked] {
        let settings = wlc().with_flags(ServiceFlags::from_bits(u32::MAX)).persistent(1);
        ipvs.add_service(key, settings.clone()).unwrap();
        let read = ipvs.service(&key).unwrap().unwrap();
        assert_eq!((read.key, read.settings), (key, settings));
    }
}

#[test]
fn the_real_servers_of_a_missing_service_are_none_and_of_an_empty_one_no_entries() {
    let (_, mut ipvs) = filled();
    let other = ServiceKey::udp(at("10.96.0.1:53"));
    assert_eq!(ipvs.destinations(&other).unwrap(), None);
    ipvs.add_service(other, wlc()).unwrap();
    assert_eq!(ipvs.destinations(&other).unwrap().unwrap().entries, []);
    assert_eq!(ipvs.service(&ServiceKey::sctp(at("10.96.0.1:80"))).unwrap(), None);
}

#[test]
fn a_refusal_names_the_change_and_is_told_apart() {
    let (kernel, mut ipvs) = filled();
    let error = ipvs.add_service(key(), wlc()).unwrap_err();
    assert!(error.is_already_exists());
    assert_eq!(error.to_string(), "the kernel refused to add a service");
    assert_eq!(error.refusal(), Some(&KernelError::new(errno::EEXIST)));
    assert!(ipvs.delete_destination(key(), at("10.0.0.9:80")).unwrap_err().is_not_found());

    kernel.remove_scheduler(&"mh".parse().unwrap());
    let error = ipvs.set_service(key(), ServiceSettings::new("mh".parse().unwrap())).unwrap_err();
    assert!(error.to_string().contains("modprobe"), "{error}");
    assert_eq!(ipvs.has_scheduler(&"mh".parse().unwrap()).unwrap(), Some(false));
    assert_eq!(ipvs.has_scheduler(&"wlc".parse().unwrap()).unwrap(), Some(true));
    assert_eq!(ipvs.services().unwrap().entries.len(), 1);
}

#[test]
fn a_batch_whose_answers_are_lost_keeps_those_that_came_before() {
    let (kernel, mut ipvs) = filled();
    // The first 128 are answered; one of them is refused.
    let commands: Vec<_> = (0..200_u16)
        .map(|port| ServiceKey::tcp(SocketAddr::new(at("10.96.0.1:0").ip(), port)))
        .map(|key| Command::AddService { key, settings: wlc() })
        .collect();
    kernel.fail_next(Failure::LoseAnswers);
    let failed = ipvs.batch(&commands).unwrap_err();
    assert!(matches!(failed.error, Error::Netlink(_)), "{failed:?}");
    assert_eq!(failed.outcomes, vec![None; 128], "carried out, but the answers are lost");
    assert_eq!(ipvs.services().unwrap().entries.len(), 128);

    ipvs.flush().unwrap();
    kernel.fail_next(Failure::Silence);
    assert!(ipvs.apply(&commands[0]).is_err());
    assert!(ipvs.apply(&commands[0]).unwrap_err().is_already_exists(), "it was carried out");
}

#[test]
fn a_refusal_that_a_test_asks_for_meets_one_command_of_a_batch() {
    let (kernel, mut ipvs) = filled();
    kernel.fail_next(Failure::Refuse(errno::ENOMEM));
    let command = Command::Zero(None);
    let outcomes = ipvs.batch([&command, &command]).unwrap();
    assert_eq!(outcomes, [Err(KernelError::new(errno::ENOMEM)), Ok(())]);
}

#[test]
fn a_refused_question_for_a_scheduler_is_an_error_with_its_cause() {
    let (kernel, mut ipvs) = filled();
    kernel.fail_next(Failure::Refuse(errno::EPERM));
    let error = ipvs.has_scheduler(&"wlc".parse().unwrap()).unwrap_err();
    assert_eq!(error.refusal(), Some(&KernelError::new(errno::EPERM)));
    assert!(error.to_string().contains("CAP_NET_ADMIN"), "{error}");
    kernel.fail_next(Failure::Refuse(errno::EAFNOSUPPORT));
    assert_eq!(ipvs.has_scheduler(&"wlc".parse().unwrap()).unwrap(), None, "without IPv6");
}

#[test]
fn the_reason_of_a_failed_exchange_can_be_matched_without_another_dependency() {
    let (kernel, mut ipvs) = filled();
    kernel.fail_next(Failure::LoseAnswers);
    let error = ipvs.flush().unwrap_err();
    assert!(matches!(error, Error::Netlink(nl_ipvs::nl_pipeline::Error::Lost)), "{error:?}");
}

#[test]
fn a_scheduler_that_is_missing_is_missing_after_the_module_was_loaded_again() {
    let (kernel, mut ipvs) = filled();
    let mh = "mh".parse().unwrap();
    kernel.remove_scheduler(&mh);
    kernel.reload();
    assert_eq!(ipvs.has_scheduler(&mh).unwrap(), Some(false));
}

#[test]
fn services_come_by_bucket_with_marks_last_and_real_servers_newest_first() {
    let mut ipvs = FakeKernel::new().client();
    let texts = ["fwmark 7", "10.96.0.9:80/tcp", "10.96.0.3:80/tcp", "10.96.0.1:80/tcp"];
    let mut keys = texts.map(|text| text.parse::<ServiceKey>().unwrap());
    for key in keys {
        ipvs.add_service(key, wlc()).unwrap();
    }
    let mut listed: Vec<_> =
        ipvs.services().unwrap().entries.iter().map(|service| service.key).collect();
    assert_eq!(listed.last(), Some(&keys[0]), "the mark");
    assert_ne!(listed, keys, "oldest first");
    keys.reverse();
    assert_ne!(listed, keys, "newest first");
    listed.sort_unstable();
    keys.sort_unstable();
    assert_eq!(listed, keys);
    for server in ["10.0.0.1:80", "10.0.0.3:80", "10.0.0.2:80"] {
        ipvs.add_destination(keys[0], at(server), DestinationSettings::masquerade(1)).unwrap();
    }
    let servers = ipvs.destinations(&keys[0]).unwrap().unwrap().entries;
    let servers: Vec<_> = servers.iter().map(|server| server.address).collect();
    assert_eq!(servers, ["10.0.0.2:80", "10.0.0.3:80", "10.0.0.1:80"].map(at));
}

#[test]
fn a_daemon_is_read_back_with_the_choices_of_the_kernel() {
    let mut ipvs = FakeKernel::new().client();
    let daemon = |role| Daemon::new(role, "eth0".parse().unwrap(), 5);
    ipvs.start_daemon(daemon(DaemonRole::Master)).unwrap();
    let mut backup = daemon(DaemonRole::Backup);
    backup.max_len = NonZeroU16::new(10);
    backup.group = Some("ff02::81".parse().unwrap());
    ipvs.start_daemon(backup.clone()).unwrap();

    let mut master = daemon(DaemonRole::Master);
    master.max_len = NonZeroU16::new(1472);
    master.group = Some("224.0.0.81".parse().unwrap());
    backup.max_len = NonZeroU16::new(1024);
    for daemon in [&mut master, &mut backup] {
        daemon.port = NonZeroU16::new(8848);
        daemon.ttl = NonZeroU8::new(1);
    }
    assert_eq!(ipvs.daemons().unwrap().entries, [master, backup.clone()]);

    ipvs.stop_daemon(DaemonRole::Backup).unwrap();
    backup.max_len = Some(NonZeroU16::MAX);
    ipvs.start_daemon(backup).unwrap();
    let longest = ipvs.daemons().unwrap().entries[1].max_len;
    assert_eq!(longest, NonZeroU16::new(u16::MAX - 48));
}

#[test]
fn values_that_the_kernel_refuses_are_refused() {
    let mut ipvs = FakeKernel::new().client();
    let mut errno_of = |command: Command| {
        ipvs.apply(&command).err().and_then(|error| error.refusal().map(KernelError::errno))
    };
    let most = i32::MAX.unsigned_abs() / 1000;
    let timeouts = Timeouts { tcp: most, tcp_fin: 60, udp: 0 };
    assert_eq!(errno_of(Command::SetTimeouts(timeouts)), None);
    let timeouts = Timeouts { tcp: 60, tcp_fin: 0, udp: most + 1 };
    assert_eq!(errno_of(Command::SetTimeouts(timeouts)), Some(errno::EINVAL));
    let mut daemon = Daemon::new(DaemonRole::Master, "eth0".parse().unwrap(), 5);
    for group in ["10.0.0.1", "fd00::1"] {
        daemon.group = Some(group.parse().unwrap());
        assert_eq!(errno_of(Command::StartDaemon(daemon.clone())), Some(errno::EINVAL), "{group}");
    }
    let service = ServiceKey::tcp(at("[fd00::1]:80"));
    assert_eq!(errno_of(Command::AddService { key: service, settings: wlc() }), None);
    let (address, settings) = (at("[::ffff:10.0.0.1]:80"), DestinationSettings::masquerade(1));
    let command = Command::AddDestination { service, address, settings };
    assert_eq!(errno_of(command), Some(errno::EINVAL));
    assert_eq!(ipvs.timeouts().unwrap().tcp, most, "nothing was set by half");
}

#[test]
fn a_client_goes_on_after_the_module_was_loaded_again() {
    let (kernel, mut ipvs) = filled();
    kernel.reload();
    assert_eq!(ipvs.services().unwrap().entries, []);
    kernel.reload();
    ipvs.add_service(key(), wlc()).unwrap();
    assert!(ipvs.service(&key()).unwrap().is_some());
}

#[test]
fn counters_are_what_a_test_makes_them() {
    let (kernel, mut ipvs) = filled();
    assert!(kernel.update_service(&key(), |service| service.stats.connections = 7));
    let server = at("10.0.0.2:8080");
    assert!(kernel.update_destination(&key(), server, |server| server.active_connections = 3));
    assert!(!kernel.update_destination(&key(), at("10.0.0.3:8080"), |_| {}));
    assert_eq!(ipvs.services().unwrap().entries[0].stats.connections, 7);
    assert_eq!(ipvs.destinations(&key()).unwrap().unwrap().entries[0].active_connections, 3);
    ipvs.zero(None).unwrap();
    assert_eq!(ipvs.services().unwrap().entries[0].stats.connections, 0);
}

#[test]
fn a_real_server_that_is_added_again_goes_on() {
    let (kernel, mut ipvs) = filled();
    let (server, settings) = (at("10.0.0.2:8080"), DestinationSettings::masquerade(7));
    let listed = |ipvs: &mut Ipvs| {
        let all = ipvs.destinations(&key()).unwrap().unwrap().complete().unwrap();
        let found = all.into_iter().find(|each| each.address == server).unwrap();
        (found.settings.weight, found.active_connections, found.stats.connections)
    };
    assert!(kernel.update_destination(&key(), server, |server| {
        (server.active_connections, server.stats.connections) = (5, 9);
    }));
    ipvs.delete_destination(key(), server).unwrap();
    assert!(!kernel.update_destination(&key(), server, |_| {}));
    ipvs.add_destination(key(), server, settings).unwrap();
    assert_eq!(listed(&mut ipvs), (7, 5, 9));
    // The counters are those of the service that was deleted.
    ipvs.delete_service(key()).unwrap();
    ipvs.add_service(key(), wlc()).unwrap();
    assert_eq!(ipvs.destinations(&key()).unwrap().unwrap().entries, []);
    ipvs.add_destination(key(), server, settings).unwrap();
    assert_eq!(listed(&mut ipvs), (7, 5, 0));
}

/// The kernel knows no scope.
#[test]
fn an_address_with_a_scope_is_that_without_it() {
    let (kernel, mut ipvs) = filled();
    let service = ServiceKey::tcp(at("[fd00::1]:80"));
    ipvs.add_service(service, wlc()).unwrap();
    let [scoped, plain] = ["[fd00::5%3]:80", "[fd00::5]:80"].map(at);
    ipvs.add_destination(service, scoped, DestinationSettings::masquerade(1)).unwrap();
    for address in [scoped, plain] {
        assert!(kernel.update_destination(&service, address, |_| {}), "{address}");
    }
    assert_eq!(ipvs.destinations(&service).unwrap().unwrap().entries[0].address, plain);
    ipvs.delete_destination(service, scoped).unwrap();
}

#[test]
fn a_table_of_thousands_is_dumped_over_many_datagrams() {
    let kernel = FakeKernel::new();
    let mut ipvs = kernel.client();
    let keys =
        (1..=3000_u16).map(|port| ServiceKey::tcp(SocketAddr::new(at("10.96.0.1:0").ip(), port)));
    let commands: Vec<_> = keys.map(|key| Command::AddService { key, settings: wlc() }).collect();
    assert!(ipvs.batch(&commands).unwrap().iter().all(Result::is_ok));
    assert_eq!(ipvs.services().unwrap().complete().unwrap().len(), 3000);
}
