//! Services of all kinds.

use nl_ipvs::{ClientPrefix, Command, Family, ServiceFlags, ServiceKey, ServiceSettings, errno};

use super::harness::{
    add_server, add_service, apply, at, errno_of, in_namespace, key, not_here, saved, services,
    settings,
};

#[test]
fn services_by_firewall_mark_are_made_for_both_families() {
    in_namespace(|ipvs| {
        let v4 = ServiceKey::fwmark(Family::Inet, 7.try_into().unwrap());
        let v6 = ServiceKey::fwmark(Family::Inet6, 7.try_into().unwrap());
        apply(
            ipvs,
            &[
                add_service(v4),
                add_service(v6),
                add_server(v4, "10.0.0.1:0"),
                add_server(v6, "[fd00::1]:0"),
            ],
        );
        assert_eq!(
            saved(),
            [
                "-A -f 7 -6 -s rr",
                "-A -f 7 -s rr",
                "-a -f 7 -6 -r [fd00::1]:0 -m -w 1",
                "-a -f 7 -r 10.0.0.1:0 -m -w 1"
            ]
        );
        for key in [v4, v6] {
            assert_eq!(ipvs.service(&key).unwrap().unwrap().key, key);
            apply(ipvs, &[Command::DeleteService { key }]);
            assert_eq!(ipvs.service(&key).unwrap(), None);
        }
    });
}

#[test]
fn persistence_has_a_timeout_a_netmask_or_prefix_and_maybe_an_engine() {
    in_namespace(|ipvs| {
        let v4 = key();
        let v6 = ServiceKey::udp(at("[fd00::1]:5060"));
        let mut persistent = settings("rr");
        persistent.flags = ServiceFlags::PERSISTENT;
        persistent.timeout = 300;
        persistent.client_prefix = ClientPrefix::v4(24).unwrap();
        apply(ipvs, &[Command::AddService { key: v4, settings: persistent.clone() }]);
        let mut wide = settings("rr");
        wide.flags = ServiceFlags::PERSISTENT;
        wide.timeout = 60;
        wide.client_prefix = ClientPrefix::v6(64).unwrap();
        apply(ipvs, &[Command::AddService { key: v6, settings: wide.clone() }]);
        assert_eq!(
            saved(),
            [
                "-A -t 10.96.0.1:80 -s rr -p 300 -M 255.255.255.0",
                "-A -u [fd00::1]:5060 -s rr -p 60 -M 64"
            ]
        );
        for (key, expected) in [(v4, &persistent), (v6, &wide)] {
            assert_eq!(&ipvs.service(&key).unwrap().unwrap().settings, expected);
        }

        persistent.client_prefix = ClientPrefix::v4(0).unwrap();
        let flags_mask = ServiceFlags::PERSISTENT;
        apply(ipvs, &[Command::SetService { key: v4, settings: persistent, flags_mask }]);
        let read = ipvs.service(&v4).unwrap().unwrap().settings;
        assert_eq!(read.client_prefix, ClientPrefix::v4(0).unwrap());

        wide.persistence_engine = "sip".parse().ok();
        let with_engine = Command::SetService { key: v6, settings: wide.clone(), flags_mask };
        if errno_of(ipvs, with_engine) == errno::ENOENT {
            return not_here("persistence engine sip");
        }
        assert!(saved().contains(&"-A -u [fd00::1]:5060 -s rr -p 60 -M 64 --pe sip".to_owned()));
        assert_eq!(ipvs.service(&v6).unwrap().unwrap().settings, wide);
        wide.persistence_engine = None;
        apply(ipvs, &[Command::SetService { key: v6, settings: wide, flags_mask }]);
        assert_eq!(ipvs.service(&v6).unwrap().unwrap().settings.persistence_engine, None);
    });
}

#[test]
fn only_flags_in_the_mask_are_written() {
    in_namespace(|ipvs| {
        let key = key();
        let mut settings = settings("rr");
        settings.flags = ServiceFlags::SCHED_3;
        apply(ipvs, &[Command::AddService { key, settings: settings.clone() }]);
        assert_eq!(saved(), ["-A -t 10.96.0.1:80 -s rr -b flag-3"]);
        settings.flags = ServiceFlags::SCHED_1 | ServiceFlags::SCHED_2;
        let flags_mask = settings.flags;
        apply(ipvs, &[Command::SetService { key, settings: settings.clone(), flags_mask }]);
        assert_eq!(saved(), ["-A -t 10.96.0.1:80 -s rr -b flag-1,flag-2,flag-3"]);
        settings.flags = ServiceFlags::NONE;
        let flags_mask = ServiceFlags::SCHED_2;
        apply(ipvs, &[Command::SetService { key, settings, flags_mask }]);
        let read = ipvs.service(&key).unwrap().unwrap().settings.flags;
        assert_eq!(read, ServiceFlags::SCHED_1 | ServiceFlags::SCHED_3);
    });
}

#[test]
fn a_service_read_from_the_kernel_can_be_made_again_as_it_was() {
    in_namespace(|ipvs| {
        let key = key();
        let mut settings = settings("wlc");
        settings.flags = ServiceFlags::PERSISTENT | ServiceFlags::SCHED_3;
        settings.timeout = 120;
        apply(ipvs, &[Command::AddService { key, settings }]);
        let before = saved();
        // The kernel's HASHED flag isn't in it, which would keep a service out of the table.
        let read = services(ipvs).remove(0).settings;
        apply(
            ipvs,
            &[Command::DeleteService { key }, Command::AddService { key, settings: read.clone() }],
        );
        assert_eq!(saved(), before);
        assert_eq!(services(ipvs).remove(0).settings, read);
    });
}

#[test]
fn a_service_may_have_no_scheduler() {
    in_namespace(|ipvs| {
        let key = key();
        let settings = ServiceSettings::without_scheduler();
        apply(ipvs, &[Command::AddService { key, settings }]);
        assert_eq!(saved(), ["-A -t 10.96.0.1:80 -s none"]);
        assert_eq!(services(ipvs).remove(0).settings.scheduler, None);
    });
}
