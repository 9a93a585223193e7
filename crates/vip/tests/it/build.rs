//! Short ways to write claims and tables.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use nl_ipvs::{ServiceFlags, ServiceKey, ServiceSettings, Stats};
use vip::label::{Options, VipRef};
use vip::{
    Bound, Candidate, Claim, ClusterFacts, Condition, Desired, LabelPlace, Link, Observed,
    ObservedServer, ObservedService, Plan, Policy, Protocol, Reach, Scope, Vip,
};

/// `3.3.0.6:3306/tcp`; without protocol TCP.
pub(crate) fn vip(text: &str) -> Vip {
    let (place, protocol) = match text.rsplit_once('/') {
        Some((place, "udp")) => (place, Protocol::Udp),
        Some((place, _)) => (place, Protocol::Tcp),
        None => (text, Protocol::Tcp),
    };
    match place.parse() {
        Ok(VipRef::Address(address, port)) => Vip { address, port, protocol },
        other => panic!("{text}: {other:?}"),
    }
}

/// A task of `/app` at an address and port.
pub(crate) fn task(name: &str, at: &str, condition: Condition) -> Candidate {
    let at: SocketAddr = at.parse().unwrap();
    let reach = Ok(Reach { place: at.into(), behind: None });
    Candidate { task: name.into(), condition, remembered: false, unlisted: false, reach }
}

pub(crate) fn claim(at: &str, app: &str, candidates: Vec<Candidate>) -> Claim {
    let label = LabelPlace {
        app: app.into(),
        port: Some(0),
        path: "$.container.portMappings[0].labels".into(),
        key: "VIP_0".into(),
        occurrence: 0,
        value: at.into(),
    };
    let options = Options::default();
    Claim {
        name: None,
        vip: vip(at),
        label,
        source: Default::default(),
        superseded: false,
        suspended: false,
        incomplete: false,
        note: None,
        options,
        candidates,
    }
}

pub(crate) fn decide(claims: Vec<Claim>, observed: &Observed) -> Desired {
    vip::decide(claims, observed, &BTreeSet::new(), &Policy::default(), &ClusterFacts::default())
}

pub(crate) fn plan(observed: &Observed, desired: &Desired) -> Plan {
    Plan::new(observed, desired, Scope::Complete, "node1")
}

/// The kernel after the claims were applied to an empty one.
pub(crate) fn applied(claims: Vec<Claim>) -> Observed {
    let empty = Observed::default();
    plan(&empty, &decide(claims, &empty)).applied_to(&empty)
}

/// Adds a service that vipd didn't make.
pub(crate) fn add_foreign(observed: &mut Observed, at: &str, servers: &[(&str, u32)]) {
    let mut settings = Options::default().service_settings();
    settings.flags = ServiceFlags::NONE;
    add_service(observed, at, settings, servers);
}

pub(crate) fn add_service(
    observed: &mut Observed,
    at: &str,
    settings: ServiceSettings,
    servers: &[(&str, u32)],
) {
    let servers = servers.iter().map(|(at, weight)| (at.parse().unwrap(), server(*weight)));
    let service = ObservedService { settings, servers: servers.collect(), stats: Stats::default() };
    observed.services.insert(ServiceKey::from(vip(at)), service);
}

pub(crate) fn server(weight: u32) -> ObservedServer {
    ObservedServer {
        settings: nl_ipvs::DestinationSettings::masquerade(weight),
        active: 0,
        inactive: 0,
        stats: None,
    }
}

/// Binds an address on our interface.
pub(crate) fn bind(observed: &mut Observed, address: &str) {
    observed.link = Link::Up;
    observed.addresses.insert(address.parse().unwrap(), Bound::default());
}

/// The plan as text, one line each.
pub(crate) fn text(plan: &Plan, desired: &Desired) -> String {
    let lines = plan.describe(desired).into_iter().map(|line| line.to_string());
    lines.chain([plan.summary()]).collect::<Vec<_>>().join("\n")
}

pub(crate) fn mysql(candidates: Vec<Candidate>) -> Claim {
    claim("3.3.0.6:3306", "/mysql", candidates)
}

pub(crate) fn healthy(name: &str, at: &str) -> Candidate {
    task(name, at, Condition::Healthy)
}
