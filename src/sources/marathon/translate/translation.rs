//! The result of a translation.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use vip::naming::NamedClaim;
use vip::{Claim, LabelReport};

/// The claims of workloads, and the facts that go with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Translation {
    /// The claims to VIPs, in the order of the document.
    pub claims: Vec<Claim>,
    /// The claims to named VIPs.
    pub named: Vec<NamedClaim>,
    /// Reports on labels that make no claim.
    pub reports: Vec<LabelReport>,
    /// The addresses of agents that run tasks whose ports aren't known.
    pub uncertain: BTreeSet<IpAddr>,
    /// Sentences on what isn't known about running tasks. While there is any, the absence of a real
    /// server means nothing.
    pub gaps: BTreeSet<String>,
    /// Addresses of tasks on container networks.
    pub tasks: BTreeSet<IpAddr>,
    /// The time until the silence of a task's health checks counts.
    pub settles_in: Option<Duration>,
}

impl Translation {
    /// Appends another translation.
    pub(crate) fn append(&mut self, other: Self) {
        self.claims.extend(other.claims);
        self.named.extend(other.named);
        self.reports.extend(other.reports);
        self.uncertain.extend(other.uncertain);
        self.gaps.extend(other.gaps);
        self.tasks.extend(other.tasks);
        self.settles_in = [self.settles_in, other.settles_in].into_iter().flatten().min();
    }
}
