//! Batches that fail in part or as a whole, and network namespaces.

use nl_ipvs::errno::{EEXIST, ENOENT, ESRCH};
use nl_ipvs::{Command, DaemonRole, KernelError, ServiceKey, Timeouts};

use super::harness::{add_server, add_service, at, in_namespace, key, saved, services};

#[test]
fn failures_in_the_middle_belong_to_their_command_and_the_rest_is_done() {
    in_namespace(|ipvs| {
        let other = ServiceKey::tcp(at("10.96.0.2:80"));
        let table = [
            (add_service(key()), 0),
            (add_service(key()), EEXIST),
            (add_server(key(), "10.0.0.1:80"), 0),
            (add_server(other, "10.0.0.1:80"), ESRCH),
            (Command::DeleteDestination { service: key(), address: at("10.0.0.9:80") }, ENOENT),
            (Command::SetTimeouts(Timeouts { tcp: 1000, tcp_fin: 0, udp: 0 }), 0),
            (Command::StopDaemon(DaemonRole::Backup), ESRCH),
            (add_service(other), 0),
            (add_server(key(), "10.0.0.2:80"), 0),
            (Command::DeleteService { key: other }, 0),
            (Command::DeleteService { key: other }, ESRCH),
        ];
        let (commands, expected): (Vec<_>, Vec<_>) = table.into_iter().unzip();
        let outcomes = ipvs.batch(&commands).unwrap();
        let got: Vec<_> =
            outcomes.iter().map(|o| o.as_ref().err().map_or(0, KernelError::errno)).collect();
        assert_eq!(got, expected);
        assert_eq!(
            saved(),
            [
                "-A -t 10.96.0.1:80 -s rr",
                "-a -t 10.96.0.1:80 -r 10.0.0.1:80 -m -w 1",
                "-a -t 10.96.0.1:80 -r 10.0.0.2:80 -m -w 1"
            ]
        );
        assert_eq!(ipvs.timeouts().unwrap().tcp, 1000);
    });
}

#[test]
fn many_batches_that_fail_as_a_whole_lose_no_answer() {
    in_namespace(|ipvs| {
        let commands: Vec<_> = (0..1000_u16)
            .map(|port| Command::DeleteService {
                key: ServiceKey::tcp(std::net::SocketAddr::new(at("10.96.0.1:1").ip(), port)),
            })
            .collect();
        let outcomes = ipvs.batch(&commands).unwrap();
        assert_eq!(outcomes.len(), commands.len());
        assert!(outcomes.iter().all(|o| o == &Err(KernelError::new(ESRCH))), "{outcomes:?}");
    });
}

#[test]
fn a_namespace_sees_its_own_table_only() {
    in_namespace(|outer| {
        outer.batch(&[add_service(key())]).unwrap();
        in_namespace(|inner| {
            assert_eq!(services(inner), []);
            inner.flush().unwrap();
        });
        assert_eq!(services(outer).len(), 1);
    });
}
