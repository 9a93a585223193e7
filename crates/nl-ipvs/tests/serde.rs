//! The types as text of JSON.

use nl_ipvs::{
    ClientPrefix, Command, Daemon, DaemonRole, DestinationSettings, ServiceFlags, ServiceKey,
    ServiceSettings, Stats, Timeouts, Tunnel, TunnelFlags,
};
use serde_json::{from_value, json, to_value};

#[test]
fn commands_are_carried_with_keys_and_names_as_text() {
    let service: ServiceKey = "[fd00::1]:80/tcp".parse().unwrap();
    let mut settings = ServiceSettings::new("mh".parse().unwrap())
        .persistent(300)
        .with_flags(ServiceFlags::SCHED_2);
    settings.client_prefix = ClientPrefix::v6(64).unwrap();
    let tunnel = Tunnel::gue(6081, TunnelFlags::CHECKSUM);
    let address = "10.0.0.1:80".parse().unwrap();
    let daemon = Daemon::new(DaemonRole::Backup, "eth0".parse().unwrap(), 1);
    for command in [
        Command::AddService { key: service, settings: settings.clone() },
        Command::AddDestination {
            service,
            address,
            settings: DestinationSettings::tunnel(tunnel, 1),
        },
        Command::SetTimeouts(Timeouts { tcp: 1, tcp_fin: 2, udp: 3 }),
        Command::StartDaemon(daemon),
        Command::Zero(None),
    ] {
        let value = to_value(&command).unwrap();
        assert_eq!(from_value::<Command>(value).unwrap(), command);
    }
    assert_eq!(
        to_value(&settings).unwrap(),
        json!({
            "scheduler": "mh", "flags": "persistent,flag-2", "timeout": 300,
            "client_prefix": "v6/64", "persistence_engine": null,
        })
    );
    assert_eq!(to_value(service).unwrap(), json!("[fd00::1]:80/tcp"));
}

#[test]
fn a_value_that_the_kernel_would_mistake_is_refused() {
    assert!(from_value::<ServiceKey>(json!("fwmark 0")).is_err());
    assert!(from_value::<ClientPrefix>(json!("v4/64")).is_err());
    assert!(from_value::<nl_ipvs::Scheduler>(json!("none")).is_err());
    assert!(from_value::<nl_ipvs::InterfaceName>(json!("lo\0x")).is_err());
    assert!(from_value::<nl_ipvs::ForwardMethod>(json!("forward-264")).is_err());
}

#[test]
fn counters_that_a_newer_kernel_adds_are_0_in_older_text() {
    let stats: Stats = from_value(json!({ "connections": 7 })).unwrap();
    assert_eq!((stats.connections, stats.in_bytes), (7, 0));
}
