//! Which number the kernel refuses what with.

use nix::sched::{CloneFlags, unshare};
use nl_ipvs::errno::{EEXIST, EINVAL, ENOENT, ERANGE, ESRCH};
use nl_ipvs::{
    ClientPrefix, Command, DestinationSettings, Ipvs, Protocol, ServiceFlags, ServiceKey, Tunnel,
    TunnelFlags,
};

use super::harness::{
    add_server, add_service, apply, at, errno_of, in_namespace, key, servers, services, settings,
};

fn add(address: &str, settings: DestinationSettings) -> Command {
    Command::AddDestination { service: key(), address: at(address), settings }
}

#[test]
fn without_the_service_everything_about_it_is_esrch() {
    in_namespace(|ipvs| {
        let (key, address) = (key(), at("10.0.0.1:80"));
        let flags_mask = ServiceFlags::NONE;
        let settings = settings("rr");
        let server = DestinationSettings::masquerade(1);
        let commands = [
            Command::SetService { key, settings, flags_mask },
            Command::DeleteService { key },
            Command::AddDestination { service: key, address, settings: server },
            Command::SetDestination { service: key, address, settings: server },
            Command::DeleteDestination { service: key, address },
            Command::Zero(Some(key)),
        ];
        for command in commands {
            assert_eq!(errno_of(ipvs, command.clone()), ESRCH, "{command:?}");
        }
        assert_eq!(ipvs.service(&key).unwrap(), None);
        assert_eq!(ipvs.destinations(&key).unwrap(), None);
    });
}

#[test]
fn what_is_there_cannot_be_added_and_what_is_not_cannot_be_changed() {
    in_namespace(|ipvs| {
        let (service, address) = (key(), at("10.0.0.2:80"));
        apply(ipvs, &[add_service(service), add_server(service, "10.0.0.1:80")]);
        let server = DestinationSettings::masquerade(1);
        let table = [
            (add_service(service), EEXIST),
            (add_server(service, "10.0.0.1:80"), EEXIST),
            (Command::SetDestination { service, address, settings: server }, ENOENT),
            (Command::DeleteDestination { service, address }, ENOENT),
        ];
        for (command, expected) in table {
            assert_eq!(errno_of(ipvs, command.clone()), expected, "{command:?}");
        }
    });
}

#[test]
fn an_unknown_scheduler_or_engine_is_enoent() {
    in_namespace(|ipvs| {
        let key = key();
        let unknown = Command::AddService { key, settings: settings("nosuch") };
        assert_eq!(errno_of(ipvs, unknown), ENOENT);
        let mut engine = settings("rr");
        engine.persistence_engine = "nosuch".parse().ok();
        assert_eq!(errno_of(ipvs, Command::AddService { key, settings: engine }), ENOENT);
    });
}

#[test]
fn values_out_of_range_are_erange_or_einval() {
    in_namespace(|ipvs| {
        apply(ipvs, &[add_service(key())]);
        let masquerade = DestinationSettings::masquerade;
        let gue = DestinationSettings::tunnel(Tunnel::gue(0, TunnelFlags::NO_CHECKSUM), 1);
        let inverted = masquerade(1).with_thresholds(1, 2);
        let table = [
            ("a negative weight", add("10.0.0.1:80", masquerade(u32::MAX)), ERANGE),
            ("the heaviest weight", add("10.0.0.9:80", masquerade(i32::MAX as u32)), 0),
            ("thresholds the wrong way round", add("10.0.0.1:80", inverted), ERANGE),
            ("a multicast address", add("224.0.0.1:80", masquerade(1)), EINVAL),
            ("the address of no host", add("0.0.0.0:80", masquerade(1)), EINVAL),
            ("a GUE tunnel without a port", add("10.0.0.1:80", gue), EINVAL),
            ("masquerading to the other family", add("[fd00::1]:80", masquerade(1)), EINVAL),
        ];
        for (name, command, expected) in table {
            assert_eq!(errno_of(ipvs, command), expected, "{name}");
        }
        let v6 = ServiceKey::tcp(at("[fd00::1]:80"));
        let v4 = ServiceKey::tcp(at("10.96.0.2:80"));
        let prefixes = [
            (v6, ClientPrefix::v6(1), 0),
            (v6, ClientPrefix::v4(24), EINVAL),
            (v4, ClientPrefix::v6(24), EINVAL),
        ];
        for (key, prefix, expected) in prefixes {
            let mut settings = settings("rr");
            settings.client_prefix = prefix.unwrap();
            let command = Command::AddService { key, settings };
            assert_eq!(errno_of(ipvs, command), expected, "{key} {prefix:?}");
        }
    });
}

