//! What concerns the whole table: info, timeouts, counters, flush, synchronisation daemons.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::num::{NonZeroU8, NonZeroU16};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nl_ipvs::{Command, Daemon, DaemonRole, Ipvs, Stats, Timeouts, errno};

use super::harness::{
    add_server, add_service, apply, at, errno_of, in_namespace, key, run, saved, servers, services,
};

#[test]
fn info_is_what_ipvsadm_says() {
    in_namespace(|ipvs| {
        let info = ipvs.info().unwrap();
        let expected = format!(
            "IP Virtual Server version {} (size={})",
            info.version, info.connection_table_size
        );
        assert_eq!(run("ipvsadm", "-Ln").lines().next(), Some(expected.as_str()));
    });
}

#[test]
fn timeouts_are_set_and_0_leaves_one_as_it_is() {
    in_namespace(|ipvs| {
        let defaults = Timeouts { tcp: 900, tcp_fin: 120, udp: 300 };
        assert_eq!(ipvs.timeouts().unwrap(), defaults);
        ipvs.set_timeouts(Timeouts { tcp: 7200, tcp_fin: 0, udp: 60 }).unwrap();
        assert_eq!(ipvs.timeouts().unwrap(), Timeouts { tcp: 7200, tcp_fin: 120, udp: 60 });
        assert_eq!(run("ipvsadm", "-Ln --timeout").trim(), "Timeout (tcp tcpfin udp): 7200 120 60");
    });
}

#[test]
fn flush_empties_the_table() {
    in_namespace(|ipvs| {
        apply(ipvs, &[add_service(key()), add_server(key(), "10.0.0.1:80")]);
        ipvs.flush().unwrap();
        assert_eq!(saved(), Vec::<String>::new());
        assert_eq!(services(ipvs), []);
        ipvs.flush().unwrap();
    });
}

/// The kernel sums its counters up every two seconds.
fn once_counted(ipvs: &mut Ipvs, counted: impl Fn(Stats) -> bool) -> Stats {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let stats = services(ipvs)[0].stats;
        if counted(stats) {
            return stats;
        }
        assert!(Instant::now() < deadline, "never counted: {stats:?}");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn connections_are_counted_and_zeroed() {
    in_namespace(|ipvs| {
        run("ip", "address add 10.96.0.1/32 dev lo");
        run("ip", "address add 10.0.0.1/32 dev lo");
        let listener = TcpListener::bind("10.0.0.1:8080").unwrap();
        apply(ipvs, &[add_service(key()), add_server(key(), "10.0.0.1:8080")]);

        let mut client = TcpStream::connect("10.96.0.1:80").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"ping").unwrap();
        server.read_exact(&mut [0; 4]).unwrap();
        let listed = &servers(ipvs, &key())[0];
        assert_eq!((listed.active_connections, listed.inactive_connections), (1, 0));

        let stats = once_counted(ipvs, |stats| stats.in_packets >= 3);
        assert_eq!(stats.connections, 1);
        assert!(stats.in_bytes > 4, "{stats:?}");
        let server = servers(ipvs, &key()).remove(0);
        assert_eq!(server.stats.connections, 1);
        let shown = run("ipvsadm", "-Ln --stats --exact");
        let shown = shown.lines().find(|line| line.starts_with("TCP")).unwrap();
        assert_eq!(shown.split_whitespace().nth(2), Some("1"), "{shown}");

        ipvs.zero(Some(key())).unwrap();
        let stats = services(ipvs)[0].stats;
        assert_eq!((stats.connections, stats.in_packets, stats.in_bytes), (0, 0, 0));
        assert_eq!(servers(ipvs, &key())[0].stats.connections, 0);
        ipvs.zero(None).unwrap();
    });
}

