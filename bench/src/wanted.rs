//! From the cluster to what the kernel should hold.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use marathon::{Document, Records, Snapshot};
use node::Kernel;
use vip::{Bound, ClusterFacts, Desired, Link, Observed, Outcome, Plan, Policy, Scope, decide};
use vipd::sources::hosts::Hosts;
use vipd::sources::marathon::translate::{hosts_of, translate};
use vipd::sources::resolve::addresses;

use crate::cluster::Cluster;
use crate::figure::timed;

/// The node's address where plans are measured: see `machine::Node`.
pub(crate) const NODE: &str = "10.9.0.1";

/// What Marathon says.
pub(crate) fn snapshot(cluster: &Cluster) -> Snapshot {
    let apps = Document::parse_apps(cluster.everything().as_bytes()).unwrap();
    apps.merge(Document::parse_pods(b"[]").unwrap()).to_snapshot(&Records::default())
}

/// What of it should be in a kernel that holds this.
pub(crate) fn desired(snapshot: &Snapshot, observed: &Observed) -> Desired {
    let host = |name: &str| (name.to_owned(), Ok([name.parse().unwrap()].into()));
    let hosts: Hosts = hosts_of(snapshot).into_iter().map(host).collect();
    let now = "2026-01-01T01:00:00Z".parse().unwrap();
    let translation = translate(snapshot, &hosts, now);
    let nodes = addresses(&hosts).copied().collect();
    let facts = ClusterFacts { nodes, ..ClusterFacts::default() };
    let mut desired = decide(translation.claims, observed, &Policy::default(), &facts);
    desired.source = Some(NODE.parse().unwrap());
    desired
}

pub(crate) fn plan(observed: &Observed, desired: &Desired) -> Plan {
    Plan::new(observed, desired, Scope::Complete, "node1")
}

/// What became of everything, and how long each part of it took. What was decided is kept, as
/// `vipd apply` keeps it for what it prints.
pub(crate) struct Applied {
    pub(crate) outcome: Outcome,
    pub(crate) parts: Vec<(String, Duration)>,
    _desired: Desired,
}

/// Everything from what Marathon says to the kernel's last answer.
pub(crate) fn apply(snapshot: &Snapshot, kernel: &mut impl Kernel) -> Applied {
    let (observing, observed) = timed(|| kernel.observe().unwrap());
    let (planning, (desired, plan)) = timed(|| {
        let desired = desired(snapshot, &observed);
        let plan = plan(&observed, &desired);
        (desired, plan)
    });
    let mut parts = vec![("observe".to_owned(), observing), ("plan".to_owned(), planning)];
    let outcome = plan.run(|ops| {
        let (time, answers) = timed(|| kernel.perform(ops));
        parts.push((format!("{:?}", ops[0].step()).to_lowercase(), time));
        answers
    });
    let failed = outcome.failures().next().map(|(op, why)| format!("{op}: {why}"));
    assert_eq!(failed, None);
    Applied { outcome, parts, _desired: desired }
}

/// A kernel with everything bound that this wants, and nothing served.
pub(crate) fn bound(desired: &Desired) -> Observed {
    let addresses: BTreeSet<IpAddr> = desired.services.keys().map(|vip| vip.address).collect();
    let at = Bound { source: desired.source };
    Observed {
        link: Link::Up,
        addresses: addresses.into_iter().map(|address| (address, at)).collect(),
        ..Observed::default()
    }
}
