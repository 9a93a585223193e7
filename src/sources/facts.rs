//! Facts about the cluster that the sources tell beside their claims.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use vip::controller::Facts;
use vip::{ClusterFacts, LabelReport};

use super::refcount::RefCountedSet;

/// The share of one workload in a [`ClusterContext`].
#[derive(Debug, Default)]
pub(crate) struct Contribution {
    /// Labels that make no claim.
    pub(crate) reports: Vec<LabelReport>,
    /// Addresses of the agents that run its tasks.
    pub(crate) nodes: BTreeSet<IpAddr>,
    /// Addresses of its tasks on container networks.
    pub(crate) tasks: BTreeSet<IpAddr>,
    /// Agents with tasks whose ports aren't known.
    pub(crate) uncertain: BTreeSet<IpAddr>,
    /// Sentences on what isn't known of its running tasks.
    pub(crate) gaps: BTreeSet<String>,
    /// Names of the agents that run its tasks.
    pub(crate) hosts: BTreeSet<Arc<str>>,
}

/// Facts that all sources together tell beside claims.
#[derive(Debug, Default)]
pub(crate) struct ClusterContext {
    pub(crate) nodes: RefCountedSet<IpAddr>,
    pub(crate) tasks: RefCountedSet<IpAddr>,
    pub(crate) uncertain: RefCountedSet<IpAddr>,
    pub(crate) gaps: RefCountedSet<String>,
    /// News about labels that make no claim.
    pub(crate) news: Vec<LabelReport>,
    /// The facts differ from those that were last told.
    pub(crate) changed: bool,
}

impl ClusterContext {
    /// Puts one contribution of a workload in the place of another.
    pub(crate) fn replace_contribution(&mut self, old: &Contribution, new: &Contribution) {
        self.news.extend(vip::label::changed_reports(&old.reports, &new.reports));
        self.changed |= self.nodes.exchange(&old.nodes, &new.nodes);
        self.changed |= self.tasks.exchange(&old.tasks, &new.tasks);
        self.changed |= self.uncertain.exchange(&old.uncertain, &new.uncertain);
        self.changed |= self.gaps.exchange(&old.gaps, &new.gaps);
    }

    /// The facts as the controller takes them, without a doubt about the table. `masters` are the
    /// addresses of the servers that the cluster depends on.
    pub(crate) fn to_facts(&self, masters: BTreeSet<IpAddr>) -> Facts {
        Facts {
            cluster: ClusterFacts {
                nodes: self.nodes.members().copied().collect(),
                masters,
                tasks: self.tasks.members().copied().collect(),
            },
            uncertain: self.uncertain.members().copied().collect(),
            gaps: self.gaps.members().next().is_some(),
            ..Facts::default()
        }
    }
}
