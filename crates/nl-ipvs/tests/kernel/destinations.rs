//! Real servers of all kinds.

use nl_ipvs::{
    Command, Daemon, DaemonRole, DestinationSettings, ServiceKey, Tunnel, TunnelFlags, errno,
};

use super::harness::{
    add_service, apply, at, errno_of, in_namespace, key, not_here, run, saved, servers,
};

/// Those of the only real server.
fn shown_thresholds() -> String {
    let shown = run("ipvsadm", "-Ln --thresholds");
    let words: Vec<_> = shown.lines().last().unwrap_or("").split_whitespace().collect();
    words[2..4].join(" ")
}

#[test]
fn weights_and_thresholds_are_set_and_changed() {
    in_namespace(|ipvs| {
        let (service, address) = (key(), at("10.0.0.1:8080"));
        let mut settings = DestinationSettings::masquerade(100_000).with_thresholds(70_000, 60_000);
        apply(
            ipvs,
            &[add_service(service), Command::AddDestination { service, address, settings }],
        );
        let line = "-a -t 10.96.0.1:80 -r 10.0.0.1:8080 -m -w";
        assert_eq!(saved()[1], format!("{line} 100000"));
        assert_eq!(shown_thresholds(), "70000 60000");
        assert_eq!(servers(ipvs, &service)[0].settings, settings);

        settings = DestinationSettings::masquerade(0);
        apply(ipvs, &[Command::SetDestination { service, address, settings }]);
        assert_eq!(saved()[1], format!("{line} 0"));
        assert_eq!(shown_thresholds(), "0 0");
        assert_eq!(servers(ipvs, &service)[0].settings, settings);
    });
}

#[test]
fn tunnels_have_a_kind_a_port_and_checksum_flags() {
    in_namespace(|ipvs| {
        let service = key();
        apply(ipvs, &[add_service(service)]);
        let table = [
            (Tunnel::ipip(), " --tun-type ipip"),
            (Tunnel::gue(6081, TunnelFlags(0)), " --tun-type gue --tun-port 6081 --tun-nocsum"),
            (Tunnel::gue(6081, TunnelFlags(1)), " --tun-type gue --tun-port 6081 --tun-csum"),
            (Tunnel::gue(6081, TunnelFlags(2)), " --tun-type gue --tun-port 6081 --tun-remcsum"),
            (Tunnel::gre(TunnelFlags(0)), " --tun-type gre --tun-nocsum"),
            (Tunnel::gre(TunnelFlags(1)), " --tun-type gre --tun-csum"),
        ];
        for (tunnel, options) in table {
            let address = at("10.0.0.1:80");
            let settings = DestinationSettings::tunnel(tunnel, 1);
            apply(ipvs, &[Command::AddDestination { service, address, settings }]);
            assert_eq!(
                saved()[1],
                format!("-a -t 10.96.0.1:80 -r 10.0.0.1:80 -i -w 1{options}"),
                "{tunnel:?}"
            );
            assert_eq!(servers(ipvs, &service)[0].settings, settings);
            apply(ipvs, &[Command::DeleteDestination { service, address }]);
        }
    });
}

#[test]
fn servers_of_both_families_and_synchronisation_exclude_each_other() {
    in_namespace(|ipvs| {
        run("ip", "link add v0 type veth peer name v1");
        run("ip", "link set v0 up");
        run("ip", "address add 10.9.9.1/24 dev v0");
        let (service, address) = (key(), at("[fd00::2]:80"));
        let settings = DestinationSettings::tunnel(Tunnel::ipip(), 1);
        let add = Command::AddDestination { service, address, settings };
        let start = Command::StartDaemon(Daemon::new(DaemonRole::Master, "v0".parse().unwrap(), 1));
        apply(ipvs, &[add_service(service), add.clone()]);
        assert_eq!(errno_of(ipvs, start.clone()), errno::EINVAL);
        apply(ipvs, &[Command::DeleteDestination { service, address }, start]);
        assert_eq!(errno_of(ipvs, add), errno::EINVAL);
        assert!(run("ipvsadm", "-Ln --daemon").starts_with("master"));
        ipvs.stop_daemon(DaemonRole::Master).unwrap();
    });
}

#[test]
fn a_service_may_tunnel_to_real_servers_of_the_other_family() {
    in_namespace(|ipvs| {
        let services =
            [(key(), "[fd00::2]:80"), (ServiceKey::tcp(at("[fd00::1]:80")), "10.0.0.2:80")];
        for (service, other) in services {
            let settings = DestinationSettings::tunnel(Tunnel::ipip(), 1);
            let address = at(other);
            apply(ipvs, &[add_service(service)]);
            let add = Command::AddDestination { service, address, settings };
            match errno_of(ipvs, add) {
                0 => {}
                errno::EAFNOSUPPORT => return not_here("IPv6"),
                error => panic!("{service}: errno {error}"),
            }
            assert_eq!(servers(ipvs, &service)[0].address, address);
            let line = format!(" -r {other} -i -w 1 --tun-type ipip");
            assert!(saved().iter().any(|saved| saved.ends_with(&line)), "{:?}", saved());
        }
    });
}