/// As in the kernel in memory, see `tests/fake.rs`.
#[test]
fn a_real_server_that_is_added_again_goes_on() {
    in_namespace(|ipvs| {
        run("ip", "address add 10.96.0.1/32 dev lo");
        run("ip", "address add 10.0.0.1/32 dev lo");
        let listener = TcpListener::bind("10.0.0.1:8080").unwrap();
        apply(ipvs, &[add_service(key()), add_server(key(), "10.0.0.1:8080")]);
        let client = TcpStream::connect("10.96.0.1:80").unwrap();
        let accepted = listener.accept().unwrap();
        once_counted(ipvs, |stats| stats.connections == 1);

        let listed = |ipvs: &mut Ipvs| {
            let server = servers(ipvs, &key()).remove(0);
            (server.active_connections, server.stats.connections)
        };
        let address = at("10.0.0.1:8080");
        apply(ipvs, &[Command::DeleteDestination { service: key(), address }]);
        apply(ipvs, &[add_server(key(), "10.0.0.1:8080")]);
        assert_eq!(listed(ipvs), (1, 1));
        // The counters are those of the service that is deleted.
        apply(ipvs, &[Command::DeleteService { key: key() }, add_service(key())]);
        apply(ipvs, &[add_server(key(), "10.0.0.1:8080")]);
        assert_eq!(listed(ipvs), (1, 0));
        drop((client, accepted));
    });
}

#[test]
fn synchronisation_daemons_are_started_listed_and_stopped() {
    in_namespace(|ipvs| {
        run("ip", "link add v0 type veth peer name v1");
        run("ip", "link set v0 up");
        run("ip", "link set v1 up");
        run("ip", "address add 10.9.9.1/24 dev v0");
        assert_eq!(ipvs.daemons().unwrap().entries, []);
        let mut master = Daemon::new(DaemonRole::Master, "v0".parse().unwrap(), 5);
        master.max_len = NonZeroU16::new(1400);
        master.group = Some("224.0.0.99".parse().unwrap());
        master.port = NonZeroU16::new(8850);
        master.ttl = NonZeroU8::new(3);
        ipvs.start_daemon(master.clone()).unwrap();
        ipvs.start_daemon(Daemon::new(DaemonRole::Backup, "v0".parse().unwrap(), 6)).unwrap();
        let again = errno_of(ipvs, Command::StartDaemon(master.clone()));
        assert_eq!(again, errno::EEXIST);

        let daemons = ipvs.daemons().unwrap();
        assert_eq!(daemons.unreadable, []);
        assert_eq!(daemons.entries[0], master);
        let backup = &daemons.entries[1];
        assert_eq!((backup.role, backup.sync_id), (DaemonRole::Backup, 6));
        assert_eq!(
            (backup.port, backup.ttl),
            (NonZeroU16::new(8848), NonZeroU8::new(1)),
            "the kernel's choice"
        );
        let shown = run("ipvsadm", "-Ln --daemon");
        let expected = "master sync daemon (mcast=v0, syncid=5, maxlen=1400, group=224.0.0.99, port=8850, ttl=3)";
        assert!(shown.contains(expected), "{shown}");
        assert!(shown.contains("backup sync daemon (mcast=v0, syncid=6"), "{shown}");

        ipvs.stop_daemon(DaemonRole::Master).unwrap();
        ipvs.stop_daemon(DaemonRole::Backup).unwrap();
        assert_eq!(ipvs.daemons().unwrap().entries, []);
        assert_eq!(errno_of(ipvs, Command::StopDaemon(DaemonRole::Master)), errno::ESRCH);
        let nowhere = Daemon::new(DaemonRole::Master, "nowhere".parse().unwrap(), 1);
        assert_eq!(errno_of(ipvs, Command::StartDaemon(nowhere)), errno::ENODEV);
    });
}

#[test]
fn a_daemon_may_use_an_ipv6_group() {
    in_namespace(|ipvs| {
        run("ip", "link add v0 type veth peer name v1");
        run("ip", "link set v0 up");
        run("ip", "link set v1 up");
        let mut daemon = Daemon::new(DaemonRole::Backup, "v0".parse().unwrap(), 9);
        daemon.max_len = NonZeroU16::new(1400);
        daemon.group = Some(at("[ff02::99]:0").ip());
        daemon.port = NonZeroU16::new(8850);
        daemon.ttl = NonZeroU8::new(2);
        ipvs.start_daemon(daemon.clone()).unwrap();
        assert_eq!(ipvs.daemons().unwrap().entries, [daemon]);
        let shown = run("ipvsadm", "-Ln --daemon");
        assert!(
            shown.contains("syncid=9, maxlen=1400, group=ff02::99, port=8850, ttl=2"),
            "{shown}"
        );
        ipvs.stop_daemon(DaemonRole::Backup).unwrap();
    });
}
