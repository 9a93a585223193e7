//! Every scheduler with every protocol, family and forwarding method.

use std::net::{IpAddr, SocketAddr};

use nl_ipvs::{
    Command, DestinationSettings, ForwardMethod, Ipvs, Protocol, ServiceFlags, ServiceKey, errno,
};

use super::harness::{apply, errno_of, in_namespace, not_here, saved, servers, settings, try_run};

const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh", "twos"];

/// One service with one real server.
struct Case {
    key: ServiceKey,
    server: SocketAddr,
    forward: ForwardMethod,
    /// `ipvsadm`'s option for the service, and for the method.
    options: (String, &'static str),
}

impl Case {
    fn settings(&self, weight: u32) -> DestinationSettings {
        DestinationSettings::new(self.forward, weight)
    }

    fn lines(&self, scheduler: &str, persistence: &str, weight: u32) -> [String; 2] {
        let (service, method) = &self.options;
        let tunnel = if *method == "-i" { " --tun-type ipip" } else { "" };
        [
            format!("-A {service} -s {scheduler}{persistence}"),
            format!("-a {service} -r {} {method} -w {weight}{tunnel}", self.server),
        ]
    }
}

fn cases() -> Vec<Case> {
    let protocols =
        [(Protocol::TCP, "-t"), (Protocol::UDP, "-u"), (Protocol::SCTP, "--sctp-service")];
    let methods = [
        (ForwardMethod::Masquerade, "-m"),
        (ForwardMethod::Tunnel, "-i"),
        (ForwardMethod::Route, "-g"),
    ];
    let families = [("10.96.0", "10.0.0.1:80"), ("fd00:", "[fd01::1]:80")];
    let mut cases = Vec::new();
    for (protocol, option) in protocols {
        for (prefix, server) in families {
            for (forward, method) in methods {
                let separator = if prefix.contains(':') { ':' } else { '.' };
                let host = cases.len() + 1;
                let address: IpAddr =
                    format!("{prefix}{separator}{host}").parse().expect("an address");
                let at = SocketAddr::new(address, 80);
                cases.push(Case {
                    key: ServiceKey::Address { protocol, address, port: 80 },
                    server: server.parse().expect("an address"),
                    forward,
                    options: (format!("{option} {at}"), method),
                });
            }
        }
    }
    cases
}

fn expect_saved(cases: &[Case], scheduler: &str, persistence: &str, weight: u32) {
    let mut expected: Vec<_> =
        cases.iter().flat_map(|case| case.lines(scheduler, persistence, weight)).collect();
    expected.sort();
    assert_eq!(saved(), expected);
}

/// `ipvsadm` must find it missing too.
fn is_missing(ipvs: &mut Ipvs, scheduler: &str) -> bool {
    let key = cases()[0].key;
    let settings = settings(scheduler);
    match errno_of(ipvs, Command::AddService { key, settings }) {
        0 => {
            apply(ipvs, &[Command::DeleteService { key }]);
            false
        }
        errno::ENOENT => {
            let made = try_run("ipvsadm", &format!("-A -t 10.96.0.1:80 -s {scheduler}"));
            assert!(made.is_err(), "ipvsadm could make a service with {scheduler}");
            not_here(&format!("scheduler {scheduler}"));
            true
        }
        other => panic!("{scheduler}: errno {other}"),
    }
}

#[test]
fn services_of_every_kind_are_made_read_changed_and_deleted() {
    in_namespace(|ipvs| {
        let present: Vec<_> = SCHEDULERS.into_iter().filter(|s| !is_missing(ipvs, s)).collect();
        assert!(present.contains(&"rr") && present.contains(&"wlc"), "only {present:?}");
        for scheduler in present {
            go_through(ipvs, scheduler);
        }
    });
}

fn go_through(ipvs: &mut Ipvs, scheduler: &str) {
    let cases = cases();
    let made: Vec<_> = cases
        .iter()
        .flat_map(|case| {
            let (key, address) = (case.key, case.server);
            [
                Command::AddService { key, settings: settings(scheduler) },
                Command::AddDestination { service: key, address, settings: case.settings(1) },
            ]
        })
        .collect();
    apply(ipvs, &made);
    expect_saved(&cases, scheduler, "", 1);
    for case in &cases {
        let service = ipvs.service(&case.key).expect("an answer").expect("the service");
        assert_eq!(service.settings, settings(scheduler), "{}", case.key);
        let server = servers(ipvs, &case.key).remove(0);
        assert_eq!((server.address, server.settings), (case.server, case.settings(1)));
    }

    let changed: Vec<_> = cases
        .iter()
        .flat_map(|case| {
            let (key, address) = (case.key, case.server);
            let settings = settings(scheduler).persistent(360);
            [
                Command::SetService { key, settings, flags_mask: ServiceFlags::PERSISTENT },
                Command::SetDestination { service: key, address, settings: case.settings(5) },
            ]
        })
        .collect();
    apply(ipvs, &changed);
    expect_saved(&cases, scheduler, " -p 360", 5);

    let servers_deleted = cases
        .iter()
        .map(|case| Command::DeleteDestination { service: case.key, address: case.server });
    apply(ipvs, &servers_deleted.collect::<Vec<_>>());
    for case in &cases {
        assert_eq!(servers(ipvs, &case.key), []);
    }
    let deleted = cases.iter().map(|case| Command::DeleteService { key: case.key });
    apply(ipvs, &deleted.collect::<Vec<_>>());
    assert_eq!(saved(), Vec::<String>::new());
}
