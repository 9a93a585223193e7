//! Changes from every scheduler and forwarding method to every other: the cases that `moby/ipvs`
//! for Go is tested with.

use std::net::SocketAddr;

use nl_ipvs::{
    DestinationSettings, Family, ForwardMethod, Ipvs, KernelError, ServiceKey, Timeouts, errno,
};

use super::harness::{at, in_namespace, servers, services, settings};

const SCHEDULERS: [&str; 6] = ["rr", "lc", "dh", "sh", "wlc", "wrr"];
const METHODS: [ForwardMethod; 3] =
    [ForwardMethod::Masquerade, ForwardMethod::Tunnel, ForwardMethod::Route];

/// A TCP service, a UDP service and one by firewall mark, in both families, each with real servers.
fn cases() -> Vec<(ServiceKey, [SocketAddr; 3])> {
    let mark = 1234.try_into().expect("not 0");
    let v4 = ["10.1.1.2:5000", "10.1.1.3:5000", "10.1.1.4:5000"].map(at);
    let v6 = [
        "[2001:db8:3c4d:15::1a2b]:5000",
        "[2001:db8:3c4d:15::1a2c]:5000",
        "[2001:db8:3c4d:15::1a2d]:5000",
    ]
    .map(at);
    vec![
        (ServiceKey::tcp(at("1.2.3.4:80")), v4),
        (ServiceKey::udp(at("1.2.3.4:53")), v4),
        (ServiceKey::fwmark(Family::Inet, mark), v4),
        (ServiceKey::tcp(at("[2001:db8:3c4d:15::1a00]:80")), v6),
        (ServiceKey::udp(at("[2001:db8:3c4d:15::1a00]:53")), v6),
        (ServiceKey::fwmark(Family::Inet6, mark), v6),
    ]
}

/// The schedulers that this kernel has.
fn present(ipvs: &mut Ipvs) -> Vec<&'static str> {
    let has = |name: &&str| {
        ipvs.has_scheduler(&name.parse().expect("a name")).expect("an answer") != Some(false)
    };
    SCHEDULERS.into_iter().filter(has).collect()
}

#[test]
fn a_service_changes_from_each_scheduler_to_every_other() {
    in_namespace(|ipvs| {
        let schedulers = present(ipvs);
        for (key, _) in cases() {
            for first in &schedulers {
                ipvs.add_service(key, settings(first)).unwrap();
                for next in schedulers.iter().filter(|next| next != &first) {
                    ipvs.set_service(key, settings(next)).unwrap();
                    let read = ipvs.service(&key).unwrap().unwrap();
                    assert_eq!((read.key, read.settings), (key, settings(next)));
                }
                ipvs.delete_service(key).unwrap();
                assert_eq!(ipvs.service(&key).unwrap(), None);
            }
        }
        ipvs.add_service(ServiceKey::tcp(at("10.20.30.40:80")), settings("rr")).unwrap();
        ipvs.add_service(ServiceKey::udp(at("10.20.30.41:8080")), settings("lc")).unwrap();
        ipvs.flush().unwrap();
        assert_eq!(services(ipvs), []);
    });
}

#[test]
fn a_real_server_changes_from_each_forwarding_method_to_every_other() {
    in_namespace(|ipvs| {
        for (key, addresses) in cases() {
            ipvs.add_service(key, settings("rr")).unwrap();
            for first in METHODS {
                for address in addresses {
                    ipvs.add_destination(key, address, DestinationSettings::new(first, 1)).unwrap();
                }
                for next in METHODS.into_iter().filter(|next| *next != first) {
                    let expected = DestinationSettings::new(next, 1);
                    for address in addresses {
                        ipvs.set_destination(key, address, expected).unwrap();
                    }
                    let read = servers(ipvs, &key);
                    assert!(read.iter().all(|server| server.settings == expected), "{read:?}");
                    assert_eq!(read.len(), addresses.len());
                }
                for address in addresses {
                    ipvs.delete_destination(key, address).unwrap();
                    let again = ipvs.delete_destination(key, address).unwrap_err();
                    assert_eq!(again.refusal().map(KernelError::errno), Some(errno::ENOENT));
                }
                assert_eq!(servers(ipvs, &key), []);
            }
        }
    });
}

#[test]
fn timeouts_of_0_stay_in_every_place() {
    in_namespace(|ipvs| {
        let set = |tcp, tcp_fin, udp| Timeouts { tcp, tcp_fin, udp };
        ipvs.set_timeouts(set(66, 66, 66)).unwrap();
        assert_eq!(ipvs.timeouts().unwrap(), set(66, 66, 66));
        ipvs.set_timeouts(set(77, 0, 77)).unwrap();
        assert_eq!(ipvs.timeouts().unwrap(), set(77, 66, 77));
    });
}
