//! From the cluster to what the kernel should hold.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use marathon::{Document, Records, Snapshot, Workload};
use node::Kernel;
use vip::controller::{AppClaims, Change, Config, Decision, Facts, Input, Parting};
use vip::{
    AppId, Bound, ClusterFacts, Controller, Desired, Link, LocalRoute, Observed, Outcome, Plan,
    Scope, TableSettings, Ways,
};
use vipd::sources::hosts::Hosts;
use vipd::sources::marathon::claims::claim_workload;
use vipd::sources::marathon::translate::{Naming, app_id, run_time_at, snapshot_hosts};
use vipd::sources::resolve::all_addresses;

use crate::cluster::Cluster;
use crate::figure::measure_time;

/// Address of the node in measurements: see `machine::Node`.
pub(crate) const NODE: &str = "10.9.0.1";

/// Parses the cluster's answer as a snapshot.
pub(crate) fn parse_snapshot(cluster: &Cluster) -> Snapshot {
    let apps = Document::parse_apps(cluster.apps_body().as_bytes()).unwrap();
    apps.merge(Document::parse_pods(b"[]").unwrap()).to_snapshot(&Records::default())
}

/// Returns the claims of each app.
pub(crate) fn claims_by_app(
    snapshot: &Snapshot,
    hosts: &Hosts,
) -> BTreeMap<AppId, Option<AppClaims>> {
    let now = "2026-01-01T01:00:00Z".parse().unwrap();
    let naming = Naming { framework: Some("marathon"), zone_len: 0, task_zone: None };
    let claim = |workload: &Arc<Workload>| {
        (
            app_id(&workload.key()),
            Some(claim_workload(workload, hosts, &run_time_at(now), naming).app),
        )
    };
    snapshot.workloads.iter().map(claim).collect()
}

/// Resolves the names of the agents, which are addresses.
pub(crate) fn resolved_hosts(snapshot: &Snapshot) -> Hosts {
    let host = |name: &str| (name.to_owned(), Ok([name.parse().unwrap()].into()));
    snapshot_hosts(snapshot).into_iter().map(host).collect()
}

/// Decides what to do about a kernel's state, like `vipd apply`.
pub(crate) fn decide_like_apply(snapshot: &Snapshot, observed: Observed) -> Decision {
    let table = TableSettings { source: Some(NODE.parse().unwrap()), ..TableSettings::default() };
    let mut controller = Controller::new(Config {
        node: "node1".into(),
        table,
        sources: ["m".into()].into(),
        parting: Parting::AtOnce,
        ..Config::default()
    });
    let hosts = resolved_hosts(snapshot);
    let nodes = all_addresses(&hosts).copied().collect();
    let cluster = ClusterFacts { nodes, ..ClusterFacts::default() };
    controller.learn_input(Input::Facts(Facts { cluster, ..Facts::default() }));
    let claims = claims_by_app(snapshot, &hosts);
    let only = claims.keys().cloned().collect();
    for change in [Change::Apps(claims), Change::Only(only)] {
        controller.learn_input(Input::Claims { source: "m".into(), change });
    }
    let no_ways = |_: &BTreeSet<IpAddr>| Ok::<_, Infallible>(Ways::default());
    controller.decide_once(observed, no_ways).unwrap()
}

/// Returns the state that a kernel with this observed state should have.
pub(crate) fn desired_of(snapshot: &Snapshot, observed: &Observed) -> Desired {
    decide_like_apply(snapshot, observed.clone()).desired
}

pub(crate) fn plan_for(observed: &Observed, desired: &Desired) -> Plan {
    Plan::new(observed, desired, Scope::Complete, "node1")
}

/// Outcome of an apply, and the duration of each part. `Desired` is kept, as `vipd apply` keeps it
/// for its output.
pub(crate) struct Applied {
    pub(crate) outcome: Outcome,
    pub(crate) parts: Vec<(String, Duration)>,
    _desired: Desired,
}

/// Applies a snapshot, from the parsed input to the kernel's last answer.
pub(crate) fn apply_snapshot(snapshot: &Snapshot, kernel: &mut impl Kernel) -> Applied {
    let (observing, observed) = measure_time(|| kernel.observe().unwrap());
    let (planning, Decision { desired, plan, .. }) =
        measure_time(|| decide_like_apply(snapshot, observed));
    let mut parts = vec![("observe".to_owned(), observing), ("plan".to_owned(), planning)];
    let outcome = plan.run(|ops| {
        let (time, answers) = measure_time(|| kernel.perform(ops));
        parts.push((format!("{:?}", ops[0].step()).to_lowercase(), time));
        answers
    });
    let failed = outcome.failures().next().map(|(op, why)| format!("{op}: {why}"));
    assert_eq!(failed, None);
    Applied { outcome, parts, _desired: desired }
}

/// Makes a kernel's state with every wanted address bound and no virtual service.
pub(crate) fn with_addresses_bound(desired: &Desired) -> Observed {
    let addresses: BTreeSet<IpAddr> = desired.services.keys().map(|vip| vip.address).collect();
    let route = LocalRoute { source: Some(NODE.parse().unwrap()), mtu: None };
    let at = Bound { route, ..Bound::default() };
    Observed {
        link: Link::Up,
        addresses: addresses.into_iter().map(|address| (address, at)).collect(),
        ..Observed::default()
    }
}
