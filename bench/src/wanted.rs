//! From the cluster to what the kernel should hold.

use std::collections::BTreeSet;
use std::net::IpAddr;

use marathon::{Document, Records, Snapshot};
use node::Kernel;
use vip::{Bound, ClusterFacts, Desired, Link, Observed, Plan, Policy, Scope, decide};
use vipd::translate::{Hosts, hosts_of, translate};

use crate::cluster::Cluster;

/// The node's address where plans are measured: see `machine::Node`.
pub(crate) const NODE: &str = "10.9.0.1";

/// What Marathon says.
pub(crate) fn snapshot(cluster: &Cluster) -> Snapshot {
    let apps = Document::read_apps(cluster.everything().as_bytes()).unwrap();
    apps.and(Document::read_pods(b"[]").unwrap()).snapshot(&Records::default())
}

/// What of it should be in a kernel that holds this.
pub(crate) fn desired(snapshot: &Snapshot, observed: &Observed) -> Desired {
    let host = |name: &str| (name.to_owned(), Ok([name.parse().unwrap()].into()));
    let hosts: Hosts = hosts_of(snapshot).into_iter().map(host).collect();
    let now = "2026-01-01T01:00:00Z".parse().unwrap();
    let translation = translate(snapshot, &hosts, now);
    let facts = ClusterFacts { nodes: translation.nodes, ..ClusterFacts::default() };
    let mut desired = decide(translation.claims, observed, &Policy::default(), &facts);
    desired.source = Some(NODE.parse().unwrap());
    desired
}

pub(crate) fn plan(observed: &Observed, desired: &Desired) -> Plan {
    Plan::new(observed, desired, Scope::Complete, "node1")
}

/// Everything from what Marathon says to the kernel's last answer. The operations done.
pub(crate) fn apply(snapshot: &Snapshot, kernel: &mut impl Kernel) -> usize {
    let observed = kernel.observe().unwrap();
    let plan = plan(&observed, &desired(snapshot, &observed));
    let outcome = kernel.apply(plan);
    let failed = outcome.failures().next().map(|(op, why)| format!("{op}: {why}"));
    assert_eq!(failed, None);
    outcome.results().len()
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