#[test]
fn the_kernel_tells_whether_it_has_a_scheduler_and_no_service_is_left() {
    in_namespace(|ipvs| {
        assert_eq!(ipvs.has_scheduler(&"rr".parse().unwrap()).unwrap(), Some(true));
        assert_eq!(ipvs.has_scheduler(&"nosuch".parse().unwrap()).unwrap(), Some(false));
        assert_eq!(services(ipvs), []);
    });
}

#[test]
fn a_refused_change_names_itself_and_its_likely_cause() {
    in_namespace(|ipvs| {
        let error = ipvs.add_service(key(), settings("nosuch")).unwrap_err();
        assert!(error.is_not_found());
        let text = error.to_string();
        assert!(text.starts_with("the kernel refused to add a service"), "{text}");
        assert!(text.contains("modprobe"), "{text}");
        ipvs.add_service(key(), settings("rr")).unwrap();
        assert!(ipvs.add_service(key(), settings("rr")).unwrap_err().is_already_exists());
        ipvs.set_service(key(), settings("wlc")).unwrap();
        let (address, server) = (at("10.0.0.1:80"), DestinationSettings::masquerade(1));
        ipvs.add_destination(key(), address, server).unwrap();
        ipvs.set_destination(key(), address, DestinationSettings::masquerade(2)).unwrap();
        assert_eq!(servers(ipvs, &key())[0].settings.weight, 2);
        ipvs.delete_destination(key(), address).unwrap();
        assert!(ipvs.delete_destination(key(), address).unwrap_err().is_not_found());
        ipvs.delete_service(key()).unwrap();
    });
}

#[test]
fn what_the_kernel_takes_though_it_is_no_good_is_left_to_the_caller() {
    in_namespace(|ipvs| {
        let every_port = ServiceKey::tcp(at("10.96.0.2:0"));
        let gre = ServiceKey::Address {
            protocol: Protocol(47),
            address: at("10.96.0.3:0").ip(),
            port: 80,
        };
        apply(ipvs, &[add_service(key()), add_service(every_port), add_service(gre)]);
        assert_eq!(ipvs.service(&gre).unwrap().unwrap().key, gre);
        let direct = DestinationSettings::route(1);
        assert_eq!(
            errno_of(ipvs, add("10.0.0.1:8080", direct)),
            0,
            "a port direct routing ignores"
        );
    });
}

#[test]
fn where_lo_was_never_up_every_ipv4_real_server_is_einval_and_the_hint_says_why() {
    in_namespace(|_| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let v6 = ServiceKey::tcp(at("[fd00::1]:80"));
        let commands = [
            add_service(key()),
            add_server(key(), "10.0.0.1:80"),
            add_service(v6),
            add_server(v6, "[fd00::2]:80"),
        ];
        let outcomes = Ipvs::open().unwrap().batch(&commands).unwrap();
        assert_eq!(outcomes[2..], [Ok(()), Ok(())], "IPv6");
        assert_eq!(outcomes[0], Ok(()));
        let refusal = outcomes[1].as_ref().unwrap_err();
        assert_eq!(refusal.errno(), EINVAL);
        assert!(commands[1].hint(refusal).is_some_and(|hint| hint.contains("`lo`")));
    });
}
