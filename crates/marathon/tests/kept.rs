//! A workload that was written down is the same when it is read again.
#![allow(clippy::unwrap_used, reason = "a test that panics has failed, which is what it is for")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use marathon::{
    Behind, Endpoint, Health, Instance, InstanceSpec, Kind, Labels, NetworkMode, Port, Protocol,
    Scope, Spec, TaskState, Timestamp, Unroutable, UnusedPort, Workload,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    vec(text(), 0..3)
}

fn moment() -> impl Strategy<Value = Timestamp> {
    (0..4_000_000_000i64, 0..1_000_000_000i32)
        .prop_map(|(second, nano)| Timestamp::new(second, nano).unwrap())
}

fn labels() -> impl Strategy<Value = Labels> {
    // Duplicates are kept, and so is their order.
    vec((prop_oneof![Just("VIP_0".to_owned()), text()], text()), 0..4)
        .prop_map(|pairs| pairs.into_iter().collect())
}

fn health() -> impl Strategy<Value = Health> {
    prop::sample::select(vec![Health::NoChecks, Health::Up, Health::Down, Health::Unknown])
}

fn state() -> impl Strategy<Value = TaskState> {
    prop_oneof![
        Just(TaskState::Staging),
        Just(TaskState::Starting),
        Just(TaskState::Running),
        Just(TaskState::Killing),
        Just(TaskState::Unreachable),
        text().prop_map(TaskState::Terminal),
        text().prop_map(TaskState::Other),
    ]
}

fn network() -> impl Strategy<Value = NetworkMode> {
    prop_oneof![
        Just(NetworkMode::Host),
        Just(NetworkMode::Bridge),
        texts().prop_map(|networks| NetworkMode::Container { networks }),
        text().prop_map(NetworkMode::Other),
    ]
}

fn port() -> impl Strategy<Value = Port> {
    let scope =
        prop_oneof![Just(Scope::Host), texts().prop_map(|networks| Scope::Container { networks }),];
    let protocols = vec(prop::sample::select(vec![Protocol::Tcp, Protocol::Udp]), 0..3);
    let names = (option::of(text()), option::of(text()), text());
    let rest = (texts(), option::of(any::<u16>()), scope, any::<bool>(), labels());
    let rest = (rest, option::of(any::<u16>()));
    (any::<usize>(), names, protocols, rest).prop_map(|(index, names, protocols, rest)| {
        let (name, container, path) = names;
        let ((other_protocols, container_port, scope, checked, labels), required) = rest;
        Port {
            index,
            name,
            container,
            path,
            protocols,
            other_protocols,
            container_port,
            scope,
            required,
            checked,
            labels,
        }
    })
}

fn spec() -> impl Strategy<Value = Arc<Spec>> {
    let time = || option::of((any::<u64>(), 0..1_000_000_000u32));
    let rest = (option::of(moment()), labels(), text(), any::<usize>(), time(), time());
    let unused_ports = (text(), labels()).prop_map(|(path, labels)| UnusedPort { path, labels });
    let lists = (vec(port(), 0..3), vec(unused_ports, 0..2));
    (rest, network(), lists).prop_map(|(rest, network, (ports, unused_ports))| {
        let (version, labels, labels_path, health_checks, settling, grace) = rest;
        let time = |(second, nano)| Duration::new(second, nano);
        Arc::new(Spec {
            version,
            labels,
            labels_path,
            network,
            ports,
            unused_ports,
            health_checks,
            settling: settling.map(time),
            task_kill_grace: grace.map(time),
        })
    })
}

fn unroutable() -> impl Strategy<Value = Unroutable> {
    prop_oneof![
        Just(Unroutable::Inactive),
        any::<u16>().prop_map(Unroutable::OtherPort),
        any::<(usize, usize)>()
            .prop_map(|(expected, found)| Unroutable::PortCount { expected, found }),
        Just(Unroutable::NoHost),
        Just(Unroutable::NoHostPort),
        Just(Unroutable::NoAddress),
        Just(Unroutable::NoContainerPort),
        text().prop_map(|network| Unroutable::AmbiguousNetwork { network }),
        Just(Unroutable::NotListed),
        Just(Unroutable::Unpublished),
        text().prop_map(Unroutable::NetworkMode),
    ]
}

fn endpoint() -> impl Strategy<Value = Result<Endpoint, Unroutable>> {
    let behind = (vec(any::<IpAddr>(), 1..3), any::<u16>())
        .prop_map(|(addresses, port)| Behind { addresses: addresses.into(), port });
    let host = (any::<u16>(), option::of(behind))
        .prop_map(|(port, behind)| Endpoint::Host { port, behind });
    let container = (vec(any::<IpAddr>(), 1..3), any::<u16>())
        .prop_map(|(addresses, port)| Endpoint::Container { addresses: addresses.into(), port });
    prop_oneof![host.prop_map(Ok), container.prop_map(Ok), unroutable().prop_map(Err)]
}

fn instance() -> impl Strategy<Value = Instance> {
    let spec = prop_oneof![
        Just(InstanceSpec::Current),
        spec().prop_map(InstanceSpec::Older),
        moment().prop_map(InstanceSpec::Unknown),
        moment().prop_map(InstanceSpec::Gone),
    ];
    let moments = (option::of(moment()), option::of(moment()), option::of(moment()));
    let how = (state(), health(), vec(health(), 0..3), any::<bool>());
    let whole = (text(), option::of(text()), how, moments, spec, vec(endpoint(), 0..3));
    whole.prop_map(|(id, host, how, moments, spec, endpoints)| {
        let (state, health, port_health, ready) = how;
        let (last_success, started, version) = moments;
        Instance {
            id: id.into(),
            host: host.map(Into::into),
            state,
            health,
            port_health: port_health.into(),
            ready,
            last_success: last_success.map(Into::into),
            started: started.map(Into::into),
            version,
            spec,
            endpoints: endpoints.into(),
        }
    })
}

fn workload() -> impl Strategy<Value = Workload> {
    let kind = prop::sample::select(vec![Kind::App, Kind::Pod]);
    let flags = any::<(bool, bool, bool, bool)>();
    (text(), kind, text(), spec(), vec(instance(), 0..3), flags).prop_map(
        |(id, kind, path, spec, instances, (tasks_known, deploying, suspended, damaged))| {
            Workload {
                id: id.into(),
                kind,
                path,
                spec,
                instances,
                tasks_known,
                deploying,
                suspended,
                damaged,
            }
        },
    )
}

proptest! {
    #[test]
    fn a_workload_that_was_written_down_is_the_same_when_it_is_read_again(workload in workload()) {
        let written = serde_json::to_vec(&workload).unwrap();
        let read: Workload = serde_json::from_slice(&written).unwrap();
        prop_assert_eq!(read, workload);
    }

    #[test]
    fn whatever_was_written_down_is_read_or_refused(
        workload in workload(),
        cut in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut written = serde_json::to_vec(&workload).unwrap();
        let at = cut.index(written.len());
        written[at] = byte;
        let _: Result<Workload, _> = serde_json::from_slice(&written);
        written.truncate(at);
        prop_assert!(serde_json::from_slice::<Workload>(&written).is_err());
    }
}
